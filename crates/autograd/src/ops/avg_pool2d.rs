//! y = the mean of each window; ∂L/∂x sums ∂L/∂y / (what the mean divided by) over the windows of an element.

use crate::gradcheck::Example;
use crate::ops::max_pool2d::{Pool2d, pool_examples};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::pool;

/// Mean over windows of x (N, C, H, W).
#[derive(Debug, Clone, Copy)]
pub struct AvgPool2d {
    /// How the window moves.
    pub options: Pool2d,
}

impl<T: Element> Op<T> for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::NOTHING
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        let g = self.options.geometry("avg_pool2d", inputs[0].shape())?;
        let x = inputs[0].channels_last();
        Tensor::build_channels_last([g.n, g.c, g.out_h(), g.out_w()], |y| pool::avg_pool2d(&g, x.dense_memory(), y))
    }

    fn backward(&self, _: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let g = self.options.geometry("avg_pool2d", slots.shape(0))?;
        let grad = grad.channels_last();
        let dx = Tensor::build_channels_last([g.n, g.c, g.h, g.w], |dx| {
            pool::avg_pool2d_backward(&g, grad.dense_memory(), dx);
        });
        slots.add(0, dx?)
    }
}

impl<T: Element> Value<T> {
    /// The mean of each window of x (N, C, H, W).
    ///
    /// ```
    /// # use ukulele_autograd::{Pool2d, Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[1, 1, 2, 4], vec![1., 2., 3., 4., 8., 7., 6., 5.])?.into();
    /// assert_eq!(x.avg_pool2d(&Pool2d::default())?.tensor().to_vec(), [4.5, 4.5]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another shape; a window larger than the padded image; padding of more than half the window; a stride of 0.
    pub fn avg_pool2d(&self, options: &Pool2d) -> Result<Self> {
        Self::apply(AvgPool2d { options: *options }, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    pool_examples(|x, options| x.avg_pool2d(options))
}
