//! The plan: compiled once, run many times.

use crate::forms::bf16_values;
use crate::lower::{EXAMPLES, Program, Value as Shape, lower};
use crate::memory::{Group, Memory, Place, groups};
use crate::step::{Id, Kernel, Source, Step};
use crate::weight::Rows;
use rayon::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ukulele_kernels::conv::{Algorithm, Conv2d, PackedConv, conv2d_packed_mixed};
use ukulele_kernels::gemm::{Mat, MixedEpilogue, Packed, Precision, gemm_packed_mixed};
use ukulele_kernels::numbers::{Numbers, NumbersMut, convert};
use ukulele_kernels::{attention, elementwise, in_pool, norm, pool};
use ukulele_layers::{Error, Pass, Result, Tensor, Value};

/// How far a plan's numbers may be from the pass's, relative in norm.
const TOLERANCE: f64 = 1e-4;
/// The same in bf16 and int8, where the networks of the tests are within 0.03: what is further off than this is more than rounding.
const ROUNDED_TOLERANCE: f64 = 0.1;
/// Numbers of a run's memory up to which it is kept for the next one.
const KEEP: usize = 1 << 28;
/// Numbers of a product's weight that a run packs at a time.
const PIECE: usize = 1 << 20;
/// Channels from which on Winograd's transforms are little beside the products.
const WINOGRAD_CHANNELS: usize = 16;
/// Products in the time in which a number of a weight comes from memory, in direct and in Winograd's convolutions: about
/// 100 of 200 GFLOP/s with their transforms, 6 billion numbers a second.
const PRODUCTS_PER_WEIGHT: [usize; 2] = [16, 12];

/// What a plan may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanOptions {
    /// Whether convolutions may be computed by Winograd's algorithm, whose rounding is a few times larger.
    pub winograd: bool,
    /// What the factors of matrix products and convolutions are rounded to. Sums and norms are f32, as is what
    /// Winograd's algorithm computes. In bf16 the weights of other steps take half the memory, as does what lies between steps that
    /// can read and write it (of even channels), attention multiplies rounded factors as well, and results differ by half a
    /// hundredth to a hundredth. In int8 weights take a quarter, attention and what lies between the steps is f32, and results
    /// differ by about a hundredth ([`Plan::error`] says by how much on the example). int8 is dynamic: weights have a scale for each output, what
    /// they meet one for each token, pixel or image, found as it comes; nothing is calibrated.
    pub precision: Precision,
    /// Whether weights are packed when the plan is made, which takes their memory once more. If not, each run packs those of the
    /// model, layer by layer, and Winograd's algorithm, whose weights take longer, is not used.
    pub prepacked: bool,
}

impl Default for PlanOptions {
    /// All that the tolerance allows.
    fn default() -> Self {
        Self { winograd: true, precision: Precision::F32, prepacked: true }
    }
}

/// A forward pass, compiled. Running it takes `&self`; several threads may.
#[derive(Debug)]
pub struct Plan {
    steps: Vec<Ready>,
    values: Vec<Shape>,
    memory: Memory,
    output: Id,
    error: f64,
    /// Memory of earlier runs.
    idle: Mutex<Vec<Room>>,
}

/// What a step of a run did, and how long it took.
#[derive(Debug, Clone, PartialEq)]
pub struct StepProfile {
    /// The step, with the dimensions of its result.
    pub what: String,
    /// Seconds.
    pub seconds: f64,
    /// Multiplications of the definition, padding included; Winograd's algorithm has fewer.
    pub multiply_adds: u64,
    /// Numbers read and written, without weights; two of bf16 count as one.
    pub numbers: u64,
    /// Numbers of the prepared weight.
    pub weights: u64,
}

/// A step with its weights packed.
#[derive(Debug)]
struct Ready {
    step: Step,
    weight: Weight,
}

#[derive(Debug)]
enum Weight {
    None,
    Conv(PackedConv),
    /// Shared by the steps that have the very same, as ALBERT's layers do.
    Linear(Arc<Packed<f32>>),
    /// Packed by each run.
    Shared(Precision),
    /// Zeros and ones: the statistics of a norm that only scales.
    Scale(Vec<f32>, Vec<f32>),
}

/// The memory of a run.
#[derive(Debug, Default)]
struct Room {
    slots: Vec<Vec<f32>>,
    scratch: Vec<f32>,
    /// A weight with what is folded into it, and packed.
    folded: Vec<f32>,
    packed: Vec<f32>,
}

impl Plan {
    /// Compiles `forward`, run once on the images of `example` (N, ..), for any number of images of its size. The weights are
    /// those of now: a plan does not follow a model that learns.
    ///
    /// If the plan's numbers are further than 1e-4 from the pass's, relative in norm, it is compiled without Winograd's
    /// algorithm (not in bf16 and int8, where the tolerance is 0.1).
    ///
    /// ```
    /// use ukulele_inference::Plan;
    /// use ukulele_layers::{Conv2d, Conv2dOptions, Init, Pass, Tensor};
    /// let conv = Conv2d::new(3, 8, 3, Conv2dOptions { padding: [1; 4], ..Default::default() }, &mut Init::new(0));
    /// let plan = Plan::compile(|x, pass| conv.forward(x, pass)?.relu(), &Tensor::ones(&[1, 3, 32, 32])?)?;
    /// assert_eq!(plan.run(&Tensor::ones(&[5, 3, 32, 32])?)?.shape(), [5, 8, 32, 32]);
    /// # Ok::<(), ukulele_layers::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the pass; an op that plans do not know, or one that mixes images.
    pub fn compile(forward: impl FnOnce(&Value, &mut Pass) -> Result<Value>, example: &Tensor) -> Result<Self> {
        Self::compile_with(forward, example, PlanOptions::default())
    }

    /// As [`Plan::compile`], with options.
    ///
    /// # Errors
    /// As there.
    pub fn compile_with(
        forward: impl FnOnce(&Value, &mut Pass) -> Result<Value>,
        example: &Tensor,
        options: PlanOptions,
    ) -> Result<Self> {
        let expected = example.shape().first().copied().unwrap_or(0);
        let images = match example.shape().first() {
            None | Some(0) => return Err(Error::shape("plan", example.shape(), "an example of at least one image")),
            // Another image beside it, or what depends on the images could not be told from what does not.
            Some(1) => Tensor::concat(&[example, Value::from(example.clone()).scale(0.5)?.tensor()], 0)?,
            Some(_) => example.narrow(0, 0, EXAMPLES)?,
        };
        let mut pass = Pass::record();
        let y = forward(&pass.input(images.clone()), &mut pass)?;
        let program = lower(pass.graph(&y)?, &[EXAMPLES])?;
        let mut plan = Self::new(program, options, expected);
        plan.error = relative(&plan.run(&images)?, y.tensor());
        if plan.error > TOLERANCE && options.winograd && options.prepacked && options.precision == Precision::F32 {
            plan.pack(PlanOptions { winograd: false, ..options }, expected);
            plan.error = relative(&plan.run(&images)?, y.tensor());
        }
        plan.checked(options)
    }

    /// The plan without what only packing needs, if it gives the pass's numbers.
    fn checked(mut self, options: PlanOptions) -> Result<Self> {
        let tolerance = match options.precision {
            Precision::F32 => TOLERANCE,
            Precision::Bf16 | Precision::Int8 => ROUNDED_TOLERANCE,
        };
        if self.error > tolerance {
            let message = format!("the plan is {:.1e} away from the pass; run the model itself", self.error);
            return Err(Error::argument("plan", message));
        }
        for ready in &mut self.steps {
            if let (Kernel::Conv { weight, .. } | Kernel::Linear { weight, .. }, Weight::Conv(_) | Weight::Linear(_)) =
                (&mut ready.step.kernel, &ready.weight)
            {
                *weight = Rows::default();
            }
        }
        Ok(self)
    }

    /// The plan of a pass recorded over [`EXAMPLES`] texts of equal length, whose "images" are tokens.
    pub(crate) fn of_tokens(pass: &Pass, x: &Tensor, y: &Value, options: PlanOptions) -> Result<Self> {
        let lead = y.shape().get(..2).ok_or_else(|| Error::shape("plan", y.shape(), "(texts, tokens, ..)"))?;
        let program = lower(pass.graph(y)?, lead)?;
        let mut plan = Self::new(program, options, 1);
        let (texts, length) = (lead[0], lead[1]);
        let x = x.reshape(&[texts * length, x.numel() / (texts * length).max(1)])?;
        let got = plan.run_tokens(&x, &vec![length; texts])?;
        plan.error = relative(&got.reshape(y.shape())?, y.tensor());
        plan.checked(options)
    }

    fn new(program: Program, options: PlanOptions, images: usize) -> Self {
        let bf16 = match options.precision {
            Precision::Bf16 => bf16_values(&program),
            Precision::F32 | Precision::Int8 => vec![false; program.values.len()],
        };
        let memory = Memory::plan(&program, groups(&program, &bf16), &bf16);
        let steps = program.steps.into_iter().map(|step| Ready { step, weight: Weight::None }).collect();
        let (values, output) = (program.values, program.output);
        let mut plan = Self { steps, values, memory, output, error: 0.0, idle: Mutex::default() };
        plan.pack(options, images);
        plan
    }

    /// Packs the weights, for so many images a run.
    fn pack(&mut self, options: PlanOptions, images: usize) {
        let together = self.memory.groups.iter().flat_map(|group| {
            let images = group.images.map_or(images, |most| most.min(images));
            group.steps.clone().map(move |_| images)
        });
        let together: Vec<usize> = together.collect();
        let first: Vec<usize> = (0..self.steps.len()).map(|at| self.first_alike(at)).collect();
        self.steps.par_iter_mut().zip(together).enumerate().for_each(|(at, (Ready { step, weight: packed }, n))| {
            if first[at] != at && options.prepacked {
                return;
            }
            *packed = match &step.kernel {
                Kernel::Conv { .. } | Kernel::Linear { .. } if !options.prepacked => Weight::Shared(options.precision),
                Kernel::Conv { g, weight, .. } => {
                    let winograd = options.winograd && pays(&Conv2d { n, ..*g }, options.precision);
                    let algorithm = if winograd { Algorithm::Winograd } else { Algorithm::Direct };
                    Weight::Conv(packed_conv(&mut Vec::new(), Vec::new(), g, weight, algorithm, options.precision))
                }
                Kernel::Linear { weight, bias, .. } => {
                    let pack = |weight: &[f32]| packed_linear(Vec::new(), weight, bias.len(), options.precision);
                    Weight::Linear(Arc::new(weight.with(&mut Vec::new(), pack)))
                }
                Kernel::Scale { scale, .. } => Weight::Scale(vec![0.0; scale.len()], vec![1.0; scale.len()]),
                _ => Weight::None,
            };
        });
        for (at, first) in first.into_iter().enumerate() {
            if let (true, Weight::Linear(packed)) = (first != at, &self.steps[first].weight) {
                self.steps[at].weight = Weight::Linear(Arc::clone(packed));
            }
        }
    }

    /// The first linear step that has the very weight of this one; else this one.
    fn first_alike(&self, at: usize) -> usize {
        let Kernel::Linear { weight: own, .. } = &self.steps[at].step.kernel else { return at };
        let alike = |step: &Ready| matches!(&step.step.kernel, Kernel::Linear { weight, .. } if weight.is(own));
        self.steps[..at].iter().position(alike).unwrap_or(at)
    }

    /// How long each step took in a run on these images, and what it had to do: for the table of a benchmark.
    ///
    /// # Errors
    /// As [`Plan::run`].
    pub fn profile(&self, images: &Tensor) -> Result<Vec<StepProfile>> {
        self.profile_with(images, &[])
    }

    /// As [`Plan::profile`], on tokens of texts of these lengths.
    pub(crate) fn profile_with(&self, images: &Tensor, lengths: &[usize]) -> Result<Vec<StepProfile>> {
        let mut steps: Vec<_> = self.steps.iter().map(|ready| self.describe(ready)).collect();
        let count = images.shape().first().copied().unwrap_or(0) as u64;
        let pairs = lengths.iter().map(|&length| (length * length) as u64).sum::<u64>();
        for (step, Ready { step: Step { kernel, output, .. }, .. }) in steps.iter_mut().zip(&self.steps) {
            step.numbers *= count;
            step.multiply_adds *= count;
            if matches!(kernel, Kernel::Attention { .. }) {
                // Scores of each pair of tokens, and the sum of values that they weigh.
                step.multiply_adds = 2 * pairs * self.values[*output].numel() as u64;
            }
        }
        self.run_with(images, lengths, &mut |at, time| steps[at].seconds += time.as_secs_f64())?;
        Ok(steps)
    }

    /// What a step does for one image.
    fn describe(&self, ready: &Ready) -> StepProfile {
        let Ready { step, weight } = ready;
        let value = &self.values[step.output];
        let places = |id: Id| {
            let numel = self.values[id].numel();
            if self.memory.places[id].is_some_and(|place| place.bf16) { numel / 2 } else { numel }
        };
        let numbers: usize = step.reads().chain([step.output]).map(places).sum();
        let (what, multiply_adds, weights) = match (&step.kernel, weight) {
            (Kernel::Conv { g, .. }, Weight::Conv(packed)) => {
                let way = match packed.algorithm() {
                    Algorithm::Winograd => " winograd",
                    Algorithm::Direct => suffix(packed.precision()),
                };
                let what = format!("conv {}x{}/{} {} -> {}{way}", g.kh, g.kw, g.stride.0, g.cin, g.cout);
                (what, g.mults(), packed.len())
            }
            (Kernel::Linear { .. }, Weight::Linear(packed)) => {
                let (width, out) = (packed.rows(), packed.cols());
                (format!("linear {width} -> {out}{}", suffix(packed.precision())), width * out, packed.len())
            }
            (Kernel::Conv { g, weight, .. }, Weight::Shared(precision)) => {
                let way = suffix(*precision);
                let what = format!("conv {}x{}/{} {} -> {}{way}", g.kh, g.kw, g.stride.0, g.cin, g.cout);
                (what, g.mults(), weight.len())
            }
            (Kernel::Linear { weight, bias, .. }, Weight::Shared(precision)) => {
                let (out, way) = (bias.len(), suffix(*precision));
                (format!("linear {} -> {out}{way}", weight.len() / out.max(1)), weight.len(), weight.len())
            }
            (Kernel::Attention { .. }, _) => {
                let short = self.memory.places[step.output].is_some_and(|place| place.bf16);
                (format!("attention{}", if short { suffix(Precision::Bf16) } else { "" }), 0, 0)
            }
            (kernel, _) => (kernel.name().to_owned(), 0, 0),
        };
        StepProfile {
            what: format!("{what} {:?}", value.dims),
            seconds: 0.0,
            multiply_adds: multiply_adds as u64,
            numbers: numbers as u64,
            weights: weights as u64,
        }
    }

    /// See [`crate::TextPlan::packed_len`].
    pub(crate) fn packed_len(&self) -> usize {
        let own = |(at, ready): (usize, &Ready)| match &ready.weight {
            Weight::Linear(packed) => {
                let before = |other: &Ready| matches!(&other.weight, Weight::Linear(p) if Arc::ptr_eq(p, packed));
                if self.steps[..at].iter().any(before) { 0 } else { packed.len() }
            }
            _ => 0,
        };
        self.steps.iter().enumerate().map(own).sum()
    }

    /// How far the plan's numbers were from the pass's on the example, relative in norm.
    pub fn error(&self) -> f64 {
        self.error
    }

    /// The result for images of the size that the plan was compiled for: (N, ..).
    ///
    /// # Errors
    /// Images of another size.
    pub fn run(&self, images: &Tensor) -> Result<Tensor> {
        self.run_with(images, &[], &mut |_, _| ())
    }

    /// The result for tokens (N, ..), texts of these lengths one after the other.
    pub(crate) fn run_tokens(&self, tokens: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        self.run_with(tokens, lengths, &mut |_, _| ())
    }

    /// The run on the pool's own threads: a step that cuts its work into tasks then need not wake any of them first.
    fn run_with(
        &self,
        images: &Tensor,
        lengths: &[usize],
        observer: &mut (dyn FnMut(usize, Duration) + Send),
    ) -> Result<Tensor> {
        in_pool(|| self.run_here(images, lengths, observer))
    }

    fn run_here(
        &self,
        images: &Tensor,
        lengths: &[usize],
        observer: &mut dyn FnMut(usize, Duration),
    ) -> Result<Tensor> {
        let dims = &self.values[0].dims;
        let (Some(&count), true) = (images.shape().first(), images.shape().get(1..) == Some(&dims[..])) else {
            let expected = format!("images of {dims:?}, for which the plan was compiled");
            return Err(Error::shape("plan", images.shape(), expected));
        };
        let images = if dims.len() == 3 { images.channels_last() } else { images.contiguous() };
        let x = images.dense_memory();
        let mut room = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        room.slots.resize_with(self.memory.slots.len(), Vec::new);
        for (slot, &(size, images)) in room.slots.iter_mut().zip(&self.memory.slots) {
            let size = size * images.map_or(count, |most| most.min(count));
            if slot.len() < size {
                slot.resize(size, 0.0);
            }
        }
        for Group { steps, images } in &self.memory.groups {
            let chunk = images.unwrap_or(count).max(1);
            for first in (0..count).step_by(chunk) {
                for at in steps.clone() {
                    let start = Instant::now();
                    self.step(&self.steps[at], x, lengths, &mut room, first, chunk.min(count - first));
                    observer(at, start.elapsed());
                }
            }
        }
        let value = &self.values[self.output];
        let shape = [&[count], &value.dims[..]].concat();
        let numbers = match self.memory.places[self.output] {
            Some(place) => &room.slots[place.slot][..count * value.numel()],
            None => x,
        };
        let result = match shape[..] {
            [n, c, h, w] => Tensor::build_channels_last([n, c, h, w], |y| y.copy_from_slice(numbers)),
            _ => Tensor::build(&shape, |y| y.copy_from_slice(numbers)),
        };
        if room.slots.iter().map(Vec::len).sum::<usize>() <= KEEP {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(room);
        }
        result
    }

    /// Computes a step for `count` images from `first` on.
    fn step(&self, ready: &Ready, x: &[f32], lengths: &[usize], room: &mut Room, first: usize, count: usize) {
        let Ready { step, weight } = ready;
        let Some(place) = self.memory.places[step.output] else { return };
        let (value, stride) = (&self.values[step.output], place.stride);
        let mut slot = std::mem::take(&mut room.slots[place.slot]);
        let begin = |place: Place, value: &Shape| {
            place.offset + if place.whole { first * value.pixels() * place.stride } else { 0 }
        };
        let first_number = begin(place, value);
        let end = if place.bf16 { 2 * slot.len() } else { slot.len() };
        let mut y = NumbersMut::within(&mut slot, place.bf16, first_number..end);
        // Whatever is read lies dense: only what a concatenation reads may not.
        let read = |id: Id| {
            let (value, len) = (&self.values[id], count * self.values[id].numel());
            match self.memory.places[id] {
                None => Numbers::F32(&x[first * value.numel()..][..len]),
                Some(place) => {
                    let from = begin(place, value);
                    Numbers::within(&room.slots[place.slot], place.bf16, from..from + len)
                }
            }
        };
        // A concatenation reads for itself: its parts may lie in its own slot.
        let input = |i: usize| match (&step.kernel, step.inputs.get(i)) {
            (Kernel::Concat { .. }, _) => None,
            (_, Some(Source::Value(id))) => Some(read(*id)),
            _ => None,
        };
        let (source, residual, numel) = (input(0).unwrap_or(Numbers::F32(&[])), input(1), count * value.numel());
        let dense = 0..numel;
        match (&step.kernel, weight) {
            (Kernel::Conv { g, bias, activation, .. }, Weight::Conv(weight)) => {
                let epilogue = MixedEpilogue { bias: Some(bias), residual, activation: *activation };
                let g = Conv2d { n: count, ..*g };
                conv2d_packed_mixed(&g, source, weight, y, stride, &epilogue);
            }
            (Kernel::Linear { bias, activation, .. }, Weight::Linear(weight)) => {
                let epilogue = MixedEpilogue { bias: Some(bias), residual, activation: *activation };
                gemm_packed_mixed(source, count, weight, y, stride, &epilogue);
            }
            (Kernel::Conv { g, weight, bias, activation }, Weight::Shared(precision)) => {
                let epilogue = MixedEpilogue { bias: Some(bias), residual, activation: *activation };
                let (memory, g) = (std::mem::take(&mut room.packed), Conv2d { n: count, ..*g });
                let weight = packed_conv(&mut room.folded, memory, &g, weight, Algorithm::Direct, *precision);
                conv2d_packed_mixed(&g, source, &weight, y, stride, &epilogue);
                room.packed = weight.into_memory();
            }
            (Kernel::Linear { weight, bias, activation }, Weight::Shared(precision)) => {
                for outputs in weight.pieces(PIECE) {
                    let memory = std::mem::take(&mut room.packed);
                    let rows = weight.with_rows(outputs.clone(), &mut room.folded, |rows| {
                        packed_linear(memory, rows, outputs.len(), *precision)
                    });
                    let residual = residual.map(|residual| residual.part(outputs.start..residual.len()));
                    let bias = Some(&bias[outputs.clone()]);
                    let epilogue = MixedEpilogue { bias, residual, activation: *activation };
                    let all = y.len();
                    gemm_packed_mixed(source, count, &rows, y.part(outputs.start..all), stride, &epilogue);
                    room.packed = rows.into_memory();
                }
            }
            (Kernel::Scale { scale, shift, relu }, Weight::Scale(zeros, ones)) => {
                let (x, residual, y) = (wide(source), residual.map(wide), wide_mut(y.part(dense)));
                norm::batch_norm_apply(x, zeros, ones, scale, shift, 0.0, residual, *relu, y);
            }
            (Kernel::LayerNorm { gamma, beta, eps }, _) => match (source, y.part(dense)) {
                (Numbers::F32(x), NumbersMut::F32(y)) => {
                    let scratch = sized(&mut room.scratch, 2 * count);
                    let (mean, inverse) = scratch.split_at_mut(count);
                    norm::layer_norm(x, gamma, beta, *eps, y, mean, inverse);
                }
                (x, y) => norm::layer_norm_mixed(x, gamma, beta, *eps, y),
            },
            (Kernel::Attention { heads, scale }, _) => {
                let (width, dim) = (value.numel(), value.numel() / heads);
                let mut done = 0;
                // Texts of one length that follow each other go together.
                for texts in lengths.chunk_by(|a, b| a == b) {
                    let (batch, length) = (texts.len(), texts[0]);
                    if length == 0 {
                        continue;
                    }
                    let (tq, tk, heads, scale) = (length, length, *heads, *scale);
                    let g = attention::Attention { batch, heads, tq, tk, dim, scale, dropout: 0.0, key: 0 };
                    let first = 3 * width * done;
                    match (source, y.part(done * width..(done + batch * length) * width)) {
                        (Numbers::Bf16(x), NumbersMut::Bf16(out)) => {
                            let inputs = fused(x, first, width, length, dim);
                            attention::forward_bf16(&g, &inputs, out, attention::Layout::dense(length, heads, dim));
                        }
                        (x, out) => {
                            let inputs = fused(wide(x), first, width, length, dim);
                            let layout = attention::Layout::dense(length, heads, dim);
                            attention::forward(&g, &inputs, wide_mut(out), layout, None);
                        }
                    }
                    done += batch * length;
                }
            }
            (Kernel::MaxPool(g), _) => {
                pool::max_pool2d_mixed(&pool::Pool2d { n: count, ..*g }, source, y.part(dense));
            }
            (Kernel::AvgPool(g), _) => match (source, y.part(dense)) {
                (Numbers::F32(x), NumbersMut::F32(y)) => pool::avg_pool2d(&pool::Pool2d { n: count, ..*g }, x, y),
                (x, y) => pool::avg_pool2d_mixed(&pool::Pool2d { n: count, ..*g }, x, y),
            },
            (Kernel::Bins(g), _) => {
                let g = pool::AdaptivePool2d { n: count, ..*g };
                match (source, y.part(dense)) {
                    (Numbers::F32(x), NumbersMut::F32(y)) => pool::adaptive_avg_pool2d(&g, x, y),
                    (x, y) => pool::adaptive_avg_pool2d_mixed(&g, x, y),
                }
            }
            (Kernel::Unary(op), _) => elementwise::unary(*op, wide(source), wide_mut(y.part(dense))),
            (Kernel::Affine(scale, shift), _) => {
                elementwise::affine(*scale, *shift, wide(source), wide_mut(y.part(dense)));
            }
            (Kernel::Binary(op), _) => {
                elementwise::binary(*op, wide(source), residual.map_or(&[], wide), wide_mut(y.part(dense)));
            }
            (Kernel::Transpose(pixels, channels), _) => {
                let images = wide(source).chunks_exact(pixels * channels);
                for (x, y) in images.zip(wide_mut(y.part(dense)).chunks_exact_mut(pixels * channels)) {
                    for (i, y) in y.iter_mut().enumerate() {
                        *y = x[i % pixels * channels + i / pixels];
                    }
                }
            }
            (Kernel::Concat { outer }, _) => {
                let run = value.numel() / outer;
                // Runs are pixels where the whole may itself be a part.
                let apart = if *outer == value.pixels() { stride } else { run };
                let mut offset = 0;
                for input in &step.inputs {
                    let (numbers, len, there) = match input {
                        Source::Constant(numbers) => (Numbers::F32(numbers), numbers.len(), false),
                        Source::Value(id) => {
                            let there = self.memory.places[*id].is_some_and(|part| part.slot == place.slot);
                            let numbers = if there { Numbers::F32(&[]) } else { read(*id) };
                            (numbers, self.values[*id].numel(), there)
                        }
                    };
                    let len = len / outer;
                    if !there && len > 0 {
                        let runs = numbers.len() / len;
                        for i in 0..if runs > 0 { count * outer } else { 0 } {
                            let run = numbers.part(i % runs * len..(i % runs + 1) * len);
                            convert(run, y.part(i * apart + offset..i * apart + offset + len));
                        }
                    }
                    offset += len;
                }
            }
            (Kernel::Conv { .. } | Kernel::Linear { .. } | Kernel::Scale { .. }, _) => {
                unreachable!("weights are packed when the plan is made")
            }
        }
        room.slots[place.slot] = slot;
    }
}

/// The weight of a convolution, packed in `memory`; `scratch` is what it is folded in.
fn packed_conv(
    scratch: &mut Vec<f32>,
    memory: Vec<f32>,
    g: &Conv2d,
    weight: &Rows,
    algorithm: Algorithm,
    precision: Precision,
) -> PackedConv {
    weight.with(scratch, |weight| PackedConv::in_memory(memory, g, weight, algorithm, precision))
}

/// The weight of a product with `out` outputs, packed in `memory`.
fn packed_linear(memory: Vec<f32>, weight: &[f32], out: usize, precision: Precision) -> Packed<f32> {
    Packed::in_memory(memory, Mat::new(weight, out, weight.len() / out.max(1)).t(), precision)
}

/// Queries, keys and values of texts of this length, one after the other for each token, from number `first` on.
fn fused<T>(x: &[T], first: usize, width: usize, length: usize, dim: usize) -> attention::Inputs<'_, T> {
    let layout = attention::Layout::fused(length, width / dim.max(1), dim);
    let part = |i: usize| &x[first + i * width..];
    attention::Inputs {
        q: part(0),
        q_layout: layout,
        k: part(1),
        k_layout: layout,
        v: part(2),
        v_layout: layout,
        mask: None,
    }
}

/// Numbers that lie as f32.
fn wide(x: Numbers<'_>) -> &[f32] {
    match x {
        Numbers::F32(x) => x,
        Numbers::Bf16(_) => unreachable!("only what is read and written by steps that can lies as bf16"),
    }
}

/// As [`wide`], to write.
fn wide_mut(y: NumbersMut<'_>) -> &mut [f32] {
    match y {
        NumbersMut::F32(y) => y,
        NumbersMut::Bf16(_) => unreachable!("only what is read and written by steps that can lies as bf16"),
    }
}

/// What is said of a product in this precision.
fn suffix(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "",
        Precision::Bf16 => " bf16",
        Precision::Int8 => " int8",
    }
}

/// So many numbers of a buffer that grows.
fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// Is Winograd's algorithm faster for this convolution? It has fewer products, but more numbers of weight.
fn pays(g: &Conv2d, precision: Precision) -> bool {
    let [direct, winograd] = PRODUCTS_PER_WEIGHT;
    let time = |algorithm: Algorithm, per_weight: usize| {
        algorithm.work(g).map(|(products, weights)| products + weights * per_weight)
    };
    // The time of the direct sum: its products are no more than Winograd's in int8.
    let saved = match precision {
        Precision::F32 => (1, 1),
        Precision::Bf16 => (4, 7),
        Precision::Int8 => (1, 4),
    };
    let (Some(by_winograd), Some(directly)) = (time(Algorithm::Winograd, winograd), time(Algorithm::Direct, direct))
    else {
        return false;
    };
    g.cin.min(g.cout) >= WINOGRAD_CHANNELS && by_winograd * direct * saved.1 < directly * winograd * saved.0
}

/// |a − b| / |b|; infinite for other shapes, 0 if b itself is no number anywhere.
fn relative(a: &Tensor, b: &Tensor) -> f64 {
    if a.shape() != b.shape() {
        return f64::INFINITY;
    }
    let (a, b) = (a.to_vec(), b.to_vec());
    if b.iter().any(|b| !b.is_finite()) {
        return 0.0;
    }
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(&b).map(|(&a, &b)| f(f64::from(a), f64::from(b))).sum::<f64>();
    let error = (sum(&|a, b| (a - b).powi(2)) / sum(&|_, b| b * b).max(f64::MIN_POSITIVE)).sqrt();
    if error.is_nan() { f64::INFINITY } else { error }
}
