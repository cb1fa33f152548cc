//! Updates over vectors, one pass.

use super::{Adam, AdamConstants, Sgd};
use crate::isa::Isa;
use crate::lanes::{PIECE, pieces, pieces2};
use crate::simd::Simd;
use crate::team::each_item;

#[inline(always)]
fn sgd_body<S: Simd>(s: S, o: &Sgd, p: &mut [f32], grad: &[f32], velocity: &mut [f32]) {
    let c = |x: f64| s.splat(x as f32);
    let (scale, decay, rate, momentum) = (c(o.grad_scale), c(o.weight_decay), c(-o.rate), c(o.momentum));
    if o.momentum == 0.0 {
        lanes!(s, in p = [grad] {
            s.mul_add(rate, s.mul_add(decay, p, s.mul(scale, grad)), p)
        });
        return;
    }
    // v first: it needs the old p.
    let v = velocity;
    let old = &*p;
    lanes!(s, in v = [grad, old] {
        s.mul_add(momentum, v, s.mul_add(decay, old, s.mul(scale, grad)))
    });
    let v = &*v;
    if o.nesterov {
        lanes!(s, in p = [grad, v] {
            let g = s.mul_add(decay, p, s.mul(scale, grad));
            s.mul_add(rate, s.mul_add(momentum, v, g), p)
        });
    } else {
        lanes!(s, in p = [v] s.mul_add(rate, v, p));
    }
}
dispatch!(fn sgd_piece(o: &Sgd, p: &mut [f32], grad: &[f32], velocity: &mut [f32]) = sgd_body);

/// Numbers in a piece: small enough that the second loop over it finds it in the first cache.
const STEP: usize = 1024;

pub(crate) fn sgd(isa: Isa, o: &Sgd, p: &mut [f32], grad: &[f32], velocity: &mut [f32]) {
    if o.momentum == 0.0 {
        pieces(p, PIECE, |at, p| sgd_piece(isa, o, p, &grad[at..at + p.len()], &mut []));
        return;
    }
    pieces2(p, velocity, PIECE, |at, p, velocity| {
        for (i, (p, v)) in p.chunks_mut(STEP).zip(velocity.chunks_mut(STEP)).enumerate() {
            let at = at + i * STEP;
            sgd_piece(isa, o, p, &grad[at..at + p.len()], v);
        }
    });
}

/// The state of some parameters.
struct State<'a> {
    p: &'a mut [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

#[inline(always)]
fn adam_body<S: Simd>(s: S, o: &Adam, k: AdamConstants, grad: &[f32], state: State) {
    let c = |x: f64| s.splat(x as f32);
    let (scale, l2, shrink) = (c(o.grad_scale), c(k.l2), c(k.shrink));
    let (new1, keep2, new2) = (c(1.0 - o.beta1), c(o.beta2), c(1.0 - o.beta2));
    let (root, eps, step) = (c(k.root_correction), c(o.eps), c(-k.step_size));
    let State { p, m, v } = state;
    let old = &*p;
    lanes!(s, in m = [grad, old] {
        let g = s.mul_add(l2, old, s.mul(scale, grad));
        s.mul_add(new1, s.sub(g, m), m)
    });
    lanes!(s, in v = [grad, old] {
        let g = s.mul_add(l2, old, s.mul(scale, grad));
        s.mul_add(keep2, v, s.mul(s.mul(new2, g), g))
    });
    let (m, v) = (&*m, &*v);
    lanes!(s, in p = [m, v] {
        let denominator = s.add(s.div(s.sqrt(v), root), eps);
        s.mul_add(step, s.div(m, denominator), s.mul(shrink, p))
    });
}
dispatch!(fn adam_piece(o: &Adam, k: AdamConstants, grad: &[f32], state: State) = adam_body);

pub(crate) fn adam(isa: Isa, o: &Adam, step: u64, p: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32]) {
    let k = o.constants(step);
    let piece = |at: usize, p: &mut [f32], m: &mut [f32], v: &mut [f32]| {
        let parts = p.chunks_mut(STEP).zip(m.chunks_mut(STEP)).zip(v.chunks_mut(STEP));
        for (i, ((p, m), v)) in parts.enumerate() {
            let at = at + i * STEP;
            adam_piece(isa, o, k, &grad[at..at + p.len()], State { p, m, v });
        }
    };
    if p.len() <= 2 * PIECE {
        piece(0, p, m, v);
        return;
    }
    let parts = p.chunks_mut(PIECE).zip(m.chunks_mut(PIECE)).zip(v.chunks_mut(PIECE));
    each_item(parts, |i, ((p, m), v)| piece(i * PIECE, p, m, v));
}
