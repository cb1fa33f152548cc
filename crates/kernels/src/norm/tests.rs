//! Fast against naive, on every instruction set.

use super::*;
use crate::isa::{Isa, available};
use crate::numbers::tests::{assert_near, narrowed, widened};
use crate::testing::{assert_close, numbers, same_on_1_and_2_threads};
use proptest::prelude::*;

/// Statistics, output and gradients (dx, dresidual, dgamma, dbeta) of a batch norm.
type Batch = (Vec<f32>, Vec<f32>, Vec<f32>, [Vec<f32>; 4]);

/// Runs forward and backward with the given implementations of the three steps, on numbers that bf16 has if they are to be `short`.
fn batch_norm(
    (rows, cols, seed): (usize, usize, u64),
    short: bool,
    (training, residual, relu, dx): (bool, bool, bool, bool),
    statistics: impl Fn(&[f32], &mut [f32], &mut [f32]),
    apply: impl Fn(&[f32], &[f32], &[f32], &[f32], &[f32], f64, Option<&[f32]>, bool, &mut [f32]),
    backward: impl Fn(&BatchNormBackward<f32>, &mut [f32], BatchNormGradients<f32>),
) -> Batch {
    let n = rows * cols;
    let (x, r, mut dy) =
        (numbers(seed, n, -1.0, 3.0), numbers(seed ^ 1, n, -1.0, 1.0), numbers(seed ^ 2, n, -1.0, 1.0));
    let (x, r) = if short { (widened(&narrowed(&x)), widened(&narrowed(&r))) } else { (x, r) };
    if short {
        dy = widened(&narrowed(&dy));
    }
    let (gamma, beta) = (numbers(seed ^ 3, cols, 0.5, 1.5), numbers(seed ^ 4, cols, -0.5, 0.5));
    let (mut mean, mut variance) = (numbers(seed ^ 5, cols, 0.0, 1.0), numbers(seed ^ 6, cols, 0.5, 2.0));
    if training {
        statistics(&x, &mut mean, &mut variance);
    }
    let mut y = vec![7.0; n];
    apply(&x, &mean, &variance, &gamma, &beta, 1e-5, residual.then_some(&r), relu, &mut y);
    let mut dr = vec![7.0; n];
    let [mut dgamma, mut dbeta] = [(); 2].map(|()| vec![7.0; cols]);
    let p = BatchNormBackward {
        x: &x[..],
        relu: if relu { Relu::Output(&y[..]) } else { Relu::None },
        mean: &mean,
        variance: &variance,
        gamma: &gamma,
        eps: 1e-5,
        batch_statistics: training,
    };
    if relu && !residual {
        let mut again = (dy.clone(), vec![7.0; cols], vec![7.0; cols]);
        let mut by_output = again.clone();
        for (relu, (dy, dgamma, dbeta)) in [(Relu::Beta(&beta[..]), &mut again), (p.relu, &mut by_output)] {
            backward(
                &BatchNormBackward { relu, ..p },
                dy,
                BatchNormGradients { dx_in_dy: true, dresidual: None, dgamma, dbeta },
            );
        }
        assert_eq!(again, by_output, "an output computed again lets pass what the output did");
    }
    let dresidual = residual.then_some(&mut dr[..]);
    let out = BatchNormGradients { dx_in_dy: dx, dresidual, dgamma: &mut dgamma, dbeta: &mut dbeta };
    backward(&p, &mut dy, out);
    (mean, variance, y, [dy, dr, dgamma, dbeta])
}

/// The backward of numbers that lie as bf16.
fn backward_of_bf16(isa: Isa, p: &BatchNormBackward<f32>, dy: &mut [f32], out: BatchNormGradients<f32>) {
    let (x, mut short) = (narrowed(p.x), narrowed(dy));
    let output = if let Relu::Output(y) = p.relu { narrowed(y) } else { Vec::new() };
    let relu = match p.relu {
        Relu::None => Relu::None,
        Relu::Output(_) => Relu::Output(Numbers::Bf16(&output)),
        Relu::Beta(beta) => Relu::Beta(beta),
    };
    let p = BatchNormBackward {
        x: Numbers::Bf16(&x),
        relu,
        mean: p.mean,
        variance: p.variance,
        gamma: p.gamma,
        eps: p.eps,
        batch_statistics: p.batch_statistics,
    };
    let mut dresidual = out.dresidual.as_ref().map(|dresidual| narrowed(dresidual));
    let gradients = BatchNormGradients {
        dx_in_dy: out.dx_in_dy,
        dresidual: dresidual.as_deref_mut().map(NumbersMut::Bf16),
        dgamma: out.dgamma,
        dbeta: out.dbeta,
    };
    batch::backward(isa, &p, NumbersMut::Bf16(&mut short), gradients);
    dy.copy_from_slice(&widened(&short));
    if let (Some(to), Some(dresidual)) = (out.dresidual, dresidual) {
        to.copy_from_slice(&widened(&dresidual));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn batch_norm_is_naive(
        rows in 2usize..40, cols in 1usize..40, seed: u64, training: bool, residual: bool, relu: bool, dx: bool,
    ) {
        let (size, how) = ((rows, cols, seed), (training, residual, relu, dx));
        let want = batch_norm(size, false, how, naive::batch_norm_statistics, naive::batch_norm_apply, naive::batch_norm_backward);
        for isa in available() {
            let got = batch_norm(
                size,
                false,
                how,
                |x, m, v| batch::statistics(isa, Numbers::F32(x), m, v),
                |x, m, v, g, b, e, r, relu, y| {
                    batch::apply(isa, Numbers::F32(x), m, v, g, b, e, r.map(Numbers::F32), relu, NumbersMut::F32(y));
                },
                |p, dy, out| batch::backward(isa, &p.numbers(), NumbersMut::F32(dy), out.numbers()),
            );
            assert_close(&got.0, &want.0, 1e-6, "mean");
            assert_close(&got.1, &want.1, 1e-6, "variance");
            assert_close(&got.2, &want.2, 3e-6, "y");
            // An output next to 0 may be on the other side of the ReLU; then gradients differ in earnest.
            let flipped = relu && got.2.iter().zip(&want.2).any(|(a, b)| (*a == 0.0) != (*b == 0.0));
            for (i, (g, w)) in got.3.iter().zip(&want.3).enumerate() {
                if !flipped {
                    assert_close(g, w, 2e-4, &format!("{isa:?} gradient {i}"));
                }
            }
        }
    }

    #[test]
    fn batch_norm_of_bf16_is_naive(
        rows in 2usize..40, cols in 1usize..80, seed: u64, training: bool, residual: bool, relu: bool, dx: bool,
    ) {
        let (size, how) = ((rows, cols, seed), (training, residual, relu, dx));
        let want =
            batch_norm(size, true, how, naive::batch_norm_statistics, naive::batch_norm_apply, naive::batch_norm_backward);
        for isa in available() {
            let got = batch_norm(
                size,
                true,
                how,
                |x, m, v| batch::statistics(isa, Numbers::Bf16(&narrowed(x)), m, v),
                |x, m, v, g, b, e, r, relu, y| {
                    let (x, r, mut short) = (narrowed(x), r.map(narrowed), vec![7; y.len()]);
                    let r = r.as_deref().map(Numbers::Bf16);
                    batch::apply(isa, Numbers::Bf16(&x), m, v, g, b, e, r, relu, NumbersMut::Bf16(&mut short));
                    y.copy_from_slice(&widened(&short));
                },
                |p, dy, out| backward_of_bf16(isa, p, dy, out),
            );
            assert_near(&got.0, &want.0, false, 3e-6, "mean");
            assert_near(&got.1, &want.1, false, 5e-6, "variance");
            assert_near(&got.2, &want.2, true, 2e-5, "y");
            let flipped = relu && got.2.iter().zip(&want.2).any(|(a, b)| (*a == 0.0) != (*b == 0.0));
            if !flipped {
                for (i, rounded) in [(0, true), (1, true), (2, false), (3, false)] {
                    let what = format!("{isa:?} gradient {i}");
                    assert_near(&got.3[i], &want.3[i], rounded, 2e-4 * (1.0 + rows as f32 / 8.0), &what);
                }
            }
        }
    }

    #[test]
    fn layer_norm_is_naive(rows in 0usize..20, cols in 1usize..100, seed: u64) {
        layer_norm_case(rows, cols, seed);
    }
}

/// Forward with and without residual, and backward, against the naive twin.
fn layer_norm_case(rows: usize, cols: usize, seed: u64) {
    let n = rows * cols;
    let (x, r, dy) = (numbers(seed, n, -1.0, 3.0), numbers(seed ^ 1, n, -1.0, 1.0), numbers(seed ^ 2, n, -1.0, 1.0));
    let (gamma, beta) = (numbers(seed ^ 3, cols, 0.5, 1.5), numbers(seed ^ 4, cols, -0.5, 0.5));
    let sum: Vec<f32> = x.iter().zip(&r).map(|(x, r)| x + r).collect();
    let [mut y, mut y2, mut got_sum, mut want, mut dx, mut dx_want] = [(); 6].map(|()| vec![7.0; n]);
    let [mut mean, mut inv_std, mut mean_want, mut inv_std_want] = [(); 4].map(|()| vec![7.0; rows]);
    let [mut dgamma, mut dbeta, mut dgamma_want, mut dbeta_want] = [(); 4].map(|()| vec![7.0; cols]);
    naive::layer_norm(&sum, &gamma, &beta, 1e-2, &mut want, &mut mean_want, &mut inv_std_want);
    for isa in available() {
        let p = layer::Parameters { gamma: &gamma, beta: &beta, eps: 1e-2 };
        let out = layer::Rows { y: &mut y2, mean: &mut mean, inv_std: &mut inv_std };
        layer::forward_residual(isa, &x, &r, &mut got_sum, p, out);
        assert_eq!(got_sum, sum);
        let out = layer::Rows { y: &mut y, mean: &mut mean, inv_std: &mut inv_std };
        layer::forward(isa, &sum, p, out);
        assert_eq!(y, y2);
        assert_close(&y, &want, 5e-6, &format!("{isa:?} y"));
        assert_close(&mean, &mean_want, 1e-6, "mean");
        assert_close(&inv_std, &inv_std_want, 2e-6, "inv_std");
        let kept = layer::Kept { x: &sum, mean: &mean, inv_std: &inv_std, dy: &dy };
        layer::backward(isa, kept, &gamma, Some(&mut dx), &mut dgamma, &mut dbeta);
        let out = (&mut dgamma_want[..], &mut dbeta_want[..]);
        naive::layer_norm_backward(&sum, &mean, &inv_std, &gamma, &dy, Some(&mut dx_want), out.0, out.1);
        assert_close(&dx, &dx_want, 2e-5, "dx");
        assert_close(&dgamma, &dgamma_want, 2e-5, "dgamma");
        assert_close(&dbeta, &dbeta_want, 1e-5, "dbeta");
    }
}

#[test]
fn layer_norm_of_model_sizes() {
    for cols in [128, 312, 384, 768, 1024] {
        layer_norm_case(100, cols, cols as u64);
    }
}

#[test]
fn variance_survives_a_large_mean() {
    // Mean 1000, standard deviation 1: the squares agree in their first 6 digits.
    let x: Vec<f32> = numbers(2, 30_000, -1.0, 1.0).iter().map(|x| 1000.0 + x * 3f32.sqrt()).collect();
    let ([mut mean, mut variance], [mut m, mut v]) = ([[0.0; 3]; 2], [[0.0; 3]; 2]);
    batch_norm_statistics(&x, &mut mean, &mut variance);
    naive::batch_norm_statistics(&x, &mut m, &mut v);
    assert_close(&mean, &m, 1e-7, "mean");
    assert_close(&variance, &v, 1e-6, "variance");
    assert!((variance[0] - 1.0).abs() < 0.05);
}

#[test]
fn empty_and_not_finite_input() {
    let ([mut mean, mut variance], none) = ([[0.0f32; 2]; 2], [0.0f32; 0]);
    batch_norm_statistics(&none, &mut mean, &mut variance);
    assert!(mean[0].is_nan() && variance[1].is_nan(), "no rows have no mean");
    batch_norm_statistics(&[1.0f32, f32::INFINITY, 2.0, 3.0], &mut mean, &mut variance);
    assert!(variance[0] == 0.25 && variance[1].is_nan(), "{variance:?}");
}

#[test]
fn threads_do_not_matter() {
    let (rows, cols) = (5000, 100);
    let size = (rows, cols, 8);
    same_on_1_and_2_threads("batch norm", || {
        batch_norm(size, false, (true, true, true, true), batch_norm_statistics, batch_norm_apply, batch_norm_backward)
    });
    let (x, g) = (numbers(1, rows * cols, -1.0, 1.0), numbers(2, cols, 0.5, 1.0));
    same_on_1_and_2_threads("layer norm", || {
        let [mut y, mut dx] = [(); 2].map(|()| vec![0.0; rows * cols]);
        let [mut mean, mut inv_std] = [(); 2].map(|()| vec![0.0; rows]);
        let [mut dgamma, mut dbeta] = [(); 2].map(|()| vec![0.0; cols]);
        layer_norm(&x, &g, &g, 1e-5, &mut y, &mut mean, &mut inv_std);
        layer_norm_backward(&x, &mean, &inv_std, &g, &y, Some(&mut dx), &mut dgamma, &mut dbeta);
        (y, dx, dgamma, dbeta)
    });
}
