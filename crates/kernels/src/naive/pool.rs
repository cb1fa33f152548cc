//! Pooling by visiting every window.

use crate::Element;
use crate::pool::{AdaptivePool2d, Pool2d};

/// See [`crate::pool::max_pool2d`].
pub fn max_pool2d<T: Element>(g: &Pool2d, x: &[T], y: &mut [T], indices: &mut [u32]) {
    for i in 0..y.len() {
        let (pixel, c) = (i / g.c, i % g.c);
        let (image, rows, cols) = g.window(pixel);
        let mut best = None;
        for iy in rows {
            for ix in cols.clone() {
                let value = x[((image * g.h + iy) * g.w + ix) * g.c + c];
                if best.is_none_or(|(max, _): (T, _)| value > max || value.is_nan()) {
                    best = Some((value, iy * g.w + ix));
                }
            }
        }
        let (max, at) = best.unwrap_or((T::NEG_INFINITY, 0));
        (y[i], indices[i]) = (max, at as u32);
    }
}

/// See [`crate::pool::max_pool2d_backward`].
pub fn max_pool2d_backward<T: Element>(g: &Pool2d, dy: &[T], indices: &[u32], dx: &mut [T]) {
    dx.fill(T::ZERO);
    for i in 0..dy.len() {
        let image = i / (g.out_h() * g.out_w() * g.c);
        dx[(image * g.h * g.w + indices[i] as usize) * g.c + i % g.c] += dy[i];
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
