//! y = x²; ∂L/∂x = 2x·∂L/∂y.

use crate::gradcheck::{Example, elementwise};
use crate::ops::elementwise::{unary, unary_backward};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::elementwise::Unary;

/// x², elementwise.
#[derive(Debug, Clone, Copy)]
pub struct Square;

impl<T: Element> Op<T> for Square {
    fn name(&self) -> &'static str {
        "square"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::inputs(&[0])
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        unary(Unary::Square, inputs[0])
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        slots.add(0, unary_backward(Unary::Square, kept.input(0)?, &grad)?)
    }
}

impl<T: Element> Value<T> {
    /// x², elementwise.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2], vec![-2., 3.])?.into();
    /// assert_eq!(x.square()?.tensor().to_vec(), [4., 9.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn square(&self) -> Result<Self> {
        Self::apply(Square, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    elementwise(|v| v[0].square())
}
