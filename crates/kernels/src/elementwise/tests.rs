//! Fast against naive, on every instruction set.

use super::*;
use crate::isa::available;
use crate::testing::{assert_close, numbers, special};
use proptest::prelude::*;

const BINARY: [Binary; 6] = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn unary_is_naive(len in 0usize..100, seed: u64) {
        for isa in available() {
            for op in Unary::ALL {
                let positive = matches!(op, Unary::Sqrt | Unary::Ln | Unary::Recip);
                let x = numbers(seed, len, if positive { 0.1 } else { -6.0 }, 6.0);
                let (mut y, mut want) = (vec![7.0; len], vec![0.0; len]);
                fast::unary(isa, op, &x, &mut y);
                naive::unary(op, &x, &mut want);
                assert_close(&y, &want, 1e-6, &format!("{isa:?} {op:?}"));
                let kept = if op.keeps() == Keeps::Input { &x } else { &want };
                let dy = numbers(seed ^ 1, len, -2.0, 2.0);
                let (mut dx, mut dx_want) = (vec![7.0; len], vec![0.0; len]);
                fast::unary_backward(isa, op, kept, &dy, &mut dx);
                naive::unary_backward(op, kept, &dy, &mut dx_want);
                assert_close(&dx, &dx_want, 2e-6, &format!("{isa:?} {op:?} backward"));
            }
        }
    }

    #[test]
    fn binary_is_naive(len in 0usize..100, seed: u64) {
        let (a, b) = (numbers(seed, len, -2.0, 2.0), numbers(seed ^ 1, len, 0.5, 2.0));
        let (mut y, mut want) = (vec![7.0; len], vec![0.0; len]);
        for isa in available() {
            for op in BINARY {
                fast::binary(isa, op, &a, &b, &mut y);
                naive::binary(op, &a, &b, &mut want);
                prop_assert_eq!(&y, &want, "{:?} {:?}", isa, op);
                fast::binary_number(isa, op, &b, 1.25, true, &mut y);
                naive::binary(op, &vec![1.25; len], &b, &mut want);
                prop_assert_eq!(&y, &want, "{:?} {:?} number first", isa, op);
                fast::binary_number(isa, op, &a, 1.25, false, &mut y);
                naive::binary(op, &a, &vec![1.25; len], &mut want);
                prop_assert_eq!(&y, &want, "{:?} {:?} number second", isa, op);
            }
        }
    }

    #[test]
    fn linear_is_naive(rows in 0usize..5, cols in 1usize..40, seed: u64) {
        let len = rows * cols;
        let (x, start) = (numbers(seed, len, -2.0, 2.0), numbers(seed ^ 1, len, -2.0, 2.0));
        let bias = numbers(seed ^ 2, cols, -1.0, 1.0);
        for isa in available() {
            let (mut y, mut want) = (start.clone(), start.clone());
            fast::affine(isa, 1.5, -0.25, &x, &mut y);
            naive::affine(1.5, -0.25, &x, &mut want);
            assert_close(&y, &want, 1e-6, "affine");
            fast::axpy(isa, -0.75, &x, &mut y);
            naive::axpy(-0.75, &x, &mut want);
            assert_close(&y, &want, 1e-6, "axpy");
            fast::add_columns(isa, &x, &bias, &mut y);
            naive::add_columns(&x, &bias, &mut want);
            prop_assert_eq!(&y, &want);
            fast::dropout(isa, seed, 0.3, &x, &mut y);
            naive::dropout(seed, 0.3, &x, &mut want);
            prop_assert_eq!(&y, &want);
        }
    }
}

#[test]
fn nan_and_infinity_are_naive() {
    let values = special();
    let n = values.len();
    let a: Vec<f32> = (0..n * n).map(|i| values[i / n]).collect();
    let b: Vec<f32> = (0..n * n).map(|i| values[i % n]).collect();
    let (mut y, mut want) = (vec![0.0; n * n], vec![0.0; n * n]);
    for isa in available() {
        for op in BINARY {
            fast::binary(isa, op, &a, &b, &mut y);
            naive::binary(op, &a, &b, &mut want);
            assert_close(&y, &want, 0.0, &format!("{isa:?} {op:?}"));
        }
        for op in Unary::ALL {
            fast::unary(isa, op, &a, &mut y);
            naive::unary(op, &a, &mut want);
            assert_close(&y, &want, 1e-6, &format!("{isa:?} {op:?}"));
        }
        // What a ReLU can give: NaN lets the gradient pass, 0 does not.
        let kept: Vec<f32> = a.iter().map(|&x| naive::apply(Unary::Relu, x)).collect();
        fast::unary_backward(isa, Unary::Relu, &kept, &b, &mut y);
        naive::unary_backward(Unary::Relu, &kept, &b, &mut want);
        assert_close(&y, &want, 0.0, &format!("{isa:?} relu backward"));
    }
}

#[test]
fn pieces_join() {
    // Longer than several pieces and no multiple of one.
    let len = 5 * crate::lanes::PIECE + 77;
    let x = numbers(3, len, -2.0, 2.0);
    let (mut y, mut want) = (vec![0.0; len], vec![0.0; len]);
    dropout(9, 0.1, &x, &mut y);
    naive::dropout(9, 0.1, &x, &mut want);
    assert_eq!(y, want);
    unary(Unary::Relu, &x, &mut y);
    naive::unary(Unary::Relu, &x, &mut want);
    assert_eq!(y, want);
}
