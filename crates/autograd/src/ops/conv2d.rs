//! `y[n, o, i, j] = Σ w[o, c, u, v]·x[n, c, i·stride + u·dilation − top, ..] + b[o]`: cross-correlation with zero padding.
//!
//! ∂L/∂x sums w·∂L/∂y over the outputs that an element took part in (a transposed convolution), ∂L/∂w sums x·∂L/∂y over
//! the pixels of all images, ∂L/∂b sums ∂L/∂y over them. All memory is channels-last, the weight's too.

use crate::gradcheck::{Example, numbers};
use crate::op::learns_in;
use crate::{Data, Element, Error, Keeps, Kept, Op, Precision, Result, Slots, Tensor, Value, Work};
use ukulele_kernels::conv;
use ukulele_kernels::element::{as_f32, as_f32_mut, is_f32};
use ukulele_kernels::gemm::{Activation, Epilogue};
use ukulele_kernels::reduce::column_sums;

/// How a convolution moves over the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Step in pixels: vertical, horizontal.
    pub stride: [usize; 2],
    /// Zeros around the image in pixels: top, bottom, left, right.
    pub padding: [usize; 4],
    /// Distance between the taps of the kernel in pixels: vertical, horizontal.
    pub dilation: [usize; 2],
    /// Channels fall into this many groups that do not see each other.
    pub groups: usize,
}

impl Default for Conv2dOptions {
    fn default() -> Self {
        Self { stride: [1; 2], padding: [0; 4], dilation: [1; 2], groups: 1 }
    }
}

/// Convolution: inputs x (N, C, H, W), w (O, C/groups, kh, kw) and, optionally, b (O).
#[derive(Debug, Clone, Copy)]
pub struct Conv2d {
    /// How it moves.
    pub options: Conv2dOptions,
    /// What the factors of all three products are rounded to.
    pub precision: Precision,
}

impl Conv2d {
    /// The sizes for the kernel.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn geometry(&self, x: &[usize], w: &[usize]) -> Result<conv::Conv2d> {
        let &[n, cin, h, width] = x else { return Err(Error::shape("conv2d", x, "(N, C, H, W)")) };
        let &[cout, per_group, kh, kw] = w else {
            return Err(Error::shape("conv2d", w, "a weight (O, C/groups, kh, kw)"));
        };
        let Conv2dOptions { stride, padding, dilation, groups } = self.options;
        if groups == 0 || cin != per_group * groups || !cout.is_multiple_of(groups) {
            return Err(match groups {
                1 => Error::shapes("conv2d", x, w),
                _ => Error::argument("conv2d", format!("shapes {x:?} and {w:?} do not fit with {groups} groups")),
            });
        }
        check_window("conv2d", [h, width], [kh, kw], stride, padding, dilation)?;
        let (stride, dilation) = (stride.into(), dilation.into());
        Ok(conv::Conv2d { n, h, w: width, cin, cout, kh, kw, stride, pad: padding, dilation, groups })
    }
}

/// Checks that a window of this size fits into the padded image.
pub(crate) fn check_window(
    op: &'static str,
    image: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
    dilation: [usize; 2],
) -> Result<()> {
    for d in 0..2 {
        if kernel[d] == 0 || stride[d] == 0 || dilation[d] == 0 {
            let message = format!("kernel {kernel:?}, stride {stride:?} and dilation {dilation:?} must be at least 1");
            return Err(Error::argument(op, message));
        }
        let span = (kernel[d] - 1).checked_mul(dilation[d]).and_then(|s| s.checked_add(1));
        let padded = padding[2 * d].checked_add(padding[2 * d + 1]).and_then(|p| p.checked_add(image[d]));
        if !matches!((span, padded), (Some(span), Some(padded)) if span <= padded) {
            let message = format!(
                "kernel {kernel:?} with dilation {dilation:?} is larger than the image {image:?} with padding {padding:?}"
            );
            return Err(Error::argument(op, message));
        }
    }
    Ok(())
}

impl<T: Element> Op<T> for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn work(&self, shapes: &[&[usize]], wants: &[bool]) -> Work {
        let Ok(g) = self.geometry(shapes[0], shapes[1]) else { return Work::plain("conv2d") };
        let what = format!("conv2d {}x{}/{} {} -> {}", g.kh, g.kw, g.stride.0, g.cin, g.cout);
        Work::product(what, g.mults(), wants, conv::rounds(self.precision, &g))
    }

    fn keeps(&self, wants: &[bool]) -> Keeps {
        Keeps::NOTHING.and_input_if(0, wants[1]).and_input_if(1, wants[0])
    }

    fn again_needs(&self, inputs: usize) -> Option<Keeps> {
        Some(Keeps::first(inputs))
    }

    fn again_data(&self, kept: Kept<T>) -> Result<Data<T>> {
        self.compute(&kept.all_data()?)
    }

    fn forward_data(&mut self, inputs: &[&Data<T>], _: bool) -> Result<Data<T>> {
        self.compute(inputs)
    }

    fn backward_data(&self, kept: Kept<T>, grad: Data<T>, slots: &mut Slots<T>) -> Result<()> {
        let dy = grad.channels_last();
        let g = self.geometry(slots.shape(0), slots.shape(1))?;
        if slots.wants(0) {
            let w = kept.input_data(1)?.tensor().channels_last();
            let w = w.dense_memory();
            let sum = slots.take(0).map(Data::channels_last);
            let accumulate = sum.is_some();
            let mut dx = sum.map_or_else(|| Data::room(slots.shape(0), slots.is_short(0)), Ok)?;
            match (dy.numbers(), as_f32(w), dx.numbers_mut()) {
                (Some(dy), Some(w), Some(dx)) => {
                    conv::conv2d_backward_data_mixed(self.precision, &g, dy, w, dx, accumulate);
                }
                _ => {
                    let mut full = dx.into_tensor();
                    let dy = dy.tensor();
                    conv::conv2d_backward_data(&g, dy.dense_memory(), w, full.memory_mut(), accumulate);
                    dx = full.into();
                }
            }
            slots.add(0, dx)?;
        }
        if slots.wants(1) {
            let x = kept.input_data(0)?.clone().channels_last();
            let dw = Tensor::build_channels_last([g.cout, g.cin / g.groups, g.kh, g.kw], |dw| {
                match (x.numbers(), dy.numbers(), as_f32_mut(dw)) {
                    (Some(x), Some(dy), Some(dw)) => {
                        conv::conv2d_backward_weight_mixed(self.precision, &g, x, dy, dw);
                    }
                    _ => conv::conv2d_backward_weight(&g, x.tensor().dense_memory(), dy.tensor().dense_memory(), dw),
                }
            });
            slots.add(1, dw?)?;
        }
        if slots.wants(2) {
            slots.add(2, Tensor::build(&[g.cout], |db| column_sums(dy.tensor().dense_memory(), db))?)?;
        }
        Ok(())
    }
}

impl Conv2d {
    /// In bf16 the result lies so, where the kernels write it.
    fn compute<T: Element>(&self, inputs: &[&Data<T>]) -> Result<Data<T>> {
        learns_in("conv2d", self.precision)?;
        let g = self.geometry(inputs[0].shape(), inputs[1].shape())?;
        let (x, w) = (inputs[0].clone().channels_last(), inputs[1].tensor().channels_last());
        let bias = inputs.get(2).map(|b| b.tensor().contiguous());
        if let Some(bias) = bias.as_ref().filter(|b| *b.shape() != [g.cout]) {
            return Err(Error::shapes("conv2d (bias)", bias.shape(), w.shape()));
        }
        let (w, bias) = (w.dense_memory(), bias.as_ref().map(Tensor::dense_memory));
        let short = self.precision == Precision::Bf16 && is_f32::<T>() && conv::lies_short(&g);
        let mut y = Data::room(&[g.n, g.cout, g.out_h(), g.out_w()], short)?;
        match (x.numbers(), as_f32(w), y.numbers_mut()) {
            (Some(x), Some(w), Some(y)) => {
                conv::conv2d_mixed(self.precision, &g, x, w, y, bias.and_then(as_f32));
            }
            _ => {
                let (x, mut full) = (x.tensor(), y.into_tensor());
                let epilogue = Epilogue { bias, residual: None, activation: Activation::None };
                conv::conv2d(&g, x.dense_memory(), w, full.memory_mut(), &epilogue);
                y = full.into();
            }
        }
        Ok(y)
    }
}

impl<T: Element> Value<T> {
    /// Convolution of x (N, C, H, W) with `weight` (O, C/groups, kh, kw), plus `bias` (O): (N, O, H', W').
    ///
    /// ```
    /// # use ukulele_autograd::{Conv2dOptions, Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[1, 1, 1, 3], vec![1., 2., 3.])?.into();
    /// let w: Value = Tensor::from_vec(&[1, 1, 1, 2], vec![1., 10.])?.into();
    /// let y = x.conv2d(&w, None, &Conv2dOptions { padding: [0, 0, 1, 0], ..Default::default() })?;
    /// assert_eq!(y.tensor().to_vec(), [10., 21., 32.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit; a kernel larger than the padded image; a stride, dilation or number of groups of 0.
    pub fn conv2d(&self, weight: &Self, bias: Option<&Self>, options: &Conv2dOptions) -> Result<Self> {
        self.conv2d_in(Precision::F32, weight, bias, options)
    }

    /// [`Value::conv2d`] whose products, in backward too, are of factors rounded to a precision; sums are f32. In bf16 the result lies
    /// as bf16 ([`Data`]) where [`ukulele_kernels::conv::lies_short`] says so. What stays in f32: [`ukulele_kernels::conv::conv2d_in`].
    ///
    /// # Errors
    /// As there, and [`Precision::Int8`], in which nothing learns.
    pub fn conv2d_in(
        &self,
        precision: Precision,
        weight: &Self,
        bias: Option<&Self>,
        options: &Conv2dOptions,
    ) -> Result<Self> {
        let mut inputs = vec![self, weight];
        inputs.extend(bias);
        Self::apply(Conv2d { options: *options, precision }, &inputs)
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let example = |label, x: [usize; 4], w: [usize; 4], bias: bool, options: Conv2dOptions| {
        let mut inputs = vec![numbers(1, &x), numbers(2, &w)];
        inputs.extend(bias.then(|| numbers(3, &[w[0]])));
        Example::new(label, inputs, move |v| v[0].conv2d(&v[1], v.get(2), &options))
    };
    let plain = Conv2dOptions::default();
    vec![
        example("3x3", [2, 3, 4, 5], [2, 3, 3, 3], true, Conv2dOptions { padding: [1; 4], ..plain }),
        example("1x1", [2, 3, 2, 3], [4, 3, 1, 1], true, plain),
        example("1x1 stride 2", [2, 3, 3, 5], [2, 3, 1, 1], false, Conv2dOptions { stride: [2, 2], ..plain }),
        example(
            "stride",
            [1, 2, 5, 6],
            [3, 2, 3, 2],
            false,
            Conv2dOptions { stride: [2, 3], padding: [1; 4], ..plain },
        ),
        example("padding per side", [1, 2, 3, 2], [2, 2, 2, 3], true, Conv2dOptions { padding: [0, 1, 2, 3], ..plain }),
        example("dilation", [1, 2, 6, 5], [2, 2, 3, 2], false, Conv2dOptions { dilation: [2, 3], ..plain }),
        example("groups", [1, 4, 3, 3], [6, 2, 2, 2], true, Conv2dOptions { groups: 2, ..plain }),
        example("depthwise", [2, 3, 4, 4], [3, 1, 3, 3], false, Conv2dOptions { groups: 3, padding: [1; 4], ..plain }),
        example(
            "everything",
            [1, 4, 7, 6],
            [2, 2, 2, 3],
            true,
            Conv2dOptions { stride: [2, 1], padding: [1, 0, 2, 1], dilation: [2, 2], groups: 2 },
        ),
        example("one", [1, 1, 1, 1], [1, 1, 1, 1], true, plain),
        example("no images", [0, 2, 3, 3], [2, 2, 2, 2], true, plain),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(x: &[usize], w: &[usize], options: Conv2dOptions) -> String {
        let [x, w]: [Value; 2] = [numbers(1, x).into(), numbers(2, w).into()];
        x.conv2d(&w, None, &options).unwrap_err().to_string()
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let plain = Conv2dOptions::default();
        assert_eq!(run(&[1, 3, 4, 4], &[2, 4, 1, 1], plain), "conv2d: shapes [1, 3, 4, 4] and [2, 4, 1, 1] do not fit");
        assert!(run(&[3, 4, 4], &[2, 4, 1, 1], plain).contains("(N, C, H, W) expected"));
        assert!(run(&[1, 3, 4, 4], &[2, 3, 5, 1], plain).contains("larger than the image [4, 4]"));
        assert!(run(&[1, 3, 4, 4], &[2, 3, 1, 1], Conv2dOptions { stride: [0, 1], ..plain }).contains("at least 1"));
        assert!(run(&[1, 4, 4, 4], &[3, 2, 1, 1], Conv2dOptions { groups: 2, ..plain }).contains("2 groups"));
        assert!(run(&[1, 4, 4, 4], &[3, 2, 1, 1], Conv2dOptions { groups: 0, ..plain }).contains("0 groups"));
    }
}
