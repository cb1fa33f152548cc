//! The training loop.

use crate::optimizer::apply_statistics;
use crate::{Classifier, Error, FrozenTrunk, Labelled, Optimizer, Result, Schedule, clip_norm};
use std::fmt;
use ukulele_autograd::CrossEntropy;
use ukulele_kernels::random;
use ukulele_layers::{Gradients, Pass, Precision, Tensor, Value};

/// The batches of one epoch, made one after the other; their number is known.
pub type Batches<'a, B> = Box<dyn ExactSizeIterator<Item = Result<Labelled<B>>> + 'a>;

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct FitOptions {
    /// Times the examples are gone through.
    pub epochs: usize,
    /// The learning rate over time, as a factor on the optimiser's.
    pub schedule: Schedule,
    /// The largest norm of all gradients together. Without it, and with one batch a step, each parameter moves as soon as its
    /// gradient is known ([`Optimizer::backward_and_step`]), which takes less memory.
    pub clip: Option<f64>,
    /// Batches whose gradients make one step. The step is that of one large batch (but for batch norm, which sees the
    /// small ones).
    pub accumulate: usize,
    /// Class weights, label smoothing, the label to ignore.
    pub loss: CrossEntropy,
    /// Of the dropout.
    pub seed: u64,
    /// Ends the training after this many epochs without a better validation.
    pub patience: Option<usize>,
    /// Whether most outputs are computed again in backward instead of being kept ([`Pass::with_gradient_checkpointing`]): the
    /// same bits, less memory, at most another forward pass more.
    pub gradient_checkpointing: bool,
    /// What convolutions and linear layers round their factors to while the model learns, and how what lies between them is kept
    /// ([`Pass::with_precision`]): the weights that the optimiser moves, its state and validation stay f32. What is
    /// frozen and runs in each step is of this precision, too; [`crate::Features`] and [`crate::BoundaryValues`] are f32.
    pub precision: Precision,
}

impl Default for FitOptions {
    /// Three epochs, warm-up and linear decline, gradients clipped to norm 1.
    fn default() -> Self {
        Self {
            epochs: 3,
            schedule: Schedule::default(),
            clip: Some(1.0),
            accumulate: 1,
            loss: CrossEntropy::default(),
            seed: 0,
            patience: None,
            precision: Precision::F32,
            gradient_checkpointing: false,
        }
    }
}

/// The result of a validation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The share predicted right.
    pub accuracy: f64,
    /// Mean cross entropy.
    pub loss: f64,
}

impl Score {
    /// More right, or as many with a smaller loss.
    pub fn beats(&self, other: &Self) -> bool {
        self.accuracy > other.accuracy || (self.accuracy == other.accuracy && self.loss < other.loss)
    }
}

/// One step, as the history has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Epoch, counted from 1.
    pub epoch: usize,
    /// Step, counted from 1 over all epochs.
    pub step: usize,
    /// The number of steps of the whole training, if no later epoch has other batches.
    pub total: usize,
    /// The mean loss of the step's examples.
    pub loss: f64,
    /// The learning rate.
    pub rate: f64,
    /// The norm of all gradients before clipping; `None` without clipping.
    pub norm: Option<f64>,
}

/// One epoch, as the history has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// The mean loss of its steps.
    pub loss: f64,
    /// What the validation said.
    pub validation: Option<Score>,
    /// Whether this is the best validation so far.
    pub best: bool,
}

/// What [`fit`] tells while it runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// A step was taken.
    Step(Step),
    /// An epoch is over and validated.
    Epoch(Epoch),
}

/// What the observer wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Leave now, with the best state.
    Stop,
}

/// Why a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// All epochs are done.
    #[default]
    Complete,
    /// No better validation for `patience` epochs.
    Early,
    /// The observer said [`Control::Stop`].
    Stopped,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Complete => "complete",
            Self::Early => "stopped early",
            Self::Stopped => "stopped",
        })
    }
}

/// What happened, for curves and reports.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// Every step.
    pub steps: Vec<Step>,
    /// Every epoch that was finished.
    pub epochs: Vec<Epoch>,
    /// The epoch whose state the model has now; `None` if nothing was validated: it has the last.
    pub best: Option<Epoch>,
    /// Why it ended.
    pub ending: Ending,
}

/// Trains `net`.
///
/// `batches` makes the batches of an epoch (counted from 1), `validate` judges the model after each (`Ok(None)` for no
/// validation), `observer` sees every step and epoch and may stop. The first step is audited: every trainable
/// parameter must have a way to the loss. What is frozen of the trunk, up to the first group of layers that learns, runs as
/// a plan ([`FrozenTrunk`]). The state with the best validation is put back at the end, also when the training is stopped or fails. The same arguments give the same bits.
///
/// ```
/// use ukulele_layers::{Init, Tensor};
/// use ukulele_models::{ResNet, ResNetConfig};
/// use ukulele_training::{AdamW, Batches, Control, FitOptions, Labelled, evaluate, fit};
/// let config = ResNetConfig { width: 4, layers: [1, 1, 1, 1], ..ResNetConfig::depth(18, 2).unwrap() };
/// let mut net = ResNet::new(&config, &mut Init::new(0));
/// let batch = |sign: f32| Labelled { inputs: Tensor::full(&[4, 3, 32, 32], sign).unwrap(), labels: vec![i64::from(sign > 0.0); 4] };
/// let batches = || -> Batches<Tensor> { Box::new([-1.0, 1.0].map(|sign| Ok(batch(sign))).into_iter()) };
/// let history = fit(
///     &mut net,
///     &mut AdamW::new(1e-3),
///     &FitOptions { epochs: 2, ..Default::default() },
///     &mut |_epoch| Ok(batches()),
///     &mut |net| Ok(Some(evaluate(net, batches())?.score())),
///     &mut |_event| Control::Continue,
/// )?;
/// assert_eq!((history.steps.len(), history.epochs.len()), (4, 2));
/// # Ok::<(), ukulele_training::Error>(())
/// ```
///
/// # Errors
/// Options out of range, a batch that cannot be made or run, a trainable parameter without a way to the loss, a loss or
/// gradient that is no number.
pub fn fit<'a, N: Classifier>(
    net: &mut N,
    optimizer: &mut dyn Optimizer,
    options: &FitOptions,
    batches: &mut dyn FnMut(usize) -> Result<Batches<'a, N::Batch>>,
    validate: &mut dyn FnMut(&N) -> Result<Option<Score>>,
    observer: &mut dyn FnMut(&Event) -> Control,
) -> Result<History>
where
    N::Batch: 'a,
{
    options.check()?;
    let mut best = Best::default();
    let mut history = History::default();
    let result = run(net, optimizer, options, batches, validate, observer, &mut best, &mut history);
    if let Some(state) = best.state {
        net.set_state(&state)?;
    }
    history.ending = result?;
    history.best = best.epoch;
    Ok(history)
}

impl FitOptions {
    fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::Argument(what.to_owned()));
        match self {
            Self { epochs: 0, .. } => wrong("0 epochs; at least one is wanted"),
            Self { accumulate: 0, .. } => wrong("0 batches per step; at least one is wanted"),
            Self { clip: Some(max), .. } if max.is_nan() || *max <= 0.0 => {
                wrong("gradients clipped to a norm that is not above 0")
            }
            Self { precision: Precision::Int8, .. } => wrong("nothing learns in int8; f32 or bf16 is wanted"),
            Self { schedule, .. } if !(0.0..=1.0).contains(&schedule.warmup) => {
                wrong("a share of warm-up outside 0 to 1")
            }
            _ => Ok(()),
        }
    }
}

/// The best validation so far, and the model's state then. Tensors are shared with the model until it moves on.
#[derive(Default)]
struct Best {
    epoch: Option<Epoch>,
    state: Option<Vec<(String, Tensor)>>,
}

fn run<'a, N: Classifier>(
    net: &mut N,
    optimizer: &mut dyn Optimizer,
    options: &FitOptions,
    batches: &mut dyn FnMut(usize) -> Result<Batches<'a, N::Batch>>,
    validate: &mut dyn FnMut(&N) -> Result<Option<Score>>,
    observer: &mut dyn FnMut(&Event) -> Control,
    best: &mut Best,
    history: &mut History,
) -> Result<Ending> {
    let mut worse = 0;
    let mut trunk = FrozenTrunk::default();
    for epoch in 1..=options.epochs {
        let mut examples = batches(epoch)?;
        let steps = examples.len().div_ceil(options.accumulate);
        if steps == 0 {
            return Err(Error::Argument(format!("epoch {epoch} has no batches to train on")));
        }
        let total = history.steps.len() + steps * (options.epochs + 1 - epoch);
        let mut sum = 0.0;
        for _ in 0..steps {
            let group = examples.by_ref().take(options.accumulate).collect::<Result<Vec<_>>>()?;
            let step = history.steps.len();
            optimizer.set_factor(options.schedule.factor(step, total));
            let rate = optimizer.rate();
            let seed = random::key(&[options.seed, step as u64]);
            let (loss, norm) = take_step(&mut trunk, net, optimizer, &group, options, seed, step == 0).map_err(
                |error| match error {
                    Error::Gradient { name, message } if name.is_empty() => {
                        Error::Diverged { epoch, step: step + 1, rate, message }
                    }
                    Error::Gradient { name, message } => {
                        Error::Diverged { epoch, step: step + 1, rate, message: format!("{name}: {message}") }
                    }
                    other => other,
                },
            )?;
            sum += loss;
            let step = Step { epoch, step: step + 1, total, loss, rate, norm };
            history.steps.push(step);
            if observer(&Event::Step(step)) == Control::Stop {
                return Ok(Ending::Stopped);
            }
        }
        let validation = validate(net)?;
        let better = validation.is_some_and(|score| {
            !score.loss.is_nan() && best.epoch.and_then(|b| b.validation).is_none_or(|old| score.beats(&old))
        });
        let done = Epoch { epoch, loss: sum / steps as f64, validation, best: better };
        if better {
            *best = Best { epoch: Some(done), state: Some(net.state()) };
        }
        worse = if better || validation.is_none() { 0 } else { worse + 1 };
        history.epochs.push(done);
        if observer(&Event::Epoch(done)) == Control::Stop {
            return Ok(if epoch == options.epochs { Ending::Complete } else { Ending::Stopped });
        }
        if options.patience.is_some_and(|patience| worse > 0 && worse >= patience) && epoch < options.epochs {
            return Ok(Ending::Early);
        }
    }
    Ok(Ending::Complete)
}

/// One step: the loss, and the norm of all gradients if they are clipped. What diverges is an [`Error::Gradient`], without a name
/// if it is the loss.
fn take_step<N: Classifier>(
    trunk: &mut FrozenTrunk<N>,
    net: &mut N,
    optimizer: &mut dyn Optimizer,
    batches: &[Labelled<N::Batch>],
    options: &FitOptions,
    seed: u64,
    audit: bool,
) -> Result<(f64, Option<f64>)> {
    let diverged = |loss: f64| Error::gradient("", format!("the loss is {loss}"));
    if let ([batch], None) = (batches, options.clip) {
        // Nothing needs all gradients together.
        if weight(&batch.labels, &options.loss) == 0.0 {
            return Err(weightless());
        }
        let mut pass = training_pass(options, seed, 0);
        let logits = logits(Some(trunk), net, &batch.inputs, &mut pass)?;
        let mean = logits.cross_entropy_with(&batch.labels, &options.loss)?;
        drop(logits);
        if audit {
            net.audit(&pass, &mean)?;
        }
        let loss = f64::from(mean.tensor().item()?);
        if !loss.is_finite() {
            return Err(diverged(loss));
        }
        optimizer.backward_and_step(net, &mut pass, &mean)?;
        return Ok((loss, None));
    }
    let (loss, mut gradients) = step_gradients(Some(trunk), net, batches, options, seed, audit)?;
    if !loss.is_finite() {
        return Err(diverged(loss));
    }
    let norm = options.clip.map(|max| clip_norm(&mut gradients, max));
    optimizer.step(net, gradients)?;
    Ok((loss, norm))
}

/// Logits, what is frozen of the trunk being run by its plan if there is one to keep it.
fn logits<N: Classifier>(
    trunk: Option<&mut FrozenTrunk<N>>,
    net: &mut N,
    inputs: &N::Batch,
    pass: &mut Pass,
) -> Result<Value> {
    match trunk {
        Some(trunk) => trunk.logits(net, inputs, pass),
        None => Ok(net.logits(inputs, pass)?),
    }
}

/// The pass of batch `i` of a step.
fn training_pass(options: &FitOptions, seed: u64, i: usize) -> Pass {
    let pass = Pass::train(random::key(&[seed, i as u64])).with_precision(options.precision);
    if options.gradient_checkpointing { pass.with_gradient_checkpointing() } else { pass }
}

fn weightless() -> Error {
    Error::Argument("a step whose labels all weigh nothing in the loss".into())
}

/// The mean loss over several batches taken together, and its gradients: what one step needs. The small batches share
/// the memory of one; running statistics move with each, so `net` is changed by all but the last. With `audit`, checks
/// that every trainable parameter has a way to the loss.
///
/// # Errors
/// No batches, or one that the model cannot run; what the audit finds.
pub fn loss_and_gradients<N: Classifier>(
    net: &mut N,
    batches: &[Labelled<N::Batch>],
    loss: &CrossEntropy,
    seed: u64,
    audit: bool,
) -> Result<(f64, Gradients)> {
    let options = FitOptions { loss: loss.clone(), ..FitOptions::default() };
    step_gradients(None, net, batches, &options, seed, audit)
}

/// [`loss_and_gradients`], what is frozen of the trunk being run by its plan if there is one to keep it.
fn step_gradients<N: Classifier>(
    mut trunk: Option<&mut FrozenTrunk<N>>,
    net: &mut N,
    batches: &[Labelled<N::Batch>],
    options: &FitOptions,
    seed: u64,
    audit: bool,
) -> Result<(f64, Gradients)> {
    let loss = &options.loss;
    let weights: Vec<f64> = batches.iter().map(|batch| weight(&batch.labels, loss)).collect();
    let total: f64 = weights.iter().sum();
    if total == 0.0 && !batches.is_empty() {
        return Err(weightless());
    }
    let mut sum: Option<(f64, Gradients)> = None;
    for (i, (batch, weight)) in batches.iter().zip(&weights).enumerate() {
        let mut pass = training_pass(options, seed, i);
        let logits = logits(trunk.as_deref_mut(), net, &batch.inputs, &mut pass)?;
        let mean = logits.cross_entropy_with(&batch.labels, loss)?;
        let share = weight / total;
        let part = if share == 1.0 { mean } else { mean.scale(share)? };
        if audit && i == 0 {
            net.audit(&pass, &part)?;
        }
        let value = f64::from(part.tensor().item()?);
        let gradients = pass.backward(&part)?;
        if i + 1 < batches.len() {
            apply_statistics(net, &gradients);
        }
        sum = Some(match sum {
            None => (value, gradients),
            Some((so_far, mut all)) => {
                all.accumulate(gradients)?;
                (so_far + value, all)
            }
        });
    }
    sum.ok_or_else(|| Error::Argument("a step of no batches".into()))
}

/// What the mean of a batch is divided by: the sum of the weights of its labels.
fn weight(labels: &[i64], loss: &CrossEntropy) -> f64 {
    let class = |label: i64| usize::try_from(label).ok();
    let one = |label: i64| match &loss.class_weights {
        Some(weights) => class(label).and_then(|c| weights.get(c)).copied().unwrap_or(0.0),
        None => 1.0,
    };
    labels.iter().filter(|&&label| label != loss.ignore_index).map(|&label| one(label)).sum()
}
