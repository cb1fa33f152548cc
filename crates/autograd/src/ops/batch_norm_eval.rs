//! y = relu?(γ·(x − μ)/√(σ² + ε) + β + residual?), with constants μ and σ² per channel.
//!
//! With g = ∂L/∂y where ReLU let it pass and n = (x − μ)/√(σ² + ε): ∂L/∂β = Σg, ∂L/∂γ = Σg·n, ∂L/∂x = γ/√(σ² + ε)·g,
//! ∂L/∂residual = g.

use crate::gradcheck::{Example, numbers};
use crate::ops::batch_norm_train::{
    BatchNormOptions, apply, batch_norm_examples, channels_last, enter, keeps, leave,
};
use crate::{Data, Element, Error, Keeps, Kept, Op, Result, Slots, Tensor, Value};

/// Batch normalisation by running statistics: inputs x (N, C, ..), γ (C), β (C) and, optionally, the residual.
#[derive(Debug, Clone)]
pub struct BatchNormEval<T: Element> {
    /// The mean of each channel.
    pub mean: Tensor<T>,
    /// The variance of each channel.
    pub variance: Tensor<T>,
    /// Added to the variance.
    pub eps: f64,
    /// Whether max(·, 0) follows.
    pub relu: bool,
    /// Whether a residual is added. Without one the output is computed again in backward, not kept.
    pub residual: bool,
}

impl<T: Element> Op<T> for BatchNormEval<T> {
    fn name(&self) -> &'static str {
        "batch_norm_eval"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        keeps(self.residual, self.relu)
    }

    fn is_cheap(&self) -> bool {
        !self.residual
    }

    fn again_data(&self, kept: Kept<T>) -> Result<Data<T>> {
        let x = channels_last("batch_norm_eval", kept.input_data(0)?)?;
        let parameters = [kept.input_data(1)?, kept.input_data(2)?];
        apply(&x, (&self.mean, &self.variance), parameters, self.eps, None, self.relu)
    }

    fn forward_data(&mut self, inputs: &[&Data<T>], _: bool) -> Result<Data<T>> {
        let (x, residual) = enter("batch_norm_eval", inputs)?;
        for statistic in [&self.mean, &self.variance] {
            if *statistic.shape() != [x.shape()[1]] {
                return Err(Error::shapes("batch_norm_eval (statistics)", x.shape(), statistic.shape()));
            }
        }
        let statistics = (&self.mean, &self.variance);
        apply(&x, statistics, [inputs[1], inputs[2]], self.eps, residual.as_ref(), self.relu)
    }

    fn backward_data(&self, kept: Kept<T>, grad: Data<T>, slots: &mut Slots<T>) -> Result<()> {
        leave(kept, grad, slots, (&self.mean, &self.variance), (self.eps, self.relu, self.residual, false))
    }
}

impl<T: Element> Value<T> {
    /// relu?(γ·(x − `mean`)/√(`variance` + `eps`) + β + residual?) for x (N, C, H, W) or (N, C).
    ///
    /// ```
    /// # use ukulele_autograd::{BatchNormOptions, Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2, 1], vec![1., 3.])?.into();
    /// let [one, four] = [1., 4.].map(|c| Tensor::full(&[1], c).unwrap());
    /// let (gamma, beta) = (one.clone().into(), one.clone().into());
    /// let y = x.batch_norm_eval(&gamma, &beta, &one, &four, 0.0, &BatchNormOptions::default())?;
    /// assert_eq!(y.tensor().to_vec(), [1., 2.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn batch_norm_eval(
        &self,
        gamma: &Self,
        beta: &Self,
        mean: &Tensor<T>,
        variance: &Tensor<T>,
        eps: f64,
        options: &BatchNormOptions<T>,
    ) -> Result<Self> {
        let (mean, variance) = (mean.contiguous(), variance.contiguous());
        let mut inputs = vec![self, gamma, beta];
        inputs.extend(options.residual);
        let residual = options.residual.is_some();
        Self::apply(BatchNormEval { mean, variance, eps, relu: options.relu, residual }, &inputs)
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let run = |v: &[Value<T>], options: &BatchNormOptions<T>| {
        let channels = v[1].numel();
        let [mean, variance] = [0.1, 0.6].map(|start| {
            let values = (0..channels).map(|c| T::from_f64(start + 0.2 * c as f64)).collect();
            Tensor::from_vec(&[channels], values)
        });
        v[0].batch_norm_eval(&v[1], &v[2], &mean?, &variance?, 1e-3, options)
    };
    let mut examples = batch_norm_examples(run);
    let empty = vec![numbers(1, &[0, 2, 2, 2]), numbers(2, &[2]), numbers(3, &[2])];
    examples.push(Example::new("no images", empty, move |v| run(v, &BatchNormOptions::default())));
    examples
}
