//! y = 1 / (1 + e⁻ˣ); ∂L/∂x = ∂L/∂y·y·(1 − y).

use crate::gradcheck::{Example, elementwise};
use crate::ops::elementwise::{unary, unary_backward};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::elementwise::Unary;

/// 1 / (1 + e⁻ˣ), elementwise.
#[derive(Debug, Clone, Copy)]
pub struct Sigmoid;

impl<T: Element> Op<T> for Sigmoid {
    fn name(&self) -> &'static str {
        "sigmoid"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::OUTPUT
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        unary(Unary::Sigmoid, inputs[0])
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        slots.add(0, unary_backward(Unary::Sigmoid, kept.output()?, &grad)?)
    }
}

impl<T: Element> Value<T> {
    /// 1 / (1 + e⁻ˣ), elementwise.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2], vec![0., 100.])?.into();
    /// assert_eq!(x.sigmoid()?.tensor().to_vec(), [0.5, 1.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn sigmoid(&self) -> Result<Self> {
        Self::apply(Sigmoid, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    elementwise(|v| v[0].sigmoid())
}
