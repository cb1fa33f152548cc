//! y = tanh x; ∂L/∂x = ∂L/∂y·(1 − y²).

use crate::gradcheck::{Example, elementwise};
use crate::ops::elementwise::{unary, unary_backward};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::elementwise::Unary;

/// The hyperbolic tangent, elementwise.
#[derive(Debug, Clone, Copy)]
pub struct Tanh;

impl<T: Element> Op<T> for Tanh {
    fn name(&self) -> &'static str {
        "tanh"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::OUTPUT
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        unary(Unary::Tanh, inputs[0])
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        slots.add(0, unary_backward(Unary::Tanh, kept.output()?, &grad)?)
    }
}

impl<T: Element> Value<T> {
    /// The hyperbolic tangent, elementwise.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2], vec![0., 100.])?.into();
    /// assert_eq!(x.tanh()?.tensor().to_vec(), [0., 1.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn tanh(&self) -> Result<Self> {
        Self::apply(Tanh, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    elementwise(|v| v[0].tanh())
}
