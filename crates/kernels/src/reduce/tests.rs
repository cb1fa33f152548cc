//! Fast against naive, on every instruction set.

use super::*;
use crate::isa::available;
use crate::testing::{assert_close, numbers, same_on_1_and_2_threads};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn fast_is_naive(rows in 0usize..20, cols in 1usize..90, seed: u64) {
        let x = numbers(seed, rows * cols, -2.0, 3.0);
        let b = numbers(seed ^ 1, rows * cols, -2.0, 3.0);
        for isa in available() {
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-12 * (1.0 + b.abs());
            prop_assert!(near(fast::sum(isa, &x), naive::sum(&x)));
            prop_assert!(near(fast::dot(isa, &x, &b), naive::dot(&x, &b)));
            prop_assert!(near(fast::dot(isa, &x, &x), naive::sum_squares(&x)));
            prop_assert_eq!(fast::max(isa, &x), naive::max(&x));
            let (mut y, mut want) = (vec![7.0; cols], vec![0.0; cols]);
            fast::column_sums(isa, &x, &mut y);
            naive::column_sums(&x, &mut want);
            assert_close(&y, &want, 1e-7, "columns");
            let (mut y, mut want) = (vec![7.0; rows], vec![0.0; rows]);
            fast::row_sums(isa, &x, cols, &mut y);
            naive::row_sums(&x, cols, &mut want);
            assert_close(&y, &want, 1e-7, "rows");
            fast::row_max(isa, &x, cols, &mut y);
            naive::row_max(&x, cols, &mut want);
            prop_assert_eq!(&y, &want);
            let (mut y, mut want) = (vec![7; rows], vec![0; rows]);
            fast::argmax_rows(isa, &x, cols, &mut y);
            naive::argmax_rows(&x, cols, &mut want);
            prop_assert_eq!(&y, &want);
        }
    }
}

#[test]
fn a_million_rows_stay_exact() {
    // 0.1 summed in f32 one by one would be off by 1 %.
    let (rows, cols) = (1_000_000, 3);
    let x = vec![0.1f32; rows * cols];
    let mut y = [0.0; 3];
    column_sums(&x, &mut y);
    let want = 0.1f32 as f64 * rows as f64;
    for y in y {
        assert!((y as f64 - want).abs() <= want * 1e-7, "{y}");
    }
    assert!((sum(&x) - 3.0 * want).abs() < 1e-6 * want);
    assert!((mean(&x) - 0.1f32 as f64).abs() < 1e-12);
}

#[test]
fn nan_and_ties() {
    for isa in available() {
        let mut x = numbers(1, 50, -1.0, 1.0);
        x[31] = f32::NAN;
        let (mut y, mut at) = ([0.0], [0]);
        fast::row_max(isa, &x, 50, &mut y);
        fast::argmax_rows(isa, &x, 50, &mut at);
        assert!(y[0].is_nan() && at == [31] && fast::max(isa, &x).is_nan(), "{isa:?}");
        fast::argmax_rows(isa, &[1.0, 3.0, 3.0, f32::NEG_INFINITY], 4, &mut at);
        assert_eq!(at, [1]);
        assert_eq!(fast::max(isa, &[]), f32::NEG_INFINITY);
    }
}

#[test]
fn threads_do_not_matter() {
    let (rows, cols) = (3000, 600);
    let x = numbers(5, rows * cols, -1.0, 1.0);
    same_on_1_and_2_threads("sums", || {
        let (mut columns, mut sums) = (vec![0.0f32; cols], vec![0.0f32; rows]);
        column_sums(&x, &mut columns);
        row_sums(&x, cols, &mut sums);
        (columns, sums, sum(&x), sum_squares(&x))
    });
}

#[test]
fn f64_goes_the_naive_way() {
    let x = [1.0f64, 2.0, 4.0, 8.0];
    let mut y = [0.0; 2];
    column_sums(&x, &mut y);
    assert_eq!((y, sum(&x), max(&x)), ([5.0, 10.0], 15.0, 8.0));
}
