//! Pooling of numbers that lie as f32 or as bf16, to such numbers, for runs that need no backward.

use super::{AdaptivePool2d, Pool2d};
use crate::isa::{Isa, current};
use crate::numbers::{Numbers, NumbersMut, Stored};
use crate::simd::Simd;
use std::ops::Range;

/// A window of an image.
#[derive(Clone)]
struct Window {
    /// The number of the image.
    image: usize,
    rows: Range<usize>,
    cols: Range<usize>,
    /// What the sum is divided by; without it the largest is wanted.
    divisor: Option<f32>,
}

/// The largest numbers of the windows or their means, channel by channel, one pixel after the other. NaN counts as largest.
#[inline(always)]
fn windows_of<S: Simd, X: Stored, Y: Stored>(s: S, x: &[X], windows: &[Window], z: &Sizes, y: &mut [Y]) {
    let Sizes { w, c, .. } = *z;
    for (window, y) in windows.iter().zip(y.chunks_exact_mut(c)) {
        let Window { image, rows, cols, divisor } = window.clone();
        let x = &x[image * z.image..][..z.image];
        let mut doubt = s.zero();
        for first in (0..c).step_by(S::LANES) {
            let end = c.min(first + S::LANES);
            let (mut sum, mut max) = (s.zero(), s.splat(f32::NEG_INFINITY));
            for row in rows.clone() {
                for col in cols.clone() {
                    let x = X::load(s, &x[(row * w + col) * c + first..(row * w + col) * c + end]);
                    sum = s.add(sum, x);
                    max = s.max(x, max);
                }
            }
            match divisor {
                Some(divisor) => Y::store(s, &mut y[first..end], s.div(sum, s.splat(divisor))),
                None => Y::store(s, &mut y[first..end], max),
            }
            // Times 0 every number is 0, but for infinity and NaN.
            doubt = s.mul_add(sum, s.zero(), doubt);
        }
        if divisor.is_none() && s.sum(doubt).is_nan() {
            for channel in 0..c {
                for pixel in rows.clone().flat_map(|row| cols.clone().map(move |col| (row * w + col) * c)) {
                    let x = X::load(s, &x[pixel + channel..pixel + channel + 1]);
                    if s.sum(x).is_nan() {
                        Y::store(s, &mut y[channel..channel + 1], s.splat(f32::NAN));
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn pool_body<S: Simd>(s: S, x: Numbers, windows: &[Window], z: &Sizes, y: NumbersMut) {
    match (x, y) {
        (Numbers::F32(x), NumbersMut::F32(y)) => windows_of(s, x, windows, z, y),
        (Numbers::F32(x), NumbersMut::Bf16(y)) => windows_of(s, x, windows, z, y),
        (Numbers::Bf16(x), NumbersMut::F32(y)) => windows_of(s, x, windows, z, y),
        (Numbers::Bf16(x), NumbersMut::Bf16(y)) => windows_of(s, x, windows, z, y),
    }
}
dispatch!(fn pool_windows(x: Numbers, windows: &[Window], z: &Sizes, y: NumbersMut) = pool_body);

/// What there is to pool: a window of each output pixel, and how many there are in a row.
struct Sizes {
    /// Numbers of an image.
    image: usize,
    w: usize,
    c: usize,
    out_w: usize,
}

fn pool(isa: Isa, z: &Sizes, window: impl Fn(usize) -> Window + Sync, x: Numbers, y: NumbersMut) {
    if y.is_empty() {
        return;
    }
    y.pieces(z.out_w * z.c, |at, y| {
        let windows: Vec<_> = (at / z.c..(at + y.len()) / z.c).map(&window).collect();
        pool_windows(isa, x, &windows, z, y);
    });
}

impl Pool2d {
    fn mixed(&self) -> Sizes {
        Sizes { image: self.h * self.w * self.c, w: self.w, c: self.c, out_w: self.out_w() }
    }
}

/// As [`super::max_pool2d`], of and to numbers that lie as f32 or as bf16.
pub fn max_pool2d_mixed(g: &Pool2d, x: Numbers, y: NumbersMut) {
    match (x, y) {
        (Numbers::F32(x), NumbersMut::F32(y)) => super::max_pool2d(g, x, y),
        (x, y) => max_pool2d_with(current(), g, x, y),
    }
}

/// [`max_pool2d_mixed`] on an instruction set.
pub(super) fn max_pool2d_with(isa: Isa, g: &Pool2d, x: Numbers, y: NumbersMut) {
    g.check(x.len(), y.len());
    let window = |pixel| {
        let (image, rows, cols) = g.window(pixel);
        Window { image, rows, cols, divisor: None }
    };
    pool(isa, &g.mixed(), window, x, y);
}

/// As [`super::avg_pool2d`], of and to numbers that lie as f32 or as bf16.
pub fn avg_pool2d_mixed(g: &Pool2d, x: Numbers, y: NumbersMut) {
    avg_pool2d_with(current(), g, x, y);
}

/// [`avg_pool2d_mixed`] on an instruction set.
pub(super) fn avg_pool2d_with(isa: Isa, g: &Pool2d, x: Numbers, y: NumbersMut) {
    g.check(x.len(), y.len());
    let window = |pixel| {
        let (image, rows, cols) = g.window(pixel);
        Window { image, rows, cols, divisor: Some(g.divisor(pixel) as f32) }
    };
    pool(isa, &g.mixed(), window, x, y);
}

/// As [`super::adaptive_avg_pool2d`], of and to numbers that lie as f32 or as bf16.
pub fn adaptive_avg_pool2d_mixed(g: &AdaptivePool2d, x: Numbers, y: NumbersMut) {
    adaptive_avg_pool2d_with(current(), g, x, y);
}

/// [`adaptive_avg_pool2d_mixed`] on an instruction set.
pub(super) fn adaptive_avg_pool2d_with(isa: Isa, g: &AdaptivePool2d, x: Numbers, y: NumbersMut) {
    g.check(x.len(), y.len());
    let z = Sizes { image: g.h * g.w * g.c, w: g.w, c: g.c, out_w: g.out_w };
    let window = |pixel| {
        let (image, rows, cols) = g.window(pixel);
        let divisor = Some((rows.len() * cols.len()) as f32);
        Window { image, rows, cols, divisor }
    };
    pool(isa, &z, window, x, y);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;
    use crate::naive;
    use crate::numbers::tests::{assert_near, narrowed, widened};
    use crate::testing::numbers;

    /// What `f` makes of x and what `naive` makes of it, x and y lying in all ways, on all instruction sets.
    fn check(x: &[f32], out: usize, naive: impl Fn(&[f32], &mut [f32]), f: impl Fn(Isa, Numbers, NumbersMut)) {
        let short = narrowed(x);
        for (from, to) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut want = vec![0.0; out];
            naive(&if from { widened(&short) } else { x.to_vec() }, &mut want);
            for isa in available() {
                let (mut wide, mut narrow) = (vec![7.0; out], vec![7; out]);
                let source = if from { Numbers::Bf16(&short) } else { Numbers::F32(x) };
                f(isa, source, if to { NumbersMut::Bf16(&mut narrow) } else { NumbersMut::F32(&mut wide) });
                let got = if to { widened(&narrow) } else { wide };
                assert_near(&got, &want, to, 1e-6 * 3.0, &format!("{isa:?} {from} {to}"));
            }
        }
    }

    #[test]
    fn agrees_with_the_naive_twin() {
        for (h, w, c, k, stride, pad) in
            [(7, 9, 5, 3, 2, 1), (8, 8, 64, 2, 2, 0), (5, 6, 34, 3, 1, 1), (40, 40, 8, 3, 2, 1)]
        {
            let g = Pool2d {
                n: 2,
                h,
                w,
                c,
                kh: k,
                kw: k,
                stride: (stride, stride),
                pad: [pad; 4],
                ceil_mode: false,
                count_include_pad: true,
            };
            let out = g.n * g.out_h() * g.out_w() * c;
            let mut x = numbers(1, g.n * h * w * c, -2.0, 2.0);
            let average = |x: &[f32], y: &mut [f32]| naive::pool::avg_pool2d(&g, x, y);
            check(&x, out, average, |isa, x, y| avg_pool2d_with(isa, &g, x, y));
            let bins = AdaptivePool2d { n: 2, h, w, c, out_h: 3, out_w: 2 };
            let average = |x: &[f32], y: &mut [f32]| naive::pool::adaptive_avg_pool2d(&bins, x, y);
            check(&x, 2 * 6 * c, average, |isa, x, y| adaptive_avg_pool2d_with(isa, &bins, x, y));
            (x[3], x[c + 1], x[2 * c]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
            let largest = |x: &[f32], y: &mut [f32]| naive::pool::max_pool2d(&g, x, y);
            check(&x, out, largest, |isa, x, y| max_pool2d_with(isa, &g, x, y));
        }
    }
}
