//! From the ops of a recorded pass to steps: what is folded, what is fused.

use crate::step::{Id, Kernel, Source, Step};
use crate::weight::Rows;
use std::any::Any;
use ukulele_autograd::ops::adaptive_avg_pool2d::AdaptiveAvgPool2d;
use ukulele_autograd::ops::add::Add;
use ukulele_autograd::ops::add_scalar::AddScalar;
use ukulele_autograd::ops::attention::Attention;
use ukulele_autograd::ops::avg_pool2d::AvgPool2d;
use ukulele_autograd::ops::batch_norm_eval::BatchNormEval;
use ukulele_autograd::ops::concat::Concat;
use ukulele_autograd::ops::conv2d::Conv2d;
use ukulele_autograd::ops::gelu::Gelu;
use ukulele_autograd::ops::layer_norm::LayerNorm;
use ukulele_autograd::ops::linear::Linear;
use ukulele_autograd::ops::max_pool2d::MaxPool2d;
use ukulele_autograd::ops::mul::Mul;
use ukulele_autograd::ops::permute::Permute;
use ukulele_autograd::ops::relu::Relu;
use ukulele_autograd::ops::reshape::Reshape;
use ukulele_autograd::ops::scale::Scale;
use ukulele_autograd::ops::sigmoid::Sigmoid;
use ukulele_autograd::ops::tanh::Tanh;
use ukulele_autograd::{Graph, GraphInput, GraphNode, Op};
use ukulele_kernels::elementwise::{Binary, Unary};
use ukulele_kernels::gemm::Activation;
use ukulele_layers::{Error, Result, Tensor};

/// Images of the example that is recorded: two, so that a dimension that is not the batch's shows.
pub(crate) const EXAMPLES: usize = 2;

/// A value of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// Its dimensions as the pass has them, without the batch.
    pub(crate) dims: Vec<usize>,
    /// (pixels, channels) where the memory is channels-last and `dims` mean it row-major.
    pub(crate) turned: Option<(usize, usize)>,
    /// Whether the pass has its channels last: only a vector of all numbers may be made of it.
    pub(crate) permuted: bool,
}

impl Value {
    pub(crate) fn numel(&self) -> usize {
        self.dims.iter().product()
    }

    /// Numbers that lie together: the channels of an image, or all.
    pub(crate) fn channels(&self) -> usize {
        match self.dims[..] {
            [channels, _, _] => channels,
            _ => self.numel(),
        }
    }

    /// Runs of channels.
    pub(crate) fn pixels(&self) -> usize {
        self.numel() / self.channels().max(1)
    }
}

/// Steps over values; the first value is the input, the last step's output the result.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) values: Vec<Value>,
    pub(crate) steps: Vec<Step>,
    pub(crate) output: Id,
}

/// The steps of a recorded pass. All shapes begin with the dimensions `lead`: [`EXAMPLES`] images, or so many texts and the
/// tokens of each.
pub(crate) fn lower(graph: Graph, lead: &[usize]) -> Result<Program> {
    let mut uses = vec![0usize; graph.nodes.len()];
    uses[graph.output] = 1;
    for (at, node) in graph.nodes.iter().enumerate().rev() {
        if uses[at] > 0 {
            for input in &node.inputs {
                if let GraphInput::Node(input) = input {
                    uses[*input] += 1;
                }
            }
        }
    }
    let mut lowering = Lowering {
        lead,
        values: Vec::new(),
        steps: Vec::new(),
        of_node: vec![None; graph.nodes.len()],
        uses: Vec::new(),
    };
    if graph.nodes.iter().filter(|node| node.op.is_none()).count() > 1 {
        return Err(refused("this pass", "it has more than one input"));
    }
    for (at, node) in graph.nodes.into_iter().enumerate() {
        if uses[at] > 0 || node.op.is_none() {
            let id = lowering.node(node)?;
            lowering.of_node[at] = Some(id);
            lowering.uses[id] += uses[at];
        }
    }
    let output = lowering.of_node[graph.output].ok_or_else(|| refused("the output", "it was not computed"))?;
    if lowering.values[output].permuted {
        return Err(refused("the output", "its channels were put last"));
    }
    let output = lowering.row_major(output)?;
    Ok(Program { values: lowering.values, steps: lowering.steps, output })
}

fn refused(what: &str, why: impl std::fmt::Display) -> Error {
    Error::argument("plan", format!("no plan for {what}: {why}; run the model itself"))
}

struct Lowering<'a> {
    lead: &'a [usize],
    values: Vec<Value>,
    steps: Vec<Step>,
    of_node: Vec<Option<Id>>,
    /// How many ops read a value, the output counted.
    uses: Vec<usize>,
}

/// An input of an op: a value, or a tensor.
enum Operand {
    Value(Id),
    Constant(Tensor),
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.to_vec()
}

fn channels_last(tensor: &Tensor) -> Vec<f32> {
    tensor.channels_last().dense_memory().to_vec()
}

impl Lowering<'_> {
    fn node(&mut self, node: GraphNode) -> Result<Id> {
        let Some(op) = &node.op else { return self.value(&node.shape, "the input") };
        let operands = node.inputs.into_iter().map(|input| match input {
            GraphInput::Node(node) => {
                self.of_node[node].map(Operand::Value).ok_or_else(|| refused(op.name(), "a lost input"))
            }
            GraphInput::Constant(tensor) => Ok(Operand::Constant(tensor)),
        });
        let operands = operands.collect::<Result<Vec<_>>>()?;
        self.op(&**op, &operands, &node.shape)
    }

    /// A new value of this shape, the batch being its first dimension.
    fn value(&mut self, shape: &[usize], what: &str) -> Result<Id> {
        match shape.strip_prefix(self.lead) {
            Some(dims) => {
                self.values.push(Value { dims: dims.to_vec(), turned: None, permuted: false });
                self.uses.push(0);
                Ok(self.values.len() - 1)
            }
            None => Err(refused(what, format!("{shape:?} does not begin with the batch, {:?}", self.lead))),
        }
    }

    fn step(&mut self, kernel: Kernel, inputs: Vec<Source>, shape: &[usize], what: &str) -> Result<Id> {
        let output = self.value(shape, what)?;
        self.steps.push(Step { kernel, inputs, output });
        Ok(output)
    }

    /// The same numbers in row-major memory.
    fn row_major(&mut self, id: Id) -> Result<Id> {
        let Some((pixels, channels)) = self.values[id].turned else { return Ok(id) };
        let shape = [self.lead, &self.values[id].dims[..]].concat();
        self.step(Kernel::Transpose(pixels, channels), vec![Source::Value(id)], &shape, "a transpose")
    }

    /// Takes out the step that made a value, if it is this op's alone and `fits`.
    fn take(&mut self, operand: &Operand, fits: impl Fn(&Step) -> bool) -> Option<Step> {
        let Operand::Value(id) = *operand else { return None };
        let at = self.steps.iter().rposition(|step| step.output == id)?;
        (self.uses[id] == 1 && fits(&self.steps[at])).then(|| self.steps.remove(at))
    }

    /// Puts a step back that does more than before.
    fn put(&mut self, step: Step) -> Result<Id> {
        self.uses[step.output] = 0;
        let output = step.output;
        self.steps.push(step);
        Ok(output)
    }

    fn op(&mut self, op: &dyn Op<f32>, operands: &[Operand], shape: &[usize]) -> Result<Id> {
        let (name, any): (_, &dyn Any) = (op.name(), op);
        let wrong = |why: &str| refused(name, why);
        let value = |i: usize| match operands.get(i) {
            Some(Operand::Value(id)) => Ok(*id),
            _ => Err(wrong("an input that does not depend on the image")),
        };
        let constant = |i: usize| match operands.get(i) {
            Some(Operand::Constant(tensor)) => Ok(tensor),
            _ => Err(wrong("a parameter that depends on the image")),
        };
        let permuted = |operand: &Operand| matches!(operand, Operand::Value(id) if self.values[*id].permuted);
        if operands.iter().any(permuted) && !any.is::<Reshape>() {
            return Err(wrong("channels that were put last"));
        }
        let elementwise = |this: &mut Self, kernel| {
            let id = value(0)?;
            let output = this.step(kernel, vec![Source::Value(id)], shape, name)?;
            this.values[output].turned = this.values[id].turned;
            Ok(output)
        };
        if let Some(op) = any.downcast_ref::<Conv2d>() {
            let x = value(0)?;
            let x_shape = [&[1], &self.values[x].dims[..]].concat();
            let (weight, g) = (constant(1)?, op.geometry(&x_shape, constant(1)?.shape())?);
            let bias = if operands.len() > 2 { numbers(constant(2)?) } else { vec![0.0; g.cout] };
            let kernel =
                Kernel::Conv { g, weight: Rows::new(weight.channels_last()), bias, activation: Activation::None };
            return self.step(kernel, vec![Source::Value(x)], shape, name);
        }
        if any.is::<Linear>() {
            let (x, weight) = (value(0)?, constant(1)?);
            let [out, width] = weight.dims("linear", "(out, in)")?;
            if self.values[x].dims != [width] {
                return Err(wrong("an input of more than one dimension"));
            }
            let mut weight = Rows::new(weight.contiguous());
            if let Some((pixels, channels)) = self.values[x].turned {
                // Columns in the order of memory: (pixel, channel) instead of (channel, pixel).
                weight.turn(pixels, channels);
            }
            let bias = if operands.len() > 2 { numbers(constant(2)?) } else { vec![0.0; out] };
            let kernel = Kernel::Linear { weight, bias, activation: Activation::None };
            return self.step(kernel, vec![Source::Value(x)], shape, name);
        }
        if let Some(op) = any.downcast_ref::<LayerNorm<f32>>() {
            let x = self.row_major(value(0)?)?;
            if self.values[x].dims.len() != 1 {
                return Err(wrong("an input of more than one dimension"));
            }
            let kernel = Kernel::LayerNorm { gamma: numbers(constant(1)?), beta: numbers(constant(2)?), eps: op.eps };
            return self.step(kernel, vec![Source::Value(x)], shape, name);
        }
        if let Some(op) = any.downcast_ref::<Attention<f32>>() {
            return self.attention(op, operands, shape);
        }
        if let Some(op) = any.downcast_ref::<BatchNormEval<f32>>() {
            let of = |tensor: &Tensor| tensor.to_vec().into_iter().map(f64::from).collect::<Vec<_>>();
            let (mean, variance) = (of(&op.mean), of(&op.variance));
            let (gamma, beta) = (of(constant(1)?), of(constant(2)?));
            let scale: Vec<f64> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + op.eps).sqrt()).collect();
            let shift: Vec<f64> = (0..scale.len()).map(|c| beta[c] - mean[c] * scale[c]).collect();
            let residual = (operands.len() > 3).then(|| value(3)).transpose()?;
            return self.scale_channels(&operands[0], &scale, &shift, residual, op.relu, shape, name);
        }
        if any.is::<Relu>() {
            if let Some(mut step) = self.take(&operands[0], |step| step.kernel.activates()) {
                step.kernel.activate(Activation::Relu);
                return self.put(step);
            }
            return elementwise(self, Kernel::Unary(Unary::Relu));
        }
        if let Some(kind) = any.downcast_ref::<Gelu>() {
            let (activation, unary) = match kind {
                Gelu::Erf => (Activation::GeluErf, Unary::GeluErf),
                Gelu::Tanh => (Activation::GeluTanh, Unary::GeluTanh),
            };
            if let Some(mut step) = self.take(&operands[0], |step| step.kernel.activates() && !step.kernel.is_scale()) {
                step.kernel.activate(activation);
                return self.put(step);
            }
            return elementwise(self, Kernel::Unary(unary));
        }
        if let Some(op) = any.downcast_ref::<Scale>() {
            if let Some(mut step) = self.take(&operands[0], |step| step.kernel.activates() && step.inputs.len() == 1) {
                step.kernel.rescale(&[op.factor], &[0.0]);
                return self.put(step);
            }
            return elementwise(self, Kernel::Affine(op.factor as f32, 0.0));
        }
        if let Some(op) = any.downcast_ref::<AddScalar>() {
            return elementwise(self, Kernel::Affine(1.0, op.term as f32));
        }
        if any.is::<Tanh>() {
            return elementwise(self, Kernel::Unary(Unary::Tanh));
        }
        if any.is::<Sigmoid>() {
            return elementwise(self, Kernel::Unary(Unary::Sigmoid));
        }
        if any.is::<Add>() || any.is::<Mul>() {
            let add = any.is::<Add>();
            for (i, j) in [(0, 1), (1, 0)] {
                if let (Operand::Value(id), Operand::Constant(tensor)) = (&operands[i], &operands[j]) {
                    let channels = self.values[*id].channels();
                    let per_channel = per_channel(tensor, self.values[*id].dims.len() == 3, channels);
                    let numbers = per_channel.ok_or_else(|| wrong("a constant that is not one number per channel"))?;
                    let (scale, shift) =
                        if add { (vec![1.0; channels], numbers) } else { (numbers, vec![0.0; channels]) };
                    return self.scale_channels(&operands[i], &scale, &shift, None, false, shape, name);
                }
            }
            let (a, b) = (value(0)?, value(1)?);
            if self.values[a] != self.values[b] {
                return Err(wrong("values of two shapes"));
            }
            for (i, other) in [(0, b), (1, a)] {
                let free = |step: &Step| step.kernel.activates() && step.inputs.len() == 1;
                if add
                    && a != b
                    && let Some(mut step) = self.take(&operands[i], free)
                {
                    step.inputs.push(Source::Value(other));
                    return self.put(step);
                }
            }
            let kernel = Kernel::Binary(if add { Binary::Add } else { Binary::Mul });
            let output = self.step(kernel, vec![Source::Value(a), Source::Value(b)], shape, name)?;
            self.values[output].turned = self.values[a].turned;
            return Ok(output);
        }
        if let Some(op) = any.downcast_ref::<MaxPool2d>() {
            let x = value(0)?;
            let g = op.options.geometry(name, &[&[1], &self.values[x].dims[..]].concat())?;
            return self.step(Kernel::MaxPool(g), vec![Source::Value(x)], shape, name);
        }
        if let Some(op) = any.downcast_ref::<AvgPool2d>() {
            let x = value(0)?;
            let g = op.options.geometry(name, &[&[1], &self.values[x].dims[..]].concat())?;
            return self.step(Kernel::AvgPool(g), vec![Source::Value(x)], shape, name);
        }
        if let Some(op) = any.downcast_ref::<AdaptiveAvgPool2d>() {
            let x = value(0)?;
            let g = op.geometry(&[&[1], &self.values[x].dims[..]].concat())?;
            return self.step(Kernel::Bins(g), vec![Source::Value(x)], shape, name);
        }
        if let Some(op) = any.downcast_ref::<Concat>() {
            return self.concat(op.dim, operands, shape);
        }
        if any.is::<Reshape>() {
            return self.alias(value(0)?, shape);
        }
        if let Some(op) = any.downcast_ref::<Permute>() {
            let x = value(0)?;
            if op.order == [0, 2, 3, 1] && self.values[x].dims.len() == 3 {
                // Row-major memory of (H, W, C) is what channels-last memory of (C, H, W) is.
                let numel = self.values[x].numel();
                let output =
                    self.step(Kernel::Concat { outer: 1 }, vec![Source::Value(x)], &[EXAMPLES, numel], name)?;
                self.values[output].permuted = true;
                return Ok(output);
            }
            return Err(wrong("an order that is not (0, 2, 3, 1)"));
        }
        Err(wrong("an op that plans do not know"))
    }

    /// relu?(scale·x + shift + residual) per channel: folded into the step that made x, where that can be.
    fn scale_channels(
        &mut self,
        x: &Operand,
        scale: &[f64],
        shift: &[f64],
        residual: Option<Id>,
        relu: bool,
        shape: &[usize],
        name: &'static str,
    ) -> Result<Id> {
        let activation = if relu { Activation::Relu } else { Activation::None };
        let Operand::Value(x) = *x else { return Err(refused(name, "a constant image")) };
        let x = &Operand::Value(self.row_major(x)?);
        let residual = residual.map(|residual| self.row_major(residual)).transpose()?;
        if let Some(mut step) = self.take(x, |step| step.kernel.activates() && step.inputs.len() == 1) {
            step.kernel.rescale(scale, shift);
            step.kernel.activate(activation);
            step.inputs.extend(residual.map(Source::Value));
            return self.put(step);
        }
        let Operand::Value(x) = *x else { return Err(refused(name, "a constant image")) };
        let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect();
        let kernel = Kernel::Scale { scale: narrow(scale), shift: narrow(shift), relu };
        let inputs = std::iter::once(x).chain(residual).map(Source::Value).collect();
        let output = self.step(kernel, inputs, shape, name)?;
        self.values[output].turned = self.values[x].turned;
        Ok(output)
    }

    /// Attention, and its Q, K and V as one product.
    fn attention(&mut self, op: &Attention<f32>, operands: &[Operand], shape: &[usize]) -> Result<Id> {
        if self.lead.len() != 2 || op.options.mask.is_some() || op.options.dropout.is_some() {
            return Err(refused("attention", "it has a mask or a dropout, or is not between the tokens of a text"));
        }
        let plain = |step: &Step| {
            matches!(step.kernel, Kernel::Linear { activation: Activation::None, .. }) && step.inputs.len() == 1
        };
        let parts: Vec<Step> = operands.iter().filter_map(|operand| self.take(operand, plain)).collect();
        let source = parts.first().and_then(|part| part.reads().next());
        let (Some(source), 3) = (source, parts.len()) else {
            return Err(refused("attention", "its queries, keys and values are not linear in one input"));
        };
        let (mut weights, mut biases) = (Rows::default(), Vec::new());
        for part in parts {
            if part.reads().next() != Some(source) {
                return Err(refused("attention", "its queries, keys and values have different inputs"));
            }
            if let Kernel::Linear { weight, bias, .. } = part.kernel {
                weights.append(weight);
                biases.extend(bias);
            }
        }
        let width = biases.len() / 3;
        let all = [self.lead, &[3 * width]].concat();
        let kernel = Kernel::Linear { weight: weights, bias: biases, activation: Activation::None };
        let fused = self.step(kernel, vec![Source::Value(source)], &all, "attention")?;
        let heads = op.options.heads;
        let scale = op.options.scale.unwrap_or(1.0 / ((width / heads.max(1)) as f64).sqrt());
        self.step(Kernel::Attention { heads, scale }, vec![Source::Value(fused)], shape, "attention")
    }

    fn concat(&mut self, dim: usize, operands: &[Operand], shape: &[usize]) -> Result<Id> {
        let rank = shape.len();
        // Dimensions outside the one in question, in the order of memory.
        let outer = match (rank, dim) {
            (4, 1) => shape[2] * shape[3],
            (4, 2) | (2, 1) => 1,
            (4, 3) => shape[2],
            _ => return Err(refused("concat", format!("dimension {dim} of {shape:?}"))),
        };
        let mut inputs = Vec::new();
        for operand in operands {
            inputs.push(match operand {
                Operand::Value(id) => Source::Value(self.row_major(*id)?),
                Operand::Constant(tensor) => {
                    let all = if rank == 4 { channels_last(tensor) } else { numbers(tensor) };
                    let (first, second) = all.split_at(all.len() / EXAMPLES);
                    if first != second {
                        return Err(refused("concat", "a constant that differs from image to image"));
                    }
                    Source::Constant(first.to_vec())
                }
            });
        }
        self.step(Kernel::Concat { outer }, inputs, shape, "concat")
    }

    /// The same numbers under another shape.
    fn alias(&mut self, x: Id, shape: &[usize]) -> Result<Id> {
        let Value { dims, turned, .. } = self.values[x].clone();
        let [channels, pixels] = [self.values[x].channels(), self.values[x].pixels()];
        // To a vector, or from one to an image of one pixel.
        let known = shape.len() == 2 || (shape.len() == 4 && shape[2..] == [1, 1] && pixels == 1);
        if shape.first() != Some(&EXAMPLES) || !known || turned.is_some() {
            return Err(refused("reshape", format!("{dims:?} to {shape:?}")));
        }
        let output = self.step(Kernel::Concat { outer: 1 }, vec![Source::Value(x)], shape, "reshape")?;
        if dims.len() == 3 && channels > 1 && pixels > 1 {
            self.values[output].turned = Some((pixels, channels));
        }
        Ok(output)
    }
}

/// A constant as one number per channel: (C, 1, 1) or (1, C, 1, 1) for images, (C) or (1, C) for vectors, or one number.
fn per_channel(tensor: &Tensor, image: bool, channels: usize) -> Option<Vec<f64>> {
    let numbers = || tensor.to_vec().into_iter().map(f64::from);
    if tensor.numel() == 1 {
        return Some(vec![numbers().next()?; channels]);
    }
    let shape = tensor.shape();
    let shape = if shape.len() > 1 && shape[0] == 1 { &shape[1..] } else { shape };
    let fits = if image { shape == [channels, 1, 1] } else { shape == [channels] };
    fits.then(|| numbers().collect())
}

impl Kernel {
    /// A product whose result is not yet activated.
    fn activates(&self) -> bool {
        match self {
            Kernel::Conv { activation, .. } | Kernel::Linear { activation, .. } => *activation == Activation::None,
            Kernel::Scale { relu, .. } => !relu,
            _ => false,
        }
    }

    fn is_scale(&self) -> bool {
        matches!(self, Kernel::Scale { .. })
    }

    fn activate(&mut self, new: Activation) {
        match self {
            Kernel::Conv { activation, .. } | Kernel::Linear { activation, .. } => *activation = new,
            Kernel::Scale { relu, .. } => *relu = new == Activation::Relu,
            _ => {}
        }
    }

    /// Multiplies and shifts the result, by one number per channel or one for all.
    fn rescale(&mut self, factor: &[f64], add: &[f64]) {
        let at = |x: &[f64], c: usize| if x.len() == 1 { x[0] } else { x[c] };
        match self {
            Kernel::Conv { weight, bias, .. } | Kernel::Linear { weight, bias, .. } => {
                weight.rescale(factor);
                for (c, bias) in bias.iter_mut().enumerate() {
                    *bias = (f64::from(*bias) * at(factor, c) + at(add, c)) as f32;
                }
            }
            Kernel::Scale { scale, shift, .. } => {
                for (c, (scale, shift)) in scale.iter_mut().zip(shift).enumerate() {
                    *scale = (f64::from(*scale) * at(factor, c)) as f32;
                    *shift = (f64::from(*shift) * at(factor, c) + at(add, c)) as f32;
                }
            }
            _ => {}
        }
    }
}
