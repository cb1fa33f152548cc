//! Sums of outer products: the gradient of a weight.
//!
//! C[i][j] = sum over p of left[p][i] * right[p][j], where p is outermost in memory in both factors (a pixel, a token). A
//! tile of C stays in registers while p runs over a block: `S::ROWS` numbers of the left are broadcast, two vectors of the
//! right are loaded. A convolution has one such C per tap, and for each its own list of pairs of an output pixel (a row of
//! the left) and an input pixel (a row of the right), so that padding costs nothing.
//!
//! In bf16 two rows of a factor are joined to one of pairs, and so are two products of a list that follow each other.

use super::blocks::{pieces, tile_size};
use super::pack::with_buffer;
use super::pairs::{Joins, Kind, join};
#[cfg(target_arch = "x86_64")]
use super::tile::NativePairs;
use super::tile::{MAX_ROWS, Pairs, Product, Single, Sums};
use crate::isa::Isa;
use crate::lanes::piece_rows;
use crate::numbers::{Numbers, widen};
use crate::simd::Simd;
#[cfg(target_arch = "x86_64")]
use crate::simd::avx512::Avx512;
use crate::team::{each, each_chunk};
use std::ops::Range;

/// Places of the left in a block: few enough to stay in the first-level cache with those of the right.
const BLOCK: usize = 128;
/// Numbers of C that stay in the second-level cache from block to block.
const PART: usize = 40 * 1024;
/// Tasks that are enough to keep some cores busy.
const TASKS: usize = 16;
/// Multiplications below which a task is not worth starting.
const SMALL: usize = 1 << 20;

/// Rows of one factor: row i is the `len` numbers of `data` from `i * pitch` on.
#[derive(Clone, Copy)]
pub(crate) struct Factor<'a> {
    /// All numbers.
    pub(crate) data: Numbers<'a>,
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
    /// What the factors are rounded to: single numbers or pairs.
    pub(crate) kind: Kind,
}

impl Outer<'_> {
    /// Rows of the left in a block.
    fn block(&self) -> usize {
        if self.kind == Kind::Single { BLOCK } else { 2 * BLOCK }
    }
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
        return each(pieces.count(), |i| task(&pieces, i, target));
    }
    // Each piece of the depth has its own C; they are added in their order.
    with_buffer(pieces.by_depth * rows * cols, |parts| {
        let targets: Vec<_> = parts.chunks_exact_mut(rows * cols).map(|part| target(part, cols, false)).collect();
        each(pieces.count(), |i| {
            task(&pieces, i, targets[i / (pieces.by_row * pieces.by_panel)]);
        });
        let parts = &*parts;
        let together = piece_rows(pieces.by_depth * cols);
        each_chunk(&mut c[..(rows - 1) * sum.row_stride + cols], together * sum.row_stride, |piece, c| {
            for (i, c) in c.chunks_mut(sum.row_stride).enumerate() {
                let (i, c) = (piece * together + i, &mut c[..cols]);
                if !sum.accumulate {
                    c.fill(0.0);
                }
                for part in parts.chunks_exact(rows * cols) {
                    c.iter_mut().zip(&part[i * cols..]).for_each(|(c, part)| *c += part);
                }
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
            if rows * cols * taps <= PART && depth >= 2 * self.by_depth * self.sum.block() {
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

/// A block of both factors, copied so that rows do not clash in the cache, and those of the right are whole vectors.
struct Copies<'a> {
    left: &'a [f32],
    left_pitch: usize,
    right: &'a [f32],
    right_pitch: usize,
}

impl Task<'_> {
    /// Sums over the given rows of the left.
    fn run(&self, part: Range<usize>, meeting: &(impl Fn(Range<usize>) -> Meeting + Sync)) {
        let Outer { left, right, taps, kind, .. } = self.sum;
        let left_pitch = pitch(self.rows.len(), 1);
        let right_pitch = pitch(self.columns.len(), tile_size(self.isa).1);
        let mut accumulate = self.c.accumulate;
        // One block even if there is nothing to sum, to set C to zero.
        let blocks = pieces(part.clone(), self.sum.block()).chain(part.is_empty().then_some(part));
        for block in blocks {
            let Meeting { right: seen, pairs } = meeting(block.clone());
            let fits = |&(l, r): &(u32, u32)| (l as usize) < block.len() && (r as usize) < seen.len();
            assert!(pairs.len() == taps && pairs.iter().flatten().all(fits), "pairs of rows that are not there");
            let (mut lefts, mut rights) = (Twos::of(block.len()), Twos::of(seen.len()));
            let (pairs, rows): (Vec<_>, _) = if kind == Kind::Single {
                (pairs, (block.len(), seen.len()))
            } else {
                let pairs = pairs.iter().map(|pairs| join_pairs(pairs, &mut lefts, &mut rights)).collect();
                (pairs, (lefts.rows.len(), rights.rows.len()))
            };
            with_buffer(rows.0 * left_pitch + rows.1 * right_pitch, |buffer| {
                let (to_left, to_right) = buffer.split_at_mut(rows.0 * left_pitch);
                if kind == Kind::Single {
                    copy(self.isa, left, block, &self.rows, left_pitch, to_left);
                    copy(self.isa, right, seen.iter().copied(), &self.columns, right_pitch, to_right);
                } else {
                    let row = |i: u32| block.start + i as usize;
                    lefts.copy(self.isa, kind, left, row, &self.rows, left_pitch, to_left);
                    let row = |i: u32| seen[i as usize];
                    rights.copy(self.isa, kind, right, row, &self.columns, right_pitch, to_right);
                }
                let copies = Copies { left: to_left, left_pitch, right: to_right, right_pitch };
                run(self.isa, &Step { task: self, copies: &copies, pairs: &pairs, accumulate });
            });
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
    isa: Isa,
    from: Factor,
    rows: impl Iterator<Item = usize>,
    columns: &Range<usize>,
    pitch: usize,
    to: &mut [f32],
) {
    assert!(columns.end <= from.len);
    for (row, to) in rows.zip(to.chunks_exact_mut(pitch)) {
        let (start, to) = (row * from.pitch + columns.start, &mut to[..columns.len()]);
        match from.data {
            Numbers::F32(data) => to.copy_from_slice(&data[start..][..to.len()]),
            Numbers::Bf16(data) => widen(isa, &data[start..][..to.len()], to),
        }
    }
}

/// No row.
const NONE: u32 = u32::MAX;

/// Rows of a factor in twos, each two to become one row of pairs.
struct Twos {
    /// Each two; the second may be [`NONE`].
    rows: Vec<(u32, u32)>,
    /// For each row the last of the twos that it is the first of.
    last: Vec<u32>,
    /// For each of the twos the one before it with the same first row.
    before: Vec<u32>,
}

impl Twos {
    /// None yet, of so many rows.
    fn of(rows: usize) -> Self {
        Twos { rows: Vec::with_capacity(rows), last: vec![NONE; rows], before: Vec::with_capacity(rows) }
    }

    /// The place of a two; it is added if it is not there.
    fn place(&mut self, two: (u32, u32)) -> u32 {
        let last = &mut self.last[two.0 as usize];
        let mut at = *last;
        while at != NONE {
            if self.rows[at as usize].1 == two.1 {
                return at;
            }
            at = self.before[at as usize];
        }
        self.rows.push(two);
        self.before.push(std::mem::replace(last, self.rows.len() as u32 - 1));
        *last
    }

    /// Copies columns of the rows, joined; `row` is the place of a row in the factor.
    fn copy(
        &self,
        isa: Isa,
        kind: Kind,
        from: Factor,
        row: impl Fn(u32) -> usize,
        columns: &Range<usize>,
        pitch: usize,
        to: &mut [f32],
    ) {
        assert!(columns.end <= from.len);
        let start = |i: u32| row(i) * from.pitch + columns.start;
        let rows: Vec<_> = self.rows.iter().map(|&(a, b)| (start(a), (b != NONE).then(|| start(b)))).collect();
        join(isa, kind, &Joins { from: from.data, rows: &rows, len: columns.len(), pitch }, to);
    }
}

/// The pairs of a tap in twos that follow each other: pairs of places in `lefts` and `rights`, to which their rows are added.
fn join_pairs(pairs: &[(u32, u32)], lefts: &mut Twos, rights: &mut Twos) -> Vec<(u32, u32)> {
    let (twos, rest) = pairs.as_chunks::<2>();
    let joined = twos.iter().map(|[a, b]| ((a.0, b.0), (a.1, b.1)));
    let joined = joined.chain(rest.iter().map(|a| ((a.0, NONE), (a.1, NONE))));
    joined.map(|(l, r)| (lefts.place(l), rights.place(r))).collect()
}

/// What a task adds by one block of the left.
struct Step<'a> {
    task: &'a Task<'a>,
    copies: &'a Copies<'a>,
    /// For each tap pairs of rows of the copies.
    pairs: &'a [Vec<(u32, u32)>],
    accumulate: bool,
}

#[inline(always)]
fn run_body<S: Simd, P: Product<S>>(s: S, step: &Step) {
    let Step { task, copies, accumulate, .. } = *step;
    let mut sums = [[s.zero(); 2]; MAX_ROWS];
    for rows in pieces(0..task.rows.len(), S::ROWS) {
        for (tap, pairs) in step.pairs.iter().enumerate() {
            for first in (0..task.columns.len()).step_by(2 * S::LANES) {
                // SAFETY: `Task::run` checked that the copies have the rows of all pairs, or joined them; their columns reach over the
                // rows and whole panels of the task. `outer` checked that C has them too; no other task has the same.
                unsafe {
                    sum_tile::<S, P>(s, copies, rows.clone(), first, pairs, &mut sums);
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

#[inline(always)]
fn single_body<S: Simd>(s: S, step: &Step) {
    run_body::<S, Single>(s, step);
}
dispatch!(fn run_single(step: &Step) = single_body);

#[inline(always)]
fn pairs_body<S: Simd>(s: S, step: &Step) {
    run_body::<S, Pairs>(s, step);
}
dispatch!(fn run_pairs(step: &Step) = pairs_body);

fn run_native_pairs(step: &Step) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]
        fn native(s: Avx512, step: &Step) {
            run_body::<Avx512, NativePairs>(s, step);
        }
        assert!(super::pairs::native() && Isa::Avx512.is_available());
        // SAFETY: the processor has the instructions, checked above.
        unsafe { native(Avx512::assume(), step) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("no processor of this kind has the instruction: {:?}", step.task.rows);
}

fn run(isa: Isa, step: &Step) {
    match step.task.sum.kind {
        Kind::Single => run_single(isa, step),
        Kind::Pairs => run_pairs(isa, step),
        Kind::NativePairs => run_native_pairs(step),
        Kind::Quads | Kind::NativeQuads => unreachable!("integers have no gradients"),
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
/// The copies must have the rows of all pairs, with the columns `rows` on the left and two vectors from `first` on on the
/// right.
#[inline(always)]
unsafe fn sum_tile<S: Simd, P: Product<S>>(
    s: S,
    copies: &Copies,
    rows: Range<usize>,
    first: usize,
    pairs: &[(u32, u32)],
    sums: &mut Sums<S>,
) {
    // SAFETY: the columns are there.
    let (left, right) = unsafe { (copies.left.as_ptr().add(rows.start), copies.right.as_ptr().add(first)) };
    let (left, right) = ((left, copies.left_pitch), (right, copies.right_pitch));
    macro_rules! variants {
        ($($rows:literal)*) => {
            match rows.len() {
                // SAFETY: the caller's promise.
                $($rows if $rows <= S::ROWS => unsafe { sum_rows::<S, P, $rows>(s, pairs, left, right, sums) },)*
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
unsafe fn sum_rows<S: Simd, P: Product<S>, const R: usize>(
    s: S,
    pairs: &[(u32, u32)],
    left: (*const f32, usize),
    right: (*const f32, usize),
    sums: &mut Sums<S>,
) {
    let mut acc = [[s.zero(); 2]; R];
    for &(l, r) in pairs {
        // SAFETY: the caller's promise.
        unsafe {
            let (a, b) = (left.0.add(l as usize * left.1), right.0.add(r as usize * right.1));
            let (b0, b1) = (s.load_ptr(b), s.load_ptr(b.add(S::LANES)));
            for (r, acc) in acc.iter_mut().enumerate() {
                let a = s.splat(*a.add(r));
                acc[0] = P::multiply_add(s, a, b0, acc[0]);
                acc[1] = P::multiply_add(s, a, b1, acc[1]);
            }
        }
    }
    sums[..R].copy_from_slice(&acc);
}
