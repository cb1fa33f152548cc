//! How long each op of a training step takes, and how much it does.

use crate::{Data, Element, Keeps, Op};

/// What an op does by its definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// What it computes, e.g. `conv2d 3x3/1 64 -> 64`; ` bf16` at the end if its products are of such factors.
    pub what: String,
    /// Multiplications (as many additions) of forward, padding included; Winograd's algorithm has fewer.
    pub forward: u64,
    /// The same of backward, of what is computed again nothing.
    pub backward: u64,
}

impl Work {
    /// Of an op without products worth counting.
    pub fn plain(what: impl Into<String>) -> Self {
        Self { what: what.into(), forward: 0, backward: 0 }
    }

    /// Of a product of the first two inputs: the gradient of each that wants one is another product of as many multiplications.
    pub fn product(what: impl Into<String>, multiply_adds: usize, wants: &[bool]) -> Self {
        let forward = multiply_adds as u64;
        let gradients = wants.iter().take(2).filter(|wants| **wants).count();
        Self { what: what.into(), forward, backward: forward * gradients as u64 }
    }
}

/// What it took to go one way through an op.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Seconds.
    pub seconds: f64,
    /// As [`Work`] has it.
    pub multiply_adds: u64,
    /// Of each tensor that is read or written, once.
    pub bytes: u64,
}

/// An op of a training step; a step's list is [`crate::Tape::profile`].
#[derive(Debug, Clone, PartialEq)]
pub struct OpProfile {
    /// [`Work::what`], and the shape of the output.
    pub what: String,
    /// From inputs to output.
    pub forward: Cost,
    /// From the gradient of the output to those of the inputs, with what is computed again for it. Nothing if none came.
    pub backward: Cost,
}

impl OpProfile {
    /// All but the time of backward.
    pub(crate) fn new<T: Element>(
        op: &dyn Op<T>,
        inputs: &[&Data<T>],
        wants: &[bool],
        keeps: Keeps,
        output: &Data<T>,
        seconds: f64,
    ) -> Self {
        let shapes: Vec<&[usize]> = inputs.iter().map(|input| input.shape()).collect();
        let work = op.work(&shapes, wants);
        let [read, written] = [true, false].map(|reads| {
            let counts = |i: usize| if reads { keeps.has_input(i) } else { wants[i] };
            inputs.iter().enumerate().filter(|(i, _)| counts(*i)).map(|(_, input)| input.bytes()).sum::<u64>()
        });
        // Its gradient, and perhaps itself.
        let outputs = output.bytes() * (1 + u64::from(keeps.has_output()));
        let all: u64 = inputs.iter().map(|input| input.bytes()).sum();
        Self {
            what: format!("{} {:?}", work.what, output.shape()),
            forward: Cost { seconds, multiply_adds: work.forward, bytes: all + output.bytes() },
            backward: Cost { seconds: 0.0, multiply_adds: work.backward, bytes: read + written + outputs },
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Conv2dOptions, Precision, Result, Tape, Tensor, Value};

    #[test]
    fn ops_are_told_in_the_order_of_the_step() -> Result<()> {
        let tape = Tape::<f32>::new().profiling();
        let x: Value = Tensor::ones(&[2, 3, 8, 8])?.into();
        let [w, b] = [tape.leaf("w", Tensor::ones(&[4, 3, 3, 3])?), tape.leaf("b", Tensor::ones(&[4])?)];
        let options = Conv2dOptions { padding: [1; 4], ..Default::default() };
        let y = x.conv2d(&w, Some(&b), &options)?;
        y.exp()?; // leads nowhere
        let z = y.conv2d(&tape.leaf("v", Tensor::ones(&[5, 4, 1, 1])?), None, &Conv2dOptions::default())?;
        tape.backward(&z.sum()?)?;
        let profile = tape.profile();
        let what: Vec<&str> = profile.iter().map(|op| op.what.as_str()).collect();
        assert_eq!(
            what,
            ["conv2d 3x3/1 3 -> 4 [2, 4, 8, 8]", "exp [2, 4, 8, 8]", "conv2d 1x1/1 4 -> 5 [2, 5, 8, 8]", "sum []"]
        );
        let places = 2 * 8 * 8;
        let mults: Vec<_> = profile.iter().map(|op| (op.forward.multiply_adds, op.backward.multiply_adds)).collect();
        // The image wants no gradient.
        assert_eq!(mults, [(places * 108, places * 108), (0, 0), (places * 20, places * 40), (0, 0)]);
        let bytes = |op: usize| (profile[op].forward.bytes / 4, profile[op].backward.bytes / 4);
        assert_eq!(bytes(0), (places * 7 + 108 + 4, places * 7 + 108 + 4));
        assert_eq!(bytes(2), (places * 9 + 20, places * (5 + 4 + 4) + 2 * 20));
        assert!(profile.iter().all(|op| op.forward.seconds > 0.0));
        assert!([0, 2, 3].iter().all(|&op| profile[op].backward.seconds > 0.0));
        assert_eq!((profile[1].backward.seconds, profile[1].backward.bytes), (0.0, 0));
        assert!(tape.profile().is_empty());
        Ok(())
    }

    #[test]
    fn bf16_is_said_and_takes_half_the_bytes() -> Result<()> {
        let bytes = |precision| -> Result<(String, u64)> {
            let tape = Tape::<f32>::new().profiling();
            let x: Value = Tensor::ones(&[1, 32, 8, 8])?.into();
            let w = tape.leaf("w", Tensor::ones(&[32, 32, 1, 1])?);
            let y = x.conv2d_in(precision, &w, None, &Conv2dOptions::default())?.relu()?;
            tape.backward(&y.sum()?)?;
            let profile = tape.profile();
            Ok((profile[0].what.clone(), profile[1].forward.bytes))
        };
        let [full, short] = [bytes(Precision::F32)?, bytes(Precision::Bf16)?];
        assert_eq!(short, (full.0.replace(" [", " bf16 ["), full.1 / 2));
        Ok(())
    }

    #[test]
    fn tapes_tell_nothing_unless_asked() -> Result<()> {
        let tape = Tape::<f32>::new();
        let x = tape.leaf("x", Tensor::ones(&[2])?);
        tape.backward(&x.exp()?.sum()?)?;
        assert!(tape.profile().is_empty());
        Ok(())
    }
}
