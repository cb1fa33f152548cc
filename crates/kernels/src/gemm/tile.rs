//! The innermost loops: one tile of the result, `S::ROWS` rows by 2 vectors, held in registers.
//!
//! A tile is a sum over taps. At each tap every row of the tile has its own source, `depth` numbers in a row anywhere in
//! memory, and the tap has its own matrix `[depth][2 vectors]`. A plain product has one tap whose sources are the rows of
//! A; a convolution has one tap per kernel position, whose sources are the pixels that it meets there. So a convolution
//! needs no matrix of patches: only this list of addresses.

use super::Activation;
use super::pairs::Kind;
use super::quads::Quantum;
use super::store::{Target, Writer, is_direct, store_tile};
use crate::isa::Isa;
use crate::simd::Simd;
#[cfg(target_arch = "x86_64")]
use crate::simd::avx512::Avx512;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
#[cfg(target_arch = "x86_64")]
use std::mem::transmute;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// The most rows that a tile can have.
pub(crate) const MAX_ROWS: usize = 12;

/// The tile in memory, before the epilogue.
pub(crate) type Sums<S> = [[<S as Simd>::V; 2]; MAX_ROWS];

/// Rows of the result that are computed together.
#[derive(Debug)]
struct Tile {
    rows: usize,
    /// Rows of the block before it.
    first: usize,
    /// For each row the place of its first column in the result.
    out: [usize; MAX_ROWS],
    /// Its part of the block's taps.
    taps: Range<usize>,
}

/// Where the rows of a tile find their numbers at one tap.
#[derive(Debug)]
pub(crate) struct Tap {
    /// Which matrix of the panel they meet.
    index: usize,
    sources: [*const f32; MAX_ROWS],
}

impl Tap {
    /// The sources of some rows.
    #[inline(always)]
    pub(crate) fn new(index: usize, rows: impl Iterator<Item = *const f32>) -> Self {
        let mut tap = Tap { index, sources: [std::ptr::null(); MAX_ROWS] };
        rows.zip(&mut tap.sources).for_each(|(row, source)| *source = row);
        tap
    }
}

/// A list of tiles. Its memory serves the next ones: lists begin and end on all threads at once, where an allocator would have them
/// wait for each other.
#[derive(Debug, Default)]
pub(crate) struct Block {
    tiles: Vec<Tile>,
    taps: Vec<Tap>,
    /// How each row is to be read, if it is of quads.
    pub(crate) quanta: Vec<Quantum>,
    /// Copies of rows that cannot be used where they are; sources may point here.
    pub(crate) scratch: Vec<f32>,
}

// SAFETY: what the sources point to is only read, and lives as long as the block: the promise to `Job::new`.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

/// Memory of lists that have ended.
static SPARE: Mutex<Vec<Block>> = Mutex::new(Vec::new());
/// How many are kept for each thread.
const SPARES: usize = 16;
/// Numbers copied for them, and sources of their taps, for each thread.
const KEPT: usize = 256 * 1024;

impl Drop for Block {
    fn drop(&mut self) {
        self.tiles.clear();
        self.taps.clear();
        self.quanta.clear();
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let size = |block: &Self| block.scratch.capacity() + MAX_ROWS * block.taps.capacity();
        let threads = rayon::current_num_threads();
        if spare.len() < SPARES * threads && spare.iter().map(size).sum::<usize>() + size(self) <= KEPT * threads {
            spare.push(std::mem::take(self));
        }
    }
}

impl Block {
    /// An empty list; its scratch has any numbers.
    pub(crate) fn new() -> Self {
        SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Begins a tile whose rows have their first columns at these places of the result.
    pub(crate) fn tile(&mut self, rows: impl ExactSizeIterator<Item = usize>) {
        let first = self.tiles.last().map_or(0, |tile| tile.first + tile.rows);
        let mut tile = Tile { rows: rows.len(), first, out: [0; MAX_ROWS], taps: self.taps.len()..self.taps.len() };
        rows.zip(&mut tile.out).for_each(|(row, out)| *out = row);
        self.tiles.push(tile);
    }

    /// Adds a tap to the last tile: the sources of its rows.
    pub(crate) fn tap(&mut self, index: usize, rows: impl Iterator<Item = *const f32>) {
        self.taps.push(Tap::new(index, rows));
        if let Some(tile) = self.tiles.last_mut() {
            tile.taps.end = self.taps.len();
        }
    }
}

/// Panels of B: for each group of 2 vectors of columns `[tap][depth][2 vectors]`, the last one padded with zeros, and behind quads
/// their [`super::quads::TRAILER`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels<'a> {
    /// All panels.
    pub(crate) data: &'a [f32],
    /// Taps of a panel.
    pub(crate) taps: usize,
    /// Rows of B, in places, at each tap.
    pub(crate) depth: usize,
    /// Columns without the padding.
    pub(crate) cols: usize,
    /// Places whose products are added one after the other: [`CHAIN`], [`LONG_CHAIN`], or [`ENDLESS_CHAIN`] for integers,
    /// whose chains could not be added as numbers.
    pub(crate) chain: usize,
    /// What a place holds.
    pub(crate) kind: Kind,
}

/// Some columns of some rows of the result.
pub(crate) struct Job<'a> {
    block: &'a Block,
    b: Panels<'a>,
    panels: Range<usize>,
    target: Target<'a>,
    /// Numbers from the block's sources to those that are meant.
    shift: usize,
}

impl<'a> Job<'a> {
    /// The given panels for all tiles.
    ///
    /// # Safety
    /// All sources must be readable for `b.depth` numbers; the places `out`, for the columns of these panels, must lie
    /// inside the result and the residual, and no one else may use them as long as the job lives.
    pub(crate) unsafe fn new(block: &'a Block, b: Panels<'a>, panels: Range<usize>, target: Target<'a>) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::shifted(block, b, panels, target, 0) }
    }

    /// The same with sources that lie `shift` numbers further.
    ///
    /// # Safety
    /// As [`Job::new`], for the sources that are meant.
    pub(crate) unsafe fn shifted(
        block: &'a Block,
        b: Panels<'a>,
        panels: Range<usize>,
        target: Target<'a>,
        shift: usize,
    ) -> Self {
        Job { block, b, panels, target, shift }
    }
}

/// How the places of A and B are multiplied.
pub(crate) trait Product<S: Simd> {
    /// Whether tiles are stored out of registers: code that only the products that count most are worth.
    const DIRECT: bool = false;
    /// a·b + sum
    fn multiply_add(s: S, a: S::V, b: S::V, sum: S::V) -> S::V;
    /// Makes numbers of the sums of rows of these quanta, if they are integers; the trailer is that of the panel.
    #[inline(always)]
    fn finish(_: S, _sums: &mut Sums<S>, _quanta: &[Quantum], _trailer: &[f32]) {}
    /// Writes the bf16 next to the lanes of two vectors.
    ///
    /// # Safety
    /// `x` must be valid for writing them.
    #[inline(always)]
    unsafe fn store_bf16(s: S, x: *mut u16, v: [S::V; 2]) {
        // SAFETY: the caller's promise.
        unsafe {
            s.store_bf16_ptr(x, v[0]);
            s.store_bf16_ptr(x.add(S::LANES), v[1]);
        }
    }
}

/// Of [`Kind::Single`].
pub(crate) struct Single;
impl<S: Simd> Product<S> for Single {
    const DIRECT: bool = true;
    #[inline(always)]
    fn multiply_add(s: S, a: S::V, b: S::V, sum: S::V) -> S::V {
        s.mul_add(a, b, sum)
    }
}

/// Of [`Kind::Pairs`].
pub(crate) struct Pairs;
impl<S: Simd> Product<S> for Pairs {
    #[inline(always)]
    fn multiply_add(s: S, a: S::V, b: S::V, sum: S::V) -> S::V {
        s.mul_add(s.high(a), s.high(b), s.mul_add(s.low(a), s.low(b), sum))
    }
}

/// Of [`Kind::NativePairs`]: only for functions that are compiled for AVX512_BF16.
#[cfg(target_arch = "x86_64")]
pub(crate) struct NativePairs;
#[cfg(target_arch = "x86_64")]
impl Product<Avx512> for NativePairs {
    const DIRECT: bool = true;
    #[inline(always)]
    fn multiply_add(_: Avx512, a: __m512, b: __m512, sum: __m512) -> __m512 {
        // SAFETY: only functions use it that run where the processor has the instruction; the types are of one size.
        unsafe { _mm512_dpbf16_ps(sum, transmute::<__m512, __m512bh>(a), transmute::<__m512, __m512bh>(b)) }
    }
    #[inline(always)]
    unsafe fn store_bf16(_: Avx512, x: *mut u16, v: [__m512; 2]) {
        // SAFETY: as above; the caller promises room for 32 numbers.
        unsafe { _mm512_storeu_ps(x.cast(), transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(v[1], v[0]))) }
    }
}

/// Of [`Kind::Quads`].
struct Quads;
impl<S: Simd> Product<S> for Quads {
    #[inline(always)]
    fn multiply_add(s: S, a: S::V, b: S::V, sum: S::V) -> S::V {
        s.dot4(a, b, sum)
    }
    #[inline(always)]
    fn finish(s: S, sums: &mut Sums<S>, quanta: &[Quantum], trailer: &[f32]) {
        let (scales, columns) = trailer.split_at(2 * S::LANES);
        for (sums, quantum) in sums.iter_mut().zip(quanta) {
            let (scale, zero) = (s.splat(quantum.scale), s.splat(f32::from_bits(quantum.zero as u32)));
            for (half, sum) in sums.iter_mut().enumerate() {
                let (scales, columns) = (s.load(&scales[half * S::LANES..]), s.load(&columns[half * S::LANES..]));
                *sum = s.mul(s.integer_difference(*sum, zero, columns), s.mul(scale, scales));
            }
        }
    }
}

/// Of [`Kind::NativeQuads`]: only for functions that are compiled for AVX512_VNNI.
#[cfg(target_arch = "x86_64")]
struct NativeQuads;
#[cfg(target_arch = "x86_64")]
impl Product<Avx512> for NativeQuads {
    #[inline(always)]
    fn multiply_add(_: Avx512, a: __m512, b: __m512, sum: __m512) -> __m512 {
        // SAFETY: only `run_native_quads` uses it, which runs where the processor has the instruction.
        unsafe {
            _mm512_castsi512_ps(_mm512_dpbusd_epi32(
                _mm512_castps_si512(sum),
                _mm512_castps_si512(a),
                _mm512_castps_si512(b),
            ))
        }
    }
    #[inline(always)]
    fn finish(s: Avx512, sums: &mut Sums<Avx512>, quanta: &[Quantum], trailer: &[f32]) {
        Quads::finish(s, sums, quanta, trailer);
    }
}

/// What is done with the rows of a tile while they are in registers.
pub(crate) trait Sink<S: Simd> {
    /// Takes all rows.
    fn take<const R: usize>(self, s: S, rows: [[S::V; 2]; R]);
}

#[inline(always)]
fn run_body<S: Simd, P: Product<S>>(s: S, job: &Job) {
    let Job { block, b, panels, target, shift } = job;
    let width = 2 * S::LANES;
    let size = (b.taps * b.depth + b.kind.trailer()) * width;
    let mut chains = [[s.zero(); 2]; MAX_ROWS];
    let mut sums = chains;
    let plain = P::DIRECT && matches!(target.epilogue.activation, Activation::None | Activation::Relu);
    let together = (TOGETHER / size.max(1)).max(1);
    for first in panels.clone().step_by(together) {
        for (i, tile) in block.tiles.iter().enumerate() {
            // What the next tile begins with comes while this one is computed.
            if let (true, Some(next)) = (target.far, block.tiles.get(i + 1))
                && let Some(tap) = block.taps[next.taps.clone()].first()
            {
                for &source in &tap.sources[..next.rows] {
                    for line in 0..b.depth.div_ceil(LINE).min(LINES) {
                        s.prefetch_read(source.wrapping_add(shift + line * LINE));
                    }
                }
            }
            for p in first..panels.end.min(first + together) {
                let panel = &b.data[p * size..][..size];
                let cols = width.min(b.cols - p * width);
                if target.far {
                    // Products take longer than the lines take to come.
                    for &out in &tile.out[..tile.rows] {
                        target.prefetch(s, out + p * width);
                    }
                }
                let (rows, taps, depth) = (tile.rows, &block.taps[tile.taps.clone()], (b.depth, b.chain));
                let out = &tile.out[..rows];
                let direct = plain && cols == width && is_direct::<S>(rows);
                let keep = (!direct).then_some(&mut sums);
                // SAFETY: promised to `Job::new`.
                unsafe {
                    let sink = Writer::<S, P>::new(target, out, p * width, keep);
                    sum_tile::<S, P>(s, rows, taps, *shift, depth, panel, &mut chains, sink);
                }
                if direct {
                    continue;
                }
                if b.kind.trailer() > 0 {
                    P::finish(
                        s,
                        &mut sums,
                        &block.quanta[tile.first..][..rows],
                        &panel[size - b.kind.trailer() * width..],
                    );
                }
                // SAFETY: as above.
                unsafe { store_tile::<S, P>(s, &sums, out, p * width, cols, target) };
            }
        }
    }
}

#[inline(always)]
fn single_body<S: Simd>(s: S, job: &Job) {
    run_body::<S, Single>(s, job);
}
dispatch!(fn run_single(job: &Job) = single_body);

#[inline(always)]
fn pairs_body<S: Simd>(s: S, job: &Job) {
    run_body::<S, Pairs>(s, job);
}
dispatch!(fn run_pairs(job: &Job) = pairs_body);

#[inline(always)]
fn quads_body<S: Simd>(s: S, job: &Job) {
    run_body::<S, Quads>(s, job);
}
dispatch!(fn run_quads(job: &Job) = quads_body);

/// A function that does jobs by an instruction beyond AVX-512F.
macro_rules! native {
    ($name:ident, $product:ident, $features:literal, $there:path) => {
        fn $name(job: &Job) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = $features)]
                fn native(s: Avx512, job: &Job) {
                    run_body::<Avx512, $product>(s, job);
                }
                assert!($there() && Isa::Avx512.is_available());
                // SAFETY: the processor has the instructions, checked above.
                unsafe { native(Avx512::assume(), job) }
            }
            #[cfg(not(target_arch = "x86_64"))]
            unreachable!("no processor of this kind has the instruction: {:?}", job.panels);
        }
    };
}
native!(run_native_pairs, NativePairs, "avx512f,avx512bf16,avx2,fma", super::pairs::native);
native!(run_native_quads, NativeQuads, "avx512f,avx512vnni,avx2,fma", super::pairs::native_quads);

/// Does the job.
pub(crate) fn run(isa: Isa, job: &Job) {
    match job.b.kind {
        Kind::Single => run_single(isa, job),
        Kind::Pairs => run_pairs(isa, job),
        Kind::NativePairs => run_native_pairs(job),
        Kind::Quads => run_quads(isa, job),
        Kind::NativeQuads => run_native_quads(job),
    }
}

/// Picks the variant of [`sum_rows`] for the number of rows; `sums` is room for the sums of chains.
///
/// # Safety
/// The sources of the tile, `shift` numbers further, must be readable for `depth.0` numbers.
#[inline(always)]
pub(crate) unsafe fn sum_tile<S: Simd, P: Product<S>>(
    s: S,
    rows: usize,
    taps: &[Tap],
    shift: usize,
    depth: (usize, usize),
    panel: &[f32],
    sums: &mut Sums<S>,
    sink: impl Sink<S>,
) {
    macro_rules! variants {
        ($($rows:literal)*) => {
            match rows {
                // SAFETY: the caller's promise.
                $($rows if $rows <= S::ROWS => unsafe { sum_rows::<S, P, $rows>(s, taps, shift, depth, panel, sums, sink) },)*
                rows => unreachable!("a tile of {rows} rows"),
            }
        };
    }
    variants!(1 2 3 4 5 6 7 8 9 10 11 12)
}

/// Products that are added one after the other. Longer sums are sums of such: rounding grows with the length of a chain.
pub(crate) const CHAIN: usize = 64;
/// The same where speed counts more: twice the rounding of [`CHAIN`], as of the libraries that others use, for a twentieth of
/// the time.
pub(crate) const LONG_CHAIN: usize = 512;
/// Of sums that are exact.
pub(crate) const ENDLESS_CHAIN: usize = usize::MAX / 2;

/// Numbers of a panel that are asked for before they are met: processors do not foresee what lies on the next page, and weights
/// that are larger than the caches come from memory.
const AHEAD: usize = 2048;
/// Numbers of the panels that a tile meets before the next one does: they stay in the second cache, and what a tile writes lies on few
/// pages.
pub(super) const TOGETHER: usize = 64 * 1024;
/// Numbers of a cache line.
const LINE: usize = 16;
/// Lines of each row of a tile that are asked for before it begins; the processor foresees the rest.
const LINES: usize = 4;

/// Gives the sink, for all rows together, the sum over taps and k of source[tap][row][k] * panel[tap][k], in chains of `longest`.
///
/// # Safety
/// The sources of the tile, `shift` numbers further, must be readable for `depth` numbers.
#[inline(always)]
unsafe fn sum_rows<S: Simd, P: Product<S>, const R: usize>(
    s: S,
    taps: &[Tap],
    shift: usize,
    (depth, longest): (usize, usize),
    panel: &[f32],
    sums: &mut Sums<S>,
    sink: impl Sink<S>,
) {
    let (mut acc, mut chain, mut first) = ([[s.zero(); 2]; R], 0, true);
    let taps = if depth == 0 { &[] } else { taps };
    for tap in taps {
        let sources: [*const f32; R] = std::array::from_fn(|r| tap.sources[r].wrapping_add(shift));
        let panel = &panel[tap.index * depth * 2 * S::LANES..][..depth * 2 * S::LANES];
        let (mut b, mut k) = (panel.as_ptr(), 0);
        // Loops that run at least once: around one that may not, compilers move all sums from register to register.
        loop {
            if chain == longest {
                if !first {
                    add(s, &mut acc, sums);
                }
                sums[..R].copy_from_slice(&acc);
                (acc, chain, first) = ([[s.zero(); 2]; R], 0, false);
            }
            let end = depth.min(k + longest - chain);
            chain += end - k;
            loop {
                // SAFETY: k < depth: the sources have that many numbers, and b that many rows.
                unsafe {
                    let (b0, b1) = (s.load_ptr(b), s.load_ptr(b.add(S::LANES)));
                    s.prefetch_read(b.wrapping_add(AHEAD));
                    if 2 * S::LANES > LINE {
                        s.prefetch_read(b.wrapping_add(AHEAD + LINE));
                    }
                    b = b.add(2 * S::LANES);
                    for r in 0..R {
                        let a = s.splat(*sources[r].add(k));
                        acc[r][0] = P::multiply_add(s, a, b0, acc[r][0]);
                        acc[r][1] = P::multiply_add(s, a, b1, acc[r][1]);
                    }
                }
                k += 1;
                if k == end {
                    break;
                }
            }
            if k == depth {
                break;
            }
        }
    }
    if !first {
        add(s, &mut acc, sums);
    }
    sink.take(s, acc);
}

/// Adds the sums of the chains before.
#[inline(always)]
fn add<S: Simd, const R: usize>(s: S, acc: &mut [[S::V; 2]; R], sums: &Sums<S>) {
    for (acc, sum) in acc.iter_mut().zip(sums) {
        *acc = [s.add(sum[0], acc[0]), s.add(sum[1], acc[1])];
    }
}
