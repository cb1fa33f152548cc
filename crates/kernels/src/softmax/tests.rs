//! Fast against naive, on every instruction set.

use super::*;
use crate::isa::available;
use crate::testing::{assert_close, numbers, same_on_1_and_2_threads};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn softmax_is_naive(rows in 0usize..12, cols in 1usize..90, seed: u64) {
        let n = rows * cols;
        let (x, dy) = (numbers(seed, n, -9.0, 9.0), numbers(seed ^ 1, n, -1.0, 1.0));
        let [mut y, mut want, mut dx, mut dx_want] = [(); 4].map(|()| vec![7.0; n]);
        for isa in available() {
            fast::softmax(isa, &x, cols, &mut y);
            naive::softmax(&x, cols, &mut want);
            assert_close(&y, &want, 1e-6, "softmax");
            fast::softmax_backward(isa, &want, &dy, cols, &mut dx);
            naive::softmax_backward(&want, &dy, cols, &mut dx_want);
            assert_close(&dx, &dx_want, 1e-6, "softmax backward");
            fast::log_softmax(isa, &x, cols, &mut y);
            naive::log_softmax(&x, cols, &mut want);
            assert_close(&y, &want, 1e-6, "log_softmax");
            fast::log_softmax_backward(isa, &want, &dy, cols, &mut dx);
            naive::log_softmax_backward(&want, &dy, cols, &mut dx_want);
            assert_close(&dx, &dx_want, 5e-6, "log_softmax backward");
        }
    }

    #[test]
    fn cross_entropy_is_naive(
        rows in 0usize..12, classes in 1usize..50, seed: u64, smooth: bool, weighted: bool,
    ) {
        let logits = numbers(seed, rows * classes, -5.0, 5.0);
        let targets: Vec<i64> = numbers(seed ^ 1, rows, -1.0, classes as f64)
            .iter()
            .map(|&t| if t < 0.0 { -100 } else { t as i64 })
            .collect();
        let weights = numbers(seed ^ 2, classes, 0.1, 2.0);
        let spec = CrossEntropy {
            label_smoothing: if smooth { 0.1 } else { 0.0 },
            weights: weighted.then_some(&weights[..]),
            ..CrossEntropy::new(classes)
        };
        let (mut got, mut want) = (vec![7.0; logits.len()], vec![0.0; logits.len()]);
        let loss = naive::cross_entropy(&spec, &logits, &targets, Some(&mut want));
        for isa in available() {
            let fast = fast::cross_entropy(isa, &spec, &logits, &targets, Some(&mut got));
            assert_close(&[fast as f32], &[loss as f32], 2e-6, "loss");
            assert_close(&got, &want, 1e-6, "gradient");
            let alone = fast::cross_entropy(isa, &spec, &logits, &targets, None);
            prop_assert!(alone == fast || (alone.is_nan() && fast.is_nan()));
        }
    }
}

#[test]
fn cross_entropy_matches_torch() {
    // torch.nn.functional.cross_entropy(logits, targets, weight, ignore_index=-100, label_smoothing), torch 2, computed
    // by hand from its documented formula: p = softmax([1, 2, 3]) = [.09003057, .24472847, .66524096].
    let logits = [1.0f32, 2.0, 3.0, 0.0, 0.0, 0.0];
    let plain = cross_entropy(&CrossEntropy::new(3), &logits, &[2, -100], None);
    assert!((plain - 0.407_605_96).abs() < 1e-6, "{plain}");
    let weights = [1.0f32, 2.0, 3.0];
    let spec = CrossEntropy { label_smoothing: 0.3, weights: Some(&weights), ..CrossEntropy::new(3) };
    let got = cross_entropy(&spec, &logits, &[2, 0], None);
    // Row losses: 0.7 w_t nll + 0.1 sum_c w_c nll_c; the mean divides by 3 + 1.
    let ln_p = [-2.407_605_96, -1.407_605_96, -0.407_605_96];
    let first = 0.7 * 3.0 * 0.407_605_96 - 0.1 * (ln_p[0] + 2.0 * ln_p[1] + 3.0 * ln_p[2]);
    let second = 0.7 * 3f64.ln() + 0.1 * 6.0 * 3f64.ln();
    assert!((got - (first + second) / 4.0).abs() < 1e-6, "{got}");
}

#[test]
fn all_rows_ignored_is_nan_with_zero_gradient() {
    let mut d = [7.0f32; 4];
    let loss = cross_entropy(&CrossEntropy::new(2), &[1.0f32; 4], &[-100, -100], Some(&mut d));
    assert!(loss.is_nan());
    assert_eq!(d, [0.0; 4]);
}

#[test]
fn extreme_rows() {
    let x = [1e30f32, -1e30, 0.0, f32::NEG_INFINITY, 5.0, 5.0, f32::NEG_INFINITY, f32::NEG_INFINITY];
    let mut y = [0.0; 8];
    for isa in available() {
        fast::softmax(isa, &x, 2, &mut y);
        assert_eq!(&y[..6], &[1.0, 0.0, 1.0, 0.0, 0.5, 0.5]);
        assert!(y[6].is_nan() && y[7].is_nan(), "{isa:?} {y:?}");
    }
}

#[test]
#[should_panic(expected = "target 3 of 3 classes")]
fn a_target_that_is_no_class_panics() {
    cross_entropy(&CrossEntropy::new(3), &[0.0f32; 3], &[3], None);
}

#[test]
fn threads_do_not_matter() {
    let (rows, classes) = (40, 30522);
    let logits = numbers(3, rows * classes, -4.0, 4.0);
    let targets: Vec<i64> = (0..rows as i64).map(|i| i * 700).collect();
    let spec = CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::new(classes) };
    let mut want = vec![0.0; logits.len()];
    let (loss, got) = same_on_1_and_2_threads("cross entropy", || {
        let mut d = vec![0.0; logits.len()];
        (cross_entropy(&spec, &logits, &targets, Some(&mut d)), d)
    });
    let naive_loss = naive::cross_entropy(&spec, &logits, &targets, Some(&mut want));
    assert!((loss - naive_loss).abs() < 1e-4, "{loss} {naive_loss}");
    assert_close(&got, &want, 1e-6, "gradient of a vocabulary");
}
