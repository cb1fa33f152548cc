//! Pooling over vectors of channels. The forward splits into output rows, the backward into images: windows of one image
//! overlap, and their gradients are summed in order.

use super::{AdaptivePool2d, Pool2d};
use crate::gemm::pack::with_buffer;
use crate::isa::Isa;
use crate::lanes::pieces;
use crate::naive::pool as naive;
use crate::numbers::{Numbers, NumbersMut, Stored, narrow};
use crate::simd::Simd;
use crate::team::each_item;
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

/// The largest numbers of the windows of an output row, whose first pixel has the number `pixel`, and with `PLACES`
/// where they come from. Returns whether there may be NaN in them; the results are not to be used then.
#[inline(always)]
fn max_row<S: Simd, X: Stored, const PLACES: bool>(
    s: S,
    g: &Pool2d,
    x: &[X],
    pixel: usize,
    y: &mut [X],
    places: &mut [u8],
) -> bool {
    let bytes = g.place_bytes();
    // Times 0 every number is 0, but for infinity and NaN.
    let mut zero = s.zero();
    for (j, y) in y.chunks_exact_mut(g.c).enumerate() {
        let ((image, rows, cols), first) = (g.window(pixel + j), g.first_place(pixel + j));
        let image = image_of(x, image, g.h * g.w * g.c);
        let window = (g, rows, cols, first);
        let places = if PLACES { &mut places[j * g.c * bytes..(j + 1) * g.c * bytes] } else { &mut [] };
        let mut c = 0;
        while c + 4 * S::LANES <= g.c {
            zero = max_block::<S, X, 4, PLACES>(s, image, &window, c..c + 4 * S::LANES, y, places, zero);
            c += 4 * S::LANES;
        }
        while c < g.c {
            let end = g.c.min(c + S::LANES);
            zero = max_block::<S, X, 1, PLACES>(s, image, &window, c..end, y, places, zero);
            c = end;
        }
    }
    s.sum(zero).is_nan()
}

/// [`max_row`] of some channels of one window (rows and columns of the image, and the first place): `N` vectors, or a
/// part of one. Returns `zero` with what the numbers times 0 add to it.
#[inline(always)]
fn max_block<S: Simd, X: Stored, const N: usize, const PLACES: bool>(
    s: S,
    image: &[X],
    (g, rows, cols, first): &(&Pool2d, Range<usize>, Range<usize>, usize),
    channels: Range<usize>,
    y: &mut [X],
    places: &mut [u8],
    zero: S::V,
) -> S::V {
    let (n, bytes) = (channels.len(), g.place_bytes());
    // A place travels through lanes of f32 as a number if it is a byte, else as bits.
    let lane = |place: usize| s.splat(if bytes == 1 { place as f32 } else { f32::from_bits(place as u32) });
    let mut max = [s.splat(f32::NEG_INFINITY); N];
    let mut at = [lane(*first); N];
    let mut zeros = [s.zero(); N];
    for (row, iy) in rows.clone().enumerate() {
        for (col, ix) in cols.clone().enumerate() {
            let x = &image[(iy * g.w + ix) * g.c + channels.start..][..n];
            let place = lane(first + row * g.kw + col);
            for k in 0..N {
                let x = X::load(s, &x[k * S::LANES..n.min((k + 1) * S::LANES)]);
                if PLACES {
                    at[k] = s.select(s.less(max[k], x), place, at[k]);
                }
                // Of equal numbers the first, also of 0 and -0.
                max[k] = s.max(x, max[k]);
                zeros[k] = s.mul_add(x, s.zero(), zeros[k]);
            }
        }
    }
    for k in 0..N {
        let lanes = k * S::LANES..n.min((k + 1) * S::LANES);
        X::store(s, &mut y[channels.start..][lanes.clone()], max[k]);
        if PLACES {
            let places = &mut places[channels.start * bytes..][lanes.start * bytes..lanes.end * bytes];
            if bytes == 1 {
                let mut four = [0.0; 4];
                s.store_bytes(&mut four, at[k]);
                places.copy_from_slice(&four.map(|four| four.to_bits().to_le_bytes()).as_flattened()[..lanes.len()]);
            } else {
                let mut numbers = [0.0; 16];
                s.store(&mut numbers, at[k]);
                let numbers = numbers.map(|number| number.to_bits().to_le_bytes());
                places.copy_from_slice(&numbers.as_flattened()[..4 * lanes.len()]);
            }
        }
    }
    zeros.into_iter().fold(zero, |zero, more| s.add(zero, more))
}

#[inline(always)]
fn values_body<S: Simd>(s: S, g: &Pool2d, x: &[f32], pixel: usize, y: &mut [f32]) -> bool {
    max_row::<S, f32, false>(s, g, x, pixel, y, &mut [])
}
dispatch!(fn values(g: &Pool2d, x: &[f32], pixel: usize, y: &mut [f32]) -> bool = values_body);

#[inline(always)]
fn places_body<S: Simd>(s: S, g: &Pool2d, x: Numbers, pixel: usize, y: NumbersMut, places: &mut [u8]) -> bool {
    match (x, y) {
        (Numbers::F32(x), NumbersMut::F32(y)) => max_row::<S, f32, true>(s, g, x, pixel, y, places),
        (Numbers::Bf16(x), NumbersMut::Bf16(y)) => max_row::<S, u16, true>(s, g, x, pixel, y, places),
        _ => unreachable!("numbers that lie differently"),
    }
}
dispatch!(
    fn values_and_places(g: &Pool2d, x: Numbers, pixel: usize, y: NumbersMut, places: &mut [u8]) -> bool = places_body
);

pub(crate) fn max_pool2d(isa: Isa, g: &Pool2d, x: &[f32], y: &mut [f32]) {
    pieces(y, g.out_w() * g.c, |at, y| {
        if values(isa, g, x, at / g.c, y) {
            for (i, y) in y.iter_mut().enumerate() {
                *y = naive::largest(g, |at| x[at], at + i).0;
            }
        }
    });
}

/// x and y lie alike.
pub(crate) fn max_pool2d_places(isa: Isa, g: &Pool2d, x: Numbers, y: NumbersMut, places: &mut [u8]) {
    match (x, y) {
        (Numbers::F32(values), NumbersMut::F32(y)) => max_rows(g, values, y, places, |pixel, y, places| {
            values_and_places(isa, g, x, pixel, NumbersMut::F32(y), places)
        }),
        (Numbers::Bf16(values), NumbersMut::Bf16(y)) => max_rows(g, values, y, places, |pixel, y, places| {
            values_and_places(isa, g, x, pixel, NumbersMut::Bf16(y), places)
        }),
        _ => unreachable!("numbers that lie differently"),
    }
}

/// Calls `row` for each row of the output, with the number of its first pixel, and mends what may be wrong for NaN.
fn max_rows<X: Stored>(
    g: &Pool2d,
    x: &[X],
    y: &mut [X],
    places: &mut [u8],
    row: impl Fn(usize, &mut [X], &mut [u8]) -> bool + Sync,
) {
    if y.is_empty() {
        return;
    }
    let size = g.out_w() * g.c;
    let rows = y.chunks_mut(size).zip(places.chunks_mut(size * g.place_bytes()));
    each_item(rows, |i, (y, places)| {
        if row(i * g.out_w(), y, places) {
            for (j, y) in y.iter_mut().enumerate() {
                let (value, place) = naive::largest(g, |at| x[at].number(), i * size + j);
                *y = X::near(value);
                g.put_place(places, j, place);
            }
        }
    });
}

/// Image number `i` of images of `size` numbers.
fn image_of<X>(x: &[X], i: usize, size: usize) -> &[X] {
    &x[i * size..(i + 1) * size]
}

/// dy and dx may lie differently.
pub(crate) fn max_pool2d_backward(isa: Isa, g: &Pool2d, dy: Numbers, places: &[u8], dx: NumbersMut) {
    let size = g.h * g.w * g.c;
    let image = |at: usize, dx: &mut [f32]| match dy {
        Numbers::F32(dy) => spread_maxima(g, dy, places, at / size, dx),
        Numbers::Bf16(dy) => spread_maxima(g, dy, places, at / size, dx),
    };
    match dx {
        NumbersMut::F32(dx) => pieces(dx, size, image),
        // Gradients of windows that overlap are added in f32.
        NumbersMut::Bf16(dx) => pieces(dx, size, |at, dx| {
            with_buffer(size, |wide| {
                image(at, wide);
                narrow(isa, wide, dx);
            });
        }),
    }
}

/// The gradient of image number `image`.
fn spread_maxima<X: Stored>(g: &Pool2d, dy: &[X], places: &[u8], image: usize, dx: &mut [f32]) {
    let (bytes, pixels) = (g.place_bytes(), g.out_h() * g.out_w());
    // Where each place begins, counted from a window's first, which the padding may hold.
    let starts: Vec<usize> = (0..g.kh * g.kw).map(|place| (place / g.kw * g.w + place % g.kw) * g.c).collect();
    dx.fill(0.0);
    for pixel in image * pixels..(image + 1) * pixels {
        let (oy, ox) = (pixel / g.out_w() % g.out_h(), pixel % g.out_w());
        let (top, left) = (oy * g.stride.0, ox * g.stride.1);
        let (begin, before) = ((top * g.w + left) * g.c, (g.pad[0] * g.w + g.pad[2]) * g.c);
        let dy = &dy[pixel * g.c..][..g.c];
        let places = &places[pixel * g.c * bytes..][..g.c * bytes];
        for (c, dy) in dy.iter().enumerate() {
            let place = if bytes == 1 { usize::from(places[c]) } else { g.place(places, c) };
            dx[begin + starts[place] + c - before] += dy.number();
        }
    }
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
