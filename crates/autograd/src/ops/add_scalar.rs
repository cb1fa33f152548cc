//! y = x + c; ∂L/∂x = ∂L/∂y.

use crate::gradcheck::{Example, elementwise};
use crate::ops::elementwise::affine;
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};

/// x + c, elementwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AddScalar {
    /// What is added to every element.
    pub term: f64,
}

impl<T: Element> Op<T> for AddScalar {
    fn name(&self) -> &'static str {
        "add_scalar"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::NOTHING
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        affine(1.0, self.term, inputs[0])
    }

    fn backward(&self, _: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        slots.add(0, grad)
    }
}

impl<T: Element> Value<T> {
    /// x + c, elementwise.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2], vec![-2., 3.])?.into();
    /// assert_eq!(x.add_scalar(2.0)?.tensor().to_vec(), [0., 5.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn add_scalar(&self, term: f64) -> Result<Self> {
        Self::apply(AddScalar { term }, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    elementwise(|v| v[0].add_scalar(-1.5))
}
