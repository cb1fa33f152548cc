//! The plan: compiled once, run many times.

mod run;
mod winograd;

use crate::forms::bf16_values;
use crate::lower::{EXAMPLES, Program, Value as Shape, lower};
use crate::memory::{Memory, groups};
use crate::step::{Id, Kernel, Step};
use crate::weight::Rows;
use rayon::prelude::*;
use run::Room;
use std::sync::{Arc, Mutex};
use ukulele_kernels::conv::{Algorithm, Conv2d, PackedConv};
use ukulele_kernels::gemm::{Mat, Packed, Precision};
use ukulele_layers::{Error, Pass, Result, Tensor, Value};

/// How far a plan's numbers may be from the pass's, relative in norm.
const TOLERANCE: f64 = 1e-4;
/// The same in bf16 and int8, where the networks of the tests are within 0.03: what is further off than this is more than rounding.
const ROUNDED_TOLERANCE: f64 = 0.1;
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

impl Plan {
    /// Compiles `forward`, run once on the images of `example` (N, ..), for any number of images of its size. The weights are
    /// those of now: a plan does not follow a model that learns.
    ///
    /// If the plan's numbers are further than 1e-4 from the pass's, relative in norm, convolutions are computed directly, those
    /// first that Winograd's algorithm is worst at, until they are not (in bf16 and int8 the tolerance is 0.1, for all
    /// together).
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
        let (mut plan, images, y) = Self::recorded(forward, example, options)?;
        plan.error = relative(&plan.run(&images)?, &y);
        if options.winograd && options.prepacked && options.precision == Precision::F32 {
            plan.fall_back(&images, &y)?;
        }
        plan.checked(options)
    }

    /// The plan, unchecked, the images of the example that the pass was run on, and what it made of them.
    fn recorded(
        forward: impl FnOnce(&Value, &mut Pass) -> Result<Value>,
        example: &Tensor,
        options: PlanOptions,
    ) -> Result<(Self, Tensor, Tensor)> {
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
        Ok((Self::new(program, options, expected), images, y.into_tensor()))
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
        self.run_with(images, lengths, &mut |ran| steps[ran.at].seconds += ran.time.as_secs_f64())?;
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

/// What is said of a product in this precision.
fn suffix(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "",
        Precision::Bf16 => " bf16",
        Precision::Int8 => " int8",
    }
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
