//! y = eˣ / Σeˣ over the last dimension; ∂L/∂x = y·(∂L/∂y − Σ y·∂L/∂y).

use crate::gradcheck::{Example, elementwise};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::softmax;

/// eˣ / Σeˣ over the last dimension.
#[derive(Debug, Clone, Copy)]
pub struct Softmax;

/// The number of elements in a row: the last dimension; a scalar is a row of one.
pub(crate) fn width<T: Element>(x: &Tensor<T>) -> usize {
    x.shape().last().copied().unwrap_or(1)
}

impl<T: Element> Op<T> for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::OUTPUT
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        let x = inputs[0].contiguous();
        Tensor::build(x.shape(), |y| softmax::softmax(x.dense_memory(), width(&x), y))
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let (y, grad) = (kept.output()?, grad.contiguous());
        let dx = Tensor::build(y.shape(), |dx| {
            softmax::softmax_backward(y.dense_memory(), grad.dense_memory(), width(y), dx);
        });
        slots.add(0, dx?)
    }
}

impl<T: Element> Value<T> {
    /// eˣ / Σeˣ over the last dimension.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[1, 2], vec![5., 5.])?.into();
    /// assert_eq!(x.softmax()?.tensor().to_vec(), [0.5, 0.5]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn softmax(&self) -> Result<Self> {
        Self::apply(Softmax, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    elementwise(|v| v[0].scale(3.0)?.softmax())
}
