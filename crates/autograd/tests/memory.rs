//! Memory of a training step: freed as backward proceeds, all gone when it is done.
//!
//! One test in a process of its own: the count of live bytes is that of the whole process.

use std::sync::{Arc, Mutex};
use ukulele_autograd::{Gelu, Keeps, Kept, Op, Result, Slots, Tape, Tensor, Value};
use ukulele_tensor::memory::{reset_peak, usage};

/// Passes its input on, and notes the live bytes when backward comes by.
#[derive(Debug)]
struct Probe(Arc<Mutex<Vec<usize>>>);

impl Op<f32> for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }
    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::NOTHING
    }
    fn forward(&mut self, inputs: &[&Tensor], _: bool) -> Result<Tensor> {
        Ok(inputs[0].clone())
    }
    fn backward(&self, _: &Kept<f32>, grad: Tensor, slots: &mut Slots<f32>) -> Result<()> {
        self.0.lock().unwrap().push(usage().live);
        slots.add(0, grad)
    }
}

const DEPTH: usize = 40;
const BYTES: usize = 4 << 14;

fn step(seen: &Arc<Mutex<Vec<usize>>>) -> Result<usize> {
    let tape = Tape::new();
    let weights = tape.leaf("w", Tensor::full(&[1 << 14], 0.5)?);
    let mut x = weights.clone();
    for _ in 0..DEPTH {
        x = Value::apply(Probe(Arc::clone(seen)), &[&x.tanh()?])?;
    }
    let loss = x.sum()?;
    drop(x);
    let forward = usage().live;
    reset_peak();
    let gradients = tape.backward(&loss)?;
    assert!(gradients.of(&weights).is_some());
    Ok(forward)
}

/// Layers whose norms and activations are cheap: what is alive after forward is their inputs alone.
fn cheap_layers() -> Result<()> {
    let start = usage().live;
    let tape = Tape::new();
    let x = tape.leaf("x", Tensor::full(&[64, 256], 0.5)?);
    let ones: Value = Tensor::ones(&[256])?.into();
    let (mut y, mut products) = (x.clone(), 0);
    for i in 0..4 {
        let weight = tape.leaf("w", Tensor::full(&[256, 256], 0.01 * (i + 1) as f32)?);
        y = y.linear(&weight, None)?.layer_norm(&ones, &ones, 1e-5)?.linear(&weight, None)?.gelu(Gelu::Erf)?;
        products += 2;
    }
    let loss = y.square()?.sum()?;
    drop((y, x));
    let weights = 4 * 256 * 256 * 4;
    let kept = usage().live - start - weights;
    // Of the last activation the square keeps nothing either; x itself is there.
    assert!(kept < (products + 3) * 64 * 256 * 4, "{kept} bytes for {products} products");
    tape.backward(&loss)?;
    Ok(())
}

/// A chain of linear layers and ReLUs on a tape that keeps one output in nine: the gradients, and the peak above what was there.
fn chain(tape: Tape) -> Result<(Vec<f32>, usize)> {
    let start = usage().live;
    reset_peak();
    let weight = tape.leaf("w", Tensor::full(&[64, 64], 0.03)?);
    let x = tape.leaf("x", Tensor::full(&[256, 64], 0.5)?);
    let mut y = x.clone();
    for _ in 0..40 {
        y = y.linear(&weight, None)?.relu()?;
    }
    let loss = y.square()?.sum()?;
    drop(y);
    let gradients = tape.backward(&loss)?;
    let all = [&weight, &x].map(|leaf| gradients.of(leaf).unwrap().to_vec()).concat();
    Ok((all, usage().peak - start))
}

#[test]
fn memory_is_freed_as_backward_proceeds() -> Result<()> {
    let ((kept, most), (again, least)) = (chain(Tape::new())?, chain(Tape::new().checkpointing())?);
    assert!(kept == again && least * 2 < most, "{least} and {most} bytes");
    cheap_layers()?;
    let start = usage().live;
    for _ in 0..3 {
        let seen = Arc::default();
        let forward = step(&seen)?;
        assert_eq!(usage().live, start, "a step leaves memory behind");
        // Each tanh keeps its output, and nothing else is kept: the weights, the loss and what was there before.
        assert!(forward - start >= DEPTH * BYTES && forward - start < (DEPTH + 2) * BYTES);
        // A gradient and its successor, while all is still kept.
        assert!(usage().peak < forward + 3 * BYTES, "{} at most, {forward} after forward", usage().peak);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), DEPTH);
        for (passed, live) in seen.iter().enumerate() {
            assert!(*live <= forward - passed * BYTES + 2 * BYTES, "{live} bytes live after {passed} of {DEPTH}");
        }
    }
    let usage = usage();
    assert!(usage.pooled > 0 && usage.live + usage.pooled < (DEPTH + 6) * BYTES, "{usage:?}");
    Ok(())
}
