//! y = a + b; ∂L/∂a = ∂L/∂y, ∂L/∂b = ∂L/∂y, each summed over the dimensions in which it was stretched.

use crate::gradcheck::{Example, broadcasting};
use crate::ops::elementwise::{add_broadcast, binary};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::elementwise::Binary;

/// y = a + b, elementwise; the shapes broadcast.
#[derive(Debug, Clone, Copy)]
pub struct Add;

impl<T: Element> Op<T> for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::NOTHING
    }

    fn again_needs(&self, inputs: usize) -> Option<Keeps> {
        Some(Keeps::first(inputs))
    }

    fn again(&self, kept: &Kept<T>) -> Result<Tensor<T>> {
        binary("add", Binary::Add, kept.input(0)?, kept.input(1)?)
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        binary("add", Binary::Add, inputs[0], inputs[1])
    }

    fn backward(&self, _: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        add_broadcast(slots, 0, || Ok(grad.clone()))?;
        add_broadcast(slots, 1, || Ok(grad))
    }
}

impl<T: Element> Value<T> {
    /// a + b, elementwise. Shapes broadcast: dimensions are aligned at the end, and a 1 stretches.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let a: Value = Tensor::from_vec(&[2, 2], vec![2., 4., 6., 8.])?.into();
    /// let b: Value = Tensor::from_vec(&[2], vec![1., 2.])?.into();
    /// assert_eq!(a.add(&b)?.tensor().to_vec(), [3., 6., 7., 10.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn add(&self, other: &Self) -> Result<Self> {
        Self::apply(Add, &[self, other])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    broadcasting(|a, b| a.add(b))
}
