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
    run_on(g, how, &x, Layout::dense(g.tq, g.heads, g.dim), g.batch * g.tq * width, true, seed)
}

/// Forward and perhaps backward, with `n` numbers of results.
fn run_on(g: &Attention, how: How, x: &Inputs<f32>, ol: Layout, n: usize, back: bool, seed: u64) -> Results {
    let (mut out, mut lse) = (vec![7.0; n], vec![7.0; g.batch * g.heads * g.tq]);
    let [mut dq, mut dk, mut dv] = [x.q, x.k, x.v].map(|x| vec![7.0; x.len()]);
    match how {
        How::Naive => naive::forward(g, x, &mut out, ol, Some(&mut lse)),
        How::Fast(isa) => {
            forward::forward(isa, g, x, &mut out, ol, Some(&mut lse));
            let mut same = vec![7.0; n];
            forward::forward(isa, g, x, &mut same, ol, None);
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert!(bits(&out) == bits(&same), "{isa:?} {g:?} without lse");
        }
        How::Public => forward(g, x, &mut out, ol, Some(&mut lse)),
    }
    if back {
        let dout = numbers(seed ^ 5, n, -1.0, 1.0);
        let grads = Gradients { dq: &mut dq, dk: &mut dk, dv: &mut dv };
        match how {
            How::Naive => naive::backward(g, x, &out, ol, &lse, &dout, grads),
            How::Fast(isa) => backward::backward(isa, g, x, &out, ol, &lse, &dout, grads),
            How::Public => backward(g, x, &out, ol, &lse, &dout, grads),
        }
    }
    [out, lse, dq, dk, dv]
}

/// Compares what all instruction sets make of a case with what the naive twin does.
fn compare(what: &str, run: impl Fn(How) -> Results) {
    let want = run(How::Naive);
    for isa in available() {
        for (name, (got, want)) in ["out", "lse", "dq", "dk", "dv"].iter().zip(run(How::Fast(isa)).iter().zip(&want)) {
            assert_close(got, want, 2e-5, &format!("{isa:?} {what} {name}"));
        }
    }
}

fn check(g: &Attention, seed: u64, masked: bool, fused: bool) {
    compare(&format!("{g:?}"), |how| run(g, how, seed, masked, fused));
}

/// Results with gaps, of inputs that a function has changed.
#[test]
fn edges_are_naive() {
    const INF: f32 = f32::INFINITY;
    const NAN: f32 = f32::NAN;
    /// Changes q, k, v and the mask.
    type Edit = fn([&mut [f32]; 4]);
    let g = sizes(2, 2, 13, 35, 20, 0.0);
    let scaled = |scale| Attention { scale, ..g };
    let same: Edit = |_| ();
    // The name, the sizes, whether the backward makes sense.
    let cases: [(&str, Attention, bool, Edit); 17] = [
        ("plain", g, true, same),
        ("no keys", Attention { tk: 0, ..g }, true, same),
        ("no queries", Attention { tq: 0, ..g }, true, same),
        ("no batch", Attention { batch: 0, ..g }, true, same),
        ("no dimensions", Attention { dim: 0, ..g }, true, same),
        ("-inf inside the mask", g, true, |[_, _, _, mask]| mask[3..20].fill(-INF)),
        ("-inf at its end", g, true, |[_, _, _, mask]| mask[20..35].fill(-INF)),
        ("all keys at -inf", g, true, |[_, _, _, mask]| mask[..35].fill(-INF)),
        ("NaN inside the mask", g, true, |[_, _, _, mask]| mask[5] = NAN),
        ("NaN at its end", g, true, |[_, _, _, mask]| mask[34] = NAN),
        ("scale 0", scaled(0.0), true, same),
        ("negative scale", scaled(-0.3), true, |[_, _, _, mask]| mask[30..35].fill(-1e9)),
        ("inf in q", g, false, |[q, ..]| q[7] = INF),
        ("inf in k", g, false, |[_, k, ..]| k[7] = INF),
        ("inf in v", g, false, |[_, _, v, _]| (v[7], v[48]) = (INF, -INF)),
        ("NaN in q and k", g, false, |[q, k, ..]| (q[7], k[1405]) = (NAN, NAN)),
        ("NaN in v", g, false, |[_, _, v, _]| v[7] = NAN),
    ];
    for (name, g, back, edit) in cases {
        let (width, keys) = (g.heads * g.dim, g.batch * g.tk);
        let mut q = numbers(1, g.batch * g.tq * width, -2.0, 2.0);
        let [mut k, mut v] = [2, 3].map(|seed| numbers(seed, keys * width, -2.0, 2.0));
        let mut mask = numbers(4, keys, -1.0, 1.0);
        edit([&mut q, &mut k, &mut v, &mut mask]);
        let (ql, kl) = (Layout::dense(g.tq, g.heads, g.dim), Layout::dense(g.tk, g.heads, g.dim));
        let x = Inputs { q: &q, q_layout: ql, k: &k, k_layout: kl, v: &v, v_layout: kl, mask: Some(&mask) };
        let (head, token) = (g.dim + 2, g.heads * (g.dim + 2) + 3);
        let ol = Layout { batch: g.tq * token + 5, token, head };
        compare(name, |how| run_on(&g, how, &x, ol, g.batch * ol.batch, back, 6));
    }
}

#[test]
fn many_keys() {
    check(&sizes(1, 1, 2, 8200, 2, 0.0), 3, false, false);
    // The backward of a head takes more than a thread keeps.
    check(&sizes(1, 2, 130, 900, 64, 0.1), 4, true, false);
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

#[test]
fn a_mask_that_ends_with_nan_is_no_padding() {
    let g = Attention { scale: 1.0, ..sizes(1, 1, 1, 4, 1, 0.0) };
    let l = Layout { batch: 0, token: 0, head: 0 };
    let live = |mask: &[f32]| {
        let x = Inputs { q: &[], q_layout: l, k: &[], k_layout: l, v: &[], v_layout: l, mask: Some(mask) };
        heads::live_mask(&g, &x, 0, &[]).len()
    };
    assert_eq!(live(&[0.0, -1e9, 0.0, f32::NAN]), 4);
    assert_eq!(live(&[0.0, f32::NAN, -1e9, f32::NEG_INFINITY]), 2);
    assert_eq!(live(&[-1e9; 4]), 4);
}
