//! Pooling over channels-last images `[n][h][w][c]`, with the rules of torch.

mod fast;
mod mixed;
#[cfg(test)]
mod tests;

use crate::Element;
use crate::element::is_f32;
use crate::isa::current;
use crate::naive::pool as naive;
use crate::numbers::{Numbers, NumbersMut, alike};
use bytemuck::{cast_slice, cast_slice_mut};
pub use mixed::{adaptive_avg_pool2d_mixed, avg_pool2d_mixed, max_pool2d_mixed};
use std::ops::Range;

/// The sizes of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Window height.
    pub kh: usize,
    /// Window width.
    pub kw: usize,
    /// Vertical and horizontal step.
    pub stride: (usize, usize),
    /// Padding around the input: top, bottom, left, right. At most half the window.
    pub pad: [usize; 4],
    /// May the last window hang over the edge? It must start inside the input or the padding before it.
    pub ceil_mode: bool,
    /// Do averages divide by the size of the window including padding?
    pub count_include_pad: bool,
}

impl Pool2d {
    /// Output height.
    pub fn out_h(&self) -> usize {
        out_size(self.h, self.kh, self.stride.0, self.pad[0], self.pad[1], self.ceil_mode)
    }
    /// Output width.
    pub fn out_w(&self) -> usize {
        out_size(self.w, self.kw, self.stride.1, self.pad[2], self.pad[3], self.ceil_mode)
    }
    /// Numbers in x.
    pub fn x_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }
    /// Numbers in y.
    pub fn y_len(&self) -> usize {
        self.n * self.out_h() * self.out_w() * self.c
    }

    /// Bytes of the places of all outputs. A place numbers the pixels of a window, padding included, row by row; it has
    /// one byte, or four, little end first, if a window has more than 256 pixels.
    pub fn places_len(&self) -> usize {
        self.y_len() * self.place_bytes()
    }

    /// Bytes of a place.
    fn place_bytes(&self) -> usize {
        if self.kh.saturating_mul(self.kw) <= 256 { 1 } else { 4 }
    }

    /// Writes the place of output number `i`.
    pub(crate) fn put_place(&self, places: &mut [u8], i: usize, place: usize) {
        let bytes = self.place_bytes();
        places[i * bytes..][..bytes].copy_from_slice(&(place as u32).to_le_bytes()[..bytes]);
    }

    /// The place of output number `i`.
    pub(crate) fn place(&self, places: &[u8], i: usize) -> usize {
        let bytes = self.place_bytes();
        places[i * bytes..][..bytes].iter().rev().fold(0, |place, &byte| place << 8 | usize::from(byte))
    }

    /// Input row and column of a place in the window of output pixel number `pixel`, which must not lie in the padding.
    pub(crate) fn pixel_at(&self, pixel: usize, place: usize) -> (usize, usize) {
        let (oy, ox) = (pixel / self.out_w() % self.out_h(), pixel % self.out_w());
        (oy * self.stride.0 + place / self.kw - self.pad[0], ox * self.stride.1 + place % self.kw - self.pad[2])
    }

    /// The first place in the window of output pixel number `pixel` that does not lie in the padding.
    pub(crate) fn first_place(&self, pixel: usize) -> usize {
        let (oy, ox) = (pixel / self.out_w() % self.out_h(), pixel % self.out_w());
        self.pad[0].saturating_sub(oy * self.stride.0) * self.kw + self.pad[2].saturating_sub(ox * self.stride.1)
    }

    /// Image, input rows and input columns of output pixel number `pixel`, padding left out.
    #[inline]
    pub fn window(&self, pixel: usize) -> (usize, Range<usize>, Range<usize>) {
        let (oy, ox) = (pixel / self.out_w() % self.out_h(), pixel % self.out_w());
        (
            pixel / (self.out_h() * self.out_w()),
            inside(oy * self.stride.0, self.kh, self.pad[0], self.h),
            inside(ox * self.stride.1, self.kw, self.pad[2], self.w),
        )
    }

    /// What the average of output pixel number `pixel` divides by.
    #[inline]
    pub fn divisor(&self, pixel: usize) -> usize {
        if !self.count_include_pad {
            let (_, rows, cols) = self.window(pixel);
            return rows.len() * cols.len();
        }
        // Padding counts, but not what hangs over it in ceil mode.
        let span = |start: usize, k: usize, padded: usize| (start + k).min(padded) - start;
        let (oy, ox) = (pixel / self.out_w() % self.out_h(), pixel % self.out_w());
        span(oy * self.stride.0, self.kh, self.h + self.pad[0] + self.pad[1])
            * span(ox * self.stride.1, self.kw, self.w + self.pad[2] + self.pad[3])
    }

    /// Panics unless the sizes are possible and the slices have them.
    fn check(&self, x: usize, y: usize) {
        assert!(self.stride.0 > 0 && self.stride.1 > 0, "{self:?}: stride 0");
        assert!(self.kh > 0 && self.kw > 0, "{self:?}: window 0");
        let [top, bottom, left, right] = self.pad;
        assert!(
            2 * top.max(bottom) <= self.kh && 2 * left.max(right) <= self.kw,
            "{self:?}: padding above half the window"
        );
        assert!(self.h * self.w <= u32::MAX as usize, "{self:?}: image too large");
        assert_eq!(x, self.x_len(), "{self:?}: input");
        assert_eq!(y, self.y_len(), "{self:?}: output");
    }
}

/// Number of windows along one dimension.
fn out_size(size: usize, k: usize, stride: usize, before: usize, after: usize, ceil: bool) -> usize {
    let padded = size + before + after;
    if padded < k {
        return 0;
    }
    let steps = (padded - k + if ceil { stride - 1 } else { 0 }) / stride;
    if ceil && steps * stride >= size + before { steps } else { steps + 1 }
}

/// The part of a window that lies in the input; `start` counts from the padding on.
fn inside(start: usize, k: usize, pad: usize, size: usize) -> Range<usize> {
    let end = (start + k).saturating_sub(pad).min(size);
    start.saturating_sub(pad).min(end)..end
}

/// y = largest of each window, padding left out. NaN counts as largest.
///
/// # Panics
/// If the sizes do not fit, as all functions of this module do.
pub fn max_pool2d<T: Element>(g: &Pool2d, x: &[T], y: &mut [T]) {
    g.check(x.len(), y.len());
    if is_f32::<T>() {
        fast::max_pool2d(current(), g, cast_slice(x), cast_slice_mut(y));
    } else {
        naive::max_pool2d(g, x, y);
    }
}

/// As [`max_pool2d`]; `places` = where in its window each output comes from, the first if several are equal, the last
/// if there are NaN: see [`Pool2d::places_len`].
pub fn max_pool2d_places<T: Element>(g: &Pool2d, x: &[T], y: &mut [T], places: &mut [u8]) {
    g.check(x.len(), y.len());
    assert_eq!(places.len(), g.places_len(), "max_pool2d: places");
    if is_f32::<T>() {
        let (x, y) = (Numbers::F32(cast_slice(x)), NumbersMut::F32(cast_slice_mut(y)));
        fast::max_pool2d_places(current(), g, x, y, places);
    } else {
        naive::max_pool2d_places(g, x, y, places);
    }
}

/// dx = dy at the places that [`max_pool2d_places`] took its results from, summed, and 0 elsewhere.
pub fn max_pool2d_backward<T: Element>(g: &Pool2d, dy: &[T], places: &[u8], dx: &mut [T]) {
    g.check(dx.len(), dy.len());
    assert_eq!(places.len(), g.places_len(), "max_pool2d: places");
    if is_f32::<T>() {
        let (dy, dx) = (Numbers::F32(cast_slice(dy)), NumbersMut::F32(cast_slice_mut(dx)));
        fast::max_pool2d_backward(current(), g, dy, places, dx);
    } else {
        naive::max_pool2d_backward(g, dy, places, dx);
    }
}

/// [`max_pool2d_places`] where x and y lie as f32 or both as bf16.
pub fn max_pool2d_places_mixed(g: &Pool2d, x: Numbers, y: NumbersMut, places: &mut [u8]) {
    g.check(x.len(), y.len());
    assert_eq!(places.len(), g.places_len(), "max_pool2d: places");
    assert!(alike([Some(x), Some(y.seen())]), "max_pool2d: numbers that lie differently");
    fast::max_pool2d_places(current(), g, x, y, places);
}

/// [`max_pool2d_backward`] where dy and dx lie as f32 or as bf16 each; sums are f32.
pub fn max_pool2d_backward_mixed(g: &Pool2d, dy: Numbers, places: &[u8], dx: NumbersMut) {
    g.check(dx.len(), dy.len());
    assert_eq!(places.len(), g.places_len(), "max_pool2d: places");
    fast::max_pool2d_backward(current(), g, dy, places, dx);
}

/// y = mean of each window, see [`Pool2d::divisor`].
pub fn avg_pool2d<T: Element>(g: &Pool2d, x: &[T], y: &mut [T]) {
    g.check(x.len(), y.len());
    if is_f32::<T>() {
        fast::avg_pool2d(current(), g, cast_slice(x), cast_slice_mut(y));
    } else {
        naive::avg_pool2d(g, x, y);
    }
}

/// dx = dy / divisor summed over the windows that each input took part in.
pub fn avg_pool2d_backward<T: Element>(g: &Pool2d, dy: &[T], dx: &mut [T]) {
    g.check(dx.len(), dy.len());
    if is_f32::<T>() {
        fast::avg_pool2d_backward(current(), g, cast_slice(dy), cast_slice_mut(dx));
    } else {
        naive::avg_pool2d_backward(g, dy, dx);
    }
}

/// The sizes of an adaptive average pooling: output row i averages the input rows from floor(i h / out_h) to before
/// ceil((i + 1) h / out_h), columns likewise. Global average pooling is `out_h = out_w = 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptivePool2d {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Output height.
    pub out_h: usize,
    /// Output width.
    pub out_w: usize,
}

impl AdaptivePool2d {
    /// Image, input rows and input columns of output pixel number `pixel`.
    #[inline]
    pub fn window(&self, pixel: usize) -> (usize, Range<usize>, Range<usize>) {
        let bin = |i: usize, size: usize, out: usize| i * size / out..((i + 1) * size).div_ceil(out);
        (
            pixel / (self.out_h * self.out_w),
            bin(pixel / self.out_w % self.out_h, self.h, self.out_h),
            bin(pixel % self.out_w, self.w, self.out_w),
        )
    }

    /// Panics unless the slices have these sizes.
    fn check(&self, x: usize, y: usize) {
        assert!((self.h > 0 && self.w > 0) || y == 0, "{self:?}: an average of no pixels");
        assert_eq!(x, self.n * self.h * self.w * self.c, "{self:?}: input");
        assert_eq!(y, self.n * self.out_h * self.out_w * self.c, "{self:?}: output");
    }
}

/// y = mean of each bin of the input.
pub fn adaptive_avg_pool2d<T: Element>(g: &AdaptivePool2d, x: &[T], y: &mut [T]) {
    g.check(x.len(), y.len());
    if is_f32::<T>() {
        fast::adaptive_avg_pool2d(current(), g, cast_slice(x), cast_slice_mut(y));
    } else {
        naive::adaptive_avg_pool2d(g, x, y);
    }
}

/// dx = dy / size of the bin, summed over the bins that each input took part in.
pub fn adaptive_avg_pool2d_backward<T: Element>(g: &AdaptivePool2d, dy: &[T], dx: &mut [T]) {
    g.check(dx.len(), dy.len());
    if is_f32::<T>() {
        fast::adaptive_avg_pool2d_backward(current(), g, cast_slice(dy), cast_slice_mut(dx));
    } else {
        naive::adaptive_avg_pool2d_backward(g, dy, dx);
    }
}
