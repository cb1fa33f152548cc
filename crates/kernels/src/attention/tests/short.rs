//! The forward in bf16 against the naive twin of the same numbers.

use super::*;
use crate::gemm::pairs::Kind;
use crate::numbers::tests::{assert_near, narrowed, widened};

fn check_short(batch: usize, heads: usize, tq: usize, tk: usize, dim: usize, scale: f64) {
    let g = Attention { scale, ..sizes(batch, heads, tq, tk, dim, 0.0) };
    let (width, all) = (heads * dim, batch * tk * heads * dim);
    let fused = tq == tk;
    let (ql, kl) = if fused {
        (Layout::fused(tk, heads, dim), Layout::fused(tk, heads, dim))
    } else {
        (Layout::dense(tq, heads, dim), Layout::dense(tk, heads, dim))
    };
    let len = if fused { 3 * all } else { all };
    let short: Vec<Vec<u16>> = (0..3)
        .map(|part| {
            let seed = if fused { 1 } else { 1 + part as u64 };
            let from = if fused { part * width } else { 0 };
            let count = if part == 0 && !fused { batch * tq * width } else { len };
            narrowed(&numbers(seed, count, -2.0, 2.0)[from..])
        })
        .collect();
    let wide: Vec<Vec<f32>> = short.iter().map(|x| widened(x)).collect();
    let layout = Layout::dense(tq, heads, dim);
    let n = batch * tq * width;
    let mut want = vec![0.0; n];
    let inputs =
        Inputs { q: &wide[0][..], q_layout: ql, k: &wide[1], k_layout: kl, v: &wide[2], v_layout: kl, mask: None };
    naive::forward(&g, &inputs, &mut want, layout, None);
    let inputs =
        Inputs { q: &short[0][..], q_layout: ql, k: &short[1], k_layout: kl, v: &short[2], v_layout: kl, mask: None };
    for isa in available() {
        for kind in [Kind::Pairs, Kind::pairs(isa)] {
            let mut out = vec![7; n];
            forward_bf16_with(isa, kind, &g, &inputs, &mut out, layout);
            // Each weight is rounded by 2^-8 of itself at most, the values being up to 2.
            assert_near(&widened(&out), &want, true, 5e-3, &format!("{isa:?} {kind:?} {g:?}"));
        }
    }
}

#[test]
fn it_is_near_the_naive_twin() {
    for (tq, tk) in [(1, 1), (7, 7), (12, 33), (64, 64), (65, 65), (128, 128), (40, 3)] {
        for dim in [2, 32, 64, 70] {
            check_short(2, 3, tq, tk, dim, 1.0 / (dim as f64).sqrt());
        }
    }
    check_short(1, 2, 300, 300, 32, 0.2);
    check_short(1, 2, 20, 20, 16, -0.3);
    check_short(0, 2, 20, 21, 16, 0.3);
    // Padding is no key, whatever the scale; more keys than a block has scores.
    check_short(1, 2, 3, 3, 2, 0.0);
    check_short(1, 1, 2, 8200, 2, 0.3);
}

#[test]
#[should_panic(expected = "not of pairs")]
fn odd_heads_panic() {
    check_short(1, 2, 3, 3, 5, 1.0);
}
