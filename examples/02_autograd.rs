//! Derivatives: the tape records what depends on a leaf, and is walked back. `cargo run --release --example 02_autograd`

use ukulele::autograd::{Tape, Tensor, Value};

fn main() -> ukulele::Result<()> {
    // Fit y = a·x + b to points of y = 3x - 1 by gradient descent, from scratch.
    let x: Value = Tensor::from_vec(&[4], vec![-1., 0., 1., 2.])?.into();
    let y: Value = Tensor::from_vec(&[4], vec![-4., -1., 2., 5.])?.into();
    let (mut a, mut b) = (0f32, 0f32);
    for step in 0..=60 {
        // One tape per forward pass. Only what depends on a leaf is recorded: x and y are plain numbers.
        let tape = Tape::new();
        let (a_leaf, b_leaf) = (tape.leaf("a", Tensor::scalar(a)), tape.leaf("b", Tensor::scalar(b)));
        let loss = x.mul(&a_leaf)?.add(&b_leaf)?.sub(&y)?.square()?.mean()?;
        if step % 20 == 0 {
            println!(
                "step {step:2}: a = {a:6.3}, b = {b:6.3}, loss = {:.5}, {} records",
                loss.tensor().item()?,
                tape.len()
            );
        }
        // Every leaf must have a way to the loss.
        tape.audit(&loss)?;
        let gradients = tape.backward(&loss)?;
        let slope = |leaf: &Value| gradients.of(leaf).map_or(Ok(0.0), Tensor::item);
        a -= 0.1 * slope(&a_leaf)?;
        b -= 0.1 * slope(&b_leaf)?;
    }
    assert!((a - 3.0).abs() < 0.01 && (b + 1.0).abs() < 0.01);

    // What would go wrong silently elsewhere is an error here.
    let tape = Tape::new();
    let w = tape.leaf("w", Tensor::scalar(2.0));
    let loss = w.detach().square()?.add(&tape.leaf("b", Tensor::scalar(1.0)))?;
    println!("error: {}", tape.audit(&loss).unwrap_err());
    Ok(())
}
