//! Sums of outer products: the gradient of a weight.
//!
//! C[i][j] = sum over p of left[p][i] * right[p][j], where p is outermost in memory in both factors (a pixel, a token). A
//! tile of C stays in registers while p runs over a block: `S::ROWS` numbers of the left are broadcast, two vectors of the
//! right are loaded. A convolution has one such C per tap, and for each its own list of pairs of an output pixel (a row of
//! the left) and an input pixel (a row of the right), so that padding costs nothing.

use super::blocks::{pieces, tile_size};
use super::pack::with_buffer;
use super::tile::MAX_ROWS;
use crate::isa::Isa;
use crate::simd::Simd;
use rayon::prelude::*;
use std::ops::Range;

/// Rows of the left in a block: few enough to stay in the first-level cache with those of the right.
const BLOCK: usize = 128;
/// Numbers of C that stay in the second-level cache from block to block.
const PART: usize = 40 * 1024;
/// Tasks that are enough to keep some cores busy.
const TASKS: usize = 16;
/// Multiplications below which a task is not worth starting.
const SMALL: usize = 1 << 20;

/// Rows of one factor: row i is `data[i * pitch..][..len]`.
#[derive(Clone, Copy)]
pub(crate) struct Factor<'a> {
    /// All numbers.
    pub(crate) data: &'a [f32],
    /// Distance from row to row.
    pub(crate) pitch: usize,
    /// Numbers of a row.
    pub(crate) len: usize,
}

/// What a block of rows of the left meets.
pub(crate) struct Meeting {
    /// Rows of the right.
    pub(crate) right: Vec<usize>,
    /// For each tap pairs of rows, counted from the first of the block on the left, places in `right` on the right.
    pub(crate) pairs: Vec<Vec<(u32, u32)>>,
}

/// The sum to compute.
#[derive(Clone, Copy)]
pub(crate) struct Outer<'a> {
    /// Gives the rows of C.
    pub(crate) left: Factor<'a>,
    /// Gives the columns of C.
    pub(crate) right: Factor<'a>,
    /// Rows of the left.
    pub(crate) depth: usize,
    /// How many rows of the right all blocks meet, about.
    pub(crate) right_rows: usize,
    /// How many C there are; that of tap t begins `t * right.len` after the first.
    pub(crate) taps: usize,
    /// Distance from row to row of C.
    pub(crate) row_stride: usize,
    /// Add to what is there?
    pub(crate) accumulate: bool,
}

/// Computes C in `c`. `meeting` says what the rows of a block of the left meet.
pub(crate) fn outer(
    isa: Isa,
    serial: bool,
    sum: Outer,
    c: &mut [f32],
    meeting: impl Fn(Range<usize>) -> Meeting + Sync,
) {
    let (rows, cols) = (sum.left.len, sum.taps * sum.right.len);
    if rows == 0 || cols == 0 {
        return;
    }
    assert!(cols <= sum.row_stride && c.len() >= (rows - 1) * sum.row_stride + cols);
    let (tile_rows, width) = tile_size(isa);
    let task = |cut: &Cut, i: usize, c: Target| {
        let (depth, rows, panels) = cut.piece(i);
        let columns = panels.start * width..sum.right.len.min(panels.end * width);
        Task { isa, sum, rows, columns, c }.run(depth, &meeting);
    };
    let target = |c: &mut [f32], row_stride, accumulate| Target { c: c.as_mut_ptr(), row_stride, accumulate };
    let mut pieces = Cut { sum, panels: sum.right.len.div_ceil(width), by_depth: 1, by_row: 1, by_panel: 1 };
    if serial || rows * cols * sum.depth < SMALL {
        return task(&pieces, 0, target(c, sum.row_stride, sum.accumulate));
    }
    pieces.refine(tile_rows);
    if pieces.by_depth == 1 {
        let target = target(c, sum.row_stride, sum.accumulate);
        return (0..pieces.count()).into_par_iter().with_max_len(1).for_each(|i| task(&pieces, i, target));
    }
    // Each piece of the depth has its own C; they are added in their order.
    with_buffer(pieces.by_depth * rows * cols, |parts| {
        let targets: Vec<_> = parts.chunks_exact_mut(rows * cols).map(|part| target(part, cols, false)).collect();
        (0..pieces.count()).into_par_iter().with_max_len(1).for_each(|i| {
            task(&pieces, i, targets[i / (pieces.by_row * pieces.by_panel)]);
        });
        let parts = &*parts;
        c.par_chunks_mut(sum.row_stride).take(rows).enumerate().for_each(|(i, c)| {
            let c = &mut c[..cols];
            if !sum.accumulate {
                c.fill(0.0);
            }
            for part in parts.chunks_exact(rows * cols) {
                c.iter_mut().zip(&part[i * cols..]).for_each(|(c, part)| *c += part);
            }
        });
    });
}

/// How the work is cut into tasks.
struct Cut<'a> {
    sum: Outer<'a>,
    panels: usize,
    by_depth: usize,
    by_row: usize,
    by_panel: usize,
}

impl Cut<'_> {
    fn count(&self) -> usize {
        self.by_depth * self.by_row * self.by_panel
    }

    /// Doubles the pieces until there are enough: the rows or the columns of C as long as a task's share of C is too large
    /// for the cache, that of the two which makes a task copy less; then the depth, which makes no one copy twice.
    fn refine(&mut self, tile_rows: usize) {
        let Outer { left, right, depth, taps, right_rows, .. } = self.sum;
        while self.count() < TASKS {
            let (rows, cols) = (left.len / self.by_row, right.len / self.by_panel);
            let by_row = left.len >= 2 * self.by_row * tile_rows;
            let by_panel = self.panels >= 2 * self.by_panel;
            if rows * cols * taps <= PART && depth >= 2 * self.by_depth * BLOCK {
                self.by_depth *= 2;
            } else if by_panel && (!by_row || cols * right_rows >= rows * depth) {
                self.by_panel *= 2;
            } else if by_row {
                self.by_row *= 2;
            } else {
                break;
            }
        }
    }

    /// The depth, rows and panels of a task.
    fn piece(&self, i: usize) -> (Range<usize>, Range<usize>, Range<usize>) {
        let cut = |n: usize, pieces: usize, i: usize| n * i / pieces..n * (i + 1) / pieces;
        let (rest, panel) = (i / self.by_panel, i % self.by_panel);
        let depth = cut(self.sum.depth, self.by_depth, rest / self.by_row);
        (depth, cut(self.sum.left.len, self.by_row, rest % self.by_row), cut(self.panels, self.by_panel, panel))
    }
}

/// A matrix to write to, or several next to each other.
#[derive(Clone, Copy)]
struct Target {
    c: *mut f32,
    row_stride: usize,
    accumulate: bool,
}
// SAFETY: tasks write to different elements through it.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

/// Some rows and columns of all C.
struct Task<'a> {
    isa: Isa,
    sum: Outer<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    c: Target,
}

/// A block of both factors, copied so that rows do not clash in the cache, and those of the right end in zeros.
struct Copies {
    left: Vec<f32>,
    left_pitch: usize,
    right: Vec<f32>,
    right_pitch: usize,
}

impl Task<'_> {
    /// Sums over the given rows of the left.
    fn run(&self, part: Range<usize>, meeting: &(impl Fn(Range<usize>) -> Meeting + Sync)) {
        let Outer { left, right, taps, .. } = self.sum;
        let width = tile_size(self.isa).1;
        let mut copies = Copies {
            left: Vec::new(),
            left_pitch: pitch(self.rows.len(), 1),
            right: Vec::new(),
            right_pitch: pitch(self.columns.len(), width),
        };
        let mut accumulate = self.c.accumulate;
        // One block even if there is nothing to sum, to set C to zero.
        let blocks = pieces(part.clone(), BLOCK).chain(part.is_empty().then_some(part));
        for block in blocks {
            let Meeting { right: seen, pairs } = meeting(block.clone());
            copy(left, block.clone(), &self.rows, copies.left_pitch, &mut copies.left);
            copy(right, seen.iter().copied(), &self.columns, copies.right_pitch, &mut copies.right);
            let fits = |&(l, r): &(u32, u32)| (l as usize) < block.len() && (r as usize) < seen.len();
            assert!(pairs.len() == taps && pairs.iter().flatten().all(fits), "pairs of rows that are not there");
            run(self.isa, self, &copies, &pairs, accumulate);
            accumulate = true;
        }
    }
}

/// Distance between copied rows of `len` numbers, rounded up to `width`: an odd number of cache lines.
fn pitch(len: usize, width: usize) -> usize {
    (len.div_ceil(width) * width).div_ceil(16) / 2 * 32 + 16
}

/// Copies columns of some rows.
fn copy(
    from: Factor,
    rows: impl ExactSizeIterator<Item = usize>,
    columns: &Range<usize>,
    pitch: usize,
    to: &mut Vec<f32>,
) {
    assert!(columns.end <= from.len);
    if to.len() < rows.len() * pitch {
        to.resize(rows.len() * pitch, 0.0);
    }
    for (row, to) in rows.zip(to.chunks_exact_mut(pitch)) {
        to[..columns.len()].copy_from_slice(&from.data[row * from.pitch..][columns.clone()]);
    }
}

#[inline(always)]
fn run_body<S: Simd>(s: S, task: &Task, copies: &Copies, pairs: &[Vec<(u32, u32)>], accumulate: bool) {
    let mut sums = [[s.zero(); 2]; MAX_ROWS];
    for rows in pieces(0..task.rows.len(), S::ROWS) {
        for (tap, pairs) in pairs.iter().enumerate() {
            for first in (0..task.columns.len()).step_by(2 * S::LANES) {
                // SAFETY: `Task::run` checked that the copies have the rows of all pairs; their columns reach over the
                // rows and whole panels of the task. `outer` checked that C has them too; no other task has the same.
                unsafe {
                    sum_tile(s, copies, rows.clone(), first, pairs, &mut sums);
                    let column = tap * task.sum.right.len + task.columns.start + first;
                    let row = task.rows.start + rows.start;
                    let c = task.c.c.add(row * task.c.row_stride + column);
                    let cols = (task.columns.len() - first).min(2 * S::LANES);
                    for (r, sums) in sums[..rows.len()].iter().enumerate() {
                        let c = std::slice::from_raw_parts_mut(c.add(r * task.c.row_stride), cols);
                        store_row(s, c, sums, accumulate);
                    }
                }
            }
        }
    }
}

dispatch!(fn run(task: &Task, copies: &Copies, pairs: &[Vec<(u32, u32)>], accumulate: bool) = run_body);

/// c (+)= sums, for as many columns as c has.
#[inline(always)]
fn store_row<S: Simd>(s: S, c: &mut [f32], sums: &[S::V; 2], accumulate: bool) {
    for (c, &sum) in c.chunks_mut(S::LANES).zip(sums) {
        if c.len() == S::LANES {
            let sum = if accumulate { s.add(sum, s.load(c)) } else { sum };
            s.store(c, sum);
        } else {
            let sum = if accumulate { s.add(sum, s.load_partial(c)) } else { sum };
            s.store_partial(c, sum);
        }
    }
}

/// Picks the variant of [`sum_rows`] for the number of rows.
///
/// # Safety
/// The copies must have the rows of all pairs, with the columns `rows` on the left and two vectors from `first` on on the
/// right.
#[inline(always)]
unsafe fn sum_tile<S: Simd>(
    s: S,
    copies: &Copies,
    rows: Range<usize>,
    first: usize,
    pairs: &[(u32, u32)],
    sums: &mut [[S::V; 2]; MAX_ROWS],
) {
    // SAFETY: the columns are there.
    let (left, right) = unsafe { (copies.left.as_ptr().add(rows.start), copies.right.as_ptr().add(first)) };
    let (left, right) = ((left, copies.left_pitch), (right, copies.right_pitch));
    macro_rules! variants {
        ($($rows:literal)*) => {
            match rows.len() {
                // SAFETY: the caller's promise.
                $($rows if $rows <= S::ROWS => unsafe { sum_rows::<S, $rows>(s, pairs, left, right, sums) },)*
                rows => unreachable!("a tile of {rows} rows"),
            }
        };
    }
    variants!(1 2 3 4 5 6 7 8 9 10 11 12)
}

/// sums[i][j] = sum over pairs (l, r) of left[l][i] * right[r][j].
///
/// # Safety
/// `R` numbers of each row on the left and two vectors of each on the right must be readable.
#[inline(always)]
unsafe fn sum_rows<S: Simd, const R: usize>(
    s: S,
    pairs: &[(u32, u32)],
    left: (*const f32, usize),
    right: (*const f32, usize),
    sums: &mut [[S::V; 2]; MAX_ROWS],
) {
    let mut acc = [[s.zero(); 2]; R];
    for &(l, r) in pairs {
        // SAFETY: the caller's promise.
        unsafe {
            let (a, b) = (left.0.add(l as usize * left.1), right.0.add(r as usize * right.1));
            let (b0, b1) = (s.load_ptr(b), s.load_ptr(b.add(S::LANES)));
            for (r, acc) in acc.iter_mut().enumerate() {
                let a = s.splat(*a.add(r));
                acc[0] = s.mul_add(a, b0, acc[0]);
                acc[1] = s.mul_add(a, b1, acc[1]);
            }
        }
    }
    sums[..R].copy_from_slice(&acc);
}
