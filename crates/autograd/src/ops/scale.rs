//! y = c·x; ∂L/∂x = c·∂L/∂y.

use crate::gradcheck::{Example, elementwise};
use crate::ops::elementwise::affine;
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};

/// c·x, elementwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// What every element is multiplied by.
    pub factor: f64,
}

impl<T: Element> Op<T> for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::NOTHING
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        affine(self.factor, 0.0, inputs[0])
    }

    fn backward(&self, _: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        slots.add(0, affine(self.factor, 0.0, &grad)?)
    }
}

impl<T: Element> Value<T> {
    /// c·x, elementwise.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2], vec![-2., 3.])?.into();
    /// assert_eq!(x.scale(2.0)?.tensor().to_vec(), [-4., 6.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn scale(&self, factor: f64) -> Result<Self> {
        Self::apply(Scale { factor }, &[self])
    }

    /// −x, elementwise.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2], vec![-2., 3.])?.into();
    /// assert_eq!(x.neg()?.tensor().to_vec(), [2., -3.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn neg(&self) -> Result<Self> {
        self.scale(-1.0)
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    elementwise(|v| v[0].scale(-1.5))
}
