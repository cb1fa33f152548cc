//! How long each op of a training step takes, and how much it does.

use crate::{Data, Element, Keeps, Op};

/// What an op does by its definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// What it computes, e.g. `conv2d 3x3/1 64 -> 64`.
    pub what: String,
    /// Of forward.
    pub forward: Way,
    /// Of backward; of what is computed again for it nothing.
    pub backward: Way,
}

/// What an op does one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Way {
    /// Multiplications (as many additions), padding included; Winograd's algorithm has fewer.
    pub multiply_adds: u64,
    /// How many of these are of factors that are rounded to bf16.
    pub rounded: u64,
    /// Numbers that are read or written, where that is not every tensor once.
    pub numbers: Option<u64>,
}

impl Work {
    /// Of an op without products worth counting.
    pub fn plain(what: impl Into<String>) -> Self {
        Self { what: what.into(), forward: Way::default(), backward: Way::default() }
    }

    /// Of an op whose output lies where its input does.
    pub fn view(what: impl Into<String>) -> Self {
        let nothing = Way { numbers: Some(0), ..Way::default() };
        Self { forward: nothing, backward: nothing, ..Self::plain(what) }
    }

    /// Of a product of the first two inputs: the gradient of each that wants one is another product of as many multiplications.
    /// `rounded` says for the product and these two whether its factors are rounded to bf16.
    pub fn product(what: impl Into<String>, multiply_adds: usize, wants: &[bool], rounded: [bool; 3]) -> Self {
        let way = |does: bool, rounded: bool| match (does, multiply_adds as u64) {
            (false, _) => Way::default(),
            (true, multiply_adds) => {
                Way { multiply_adds, rounded: if rounded { multiply_adds } else { 0 }, numbers: None }
            }
        };
        let [left, right] = [0, 1].map(|i| way(wants[i], rounded[i + 1]));
        let backward = Way {
            multiply_adds: left.multiply_adds + right.multiply_adds,
            rounded: left.rounded + right.rounded,
            numbers: None,
        };
        Self { what: what.into(), forward: way(true, rounded[0]), backward }
    }
}

/// What it took to go one way through an op.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Seconds.
    pub seconds: f64,
    /// As [`Way`] has them.
    pub multiply_adds: u64,
    /// As [`Way`] has them.
    pub rounded: u64,
    /// Of each tensor that is read or written, once.
    pub bytes: u64,
}

/// An op of a training step; a step's list is [`crate::Tape::take_profile`].
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
        let cost = |Way { multiply_adds, rounded, numbers }: Way, seconds: f64, bytes: u64| {
            let bytes = numbers.map_or(bytes, |numbers| numbers * size_of::<T>() as u64);
            Cost { seconds, multiply_adds, rounded, bytes }
        };
        Self {
            what: format!("{} {:?}", work.what, output.shape()),
            forward: cost(work.forward, seconds, all + output.bytes()),
            backward: cost(work.backward, 0.0, read + written + outputs),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Conv2dOptions, OpProfile, Precision, Result, Tape, Tensor, Value};

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
        let profile = tape.take_profile();
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
        let seconds = |of: fn(&OpProfile) -> f64| profile.iter().map(of).sum::<f64>();
        assert!(seconds(|op| op.forward.seconds) > 0.0 && seconds(|op| op.backward.seconds) > 0.0);
        assert_eq!((profile[1].backward.seconds, profile[1].backward.bytes), (0.0, 0));
        assert!(tape.take_profile().is_empty());
        Ok(())
    }

    #[test]
    fn bf16_takes_half_the_bytes_and_counts_where_factors_are_rounded() -> Result<()> {
        let step = |precision, cin: usize| -> Result<Vec<OpProfile>> {
            let tape = Tape::<f32>::new().profiling();
            let x = tape.leaf("x", Tensor::ones(&[1, cin, 8, 8])?);
            let w = tape.leaf("w", Tensor::ones(&[32, cin, 1, 1])?);
            let y = x.conv2d_in(precision, &w, None, &Conv2dOptions::default())?.relu()?;
            tape.backward(&y.sum()?)?;
            Ok(tape.take_profile())
        };
        let [full, short] = [step(Precision::F32, 32)?, step(Precision::Bf16, 32)?];
        assert_eq!(short[1].forward.bytes, full[1].forward.bytes / 2);
        let rounded = |profile: &[OpProfile]| (profile[0].forward.rounded, profile[0].backward.rounded);
        assert_eq!((rounded(&full), rounded(&short)), ((0, 0), (64 * 32 * 32, 2 * 64 * 32 * 32)));
        // An odd number of channels is no pairs; that of outputs is.
        assert_eq!(rounded(&step(Precision::Bf16, 3)?), (0, 64 * 3 * 32));
        Ok(())
    }

    #[test]
    fn views_and_lookups_move_little() -> Result<()> {
        let tape = Tape::<f32>::new().profiling();
        let table = tape.leaf("table", Tensor::ones(&[1000, 4])?);
        let x = table.embedding(&[3, 5], &[2])?.reshape(&[8])?.narrow(0, 2, 4)?;
        tape.backward(&x.sum()?)?;
        let bytes: Vec<_> =
            tape.take_profile().iter().map(|op| (op.forward.bytes / 4, op.backward.bytes / 4)).collect();
        assert_eq!(bytes, [(16, 4008), (0, 0), (0, 12), (5, 5)]);
        Ok(())
    }

    #[test]
    fn tapes_tell_nothing_unless_asked() -> Result<()> {
        let tape = Tape::<f32>::new();
        let x = tape.leaf("x", Tensor::ones(&[2])?);
        tape.backward(&x.exp()?.sum()?)?;
        assert!(tape.take_profile().is_empty());
        Ok(())
    }
}
