//! Batch norm: sums over columns in f64, then one pass over the elements.

use super::{BatchNormBackward, BatchNormGradients, Relu};
use crate::elementwise::Unary;
use crate::elementwise::fast::unary_backward_piece;
use crate::isa::Isa;
use crate::lanes::{column_totals, piece_rows, pieces, pieces2};
use crate::simd::Simd;
use std::ops::Range;

#[inline(always)]
fn moments_body<S: Simd>(_: S, x: &[f32], cols: usize, totals: &mut [f64]) {
    let (sums, squares) = totals.split_at_mut(totals.len() / 2);
    let squares = &mut squares[..sums.len()];
    for row in x.chunks(cols) {
        let row = &row[..sums.len()];
        for j in 0..sums.len() {
            let x = row[j] as f64;
            sums[j] += x;
            squares[j] += x * x;
        }
    }
}
dispatch!(fn moments_piece(x: &[f32], cols: usize, totals: &mut [f64]) = moments_body);

/// One pass: the square of an f32 is exact in f64, so mean(x^2) - mean(x)^2 loses nothing that f32 could show unless the
/// mean is a million times the standard deviation, where the f32 input itself is that coarse.
pub(crate) fn statistics(isa: Isa, x: &[f32], mean: &mut [f32], variance: &mut [f32]) {
    let cols = mean.len();
    let rows = x.len().checked_div(cols).unwrap_or(0);
    let totals = column_totals(rows, cols, 2, |rows, columns, totals| {
        moments_piece(isa, &x[rows.start * cols + columns.start..rows.end * cols], cols, totals);
    });
    let (sums, squares) = totals.split_at(cols);
    for j in 0..cols {
        let m = sums[j] / rows as f64;
        mean[j] = m as f32;
        // Not f64::max, which would turn the NaN of an infinite or missing input into 0.
        let v = squares[j] / rows as f64 - m * m;
        variance[j] = if v < 0.0 { 0.0 } else { v as f32 };
    }
}

/// gamma / sqrt(variance + eps), one number a column.
fn scales(variance: &[f32], gamma: &[f32], eps: f64) -> Vec<f32> {
    let scale = |(&v, &g): (&f32, &f32)| (g as f64 / (v as f64 + eps).sqrt()) as f32;
    variance.iter().zip(gamma).map(scale).collect()
}

/// The three numbers a column of y = (x - mean) scale + beta.
#[derive(Clone, Copy)]
struct Columns<'a> {
    mean: &'a [f32],
    scale: &'a [f32],
    beta: &'a [f32],
}

#[inline(always)]
fn apply_body<S: Simd>(s: S, x: &[f32], c: Columns, residual: Option<&[f32]>, relu: bool, y: &mut [f32]) {
    let Columns { mean, scale, beta } = c;
    let cols = mean.len();
    // max(floor, v) is ReLU or nothing; NaN passes both.
    let floor = s.splat(if relu { 0.0 } else { f32::NEG_INFINITY });
    match residual {
        None => {
            for (x, y) in x.chunks_exact(cols).zip(y.chunks_exact_mut(cols)) {
                lanes!(s, y = [x, mean, scale, beta] {
                    s.max(floor, s.mul_add(s.sub(x, mean), scale, beta))
                });
            }
        }
        Some(residual) => {
            let rows = x.chunks_exact(cols).zip(residual.chunks_exact(cols));
            for ((x, r), y) in rows.zip(y.chunks_exact_mut(cols)) {
                lanes!(s, y = [x, r, mean, scale, beta] {
                    s.max(floor, s.add(s.mul_add(s.sub(x, mean), scale, beta), r))
                });
            }
        }
    }
}
dispatch!(fn apply_piece(x: &[f32], c: Columns, residual: Option<&[f32]>, relu: bool, y: &mut [f32]) = apply_body);

pub(crate) fn apply(
    isa: Isa,
    x: &[f32],
    mean: &[f32],
    variance: &[f32],
    gamma: &[f32],
    beta: &[f32],
    eps: f64,
    residual: Option<&[f32]>,
    relu: bool,
    y: &mut [f32],
) {
    let scale = scales(variance, gamma, eps);
    let c = Columns { mean, scale: &scale, beta };
    pieces(y, piece_rows(mean.len()) * mean.len(), |at, y| {
        let piece = at..at + y.len();
        apply_piece(isa, &x[piece.clone()], c, residual.map(|r| &r[piece]), relu, y);
    });
}

/// How a piece knows what the ReLU let pass: by the output, or by the columns that it was computed from.
#[derive(Clone, Copy)]
enum Passed<'a> {
    All,
    Output(&'a [f32]),
    Columns(Columns<'a>),
}

#[inline(always)]
fn gradients_body<S: Simd>(s: S, x: &[f32], mean: &[f32], passed: Passed, dy: &[f32], cols: usize, totals: &mut [f64]) {
    let n = totals.len() / 2;
    let (sums, dots) = totals.split_at_mut(n);
    let (mean, dots) = (&mean[..n], &mut dots[..n]);
    let mut add_row = |x: &[f32], y: Option<&[f32]>, dy: &[f32]| {
        let (x, dy) = (&x[..n], &dy[..n]);
        match y {
            None => {
                for j in 0..n {
                    sums[j] += dy[j] as f64;
                    dots[j] += ((x[j] - mean[j]) * dy[j]) as f64;
                }
            }
            Some(y) => {
                let y = &y[..n];
                for j in 0..n {
                    let g = if y[j] <= 0.0 { 0.0 } else { dy[j] };
                    sums[j] += g as f64;
                    dots[j] += ((x[j] - mean[j]) * g) as f64;
                }
            }
        }
    };
    let rows = x.chunks(cols).zip(dy.chunks(cols));
    match passed {
        Passed::All => rows.for_each(|(x, dy)| add_row(x, None, dy)),
        Passed::Output(y) => rows.enumerate().for_each(|(i, (x, dy))| add_row(x, Some(&y[i * cols..]), dy)),
        Passed::Columns(Columns { mean, scale, beta }) => {
            let mut g = vec![0.0; n];
            let (g, tiny) = (&mut g[..], s.splat(f32::from_bits(1)));
            for (x, dy) in rows {
                lanes!(s, g = [x, dy, mean, scale, beta] {
                    s.select(s.less(s.mul_add(s.sub(x, mean), scale, beta), tiny), s.zero(), dy)
                });
                add_row(x, None, g);
            }
        }
    }
}
dispatch!(fn gradients_piece(
    x: &[f32], mean: &[f32], passed: Passed, dy: &[f32], cols: usize, totals: &mut [f64],
) = gradients_body);

/// The four numbers a column of dx = (g - shift) scale - (x - mean) slope.
#[derive(Clone, Copy)]
struct Slopes<'a> {
    mean: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    slope: &'a [f32],
}

#[inline(always)]
fn input_body<S: Simd>(s: S, x: &[f32], c: Slopes, g: &[f32], dx: &mut [f32]) {
    let Slopes { mean, scale, shift, slope } = c;
    let cols = mean.len();
    for ((x, g), dx) in x.chunks_exact(cols).zip(g.chunks_exact(cols)).zip(dx.chunks_exact_mut(cols)) {
        lanes!(s, dx = [x, g, mean, scale, shift, slope] {
            s.sub(s.mul(s.sub(g, shift), scale), s.mul(s.sub(x, mean), slope))
        });
    }
}
dispatch!(fn input_piece(x: &[f32], c: Slopes, g: &[f32], dx: &mut [f32]) = input_body);

#[inline(always)]
fn input_here_body<S: Simd>(s: S, x: &[f32], c: Slopes, passed: Passed, dy: &mut [f32]) {
    let Slopes { mean, scale, shift, slope } = c;
    let cols = mean.len();
    let tiny = s.splat(f32::from_bits(1));
    for (i, (x, dy)) in x.chunks_exact(cols).zip(dy.chunks_exact_mut(cols)).enumerate() {
        match passed {
            Passed::All => lanes!(s, in dy = [x, mean, scale, shift, slope] {
                s.sub(s.mul(s.sub(dy, shift), scale), s.mul(s.sub(x, mean), slope))
            }),
            Passed::Output(y) => {
                let y = &y[i * cols..(i + 1) * cols];
                lanes!(s, in dy = [x, y, mean, scale, shift, slope] {
                    let g = s.select(s.less(y, tiny), s.zero(), dy);
                    s.sub(s.mul(s.sub(g, shift), scale), s.mul(s.sub(x, mean), slope))
                });
            }
            Passed::Columns(Columns { beta, .. }) => lanes!(s, in dy = [x, beta, mean, scale, shift, slope] {
                let x = s.sub(x, mean);
                let g = s.select(s.less(s.mul_add(x, scale, beta), tiny), s.zero(), dy);
                s.sub(s.mul(s.sub(g, shift), scale), s.mul(x, slope))
            }),
        }
    }
}
dispatch!(
    /// As [`input_piece`] with the ReLU, dx taking the place of dy.
    fn input_here(x: &[f32], c: Slopes, passed: Passed, dy: &mut [f32]) = input_here_body
);

pub(crate) fn backward(isa: Isa, p: &BatchNormBackward<f32>, dy: &mut [f32], out: BatchNormGradients<f32>) {
    let cols = p.mean.len();
    let rows = dy.len().checked_div(cols).unwrap_or(0);
    let scale = scales(p.variance, p.gamma, p.eps);
    let passed = |piece: Range<usize>, columns: Range<usize>| match p.relu {
        Relu::None => Passed::All,
        Relu::Output(y) => Passed::Output(&y[piece]),
        Relu::Beta(beta) => Passed::Columns(Columns {
            mean: &p.mean[columns.clone()],
            scale: &scale[columns.clone()],
            beta: &beta[columns],
        }),
    };
    let totals = column_totals(rows, cols, 2, |rows, columns, totals| {
        let piece = rows.start * cols + columns.start..rows.end * cols;
        let passed = passed(piece.clone(), columns.clone());
        gradients_piece(isa, &p.x[piece.clone()], &p.mean[columns], passed, &dy[piece], cols, totals);
    });
    let (mut shift, mut slope) = (vec![0.0; cols], vec![0.0; cols]);
    for j in 0..cols {
        let inv_std = 1.0 / (p.variance[j] as f64 + p.eps).sqrt();
        let (sum, dot) = (totals[j], totals[cols + j]);
        out.dbeta[j] = sum as f32;
        out.dgamma[j] = (dot * inv_std) as f32;
        if p.batch_statistics {
            shift[j] = (sum / rows as f64) as f32;
            slope[j] = (p.gamma[j] as f64 * inv_std.powi(3) * dot / rows as f64) as f32;
        }
    }
    let c = Slopes { mean: p.mean, scale: &scale, shift: &shift, slope: &slope };
    let size = piece_rows(cols) * cols;
    let pass = |at: usize, dy: &[f32], dresidual: &mut [f32]| match p.relu {
        Relu::None => dresidual.copy_from_slice(dy),
        Relu::Beta(_) => unreachable!("checked: there is no residual"),
        Relu::Output(y) => unary_backward_piece(isa, Unary::Relu, &y[at..at + dy.len()], dy, dresidual),
    };
    match (out.dx_in_dy, out.dresidual) {
        (false, None) => {}
        (false, Some(dresidual)) => {
            let dy = &*dy;
            pieces(dresidual, size, |at, dresidual| pass(at, &dy[at..at + dresidual.len()], dresidual));
        }
        (true, None) => pieces(dy, size, |at, dy| {
            let piece = at..at + dy.len();
            input_here(isa, &p.x[piece.clone()], c, passed(piece, 0..cols), dy);
        }),
        // dresidual is what the ReLU let pass, so dx takes it from there.
        (true, Some(dresidual)) => pieces2(dy, dresidual, size, |at, dy, dresidual| {
            pass(at, dy, dresidual);
            input_piece(isa, &p.x[at..at + dy.len()], c, dresidual, dy);
        }),
    }
}
