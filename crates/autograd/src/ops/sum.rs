//! y = Σx; ∂L/∂x = ∂L/∂y for every element.

use crate::gradcheck::{Example, elementwise};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::reduce;

/// The sum of all elements, a scalar.
#[derive(Debug, Clone, Copy)]
pub struct Sum;

impl<T: Element> Op<T> for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::NOTHING
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        Ok(Tensor::scalar(T::from_f64(reduce::sum(inputs[0].dense().dense_memory()))))
    }

    fn backward(&self, _: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        slots.add(0, grad.expand(slots.shape(0))?)
    }
}

impl<T: Element> Value<T> {
    /// The sum of all elements, a scalar.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2], vec![1., 2.])?.into();
    /// assert_eq!(x.sum()?.tensor().item()?, 3.);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn sum(&self) -> Result<Self> {
        Self::apply(Sum, &[self])
    }

    /// The mean of all elements, a scalar; NaN if there are none.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2], vec![1., 2.])?.into();
    /// assert_eq!(x.mean()?.tensor().item()?, 1.5);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn mean(&self) -> Result<Self> {
        self.sum()?.scale(1.0 / self.numel() as f64)
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let mut examples = elementwise(|v| v[0].sum());
    examples.extend(elementwise(|v| v[0].mean()).into_iter().filter(|e| e.inputs[0].numel() > 0));
    examples
}
