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
    out.par_chunks_mut(taps.len() * rows * width)
        .enumerate()
        .for_each(panel);
    out
}

/// One panel: columns `first..first + cols` of b.
fn pack_panel<T: Element>(b: &Mat<T>, first: usize, cols: usize, width: usize, out: &mut [T]) {
    if b.col_stride == 1 {
        for (k, out) in out.chunks_exact_mut(width).enumerate() {
            out[..cols].copy_from_slice(&b.data[k * b.row_stride + first..][..cols]);
        }
        return;
    }
    // 16 rows at a time, so that each cache line of a transposed b is used up before it leaves.
    const STRIP: usize = 16;
    for (strip, out) in out.chunks_mut(STRIP * width).enumerate() {
        for j in 0..cols {
            let column = &b.data[strip * STRIP * b.row_stride + (first + j) * b.col_stride..];
            for (k, out) in out.chunks_exact_mut(width).enumerate() {
                out[j] = column[k * b.row_stride];
            }
        }
    }
}
