//! y = ln x; ∂L/∂x = ∂L/∂y / x.

use crate::gradcheck::{Example, elementwise};
use crate::ops::elementwise::{unary, unary_backward};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::elementwise::Unary;

/// The natural logarithm, elementwise.
#[derive(Debug, Clone, Copy)]
pub struct Ln;

impl<T: Element> Op<T> for Ln {
    fn name(&self) -> &'static str {
        "ln"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::inputs(&[0])
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        unary(Unary::Ln, inputs[0])
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        slots.add(0, unary_backward(Unary::Ln, kept.input(0)?, &grad)?)
    }
}

impl<T: Element> Value<T> {
    /// The natural logarithm, elementwise.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2], vec![1., 0.])?.into();
    /// assert_eq!(x.ln()?.tensor().to_vec(), [0., f32::NEG_INFINITY]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn ln(&self) -> Result<Self> {
        Self::apply(Ln, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    elementwise(|v| v[0].square()?.add_scalar(0.5)?.ln())
}
