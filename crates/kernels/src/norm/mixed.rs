//! Layer norm of rows that lie as f32 or as bf16, to such rows: each is f32 while it is computed.

use crate::isa::{Isa, current};
use crate::lanes::piece_rows;
use crate::numbers::{Numbers, NumbersMut, Stored, copy};
use crate::simd::Simd;

/// The parameters.
#[derive(Clone, Copy)]
struct Parameters<'a> {
    gamma: &'a [f32],
    beta: &'a [f32],
    eps: f64,
}

#[inline(always)]
fn rows<S: Simd, X: Stored, Y: Stored>(s: S, x: &[X], p: Parameters, y: &mut [Y]) {
    let Parameters { gamma, beta, eps } = p;
    let cols = gamma.len();
    let mut row = vec![0.0; cols];
    for (x, y) in x.chunks_exact(cols).zip(y.chunks_exact_mut(cols)) {
        copy(s, x, &mut row);
        let row = &mut row[..];
        let mean = {
            let row = &*row;
            sum_lanes!(s, sum = [row] s.add(sum, row)) / cols as f32
        };
        let m = s.splat(mean);
        lanes!(s, in row = [] s.sub(row, m));
        let squares = {
            let row = &*row;
            sum_lanes!(s, sum = [row] s.mul_add(row, row, sum))
        };
        let k = s.splat((1.0 / (squares as f64 / cols as f64 + eps).sqrt()) as f32);
        lanes!(s, in row = [gamma, beta] s.mul_add(s.mul(row, k), gamma, beta));
        copy(s, row, y);
    }
}

#[inline(always)]
fn piece_body<S: Simd>(s: S, x: Numbers, p: Parameters, y: NumbersMut) {
    match (x, y) {
        (Numbers::F32(x), NumbersMut::F32(y)) => rows(s, x, p, y),
        (Numbers::F32(x), NumbersMut::Bf16(y)) => rows(s, x, p, y),
        (Numbers::Bf16(x), NumbersMut::F32(y)) => rows(s, x, p, y),
        (Numbers::Bf16(x), NumbersMut::Bf16(y)) => rows(s, x, p, y),
    }
}
dispatch!(fn piece(x: Numbers, p: Parameters, y: NumbersMut) = piece_body);

/// As [`super::layer_norm`], of and to numbers that lie as f32 or as bf16, without a mean and a variance for the backward.
pub fn layer_norm_mixed(x: Numbers, gamma: &[f32], beta: &[f32], eps: f64, y: NumbersMut) {
    layer_norm_with(current(), x, gamma, beta, eps, y);
}

/// [`layer_norm_mixed`] on an instruction set.
pub(super) fn layer_norm_with(isa: Isa, x: Numbers, gamma: &[f32], beta: &[f32], eps: f64, y: NumbersMut) {
    let cols = gamma.len();
    let count = y.len().checked_div(cols).unwrap_or(0);
    super::check_rows(x.len(), y.len(), cols, beta.len(), count, count);
    y.pieces(piece_rows(cols) * cols, |at, y| {
        piece(isa, x.part(at..at + y.len()), Parameters { gamma, beta, eps }, y);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;
    use crate::naive;
    use crate::numbers::tests::{assert_near, narrowed, widened};
    use crate::testing::numbers;

    #[test]
    fn agrees_with_the_naive_twin() {
        for (rows, cols) in [(1, 1), (0, 4), (3, 17), (5, 384), (200, 100)] {
            let (x, gamma, beta) =
                (numbers(1, rows * cols, -2.0, 3.0), numbers(2, cols, -1.0, 1.0), numbers(3, cols, -1.0, 1.0));
            let short = narrowed(&x);
            for from in [false, true] {
                let mut want = vec![0.0; x.len()];
                let seen = if from { widened(&short) } else { x.clone() };
                let (mut mean, mut inverse) = (vec![0.0; rows], vec![0.0; rows]);
                naive::norm::layer_norm(&seen, &gamma, &beta, 1e-5, &mut want, &mut mean, &mut inverse);
                for (isa, to) in available().into_iter().flat_map(|isa| [(isa, false), (isa, true)]) {
                    let (mut wide, mut narrow) = (vec![7.0; x.len()], vec![7; x.len()]);
                    let source = if from { Numbers::Bf16(&short) } else { Numbers::F32(&x) };
                    let y = if to { NumbersMut::Bf16(&mut narrow) } else { NumbersMut::F32(&mut wide) };
                    layer_norm_with(isa, source, &gamma, &beta, 1e-5, y);
                    let got = if to { widened(&narrow) } else { wide };
                    assert_near(&got, &want, to, 1e-5, &format!("{isa:?} {rows}x{cols} {from} {to}"));
                }
            }
        }
    }
}
