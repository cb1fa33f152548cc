//! Depthwise convolution (each input channel by itself, giving one or more output channels) and its gradients.
//!
//! There is nothing to multiply matrices for: all three are sums of products channel by channel. With more than one
//! output channel per input channel the input is first spread out to one channel per output channel.

use super::Conv2d;
use crate::gemm::Epilogue;
use crate::isa::Isa;
use crate::naive::gemm::finish;
use crate::simd::Simd;
use crate::team::{each_chunk, each_result};
use std::borrow::Cow;

/// Pieces that the rows of the output are cut into for the gradient of the weight.
const PIECES: usize = 16;

/// Places in a sum and in two factors.
type Place = [usize; 3];

/// sum[i + c] += a[j + c] * b[k + c] for all places (i, j, k) in their order and all channels c.
#[inline(always)]
fn products_body<S: Simd>(s: S, sum: &mut [f32], a: &[f32], b: &[f32], places: &[Place], channels: usize) {
    for &[i, j, k] in places {
        let (sum, a, b) = (&mut sum[i..][..channels], &a[j..][..channels], &b[k..][..channels]);
        let whole = channels / S::LANES * S::LANES;
        for c in (0..whole).step_by(S::LANES) {
            let v = s.mul_add(s.load(&a[c..]), s.load(&b[c..]), s.load(&sum[c..]));
            s.store(&mut sum[c..], v);
        }
        let (sum, a, b) = (&mut sum[whole..], &a[whole..], &b[whole..]);
        let v = s.mul_add(s.load_partial(a), s.load_partial(b), s.load_partial(sum));
        s.store_partial(sum, v);
    }
}

dispatch!(fn products(sum: &mut [f32], a: &[f32], b: &[f32], places: &[Place], channels: usize) = products_body);

/// The weight as [tap][output channel].
pub(super) fn pack(g: &Conv2d, w: &[f32]) -> Vec<f32> {
    let taps = g.kh * g.kw;
    (0..taps * g.cout).map(|i| w[i % g.cout * taps + i / g.cout]).collect()
}

/// x with each channel as often as it has output channels.
fn spread<'a>(g: &Conv2d, x: &'a [f32]) -> Cow<'a, [f32]> {
    match g.cout / g.cin {
        1 => x.into(),
        times => x.iter().flat_map(|&x| std::iter::repeat_n(x, times)).collect(),
    }
}

/// The places that the outputs of row `row` (image by image) meet: [output, tap, input], each of `cout` channels, the
/// output counted from the start of the row.
fn row_places(g: &Conv2d, row: usize) -> Vec<Place> {
    let (out_h, out_w, mut places) = (g.out_h(), g.out_w(), Vec::new());
    for ox in 0..out_w {
        for tap in 0..g.kh * g.kw {
            if let Some((iy, ix)) = g.source(row % out_h, ox, tap / g.kw, tap % g.kw) {
                places.push([ox, tap, (row / out_h * g.h + iy) * g.w + ix].map(|at| at * g.cout));
            }
        }
    }
    places
}

/// See [`super::conv2d`]; `w` comes from [`pack`].
pub(super) fn forward(isa: Isa, g: &Conv2d, x: &[f32], w: &[f32], y: &mut [f32], epilogue: &Epilogue<f32>) {
    let (x, size) = (spread(g, x), g.out_w() * g.cout);
    each_chunk(y, size.max(1), |row, y| {
        y.fill(0.0);
        products(isa, y, w, &x, &row_places(g, row), g.cout);
        for (i, y) in y.iter_mut().enumerate() {
            *y = finish(*y, epilogue, row * size + i, i % g.cout);
        }
    });
}

/// See [`super::conv2d_backward_data`]; `w` comes from [`pack`].
pub(super) fn backward_data(isa: Isa, g: &Conv2d, dy: &[f32], w: &[f32], dx: &mut [f32], accumulate: bool) {
    let (times, image) = (g.cout / g.cin, g.h * g.w * g.cin);
    let rows = g.out_h();
    each_chunk(dx, image.max(1), |n, dx| {
        let mut sum = vec![0.0; g.h * g.w * g.cout];
        for row in n * rows..(n + 1) * rows {
            let place = |[ox, tap, ix]: Place| [ix - n * sum.len(), tap, row * g.out_w() * g.cout + ox];
            let places: Vec<_> = row_places(g, row).into_iter().map(place).collect();
            products(isa, &mut sum, w, dy, &places, g.cout);
        }
        for (dx, sum) in dx.iter_mut().zip(sum.chunks_exact(times)) {
            let sum: f32 = sum.iter().sum();
            *dx = if accumulate { *dx + sum } else { sum };
        }
    });
}

/// See [`super::conv2d_backward_weight`].
pub(super) fn backward_weight(isa: Isa, g: &Conv2d, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (x, taps) = (spread(g, x), g.kh * g.kw);
    let rows = g.n * g.out_h();
    let piece = |i: usize| {
        let mut sum = vec![0.0; taps * g.cout];
        for row in rows * i / PIECES..rows * (i + 1) / PIECES {
            let place = |[ox, tap, ix]: Place| [tap, row * g.out_w() * g.cout + ox, ix];
            let places: Vec<_> = row_places(g, row).into_iter().map(place).collect();
            products(isa, &mut sum, dy, &x, &places, g.cout);
        }
        sum
    };
    let sums = each_result(PIECES, piece);
    for (i, dw) in dw.iter_mut().enumerate() {
        *dw = sums.iter().map(|sum| sum[i % taps * g.cout + i / taps]).sum();
    }
}
