//! y = relu?(γ·(x − μ)/√(σ² + ε) + β + residual?), with μ and σ² the mean and variance of the batch, per channel.
//!
//! With g = ∂L/∂y where ReLU let it pass, n = (x − μ)/√(σ² + ε) and m values a channel: ∂L/∂β = Σg, ∂L/∂γ = Σg·n,
//! ∂L/∂x = γ/√(σ² + ε)·(g − (∂L/∂β + n·∂L/∂γ)/m), ∂L/∂residual = g.
//!
//! Source: Ioffe and Szegedy, "Batch Normalization", 2015.

use crate::gradcheck::{Example, numbers};
use crate::{Data, Element, Error, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use bytemuck::{cast_slice, cast_slice_mut};
use ukulele_kernels::element::is_f32;
use ukulele_kernels::norm::{self, BatchNormBackward, BatchNormGradients, Relu};

/// What is fused with a batch normalisation.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormOptions<'a, T: Element = f32> {
    /// Added to the normalised values; of the shape of x.
    pub residual: Option<&'a Value<T>>,
    /// Whether max(·, 0) follows.
    pub relu: bool,
}

impl<T: Element> Default for BatchNormOptions<'_, T> {
    fn default() -> Self {
        Self { residual: None, relu: false }
    }
}

/// Mean and variance of a batch, per channel: what the running statistics move towards.
#[derive(Debug, Clone)]
pub struct BatchStatistics<T: Element = f32> {
    /// The mean.
    pub mean: Tensor<T>,
    /// The unbiased variance, divided by m − 1; 0 for a single value (where torch refuses to train).
    pub variance: Tensor<T>,
}

/// Batch normalisation by the statistics of the batch: inputs x (N, C, ..), γ (C), β (C) and, optionally, the residual.
#[derive(Debug, Clone)]
pub struct BatchNormTrain<T: Element> {
    /// Added to the variance.
    pub eps: f64,
    /// Whether max(·, 0) follows.
    pub relu: bool,
    /// Whether a residual is added. Without one the output is computed again in backward, not kept.
    pub residual: bool,
    /// Mean and biased variance of the batch, known after forward.
    pub statistics: Option<(Tensor<T>, Tensor<T>)>,
}

/// x with its channels last in memory: (N, C, H, W) or (N, C).
pub(crate) fn channels_last<T: Element>(op: &'static str, x: &Data<T>) -> Result<Data<T>> {
    match x.shape().len() {
        // In f64 nothing is computed where it lies as bf16: whoever finds `Data::numbers` of the result computes in f32.
        2 | 4 => Ok(x.clone().lying(x.is_short() && is_f32::<T>())?.channels_last()),
        _ => Err(Error::shape(op, x.shape(), "(N, C, H, W) or (N, C)")),
    }
}

/// Checks the shapes; returns x and the residual, which lies as x does, with their channels last in memory.
pub(crate) fn enter<T: Element>(op: &'static str, inputs: &[&Data<T>]) -> Result<(Data<T>, Option<Data<T>>)> {
    let x = channels_last(op, inputs[0])?;
    for parameter in &inputs[1..3] {
        if *parameter.shape() != [x.shape()[1]] {
            return Err(Error::shapes(op, x.shape(), parameter.shape()));
        }
    }
    let Some(&residual) = inputs.get(3) else { return Ok((x, None)) };
    if residual.shape() != x.shape() {
        return Err(Error::shapes(op, residual.shape(), x.shape()));
    }
    let residual = residual.clone().lying(x.is_short())?.channels_last();
    Ok((x, Some(residual)))
}

/// Mean and biased variance of each channel of x, which has them last in memory.
fn statistics<T: Element>(x: &Data<T>, channels: usize) -> Result<(Tensor<T>, Tensor<T>)> {
    let [mean, variance] = Tensor::build_all([&[channels]; 2], |[mean, variance]| match x.numbers() {
        Some(x) => norm::batch_norm_statistics_mixed(x, cast_slice_mut(mean), cast_slice_mut(variance)),
        None => norm::batch_norm_statistics(x.tensor().dense_memory(), mean, variance),
    })?;
    Ok((mean, variance))
}

/// relu?(γ·(x − μ)/√(σ² + ε) + β + residual?) for x and the residual as [`enter`] gives them; the result lies as x does.
pub(crate) fn apply<T: Element>(
    x: &Data<T>,
    (mean, variance): (&Tensor<T>, &Tensor<T>),
    parameters: [&Data<T>; 2],
    eps: f64,
    residual: Option<&Data<T>>,
    relu: bool,
) -> Result<Data<T>> {
    let parameters = parameters.map(|parameter| parameter.tensor().contiguous());
    let columns = [mean, variance, &parameters[0], &parameters[1]].map(Tensor::dense_memory);
    let mut y = Data::room(x.shape(), x.is_short())?;
    match (x.numbers(), y.numbers_mut()) {
        (Some(x), Some(y)) => {
            let [mean, variance, gamma, beta] = columns.map(cast_slice);
            let residual = residual.and_then(Data::numbers);
            norm::batch_norm_apply_mixed(x, mean, variance, gamma, beta, eps, residual, relu, y);
        }
        _ => {
            let (x, residual, mut full) = (x.tensor(), residual.map(Data::tensor), y.into_tensor());
            let [mean, variance, gamma, beta] = columns;
            let residual = residual.as_ref().map(Tensor::dense_memory);
            norm::batch_norm_apply(
                x.dense_memory(),
                mean,
                variance,
                gamma,
                beta,
                eps,
                residual,
                relu,
                full.memory_mut(),
            );
            y = full.into();
        }
    }
    Ok(y)
}

/// What backward needs. The output, where there is no residual, is computed again from these inputs.
pub(crate) fn keeps(residual: bool, relu: bool) -> Keeps {
    match (residual, relu) {
        (false, _) => Keeps::inputs(&[0, 1, 2]),
        (true, false) => Keeps::inputs(&[0, 1]),
        (true, true) => Keeps::OUTPUT.and_inputs(&[0, 1]),
    }
}

/// The gradients of every input, given mean and variance.
pub(crate) fn leave<T: Element>(
    kept: Kept<T>,
    grad: Data<T>,
    slots: &mut Slots<T>,
    (mean, variance): (&Tensor<T>, &Tensor<T>),
    (eps, relu, residual, batch_statistics): (f64, bool, bool, bool),
) -> Result<()> {
    let x = channels_last("batch_norm", kept.input_data(0)?)?;
    let gamma = kept.input_data(1)?.tensor().contiguous();
    let mut dy = grad.lying(x.is_short())?.channels_last();
    let (wants_dx, wants_residual) = (slots.wants(0), slots.wants(3));
    let beta = if relu && !residual { Some(kept.input_data(2)?.tensor().contiguous()) } else { None };
    let output = if relu && residual { Some(kept.output_data()?.clone().channels_last()) } else { None };
    let mut dresidual =
        if wants_residual && relu { Some(Data::room(x.shape(), x.is_short())?) } else { None };
    if wants_residual && !relu {
        slots.add(3, dy.clone())?;
    }
    let p = Normalised {
        x: &x,
        output: output.as_ref(),
        beta: beta.as_ref(),
        statistics: (mean, variance),
        gamma: &gamma,
        eps,
        batch_statistics,
        wants_dx,
    };
    let [dgamma, dbeta] = p.gradients(&mut dy, dresidual.as_mut())?;
    if let Some(dresidual) = dresidual {
        slots.add(3, dresidual)?;
    }
    slots.add(2, dbeta)?;
    slots.add(1, dgamma)?;
    slots.add(0, dy)
}

/// What the backward of a batch norm knows.
struct Normalised<'a, T: Element> {
    x: &'a Data<T>,
    /// What the ReLU let pass, by the output or by β.
    output: Option<&'a Data<T>>,
    beta: Option<&'a Tensor<T>>,
    statistics: (&'a Tensor<T>, &'a Tensor<T>),
    gamma: &'a Tensor<T>,
    eps: f64,
    batch_statistics: bool,
    wants_dx: bool,
}

impl<T: Element> Normalised<'_, T> {
    /// ∂L/∂γ and ∂L/∂β; dy becomes the gradient of x if that is wanted.
    fn gradients(&self, dy: &mut Data<T>, mut dresidual: Option<&mut Data<T>>) -> Result<[Tensor<T>; 2]> {
        let (mean, variance) = (self.statistics.0.dense_memory(), self.statistics.1.dense_memory());
        let (gamma, beta) = (self.gamma.dense_memory(), self.beta.map(Tensor::dense_memory));
        let (eps, batch_statistics, dx_in_dy) = (self.eps, self.batch_statistics, self.wants_dx);
        Tensor::build_all([self.gamma.shape(); 2], |[dgamma, dbeta]| {
            if let (Some(x), Some(dy)) = (self.x.numbers(), dy.numbers_mut()) {
                let output = self.output.and_then(Data::numbers);
                let p = BatchNormBackward {
                    x,
                    relu: passed(output, beta.map(cast_slice)),
                    mean: cast_slice(mean),
                    variance: cast_slice(variance),
                    gamma: cast_slice(gamma),
                    eps,
                    batch_statistics,
                };
                let dresidual = dresidual.as_mut().and_then(|dresidual| dresidual.numbers_mut());
                let (dgamma, dbeta) = (cast_slice_mut(dgamma), cast_slice_mut(dbeta));
                let out = BatchNormGradients { dx_in_dy, dresidual, dgamma, dbeta };
                return norm::batch_norm_backward_mixed(&p, dy, out);
            }
            let (x, output) = (self.x.tensor(), self.output.map(Data::tensor));
            let relu = passed(output.as_ref().map(Tensor::dense_memory), beta);
            let p = BatchNormBackward { x: x.dense_memory(), relu, mean, variance, gamma, eps, batch_statistics };
            let dresidual = dresidual.as_mut().and_then(|dresidual| dresidual.full_mut());
            let out = BatchNormGradients { dx_in_dy, dresidual, dgamma, dbeta };
            if let Some(dy) = dy.full_mut() {
                norm::batch_norm_backward(&p, dy, out);
            }
        })
    }
}

fn passed<'a, T, Y>(output: Option<Y>, beta: Option<&'a [T]>) -> Relu<'a, T, Y> {
    match (output, beta) {
        (Some(output), _) => Relu::Output(output),
        (None, Some(beta)) => Relu::Beta(beta),
        (None, None) => Relu::None,
    }
}

impl<T: Element> Op<T> for BatchNormTrain<T> {
    fn name(&self) -> &'static str {
        "batch_norm_train"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        keeps(self.residual, self.relu)
    }

    fn is_cheap(&self) -> bool {
        !self.residual
    }

    fn again_needs(&self, inputs: usize) -> Option<Keeps> {
        Some(Keeps::first(inputs))
    }

    fn again_data(&self, kept: Kept<T>) -> Result<Data<T>> {
        let x = channels_last("batch_norm_train", kept.input_data(0)?)?;
        let residual =
            if self.residual { Some(kept.input_data(3)?.clone().lying(x.is_short())?.channels_last()) } else { None };
        self.apply(&x, [kept.input_data(1)?, kept.input_data(2)?], residual.as_ref())
    }

    fn forward_data(&mut self, inputs: &[&Data<T>], _: bool) -> Result<Data<T>> {
        let (x, residual) = enter("batch_norm_train", inputs)?;
        if x.shape().contains(&0) {
            return Err(Error::shape("batch_norm_train", x.shape(), "at least one value a channel, to take a mean of"));
        }
        self.statistics = Some(statistics(&x, x.shape()[1])?);
        self.apply(&x, [inputs[1], inputs[2]], residual.as_ref())
    }

    fn backward_data(&self, kept: Kept<T>, grad: Data<T>, slots: &mut Slots<T>) -> Result<()> {
        let Some((mean, variance)) = &self.statistics else {
            return Err(Error::argument("batch_norm_train", "backward was called before forward"));
        };
        leave(kept, grad, slots, (mean, variance), (self.eps, self.relu, self.residual, true))
    }
}

impl<T: Element> BatchNormTrain<T> {
    /// The output for x in channels-last memory, once the statistics are known.
    fn apply(&self, x: &Data<T>, parameters: [&Data<T>; 2], residual: Option<&Data<T>>) -> Result<Data<T>> {
        let Some((mean, variance)) = &self.statistics else {
            return Err(Error::argument("batch_norm_train", "applied before its statistics are known"));
        };
        apply(x, (mean, variance), parameters, self.eps, residual, self.relu)
    }
}

impl<T: Element> Value<T> {
    /// relu?(γ·(x − μ)/√(σ² + `eps`) + β + residual?) for x (N, C, H, W) or (N, C), with μ and σ² the mean and (biased)
    /// variance of each channel over the batch; and these statistics, the variance unbiased.
    ///
    /// ```
    /// # use ukulele_autograd::{BatchNormOptions, Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2, 1], vec![1., 3.])?.into();
    /// let [gamma, beta] = [2., 1.].map(|c| Value::from(Tensor::scalar(c).reshape(&[1]).unwrap()));
    /// let (y, statistics) = x.batch_norm_train(&gamma, &beta, 0.0, &BatchNormOptions::default())?;
    /// assert_eq!(y.tensor().to_vec(), [-1., 3.]);
    /// assert_eq!((statistics.mean.item()?, statistics.variance.item()?), (2., 2.));
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit; an empty x.
    pub fn batch_norm_train(
        &self,
        gamma: &Self,
        beta: &Self,
        eps: f64,
        options: &BatchNormOptions<T>,
    ) -> Result<(Self, BatchStatistics<T>)> {
        let op = BatchNormTrain { eps, relu: options.relu, residual: options.residual.is_some(), statistics: None };
        let mut inputs = vec![self, gamma, beta];
        inputs.extend(options.residual);
        let (output, statistics) = Self::apply_then(op, &inputs, |op| op.statistics.clone())?;
        let (mean, biased) = statistics.ok_or_else(|| Error::argument("batch_norm_train", "no statistics"))?;
        let count = self.shape().iter().product::<usize>() / gamma.shape()[0].max(1);
        let unbias = if count > 1 { count as f64 / (count - 1) as f64 } else { 1.0 };
        let variance = crate::ops::elementwise::affine(unbias, 0.0, &biased)?;
        Ok((output, BatchStatistics { mean, variance }))
    }
}

/// Examples for both kinds of batch normalisation: x, γ, β and, optionally, a residual; `relu` tells what follows.
pub(crate) fn batch_norm_examples<T: Element>(
    run: impl Fn(&[Value<T>], &BatchNormOptions<T>) -> Result<Value<T>> + Copy + 'static,
) -> Vec<Example<T>> {
    let example = |label, shape: &[usize], residual: bool, relu: bool| {
        let channels = [shape[1]];
        let mut inputs = vec![numbers(1, shape), numbers(2, &channels), numbers(3, &channels)];
        inputs.extend(residual.then(|| numbers(4, shape)));
        Example::new(label, inputs, move |v| run(v, &BatchNormOptions { residual: v.get(3), relu }))
    };
    vec![
        example("image", &[2, 3, 4, 3], false, false),
        example("relu", &[2, 3, 4, 3], false, true),
        example("residual", &[2, 3, 2, 3], true, false),
        example("residual and relu", &[3, 2, 3, 2], true, true),
        example("matrix", &[5, 3], false, false),
        example("matrix, residual and relu", &[6, 2], true, true),
    ]
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    batch_norm_examples(|v, options| Ok(v[0].batch_norm_train(&v[1], &v[2], 1e-2, options)?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let run = |x: &[usize], gamma: &[usize], residual: &[usize]| {
            let [x, gamma, residual]: [Value; 3] = [x, gamma, residual].map(|shape| numbers(1, shape).into());
            let options = BatchNormOptions { residual: Some(&residual), relu: true };
            x.batch_norm_train(&gamma, &gamma, 1e-5, &options).unwrap_err().to_string()
        };
        assert!(run(&[2, 3, 4], &[3], &[2, 3, 4]).contains("(N, C, H, W) or (N, C) expected"));
        assert!(run(&[2, 3], &[2], &[2, 3]).contains("[2, 3] and [2]"));
        assert!(run(&[2, 3], &[3], &[3, 3]).contains("[3, 3] and [2, 3]"));
        assert!(run(&[0, 3], &[3], &[0, 3]).contains("at least one value"));
    }
}
