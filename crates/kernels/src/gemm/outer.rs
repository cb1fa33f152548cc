//! Sums of outer products: the gradient of a weight.
//!
//! C[i][j] = sum over p of left[p][i] * right[p][j]: both factors are stored with p outermost (rows are pixels or
//! tokens), so that neither needs packing: a tile of C stays in registers while p runs, `S::ROWS` numbers of the left are
//! broadcast, two vectors of the right are loaded. A convolution has one such C per tap, and its own list of p for each:
//! the pixels where the tap does not fall on padding.

use super::blocks::{pieces, tile_size};
use super::tile::MAX_ROWS;
use crate::isa::Isa;
use crate::simd::Simd;
use rayon::prelude::*;
use std::ops::Range;

/// Numbers of both factors that a pass over the result works on: half of a typical second-level cache of 1 MiB.
const BLOCK: usize = 128 * 1024;
/// Numbers of both factors that all tasks go through before they go on: a quarter of a third-level cache of 32 MiB.
const GROUP: usize = 2 * 1024 * 1024;
/// Tasks that are enough to keep some cores busy.
const TASKS: usize = 16;
/// Multiplications below which a task is not worth starting.
const SMALL: usize = 1 << 20;

/// For one block of p, for each tap, the places of left[p] and right[p].
pub(crate) type Pairs = Vec<Vec<(u32, u32)>>;

/// The factors and the result.
#[derive(Clone, Copy)]
pub(crate) struct Outer<'a> {
    /// Holds left[p].
    pub(crate) left: &'a [f32],
    /// Holds right[p].
    pub(crate) right: &'a [f32],
    /// Length of left[p].
    pub(crate) rows: usize,
    /// Length of right[p].
    pub(crate) cols: usize,
    /// How many p there are.
    pub(crate) depth: usize,
    /// How many results there are; that of tap t begins `t * cols` after the first.
    pub(crate) taps: usize,
    /// Distance from row to row of the result.
    pub(crate) row_stride: usize,
    /// Add to what is there?
    pub(crate) accumulate: bool,
}

/// A raw pointer that tasks share.
#[derive(Clone, Copy)]
struct Shared(*mut f32);
// SAFETY: tasks write to different elements through it.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// A part of the result.
struct Job<'a> {
    outer: Outer<'a>,
    pairs: &'a [Pairs],
    /// Rows of the result.
    rows: Range<usize>,
    /// Panels (two vectors of columns) of the result.
    panels: Range<usize>,
    /// Add to what is there?
    accumulate: bool,
    c: Shared,
}

/// Computes C in `c`. `pairs` lists, for a range of p, the places of left[p] and right[p] for each tap.
pub(crate) fn outer(isa: Isa, serial: bool, outer: Outer, c: &mut [f32], pairs: impl Fn(Range<usize>) -> Pairs + Sync) {
    let Outer { left, right, rows, cols, depth, taps, row_stride, accumulate } = outer;
    if rows == 0 || cols == 0 || taps == 0 {
        return;
    }
    assert!(taps * cols <= row_stride && c.len() >= (rows - 1) * row_stride + taps * cols);
    assert!(left.len().max(right.len()) <= u32::MAX as usize, "places are kept as u32");
    let (tile_rows, width) = tile_size(isa);
    let panels = cols.div_ceil(width);
    let small = serial || rows * cols * depth * taps < SMALL;
    let tiles: Vec<_> = pieces(0..rows, tile_rows).collect();
    let row_chunks = if small { 1 } else { tiles.len().min(TASKS) };
    let panel_chunks = if small { 1 } else { (TASKS / row_chunks).clamp(1, panels) };
    let block = (BLOCK / (rows + cols)).clamp(64, 1024);
    let group = (GROUP / (rows + cols)).max(block);
    let shared = Shared(c.as_mut_ptr());

    // One group even if there is no p, to set the result to zero.
    for (g, group) in pieces(0..depth.max(1), group).enumerate() {
        let group = group.start..group.end.min(depth);
        let blocks: Vec<_> = pieces(group.clone(), block).collect();
        let list = |p: &Range<usize>| {
            let pairs = pairs(p.clone());
            let fits = |&(l, r): &(u32, u32)| l as usize + rows <= left.len() && r as usize + cols <= right.len();
            assert!(pairs.len() == taps && pairs.iter().flatten().all(fits), "places outside of the factors");
            pairs
        };
        let task = |pairs: &[Pairs], i: usize| {
            let (r, p) = (i / panel_chunks, i % panel_chunks);
            let cut = |n: usize, of: usize, i: usize| n * i / of..n * (i + 1) / of;
            let rows = cut(tiles.len(), row_chunks, r);
            let job = Job {
                outer,
                pairs,
                rows: tiles[rows.start].start..tiles[rows.end - 1].end,
                panels: cut(panels, panel_chunks, p),
                accumulate: accumulate || g > 0,
                c: shared,
            };
            run(isa, &job);
        };
        let tasks = row_chunks * panel_chunks;
        if small {
            let pairs: Vec<Pairs> = blocks.iter().map(list).collect();
            (0..tasks).for_each(|i| task(&pairs, i));
        } else {
            let pairs: Vec<Pairs> = blocks.par_iter().map(list).collect();
            (0..tasks).into_par_iter().with_max_len(1).for_each(|i| task(&pairs, i));
        }
    }
}

#[inline(always)]
fn run_body<S: Simd>(s: S, job: &Job) {
    let Job { outer, pairs, rows, panels, accumulate, c } = job;
    let width = 2 * S::LANES;
    if pairs.is_empty() && !accumulate {
        return set_zero(job, width);
    }
    for (block, pairs) in pairs.iter().enumerate() {
        for rows in pieces(rows.clone(), S::ROWS) {
            for (tap, pairs) in pairs.iter().enumerate() {
                for p in panels.clone() {
                    let columns = p * width..outer.cols.min((p + 1) * width);
                    let mut sums = [[s.zero(); 2]; MAX_ROWS];
                    // SAFETY: `outer` checked the places of all pairs, and that C has these rows and columns; no other
                    // task has the same.
                    unsafe {
                        sum_tile(s, outer, pairs, &rows, &columns, &mut sums);
                        let c = c.0.add(rows.start * outer.row_stride + tap * outer.cols + columns.start);
                        for (r, sums) in sums[..rows.len()].iter().enumerate() {
                            let c = std::slice::from_raw_parts_mut(c.add(r * outer.row_stride), columns.len());
                            store_row(s, c, sums, *accumulate || block > 0);
                        }
                    }
                }
            }
        }
    }
}

dispatch!(fn run(job: &Job) = run_body);

/// Sets the part of the result to zero.
fn set_zero(job: &Job, width: usize) {
    let columns = job.panels.start * width..job.outer.cols.min(job.panels.end * width);
    for row in job.rows.clone() {
        for tap in 0..job.outer.taps {
            let at = row * job.outer.row_stride + tap * job.outer.cols + columns.start;
            // SAFETY: `outer` checked that C has these rows and columns; no other task has the same.
            unsafe { std::slice::from_raw_parts_mut(job.c.0.add(at), columns.len()) }.fill(0.0);
        }
    }
}

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
/// As [`sum_rows`].
#[inline(always)]
unsafe fn sum_tile<S: Simd>(
    s: S,
    outer: &Outer,
    pairs: &[(u32, u32)],
    rows: &Range<usize>,
    columns: &Range<usize>,
    sums: &mut [[S::V; 2]; MAX_ROWS],
) {
    // SAFETY: the caller's promise: both places are inside the factors.
    let (left, right) = unsafe { (outer.left.as_ptr().add(rows.start), outer.right.as_ptr().add(columns.start)) };
    macro_rules! variants {
        ($($rows:literal)*) => {
            match (rows.len(), columns.len()) {
                // SAFETY: the caller's promise.
                $(($rows, cols) if $rows <= S::ROWS => unsafe {
                    if cols == 2 * S::LANES {
                        sum_rows::<S, $rows, true>(s, pairs, left, right, cols, sums)
                    } else {
                        sum_rows::<S, $rows, false>(s, pairs, left, right, cols, sums)
                    }
                },)*
                size => unreachable!("a tile of {size:?}"),
            }
        };
    }
    variants!(1 2 3 4 5 6 7 8 9 10 11 12)
}

/// sums[r][j] = sum over pairs (l, r) of left[l + r] * right[r + j].
///
/// # Safety
/// For each pair `R` numbers at the place on the left and `cols` (two vectors if `FULL`) on the right must be readable.
#[inline(always)]
unsafe fn sum_rows<S: Simd, const R: usize, const FULL: bool>(
    s: S,
    pairs: &[(u32, u32)],
    left: *const f32,
    right: *const f32,
    cols: usize,
    sums: &mut [[S::V; 2]; MAX_ROWS],
) {
    let mut acc = [[s.zero(); 2]; R];
    for &(l, r) in pairs {
        // SAFETY: the caller's promise.
        unsafe {
            let (a, b) = (left.add(l as usize), right.add(r as usize));
            let (b0, b1) = if FULL {
                (s.load_ptr(b), s.load_ptr(b.add(S::LANES)))
            } else {
                let b = std::slice::from_raw_parts(b, cols);
                let (b0, b1) = b.split_at(cols.min(S::LANES));
                (s.load_partial(b0), s.load_partial(b1))
            };
            for (r, acc) in acc.iter_mut().enumerate() {
                let a = s.splat(*a.add(r));
                acc[0] = s.mul_add(a, b0, acc[0]);
                acc[1] = s.mul_add(a, b1, acc[1]);
            }
        }
    }
    sums[..R].copy_from_slice(&acc);
}
