//! Runs, timed.

use super::roofline::Layer;
use super::subject::{Input, Subject};
use crate::errors::{Failure, Result};
use crate::network::Network;
use crate::{interrupt, memory};
use std::hint::black_box;
use std::time::{Duration, Instant};
use ukulele_inference::{Plan, PlanOptions, Precision, StepProfile, TextPlan};
use ukulele_layers::{Cost, Module, OpProfile, Pass, Value};
use ukulele_training::{AdamW, Optimizer, Sgd};

/// How many runs there are.
pub(crate) struct Runs {
    /// If it is said.
    pub(crate) count: Option<usize>,
}

/// How long runs go on if nothing is said, and how many there are at least.
const TIME: Duration = Duration::from_secs(2);
const LEAST: usize = 3;
/// Too small to spoil numbers, whatever the weights.
const RATE: f64 = 1e-6;

/// What was found. Times are seconds.
pub(crate) struct Measured {
    /// Whole runs or steps.
    pub(crate) latencies: Vec<f64>,
    /// Of the process.
    pub(crate) memory: Memory,
    /// What takes the time, in the order of the run or step: medians of each.
    pub(crate) layers: Vec<Layer>,
    /// Layers by Winograd's algorithm and their errors, if that was asked.
    pub(crate) errors: Option<Vec<(String, f64)>>,
    /// What else there is.
    pub(crate) mode: Mode,
}

/// Bytes that were held, where somebody counts.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// At most, from the start.
    pub(crate) peak: Option<usize>,
    /// At most, during runs.
    pub(crate) running: Option<usize>,
}

/// What is measured.
pub(crate) enum Mode {
    /// Inference by a plan.
    Infer {
        /// Compiling the plan.
        compile: f64,
    },
    /// Training steps.
    Train {
        /// Medians of forward, backward and optimiser.
        parts: [f64; 3],
        /// Which optimiser it is.
        optimizer: &'static str,
        /// Of forward.
        multiply_adds: u64,
    },
}

impl Runs {
    /// Calls `work` once to warm up, then as often as it should, saying whether it counts.
    fn repeat(&self, mut work: impl FnMut(bool) -> Result<()>) -> Result<Memory> {
        let before = memory::peak();
        let begins_again = memory::forget_peak();
        work(false)?;
        let start = Instant::now();
        for done in 1.. {
            work(true)?;
            if interrupt::asked() {
                return Err(Failure::Interrupted("nothing is measured to its end".to_owned()));
            }
            if self.count.map_or(done >= LEAST && start.elapsed() >= TIME, |count| done >= count) {
                break;
            }
        }
        let after = memory::peak();
        Ok(Memory { peak: before.max(after), running: after.filter(|_| begins_again) })
    }
}

/// The number in the middle; the mean of two.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n => (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
    }
}

/// A compiled network.
enum Compiled {
    Images(Plan),
    Texts(Box<TextPlan>),
}

impl Compiled {
    fn new(net: &Network, input: &Input, options: PlanOptions) -> Result<Self> {
        Ok(match (net, input) {
            (Network::Text(net), Input::Texts(_)) => Self::Texts(Box::new(TextPlan::compile_with(net, options)?)),
            (Network::Image(net), Input::Images(images)) => {
                Self::Images(Plan::compile_with(|x, pass| Ok(net.forward(x, pass)?.logits), images, options)?)
            }
            (Network::Keras(net), Input::Images(images)) => {
                Self::Images(Plan::compile_with(|x, pass| net.forward(x, pass), images, options)?)
            }
            _ => return Err(unfit()),
        })
    }

    fn run(&self, input: &Input) -> Result<Value> {
        Ok(match (self, input) {
            (Self::Images(plan), Input::Images(images)) => plan.run(images)?.into(),
            (Self::Texts(plan), Input::Texts(tokens)) => plan.hidden(tokens)?,
            _ => return Err(unfit()),
        })
    }

    fn profile(&self, input: &Input) -> Result<Vec<StepProfile>> {
        Ok(match (self, input) {
            (Self::Images(plan), Input::Images(images)) => plan.profile(images)?,
            (Self::Texts(plan), Input::Texts(tokens)) => plan.profile(tokens)?,
            _ => return Err(unfit()),
        })
    }
}

fn unfit() -> Failure {
    Failure::run("bench: images for a network of texts, or texts for one of images")
}

/// How far the layers that a plan computes by Winograd's algorithm are from f64.
fn winograd_errors(net: &Network, input: &Input) -> Result<Vec<(String, f64)>> {
    Ok(match (net, input) {
        (Network::Image(net), Input::Images(images)) => {
            Plan::winograd_errors(|x, pass| Ok(net.forward(x, pass)?.logits), images)?
        }
        (Network::Keras(net), Input::Images(images)) => Plan::winograd_errors(|x, pass| net.forward(x, pass), images)?,
        _ => Vec::new(),
    })
}

/// Inference: whole runs and profiled ones take turns.
pub(crate) fn infer(
    Subject { net, input, .. }: Subject,
    options: PlanOptions,
    errors: bool,
    runs: &Runs,
) -> Result<Measured> {
    let errors = errors.then(|| winograd_errors(&net, &input)).transpose()?;
    // What that took must not count as the network's.
    memory::forget_peak();
    let start = Instant::now();
    let compiled = Compiled::new(&net, &input, options)?;
    drop(net);
    let compile = start.elapsed().as_secs_f64();
    let (mut latencies, mut steps, mut seconds) = (Vec::new(), Vec::new(), Vec::<Vec<f64>>::new());
    let memory = runs.repeat(|counts| {
        let start = Instant::now();
        black_box(compiled.run(&input)?);
        let latency = start.elapsed().as_secs_f64();
        steps = compiled.profile(&input)?;
        if counts {
            latencies.push(latency);
            seconds.resize_with(steps.len(), Vec::new);
            for (seconds, step) in seconds.iter_mut().zip(&steps) {
                seconds.push(step.seconds);
            }
        }
        Ok(())
    })?;
    let layers = steps.into_iter().zip(&seconds).map(|(step, seconds)| Layer::new(step, median(seconds))).collect();
    Ok(Measured { latencies, memory, layers, errors, mode: Mode::Infer { compile } })
}

/// Whole training steps; the tape notes what each op takes.
pub(crate) fn train(mut subject: Subject, precision: Precision, runs: &Runs) -> Result<Measured> {
    let texts = matches!(subject.net, Network::Text(_));
    // With the numbers that an update of one reads or writes: itself, its gradient and what the optimiser keeps.
    let (optimizer, moved, mut rule): (_, _, Box<dyn Optimizer>) = match texts {
        true => ("AdamW", 7, Box::new(AdamW::new(RATE))),
        false => ("SGD", 5, Box::new(Sgd::new(RATE).momentum(0.9))),
    };
    let (mut latencies, mut parts, mut seed) = (Vec::new(), [const { Vec::new() }; 3], 0);
    let (mut ops, mut seconds) = (Vec::new(), Vec::<[Vec<f64>; 2]>::new());
    let memory = runs.repeat(|counts| {
        seed += 1;
        let start = Instant::now();
        let mut pass = Pass::train(seed).with_precision(precision).with_profile();
        let loss = loss(&subject, &mut pass)?;
        let forward = start.elapsed().as_secs_f64();
        let gradients = pass.backward(&loss)?;
        let backward = start.elapsed().as_secs_f64();
        rule.step(&mut subject.net, gradients)?;
        drop(loss);
        let all = start.elapsed().as_secs_f64();
        ops = pass.take_profile();
        if counts {
            latencies.push(all);
            seconds.resize_with(ops.len(), Default::default);
            for ([forward, backward], op) in seconds.iter_mut().zip(&ops) {
                forward.push(op.forward.seconds);
                backward.push(op.backward.seconds);
            }
            for (part, seconds) in parts.iter_mut().zip([forward, backward - forward, all - backward]) {
                part.push(seconds);
            }
        }
        Ok(())
    })?;
    let parts = parts.map(|part| median(&part));
    let mut numbers = 0;
    subject.net.each("", &mut |_, param| numbers += if param.is_trainable() { param.value.numel() as u64 } else { 0 });
    let update = Cost { seconds: parts[2], bytes: 4 * moved * numbers, ..Cost::default() };
    let multiply_adds = ops.iter().map(|op| op.forward.multiply_adds).sum();
    let mut layers = both_ways(&ops, &seconds);
    layers.push(Layer::of(format!("{optimizer} [{numbers}]"), update));
    Ok(Measured { latencies, memory, layers, errors: None, mode: Mode::Train { parts, optimizer, multiply_adds } })
}

/// The ops forward, and then those that gradients reached backward, with medians of these times.
fn both_ways(ops: &[OpProfile], seconds: &[[Vec<f64>; 2]]) -> Vec<Layer> {
    let layer = |way: &str, op: &OpProfile, cost: Cost, seconds: &[f64]| {
        let precision = match cost.rounded {
            0 => "",
            all if all == cost.multiply_adds => " bf16",
            _ => " partly bf16",
        };
        Layer::of(format!("{way} {}{precision}", op.what), Cost { seconds: median(seconds), ..cost })
    };
    let forward = ops.iter().zip(seconds).map(|(op, [seconds, _])| layer("forward", op, op.forward, seconds));
    let back = ops.iter().zip(seconds).rev().filter(|(op, _)| op.backward != Cost::default());
    forward.chain(back.map(|(op, [_, seconds])| layer("backward", op, op.backward, seconds))).collect()
}

/// The loss for labels that take turns.
fn loss(subject: &Subject, pass: &mut Pass) -> Result<Value> {
    let labels = |classes: usize, count: usize| (0..count).map(|i| (i % classes) as i64).collect::<Vec<_>>();
    Ok(match (&subject.net, &subject.input) {
        (Network::Text(net), Input::Texts(tokens)) => {
            net.forward(tokens, pass)?.logits().cross_entropy(&labels(2, tokens.batch))?
        }
        (Network::Image(net), Input::Images(images)) => {
            net.forward(&images.clone().into(), pass)?.cross_entropy(&labels(net.classes(), images.shape()[0]))?
        }
        (Network::Keras(net), Input::Images(images)) => {
            let logits = net.forward(&images.clone().into(), pass)?;
            logits.cross_entropy(&labels(logits.shape()[1], images.shape()[0]))?
        }
        _ => return Err(unfit()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!([median(&[]), median(&[3.0]), median(&[3.0, 1.0]), median(&[9.0, 1.0, 2.0])], [0.0, 3.0, 2.0, 2.0]);
    }

    #[test]
    fn runs_are_counted() -> Result<()> {
        for count in [1, 4] {
            let mut called = Vec::new();
            Runs { count: Some(count) }.repeat(|counts| {
                called.push(counts);
                Ok(())
            })?;
            assert_eq!(called.len(), count + 1);
            assert_eq!(called.iter().filter(|counts| **counts).count(), count);
        }
        Ok(())
    }
}
