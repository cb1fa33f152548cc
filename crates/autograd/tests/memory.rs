//! Memory of a training step: freed as backward proceeds, all gone when it is done.
//!
//! One test in a process of its own: the count of live bytes is that of the whole process.

use std::sync::{Arc, Mutex};
use ukulele_autograd::{Keeps, Kept, Op, Result, Slots, Tape, Tensor, Value};
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
        slots.add(0, grad.clone())
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

#[test]
fn memory_is_freed_as_backward_proceeds() -> Result<()> {
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
