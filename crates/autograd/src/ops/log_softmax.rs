//! y = x − ln Σeˣ over the last dimension; ∂L/∂x = ∂L/∂y − eʸ·Σ ∂L/∂y.

use crate::gradcheck::{Example, elementwise};
use crate::ops::softmax::width;
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::softmax;

/// x − ln Σeˣ over the last dimension.
#[derive(Debug, Clone, Copy)]
pub struct LogSoftmax;

impl<T: Element> Op<T> for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::OUTPUT
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        let x = inputs[0].contiguous();
        Tensor::build(x.shape(), |y| softmax::log_softmax(x.dense_memory(), width(&x), y))
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let (y, grad) = (kept.output()?, grad.contiguous());
        let dx = Tensor::build(y.shape(), |dx| {
            softmax::log_softmax_backward(y.dense_memory(), grad.dense_memory(), width(y), dx);
        });
        slots.add(0, dx?)
    }
}

impl<T: Element> Value<T> {
    /// x − ln Σeˣ over the last dimension.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[1, 2], vec![5., 5.])?.into();
    /// assert!((x.log_softmax()?.tensor().to_vec()[1] - 0.5f32.ln()).abs() < 1e-6);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn log_softmax(&self) -> Result<Self> {
        Self::apply(LogSoftmax, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    elementwise(|v| v[0].scale(3.0)?.log_softmax())
}
