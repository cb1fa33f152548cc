//! Scaled dot-product attention, fused: out = dropout(softmax(scale Q Kᵀ + mask)) V for each batch element and head.
//!
//! Only one head's block of scores exists at a time, in scratch memory. The forward keeps the logarithm of the sum of
//! e^scores of each query (lse), from which the backward computes the weights again.
//! Source: Vaswani et al., Attention is all you need, 2017; Dao et al., FlashAttention, 2022.

mod backward;
mod forward;
mod heads;
mod short;
#[cfg(test)]
mod tests;

use crate::Element;
use crate::element::is_f32;
use crate::gemm::pairs::Kind;
use crate::isa::{Isa, current};
use crate::naive::attention as naive;
use crate::product;
use bytemuck::{cast_slice, cast_slice_mut};

/// The sizes of an attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Batch elements.
    pub batch: usize,
    /// Heads.
    pub heads: usize,
    /// Queries of each batch element.
    pub tq: usize,
    /// Keys and values of each batch element.
    pub tk: usize,
    /// Numbers in one query, key or value of one head.
    pub dim: usize,
    /// What scores are multiplied with: 1 / sqrt(dim).
    pub scale: f64,
    /// Share of the weights that dropout sets to 0; the others are divided by 1 - dropout. 0 in evaluation.
    pub dropout: f64,
    /// The stream of random numbers that decides which: [`crate::random::keep`] with index ((b heads + h) tq + i) tk + j.
    pub key: u64,
}

/// Where the numbers of (batch b, token t, head h) start: b * batch + t * token + h * head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Distance from a batch element to the next.
    pub batch: usize,
    /// Distance from a token to the next.
    pub token: usize,
    /// Distance from a head to the next.
    pub head: usize,
}

impl Layout {
    /// Dense `[batch][tokens][heads][dim]`, which is what a linear layer writes.
    pub fn dense(tokens: usize, heads: usize, dim: usize) -> Self {
        Layout { batch: tokens * heads * dim, token: heads * dim, head: dim }
    }

    /// One of the three of a fused `[batch][tokens][3][heads][dim]` buffer; its slice starts at 0,
    /// heads * dim or 2 * heads * dim.
    pub fn fused(tokens: usize, heads: usize, dim: usize) -> Self {
        Layout { batch: 3 * tokens * heads * dim, token: 3 * heads * dim, head: dim }
    }

    /// Where the numbers of batch element b, token t, head h start.
    #[inline(always)]
    pub fn at(&self, b: usize, t: usize, h: usize) -> usize {
        b * self.batch + t * self.token + h * self.head
    }

    /// Panics unless the last number lies within `len`.
    fn check(&self, g: &Attention, tokens: usize, len: usize, what: &str) {
        if g.batch * tokens * g.heads * g.dim > 0 {
            // What wraps around is larger than any memory.
            let far = |n: usize, stride: usize| (n - 1).saturating_mul(stride);
            let last = far(g.batch, self.batch).saturating_add(far(tokens, self.token));
            let end = last.saturating_add(far(g.heads, self.head)).saturating_add(g.dim);
            assert!(end <= len, "attention: {what} has {len} numbers, {self:?} needs {end}");
        }
    }

    /// Panics if tokens, heads or batch elements may overlap, which a result must not.
    fn check_apart(&self, g: &Attention, tokens: usize, what: &str) {
        if g.batch * tokens * g.heads * g.dim == 0 {
            return;
        }
        let extent = |n: usize, stride: usize, inner: usize| (n - 1).saturating_mul(stride).saturating_add(inner);
        let heads_inside = self.head >= g.dim && self.token >= extent(g.heads, self.head, g.dim);
        let tokens_inside = self.token >= g.dim && self.head >= extent(tokens, self.token, g.dim);
        let all = extent(tokens, self.token, extent(g.heads, self.head, g.dim));
        assert!(
            (heads_inside || tokens_inside || g.heads == 1 && self.token >= g.dim || tokens == 1 && self.head >= g.dim)
                && (self.batch >= all || g.batch == 1),
            "attention: {what} overlaps itself with {self:?}"
        );
    }
}

/// What attention works on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, T> {
    /// Queries.
    pub q: &'a [T],
    /// Where they lie.
    pub q_layout: Layout,
    /// Keys.
    pub k: &'a [T],
    /// Where they lie.
    pub k_layout: Layout,
    /// Values.
    pub v: &'a [T],
    /// Where they lie.
    pub v_layout: Layout,
    /// Added to the scores of all heads and queries: dense `[batch][tk]`, 0 for a key that takes part, a large negative
    /// number (or minus infinity) for padding. Keys at the end of a batch element at -1e9 or below cost nothing. A query all
    /// of whose keys are at minus infinity gives NaN, as in torch; at a finite number, the mean of all values, but a
    /// gradient that is too large if lse cannot hold the number plus ln tk. Mask no text altogether.
    pub mask: Option<&'a [T]>,
}

impl<T: Element> Inputs<'_, T> {
    /// The same, for an element type that is f32.
    fn as_f32(&self) -> Inputs<'_, f32> {
        Inputs {
            q: cast_slice(self.q),
            q_layout: self.q_layout,
            k: cast_slice(self.k),
            k_layout: self.k_layout,
            v: cast_slice(self.v),
            v_layout: self.v_layout,
            mask: self.mask.map(cast_slice),
        }
    }
}

/// Where the gradients of attention go, each laid out as its input. Elements that no token owns stay as they are.
#[derive(Debug)]
pub struct Gradients<'a, T> {
    /// Gradient of the queries.
    pub dq: &'a mut [T],
    /// Gradient of the keys.
    pub dk: &'a mut [T],
    /// Gradient of the values.
    pub dv: &'a mut [T],
}

impl Attention {
    /// Panics unless everything fits.
    fn check<T>(&self, x: &Inputs<T>, out: usize, out_layout: Layout, lse: Option<usize>) {
        assert!((0.0..1.0).contains(&self.dropout), "attention: dropout {}", self.dropout);
        product([self.batch, self.heads, self.tq.max(self.tk).max(1), self.dim.max(1)], self);
        x.q_layout.check(self, self.tq, x.q.len(), "q");
        x.k_layout.check(self, self.tk, x.k.len(), "k");
        x.v_layout.check(self, self.tk, x.v.len(), "v");
        out_layout.check(self, self.tq, out, "out");
        assert!(
            x.mask.is_none_or(|mask| mask.len() == self.batch * self.tk),
            "attention: mask of {} x {}",
            self.batch,
            self.tk
        );
        assert!(lse.is_none_or(|lse| lse == self.batch * self.heads * self.tq), "attention: lse");
    }
}

/// Out = softmax(..)·V is computed as (Σ e^score·v) / Σ e^score: values beyond the largest f32 by the number of keys would overflow.
///
/// Writes `out` (laid out as `out_layout` says) and, for a backward, `lse`, dense `[batch][heads][tq]`.
///
/// # Panics
/// If the sizes do not fit.
pub fn forward<T: Element>(g: &Attention, x: &Inputs<T>, out: &mut [T], out_layout: Layout, lse: Option<&mut [T]>) {
    g.check(x, out.len(), out_layout, lse.as_ref().map(|lse| lse.len()));
    if is_f32::<T>() {
        forward::forward(current(), g, &x.as_f32(), cast_slice_mut(out), out_layout, lse.map(cast_slice_mut));
    } else {
        naive::forward(g, x, out, out_layout, lse);
    }
}

/// As [`forward`], of and to bf16, for runs that need no backward: queries and keys are multiplied as they are, weights are rounded
/// to bf16, and everything between is f32. There is neither mask nor dropout.
///
/// # Panics
/// If the sizes do not fit, or there is a mask or a dropout; if heads have an odd number of dimensions, or tokens begin between two
/// places of f32.
pub fn forward_bf16(g: &Attention, x: &Inputs<u16>, out: &mut [u16], out_layout: Layout) {
    forward_bf16_with(current(), Kind::pairs(current()), g, x, out, out_layout);
}

/// [`forward_bf16`] on an instruction set.
fn forward_bf16_with(isa: Isa, kind: Kind, g: &Attention, x: &Inputs<u16>, out: &mut [u16], out_layout: Layout) {
    g.check(x, out.len(), out_layout, None);
    out_layout.check_apart(g, g.tq, "out");
    let even = |layout: Layout| [layout.batch, layout.token, layout.head].iter().all(|distance| distance % 2 == 0);
    assert!(
        g.dim.is_multiple_of(2) && even(x.q_layout) && even(x.k_layout),
        "attention of bf16: {g:?} is not of pairs"
    );
    assert!(x.mask.is_none() && g.dropout == 0.0, "attention of bf16: a mask or a dropout");
    if g.batch * g.heads * g.tq * g.dim == 0 {
        return;
    }
    assert!(g.tk > 0, "attention of bf16: no keys");
    short::forward(isa, kind, g, x, out, out_layout);
}

/// With P = softmax weights, M = dropout mask, dP = M (dout Vᵀ), delta = rowsum(out dout):
/// dV = (M P)ᵀ dout, dS = P (dP - delta), dQ = scale dS K, dK = scale dSᵀ Q. `dout` is laid out as `out`.
///
/// # Panics
/// If the sizes do not fit.
pub fn backward<T: Element>(
    g: &Attention,
    x: &Inputs<T>,
    out: &[T],
    out_layout: Layout,
    lse: &[T],
    dout: &[T],
    grads: Gradients<T>,
) {
    g.check(x, out.len().min(dout.len()), out_layout, Some(lse.len()));
    assert!(
        grads.dq.len() == x.q.len() && grads.dk.len() == x.k.len() && grads.dv.len() == x.v.len(),
        "attention: gradients"
    );
    if is_f32::<T>() {
        let grads =
            Gradients { dq: cast_slice_mut(grads.dq), dk: cast_slice_mut(grads.dk), dv: cast_slice_mut(grads.dv) };
        backward::backward(
            current(),
            g,
            &x.as_f32(),
            cast_slice(out),
            out_layout,
            cast_slice(lse),
            cast_slice(dout),
            grads,
        );
    } else {
        naive::backward(g, x, out, out_layout, lse, dout, grads);
    }
}
