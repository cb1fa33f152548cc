//! Convolution and its gradients, as a step of training computes them, of images that lie as f32 or as bf16.

use super::{Conv2d, Pixels, dense, depthwise, winograd, winograd_weight};
use crate::gemm::pack::with_buffer;
use crate::gemm::pairs::Kind;
use crate::gemm::store::Target;
use crate::gemm::tile::CHAIN;
use crate::gemm::{Epilogue, Precision, with_rows};
use crate::isa::{self, Isa};
use crate::numbers::{Numbers, NumbersMut, with_wide, with_wide_mut};

/// Whether results of this convolution are worth keeping as bf16: false for depthwise ones, which take and give f32, and for an
/// odd number of output channels, which are no pairs.
pub fn lies_short(g: &Conv2d) -> bool {
    !g.is_depthwise() && g.cout.is_multiple_of(2)
}

/// Whether the factors of y, of the gradient of the input and of that of the weight are rounded to this precision here: not in f32,
/// nor where [`super::conv2d_in`] and [`super::conv2d_backward_data_in`] say that f32 stays.
pub fn rounds(precision: Precision, g: &Conv2d) -> [bool; 3] {
    let kind = Kind::of(isa::current(), precision);
    let can = kind != Kind::Single && !g.is_depthwise();
    let by_direct_sum = [
        dense::supports(g, kind),
        dense::supports_backward(g, kind) && winograd::backward_form(g, kind).is_none(),
        dense::supports(g, kind) && !winograd_weight::pays(g, kind),
    ];
    by_direct_sum.map(|direct| can && direct)
}

/// y = conv(x, w) + bias, one number per output channel, as [`super::conv2d_in`] computes it: the sums are f32, and rounded
/// once where y is bf16. What it takes as f32 only is widened on the way.
///
/// # Panics
/// As there.
pub fn conv2d_mixed(precision: Precision, g: &Conv2d, x: Numbers, w: &[f32], y: NumbersMut, bias: Option<&[f32]>) {
    let isa = isa::current();
    forward(isa, Kind::of(isa, precision), g, x, w, y, Epilogue { bias, ..Epilogue::NONE });
}

/// dx (+)= the gradient of the input, as [`super::conv2d_backward_data_in`] computes it; where dx is bf16 what is there is added
/// as f32, and the sum rounded once.
///
/// # Panics
/// As there.
pub fn conv2d_backward_data_mixed(
    precision: Precision,
    g: &Conv2d,
    dy: Numbers,
    w: &[f32],
    dx: NumbersMut,
    accumulate: bool,
) {
    let isa = isa::current();
    backward_data(isa, Kind::of(isa, precision), g, dy, w, dx, accumulate);
}

/// dw = the gradient of the weight, as [`super::conv2d_backward_weight_in`] computes it.
///
/// # Panics
/// As there.
pub fn conv2d_backward_weight_mixed(precision: Precision, g: &Conv2d, x: Numbers, dy: Numbers, dw: &mut [f32]) {
    let isa = isa::current();
    backward_weight(isa, Kind::of(isa, precision), g, x, dy, dw);
}

/// See [`super::conv2d_in`].
pub(super) fn forward(isa: Isa, kind: Kind, g: &Conv2d, x: Numbers, w: &[f32], y: NumbersMut, epilogue: Epilogue<f32>) {
    g.check(kind, x.len(), w.len(), y.len());
    epilogue.check(g.cout, y.len());
    if y.is_empty() {
        return;
    }
    if g.is_depthwise() {
        let w = depthwise::pack(g, w);
        return with_wide(isa, x, |x| {
            with_wide_mut(isa, y, false, |y| depthwise::forward(isa, g, x, &w, y, &epilogue));
        });
    }
    let kind = if dense::supports(g, kind) { kind } else { Kind::Single };
    with_buffer(dense::packed_forward_len(isa, kind, g), |panels| {
        dense::pack_forward(isa, kind, g, w, panels);
        let (weight, target) = (dense::Weight { panels, chain: CHAIN, kind }, Target::to(y, false, epilogue));
        with_rows(isa, kind, x, g.cin, |x| {
            let (placed, x) = (x.placed, Pixels { data: x.data, stride: x.width });
            // SAFETY: y has room for all pixels, checked above.
            unsafe { dense::forward_to(isa, g, x, placed, weight, target, g.cout) };
        });
    });
}

/// See [`super::conv2d_backward_data_in`].
pub(super) fn backward_data(
    isa: Isa,
    kind: Kind,
    g: &Conv2d,
    dy: Numbers,
    w: &[f32],
    dx: NumbersMut,
    accumulate: bool,
) {
    g.check(kind, dx.len(), w.len(), dy.len());
    if dx.is_empty() || dy.is_empty() {
        if !accumulate {
            dx.clear();
        }
        return;
    }
    if g.is_depthwise() {
        let w = depthwise::pack(g, w);
        return with_wide(isa, dy, |dy| {
            with_wide_mut(isa, dx, accumulate, |dx| depthwise::backward_data(isa, g, dy, &w, dx, accumulate));
        });
    }
    let (form, target) = (winograd::backward_form(g, kind), Target::to(dx, accumulate, Epilogue::NONE));
    let kind = if dense::supports_backward(g, kind) { kind } else { Kind::Single };
    // SAFETY: dx has all pixels, checked above.
    unsafe {
        match form {
            Some(form) => winograd::backward_data(isa, form, g, dy, w, target),
            None => dense::backward_data(isa, kind, g, dy, w, target),
        }
    }
}

/// See [`super::conv2d_backward_weight_in`].
pub(super) fn backward_weight(isa: Isa, kind: Kind, g: &Conv2d, x: Numbers, dy: Numbers, dw: &mut [f32]) {
    g.check(kind, x.len(), dw.len(), dy.len());
    if dw.is_empty() || dy.is_empty() || x.is_empty() {
        return dw.fill(0.0);
    }
    if g.is_depthwise() {
        return with_wide(isa, x, |x| with_wide(isa, dy, |dy| depthwise::backward_weight(isa, g, x, dy, dw)));
    }
    let kind = if dense::supports(g, kind) { kind } else { Kind::Single };
    dense::backward_weight(isa, kind, g, x, dy, dw);
}
