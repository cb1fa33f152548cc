//! y = relu?(γ·(x − μ)/√(σ² + ε) + β + residual?), with μ and σ² the mean and variance of the batch, per channel.
//!
//! With g = ∂L/∂y where ReLU let it pass, n = (x − μ)/√(σ² + ε) and m values a channel: ∂L/∂β = Σg, ∂L/∂γ = Σg·n,
//! ∂L/∂x = γ/√(σ² + ε)·(g − (∂L/∂β + n·∂L/∂γ)/m), ∂L/∂residual = g.
//!
//! Source: Ioffe and Szegedy, "Batch Normalization", 2015.

use crate::gradcheck::{Example, numbers};
use crate::{Element, Error, Keeps, Kept, Op, Result, Slots, Tensor, Value};
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
pub(crate) fn channels_last<T: Element>(op: &'static str, x: &Tensor<T>) -> Result<Tensor<T>> {
    match x.rank() {
        2 | 4 => Ok(x.channels_last()),
        _ => Err(Error::shape(op, x.shape(), "(N, C, H, W) or (N, C)")),
    }
}

/// Checks the shapes; returns x and the residual with their channels last in memory.
pub(crate) fn enter<T: Element>(op: &'static str, inputs: &[&Tensor<T>]) -> Result<(Tensor<T>, Option<Tensor<T>>)> {
    let x = channels_last(op, inputs[0])?;
    for parameter in &inputs[1..3] {
        if *parameter.shape() != [x.shape()[1]] {
            return Err(Error::shapes(op, x.shape(), parameter.shape()));
        }
    }
    let residual = inputs.get(3).map(|r| r.laid_as(&x)).transpose()?;
    Ok((x, residual))
}

/// relu?(γ·(x − μ)/√(σ² + ε) + β + residual?) for x and the residual in channels-last memory.
pub(crate) fn apply<T: Element>(
    x: &Tensor<T>,
    (mean, variance): (&Tensor<T>, &Tensor<T>),
    parameters: [&Tensor<T>; 2],
    eps: f64,
    residual: Option<&Tensor<T>>,
    relu: bool,
) -> Result<Tensor<T>> {
    let [gamma, beta] = parameters.map(Tensor::contiguous);
    x.build_like(|y| {
        norm::batch_norm_apply(
            x.dense_memory(),
            mean.dense_memory(),
            variance.dense_memory(),
            gamma.dense_memory(),
            beta.dense_memory(),
            eps,
            residual.map(Tensor::dense_memory),
            relu,
            y,
        );
    })
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
    kept: &Kept<T>,
    grad: Tensor<T>,
    slots: &mut Slots<T>,
    (mean, variance): (&Tensor<T>, &Tensor<T>),
    (eps, relu, residual, batch_statistics): (f64, bool, bool, bool),
) -> Result<()> {
    let x = channels_last("batch_norm", kept.input(0)?)?;
    let gamma = kept.input(1)?.contiguous();
    let mut dy = grad.laid_as(&x)?;
    // Two handles of one memory would make the kernel work on a copy.
    drop(grad);
    let (wants_dx, wants_residual) = (slots.wants(0), slots.wants(3));
    let beta = if relu && !residual { Some(kept.input(2)?.contiguous()) } else { None };
    let output = if relu && residual { Some(kept.output()?.laid_as(&x)?) } else { None };
    let passed = match (&beta, &output) {
        (Some(beta), _) => Relu::Beta(beta.dense_memory()),
        (None, Some(output)) => Relu::Output(output.dense_memory()),
        (None, None) => Relu::None,
    };
    let mut dgamma = Tensor::zeros(gamma.shape())?;
    let mut dbeta = Tensor::zeros(gamma.shape())?;
    let p = BatchNormBackward {
        x: x.dense_memory(),
        relu: passed,
        mean: mean.dense_memory(),
        variance: variance.dense_memory(),
        gamma: gamma.dense_memory(),
        eps,
        batch_statistics,
    };
    let mut run = |dy: &mut Tensor<T>, dresidual: Option<&mut [T]>| {
        let out = BatchNormGradients {
            dx_in_dy: wants_dx,
            dresidual,
            dgamma: dgamma.memory_mut(),
            dbeta: dbeta.memory_mut(),
        };
        norm::batch_norm_backward(&p, dy.memory_mut(), out);
    };
    if wants_residual && relu {
        let dresidual = x.build_like(|dresidual| run(&mut dy, Some(dresidual)))?;
        slots.add(3, dresidual)?;
    } else {
        slots.add(3, dy.clone())?;
        run(&mut dy, None);
    }
    slots.add(2, dbeta)?;
    slots.add(1, dgamma)?;
    slots.add(0, dy)
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

    fn again(&self, kept: &Kept<T>) -> Result<Tensor<T>> {
        let x = channels_last("batch_norm_train", kept.input(0)?)?;
        let residual = if self.residual { Some(kept.input(3)?.laid_as(&x)?) } else { None };
        self.apply(&x, kept.input(1)?, kept.input(2)?, residual.as_ref())
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        let (x, residual) = enter("batch_norm_train", inputs)?;
        if x.numel() == 0 {
            return Err(Error::shape("batch_norm_train", x.shape(), "at least one value a channel, to take a mean of"));
        }
        let [mean, variance] = Tensor::build_all([inputs[1].shape(); 2], |[mean, variance]| {
            norm::batch_norm_statistics(x.dense_memory(), mean, variance);
        })?;
        self.statistics = Some((mean, variance));
        self.apply(&x, inputs[1], inputs[2], residual.as_ref())
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let Some((mean, variance)) = &self.statistics else {
            return Err(Error::argument("batch_norm_train", "backward was called before forward"));
        };
        leave(kept, grad, slots, (mean, variance), (self.eps, self.relu, self.residual, true))
    }
}

impl<T: Element> BatchNormTrain<T> {
    /// The output for x in channels-last memory, once the statistics are known.
    fn apply(&self, x: &Tensor<T>, gamma: &Tensor<T>, beta: &Tensor<T>, residual: Option<&Tensor<T>>) -> Result<Tensor<T>> {
        let Some((mean, variance)) = &self.statistics else {
            return Err(Error::argument("batch_norm_train", "applied before its statistics are known"));
        };
        apply(x, (mean, variance), [gamma, beta], self.eps, residual, self.relu)
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
        let count = self.tensor().numel() / gamma.shape()[0].max(1);
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
