//! Pooling over vectors of channels. The forward splits into output rows, the backward into images: windows of one image
//! overlap, and their gradients are summed in order.

use super::{AdaptivePool2d, Pool2d};
use crate::isa::Isa;
use crate::lanes::pieces;
use crate::simd::Simd;
use bytemuck::cast_slice_mut;
use rayon::prelude::*;
use std::ops::Range;

/// An image [h][w][c] and a window of it.
#[derive(Clone)]
struct Window {
    rows: Range<usize>,
    cols: Range<usize>,
    /// Width and channels of the image.
    w: usize,
    c: usize,
}

impl Window {
    /// Where the channels of the pixels start, row by row.
    #[inline(always)]
    fn pixels(&self) -> impl Iterator<Item = usize> + use<> {
        let Window { rows, cols, w, c } = self.clone();
        rows.flat_map(move |y| cols.clone().map(move |x| (y * w + x) * c))
    }
}

/// Largest number and its pixel for each channel.
#[inline(always)]
fn max_body<S: Simd>(s: S, image: &[f32], window: &Window, y: &mut [f32], indices: &mut [f32]) {
    let mut channel = 0;
    while channel < window.c {
        let n = S::LANES.min(window.c - channel);
        let mut max = s.splat(f32::NEG_INFINITY);
        let mut at = s.zero();
        // Times 0 every number is 0, but for infinity and NaN.
        let mut zero = s.zero();
        let mut first = true;
        for pixel in window.pixels() {
            let x = &image[pixel + channel..][..n];
            let x = if n == S::LANES { s.load(x) } else { s.load_partial(x) };
            let index = s.splat(f32::from_bits((pixel / window.c) as u32));
            let larger = s.less(max, x);
            max = s.select(larger, x, max);
            at = if first { index } else { s.select(larger, index, at) };
            zero = s.mul_add(x, s.zero(), zero);
            first = false;
        }
        s.store_partial(&mut y[channel..channel + n], max);
        s.store_partial(&mut indices[channel..channel + n], at);
        if s.sum(zero).is_nan() {
            max_with_nan(image, window, channel..channel + n, y, indices);
        }
        channel += n;
    }
}
dispatch!(fn max_window(image: &[f32], window: &Window, y: &mut [f32], indices: &mut [f32]) = max_body);

/// The rule for windows that may have NaN: the last one wins, else the first of the largest.
fn max_with_nan(image: &[f32], window: &Window, channels: Range<usize>, y: &mut [f32], indices: &mut [f32]) {
    for channel in channels {
        let mut best = None;
        for pixel in window.pixels() {
            let x = image[pixel + channel];
            if best.is_none_or(|(max, _)| x > max || x.is_nan()) {
                best = Some((x, pixel / window.c));
            }
        }
        if let Some((max, at)) = best {
            (y[channel], indices[channel]) = (max, f32::from_bits(at as u32));
        }
    }
}

pub(crate) fn max_pool2d(isa: Isa, g: &Pool2d, x: &[f32], y: &mut [f32], indices: &mut [u32]) {
    if y.is_empty() {
        return;
    }
    // A vector has lanes of f32: indices travel through them as bits.
    let indices: &mut [f32] = cast_slice_mut(indices);
    let row = g.out_w() * g.c;
    y.par_chunks_mut(row).zip(indices.par_chunks_mut(row)).enumerate().for_each(|(i, (y, indices))| {
        let pixels = y.chunks_exact_mut(g.c).zip(indices.chunks_exact_mut(g.c));
        for (j, (y, indices)) in pixels.enumerate() {
            let (image, rows, cols) = g.window(i * g.out_w() + j);
            let window = Window { rows, cols, w: g.w, c: g.c };
            max_window(isa, image_of(x, image, g.h * g.w * g.c), &window, y, indices);
        }
    });
}

/// Image number `i` of images of `size` numbers.
fn image_of(x: &[f32], i: usize, size: usize) -> &[f32] {
    &x[i * size..(i + 1) * size]
}

pub(crate) fn max_pool2d_backward(g: &Pool2d, dy: &[f32], indices: &[u32], dx: &mut [f32]) {
    let (size, out_size) = (g.h * g.w * g.c, g.out_h() * g.out_w() * g.c);
    pieces(dx, size, |at, dx| {
        dx.fill(0.0);
        if dx.is_empty() || out_size == 0 {
            return;
        }
        let out = at / size * out_size..(at / size + 1) * out_size;
        let pixels = dy[out.clone()].chunks_exact(g.c).zip(indices[out].chunks_exact(g.c));
        for (dy, indices) in pixels {
            for (c, (dy, &index)) in dy.iter().zip(indices).enumerate() {
                dx[index as usize * g.c + c] += dy;
            }
        }
    });
}

/// y = sum of the window / divisor.
#[inline(always)]
fn average_body<S: Simd>(s: S, image: &[f32], window: &Window, divisor: f32, y: &mut [f32]) {
    y.fill(0.0);
    for pixel in window.pixels() {
        let x = &image[pixel..pixel + window.c];
        lanes!(s, in y = [x] s.add(y, x));
    }
    let d = s.splat(divisor);
    lanes!(s, in y = [] s.div(y, d));
}
dispatch!(fn average_window(image: &[f32], window: &Window, divisor: f32, y: &mut [f32]) = average_body);

/// dx += dy / divisor over the window.
#[inline(always)]
fn spread_body<S: Simd>(s: S, dy: &[f32], window: &Window, divisor: f32, dx: &mut [f32]) {
    let d = s.splat(divisor);
    for pixel in window.pixels() {
        let dx = &mut dx[pixel..pixel + window.c];
        lanes!(s, in dx = [dy] s.add(dx, s.div(dy, d)));
    }
}
dispatch!(fn spread_window(dy: &[f32], window: &Window, divisor: f32, dx: &mut [f32]) = spread_body);

/// What average poolings have in common.
#[derive(Clone, Copy)]
struct Sizes {
    /// Numbers of an input image.
    size: usize,
    w: usize,
    c: usize,
    /// Output pixels of an image, and of a row.
    out: usize,
    out_w: usize,
}

/// A window and its divisor, by number of the output pixel.
type WindowOf<'a> = &'a (dyn Fn(usize) -> (usize, Range<usize>, Range<usize>, usize) + Sync);

fn average(isa: Isa, z: Sizes, window_of: WindowOf, x: &[f32], y: &mut [f32]) {
    pieces(y, z.out_w * z.c, |at, y| {
        for (j, y) in y.chunks_exact_mut(z.c.max(1)).enumerate() {
            let (image, rows, cols, divisor) = window_of(at / z.c + j);
            let window = Window { rows, cols, w: z.w, c: z.c };
            average_window(isa, image_of(x, image, z.size), &window, divisor as f32, y);
        }
    });
}

fn average_backward(isa: Isa, z: Sizes, window_of: WindowOf, dy: &[f32], dx: &mut [f32]) {
    pieces(dx, z.size, |at, dx| {
        dx.fill(0.0);
        if dx.is_empty() {
            return;
        }
        let first = at / z.size * z.out;
        for pixel in first..first + z.out {
            let (_, rows, cols, divisor) = window_of(pixel);
            let window = Window { rows, cols, w: z.w, c: z.c };
            spread_window(isa, &dy[pixel * z.c..(pixel + 1) * z.c], &window, divisor as f32, dx);
        }
    });
}

impl Pool2d {
    fn sizes(&self) -> Sizes {
        let (out_w, out) = (self.out_w(), self.out_h() * self.out_w());
        Sizes { size: self.h * self.w * self.c, w: self.w, c: self.c, out, out_w }
    }

    fn window_and_divisor(&self, pixel: usize) -> (usize, Range<usize>, Range<usize>, usize) {
        let (image, rows, cols) = self.window(pixel);
        (image, rows, cols, self.divisor(pixel))
    }
}

impl AdaptivePool2d {
    fn sizes(&self) -> Sizes {
        let out = self.out_h * self.out_w;
        Sizes { size: self.h * self.w * self.c, w: self.w, c: self.c, out, out_w: self.out_w }
    }

    fn window_and_divisor(&self, pixel: usize) -> (usize, Range<usize>, Range<usize>, usize) {
        let (image, rows, cols) = self.window(pixel);
        let count = rows.len() * cols.len();
        (image, rows, cols, count)
    }
}

pub(crate) fn avg_pool2d(isa: Isa, g: &Pool2d, x: &[f32], y: &mut [f32]) {
    average(isa, g.sizes(), &|pixel| g.window_and_divisor(pixel), x, y);
}

pub(crate) fn avg_pool2d_backward(isa: Isa, g: &Pool2d, dy: &[f32], dx: &mut [f32]) {
    average_backward(isa, g.sizes(), &|pixel| g.window_and_divisor(pixel), dy, dx);
}

pub(crate) fn adaptive_avg_pool2d(isa: Isa, g: &AdaptivePool2d, x: &[f32], y: &mut [f32]) {
    average(isa, g.sizes(), &|pixel| g.window_and_divisor(pixel), x, y);
}

pub(crate) fn adaptive_avg_pool2d_backward(isa: Isa, g: &AdaptivePool2d, dy: &[f32], dx: &mut [f32]) {
    average_backward(isa, g.sizes(), &|pixel| g.window_and_divisor(pixel), dy, dx);
}
