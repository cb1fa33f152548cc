//! Attention, one head of one batch element per task, its queries in blocks.

use super::{Attention, Gradients, Inputs, Layout};
use crate::gemm::blocks::{pieces, tile_size};
use crate::gemm::pack::{pack, packed_len};
use crate::gemm::pairs::Kind;
use crate::gemm::tile::{CHAIN, Panels};
use crate::gemm::{self, Epilogue, Mat, gemm_with};
use crate::isa::Isa;
use crate::lanes::largest;
use crate::math::exp_nonpositive;
use crate::random::keep_mask;
use crate::simd::Simd;
use crate::softmax::fast::exponentials_in_place;
use rayon::prelude::*;
use std::ops::Range;

/// Queries in a block of the backward: its scores against 512 keys are 256 KiB, a quarter of the second cache.
const BLOCK: usize = 128;
/// Scores in a block of the forward, about: 32 KiB, which the first-level cache holds.
const SCORES: usize = 8 * 1024;

/// Some queries of one head.
#[derive(Clone, Copy)]
struct Place {
    b: usize,
    h: usize,
    first: usize,
    count: usize,
}

/// The rows (tokens) from `first` on of one head, as a matrix.
fn tokens(x: &[f32], layout: Layout, p: Place, dim: usize) -> Mat<'_, f32> {
    let data = if p.count == 0 { &[] } else { &x[layout.at(p.b, p.first, p.h)..] };
    Mat { data, rows: p.count, cols: dim, row_stride: layout.token, col_stride: 1 }
}

/// c = a·b (+ c) on the calling thread.
fn multiply(isa: Isa, a: Mat<f32>, b: Mat<f32>, c: &mut [f32], accumulate: bool) {
    let ldc = b.cols;
    gemm_with(isa, Kind::Single, true, a, b, c, ldc, accumulate, &Epilogue::NONE);
}

/// What turns the scores of a block into weights.
#[derive(Clone, Copy)]
struct Weighing<'a> {
    g: &'a Attention,
    /// Added to the scores of each query.
    mask: &'a [f32],
    /// Whether there is a mask at all; else it is zeros.
    masked: bool,
    /// Number of the first query in (batch, head, query) order.
    query: usize,
}

impl Weighing<'_> {
    /// What dropout multiplies the weights of query number `i` of the block with.
    #[inline(always)]
    fn keep(&self, i: usize, keep: &mut [f32]) {
        if self.g.dropout == 0.0 {
            keep.fill(1.0);
        } else {
            let first = (self.query + i) * self.g.tk;
            keep_mask(self.g.key, first as u64, self.g.dropout, keep);
        }
    }
}

/// Turns scores into weights after dropout, row by row, but for their division by their sum: `inverse` is 1 by it. Writes lse.
#[inline(always)]
fn weigh_body<S: Simd>(s: S, w: Weighing, scores: &mut [f32], lse: &mut [f32], inverse: &mut [f32]) {
    let (mask, scale) = (w.mask, s.splat(w.g.scale as f32));
    let mut keep = vec![0.0; mask.len()];
    for (i, row) in scores.chunks_exact_mut(mask.len()).enumerate() {
        let (max, sum);
        if w.masked || w.g.scale < 0.0 {
            lanes!(s, in row = [mask] s.mul_add(row, scale, mask));
            max = largest(s, row);
            sum = exponentials_in_place(s, max, row);
        } else {
            // The largest is so before it is scaled as well.
            max = largest(s, row) * w.g.scale as f32;
            let m = s.splat(max);
            lanes!(s, in row = [] exp_nonpositive(s, s.sub(s.mul(row, scale), m)));
            let row = &*row;
            sum = sum_lanes!(s, sum = [row] s.add(sum, row));
        }
        (lse[i], inverse[i]) = (max + sum.ln(), 1.0 / sum);
        if w.g.dropout != 0.0 {
            w.keep(i, &mut keep);
            lanes!(s, in row = [keep] s.mul(row, keep));
        }
    }
}
dispatch!(fn weigh(w: Weighing, scores: &mut [f32], lse: &mut [f32], inverse: &mut [f32]) = weigh_body);

#[inline(always)]
fn scale_rows_body<S: Simd>(s: S, factors: &[f32], rows: &mut [f32]) {
    let dim = rows.len() / factors.len().max(1);
    for (&factor, row) in factors.iter().zip(rows.chunks_exact_mut(dim.max(1))) {
        let factor = s.splat(factor);
        lanes!(s, in row = [] s.mul(row, factor));
    }
}
dispatch!(
    /// Multiplies each row by its factor.
    fn scale_rows(factors: &[f32], rows: &mut [f32]) = scale_rows_body
);

/// What the backward knows of each query of a block.
#[derive(Clone, Copy)]
struct Queries<'a> {
    lse: &'a [f32],
    /// out · dout
    delta: &'a [f32],
}

/// Turns scores into weights after dropout, and the gradient of these into that of the scores.
#[inline(always)]
fn unweigh_body<S: Simd>(s: S, w: Weighing, q: Queries, scores: &mut [f32], grad: &mut [f32]) {
    let (mask, scale) = (w.mask, s.splat(w.g.scale as f32));
    let tk = mask.len();
    let mut keep = vec![0.0; tk];
    let mut weights = vec![0.0; tk];
    for (i, (row, grad)) in scores.chunks_exact_mut(tk).zip(grad.chunks_exact_mut(tk)).enumerate() {
        let (lse, delta) = (s.splat(q.lse[i]), s.splat(q.delta[i]));
        w.keep(i, &mut keep);
        let (keep, weights, scores) = (&keep[..], &mut weights[..], &*row);
        lanes!(s, weights = [scores, mask] exp_nonpositive(s, s.sub(s.mul_add(scores, scale, mask), lse)));
        let weights = &*weights;
        lanes!(s, row = [weights, keep] s.mul(weights, keep));
        lanes!(s, in grad = [weights, keep] {
            s.mul(s.mul(weights, scale), s.sub(s.mul(grad, keep), delta))
        });
    }
}
dispatch!(fn unweigh(w: Weighing, q: Queries, scores: &mut [f32], grad: &mut [f32]) = unweigh_body);

#[inline(always)]
fn row_dots_body<S: Simd>(s: S, a: Mat<f32>, b: Mat<f32>, y: &mut [f32]) {
    for (i, y) in y.iter_mut().enumerate() {
        let a = &a.data[i * a.row_stride..][..a.cols];
        let b = &b.data[i * b.row_stride..][..b.cols];
        *y = sum_lanes!(s, sum = [a, b] s.mul_add(a, b, sum));
    }
}
dispatch!(fn row_dots(a: Mat<f32>, b: Mat<f32>, y: &mut [f32]) = row_dots_body);

/// A result that tasks write to, each its own head.
struct Shared {
    data: *mut f32,
    layout: Layout,
    dim: usize,
}

// SAFETY: `write` is the only access, and its callers write different elements.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// # Panics
    /// Unless the tokens of all heads lie within x and do not overlap.
    fn new(x: &mut [f32], layout: Layout, g: &Attention, tokens: usize, what: &str) -> Self {
        layout.check(g, tokens, x.len(), what);
        layout.check_apart(g, tokens, what);
        Shared { data: x.as_mut_ptr(), layout, dim: g.dim }
    }

    /// Writes rows of `dim` numbers to the tokens of the place.
    ///
    /// # Safety
    /// The place must exist in the sizes given to `new`, and no one else may write to it at the same time.
    unsafe fn write(&self, p: Place, rows: &[f32]) {
        for (i, row) in rows.chunks_exact(self.dim).take(p.count).enumerate() {
            // SAFETY: `new` checked that every token of the sizes lies inside and overlaps no other.
            unsafe {
                let at = self.data.add(self.layout.at(p.b, p.first + i, p.h));
                at.copy_from_nonoverlapping(row.as_ptr(), self.dim);
            }
        }
    }
}

/// The blocks of queries.
fn blocks(tq: usize) -> impl Iterator<Item = Range<usize>> {
    (0..tq).step_by(BLOCK).map(move |first| first..tq.min(first + BLOCK))
}

/// What is added to the scores of the keys of one batch element. Keys at its end that are masked by -1e9 or less are left
/// out, unless all are: e^score would round to 0.
fn live_mask<'a>(g: &Attention, x: &Inputs<'a, f32>, b: usize, no_mask: &'a [f32]) -> &'a [f32] {
    let mask = x.mask.map_or(no_mask, |mask| &mask[b * g.tk..(b + 1) * g.tk]);
    let live = mask.iter().rposition(|&m| m > -1e9).map_or(g.tk, |last| last + 1);
    &mask[..live]
}

/// Memory for one head at a time: allocated once for many heads, for fresh memory costs more than the arithmetic.
#[derive(Default)]
pub(super) struct Scratch {
    /// Scores, then weights, of a block.
    pub(super) scores: Vec<f32>,
    /// Gradient of the weights, then of the scores; or weights of bf16.
    pub(super) grad: Vec<f32>,
    /// Result, or gradient of the queries, of a block.
    pub(super) rows: Vec<f32>,
    /// Panels, or gradients, of all keys and values.
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
    /// lse and 1 / sum, or out · dout, of each query of a block.
    pub(super) per_query: Vec<f32>,
}

/// The first `n` numbers, whatever they are.
pub(super) fn first(x: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if x.len() < n {
        x.resize(n, 0.0);
    }
    &mut x[..n]
}

/// Calls `f(scratch, b, h)` for each head, on all threads.
pub(super) fn each_head(g: &Attention, f: impl Fn(&mut Scratch, usize, usize) + Send + Sync) {
    (0..g.batch * g.heads).into_par_iter().for_each_init(Scratch::default, |scratch, i| {
        f(scratch, i / g.heads, i % g.heads);
    });
}

/// A matrix of one head in panels, packed once for all blocks.
fn packed<'a>(isa: Isa, b: Mat<f32>, panels: &'a mut Vec<f32>) -> Panels<'a> {
    let width = tile_size(isa).1;
    let data = first(panels, packed_len(1, b.rows, b.cols, width));
    pack(true, &[b], width, data);
    Panels { data, taps: 1, depth: b.rows, cols: b.cols, chain: CHAIN, kind: Kind::Single }
}

pub(crate) fn forward(isa: Isa, g: &Attention, x: &Inputs<f32>, out: &mut [f32], out_layout: Layout, lse: &mut [f32]) {
    if g.batch * g.heads * g.tq * g.dim == 0 {
        return;
    }
    let lse_layout = Layout { batch: g.heads * g.tq, token: 1, head: g.tq };
    let lse = Shared::new(lse, lse_layout, &Attention { dim: 1, ..*g }, g.tq, "lse");
    let out = Shared::new(out, out_layout, g, g.tq, "out");
    let no_mask = vec![0.0; g.tk];
    let tile_rows = tile_size(isa).0;
    each_head(g, |scratch, b, h| {
        let mask = live_mask(g, x, b, &no_mask);
        let tk = mask.len();
        let keys = Place { b, h, first: 0, count: tk };
        let k = packed(isa, tokens(x.k, x.k_layout, keys, g.dim).t(), &mut scratch.keys);
        let v = packed(isa, tokens(x.v, x.v_layout, keys, g.dim), &mut scratch.values);
        let most = (SCORES / tk.max(1)).max(1).next_multiple_of(tile_rows);
        for block in pieces(0..g.tq, most) {
            let count = block.len();
            let place = Place { b, h, first: block.start, count };
            let scores = first(&mut scratch.scores, count * tk);
            let rows = first(&mut scratch.rows, count * g.dim);
            let (block_lse, inverse) = first(&mut scratch.per_query, 2 * count).split_at_mut(count);
            block_lse.fill(f32::NEG_INFINITY);
            inverse.fill(1.0);
            if tk > 0 {
                gemm::multiply(isa, true, tokens(x.q, x.q_layout, place, g.dim), k, scores, tk, false, Epilogue::NONE);
                let query = (b * g.heads + h) * g.tq + block.start;
                weigh(isa, Weighing { g, mask, masked: x.mask.is_some(), query }, scores, block_lse, inverse);
            }
            gemm::multiply(isa, true, Mat::new(scores, count, tk), v, rows, g.dim, false, Epilogue::NONE);
            scale_rows(isa, inverse, rows);
            // SAFETY: this task alone has this head, and the block lies within the queries.
            unsafe {
                out.write(place, rows);
                lse.write(place, block_lse);
            }
        }
    });
}
pub(crate) fn backward(
    isa: Isa,
    g: &Attention,
    x: &Inputs<f32>,
    out: &[f32],
    out_layout: Layout,
    lse: &[f32],
    dout: &[f32],
    grads: Gradients<f32>,
) {
    if g.batch * g.heads * g.dim == 0 {
        return;
    }
    let dq = Shared::new(grads.dq, x.q_layout, g, g.tq, "dq");
    let dk = Shared::new(grads.dk, x.k_layout, g, g.tk, "dk");
    let dv = Shared::new(grads.dv, x.v_layout, g, g.tk, "dv");
    let no_mask = vec![0.0; g.tk];
    each_head(g, |scratch, b, h| {
        let mask = live_mask(g, x, b, &no_mask);
        let tk = mask.len();
        let keys = Place { b, h, first: 0, count: tk };
        let (k, v) = (tokens(x.k, x.k_layout, keys, g.dim), tokens(x.v, x.v_layout, keys, g.dim));
        let key_grad = first(&mut scratch.keys, g.tk * g.dim);
        let value_grad = first(&mut scratch.values, g.tk * g.dim);
        key_grad.fill(0.0);
        value_grad.fill(0.0);
        for block in blocks(g.tq) {
            let count = block.len();
            let place = Place { b, h, first: block.start, count };
            let q = tokens(x.q, x.q_layout, place, g.dim);
            let o = tokens(out, out_layout, place, g.dim);
            let d_o = tokens(dout, out_layout, place, g.dim);
            let scores = first(&mut scratch.scores, count * tk);
            let grad = first(&mut scratch.grad, count * tk);
            let rows = first(&mut scratch.rows, count * g.dim);
            let delta = first(&mut scratch.per_query, count);
            let query = (b * g.heads + h) * g.tq + block.start;
            row_dots(isa, o, d_o, delta);
            if tk > 0 {
                multiply(isa, q, k.t(), scores, false);
                multiply(isa, d_o, v.t(), grad, false);
                let queries = Queries { lse: &lse[query..query + count], delta };
                unweigh(isa, Weighing { g, mask, masked: true, query }, queries, scores, grad);
            }
            let (scores, grad) = (Mat::new(scores, count, tk), Mat::new(grad, count, tk));
            multiply(isa, scores.t(), d_o, &mut value_grad[..tk * g.dim], true);
            multiply(isa, grad, k, rows, false);
            multiply(isa, grad.t(), q, &mut key_grad[..tk * g.dim], true);
            // SAFETY: this task alone has this head, and the block lies within the queries.
            unsafe { dq.write(place, rows) };
        }
        // Those of keys that were left out are 0.
        let all = Place { count: g.tk, ..keys };
        // SAFETY: this task alone has this head, and these are all of its keys.
        unsafe {
            dk.write(all, key_grad);
            dv.write(all, value_grad);
        }
    });
}
