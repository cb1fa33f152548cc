//! The forward of attention between queries, keys and values of bf16. Both products take pairs: along a query and a key, and along
//! the keys, whose weights are rounded. Scores, softmax and sums are f32.

use super::heads::{each_head, take};
use super::{Attention, Inputs, Layout};
use crate::gemm::blocks::{pieces, tile_size};
use crate::gemm::pack::{pack, packed_len, with_buffer};
use crate::gemm::pairs::{Kind, native};
use crate::gemm::store::Target;
#[cfg(target_arch = "x86_64")]
use crate::gemm::tile::NativePairs;
use crate::gemm::tile::{Pairs, Panels, Product};
use crate::gemm::{Epilogue, Mat, multiply_to};
use crate::isa::Isa;
use crate::lanes::largest;
use crate::math::exp2_short;
use crate::simd::Simd;
#[cfg(target_arch = "x86_64")]
use crate::simd::avx512::Avx512;
use bytemuck::{cast_slice, cast_slice_mut};

/// Scores in a block, about: 32 KiB, which the first-level cache holds beside their weights.
const SCORES: usize = 8 * 1024;

/// Scores of queries, in rows of whole pairs of vectors, whose numbers from `keys` on count for nothing.
struct Scores<'a> {
    rows: &'a mut [f32],
    pitch: usize,
    keys: usize,
    /// What they are multiplied with.
    scale: f32,
}

/// Turns scores into weights, row by row, but for their division by their sum: `inverse` is 1 by it.
#[inline(always)]
fn weigh_body<S: Simd, P: Product<S>>(s: S, scores: Scores, weights: &mut [u16], inverse: &mut [f32]) {
    let Scores { rows, pitch, keys, scale } = scores;
    assert!(pitch.is_multiple_of(2 * S::LANES) && keys > 0 && keys <= pitch);
    // Powers of two instead of e.
    let scale = scale * std::f32::consts::LOG2_E;
    // No infinity of the padding meets 0.
    let size = scale.abs().max(f32::MIN_POSITIVE);
    let factor = s.splat(size);
    let rows = rows.chunks_exact_mut(pitch).zip(weights.chunks_exact_mut(pitch));
    for ((row, weights), inverse) in rows.zip(inverse) {
        if scale < 0.0 {
            lanes!(s, in row = [] s.neg(row));
        }
        row[keys..].fill(f32::NEG_INFINITY);
        // The largest is so before it is scaled as well.
        let max = s.splat(largest(s, row) * size);
        let mut sums = [s.zero(); 2];
        for i in (0..pitch).step_by(2 * S::LANES) {
            let low = exp2_short(s, s.sub(s.mul(s.load(&row[i..]), factor), max));
            let high = exp2_short(s, s.sub(s.mul(s.load(&row[i + S::LANES..]), factor), max));
            sums = [s.add(sums[0], low), s.add(sums[1], high)];
            // SAFETY: the weights have as many numbers as the row, and it whole pairs of vectors.
            unsafe { P::store_bf16(s, weights.as_mut_ptr().add(i), [low, high]) };
        }
        *inverse = 1.0 / s.sum(s.add(sums[0], sums[1]));
    }
}

#[inline(always)]
fn weigh_pairs_body<S: Simd>(s: S, scores: Scores, weights: &mut [u16], inverse: &mut [f32]) {
    weigh_body::<S, Pairs>(s, scores, weights, inverse);
}
dispatch!(fn weigh_pairs(scores: Scores, weights: &mut [u16], inverse: &mut [f32]) = weigh_pairs_body);

/// See [`weigh_body`].
fn weigh(isa: Isa, kind: Kind, scores: Scores, weights: &mut [u16], inverse: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if kind == Kind::NativePairs {
        #[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]
        fn all(s: Avx512, scores: Scores, weights: &mut [u16], inverse: &mut [f32]) {
            weigh_body::<Avx512, NativePairs>(s, scores, weights, inverse);
        }
        assert!(native() && Isa::Avx512.is_available());
        // SAFETY: the processor has the instructions, checked above.
        return unsafe { all(Avx512::assume(), scores, weights, inverse) };
    }
    weigh_pairs(isa, scores, weights, inverse);
}

/// Rows of tokens of one head, by number of the first and distance.
#[derive(Clone, Copy)]
struct Tokens<'a> {
    data: &'a [u16],
    pitch: usize,
    count: usize,
    dim: usize,
}

#[inline(always)]
fn join_body<S: Simd>(_: S, values: Tokens, width: usize, panels: &mut [f32]) {
    let Tokens { data, pitch, count, dim } = values;
    let pairs = count.div_ceil(2);
    for (p, panel) in panels.chunks_exact_mut((pairs * width).max(1)).enumerate() {
        let cols = p * width..dim.min((p + 1) * width);
        for (i, out) in panel.chunks_exact_mut(width).enumerate() {
            let low = &data[2 * i * pitch..][cols.clone()];
            out[cols.len()..].fill(0.0);
            let out = &mut out[..cols.len()];
            if 2 * i + 1 < count {
                let high = &data[(2 * i + 1) * pitch..][cols.clone()];
                for ((out, &low), &high) in out.iter_mut().zip(low).zip(high) {
                    *out = f32::from_bits(u32::from(low) | u32::from(high) << 16);
                }
            } else {
                for (out, &low) in out.iter_mut().zip(low) {
                    *out = f32::from_bits(u32::from(low));
                }
            }
        }
    }
}
dispatch!(
    /// Panels whose rows are pairs of tokens; one without a fellow is paired with zeros.
    fn join(values: Tokens, width: usize, panels: &mut [f32]) = join_body
);

#[inline(always)]
fn scale_body<S: Simd>(s: S, row: &[f32], factor: f32, out: &mut [u16]) {
    let k = s.splat(factor);
    for (row, out) in row.chunks(S::LANES).zip(out.chunks_mut(S::LANES)) {
        let v = if row.len() == S::LANES { s.load(row) } else { s.load_partial(row) };
        s.store_bf16(out, s.mul(v, k));
    }
}
dispatch!(
    /// out = factor·row
    fn scale_row(row: &[f32], factor: f32, out: &mut [u16]) = scale_body
);

/// The result, of which each task writes its own head.
struct Out(*mut u16);
// SAFETY: tasks write different numbers through it.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

/// Tokens of a head as rows of pairs, `first` being the place of the first one among the numbers.
fn rows(pairs: &[f32], first: usize, layout: Layout, rows: usize, depth: usize) -> Mat<'_, f32> {
    Mat { data: &pairs[first / 2..], rows, cols: depth, row_stride: layout.token / 2, col_stride: 1 }
}

/// See [`super::forward_bf16`], which has checked the sizes.
pub(super) fn forward(isa: Isa, kind: Kind, g: &Attention, x: &Inputs<u16>, out: &mut [u16], out_layout: Layout) {
    let places: [&[f32]; 2] = [x.q, x.k].map(|x| cast_slice(&x[..x.len() / 2 * 2]));
    let (width, tile_rows) = (tile_size(isa).1, tile_size(isa).0);
    let (depth, pairs, pitch) = (g.dim / 2, g.tk.div_ceil(2), g.tk.next_multiple_of(width));
    let most = (SCORES / pitch).max(1).next_multiple_of(tile_rows);
    let out = &Out(out.as_mut_ptr());
    let scores_into = |rows: &mut [f32]| Target { far: false, ..Target::new(rows, false, Epilogue::NONE) };
    let queries = most.min(g.tq);
    let (key_panels, value_panels) = (packed_len(1, depth, g.tk, width), packed_len(1, pairs, g.dim, width));
    let of_head = |b: usize, h: usize, mut memory: &mut [f32]| {
        let panels = take(&mut memory, key_panels);
        let keys = self::rows(places[1], x.k_layout.at(b, 0, h), x.k_layout, g.tk, depth);
        pack(isa, true, &[keys.t()], width, panels);
        let keys = Panels { data: panels, taps: 1, depth, cols: g.tk, chain: kind.chain(), kind };
        let values = Tokens { data: &x.v[x.v_layout.at(b, 0, h)..], pitch: x.v_layout.token, count: g.tk, dim: g.dim };
        let panels = take(&mut memory, value_panels);
        join(isa, values, width, panels);
        let values = Panels { data: panels, taps: 1, depth: pairs, cols: g.dim, chain: kind.chain(), kind };
        let all_scores = take(&mut memory, queries * pitch);
        let all_weights = take(&mut memory, queries * pitch / 2);
        let all_rows = take(&mut memory, queries * g.dim);
        for block in pieces(0..g.tq, most) {
            let count = block.len();
            let (scores, weights) = (&mut all_scores[..count * pitch], &mut all_weights[..count * pitch / 2]);
            let (rows, inverse) = (&mut all_rows[..count * g.dim], &mut memory[..count]);
            let first = x.q_layout.at(b, block.start, h);
            let queries = self::rows(places[0], first, x.q_layout, count, depth);
            // SAFETY: the scores have a row of `pitch` numbers, no fewer than keys, for each query.
            unsafe { multiply_to(isa, true, queries, true, keys, scores_into(scores), pitch) };
            let scores = Scores { rows: scores, pitch, keys: g.tk, scale: g.scale as f32 };
            weigh(isa, kind, scores, cast_slice_mut(weights), inverse);
            let weights = Mat { data: weights, rows: count, cols: pairs, row_stride: pitch / 2, col_stride: 1 };
            // SAFETY: there is a row of `dim` sums for each query.
            unsafe { multiply_to(isa, true, weights, true, values, scores_into(rows), g.dim) };
            for ((i, row), &factor) in rows.chunks_exact(g.dim).enumerate().zip(&*inverse) {
                // SAFETY: the caller has checked that the tokens lie inside and apart; this task alone has this head.
                let out = unsafe {
                    let at = out.0.add(out_layout.at(b, block.start + i, h));
                    std::slice::from_raw_parts_mut(at, g.dim)
                };
                scale_row(isa, row, factor, out);
            }
        }
    };
    let room = key_panels + value_panels + queries * (pitch + pitch / 2 + g.dim + 1);
    each_head(g, |b, h| with_buffer(room, |memory| of_head(b, h, memory)));
}
