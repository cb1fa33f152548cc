//! y = max(x, 0); ∂L/∂x = ∂L/∂y where y > 0, else 0.

use crate::gradcheck::{Example, elementwise};
use crate::ops::elementwise::{unary, unary_backward};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::elementwise::Unary;

/// max(x, 0), elementwise.
#[derive(Debug, Clone, Copy)]
pub struct Relu;

impl<T: Element> Op<T> for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::OUTPUT
    }

    fn again_needs(&self, inputs: usize) -> Option<Keeps> {
        Some(Keeps::first(inputs))
    }

    fn again(&self, kept: &Kept<T>) -> Result<Tensor<T>> {
        unary(Unary::Relu, kept.input(0)?)
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        unary(Unary::Relu, inputs[0])
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        slots.add(0, unary_backward(Unary::Relu, kept.output()?, &grad)?)
    }
}

impl<T: Element> Value<T> {
    /// max(x, 0), elementwise.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2], vec![-1., 2.])?.into();
    /// assert_eq!(x.relu()?.tensor().to_vec(), [0., 2.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn relu(&self) -> Result<Self> {
        Self::apply(Relu, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    elementwise(|v| v[0].relu())
}
