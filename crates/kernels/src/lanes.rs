//! Loops that other kernels share: over the vectors of slices, and over pieces of fixed size on all threads.

use rayon::prelude::*;

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
        y.par_chunks_mut(size).enumerate().for_each(|(i, y)| f(i * size, y));
    }
}

/// The results of `f(range)` for the ranges of `size` that `0..len` consists of, in order, computed on all threads.
pub(crate) fn map_pieces<R: Send>(
    len: usize,
    size: usize,
    f: impl Fn(std::ops::Range<usize>) -> R + Send + Sync,
) -> Vec<R> {
    let size = size.max(1);
    let range = |i: usize| i * size..len.min((i + 1) * size);
    let count = len.div_ceil(size);
    if count <= 2 {
        (0..count).map(|i| f(range(i))).collect()
    } else {
        (0..count).into_par_iter().map(|i| f(range(i))).collect()
    }
}

/// `lanes!(s, y = [a, b] expression)` computes the expression for each vector of the slices a, b, ... (all at least as
/// long as y), in which these names stand for the vectors, and writes it to y. The last vector may be partial.
///
/// `lanes!(s, in y = [a, b] expression)`: y is read as well, under its own name.
macro_rules! lanes {
    ($s:ident, in $y:ident = [$($x:ident),*] $value:expr) => {{
        let n = $y.len();
        $(let $x = &$x[..n];)*
        let mut i = 0;
        while i + S::LANES <= n {
            let value = {
                $(let $x = $s.load(&$x[i..]);)*
                let $y = $s.load(&$y[i..]);
                $value
            };
            $s.store(&mut $y[i..], value);
            i += S::LANES;
        }
        if i < n {
            let value = {
                $(let $x = $s.load_partial(&$x[i..]);)*
                let $y = $s.load_partial(&$y[i..]);
                $value
            };
            $s.store_partial(&mut $y[i..], value);
        }
    }};
    ($s:ident, $y:ident = [$($x:ident),*] $value:expr) => {{
        let n = $y.len();
        $(let $x = &$x[..n];)*
        let mut i = 0;
        while i + S::LANES <= n {
            let value = {
                $(let $x = $s.load(&$x[i..]);)*
                $value
            };
            $s.store(&mut $y[i..], value);
            i += S::LANES;
        }
        if i < n {
            let value = {
                $(let $x = $s.load_partial(&$x[i..]);)*
                $value
            };
            $s.store_partial(&mut $y[i..], value);
        }
    }};
}
