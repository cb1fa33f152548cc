//! A few rows of A times a large B that is not packed: to read B once is all that there is to do, and packing it would cost three
//! times as much.

use super::store::{activate, load};
use super::{Epilogue, Mat};
use crate::isa::Isa;
use crate::simd::Simd;
use crate::team::each_result;
use std::ops::Range;

/// Numbers of B below which its panels stay in the caches.
const LARGE: usize = 1 << 18;
/// Columns of a task where the columns of B are contiguous, and where its rows are: a page of each.
const COLUMNS: [usize; 2] = [64, 1024];
/// Products that are added one after the other. See [`super::tile::CHAIN`].
const CHAIN: usize = 64;
/// Rows of B that meet a vector of sums while it is in a register.
const TOGETHER: usize = 4;
/// The most rows of A.
pub(super) const MOST: usize = 8;

/// Is it faster so?
pub(super) fn pays(a: &Mat<f32>, b: &Mat<f32>) -> bool {
    (1..=MOST).contains(&a.rows)
        && a.col_stride == 1
        && (b.row_stride == 1 || b.col_stride == 1)
        && b.rows.saturating_mul(b.cols) >= LARGE
}

/// C = act(A·B (+ C) + bias + residual), the sizes being checked. A has contiguous rows, at most [`MOST`], and B contiguous rows or
/// columns.
pub(super) fn multiply(
    isa: Isa,
    a: Mat<f32>,
    b: Mat<f32>,
    c: &mut [f32],
    ldc: usize,
    accumulate: bool,
    epilogue: Epilogue<f32>,
) {
    assert!(a.rows <= MOST && a.col_stride == 1 && (b.row_stride == 1 || b.col_stride == 1));
    let columns = COLUMNS[usize::from(b.row_stride != 1)];
    let parts = each_result(b.cols.div_ceil(columns), |i| {
        let columns = i * columns..b.cols.min((i + 1) * columns);
        let mut sums = vec![0.0; a.rows * columns.len()];
        if b.row_stride == 1 {
            dots(isa, a, b, columns, &mut sums)
        } else {
            rows(isa, a, b, columns, &mut sums)
        }
        sums
    });
    for (i, sums) in parts.iter().enumerate() {
        let cols = sums.len() / a.rows.max(1);
        for (row, sums) in sums.chunks_exact(cols.max(1)).enumerate() {
            let (column, at) = (i * columns, row * ldc + i * columns);
            let bias = epilogue.bias.map(|bias| &bias[column..][..cols]);
            let residual = epilogue.residual.map(|residual| &residual[at..][..cols]);
            finish(isa, sums, Epilogue { bias, residual, ..epilogue }, accumulate, &mut c[at..][..cols]);
        }
    }
}

/// Row i of A.
fn row<'a>(a: &Mat<'a, f32>, i: usize) -> &'a [f32] {
    if a.cols == 0 { &[] } else { &a.data[i * a.row_stride..][..a.cols] }
}

#[inline(always)]
fn dots_body<S: Simd>(s: S, a: Mat<f32>, b: Mat<f32>, columns: Range<usize>, sums: &mut [f32]) {
    for (at, j) in columns.clone().enumerate() {
        let column = if b.rows == 0 { &[] } else { &b.data[j * b.col_stride..][..b.rows] };
        let (mut total, mut k) = ([s.zero(); MOST], 0);
        for chain in column.chunks(CHAIN * S::LANES) {
            let mut sum = [s.zero(); MOST];
            for (i, b) in chain.chunks(S::LANES).enumerate() {
                let b = load(s, b);
                for (r, sum) in sum.iter_mut().enumerate().take(a.rows) {
                    *sum = s.mul_add(load(s, &a.data[r * a.row_stride..][..a.cols][k + i * S::LANES..]), b, *sum);
                }
            }
            for (total, sum) in total.iter_mut().zip(sum) {
                *total = s.add(*total, sum);
            }
            k += chain.len();
        }
        for (r, total) in total.into_iter().enumerate().take(a.rows) {
            sums[r * columns.len() + at] = s.sum(total);
        }
    }
}
dispatch!(
    /// The rows of A times some columns of B, which are contiguous: `[row][column]`.
    fn dots(a: Mat<f32>, b: Mat<f32>, columns: Range<usize>, sums: &mut [f32]) = dots_body
);

#[inline(always)]
fn rows_body<S: Simd>(s: S, a: Mat<f32>, b: Mat<f32>, columns: Range<usize>, sums: &mut [f32]) {
    let (cols, pitch) = (columns.len(), columns.len().next_multiple_of(S::LANES));
    let mut chain = vec![0.0; a.rows * pitch];
    for block in (0..b.rows).step_by(CHAIN) {
        chain.fill(0.0);
        for k in (block..b.rows.min(block + CHAIN)).step_by(TOGETHER) {
            let count = TOGETHER.min(b.rows - k);
            // Rows that are not there meet zeros.
            let mut together = [&b.data[k * b.row_stride + columns.start..][..cols]; TOGETHER];
            let mut factors = [[0.0; TOGETHER]; MOST];
            for t in 0..count {
                together[t] = &b.data[(k + t) * b.row_stride + columns.start..][..cols];
                for (r, factors) in factors.iter_mut().enumerate().take(a.rows) {
                    factors[t] = row(&a, r)[k + t];
                }
            }
            for first in (0..cols).step_by(S::LANES) {
                let mut numbers = [s.zero(); TOGETHER];
                for (number, row) in numbers.iter_mut().zip(&together[..count]) {
                    *number = load(s, &row[first..]);
                }
                for (r, factors) in factors.iter().enumerate().take(a.rows) {
                    let sum = &mut chain[r * pitch + first..][..S::LANES];
                    let mut v = s.load(sum);
                    for (&factor, &number) in factors.iter().zip(&numbers) {
                        v = s.mul_add(s.splat(factor), number, v);
                    }
                    s.store(sum, v);
                }
            }
        }
        for (sums, chain) in sums.chunks_exact_mut(cols).zip(chain.chunks_exact(pitch)) {
            lanes!(s, in sums = [chain] s.add(sums, chain));
        }
    }
}
dispatch!(
    /// The rows of A times some columns of B, whose rows are contiguous: `[row][column]`.
    fn rows(a: Mat<f32>, b: Mat<f32>, columns: Range<usize>, sums: &mut [f32]) = rows_body
);

#[inline(always)]
fn finish_body<S: Simd>(s: S, sums: &[f32], epilogue: Epilogue<f32>, accumulate: bool, c: &mut [f32]) {
    for (first, sums) in sums.chunks(S::LANES).enumerate() {
        let here = first * S::LANES..first * S::LANES + sums.len();
        let mut v = load(s, sums);
        if let Some(bias) = epilogue.bias {
            v = s.add(v, load(s, &bias[here.clone()]));
        }
        if accumulate {
            v = s.add(v, load(s, &c[here.clone()]));
        }
        if let Some(residual) = epilogue.residual {
            v = s.add(v, load(s, &residual[here.clone()]));
        }
        s.store_partial(&mut c[here], activate(s, epilogue.activation, v));
    }
}
dispatch!(
    /// Writes a row of sums.
    fn finish(sums: &[f32], epilogue: Epilogue<f32>, accumulate: bool, c: &mut [f32]) = finish_body
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::Activation;
    use crate::isa::available;
    use crate::naive;
    use crate::testing::{assert_close, numbers, same_on_1_and_2_threads};

    #[test]
    fn agrees_with_the_naive_twin() {
        for (m, n, k) in [(1, 1, 1), (4, 70, 0), (3, 5, 3), (8, 130, 67), (2, 1500, 130), (5, 33, 2100), (4, 64, 1024)]
        {
            let (a, bias, c) =
                (numbers(1, m * (k + 3), -1.0, 1.0), numbers(2, n, -1.0, 1.0), numbers(3, m * (n + 2), -1.0, 1.0));
            let a = Mat { data: &a, rows: m, cols: k, row_stride: k + 3, col_stride: 1 };
            let data = numbers(4, (k + 1) * (n + 1), -1.0, 1.0);
            for (row_stride, col_stride) in [(1, k + 1), (n + 1, 1)] {
                let b = Mat { data: &data, rows: k, cols: n, row_stride, col_stride };
                for (accumulate, activation) in
                    [(false, Activation::None), (true, Activation::Relu), (true, Activation::GeluErf)]
                {
                    let there = activation == Activation::Relu;
                    let epilogue =
                        Epilogue { bias: there.then_some(&bias[..]), residual: there.then_some(&c[..]), activation };
                    let mut want = c.clone();
                    naive::gemm::gemm(a, b, &mut want, n + 2, accumulate, &epilogue);
                    for isa in available() {
                        let mut got = c.clone();
                        multiply(isa, a, b, &mut got, n + 2, accumulate, epilogue);
                        assert_close(
                            &got,
                            &want,
                            2e-7 * (k as f32 + 8.0),
                            &format!("{isa:?} {m}x{n}x{k} {col_stride}"),
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn threads_do_not_matter() {
        let (a, b) = (numbers(1, 4 * 700, -1.0, 1.0), numbers(2, 700 * 2100, -1.0, 1.0));
        for b in [Mat::new(&b, 700, 2100), Mat::new(&b, 2100, 700).t()] {
            assert!(pays(&Mat::new(&a, 4, 700), &b));
            same_on_1_and_2_threads("few rows", || {
                let mut c = vec![0.0; 4 * 2100];
                crate::gemm::gemm(Mat::new(&a, 4, 700), b, &mut c, 2100, false, &Epilogue::NONE);
                c
            });
        }
    }
}
