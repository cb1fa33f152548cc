//! y = max(x, 0); ∂L/∂x = ∂L/∂y where y > 0, else 0.

use crate::gradcheck::{Example, numbers};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::elementwise;

/// y = max(x, 0), elementwise, any shape.
#[derive(Debug, Clone, Copy)]
pub struct Relu;

impl<T: Element> Op<T> for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::OUTPUT
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        let x = inputs[0].dense();
        x.build_like(|y| elementwise::relu(x.dense_memory(), y))
    }

    fn backward(&self, kept: &Kept<T>, grad: &Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let y = kept.output()?;
        let grad = grad.laid_as(y)?;
        slots.add(0, y.build_like(|dx| elementwise::relu_backward(y.dense_memory(), grad.dense_memory(), dx))?)
    }
}

impl<T: Element> Value<T> {
    /// y = max(x, 0).
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
    [("matrix", vec![3, 4]), ("scalar", vec![]), ("image", vec![2, 3, 2, 2]), ("empty", vec![0, 3])]
        .into_iter()
        .map(|(label, shape)| Example::new(label, vec![numbers(1, &shape)], |v| v[0].relu()))
        .collect()
}
