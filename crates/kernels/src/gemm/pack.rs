//! Rearranging B into panels: groups of `width` columns, each `[row][width]`, the last one padded with zeros.

use super::pairs::{Joins, Kind, join, to_pairs};
use super::store::{load, store};
use super::{Mat, Precision};
use crate::Element;
use crate::arena::Stretch;
use crate::element::cast_mut;
use crate::isa::Isa;
use crate::numbers::Numbers;
use crate::simd::Simd;
use crate::team::each_chunk;
use std::cell::RefCell;

/// Numbers below which packing is not worth more than one thread.
const SMALL: usize = 64 * 1024;
/// Numbers of a cache line.
const LINE: usize = 16;
/// The largest buffer, in numbers, that each thread keeps for itself.
const LARGE: usize = 256 * 1024;

/// Numbers that panels of `taps` matrices of `rows` x `cols` take.
pub(crate) fn packed_len(taps: usize, rows: usize, cols: usize, width: usize) -> usize {
    cols.div_ceil(width) * taps * rows * width
}

/// Writes the panels of the matrices of some taps, `[panel][tap][row][width]`. All matrices have the same size.
pub(crate) fn pack<T: Element>(isa: Isa, serial: bool, taps: &[Mat<T>], width: usize, out: &mut [T]) {
    let (Some(first), false) = (taps.first(), out.is_empty()) else { return };
    let (rows, cols) = (first.rows, first.cols);
    assert_eq!(out.len(), packed_len(taps.len(), rows, cols, width));
    let panel = |(p, out): (usize, &mut [T])| {
        let cols = width.min(cols - p * width);
        for (b, out) in taps.iter().zip(out.chunks_exact_mut(rows * width)) {
            pack_panel(isa, b, p * width, cols, width, out);
        }
    };
    let size = taps.len() * rows * width;
    if serial || out.len() < SMALL {
        out.chunks_mut(size).enumerate().for_each(panel);
    } else {
        each_chunk(out, size, |p, out| panel((p, out)));
    }
}

/// As [`pack`], of numbers that become places of a kind, single ones or pairs: `[panel][tap][place][width]`.
pub(crate) fn pack_places(isa: Isa, kind: Kind, serial: bool, taps: &[Mat<f32>], width: usize, out: &mut [f32]) {
    assert!(kind.precision() != Precision::Int8, "integers are packed with their scales");
    if kind == Kind::Single {
        return pack(isa, serial, taps, width, out);
    }
    let (Some(first), false) = (taps.first(), out.is_empty()) else { return };
    let (rows, places) = (first.rows, kind.places(first.rows));
    assert_eq!(out.len(), packed_len(taps.len(), places, first.cols, width));
    let panel = |(p, out): (usize, &mut [f32])| {
        let (first, cols) = (p * width, width.min(first.cols - p * width));
        for (b, out) in taps.iter().zip(out.chunks_exact_mut(places * width)) {
            if b.col_stride == 1 {
                join_panel(isa, kind, &Mat { data: b.data.get(first..).unwrap_or_default(), cols, ..*b }, width, out);
                continue;
            }
            with_buffer(2 * places * width, |numbers| {
                if b.row_stride == 1 {
                    for (j, pairs) in numbers.chunks_exact_mut(places).take(cols).enumerate() {
                        to_pairs(isa, kind, &b.data[(first + j) * b.col_stride..][..rows], pairs);
                    }
                    let pairs = Mat { data: numbers, rows: places, cols, row_stride: 1, col_stride: places };
                    return pack_panel(isa, &pairs, 0, cols, width, out);
                }
                pack_panel(isa, b, first, cols, width, &mut numbers[..rows * width]);
                join_panel(isa, kind, &Mat::new(&numbers[..rows * width], rows, width), width, out);
            });
        }
    };
    let size = taps.len() * places * width;
    if serial || out.len() < SMALL {
        out.chunks_mut(size).enumerate().for_each(panel);
    } else {
        each_chunk(out, size, |p, out| panel((p, out)));
    }
}

/// One panel of pairs: rows 2i and 2i + 1 of b, whose rows are contiguous, become row i; a last one alone is joined with zeros.
fn join_panel(isa: Isa, kind: Kind, b: &Mat<f32>, width: usize, out: &mut [f32]) {
    if b.cols < width {
        out.chunks_exact_mut(width).for_each(|out| out[b.cols..].fill(0.0));
    }
    let start = |k: usize| k * b.row_stride;
    let rows: Vec<_> = (0..b.rows).step_by(2).map(|k| (start(k), (k + 1 < b.rows).then(|| start(k + 1)))).collect();
    join(isa, kind, &Joins { from: Numbers::F32(b.data), rows: &rows, len: b.cols, pitch: width }, out);
}

/// Calls `f` with a buffer of `len` numbers of any value, which the thread keeps for the next call, or all threads together if it is
/// large: fresh memory costs as much as packing. It begins with a cache line: vectors that lie across two take up to a third longer.
pub(crate) fn with_buffer<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    if len > LARGE {
        return f(Stretch::scratch(len).as_mut_slice());
    }
    // One for each call within another.
    thread_local!(static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) });
    let mut buffer = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len + LINE {
        buffer = vec![0.0; len + LINE];
    }
    let first = buffer.as_ptr().align_offset(LINE * size_of::<f32>());
    let result = f(&mut buffer[first..first + len]);
    SPARE.with_borrow_mut(|spare| spare.push(buffer));
    result
}

/// One panel: columns `first..first + cols` of b.
fn pack_panel<T: Element>(isa: Isa, b: &Mat<T>, first: usize, cols: usize, width: usize, out: &mut [T]) {
    if cols < width {
        out.chunks_exact_mut(width).for_each(|out| out[cols..].fill(T::ZERO));
    }
    if b.col_stride == 1 {
        for (k, out) in out.chunks_exact_mut(width).enumerate() {
            out[..cols].copy_from_slice(&b.data[k * b.row_stride + first..][..cols]);
        }
    } else if let (1, Some(b), Some(out)) = (b.row_stride, b.cast(), cast_mut(out)) {
        transpose(isa, &b.data[first * b.col_stride..], b.col_stride, b.rows, cols, width, out);
    } else {
        for (k, out) in out.chunks_exact_mut(width).enumerate() {
            (0..cols).for_each(|j| out[j] = b.at(k, first + j));
        }
    }
}

#[inline(always)]
pub(crate) fn transpose_body<S: Simd>(
    s: S,
    columns: &[f32],
    distance: usize,
    rows: usize,
    cols: usize,
    width: usize,
    out: &mut [f32],
) {
    // Squares of vectors.
    let mut square = [s.zero(); 16];
    for first in (0..cols).step_by(S::LANES) {
        let (to, cols) = (first..width.min(first + S::LANES), S::LANES.min(cols - first));
        for strip in (0..rows).step_by(S::LANES) {
            let count = S::LANES.min(rows - strip);
            for (j, column) in square[..S::LANES].iter_mut().enumerate() {
                *column = match j < cols {
                    true => load(s, &columns[(first + j) * distance + strip..][..count]),
                    false => s.zero(),
                };
            }
            for _ in 0..S::LANES.ilog2() {
                let last = square;
                for i in 0..S::LANES / 2 {
                    [square[2 * i], square[2 * i + 1]] = s.zip(last[i], last[i + S::LANES / 2]);
                }
            }
            for (row, out) in square.iter().zip(out[strip * width..].chunks_exact_mut(width).take(count)) {
                store(s, &mut out[to.clone()], *row);
            }
        }
    }
}
dispatch!(
    /// out[k][j] = columns[j][k], for columns that are `distance` apart and rows of `width`; at least up to the next whole vector
    /// rows have zeros behind their last column.
    fn transpose(columns: &[f32], distance: usize, rows: usize, cols: usize, width: usize, out: &mut [f32]) = transpose_body
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::blocks::tile_size;
    use crate::isa::available;

    #[test]
    fn transposed_is_transposed() {
        for isa in available() {
            for (rows, cols, width) in [(1, 1, 1), (5, 3, 8), (16, 16, 32), (37, 29, 32), (70, 21, 21), (33, 32, 32)] {
                let distance = rows + 3;
                let columns: Vec<_> = (0..cols * distance).map(|i| i as f32).collect();
                let mut out = vec![-1.0; rows * width];
                transpose(isa, &columns, distance, rows, cols, width, &mut out);
                for (k, row) in out.chunks_exact(width).enumerate() {
                    let zeros = cols.next_multiple_of(tile_size(isa).1 / 2);
                    let want = |j: usize| match j {
                        _ if j < cols => (j * distance + k) as f32,
                        _ if j < zeros => 0.0,
                        _ => -1.0,
                    };
                    assert!(
                        row.iter().enumerate().all(|(j, &x)| x == want(j)),
                        "{isa:?} {rows}x{cols} row {k}: {row:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn buffers_begin_at_a_line_and_lie_apart() {
        let lens = [0, 1, 100, LARGE, LARGE + 1, 2 * LARGE];
        for (outer, inner) in lens.iter().flat_map(|&a| lens.map(|b| (a, b))) {
            with_buffer(outer, |a| {
                a.fill(1.0);
                with_buffer(inner, |b| {
                    assert_eq!((a.len(), b.len()), (outer, inner));
                    assert!([&*a, &*b].iter().all(|x| x.is_empty() || x.as_ptr().addr().is_multiple_of(4 * LINE)));
                    b.fill(2.0);
                });
                assert!(a.iter().all(|&x| x == 1.0), "{outer} and {inner}");
            });
        }
    }
}
