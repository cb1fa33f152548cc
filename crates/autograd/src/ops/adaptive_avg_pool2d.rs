//! y = the mean of each of h x w bins of the image, whatever its size; ∂L/∂x gives each element of a bin its share of
//! ∂L/∂y.
//!
//! Row i averages the input rows from ⌊i·H / h⌋ to before ⌈(i + 1)·H / h⌉; columns likewise. Bins may overlap.

use crate::gradcheck::{Example, numbers};
use crate::{Element, Error, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::pool::{self, AdaptivePool2d};

/// Mean over the bins of x (N, C, H, W).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptiveAvgPool2d {
    /// The number of bins: vertical, horizontal.
    pub size: [usize; 2],
}

impl AdaptiveAvgPool2d {
    /// The sizes for the kernel.
    ///
    /// # Errors
    /// No image (N, C, H, W) of at least one pixel, or no bins.
    pub fn geometry(&self, x: &[usize]) -> Result<AdaptivePool2d> {
        let &[n, c, h, w] = x else { return Err(Error::shape("adaptive_avg_pool2d", x, "(N, C, H, W)")) };
        let [out_h, out_w] = self.size;
        if h == 0 || w == 0 || out_h == 0 || out_w == 0 {
            let message = format!("cannot average an image of {h}x{w} pixels in {out_h}x{out_w} bins");
            return Err(Error::argument("adaptive_avg_pool2d", message));
        }
        Ok(AdaptivePool2d { n, h, w, c, out_h, out_w })
    }
}

impl<T: Element> Op<T> for AdaptiveAvgPool2d {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool2d"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::NOTHING
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        let g = self.geometry(inputs[0].shape())?;
        let x = inputs[0].channels_last();
        Tensor::build_channels_last([g.n, g.c, g.out_h, g.out_w], |y| {
            pool::adaptive_avg_pool2d(&g, x.dense_memory(), y)
        })
    }

    fn backward(&self, _: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let g = self.geometry(slots.shape(0))?;
        let grad = grad.channels_last();
        let dx = Tensor::build_channels_last([g.n, g.c, g.h, g.w], |dx| {
            pool::adaptive_avg_pool2d_backward(&g, grad.dense_memory(), dx);
        });
        slots.add(0, dx?)
    }
}

impl<T: Element> Value<T> {
    /// The mean of each of h x w bins of x (N, C, H, W); `[1, 1]` is global average pooling.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[1, 1, 1, 3], vec![1., 2., 6.])?.into();
    /// assert_eq!(x.adaptive_avg_pool2d([1, 1])?.tensor().to_vec(), [3.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another shape; an image without pixels; a size of 0.
    pub fn adaptive_avg_pool2d(&self, size: [usize; 2]) -> Result<Self> {
        Self::apply(AdaptiveAvgPool2d { size }, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let example = |label, shape: [usize; 4], size| {
        Example::new(label, vec![numbers(1, &shape)], move |v| v[0].adaptive_avg_pool2d(size))
    };
    vec![
        example("global", [2, 3, 4, 3], [1, 1]),
        example("even", [1, 2, 4, 6], [2, 3]),
        example("overlapping bins", [1, 2, 5, 7], [3, 4]),
        example("more bins than pixels", [1, 2, 2, 1], [3, 2]),
        example("one", [1, 1, 1, 1], [1, 1]),
        example("no images", [0, 2, 2, 2], [1, 1]),
    ]
}
