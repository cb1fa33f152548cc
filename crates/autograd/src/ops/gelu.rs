//! y = x·Φ(x), with the normal distribution's Φ(x) = (1 + erf(x / √2)) / 2, or its approximation by tanh;
//! ∂L/∂x = ∂L/∂y·(Φ(x) + x·Φ′(x)).
//!
//! Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.

use crate::gradcheck::{Example, elementwise};
use crate::ops::elementwise::{unary, unary_backward};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::elementwise::Unary;

/// The Gaussian error linear unit, elementwise: which of its two formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gelu {
    /// x/2·(1 + erf(x / √2)): exact, as in BERT.
    Erf,
    /// x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))): the approximation of Google's BERT and of GPT-2.
    Tanh,
}

impl Gelu {
    fn kernel(self) -> Unary {
        match self {
            Self::Erf => Unary::GeluErf,
            Self::Tanh => Unary::GeluTanh,
        }
    }
}

impl<T: Element> Op<T> for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::inputs(&[0])
    }

    fn is_cheap(&self) -> bool {
        true
    }

    fn again(&self, kept: &Kept<T>) -> Result<Tensor<T>> {
        unary(self.kernel(), kept.input(0)?)
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        unary(self.kernel(), inputs[0])
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        slots.add(0, unary_backward(self.kernel(), kept.input(0)?, &grad)?)
    }
}

impl<T: Element> Value<T> {
    /// The Gaussian error linear unit, elementwise.
    ///
    /// ```
    /// # use ukulele_autograd::{Gelu, Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2], vec![0., 100.])?.into();
    /// assert_eq!(x.gelu(Gelu::Erf)?.tensor().to_vec(), [0., 100.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn gelu(&self, formula: Gelu) -> Result<Self> {
        Self::apply(formula, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let mut examples = elementwise(|v| v[0].scale(3.0)?.gelu(Gelu::Erf));
    examples.extend(elementwise(|v| v[0].scale(3.0)?.gelu(Gelu::Tanh)));
    examples
}
