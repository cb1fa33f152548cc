//! y = γ·n + β, n = (x − μ)/√(σ² + ε), with μ and σ² the mean and (biased) variance over the last dimension.
//!
//! With g = ∂L/∂y·γ: ∂L/∂β = Σ∂L/∂y, ∂L/∂γ = Σ∂L/∂y·n, ∂L/∂x = (g − mean(g) − n·mean(g·n))/√(σ² + ε).
//!
//! Source: Ba, Kiros and Hinton, "Layer Normalization", 2016.

use crate::gradcheck::{Example, numbers};
use crate::{Element, Error, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::norm;

/// Layer normalisation: inputs x (.., D), γ (D), β (D).
#[derive(Debug, Clone)]
pub struct LayerNorm<T: Element> {
    /// Added to the variance.
    pub eps: f64,
    /// Mean and 1/√(σ² + ε) of each row, known after a recorded forward.
    pub statistics: Option<(Tensor<T>, Tensor<T>)>,
}

impl<T: Element> Op<T> for LayerNorm<T> {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        // The shift for `again`.
        Keeps::inputs(&[0, 1, 2])
    }

    fn is_cheap(&self) -> bool {
        true
    }

    fn again(&self, kept: &Kept<T>) -> Result<Tensor<T>> {
        self.clone().forward(&[kept.input(0)?, kept.input(1)?, kept.input(2)?], false)
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], record: bool) -> Result<Tensor<T>> {
        let [x, gamma, beta] = [0, 1, 2].map(|i| inputs[i].contiguous());
        let Some((&width, lead)) = x.shape().split_last() else {
            return Err(Error::shape("layer_norm", x.shape(), "(.., D)"));
        };
        for parameter in [&gamma, &beta] {
            if *parameter.shape() != [width] {
                return Err(Error::shapes("layer_norm", x.shape(), parameter.shape()));
            }
        }
        if width == 0 {
            return Ok(x);
        }
        let rows = [lead.iter().product()];
        let [output, mean, inverse] = Tensor::build_all([x.shape(), &rows, &rows], |[y, mean, inverse]| {
            norm::layer_norm(x.dense_memory(), gamma.dense_memory(), beta.dense_memory(), self.eps, y, mean, inverse);
        })?;
        self.statistics = record.then_some((mean, inverse));
        Ok(output)
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let (x, gamma, grad) = (kept.input(0)?.contiguous(), kept.input(1)?.contiguous(), grad.contiguous());
        let Some((mean, inverse)) = &self.statistics else {
            // Rows without elements.
            return (0..3).try_for_each(|i| slots.add(i, Tensor::zeros(slots.shape(i))?));
        };
        let width = gamma.shape();
        let run = |dx: Option<&mut [T]>, dgamma: &mut [T], dbeta: &mut [T]| {
            let (x, mean, inverse) = (x.dense_memory(), mean.dense_memory(), inverse.dense_memory());
            norm::layer_norm_backward(x, mean, inverse, gamma.dense_memory(), grad.dense_memory(), dx, dgamma, dbeta);
        };
        let [dgamma, dbeta] = if slots.wants(0) {
            let [dx, dgamma, dbeta] =
                Tensor::build_all([x.shape(), width, width], |[dx, dgamma, dbeta]| run(Some(dx), dgamma, dbeta))?;
            slots.add(0, dx)?;
            [dgamma, dbeta]
        } else {
            Tensor::build_all([width, width], |[dgamma, dbeta]| run(None, dgamma, dbeta))?
        };
        slots.add(1, dgamma)?;
        slots.add(2, dbeta)
    }
}

impl<T: Element> Value<T> {
    /// γ·(x − μ)/√(σ² + `eps`) + β, with the mean μ and (biased) variance σ² over the last dimension.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[1, 2], vec![1., 3.])?.into();
    /// let [gamma, beta] = [2., 1.].map(|c| Value::from(Tensor::full(&[2], c).unwrap()));
    /// assert_eq!(x.layer_norm(&gamma, &beta, 0.0)?.tensor().to_vec(), [-1., 3.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn layer_norm(&self, gamma: &Self, beta: &Self, eps: f64) -> Result<Self> {
        Self::apply(LayerNorm { eps, statistics: None }, &[self, gamma, beta])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let example = |label, shape: &[usize]| {
        let width = [shape[shape.len() - 1]];
        let inputs = vec![numbers(1, shape), numbers(2, &width), numbers(3, &width)];
        Example::new(label, inputs, |v| v[0].layer_norm(&v[1], &v[2], 1e-2))
    };
    vec![
        example("matrix", &[3, 5]),
        example("tokens", &[2, 3, 4]),
        example("vector", &[6]),
        example("one", &[2, 1]),
        example("no rows", &[0, 3]),
        example("no features", &[2, 0]),
    ]
}
