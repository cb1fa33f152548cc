//! Attention, one query at a time.

use crate::Element;
use crate::attention::{Attention, Gradients, Inputs, Layout};
use crate::random;

/// The scores of one query against all keys: scale q·k + mask.
fn scores<T: Element>(g: &Attention, x: &Inputs<T>, b: usize, h: usize, i: usize) -> Vec<T> {
    (0..g.tk)
        .map(|j| {
            let (q, k) = (x.q_layout.at(b, i, h), x.k_layout.at(b, j, h));
            let dot: T = (0..g.dim).map(|d| x.q[q + d] * x.k[k + d]).sum();
            let masked = x.mask.map_or(T::ZERO, |mask| mask[b * g.tk + j]);
            T::from_f64(g.scale) * dot + masked
        })
        .collect()
}

/// What dropout multiplies the weight of query i and key j with: 0 or 1 / (1 - rate).
fn kept<T: Element>(g: &Attention, b: usize, h: usize, i: usize, j: usize) -> T {
    let index = ((b * g.heads + h) * g.tq + i) * g.tk + j;
    if g.dropout == 0.0 {
        T::ONE
    } else if random::keep(g.key, index as u64, g.dropout) {
        T::from_f64(1.0 / (1.0 - g.dropout))
    } else {
        T::ZERO
    }
}

/// See [`crate::attention::forward`].
pub fn forward<T: Element>(g: &Attention, x: &Inputs<T>, out: &mut [T], out_layout: Layout, mut lse: Option<&mut [T]>) {
    for b in 0..g.batch {
        for h in 0..g.heads {
            for i in 0..g.tq {
                let s = scores(g, x, b, h, i);
                let max = s.iter().fold(T::NEG_INFINITY, |max, &s| max.max(s));
                let sum: T = s.iter().map(|&s| (s - max).exp()).sum();
                if let Some(lse) = &mut lse {
                    lse[(b * g.heads + h) * g.tq + i] = max + sum.ln();
                }
                let o = out_layout.at(b, i, h);
                out[o..o + g.dim].fill(T::ZERO);
                for j in 0..g.tk {
                    let p = (s[j] - max).exp() / sum * kept(g, b, h, i, j);
                    let v = x.v_layout.at(b, j, h);
                    for d in 0..g.dim {
                        out[o + d] += p * x.v[v + d];
                    }
                }
            }
        }
    }
}

/// See [`crate::attention::backward`].
pub fn backward<T: Element>(
    g: &Attention,
    x: &Inputs<T>,
    out: &[T],
    out_layout: Layout,
    lse: &[T],
    dout: &[T],
    grads: Gradients<T>,
) {
    let Gradients { dq, dk, dv } = grads;
    let (ql, kl, vl) = (x.q_layout, x.k_layout, x.v_layout);
    for b in 0..g.batch {
        for h in 0..g.heads {
            for j in 0..g.tk {
                let (k, v) = (kl.at(b, j, h), vl.at(b, j, h));
                dk[k..k + g.dim].fill(T::ZERO);
                dv[v..v + g.dim].fill(T::ZERO);
            }
            for i in 0..g.tq {
                let (q, o) = (ql.at(b, i, h), out_layout.at(b, i, h));
                dq[q..q + g.dim].fill(T::ZERO);
                let s = scores(g, x, b, h, i);
                // sum over keys of P dP, which equals out · dout.
                let delta: T = (0..g.dim).map(|d| out[o + d] * dout[o + d]).sum();
                for j in 0..g.tk {
                    let (k, v) = (kl.at(b, j, h), vl.at(b, j, h));
                    let p = (s[j] - lse[(b * g.heads + h) * g.tq + i]).exp();
                    let keep = kept::<T>(g, b, h, i, j);
                    let dp: T = (0..g.dim).map(|d| dout[o + d] * x.v[v + d]).sum();
                    let ds = p * (keep * dp - delta) * T::from_f64(g.scale);
                    for d in 0..g.dim {
                        dv[v + d] += p * keep * dout[o + d];
                        dq[q + d] += ds * x.k[k + d];
                        dk[k + d] += ds * x.q[q + d];
                    }
                }
            }
        }
    }
}
