//! y = √x; ∂L/∂x = ∂L/∂y / 2y.

use crate::gradcheck::{Example, elementwise};
use crate::ops::elementwise::{unary, unary_backward};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::elementwise::Unary;

/// √x, elementwise.
#[derive(Debug, Clone, Copy)]
pub struct Sqrt;

impl<T: Element> Op<T> for Sqrt {
    fn name(&self) -> &'static str {
        "sqrt"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::OUTPUT
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        unary(Unary::Sqrt, inputs[0])
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        slots.add(0, unary_backward(Unary::Sqrt, kept.output()?, &grad)?)
    }
}

impl<T: Element> Value<T> {
    /// √x, elementwise.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2], vec![4., 9.])?.into();
    /// assert_eq!(x.sqrt()?.tensor().to_vec(), [2., 3.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn sqrt(&self) -> Result<Self> {
        Self::apply(Sqrt, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    elementwise(|v| v[0].square()?.add_scalar(0.5)?.sqrt())
}
