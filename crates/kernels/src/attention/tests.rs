//! Fast against naive, on every instruction set.

use super::*;
use crate::isa::available;
use crate::testing::{assert_close, numbers, same_on_1_and_2_threads};
use proptest::prelude::*;

mod short;

/// out, lse, dq, dk, dv
type Results = [Vec<f32>; 5];

/// How to run a case.
#[derive(Clone, Copy, Debug)]
enum How {
    Naive,
    Fast(crate::Isa),
    Public,
}

/// Sizes of a case whose q, k and v are dense, or share one fused buffer (then tq = tk).
fn sizes(batch: usize, heads: usize, tq: usize, tk: usize, dim: usize, dropout: f64) -> Attention {
    Attention { batch, heads, tq, tk, dim, scale: 1.0 / (dim.max(1) as f64).sqrt(), dropout, key: 77 }
}

/// Forward and backward on numbers made from the seed.
fn run(g: &Attention, how: How, seed: u64, masked: bool, fused: bool) -> Results {
    let width = g.heads * g.dim;
    let mut mask = numbers(seed, g.batch * g.tk, -1.0, 1.0);
    // Half the keys are padding, the first never.
    mask.iter_mut().enumerate().for_each(|(i, m)| *m = if *m < 0.0 && i % g.tk > 0 { -1e9 } else { 0.0 });
    let fused_buffer = numbers(seed ^ 1, g.batch * g.tk * 3 * width, -2.0, 2.0);
    let (q, k, v);
    let (ql, kl);
    if fused {
        ql = Layout::fused(g.tk, g.heads, g.dim);
        kl = ql;
        let from = |part: usize| &fused_buffer[(part * width).min(fused_buffer.len())..];
        (q, k, v) = (from(0).to_vec(), from(1).to_vec(), from(2).to_vec());
    } else {
        (ql, kl) = (Layout::dense(g.tq, g.heads, g.dim), Layout::dense(g.tk, g.heads, g.dim));
        q = numbers(seed ^ 2, g.batch * g.tq * width, -2.0, 2.0);
        k = numbers(seed ^ 3, g.batch * g.tk * width, -2.0, 2.0);
        v = numbers(seed ^ 4, g.batch * g.tk * width, -2.0, 2.0);
    }
    let x = Inputs { q: &q, q_layout: ql, k: &k, k_layout: kl, v: &v, v_layout: kl, mask: masked.then_some(&mask) };
    let ol = Layout::dense(g.tq, g.heads, g.dim);
    let n = g.batch * g.tq * width;
    let (mut out, mut lse) = (vec![7.0; n], vec![7.0; g.batch * g.heads * g.tq]);
    let [mut dq, mut dk, mut dv] = [&q, &k, &v].map(|x| vec![7.0; x.len()]);
    let dout = numbers(seed ^ 5, n, -1.0, 1.0);
    let grads = Gradients { dq: &mut dq, dk: &mut dk, dv: &mut dv };
    match how {
        How::Naive => {
            naive::forward(g, &x, &mut out, ol, Some(&mut lse));
            naive::backward(g, &x, &out, ol, &lse, &dout, grads);
        }
        How::Fast(isa) => {
            forward::forward(isa, g, &x, &mut out, ol, Some(&mut lse));
            let mut same = vec![7.0; n];
            forward::forward(isa, g, &x, &mut same, ol, None);
            assert_eq!(out, same, "{isa:?} {g:?} without lse");
            backward::backward(isa, g, &x, &out, ol, &lse, &dout, grads);
        }
        How::Public => {
            forward(g, &x, &mut out, ol, Some(&mut lse));
            backward(g, &x, &out, ol, &lse, &dout, grads);
        }
    }
    [out, lse, dq, dk, dv]
}

/// Compares all instruction sets with the naive twin.
fn check(g: &Attention, seed: u64, masked: bool, fused: bool) {
    let want = run(g, How::Naive, seed, masked, fused);
    for isa in available() {
        let got = run(g, How::Fast(isa), seed, masked, fused);
        for (name, (got, want)) in ["out", "lse", "dq", "dk", "dv"].iter().zip(got.iter().zip(&want)) {
            assert_close(got, want, 2e-5, &format!("{isa:?} {g:?} {name}"));
        }
    }
}

#[test]
fn more_keys_than_a_block_has_scores() {
    check(&sizes(1, 1, 2, 8200, 2, 0.0), 3, false, false);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn fast_is_naive(
        batch in 0usize..3, heads in 1usize..4, tq in 0usize..40, tk in 1usize..40, dim in 1usize..40,
        seed: u64, masked: bool, fused: bool, dropout: bool,
    ) {
        let tq = if fused { tk } else { tq };
        let g = sizes(batch, heads, tq, tk, dim, if dropout { 0.3 } else { 0.0 });
        check(&g, seed, masked, fused);
    }
}

#[test]
fn model_sizes() {
    check(&sizes(1, 2, 128, 128, 64, 0.1), 1, true, true);
    // More than one block of queries, and an odd one.
    check(&sizes(1, 1, 300, 200, 32, 0.1), 2, true, false);
    // Scores that are sums of more than one chain, of whole panels and not.
    check(&sizes(2, 2, 13, 64, 128, 0.0), 5, false, true);
    check(&sizes(1, 2, 37, 70, 100, 0.0), 6, true, false);
}

#[test]
fn a_negative_scale_is_naive() {
    check(&Attention { scale: -0.5, ..sizes(2, 2, 20, 33, 16, 0.0) }, 3, false, false);
}

#[test]
#[should_panic(expected = "larger than any memory")]
fn sizes_that_wrap_around_panic() {
    let g = sizes(1, 1 << 54, 0, 1024, 1, 0.0);
    let l = Layout { batch: 0, token: 0, head: 0 };
    let x: Inputs<f32> = Inputs { q: &[], q_layout: l, k: &[], k_layout: l, v: &[], v_layout: l, mask: None };
    let grads = Gradients { dq: &mut [], dk: &mut [], dv: &mut [] };
    backward(&g, &x, &[], l, &[], &[], grads);
}

#[test]
#[should_panic(expected = "out has 4 numbers")]
fn strides_that_wrap_around_panic() {
    let g = sizes(2, 1, 2, 2, 1, 0.0);
    let l = Layout { batch: usize::MAX, token: 1, head: 1 };
    let dense = Layout::dense(2, 1, 1);
    let x: Inputs<f32> = Inputs {
        q: &[0.0; 4],
        q_layout: dense,
        k: &[0.0; 4],
        k_layout: dense,
        v: &[0.0; 4],
        v_layout: dense,
        mask: None,
    };
    forward(&g, &x, &mut [0.0; 4], l, None);
}

#[test]
fn threads_do_not_matter() {
    let g = sizes(2, 3, 150, 150, 32, 0.1);
    same_on_1_and_2_threads("attention", || run(&g, How::Public, 4, true, false));
}

#[test]
fn masked_keys_do_not_count() {
    // Two keys, the second masked with minus infinity: the result is the first value, and its weight has no gradient.
    let g = Attention { scale: 1.0, ..sizes(1, 1, 1, 2, 2, 0.0) };
    let (q, k, v) = ([1.0f32, 2.0], [0.5, 0.5, 9.0, 9.0], [3.0, 4.0, 1e30, f32::MAX]);
    let (ql, kl) = (Layout::dense(1, 1, 2), Layout::dense(2, 1, 2));
    let mask = [0.0, f32::NEG_INFINITY];
    let x = Inputs { q: &q, q_layout: ql, k: &k, k_layout: kl, v: &v, v_layout: kl, mask: Some(&mask) };
    let (mut out, mut lse) = ([0.0; 2], [0.0; 1]);
    forward(&g, &x, &mut out, ql, Some(&mut lse));
    assert_eq!((out, lse), ([3.0, 4.0], [1.5]));
    // All keys masked with minus infinity: NaN, as in torch.
    let mask = [f32::NEG_INFINITY; 2];
    forward(&g, &Inputs { mask: Some(&mask), ..x }, &mut out, ql, Some(&mut lse));
    assert!(out[0].is_nan() && lse[0].is_nan(), "{out:?} {lse:?}");
}

#[test]
#[should_panic(expected = "out overlaps itself")]
fn a_result_that_overlaps_itself_panics() {
    let g = sizes(1, 2, 3, 3, 4, 0.0);
    let l = Layout::dense(3, 2, 4);
    let data = vec![0.0f32; 24];
    let x = Inputs { q: &data, q_layout: l, k: &data, k_layout: l, v: &data, v_layout: l, mask: None };
    let (mut out, mut lse) = (vec![0.0f32; 24], vec![0.0f32; 6]);
    forward(&g, &x, &mut out, Layout { token: 7, ..l }, Some(&mut lse));
}
