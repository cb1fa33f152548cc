//! y = the largest element of each window; ∂L/∂x gives ∂L/∂y to the first of the largest elements, 0 to the others.

use crate::gradcheck::{Example, numbers};
use crate::ops::conv2d::check_window;
use crate::{Data, Element, Error, Keeps, Kept, Op, Result, Slots, Value};
use ukulele_kernels::pool;

/// How a pooling moves over the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool2d {
    /// Size of the window in pixels: vertical, horizontal.
    pub kernel: [usize; 2],
    /// Step in pixels: vertical, horizontal.
    pub stride: [usize; 2],
    /// Padding in pixels: top, bottom, left, right; at most half the window. It never wins a maximum.
    pub padding: [usize; 4],
    /// Whether the last window may hang over the edge.
    pub ceil_mode: bool,
    /// Whether an average counts the padding.
    pub count_include_pad: bool,
}

impl Default for Pool2d {
    /// Windows of 2x2 side by side; averages count the padding, as in torch.
    fn default() -> Self {
        Self { kernel: [2; 2], stride: [2; 2], padding: [0; 4], ceil_mode: false, count_include_pad: true }
    }
}

impl Pool2d {
    /// The sizes for the kernel.
    ///
    /// # Errors
    /// Shapes that do not fit; `op` is who asks.
    pub fn geometry(&self, op: &'static str, x: &[usize]) -> Result<pool::Pool2d> {
        let &[n, c, h, w] = x else { return Err(Error::shape(op, x, "(N, C, H, W)")) };
        let Self { kernel, stride, padding, ceil_mode, count_include_pad } = *self;
        check_window(op, [h, w], kernel, stride, padding, [1; 2])?;
        if (0..4).any(|side| padding[side] > kernel[side / 2] / 2) {
            let message =
                format!("padding {padding:?} (top, bottom, left, right) is more than half the kernel {kernel:?}");
            return Err(Error::argument(op, message));
        }
        let ([kh, kw], stride) = (kernel, stride.into());
        Ok(pool::Pool2d { n, h, w, c, kh, kw, stride, pad: padding, ceil_mode, count_include_pad })
    }
}

/// Maximum over windows of x (N, C, H, W).
#[derive(Debug, Clone)]
pub struct MaxPool2d {
    /// How the window moves.
    pub options: Pool2d,
    /// Where in its window each output comes from, in channels-last order, as [`pool::Pool2d::places_len`] says; known
    /// after a recorded forward.
    pub places: Vec<u8>,
}

impl<T: Element> Op<T> for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::NOTHING
    }

    fn forward_data(&mut self, inputs: &[&Data<T>], record: bool) -> Result<Data<T>> {
        let g = self.options.geometry("max_pool2d", inputs[0].shape())?;
        let x = inputs[0].clone().channels_last();
        let mut y = Data::room(&[g.n, g.c, g.out_h(), g.out_w()], x.is_short())?;
        let mut places = vec![0; if record { g.places_len() } else { 0 }];
        match (x.numbers(), y.numbers_mut()) {
            (Some(x), Some(y)) if record => pool::max_pool2d_places_mixed(&g, x, y, &mut places),
            (Some(x), Some(y)) => pool::max_pool2d_mixed(&g, x, y),
            _ => {
                let (x, mut full) = (x.tensor(), y.into_tensor());
                if record {
                    pool::max_pool2d_places(&g, x.dense_memory(), full.memory_mut(), &mut places);
                } else {
                    pool::max_pool2d(&g, x.dense_memory(), full.memory_mut());
                }
                y = full.into();
            }
        }
        self.places = places;
        Ok(y)
    }

    fn backward_data(&self, _: Kept<T>, grad: Data<T>, slots: &mut Slots<T>) -> Result<()> {
        let g = self.options.geometry("max_pool2d", slots.shape(0))?;
        let dy = grad.channels_last();
        let mut dx = Data::room(slots.shape(0), slots.is_short(0))?;
        match (dy.numbers(), dx.numbers_mut()) {
            (Some(dy), Some(dx)) => pool::max_pool2d_backward_mixed(&g, dy, &self.places, dx),
            _ => {
                let (dy, mut full) = (dy.tensor(), dx.into_tensor());
                pool::max_pool2d_backward(&g, dy.dense_memory(), &self.places, full.memory_mut());
                dx = full.into();
            }
        }
        slots.add(0, dx)
    }
}

impl<T: Element> Value<T> {
    /// The largest element of each window of x (N, C, H, W).
    ///
    /// ```
    /// # use ukulele_autograd::{Pool2d, Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[1, 1, 2, 4], vec![1., 2., 3., 4., 8., 7., 6., 5.])?.into();
    /// assert_eq!(x.max_pool2d(&Pool2d::default())?.tensor().to_vec(), [8., 6.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another shape; a window larger than the padded image; padding of more than half the window; a stride of 0.
    pub fn max_pool2d(&self, options: &Pool2d) -> Result<Self> {
        Self::apply(MaxPool2d { options: *options, places: vec![] }, &[self])
    }
}

/// Examples for both kinds of pooling.
pub(crate) fn pool_examples<T: Element>(
    run: impl Fn(&Value<T>, &Pool2d) -> Result<Value<T>> + Copy + 'static,
) -> Vec<Example<T>> {
    let example = |label, shape: [usize; 4], options: Pool2d| {
        Example::new(label, vec![numbers(1, &shape)], move |v| run(&v[0], &options))
    };
    let plain = Pool2d::default();
    vec![
        example("2x2", [2, 3, 4, 4], plain),
        example("overlap", [1, 2, 5, 5], Pool2d { kernel: [3; 2], padding: [1; 4], ..plain }),
        example("ceil", [1, 2, 5, 6], Pool2d { kernel: [3, 2], ceil_mode: true, ..plain }),
        example("ceil and padding", [1, 2, 6, 6], Pool2d { kernel: [3; 2], padding: [1; 4], ceil_mode: true, ..plain }),
        example(
            "padding per side",
            [1, 2, 4, 5],
            Pool2d { kernel: [2, 3], stride: [1; 2], padding: [0, 1, 1, 0], ..plain },
        ),
        example("padding not counted", [1, 1, 4, 4], Pool2d { padding: [1; 4], count_include_pad: false, ..plain }),
        example("one", [1, 1, 1, 1], Pool2d { kernel: [1; 2], stride: [1; 2], ..plain }),
        example("no images", [0, 2, 2, 2], plain),
    ]
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    pool_examples(|x, options| x.max_pool2d(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_do_not_fit_are_errors() {
        let x: Value = numbers(1, &[1, 1, 3, 3]).into();
        let run = |options: Pool2d| x.max_pool2d(&options).unwrap_err().to_string();
        let plain = Pool2d::default();
        assert!(run(Pool2d { kernel: [4, 1], ..plain }).contains("larger than the image [3, 3]"));
        assert!(run(Pool2d { padding: [0, 0, 2, 0], ..plain }).contains("half the kernel [2, 2]"));
        assert!(run(Pool2d { stride: [1, 0], ..plain }).contains("at least 1"));
        let flat: Value = numbers(1, &[3, 3]).into();
        assert!(flat.avg_pool2d(&plain).unwrap_err().to_string().contains("(N, C, H, W) expected"));
    }
}
