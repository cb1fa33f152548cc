//! y = a·b; ∂L/∂a = ∂L/∂y·b, ∂L/∂b = ∂L/∂y·a, each summed over the dimensions in which it was stretched.

use crate::gradcheck::{Example, broadcasting};
use crate::ops::elementwise::{add_broadcast, binary};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::elementwise::Binary;

/// y = a · b, elementwise; the shapes broadcast.
#[derive(Debug, Clone, Copy)]
pub struct Mul;

impl<T: Element> Op<T> for Mul {
    fn name(&self) -> &'static str {
        "mul"
    }

    fn keeps(&self, wants: &[bool]) -> Keeps {
        Keeps::NOTHING.and_input_if(0, wants[1]).and_input_if(1, wants[0])
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        binary("mul", Binary::Mul, inputs[0], inputs[1])
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        add_broadcast(slots, 0, || binary("mul", Binary::Mul, &grad, kept.input(1)?))?;
        add_broadcast(slots, 1, || binary("mul", Binary::Mul, &grad, kept.input(0)?))
    }
}

impl<T: Element> Value<T> {
    /// a · b, elementwise. Shapes broadcast: dimensions are aligned at the end, and a 1 stretches.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let a: Value = Tensor::from_vec(&[2, 2], vec![2., 4., 6., 8.])?.into();
    /// let b: Value = Tensor::from_vec(&[2], vec![1., 2.])?.into();
    /// assert_eq!(a.mul(&b)?.tensor().to_vec(), [2., 8., 6., 16.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn mul(&self, other: &Self) -> Result<Self> {
        Self::apply(Mul, &[self, other])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    broadcasting(|a, b| a.mul(b))
}
