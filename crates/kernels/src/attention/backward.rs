//! The backward of attention in f32: a head per task, its queries in blocks.

use super::heads::{Place, Shared, each_head, live_mask, take, tokens};
use super::{Attention, Gradients, Inputs, Layout};
use crate::gemm::pack::with_buffer;
use crate::gemm::pairs::Kind;
use crate::gemm::{Epilogue, Mat, gemm_with};
use crate::isa::Isa;
use crate::math::exp_nonpositive;
use crate::random::keep_mask;
use crate::simd::Simd;
use std::ops::Range;

/// Queries in a block of the backward: its scores against 512 keys are 256 KiB, a quarter of the second cache.
const BLOCK: usize = 128;

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

/// What the backward knows of each query of a block.
#[derive(Clone, Copy)]
struct Queries<'a> {
    lse: &'a [f32],
    /// out · dout
    delta: &'a [f32],
}

/// Turns scores into weights after dropout, and the gradient of these into that of the scores.
#[inline(always)]
fn unweigh_body<S: Simd>(s: S, w: Weighing, q: Queries, scores: &mut [f32], grad: &mut [f32], spare: &mut [f32]) {
    let (mask, scale) = (w.mask, s.splat(w.g.scale as f32));
    let tk = mask.len();
    let (keep, weights) = spare[..2 * tk].split_at_mut(tk);
    for (i, (row, grad)) in scores.chunks_exact_mut(tk).zip(grad.chunks_exact_mut(tk)).enumerate() {
        let (lse, delta) = (s.splat(q.lse[i]), s.splat(q.delta[i]));
        w.keep(i, keep);
        let (keep, weights, scores) = (&*keep, &mut *weights, &*row);
        lanes!(s, weights = [scores, mask] exp_nonpositive(s, s.sub(s.mul_add(scores, scale, mask), lse)));
        let weights = &*weights;
        lanes!(s, row = [weights, keep] s.mul(weights, keep));
        lanes!(s, in grad = [weights, keep] {
            s.mul(s.mul(weights, scale), s.sub(s.mul(grad, keep), delta))
        });
    }
}
dispatch!(
    /// The spare numbers are two for each key.
    fn unweigh(w: Weighing, q: Queries, scores: &mut [f32], grad: &mut [f32], spare: &mut [f32]) = unweigh_body
);

#[inline(always)]
fn row_dots_body<S: Simd>(s: S, a: Mat<f32>, b: Mat<f32>, y: &mut [f32]) {
    for (i, y) in y.iter_mut().enumerate() {
        let a = &a.data[i * a.row_stride..][..a.cols];
        let b = &b.data[i * b.row_stride..][..b.cols];
        *y = sum_lanes!(s, sum = [a, b] s.mul_add(a, b, sum));
    }
}
dispatch!(fn row_dots(a: Mat<f32>, b: Mat<f32>, y: &mut [f32]) = row_dots_body);

/// The blocks of queries.
fn blocks(tq: usize) -> impl Iterator<Item = Range<usize>> {
    (0..tq).step_by(BLOCK).map(move |first| first..tq.min(first + BLOCK))
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
    let queries = g.tq.min(BLOCK);
    let of_head = |b: usize, h: usize, mut memory: &mut [f32]| {
        let mask = live_mask(g, x, b, &no_mask);
        let tk = mask.len();
        let keys = Place { b, h, first: 0, count: tk };
        let (k, v) = (tokens(x.k, x.k_layout, keys, g.dim), tokens(x.v, x.v_layout, keys, g.dim));
        let key_grad = take(&mut memory, g.tk * g.dim);
        let value_grad = take(&mut memory, g.tk * g.dim);
        key_grad.fill(0.0);
        value_grad.fill(0.0);
        let (all_scores, all_grads) = (take(&mut memory, queries * tk), take(&mut memory, queries * tk));
        let (all_rows, spare) = (take(&mut memory, queries * g.dim), take(&mut memory, 2 * tk));
        for block in blocks(g.tq) {
            let count = block.len();
            let place = Place { b, h, first: block.start, count };
            let q = tokens(x.q, x.q_layout, place, g.dim);
            let o = tokens(out, out_layout, place, g.dim);
            let d_o = tokens(dout, out_layout, place, g.dim);
            let (scores, grad) = (&mut all_scores[..count * tk], &mut all_grads[..count * tk]);
            let (rows, delta) = (&mut all_rows[..count * g.dim], &mut memory[..count]);
            let query = (b * g.heads + h) * g.tq + block.start;
            row_dots(isa, o, d_o, delta);
            if tk > 0 {
                multiply(isa, q, k.t(), scores, false);
                multiply(isa, d_o, v.t(), grad, false);
                let queries = Queries { lse: &lse[query..query + count], delta };
                unweigh(isa, Weighing { g, mask, query }, queries, scores, grad, spare);
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
    };
    let room = 2 * g.tk * (g.dim + 1) + queries * (2 * g.tk + g.dim + 1);
    each_head(g, |b, h| with_buffer(room, |memory| of_head(b, h, memory)));
}
