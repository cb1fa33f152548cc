//! Batch norm: sums over columns in f64, then one pass over the elements, which lie as f32 or all as bf16.

use super::{BatchNormBackward, BatchNormGradients, Relu};
use crate::elementwise::mixed::passed_piece;
use crate::isa::Isa;
use crate::lanes::{column_totals, piece_rows};
use crate::numbers::{Numbers, NumbersMut, Stored, convert_with};
use crate::simd::Simd;
use std::ops::Range;

#[inline(always)]
fn moments_of<X: Stored>(x: &[X], cols: usize, totals: &mut [f64]) {
    let (sums, squares) = totals.split_at_mut(totals.len() / 2);
    let squares = &mut squares[..sums.len()];
    for row in x.chunks(cols) {
        let row = &row[..sums.len()];
        for j in 0..sums.len() {
            let x = row[j].number() as f64;
            sums[j] += x;
            squares[j] += x * x;
        }
    }
}

#[inline(always)]
fn moments_body<S: Simd>(_: S, x: Numbers, cols: usize, totals: &mut [f64]) {
    match x {
        Numbers::F32(x) => moments_of(x, cols, totals),
        Numbers::Bf16(x) => moments_of(x, cols, totals),
    }
}
dispatch!(fn moments_piece(x: Numbers, cols: usize, totals: &mut [f64]) = moments_body);

/// One pass: the square of an f32 is exact in f64, so mean(x^2) - mean(x)^2 loses nothing that f32 could show unless the
/// mean is a million times the standard deviation, where the f32 input itself is that coarse.
pub(crate) fn statistics(isa: Isa, x: Numbers, mean: &mut [f32], variance: &mut [f32]) {
    let cols = mean.len();
    let rows = x.len().checked_div(cols).unwrap_or(0);
    let totals = column_totals(rows, cols, 2, |rows, columns, totals| {
        moments_piece(isa, x.part(rows.start * cols + columns.start..rows.end * cols), cols, totals);
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
fn apply_to<S: Simd, X: Stored>(s: S, x: &[X], c: Columns, residual: Option<&[X]>, relu: bool, y: &mut [X]) {
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

#[inline(always)]
fn apply_body<S: Simd>(s: S, x: Numbers, c: Columns, residual: Option<Numbers>, relu: bool, y: NumbersMut) {
    match (x, y) {
        (Numbers::F32(x), NumbersMut::F32(y)) => apply_to(s, x, c, residual.map(Numbers::wide), relu, y),
        (Numbers::Bf16(x), NumbersMut::Bf16(y)) => apply_to(s, x, c, residual.map(Numbers::short), relu, y),
        _ => differently(),
    }
}
dispatch!(fn apply_piece(x: Numbers, c: Columns, residual: Option<Numbers>, relu: bool, y: NumbersMut) = apply_body);

/// What the entries of this module refuse.
fn differently() -> ! {
    unreachable!("numbers that lie differently")
}

pub(crate) fn apply(
    isa: Isa,
    x: Numbers,
    mean: &[f32],
    variance: &[f32],
    gamma: &[f32],
    beta: &[f32],
    eps: f64,
    residual: Option<Numbers>,
    relu: bool,
    y: NumbersMut,
) {
    let scale = scales(variance, gamma, eps);
    let c = Columns { mean, scale: &scale, beta };
    y.pieces(piece_rows(mean.len()) * mean.len(), |at, y| {
        let piece = at..at + y.len();
        apply_piece(isa, x.part(piece.clone()), c, residual.map(|r| r.part(piece)), relu, y);
    });
}

/// How a piece knows what the ReLU let pass: by the output, or by the columns that it was computed from.
#[derive(Clone, Copy)]
enum Passed<'a, Y = Numbers<'a>> {
    All,
    Output(Y),
    Columns(Columns<'a>),
}

impl<'a> Passed<'a> {
    fn map<X>(self, f: impl Fn(Numbers<'a>) -> &'a [X]) -> Passed<'a, &'a [X]> {
        match self {
            Self::All => Passed::All,
            Self::Output(y) => Passed::Output(f(y)),
            Self::Columns(columns) => Passed::Columns(columns),
        }
    }
}

#[inline(always)]
fn gradients_of<S: Simd, X: Stored>(
    s: S,
    x: &[X],
    mean: &[f32],
    passed: Passed<&[X]>,
    dy: &[X],
    cols: usize,
    totals: &mut [f64],
) {
    let n = totals.len() / 2;
    let (sums, dots) = totals.split_at_mut(n);
    let (mean, dots) = (&mean[..n], &mut dots[..n]);
    // What the ReLU let pass of a row, computed first: a condition in the loop of the sums would keep it from vectors.
    let mut passing = vec![0.0; n];
    let (g, tiny) = (&mut passing[..], s.splat(f32::from_bits(1)));
    for (i, (x, dy)) in x.chunks(cols).zip(dy.chunks(cols)).enumerate() {
        let (x, dy) = (&x[..n], &dy[..n]);
        match passed {
            Passed::All => lanes!(s, g = [dy] dy),
            Passed::Output(y) => {
                let y = &y[i * cols..][..n];
                lanes!(s, g = [y, dy] s.select(s.less(y, tiny), s.zero(), dy));
            }
            Passed::Columns(Columns { mean, scale, beta }) => lanes!(s, g = [x, dy, mean, scale, beta] {
                s.select(s.less(s.mul_add(s.sub(x, mean), scale, beta), tiny), s.zero(), dy)
            }),
        }
        for j in 0..n {
            sums[j] += g[j] as f64;
            dots[j] += ((x[j].number() - mean[j]) * g[j]) as f64;
        }
    }
}

#[inline(always)]
fn gradients_body<S: Simd>(
    s: S,
    x: Numbers,
    mean: &[f32],
    passed: Passed,
    dy: Numbers,
    cols: usize,
    totals: &mut [f64],
) {
    match (x, dy) {
        (Numbers::F32(x), Numbers::F32(dy)) => gradients_of(s, x, mean, passed.map(Numbers::wide), dy, cols, totals),
        (Numbers::Bf16(x), Numbers::Bf16(dy)) => gradients_of(s, x, mean, passed.map(Numbers::short), dy, cols, totals),
        _ => differently(),
    }
}
dispatch!(fn gradients_piece(
    x: Numbers, mean: &[f32], passed: Passed, dy: Numbers, cols: usize, totals: &mut [f64],
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
fn input_of<S: Simd, X: Stored>(s: S, x: &[X], c: Slopes, passed: Passed<&[X]>, dy: &mut [X]) {
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

#[inline(always)]
fn input_body<S: Simd>(s: S, x: Numbers, c: Slopes, passed: Passed, dy: NumbersMut) {
    match (x, dy) {
        (Numbers::F32(x), NumbersMut::F32(dy)) => input_of(s, x, c, passed.map(Numbers::wide), dy),
        (Numbers::Bf16(x), NumbersMut::Bf16(dy)) => input_of(s, x, c, passed.map(Numbers::short), dy),
        _ => differently(),
    }
}
dispatch!(
    /// dx in the place of dy.
    fn input_piece(x: Numbers, c: Slopes, passed: Passed, dy: NumbersMut) = input_body
);

#[inline(always)]
fn input_from<S: Simd, X: Stored>(s: S, x: &[X], c: Slopes, g: &[X], dx: &mut [X]) {
    let Slopes { mean, scale, shift, slope } = c;
    let cols = mean.len();
    for ((x, g), dx) in x.chunks_exact(cols).zip(g.chunks_exact(cols)).zip(dx.chunks_exact_mut(cols)) {
        lanes!(s, dx = [x, g, mean, scale, shift, slope] {
            s.sub(s.mul(s.sub(g, shift), scale), s.mul(s.sub(x, mean), slope))
        });
    }
}

#[inline(always)]
fn input_from_body<S: Simd>(s: S, x: Numbers, c: Slopes, g: Numbers, dx: NumbersMut) {
    match (x, g, dx) {
        (Numbers::F32(x), Numbers::F32(g), NumbersMut::F32(dx)) => input_from(s, x, c, g, dx),
        (Numbers::Bf16(x), Numbers::Bf16(g), NumbersMut::Bf16(dx)) => input_from(s, x, c, g, dx),
        _ => differently(),
    }
}
dispatch!(
    /// dx, given what the ReLU let pass.
    fn input_from_piece(x: Numbers, c: Slopes, g: Numbers, dx: NumbersMut) = input_from_body
);

pub(crate) fn backward(
    isa: Isa,
    p: &BatchNormBackward<f32, Numbers>,
    dy: NumbersMut,
    out: BatchNormGradients<f32, NumbersMut>,
) {
    let cols = p.mean.len();
    let rows = dy.len().checked_div(cols).unwrap_or(0);
    let scale = scales(p.variance, p.gamma, p.eps);
    let passed = |piece: Range<usize>, columns: Range<usize>| match p.relu {
        Relu::None => Passed::All,
        Relu::Output(y) => Passed::Output(y.part(piece)),
        Relu::Beta(beta) => Passed::Columns(Columns {
            mean: &p.mean[columns.clone()],
            scale: &scale[columns.clone()],
            beta: &beta[columns],
        }),
    };
    let totals = column_totals(rows, cols, 2, |rows, columns, totals| {
        let piece = rows.start * cols + columns.start..rows.end * cols;
        let passed = passed(piece.clone(), columns.clone());
        let dy = dy.seen().part(piece.clone());
        gradients_piece(isa, p.x.part(piece), &p.mean[columns], passed, dy, cols, totals);
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
    let pass = |at: usize, dy: Numbers, dresidual: NumbersMut| match p.relu {
        Relu::None => convert_with(isa, dy, dresidual),
        Relu::Beta(_) => unreachable!("checked: there is no residual"),
        Relu::Output(y) => passed_piece(isa, y.part(at..at + dy.len()), dy, dresidual),
    };
    match (out.dx_in_dy, out.dresidual) {
        (false, None) => {}
        (false, Some(dresidual)) => {
            let dy = dy.seen();
            dresidual.pieces(size, |at, dresidual| pass(at, dy.part(at..at + dresidual.len()), dresidual));
        }
        (true, None) => dy.pieces(size, |at, dy| {
            let piece = at..at + dy.len();
            input_piece(isa, p.x.part(piece.clone()), c, passed(piece, 0..cols), dy);
        }),
        // dresidual is what the ReLU let pass, so dx takes it from there.
        (true, Some(dresidual)) => dy.pieces2(dresidual, size, |at, dy, mut dresidual| {
            pass(at, dy.seen(), dresidual.again());
            input_from_piece(isa, p.x.part(at..at + dy.len()), c, dresidual.seen(), dy);
        }),
    }
}
