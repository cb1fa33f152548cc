//! The tiles of Winograd's algorithm for kernels of one row or column: four outputs beside each other, or one below the other.

use super::winograd::{Channels, OUT, Products, Tiles};
use super::winograd_points::{Points, input_points, output_points};
use crate::numbers::Stored;
use crate::simd::Simd;
use std::ops::Range;

/// Bᵀ d of some tiles.
#[inline(always)]
pub(super) fn line_inputs<S: Simd, X: Stored, const P: usize, const IN: usize>(
    s: S,
    points: &Points<P>,
    tiles: &Tiles,
    numbers: &[X],
    which: Range<usize>,
    v: &mut [f32],
) {
    let Tiles { g, stride, apart, .. } = tiles;
    let whole = g.cin / S::LANES * S::LANES;
    let (down, right) = if g.kh > 1 { (1, 0) } else { (0, 1) };
    for (t, tile) in which.enumerate() {
        let v = &mut v[t * apart.0..];
        assert!(v.len() >= (IN - 1) * apart.1 + g.cin.next_multiple_of(S::LANES));
        let (n, oy, ox) = tiles.place(tile);
        let mut pixels: [Option<&[X]>; IN] = [None; IN];
        let mut all = true;
        for (i, pixel) in pixels.iter_mut().enumerate() {
            let at = |(iy, ix)| &numbers[((n * g.h + iy) * g.w + ix) * stride..][..g.cin];
            *pixel = g.source(oy + i * down, ox + i * right, 0, 0).map(at);
            all &= pixel.is_some();
        }
        let mut first = 0;
        if let (true, Some((iy, ix))) = (all, g.source(oy, ox, 0, 0)) {
            let step = if down == 1 { g.w * stride } else { *stride };
            let line = &numbers[((n * g.h + iy) * g.w + ix) * stride..][..(IN - 1) * step + g.cin];
            first = whole;
            for c in (0..whole).step_by(S::LANES) {
                let mut d = [s.zero(); IN];
                for (i, d) in d.iter_mut().enumerate() {
                    // SAFETY: all pixels are there, `step` apart, and c + LANES lies within their channels.
                    *d = unsafe { X::load_ptr(s, line.as_ptr().add(i * step + c)) };
                }
                store(s, input_points(s, points, d), apart.1, &mut v[c..]);
            }
        }
        for c in (first..g.cin).step_by(S::LANES) {
            let mut d = [s.zero(); IN];
            for (d, pixel) in d.iter_mut().zip(&pixels) {
                if let Some(pixel) = pixel {
                    *d = X::load(s, &pixel[c..]);
                }
            }
            store(s, input_points(s, points, d), apart.1, &mut v[c..]);
        }
    }
}

/// Writes a vector for each place.
#[inline(always)]
fn store<S: Simd, const IN: usize>(s: S, places: [S::V; IN], pitch: usize, v: &mut [f32]) {
    for (place, number) in places.into_iter().enumerate() {
        s.store(&mut v[place * pitch..], number);
    }
}

/// The outputs of some tiles, from their products.
#[inline(always)]
pub(super) fn line_outputs<S: Simd, const P: usize, const IN: usize>(
    s: S,
    points: &Points<P>,
    tiles: &Tiles,
    products: &Products,
    which: Range<usize>,
    to: &Channels<S>,
) {
    let (height, width) = (tiles.g.out_h(), tiles.g.out_w());
    for (t, tile) in which.enumerate() {
        let (n, oy, ox) = tiles.place(tile);
        let mut m = [s.zero(); IN];
        for (place, m) in m.iter_mut().enumerate() {
            *m = products.at(s, place, t);
        }
        let y: [S::V; OUT] = output_points(s, points, m);
        let (step, count) = if tiles.g.kh > 1 { (width, height - oy) } else { (1, width - ox) };
        for (i, &sum) in y[..OUT.min(count)].iter().enumerate() {
            to.write(s, (n * height + oy) * width + ox + i * step, sum);
        }
    }
}
