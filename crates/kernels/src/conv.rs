//! Two-dimensional convolution (cross-correlation, as everywhere in deep learning) over channels-last memory.
//!
//! x is `[n][h][w][cin]`, y is `[n][out_h][out_w][cout]`, the weight is `[cout][kh][kw][cin/groups]`.

mod dense;
mod depthwise;
mod mixed;
mod packed;
mod stem;
mod walk;
mod winograd;
mod winograd_line;
mod winograd_points;
mod winograd_weight;

use crate::element::{as_f32, as_f32_mut, cast, cast_mut};
use crate::gemm::pairs::Kind;
use crate::gemm::{Epilogue, Precision};
use crate::isa::{self, Isa};
use crate::numbers::{Numbers, NumbersMut};
use crate::product;
use crate::{Element, naive};
pub use mixed::{conv2d_backward_data_mixed, conv2d_backward_weight_mixed, conv2d_mixed, lies_short, rounds};
pub use packed::{Algorithm, PackedConv, Pixels, conv2d_packed, conv2d_packed_mixed};

/// The sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// Kernel height.
    pub kh: usize,
    /// Kernel width.
    pub kw: usize,
    /// Vertical and horizontal step.
    pub stride: (usize, usize),
    /// Zeros around the input: top, bottom, left, right.
    pub pad: [usize; 4],
    /// Vertical and horizontal distance between the taps of the kernel.
    pub dilation: (usize, usize),
    /// Channels fall into this many groups that do not see each other.
    pub groups: usize,
}

impl Conv2d {
    /// Output height, 0 if the kernel is larger than the padded input.
    pub fn out_h(&self) -> usize {
        out_size(
            self.h.saturating_add(self.pad[0]).saturating_add(self.pad[1]),
            self.kh,
            self.stride.0,
            self.dilation.0,
        )
    }
    /// Output width, 0 if the kernel is larger than the padded input.
    pub fn out_w(&self) -> usize {
        out_size(
            self.w.saturating_add(self.pad[2]).saturating_add(self.pad[3]),
            self.kw,
            self.stride.1,
            self.dilation.1,
        )
    }
    /// Whether it is a matrix product of the pixels as they are.
    pub(crate) fn is_product(&self) -> bool {
        (self.kh, self.kw, self.stride, self.pad, self.groups) == (1, 1, (1, 1), [0; 4], 1)
    }
    /// Numbers in x; this and the others panic if they do not fit `usize`.
    pub fn x_len(&self) -> usize {
        product([self.n, self.h, self.w, self.cin], self)
    }
    /// Numbers in y.
    pub fn y_len(&self) -> usize {
        product([self.n, self.out_h(), self.out_w(), self.cout], self)
    }
    /// Numbers in the weight.
    pub fn w_len(&self) -> usize {
        product([self.cout, self.kh, self.kw, self.cin], self) / self.groups
    }
    /// Multiplications (as many additions) of the forward pass, padding included.
    pub fn mults(&self) -> usize {
        self.n * self.out_h() * self.out_w() * self.w_len()
    }

    /// The input row and column that output (oy, ox) and tap (ky, kx) meet at, if it is not padding.
    #[inline(always)]
    pub(crate) fn source(&self, oy: usize, ox: usize, ky: usize, kx: usize) -> Option<(usize, usize)> {
        let y = (oy * self.stride.0 + ky * self.dilation.0).wrapping_sub(self.pad[0]);
        let x = (ox * self.stride.1 + kx * self.dilation.1).wrapping_sub(self.pad[2]);
        (y < self.h && x < self.w).then_some((y, x))
    }

    /// Has each input channel its own output channels?
    fn is_depthwise(&self) -> bool {
        self.groups == self.cin && self.groups > 1
    }

    /// Panics unless the sizes are possible and the slices have them; and of integers.
    fn check(&self, kind: Kind, x: usize, w: usize, y: usize) {
        assert!(kind.precision() != Precision::Int8, "{self:?}: int8 needs a prepared weight, and has no gradients");
        self.check_form();
        assert_eq!(x, self.x_len(), "{self:?}: input");
        assert_eq!(w, self.w_len(), "{self:?}: weight");
        assert_eq!(y, self.y_len(), "{self:?}: output");
    }

    /// Panics unless kernel, steps and groups are possible.
    fn check_form(&self) {
        assert!(self.stride.0 > 0 && self.stride.1 > 0, "{self:?}: stride 0");
        assert!(self.dilation.0 > 0 && self.dilation.1 > 0, "{self:?}: dilation 0");
        assert!(self.kh > 0 && self.kw > 0, "{self:?}: kernel 0");
        assert!(
            self.groups > 0 && self.cin.is_multiple_of(self.groups) && self.cout.is_multiple_of(self.groups),
            "{self:?}: groups"
        );
    }
}

/// Places that a kernel fits into.
fn out_size(padded: usize, kernel: usize, stride: usize, dilation: usize) -> usize {
    let span = dilation.saturating_mul(kernel - 1).saturating_add(1);
    if padded < span { 0 } else { (padded - span) / stride + 1 }
}

/// y = act(conv(x, w) + bias + residual); the residual has the layout of y, the bias one number per output channel.
///
/// # Panics
/// If the sizes do not fit.
pub fn conv2d<T: Element>(g: &Conv2d, x: &[T], w: &[T], y: &mut [T], epilogue: &Epilogue<T>) {
    conv2d_in(Precision::F32, g, x, w, y, epilogue);
}

/// [`conv2d`] of an input and a weight that are rounded to a precision first: in bf16 products with a relative error of at most
/// 2^-7, whose sums are f32. Depthwise convolutions and images of few channels stay in f32, as do groups of an odd number of
/// channels, and f64.
///
/// # Panics
/// If the sizes do not fit. In [`Precision::Int8`], which needs a [`PackedConv`].
pub fn conv2d_in<T: Element>(precision: Precision, g: &Conv2d, x: &[T], w: &[T], y: &mut [T], epilogue: &Epilogue<T>) {
    let isa = isa::current();
    conv2d_with(isa, Kind::of(isa, precision), g, x, w, y, epilogue);
}

/// [`conv2d_in`] on an instruction set.
pub(crate) fn conv2d_with<T: Element>(
    isa: Isa,
    kind: Kind,
    g: &Conv2d,
    x: &[T],
    w: &[T],
    y: &mut [T],
    epilogue: &Epilogue<T>,
) {
    match (cast(x), cast(w), cast_mut(y), epilogue.cast()) {
        (Some(x), Some(w), Some(y), Some(epilogue)) => {
            mixed::forward(isa, kind, g, Numbers::F32(x), w, NumbersMut::F32(y), epilogue);
        }
        _ => {
            g.check(kind, x.len(), w.len(), y.len());
            epilogue.check(g.cout, y.len());
            naive::conv::conv2d(g, x, w, y, epilogue);
        }
    }
}

/// dx (+)= the gradient of the input: each dx sums dy times weight over all outputs it took part in. Convolutions that
/// [`Algorithm::Winograd`] supports may be computed by it: the error is a few times that of the direct sum.
///
/// # Panics
/// If the sizes do not fit.
pub fn conv2d_backward_data<T: Element>(g: &Conv2d, dy: &[T], w: &[T], dx: &mut [T], accumulate: bool) {
    conv2d_backward_data_in(Precision::F32, g, dy, w, dx, accumulate);
}

/// [`conv2d_backward_data`] of factors that are rounded to a precision first, with the exceptions of [`conv2d_in`], and that of
/// convolutions that are faster in f32 by Winograd's algorithm.
///
/// # Panics
/// As there.
pub fn conv2d_backward_data_in<T: Element>(
    precision: Precision,
    g: &Conv2d,
    dy: &[T],
    w: &[T],
    dx: &mut [T],
    accumulate: bool,
) {
    let isa = isa::current();
    backward_data_with(isa, Kind::of(isa, precision), g, dy, w, dx, accumulate);
}

/// [`conv2d_backward_data_in`] on an instruction set.
pub(crate) fn backward_data_with<T: Element>(
    isa: Isa,
    kind: Kind,
    g: &Conv2d,
    dy: &[T],
    w: &[T],
    dx: &mut [T],
    accumulate: bool,
) {
    match (as_f32(dy), as_f32(w), as_f32_mut(dx)) {
        (Some(dy), Some(w), Some(dx)) => {
            mixed::backward_data(isa, kind, g, Numbers::F32(dy), w, NumbersMut::F32(dx), accumulate);
        }
        _ => {
            g.check(kind, dx.len(), w.len(), dy.len());
            naive::conv::conv2d_backward_data(g, dy, w, dx, accumulate);
        }
    }
}

/// dw = the gradient of the weight: each dw sums dy times input over all pixels of all images.
///
/// # Panics
/// If the sizes do not fit.
pub fn conv2d_backward_weight<T: Element>(g: &Conv2d, x: &[T], dy: &[T], dw: &mut [T]) {
    conv2d_backward_weight_in(Precision::F32, g, x, dy, dw);
}

/// [`conv2d_backward_weight`] of factors that are rounded to a precision first; what stays in f32 is as in [`conv2d_in`].
///
/// # Panics
/// As there.
pub fn conv2d_backward_weight_in<T: Element>(precision: Precision, g: &Conv2d, x: &[T], dy: &[T], dw: &mut [T]) {
    let isa = isa::current();
    backward_weight_with(isa, Kind::of(isa, precision), g, x, dy, dw);
}

/// [`conv2d_backward_weight_in`] on an instruction set.
pub(crate) fn backward_weight_with<T: Element>(isa: Isa, kind: Kind, g: &Conv2d, x: &[T], dy: &[T], dw: &mut [T]) {
    match (as_f32(x), as_f32(dy), as_f32_mut(dw)) {
        (Some(x), Some(dy), Some(dw)) => {
            mixed::backward_weight(isa, kind, g, Numbers::F32(x), Numbers::F32(dy), dw);
        }
        _ => {
            g.check(kind, x.len(), dw.len(), dy.len());
            naive::conv::conv2d_backward_weight(g, x, dy, dw);
        }
    }
}

#[cfg(test)]
mod tests;
