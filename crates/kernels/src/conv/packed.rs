//! Convolution with a weight prepared once, by an algorithm of the caller's choice, over pixels that may lie apart.

use super::{Conv2d, dense, stem, winograd};
use crate::gemm::pairs::Kind;
use crate::gemm::store::Target;
use crate::gemm::{Epilogue, MixedEpilogue, Precision, at_least, with_rows};
use crate::isa::{self, Isa};
use crate::numbers::{Numbers, NumbersMut};

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// As it is defined, as a matrix product over the pixels.
    Direct,
    /// Winograd's, for kernels of 3×3, 5×5, and one row or column of 3, 5 or 7, with stride 1: a quarter to a half of the
    /// multiplications. The error is a few times that of the direct sum: for numbers of one size about 1.3e-6 of the largest output
    /// for 3×3, where the direct sum has 7e-7.
    Winograd,
}

impl Algorithm {
    /// Can `g` be computed so?
    pub fn supports(self, g: &Conv2d) -> bool {
        self == Self::Direct || winograd::Form::of(g).is_some()
    }

    /// What a pair of channels takes: multiplications of the whole output, and numbers of the prepared weight. Nothing that it
    /// does not support.
    pub fn work(self, g: &Conv2d) -> Option<(usize, usize)> {
        match (self, winograd::Form::of(g)) {
            (Self::Direct, _) => Some((g.n * g.out_h() * g.out_w() * g.kh * g.kw, g.kh * g.kw)),
            (Self::Winograd, form) => form.map(|form| {
                let grid = form.grid(g);
                (g.n * grid.0 * grid.1 * form.places(), form.places())
            }),
        }
    }
}

/// Pixels in channels-last memory that may be a part of wider ones.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    /// From the first channel of the first pixel on.
    pub data: &'a [f32],
    /// Distance from a pixel to the next, at least its channels.
    pub stride: usize,
}

impl<'a> Pixels<'a> {
    /// Pixels of `channels` channels, one right after the other.
    pub fn dense(data: &'a [f32], channels: usize) -> Self {
        Pixels { data, stride: channels }
    }
}

/// A weight prepared once for many convolutions.
#[derive(Clone, Debug)]
pub struct PackedConv {
    panels: Vec<f32>,
    /// Numbers of `panels` that belong to the weight: memory that is used again may have more.
    len: usize,
    algorithm: Algorithm,
    isa: Isa,
    kind: Kind,
    /// The convolution it belongs to, up to what does not matter for the weight.
    g: Conv2d,
}

impl PackedConv {
    /// Prepares the weight `w`, `[cout][kh][kw][cin/groups]`, of the convolution `g`, whose `n`, `h`, `w` and `pad` do not
    /// matter.
    ///
    /// # Panics
    /// If the sizes do not fit, or the algorithm does not support `g`.
    pub fn new(g: &Conv2d, w: &[f32], algorithm: Algorithm) -> Self {
        Self::new_with(isa::current(), Kind::Single, g, w, algorithm)
    }

    /// [`PackedConv::new`] in a precision, to which the input is rounded as well: to integers, pixel by pixel for 1×1 kernels
    /// without padding and stride, image by image for others. Winograd's algorithm, which would lose more, stays in f32, as do
    /// groups of channels that are no multiple of two (bf16) or four (int8), and images of few channels but in bf16 where windows
    /// begin with an even number.
    ///
    /// # Panics
    /// As there.
    pub fn with_precision(g: &Conv2d, w: &[f32], algorithm: Algorithm, precision: Precision) -> Self {
        Self::in_memory(Vec::new(), g, w, algorithm, precision)
    }

    /// [`PackedConv::with_precision`] in memory that [`PackedConv::into_memory`] gave back. It grows where it is too small; in
    /// int8 it is not used.
    ///
    /// # Panics
    /// As there.
    pub fn in_memory(memory: Vec<f32>, g: &Conv2d, w: &[f32], algorithm: Algorithm, precision: Precision) -> Self {
        let isa = isa::current();
        let kind = match (precision, algorithm) {
            (Precision::Bf16, Algorithm::Direct) => Kind::pairs(isa),
            (Precision::Int8, Algorithm::Direct) => Kind::quads(isa),
            _ => Kind::Single,
        };
        let kind = if dense::supports(g, kind) || stem::supports(g, kind) { kind } else { Kind::Single };
        Self::new_in(isa, kind, memory, g, w, algorithm)
    }

    /// [`PackedConv::new`] for an instruction set.
    pub(crate) fn new_with(isa: Isa, kind: Kind, g: &Conv2d, w: &[f32], algorithm: Algorithm) -> Self {
        Self::new_in(isa, kind, Vec::new(), g, w, algorithm)
    }

    fn new_in(isa: Isa, kind: Kind, memory: Vec<f32>, g: &Conv2d, w: &[f32], algorithm: Algorithm) -> Self {
        g.check_form();
        assert_eq!(w.len(), g.w_len(), "{g:?}: weight");
        assert!(algorithm.supports(g), "{g:?} by {algorithm:?}");
        let filled = |len: usize, pack: &dyn Fn(&mut [f32])| {
            let mut panels = at_least(memory, len);
            pack(&mut panels[..len]);
            (panels, len)
        };
        let (panels, len) = match (algorithm, kind) {
            (Algorithm::Direct, Kind::Quads | Kind::NativeQuads) => {
                let panels = dense::quads_forward(isa, g, w);
                let len = panels.len();
                (panels, len)
            }
            (Algorithm::Direct, _) => {
                filled(dense::packed_forward_len(isa, kind, g), &|out| dense::pack_forward(isa, kind, g, w, out))
            }
            (Algorithm::Winograd, _) => {
                let form = form(g);
                filled(winograd::weight_len(isa, form, g), &|out| winograd::pack_weight(isa, form, g, w, out))
            }
        };
        PackedConv { panels, len, algorithm, isa, kind, g: *g }
    }

    /// Numbers from the first to the last of the output, whose pixels are `y_stride` apart.
    ///
    /// # Panics
    /// If it is of another convolution than `g`, or there are too few numbers of input or output.
    fn check(&self, g: &Conv2d, x: usize, x_stride: usize, y: usize, y_stride: usize) -> usize {
        let same = Conv2d { n: g.n, h: g.h, w: g.w, pad: g.pad, ..self.g };
        assert_eq!(*g, same, "the weight was packed for another convolution");
        // Whatever wraps around is larger than any memory.
        let needed = |[n, h, w]: [usize; 3], channels: usize, stride: usize| {
            assert!(stride >= channels, "{g:?}: {channels} channels in pixels that are {stride} apart");
            let pixels = n.checked_mul(h).and_then(|pixels| pixels.checked_mul(w));
            let last = pixels.and_then(|pixels| pixels.saturating_sub(1).checked_mul(stride)?.checked_add(channels));
            if pixels == Some(0) { 0 } else { last.unwrap_or(usize::MAX) }
        };
        let out = needed([g.n, g.out_h(), g.out_w()], g.cout, y_stride);
        assert!(x >= needed([g.n, g.h, g.w], g.cin, x_stride), "{g:?}: input of {x}");
        assert!(y >= out, "{g:?}: output of {y}");
        out
    }

    /// The memory that the weight lies in, for the next one.
    pub fn into_memory(self) -> Vec<f32> {
        self.panels
    }

    /// How it is computed.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What the weight was rounded to.
    pub fn precision(&self) -> Precision {
        self.kind.precision()
    }

    /// f32 in whose memory the prepared weight lies.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the weight has no numbers.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// [`conv2d_packed`] of an input without gaps, a result and a residual that lie as f32 or as bf16 each.
///
/// # Panics
/// As there.
pub fn conv2d_packed_mixed(
    g: &Conv2d,
    x: Numbers,
    w: &PackedConv,
    y: NumbersMut,
    stride: usize,
    epilogue: &MixedEpilogue,
) {
    let out = w.check(g, x.len(), g.cin, y.len(), stride);
    epilogue.check(g.cout, out);
    if g.y_len() == 0 {
        return;
    }
    let panels = &w.panels[..w.len];
    let target = Target::of(y, epilogue);
    if w.algorithm == Algorithm::Winograd {
        // SAFETY: the target has room for all pixels, checked above.
        return unsafe { winograd::forward(w.isa, form(g), g, x, g.cin, panels, target, stride) };
    }
    // The first layer makes its pairs itself.
    let kind = if dense::supports(g, w.kind) { w.kind } else { Kind::Single };
    with_rows(w.isa, kind, x, g.cin, |x| {
        let weight = dense::Weight { panels, chain: w.kind.chain(), kind: w.kind };
        let (placed, x) = (x.placed, Pixels { data: x.data, stride: x.width });
        // SAFETY: the target has room for all pixels, checked above.
        unsafe { dense::forward_to(w.isa, g, x, placed, weight, target, stride) };
    });
}

/// Of what is known to be supported.
fn form(g: &Conv2d) -> winograd::Form {
    match winograd::Form::of(g) {
        Some(form) => form,
        None => unreachable!("a weight was prepared for it: {g:?}"),
    }
}

/// y = act(conv(x, w) + bias + residual). The pixels of y are `stride` apart; the residual has the layout of y, the bias one
/// number per output channel. Numbers of y between the pixels stay as they are.
///
/// # Panics
/// If the sizes do not fit.
pub fn conv2d_packed(g: &Conv2d, x: Pixels, w: &PackedConv, y: &mut [f32], stride: usize, epilogue: &Epilogue<f32>) {
    let out = w.check(g, x.data.len(), x.stride, y.len(), stride);
    epilogue.check(g.cout, out);
    if g.y_len() == 0 {
        return;
    }
    let panels = &w.panels[..w.len];
    match w.algorithm {
        Algorithm::Direct => {
            let weight = dense::Weight { panels, chain: w.kind.chain(), kind: w.kind };
            dense::forward(w.isa, g, x, weight, y, stride, *epilogue);
        }
        Algorithm::Winograd => {
            let target = Target::new(y, false, *epilogue);
            // SAFETY: y has room for all pixels, checked above.
            unsafe { winograd::forward(w.isa, form(g), g, Numbers::F32(x.data), x.stride, panels, target, stride) };
        }
    }
}
