//! y = eˣ; ∂L/∂x = ∂L/∂y·y.

use crate::gradcheck::{Example, elementwise};
use crate::ops::elementwise::{unary, unary_backward};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::elementwise::Unary;

/// eˣ, elementwise.
#[derive(Debug, Clone, Copy)]
pub struct Exp;

impl<T: Element> Op<T> for Exp {
    fn name(&self) -> &'static str {
        "exp"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::OUTPUT
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        unary(Unary::Exp, inputs[0])
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        slots.add(0, unary_backward(Unary::Exp, kept.output()?, &grad)?)
    }
}

impl<T: Element> Value<T> {
    /// eˣ, elementwise.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2], vec![0., f32::NEG_INFINITY])?.into();
    /// assert_eq!(x.exp()?.tensor().to_vec(), [1., 0.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn exp(&self) -> Result<Self> {
        Self::apply(Exp, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    elementwise(|v| v[0].exp())
}
