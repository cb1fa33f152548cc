//! Fast against naive on every instruction set, and both against torch.

use super::*;
use crate::isa::available;
use crate::testing::{assert_close, numbers};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn fast_is_naive(len in 0usize..100, seed: u64, nesterov: bool, momentum: bool, decoupled: bool, step in 1u64..5) {
        let (p, grad) = (numbers(seed, len, -1.0, 1.0), numbers(seed ^ 1, len, -1.0, 1.0));
        let (m, v) = (numbers(seed ^ 2, len, -1.0, 1.0), numbers(seed ^ 3, len, 0.0, 1.0));
        let momentum = if momentum { 0.9 } else { 0.0 };
        let sgd = Sgd { rate: 0.1, momentum, nesterov, weight_decay: 0.02, grad_scale: 0.5 };
        let adam = Adam {
            rate: 0.01, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, decoupled, grad_scale: 0.5,
        };
        for isa in available() {
            let mut got = [p.clone(), m.clone(), v.clone()];
            let mut want = got.clone();
            fast::sgd(isa, &sgd, &mut got[0], &grad, &mut m.clone());
            naive::sgd(&sgd, &mut want[0], &grad, &mut m.clone());
            assert_close(&got[0], &want[0], 1e-6, &format!("{isa:?} {sgd:?}"));
            let [p, m, v] = &mut got;
            fast::adam(isa, &adam, step, p, &grad, m, v);
            let [p, m, v] = &mut want;
            naive::adam(&adam, step, p, &grad, m, v);
            for (got, want) in got.iter().zip(&want) {
                assert_close(got, want, 1e-6, &format!("{isa:?} {adam:?}"));
            }
        }
    }
}

#[test]
fn long_slices_go_in_pieces() {
    let n = 3 * crate::lanes::PIECE + 5;
    let (mut p, grad, mut m) = (numbers(1, n, -1.0, 1.0), numbers(2, n, -1.0, 1.0), vec![0.0; n]);
    let mut v = m.clone();
    let (mut p2, mut m2, mut v2) = (p.clone(), m.clone(), v.clone());
    let adam_w = adam_w();
    adam(&adam_w, 1, &mut p, &grad, &mut m, &mut v);
    naive::adam(&adam_w, 1, &mut p2, &grad, &mut m2, &mut v2);
    assert_close(&p, &p2, 1e-6, "adam");
    let o = Sgd { rate: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.1, grad_scale: 1.0 };
    sgd(&o, &mut p, &grad, &mut m);
    naive::sgd(&o, &mut p2, &grad, &mut m2);
    assert_close(&p, &p2, 1e-6, "sgd");
}

fn adam_w() -> Adam {
    Adam { rate: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1, decoupled: true, grad_scale: 1.0 }
}

#[test]
fn two_steps_by_hand() {
    // p = 1, gradients 0.5 then -0.25, written out from the formulas of torch.optim.
    let (mut p, mut m, mut v) = ([1.0f64], [0.0], [0.0]);
    adam(&adam_w(), 1, &mut p, &[0.5], &mut m, &mut v);
    // m / (1 - b1) = 0.5, v / (1 - b2) = 0.25: a step of rate * 0.5 / (0.5 + eps).
    let first = 1.0 * (1.0 - 0.01 * 0.1) - 0.01 * 0.5 / (0.5 + 1e-8);
    assert!((p[0] - first).abs() < 1e-15, "{p:?}");
    adam(&adam_w(), 2, &mut p, &[-0.25], &mut m, &mut v);
    let (m2, v2) = (0.9 * 0.05 + 0.1 * -0.25, 0.999 * 0.00025 + 0.001 * 0.0625);
    let (mh, vh): (f64, f64) = (m2 / (1.0 - 0.9f64 * 0.9), v2 / (1.0 - 0.999f64 * 0.999));
    let second = first * 0.999 - 0.01 * mh / (vh.sqrt() + 1e-8);
    assert!((p[0] - second).abs() < 1e-14, "{p:?} {second}");

    let (mut p, mut velocity) = ([1.0f64], [0.0]);
    let mut o = Sgd { rate: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.5, grad_scale: 2.0 };
    sgd(&o, &mut p, &[0.5], &mut velocity);
    // g = 2 * 0.5 + 0.5 * 1 = 1.5 = v; p = 1 - 0.15.
    assert!((p[0] - 0.85).abs() < 1e-15 && velocity == [1.5]);
    o.nesterov = true;
    sgd(&o, &mut p, &[0.0], &mut velocity);
    // g = 0.425, v = 1.35 + 0.425 = 1.775, step 0.1 (0.425 + 0.9 * 1.775).
    assert!((p[0] - (0.85 - 0.1 * (0.425 + 0.9 * 1.775))).abs() < 1e-15, "{p:?}");
}
