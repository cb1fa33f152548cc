//! Layer norm: each row stays in the first cache while its mean, its variance and its result are computed.

use crate::isa::Isa;
use crate::lanes::{column_totals, piece_rows, pieces};
use crate::simd::Simd;
use crate::team::each_item;

/// The parameters.
#[derive(Clone, Copy)]
pub(crate) struct Parameters<'a> {
    pub(crate) gamma: &'a [f32],
    pub(crate) beta: &'a [f32],
    pub(crate) eps: f64,
}

/// Where the results of some rows go.
pub(crate) struct Rows<'a> {
    pub(crate) y: &'a mut [f32],
    pub(crate) mean: &'a mut [f32],
    pub(crate) inv_std: &'a mut [f32],
}

#[inline(always)]
fn forward_body<S: Simd>(s: S, x: &[f32], p: Parameters, out: Rows) {
    let Parameters { gamma, beta, eps } = p;
    let cols = gamma.len();
    for (i, (x, y)) in x.chunks_exact(cols).zip(out.y.chunks_exact_mut(cols)).enumerate() {
        let mean = sum_lanes!(s, sum = [x] s.add(sum, x)) / cols as f32;
        let m = s.splat(mean);
        let squares = sum_lanes!(s, sum = [x] {
            let d = s.sub(x, m);
            s.mul_add(d, d, sum)
        });
        let inv_std = (1.0 / (squares as f64 / cols as f64 + eps).sqrt()) as f32;
        let k = s.splat(inv_std);
        lanes!(s, y = [x, gamma, beta] s.mul_add(s.mul(s.sub(x, m), k), gamma, beta));
        (out.mean[i], out.inv_std[i]) = (mean, inv_std);
    }
}
dispatch!(fn forward_piece(x: &[f32], p: Parameters, out: Rows) = forward_body);

#[inline(always)]
fn add_body<S: Simd>(s: S, x: &[f32], residual: &[f32], sum: &mut [f32]) {
    lanes!(s, sum = [x, residual] s.add(x, residual));
}
dispatch!(fn add_piece(x: &[f32], residual: &[f32], sum: &mut [f32]) = add_body);

/// Calls `f(first row, rows)` for pieces of rows.
fn each_piece(cols: usize, out: Rows, f: impl Fn(usize, Rows) + Send + Sync) {
    let rows = piece_rows(cols);
    if out.mean.len() <= 2 * rows {
        f(0, out);
        return;
    }
    let outputs = out.y.chunks_mut(rows * cols).zip(out.mean.chunks_mut(rows)).zip(out.inv_std.chunks_mut(rows));
    each_item(outputs, |i, ((y, mean), inv_std)| f(i * rows, Rows { y, mean, inv_std }));
}

pub(crate) fn forward(isa: Isa, x: &[f32], p: Parameters, out: Rows) {
    let cols = p.gamma.len();
    each_piece(cols, out, |first, out| {
        forward_piece(isa, &x[first * cols..first * cols + out.y.len()], p, out);
    });
}

/// [`forward`] of sum = x + residual.
pub(crate) fn forward_residual(isa: Isa, x: &[f32], residual: &[f32], sum: &mut [f32], p: Parameters, out: Rows) {
    let cols = p.gamma.len();
    let rows = piece_rows(cols);
    let work = |at: usize, sum: &mut [f32], out: Rows| {
        add_piece(isa, &x[at..], &residual[at..], sum);
        forward_piece(isa, sum, p, out);
    };
    if out.mean.len() <= 2 * rows {
        work(0, sum, out);
        return;
    }
    let outputs = out.y.chunks_mut(rows * cols).zip(out.mean.chunks_mut(rows)).zip(out.inv_std.chunks_mut(rows));
    each_item(outputs.zip(sum.chunks_mut(rows * cols)), |i, (((y, mean), inv_std), sum)| {
        work(i * rows * cols, sum, Rows { y, mean, inv_std });
    });
}

/// What the backward reads: all rows, or some of them.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) mean: &'a [f32],
    pub(crate) inv_std: &'a [f32],
    pub(crate) dy: &'a [f32],
}

impl<'a> Kept<'a> {
    /// The rows from `first` on, `count` of them.
    fn rows(&self, first: usize, count: usize, cols: usize) -> Kept<'a> {
        let all = first * cols..(first + count) * cols;
        Kept {
            x: &self.x[all.clone()],
            mean: &self.mean[first..first + count],
            inv_std: &self.inv_std[first..first + count],
            dy: &self.dy[all],
        }
    }
}

#[inline(always)]
fn input_body<S: Simd>(s: S, k: Kept, gamma: &[f32], dx: &mut [f32]) {
    let cols = gamma.len();
    let rows = k.x.chunks_exact(cols).zip(k.dy.chunks_exact(cols)).zip(dx.chunks_exact_mut(cols));
    for (i, ((x, dy), dx)) in rows.enumerate() {
        let (mean, inv_std) = (s.splat(k.mean[i]), s.splat(k.inv_std[i]));
        let sum = sum_lanes!(s, sum = [dy, gamma] s.mul_add(dy, gamma, sum));
        let dot = sum_lanes!(s, sum = [dy, gamma, x] s.mul_add(s.mul(dy, gamma), s.sub(x, mean), sum));
        // dx = inv_std (g - sum / n - (x - mean) inv_std^2 dot / n)
        let shift = s.splat(sum / cols as f32);
        let slope = s.splat(k.inv_std[i] * k.inv_std[i] * dot / cols as f32);
        lanes!(s, dx = [x, dy, gamma] {
            let g = s.sub(s.mul(dy, gamma), shift);
            s.mul(inv_std, s.sub(g, s.mul(s.sub(x, mean), slope)))
        });
    }
}
dispatch!(fn input_piece(k: Kept, gamma: &[f32], dx: &mut [f32]) = input_body);

#[inline(always)]
fn parameters_body<S: Simd>(_: S, k: Kept, cols: usize, first: usize, totals: &mut [f64]) {
    let n = totals.len() / 2;
    let (dgamma, dbeta) = totals.split_at_mut(n);
    let dbeta = &mut dbeta[..n];
    for (i, (x, dy)) in k.x.chunks(cols).zip(k.dy.chunks(cols)).enumerate() {
        let (x, dy) = (&x[first..first + n], &dy[first..first + n]);
        let (mean, inv_std) = (k.mean[i], k.inv_std[i]);
        for j in 0..n {
            dgamma[j] += (dy[j] * ((x[j] - mean) * inv_std)) as f64;
            dbeta[j] += dy[j] as f64;
        }
    }
}
dispatch!(fn parameters_piece(k: Kept, cols: usize, first: usize, totals: &mut [f64]) = parameters_body);

pub(crate) fn backward(
    isa: Isa,
    k: Kept,
    gamma: &[f32],
    dx: Option<&mut [f32]>,
    dgamma: &mut [f32],
    dbeta: &mut [f32],
) {
    let cols = gamma.len();
    if let Some(dx) = dx {
        pieces(dx, piece_rows(cols) * cols, |at, dx| {
            input_piece(isa, k.rows(at / cols, dx.len() / cols, cols), gamma, dx);
        });
    }
    let totals = column_totals(k.mean.len(), cols, 2, |rows, columns, totals| {
        parameters_piece(isa, k.rows(rows.start, rows.len(), cols), cols, columns.start, totals);
    });
    let (totals_gamma, totals_beta) = totals.split_at(cols);
    dgamma.iter_mut().zip(totals_gamma).for_each(|(d, &t)| *d = t as f32);
    dbeta.iter_mut().zip(totals_beta).for_each(|(d, &t)| *d = t as f32);
}
