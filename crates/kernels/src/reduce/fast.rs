//! Sums in f64, which plain loops give: compilers turn them into vectors of each instruction set.

use crate::isa::Isa;
use crate::lanes::{self, PIECE, column_totals, map_pieces, piece_rows, pieces};
use crate::naive::reduce as naive;
use crate::simd::Simd;

/// Sums that run side by side.
const SUMS: usize = 32;

/// Adds all numbers, f(a, b) of each pair, in f64.
#[inline(always)]
fn total(a: &[f32], b: &[f32], f: impl Fn(f64, f64) -> f64) -> f64 {
    let mut sums = [0.0; SUMS];
    let (a, b) = (a.chunks_exact(SUMS), b.chunks_exact(SUMS));
    let tail: f64 = a.remainder().iter().zip(b.remainder()).map(|(&a, &b)| f(a as f64, b as f64)).sum();
    for (a, b) in a.zip(b) {
        for i in 0..SUMS {
            sums[i] += f(a[i] as f64, b[i] as f64);
        }
    }
    sums.iter().sum::<f64>() + tail
}

#[inline(always)]
fn sum_body<S: Simd>(_: S, x: &[f32]) -> f64 {
    total(x, x, |x, _| x)
}
dispatch!(fn sum_piece(x: &[f32]) -> f64 = sum_body);

#[inline(always)]
fn dot_body<S: Simd>(_: S, a: &[f32], b: &[f32]) -> f64 {
    total(a, b, |a, b| a * b)
}
dispatch!(fn dot_piece(a: &[f32], b: &[f32]) -> f64 = dot_body);

pub(crate) fn sum(isa: Isa, x: &[f32]) -> f64 {
    map_pieces(x.len(), PIECE, |piece| sum_piece(isa, &x[piece])).into_iter().sum()
}

pub(crate) fn dot(isa: Isa, a: &[f32], b: &[f32]) -> f64 {
    map_pieces(a.len(), PIECE, |piece| dot_piece(isa, &a[piece.clone()], &b[piece])).into_iter().sum()
}

#[inline(always)]
fn columns_body<S: Simd>(_: S, x: &[f32], cols: usize, totals: &mut [f64]) {
    // x begins with the first of the columns that are summed; the last row may be cut off after them.
    for row in x.chunks(cols) {
        for (total, &x) in totals.iter_mut().zip(row) {
            *total += x as f64;
        }
    }
}
dispatch!(fn columns_piece(x: &[f32], cols: usize, totals: &mut [f64]) = columns_body);

pub(crate) fn column_sums(isa: Isa, x: &[f32], y: &mut [f32]) {
    let cols = y.len();
    let rows = x.len().checked_div(cols).unwrap_or(0);
    let totals = column_totals(rows, cols, 1, |rows, columns, totals| {
        let x = &x[rows.start * cols + columns.start..rows.end * cols];
        columns_piece(isa, x, cols, totals);
    });
    y.iter_mut().zip(totals).for_each(|(y, total)| *y = total as f32);
}

pub(crate) fn row_sums(isa: Isa, x: &[f32], cols: usize, y: &mut [f32]) {
    if let [y] = y {
        *y = sum(isa, x) as f32;
        return;
    }
    pieces(y, piece_rows(cols), |first, y| {
        for (i, y) in (first..).zip(y) {
            *y = sum_piece(isa, &x[i * cols..(i + 1) * cols]) as f32;
        }
    });
}

#[inline(always)]
fn largest_body<S: Simd>(s: S, x: &[f32]) -> f32 {
    lanes::largest(s, x)
}
dispatch!(fn largest_piece(x: &[f32]) -> f32 = largest_body);

#[inline(always)]
fn any_nan_body<S: Simd>(_: S, x: &[f32]) -> bool {
    x.iter().fold(false, |any, x| any | x.is_nan())
}
dispatch!(fn any_nan(x: &[f32]) -> bool = any_nan_body);

/// The largest number, NaN if any is.
fn max_row(isa: Isa, x: &[f32]) -> f32 {
    if any_nan(isa, x) { f32::NAN } else { largest_piece(isa, x) }
}

pub(crate) fn max(isa: Isa, x: &[f32]) -> f32 {
    naive::max(&map_pieces(x.len(), PIECE, |piece| max_row(isa, &x[piece])))
}

pub(crate) fn row_max(isa: Isa, x: &[f32], cols: usize, y: &mut [f32]) {
    pieces(y, piece_rows(cols), |first, y| {
        for (i, y) in (first..).zip(y) {
            *y = max_row(isa, &x[i * cols..(i + 1) * cols]);
        }
    });
}

pub(crate) fn argmax_rows(isa: Isa, x: &[f32], cols: usize, y: &mut [usize]) {
    pieces(y, piece_rows(cols), |first, y| {
        for (i, y) in (first..).zip(y) {
            let row = &x[i * cols..(i + 1) * cols];
            let max = max_row(isa, row);
            let is_max = |&x: &f32| x == max || (x.is_nan() && max.is_nan());
            *y = row.iter().position(is_max).unwrap_or(0);
        }
    });
}
