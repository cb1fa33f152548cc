//! Loops that other kernels share: over the vectors of slices, and over pieces of fixed size on all threads.

use crate::simd::Simd;
use crate::team::{each_chunk, each_item, each_result};
use std::ops::Range;

/// Numbers in a piece of parallel work: 64 KiB of f32, which leaves room in the second cache for a few operands.
pub(crate) const PIECE: usize = 1 << 14;

/// Rows in a piece when each row has `cols` numbers; at least one. Depends on nothing else, so that sums taken by piece
/// do not depend on the threads.
pub(crate) fn piece_rows(cols: usize) -> usize {
    (PIECE / cols.max(1)).max(1)
}

/// Calls `f(start, piece)` for the pieces of `size` numbers that y consists of (the last may be shorter), on all threads
/// if there are several. f must not depend on what other pieces do.
pub(crate) fn pieces<T: Send>(y: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Send + Sync) {
    let size = size.max(1);
    if y.len() <= 2 * size {
        for (i, y) in y.chunks_mut(size).enumerate() {
            f(i * size, y);
        }
    } else {
        each_chunk(y, size, |i, y| f(i * size, y));
    }
}

/// [`pieces`] of two slices of the same length.
pub(crate) fn pieces2<T: Send>(
    a: &mut [T],
    b: &mut [T],
    size: usize,
    f: impl Fn(usize, &mut [T], &mut [T]) + Send + Sync,
) {
    let size = size.max(1);
    if a.len() <= 2 * size {
        for (i, (a, b)) in a.chunks_mut(size).zip(b.chunks_mut(size)).enumerate() {
            f(i * size, a, b);
        }
    } else {
        each_item(a.chunks_mut(size).zip(b.chunks_mut(size)), |i, (a, b)| f(i * size, a, b));
    }
}

/// The results of `f(range)` for the ranges of `size` that `0..len` consists of, in order, computed on all threads.
pub(crate) fn map_pieces<R: Send + Sync>(
    len: usize,
    size: usize,
    f: impl Fn(Range<usize>) -> R + Send + Sync,
) -> Vec<R> {
    let size = size.max(1);
    let range = |i: usize| i * size..len.min((i + 1) * size);
    let count = len.div_ceil(size);
    if count <= 2 { (0..count).map(|i| f(range(i))).collect() } else { each_result(count, |i| f(range(i))) }
}

/// `lanes!(s, y = [a, b] expression)` computes the expression for each vector of the slices a, b, ... (all at least as
/// long as y), in which these names stand for the vectors, and writes it to y. The last vector may be partial. Each slice is of f32
/// or of bf16.
///
/// `lanes!(s, in y = [a, b] expression)`: y is read as well, under its own name.
macro_rules! lanes {
    ($s:ident, in $y:ident = [$($x:ident),*] $value:expr) => {{
        let n = $y.len();
        $(let $x = &$x[..n];)*
        let mut i = 0;
        while i + S::LANES <= n {
            let value = {
                $(let $x = $crate::numbers::Stored::load($s, &$x[i..i + S::LANES]);)*
                let $y = $crate::numbers::Stored::load($s, &$y[i..i + S::LANES]);
                $value
            };
            $crate::numbers::Stored::store($s, &mut $y[i..i + S::LANES], value);
            i += S::LANES;
        }
        if i < n {
            let value = {
                $(let $x = $crate::numbers::Stored::load($s, &$x[i..]);)*
                let $y = $crate::numbers::Stored::load($s, &$y[i..]);
                $value
            };
            $crate::numbers::Stored::store($s, &mut $y[i..], value);
        }
    }};
    ($s:ident, $y:ident = [$($x:ident),*] $value:expr) => {{
        let n = $y.len();
        $(let $x = &$x[..n];)*
        let mut i = 0;
        while i + S::LANES <= n {
            let value = {
                $(let $x = $crate::numbers::Stored::load($s, &$x[i..i + S::LANES]);)*
                $value
            };
            $crate::numbers::Stored::store($s, &mut $y[i..i + S::LANES], value);
            i += S::LANES;
        }
        if i < n {
            let value = {
                $(let $x = $crate::numbers::Stored::load($s, &$x[i..]);)*
                $value
            };
            $crate::numbers::Stored::store($s, &mut $y[i..], value);
        }
    }};
}

/// `sum_lanes!(s, sum = [a, b] expression)`: the expression, which is `sum` plus something, for each vector of the slices
/// a, b, ... (all as long as the first), and the sum of all lanes in the end. Four sums run side by side.
macro_rules! sum_lanes {
    ($s:ident, $sum:ident = [$first:ident $(, $x:ident)*] $value:expr) => {{
        let n = $first.len();
        $(let $x = &$x[..n];)*
        let mut sums = [$s.zero(); 4];
        let mut i = 0;
        while i + 4 * S::LANES <= n {
            for sum in &mut sums {
                let $first = $s.load(&$first[i..]);
                $(let $x = $s.load(&$x[i..]);)*
                let $sum = *sum;
                *sum = $value;
                i += S::LANES;
            }
        }
        while i + S::LANES <= n {
            let $first = $s.load(&$first[i..]);
            $(let $x = $s.load(&$x[i..]);)*
            let $sum = sums[0];
            sums[0] = $value;
            i += S::LANES;
        }
        if i < n {
            // What the lanes beyond the end give is cut off.
            let mut tail = [0.0; 16];
            let value = {
                let $first = $s.load_partial(&$first[i..]);
                $(let $x = $s.load_partial(&$x[i..]);)*
                let $sum = $s.zero();
                $value
            };
            $s.store_partial(&mut tail[..n - i], value);
            sums[0] = $s.add(sums[0], $s.load(&tail));
        }
        $s.sum($s.add($s.add(sums[0], sums[1]), $s.add(sums[2], sums[3])))
    }};
}

/// The largest number of the slice, NaN left out; minus infinity if there is none.
#[inline(always)]
pub(crate) fn largest<S: Simd>(s: S, x: &[f32]) -> f32 {
    if x.len() < S::LANES {
        return x.iter().fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max });
    }
    let mut max = s.splat(f32::NEG_INFINITY);
    for x in x.chunks_exact(S::LANES) {
        max = s.max(s.load(x), max);
    }
    // The last vector may overlap the one before.
    s.max_lane(s.max(s.load(&x[x.len() - S::LANES..]), max))
}

/// Rows in a piece of [`column_totals`].
const TOTAL_ROWS: usize = 256;
/// Columns in a piece of [`column_totals`].
const TOTAL_COLS: usize = 512;

/// Sums over the rows of a matrix, `quantities` of them per column: `f(rows, columns, totals)` adds what these rows give
/// to `totals`, in which quantity q of column `columns.start + j` has the number `q * columns.len() + j`. The result has
/// that of column j at `q * cols + j`. In f64, in a fixed order.
pub(crate) fn column_totals(
    rows: usize,
    cols: usize,
    quantities: usize,
    f: impl Fn(Range<usize>, Range<usize>, &mut [f64]) + Send + Sync,
) -> Vec<f64> {
    let blocks = cols.div_ceil(TOTAL_COLS);
    let columns = |block: usize| block * TOTAL_COLS..cols.min((block + 1) * TOTAL_COLS);
    let parts = map_pieces(rows.div_ceil(TOTAL_ROWS) * blocks, 1, |task| {
        let (piece, block) = (task.start / blocks, task.start % blocks);
        let columns = columns(block);
        let mut totals = vec![0.0; quantities * columns.len()];
        f(piece * TOTAL_ROWS..rows.min((piece + 1) * TOTAL_ROWS), columns, &mut totals);
        totals
    });
    let mut totals = vec![0.0; quantities * cols];
    for (task, part) in parts.iter().enumerate() {
        let columns = columns(task % blocks);
        for (q, part) in part.chunks(columns.len()).enumerate() {
            for (total, part) in totals[q * cols + columns.start..].iter_mut().zip(part) {
                *total += part;
            }
        }
    }
    totals
}
