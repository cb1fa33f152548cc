//! Rearranging B into panels: groups of `width` columns, each `[row][width]`, the last one padded with zeros.

use super::Mat;
use crate::Element;
use rayon::prelude::*;

/// Panels of the matrices of some taps: `[panel][tap][row][width]`. All matrices have the same size.
pub(crate) fn pack<T: Element>(taps: &[Mat<T>], width: usize) -> Vec<T> {
    let Some(first) = taps.first() else {
        return Vec::new();
    };
    let (rows, cols) = (first.rows, first.cols);
    let mut out = vec![T::ZERO; cols.div_ceil(width) * taps.len() * rows * width];
    if out.is_empty() {
        return out;
    }
    let panel = |(p, out): (usize, &mut [T])| {
        let cols = width.min(cols - p * width);
        for (b, out) in taps.iter().zip(out.chunks_exact_mut(rows * width)) {
            pack_panel(b, p * width, cols, width, out);
        }
    };
    out.par_chunks_mut(taps.len() * rows * width).enumerate().for_each(panel);
    out
}

/// One panel: columns `first..first + cols` of b.
fn pack_panel<T: Element>(b: &Mat<T>, first: usize, cols: usize, width: usize, out: &mut [T]) {
    if b.col_stride == 1 {
        for (k, out) in out.chunks_exact_mut(width).enumerate() {
            out[..cols].copy_from_slice(&b.data[k * b.row_stride + first..][..cols]);
        }
    } else if b.row_stride == 1 {
        transpose(&b.data[first * b.col_stride..], b.col_stride, b.rows, cols, width, out);
    } else {
        for (k, out) in out.chunks_exact_mut(width).enumerate() {
            (0..cols).for_each(|j| out[j] = b.at(k, first + j));
        }
    }
}

/// out[k][j] = columns[j][k], for columns that are `distance` apart and rows of `width`.
fn transpose<T: Element>(columns: &[T], distance: usize, rows: usize, cols: usize, width: usize, out: &mut [T]) {
    // Squares of 4 x 4, which compilers turn into shuffles; strips of 16 rows, so that each cache line of the columns is
    // used up before it leaves.
    let (square_rows, square_cols) = (rows / 4 * 4, cols / 4 * 4);
    for strip in (0..square_rows).step_by(16) {
        for j in (0..square_cols).step_by(4) {
            for k in (strip..square_rows.min(strip + 16)).step_by(4) {
                let column =
                    |i: usize| -> [T; 4] { std::array::from_fn(|k_| columns[(j + i) * distance + k..][..4][k_]) };
                let square = [column(0), column(1), column(2), column(3)];
                for i in 0..4 {
                    out[(k + i) * width + j..][..4].copy_from_slice(&square.map(|column| column[i]));
                }
            }
        }
    }
    for k in 0..rows {
        for j in if k < square_rows { square_cols } else { 0 }..cols {
            out[k * width + j] = columns[j * distance + k];
        }
    }
}
