//! Pooling by visiting every window.

use crate::Element;
use crate::pool::{AdaptivePool2d, Pool2d};

/// See [`crate::pool::max_pool2d`].
pub fn max_pool2d<T: Element>(g: &Pool2d, x: &[T], y: &mut [T]) {
    for (i, y) in y.iter_mut().enumerate() {
        *y = largest(g, |at| x[at], i).0;
    }
}

/// See [`crate::pool::max_pool2d_places`].
pub fn max_pool2d_places<T: Element>(g: &Pool2d, x: &[T], y: &mut [T], places: &mut [u8]) {
    for (i, y) in y.iter_mut().enumerate() {
        let place;
        (*y, place) = largest(g, |at| x[at], i);
        g.put_place(places, i, place);
    }
}

/// The largest number in the window of output number `i`, and its place; `x` gives the number at a place of the input.
pub(crate) fn largest<T: Element>(g: &Pool2d, x: impl Fn(usize) -> T, i: usize) -> (T, usize) {
    let (pixel, c) = (i / g.c, i % g.c);
    let ((image, rows, cols), first) = (g.window(pixel), g.first_place(pixel));
    let mut best = None;
    for (row, iy) in rows.enumerate() {
        for (col, ix) in cols.clone().enumerate() {
            let value = x(((image * g.h + iy) * g.w + ix) * g.c + c);
            if best.is_none_or(|(max, _): (T, _)| value > max || value.is_nan()) {
                best = Some((value, first + row * g.kw + col));
            }
        }
    }
    best.unwrap_or((T::NEG_INFINITY, first))
}

/// See [`crate::pool::max_pool2d_backward`].
pub fn max_pool2d_backward<T: Element>(g: &Pool2d, dy: &[T], places: &[u8], dx: &mut [T]) {
    dx.fill(T::ZERO);
    if dx.is_empty() {
        return;
    }
    for (i, dy) in dy.iter().enumerate() {
        let (pixel, c) = (i / g.c, i % g.c);
        let (image, (iy, ix)) = (pixel / (g.out_h() * g.out_w()), g.pixel_at(pixel, g.place(places, i)));
        dx[((image * g.h + iy) * g.w + ix) * g.c + c] += *dy;
    }
}

/// See [`crate::pool::avg_pool2d`].
pub fn avg_pool2d<T: Element>(g: &Pool2d, x: &[T], y: &mut [T]) {
    for i in 0..y.len() {
        let (pixel, c) = (i / g.c, i % g.c);
        let (image, rows, cols) = g.window(pixel);
        let mut sum = T::ZERO;
        for iy in rows {
            for ix in cols.clone() {
                sum += x[((image * g.h + iy) * g.w + ix) * g.c + c];
            }
        }
        y[i] = sum / T::from_usize(g.divisor(pixel));
    }
}

/// See [`crate::pool::avg_pool2d_backward`].
pub fn avg_pool2d_backward<T: Element>(g: &Pool2d, dy: &[T], dx: &mut [T]) {
    dx.fill(T::ZERO);
    for i in 0..dy.len() {
        let (pixel, c) = (i / g.c, i % g.c);
        let (image, rows, cols) = g.window(pixel);
        for iy in rows {
            for ix in cols.clone() {
                dx[((image * g.h + iy) * g.w + ix) * g.c + c] += dy[i] / T::from_usize(g.divisor(pixel));
            }
        }
    }
}

/// See [`crate::pool::adaptive_avg_pool2d`].
pub fn adaptive_avg_pool2d<T: Element>(g: &AdaptivePool2d, x: &[T], y: &mut [T]) {
    for i in 0..y.len() {
        let (pixel, c) = (i / g.c, i % g.c);
        let (image, rows, cols) = g.window(pixel);
        let count = rows.len() * cols.len();
        let mut sum = T::ZERO;
        for iy in rows {
            for ix in cols.clone() {
                sum += x[((image * g.h + iy) * g.w + ix) * g.c + c];
            }
        }
        y[i] = sum / T::from_usize(count);
    }
}

/// See [`crate::pool::adaptive_avg_pool2d_backward`].
pub fn adaptive_avg_pool2d_backward<T: Element>(g: &AdaptivePool2d, dy: &[T], dx: &mut [T]) {
    dx.fill(T::ZERO);
    for i in 0..dy.len() {
        let (pixel, c) = (i / g.c, i % g.c);
        let (image, rows, cols) = g.window(pixel);
        let count = T::from_usize(rows.len() * cols.len());
        for iy in rows {
            for ix in cols.clone() {
                dx[((image * g.h + iy) * g.w + ix) * g.c + c] += dy[i] / count;
            }
        }
    }
}
