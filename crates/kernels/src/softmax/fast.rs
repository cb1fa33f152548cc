//! Softmax by rows: largest element, e^(x - largest) and its sum, then the quotient, each over vectors.

use super::CrossEntropy;
use crate::isa::Isa;
use crate::lanes::{largest, piece_rows, pieces};
use crate::math::exp_nonpositive;
use crate::simd::Simd;

/// y = e^(x - max), and the sum of y.
#[inline(always)]
fn exponentials<S: Simd>(s: S, x: &[f32], max: f32, y: &mut [f32]) -> f32 {
    let m = s.splat(max);
    lanes!(s, y = [x] exp_nonpositive(s, s.sub(x, m)));
    let y = &*y;
    sum_lanes!(s, sum = [y] s.add(sum, y))
}

#[inline(always)]
fn softmax_body<S: Simd>(s: S, x: &[f32], cols: usize, y: &mut [f32]) {
    for (x, y) in x.chunks_exact(cols).zip(y.chunks_exact_mut(cols)) {
        let sum = exponentials(s, x, largest(s, x), y);
        let k = s.splat(1.0 / sum);
        lanes!(s, in y = [] s.mul(y, k));
    }
}
dispatch!(fn softmax_piece(x: &[f32], cols: usize, y: &mut [f32]) = softmax_body);

pub(crate) fn softmax(isa: Isa, x: &[f32], cols: usize, y: &mut [f32]) {
    pieces(y, piece_rows(cols) * cols, |at, y| softmax_piece(isa, &x[at..at + y.len()], cols, y));
}

#[inline(always)]
fn softmax_backward_body<S: Simd>(s: S, y: &[f32], dy: &[f32], cols: usize, dx: &mut [f32]) {
    let rows = y.chunks_exact(cols).zip(dy.chunks_exact(cols));
    for ((y, dy), dx) in rows.zip(dx.chunks_exact_mut(cols)) {
        let dot = s.splat(sum_lanes!(s, sum = [y, dy] s.mul_add(y, dy, sum)));
        lanes!(s, dx = [y, dy] s.mul(y, s.sub(dy, dot)));
    }
}
dispatch!(fn softmax_backward_piece(y: &[f32], dy: &[f32], cols: usize, dx: &mut [f32]) = softmax_backward_body);

pub(crate) fn softmax_backward(isa: Isa, y: &[f32], dy: &[f32], cols: usize, dx: &mut [f32]) {
    pieces(dx, piece_rows(cols) * cols, |at, dx| {
        let piece = at..at + dx.len();
        softmax_backward_piece(isa, &y[piece.clone()], &dy[piece], cols, dx);
    });
}

#[inline(always)]
fn log_softmax_body<S: Simd>(s: S, x: &[f32], cols: usize, y: &mut [f32]) {
    for (x, y) in x.chunks_exact(cols).zip(y.chunks_exact_mut(cols)) {
        let max = largest(s, x);
        let ln_sum = exponentials(s, x, max, y).ln();
        let (max, ln_sum) = (s.splat(max), s.splat(ln_sum));
        lanes!(s, y = [x] s.sub(s.sub(x, max), ln_sum));
    }
}
dispatch!(fn log_softmax_piece(x: &[f32], cols: usize, y: &mut [f32]) = log_softmax_body);

pub(crate) fn log_softmax(isa: Isa, x: &[f32], cols: usize, y: &mut [f32]) {
    pieces(y, piece_rows(cols) * cols, |at, y| log_softmax_piece(isa, &x[at..at + y.len()], cols, y));
}

#[inline(always)]
fn log_softmax_backward_body<S: Simd>(s: S, y: &[f32], dy: &[f32], cols: usize, dx: &mut [f32]) {
    let rows = y.chunks_exact(cols).zip(dy.chunks_exact(cols));
    for ((y, dy), dx) in rows.zip(dx.chunks_exact_mut(cols)) {
        let sum = s.splat(sum_lanes!(s, sum = [dy] s.add(sum, dy)));
        lanes!(s, dx = [y, dy] s.sub(dy, s.mul(exp_nonpositive(s, y), sum)));
    }
}
dispatch!(fn log_softmax_backward_piece(y: &[f32], dy: &[f32], cols: usize, dx: &mut [f32]) = log_softmax_backward_body);

pub(crate) fn log_softmax_backward(isa: Isa, y: &[f32], dy: &[f32], cols: usize, dx: &mut [f32]) {
    pieces(dx, piece_rows(cols) * cols, |at, dx| {
        let piece = at..at + dx.len();
        log_softmax_backward_piece(isa, &y[piece.clone()], &dy[piece], cols, dx);
    });
}

/// One row: writes its gradient, returns its loss, both not yet divided by the normaliser but for `inverse`, its
/// reciprocal, in the gradient.
#[inline(always)]
fn cross_entropy_body<S: Simd>(
    s: S,
    spec: &CrossEntropy<f32>,
    x: &[f32],
    target: usize,
    inverse: f32,
    dx: &mut [f32],
) -> f64 {
    let smoothing = spec.label_smoothing as f32;
    let each = smoothing / x.len() as f32;
    let hit = (1.0 - smoothing) * spec.weights.map_or(1.0, |w| w[target]);
    let max = largest(s, x);
    let sum = exponentials(s, x, max, dx);
    let ln_sum = (sum as f64).ln();
    let log_p = |x: f32| (x as f64 - max as f64) - ln_sum;
    let mut loss = -hit as f64 * log_p(x[target]);
    let mut mass = hit;
    if smoothing > 0.0 {
        // sum_c w_c ln p_c = sum_c w_c (x_c - max) - ln_sum sum_c w_c
        let m = s.splat(max);
        let (dot, total) = match spec.weights {
            None => (sum_lanes!(s, sum = [x] s.add(sum, s.sub(x, m))), x.len() as f32),
            Some(w) => {
                (sum_lanes!(s, sum = [x, w] s.mul_add(w, s.sub(x, m), sum)), sum_lanes!(s, sum = [w] s.add(sum, w)))
            }
        };
        loss -= each as f64 * (dot as f64 - ln_sum * total as f64);
        mass += each * total;
    }
    let (k, shift) = (s.splat(mass / sum * inverse), s.splat(each * inverse));
    match spec.weights {
        Some(w) if smoothing > 0.0 => {
            lanes!(s, in dx = [w] s.sub(s.mul(dx, k), s.mul(w, shift)));
        }
        _ => lanes!(s, in dx = [] s.sub(s.mul(dx, k), shift)),
    }
    dx[target] -= hit * inverse;
    loss
}
dispatch!(fn cross_entropy_row(
    spec: &CrossEntropy<f32>, x: &[f32], target: usize, inverse: f32, dx: &mut [f32],
) -> f64 = cross_entropy_body);

pub(crate) fn cross_entropy(
    isa: Isa,
    spec: &CrossEntropy<f32>,
    logits: &[f32],
    targets: &[i64],
    dlogits: Option<&mut [f32]>,
) -> f64 {
    let classes = spec.classes;
    let normaliser = spec.normaliser(targets);
    let inverse = (1.0 / normaliser) as f32;
    let row = |i: usize, dx: &mut [f32]| {
        if targets[i] == spec.ignore_index {
            dx.fill(0.0);
            return 0.0;
        }
        let x = &logits[i * classes..(i + 1) * classes];
        cross_entropy_row(isa, spec, x, targets[i] as usize, inverse, dx)
    };
    let rows = piece_rows(classes);
    let mut losses = vec![0.0; targets.len()];
    match dlogits {
        None => pieces(&mut losses, rows, |first, losses| {
            let mut dx = vec![0.0; classes];
            for (i, loss) in losses.iter_mut().enumerate() {
                *loss = row(first + i, &mut dx);
            }
        }),
        Some(dlogits) => {
            let losses = losses.chunks_mut(rows);
            let mut work: Vec<_> = losses.zip(dlogits.chunks_mut((rows * classes).max(1))).collect();
            pieces(&mut work, 1, |piece, work| {
                for (losses, dlogits) in work {
                    for (i, loss) in losses.iter_mut().enumerate() {
                        *loss = row(piece * rows + i, &mut dlogits[i * classes..(i + 1) * classes]);
                    }
                }
            });
        }
    }
    losses.iter().sum::<f64>() / normaliser
}
