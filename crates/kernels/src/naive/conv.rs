//! Convolution and its two gradients by nested loops over everything.

use super::gemm::finish;
use crate::Element;
use crate::conv::Conv2d;
use crate::gemm::Epilogue;

/// Calls `f(y index, w index, x index)` for each product that the convolution sums.
fn each(g: &Conv2d, mut f: impl FnMut(usize, usize, usize)) {
    let (cin, cout) = (g.cin / g.groups, g.cout / g.groups);
    let (out_h, out_w) = (g.out_h(), g.out_w());
    for pixel in 0..g.n * out_h * out_w {
        let (image, oy, ox) = (pixel / (out_h * out_w), pixel / out_w % out_h, pixel % out_w);
        for o in 0..g.cout {
            for tap in 0..g.kh * g.kw {
                let Some((iy, ix)) = g.source(oy, ox, tap / g.kw, tap % g.kw) else {
                    continue;
                };
                let x = ((image * g.h + iy) * g.w + ix) * g.cin + o / cout * cin;
                let w = (o * g.kh * g.kw + tap) * cin;
                for c in 0..cin {
                    f(pixel * g.cout + o, w + c, x + c);
                }
            }
        }
    }
}

/// See [`crate::conv::conv2d`].
pub fn conv2d<T: Element>(g: &Conv2d, x: &[T], w: &[T], y: &mut [T], epilogue: &Epilogue<T>) {
    y.fill(T::ZERO);
    each(g, |yi, wi, xi| y[yi] += w[wi] * x[xi]);
    for (i, y) in y.iter_mut().enumerate() {
        *y = finish(*y, epilogue, i, i % g.cout);
    }
}

/// See [`crate::conv::conv2d_backward_data`].
pub fn conv2d_backward_data<T: Element>(g: &Conv2d, dy: &[T], w: &[T], dx: &mut [T], accumulate: bool) {
    if !accumulate {
        dx.fill(T::ZERO);
    }
    each(g, |yi, wi, xi| dx[xi] += w[wi] * dy[yi]);
}

/// See [`crate::conv::conv2d_backward_weight`].
pub fn conv2d_backward_weight<T: Element>(g: &Conv2d, x: &[T], dy: &[T], dw: &mut [T]) {
    dw.fill(T::ZERO);
    each(g, |yi, wi, xi| dw[wi] += dy[yi] * x[xi]);
}
