//! The forward of attention in f32: a head per task, and of it a tile of queries at a time, whose scores, at most 12 * tk * 4 bytes,
//! stay in the first-level cache until they have become results: up to about 680 keys on AVX-512.

use super::heads::{Place, Shared, each_head, live_mask, take, tokens};
use super::{Attention, Inputs, Layout};
use crate::gemm::Mat;
use crate::gemm::blocks::{pieces, tile_size};
use crate::gemm::pack::{transpose_body, with_buffer};
use crate::gemm::store::{load, store};
use crate::gemm::tile::{CHAIN, MAX_ROWS, Single, Sink, Tap, sum_tile};
use crate::isa::Isa;
use crate::math::exp_nonpositive;
use crate::naive::attention as naive;
use crate::random::keep_mask;
use crate::simd::Simd;
use std::ops::Range;

/// A head and where its results go.
struct Head<'a> {
    g: &'a Attention,
    /// All of its queries.
    place: Place,
    q: Mat<'a, f32>,
    /// Those that count.
    k: Mat<'a, f32>,
    v: Mat<'a, f32>,
    /// Added to the scores of the keys.
    mask: &'a [f32],
    out: &'a Shared,
    lse: Option<&'a Shared>,
}

/// Numbers of memory that a head needs.
fn room(isa: Isa, g: &Attention, keys: usize) -> usize {
    let (rows, width) = tile_size(isa);
    let pitch = keys.next_multiple_of(width);
    pitch * (g.dim + rows + 2) + keys * g.dim.next_multiple_of(width)
}

/// [panel][dim][2 vectors] of the keys, zeros behind the last one.
#[inline(always)]
fn pack_keys<S: Simd>(s: S, k: Mat<f32>, panels: &mut [f32]) {
    let width = 2 * S::LANES;
    for (p, panel) in panels.chunks_exact_mut((k.cols * width).max(1)).enumerate() {
        let first = p * width;
        let cols = width.min(k.rows - first);
        if cols < width {
            panel.fill(0.0);
        }
        transpose_body(s, &k.data[first * k.row_stride..], k.row_stride, k.cols, cols, width, panel);
    }
}

/// [panel][key][2 vectors] of the values, zeros behind the last dimension.
#[inline(always)]
fn pack_values<S: Simd>(s: S, v: Mat<f32>, panels: &mut [f32]) {
    let width = 2 * S::LANES;
    for (p, panel) in panels.chunks_exact_mut((v.rows * width).max(1)).enumerate() {
        for (j, panel) in panel.chunks_exact_mut(width).enumerate() {
            let value = &v.data[j * v.row_stride..][p * width..v.cols.min((p + 1) * width)];
            let (low, high) = value.split_at(value.len().min(S::LANES));
            s.store(panel, load(s, low));
            s.store(&mut panel[S::LANES..], load(s, high));
        }
    }
}

/// Turns a row of scores into e^(score - max): sums of these.
#[inline(always)]
fn weigh<S: Simd>(s: S, max: f32, row: &mut [f32]) -> S::V {
    let m = s.splat(max);
    let mut sums = [s.zero(); 2];
    for row in row.chunks_exact_mut(2 * S::LANES) {
        let (low, high) = row.split_at_mut(S::LANES);
        let weights = [exp_nonpositive(s, s.sub(s.load(low), m)), exp_nonpositive(s, s.sub(s.load(high), m))];
        s.store(low, weights[0]);
        s.store(high, weights[1]);
        sums = [s.add(sums[0], weights[0]), s.add(sums[1], weights[1])];
    }
    s.add(sums[0], sums[1])
}

/// Where scores go: rows that are `pitch` apart.
struct Scores<'a, S: Simd> {
    row: &'a mut [f32],
    pitch: usize,
    scale: S::V,
    /// To both vectors of a row.
    added: [S::V; 2],
    /// Of each row.
    largest: &'a mut [S::V; MAX_ROWS],
}

impl<S: Simd> Sink<S> for Scores<'_, S> {
    #[inline(always)]
    fn take<const R: usize>(self, s: S, rows: [[S::V; 2]; R]) {
        for (i, sums) in rows.iter().enumerate() {
            let row = &mut self.row[i * self.pitch..][..2 * S::LANES];
            let low = s.mul_add(sums[0], self.scale, self.added[0]);
            let high = s.mul_add(sums[1], self.scale, self.added[1]);
            s.store(row, low);
            s.store(&mut row[S::LANES..], high);
            // NaN is left out.
            self.largest[i] = s.max(low, s.max(high, self.largest[i]));
        }
    }
}

/// Where some columns of results go.
struct Results<'a> {
    out: &'a Shared,
    place: Place,
    cols: Range<usize>,
    /// What they are multiplied with.
    inverse: [f32; MAX_ROWS],
}

impl<'a> Results<'a> {
    /// # Safety
    /// The place must exist in the sizes of `out`, with a token for each row of the tile, and no one else may use it as long as
    /// this lives.
    #[inline(always)]
    unsafe fn new(out: &'a Shared, place: Place, cols: Range<usize>, inverse: [f32; MAX_ROWS]) -> Self {
        Results { out, place, cols, inverse }
    }
}

impl<S: Simd> Sink<S> for Results<'_> {
    #[inline(always)]
    fn take<const R: usize>(self, s: S, rows: [[S::V; 2]; R]) {
        for (i, sums) in rows.iter().enumerate() {
            let inverse = s.splat(self.inverse[i]);
            // SAFETY: promised to `new`.
            let out = unsafe { self.out.token(self.place, self.place.first + i) };
            let out = &mut out[self.cols.clone()];
            let (low, high) = out.split_at_mut(out.len().min(S::LANES));
            store(s, low, s.mul(sums[0], inverse));
            store(s, high, s.mul(sums[1], inverse));
        }
    }
}

#[inline(always)]
fn head_body<S: Simd>(s: S, head: &Head, mut memory: &mut [f32]) {
    let &Head { g, place, q, k, v, mask, out, lse } = head;
    let width = 2 * S::LANES;
    let pitch = k.rows.next_multiple_of(width);
    let keys = take(&mut memory, pitch * g.dim);
    let values = take(&mut memory, k.rows * g.dim.next_multiple_of(width));
    let added = take(&mut memory, pitch);
    let keep = take(&mut memory, pitch);
    let scores = take(&mut memory, S::ROWS * pitch);
    pack_keys(s, k, keys);
    pack_values(s, v, values);
    added[..k.rows].copy_from_slice(mask);
    // Places behind the last key count for nothing.
    added[k.rows..].fill(f32::NEG_INFINITY);
    let scale = s.splat(g.scale as f32);
    let mut sums = [[s.zero(); 2]; MAX_ROWS];
    for tile in pieces(0..g.tq, S::ROWS) {
        let query = |i: usize| q.data[(tile.start + i) * q.row_stride..][..g.dim].as_ptr();
        let queries = [Tap::new(0, (0..tile.len()).map(query))];
        let mut largest = [s.splat(f32::NEG_INFINITY); MAX_ROWS];
        for (p, panel) in keys.chunks_exact((g.dim * width).max(1)).enumerate() {
            let row = &mut scores[p * width..];
            let added = [s.load(&added[p * width..]), s.load(&added[p * width + S::LANES..])];
            let sink = Scores::<S> { row, pitch, scale, added, largest: &mut largest };
            // SAFETY: all queries have `dim` numbers.
            unsafe { sum_tile::<S, Single>(s, tile.len(), &queries, 0, (g.dim, CHAIN), panel, &mut sums, sink) };
        }
        // Row after row in three loops: each row waits long for its largest number and its sum.
        let mut max = [0.0; MAX_ROWS];
        for i in 0..tile.len() {
            max[i] = s.max_lane(largest[i]);
        }
        let mut total = [s.zero(); MAX_ROWS];
        for i in 0..tile.len() {
            total[i] = weigh(s, max[i], &mut scores[i * pitch..(i + 1) * pitch]);
        }
        let mut inverse = [1.0; MAX_ROWS];
        for i in 0..tile.len() {
            let sum = s.sum(total[i]);
            if k.rows > 0 {
                inverse[i] = 1.0 / sum;
            }
            if let Some(lse) = lse {
                // SAFETY: this task alone has this head, and the tile lies within the queries.
                unsafe { lse.token(place, tile.start + i)[0] = max[i] + sum.ln() };
            }
            if g.dropout != 0.0 {
                let first = ((place.b * g.heads + place.h) * g.tq + tile.start + i) * g.tk;
                keep_mask(g.key, first as u64, g.dropout, &mut keep[..k.rows]);
                let (row, keep) = (&mut scores[i * pitch..][..k.rows], &keep[..k.rows]);
                lanes!(s, in row = [keep] s.mul(row, keep));
            }
        }
        let weights = [Tap::new(0, (0..tile.len()).map(|i| scores[i * pitch..].as_ptr()))];
        for p in 0..g.dim.div_ceil(width) {
            let panel = &values[p * k.rows * width..][..k.rows * width];
            let place = Place { first: tile.start, count: tile.len(), ..place };
            // SAFETY: this task alone has this head, and the tile lies within the queries.
            let sink = unsafe { Results::new(out, place, p * width..g.dim.min((p + 1) * width), inverse) };
            // SAFETY: there are as many weights as keys.
            unsafe { sum_tile::<S, Single>(s, tile.len(), &weights, 0, (k.rows, CHAIN), panel, &mut sums, sink) };
        }
    }
}
dispatch!(fn run_head(head: &Head, memory: &mut [f32]) = head_body);

/// See [`super::forward`].
pub(crate) fn forward(
    isa: Isa,
    g: &Attention,
    x: &Inputs<f32>,
    out: &mut [f32],
    out_layout: Layout,
    lse: Option<&mut [f32]>,
) {
    if g.batch * g.heads * g.tq == 0 {
        return;
    }
    if g.dim == 0 {
        // No sums, so no panels whose scores could be stored: only lse is left.
        return naive::forward(g, x, out, out_layout, lse);
    }
    let lse_layout = Layout { batch: g.heads * g.tq, token: 1, head: g.tq };
    let lse = lse.map(|lse| Shared::new(lse, lse_layout, &Attention { dim: 1, ..*g }, g.tq, "lse"));
    let out = &Shared::new(out, out_layout, g, g.tq, "out");
    let no_mask = vec![0.0; g.tk];
    each_head(g, |b, h| {
        let place = Place { b, h, first: 0, count: g.tq };
        let mask = live_mask(g, x, b, &no_mask);
        let keys = Place { count: mask.len(), ..place };
        let q = tokens(x.q, x.q_layout, place, g.dim);
        let (k, v) = (tokens(x.k, x.k_layout, keys, g.dim), tokens(x.v, x.v_layout, keys, g.dim));
        let head = Head { g, place, q, k, v, mask, out, lse: lse.as_ref() };
        with_buffer(room(isa, g, k.rows), |memory| run_head(isa, &head, memory));
    });
}
