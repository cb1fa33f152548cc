//! Two-dimensional convolution (cross-correlation, as everywhere in deep learning) over channels-last memory.
//!
//! x is [n][h][w][cin], y is [n][out_h][out_w][cout], the weight is [cout][kh][kw][cin/groups].

use crate::Element;
use crate::gemm::Epilogue;
use crate::naive;

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
            self.h + self.pad[0] + self.pad[1],
            self.kh,
            self.stride.0,
            self.dilation.0,
        )
    }
    /// Output width, 0 if the kernel is larger than the padded input.
    pub fn out_w(&self) -> usize {
        out_size(
            self.w + self.pad[2] + self.pad[3],
            self.kw,
            self.stride.1,
            self.dilation.1,
        )
    }
    /// Numbers in x.
    pub fn x_len(&self) -> usize {
        self.n * self.h * self.w * self.cin
    }
    /// Numbers in y.
    pub fn y_len(&self) -> usize {
        self.n * self.out_h() * self.out_w() * self.cout
    }
    /// Numbers in the weight.
    pub fn w_len(&self) -> usize {
        self.cout * self.kh * self.kw * self.cin / self.groups
    }
    /// Multiplications (as many additions) of the forward pass, padding included.
    pub fn mults(&self) -> usize {
        self.n * self.out_h() * self.out_w() * self.w_len()
    }

    /// The input row and column that output (oy, ox) and tap (ky, kx) meet at, if it is not padding.
    #[inline(always)]
    pub(crate) fn source(
        &self,
        oy: usize,
        ox: usize,
        ky: usize,
        kx: usize,
    ) -> Option<(usize, usize)> {
        let y = (oy * self.stride.0 + ky * self.dilation.0).wrapping_sub(self.pad[0]);
        let x = (ox * self.stride.1 + kx * self.dilation.1).wrapping_sub(self.pad[2]);
        (y < self.h && x < self.w).then_some((y, x))
    }

    /// Panics unless the sizes are possible and the slices have them.
    fn check<T>(&self, x: &[T], w: &[T], y: &[T]) {
        assert!(self.stride.0 > 0 && self.stride.1 > 0, "{self:?}: stride 0");
        assert!(
            self.dilation.0 > 0 && self.dilation.1 > 0,
            "{self:?}: dilation 0"
        );
        assert!(self.kh > 0 && self.kw > 0, "{self:?}: kernel 0");
        assert!(
            self.groups > 0
                && self.cin.is_multiple_of(self.groups)
                && self.cout.is_multiple_of(self.groups),
            "{self:?}: groups"
        );
        assert_eq!(x.len(), self.x_len(), "{self:?}: input");
        assert_eq!(w.len(), self.w_len(), "{self:?}: weight");
        assert_eq!(y.len(), self.y_len(), "{self:?}: output");
    }
}

/// Places that a kernel fits into.
fn out_size(padded: usize, kernel: usize, stride: usize, dilation: usize) -> usize {
    let span = dilation * (kernel - 1) + 1;
    if padded < span {
        0
    } else {
        (padded - span) / stride + 1
    }
}

/// A weight rearranged once for many convolutions.
#[derive(Clone, Debug)]
pub struct PackedConv<T> {
    data: Vec<T>,
}

impl<T: Element> PackedConv<T> {
    /// Packs the weight `w` of the convolution `g`, whose `n`, `h`, `w` and `pad` do not matter.
    pub fn new(g: &Conv2d, w: &[T]) -> Self {
        assert_eq!(w.len(), g.w_len(), "{g:?}: weight");
        PackedConv { data: w.to_vec() }
    }
}

/// y = act(conv(x, w) + bias + residual); the residual has the layout of y, the bias one number per output channel.
///
/// # Panics
/// If the sizes do not fit.
pub fn conv2d<T: Element>(g: &Conv2d, x: &[T], w: &[T], y: &mut [T], epilogue: &Epilogue<T>) {
    g.check(x, w, y);
    epilogue.check(g.cout, y.len());
    naive::conv::conv2d(g, x, w, y, epilogue);
}

/// [`conv2d`] with a weight that was packed before.
pub fn conv2d_packed<T: Element>(
    g: &Conv2d,
    x: &[T],
    w: &PackedConv<T>,
    y: &mut [T],
    epilogue: &Epilogue<T>,
) {
    conv2d(g, x, &w.data, y, epilogue);
}

/// dx = the gradient of the input: each dx sums dy times weight over all outputs it took part in.
///
/// # Panics
/// If the sizes do not fit.
pub fn conv2d_backward_data<T: Element>(g: &Conv2d, dy: &[T], w: &[T], dx: &mut [T]) {
    g.check(dx, w, dy);
    naive::conv::conv2d_backward_data(g, dy, w, dx);
}

/// dw = the gradient of the weight: each dw sums dy times input over all pixels of all images.
///
/// # Panics
/// If the sizes do not fit.
pub fn conv2d_backward_weight<T: Element>(g: &Conv2d, x: &[T], dy: &[T], dw: &mut [T]) {
    g.check(x, dw, dy);
    naive::conv::conv2d_backward_weight(g, x, dy, dw);
}
