//! Fast against naive, on every instruction set.

use super::*;
use crate::isa::available;
use crate::testing::{assert_close, numbers};
use proptest::prelude::*;

/// A shape, and strides of some order of its dimensions, spread by a factor, some 0.
fn any_strided() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    let dim = (0usize..40, 0usize..100, 0usize..4);
    (prop::collection::vec(dim, 0..5), 1usize..3).prop_map(|(dims, spread)| {
        let shape: Vec<usize> = dims.iter().map(|&(size, _, _)| if size > 35 { size } else { size % 6 }).collect();
        let shape: Vec<usize> = shape.iter().map(|&n| if n == 0 && shape.len() > 2 { 1 } else { n }).collect();
        let mut order: Vec<usize> = (0..dims.len()).collect();
        order.sort_by_key(|&d| dims[d].1);
        let (mut strides, mut step) = (vec![0; dims.len()], spread);
        for d in order {
            // One dimension in four repeats.
            if dims[d].2 > 0 {
                strides[d] = step;
                step *= shape[d].max(1);
            }
        }
        (shape, strides)
    })
}

/// Numbers for a strided tensor.
fn memory(shape: &[usize], strides: &[usize], seed: u64) -> Vec<f32> {
    let last: usize = shape.iter().zip(strides).map(|(n, s)| n.saturating_sub(1) * s).sum();
    numbers(seed, last + 1, -1.0, 1.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn copies_are_naive((shape, strides) in any_strided(), seed: u64) {
        let n = numel(&shape);
        let x = memory(&shape, &strides, seed);
        let (mut y, mut want) = (vec![7.0; n], vec![0.0; n]);
        fast::gather(&shape, &x, &strides, &mut y);
        naive::gather(&shape, &x, &strides, &mut want);
        prop_assert_eq!(&y, &want);
        let (mut back, mut back_want) = (x.clone(), x.clone());
        fast::scatter_add(&shape, &y, &mut back, &strides);
        naive::scatter_add(&shape, &y, &mut back_want, &strides);
        assert_close(&back, &back_want, 1e-5, "scatter_add");
        if strides.iter().zip(&shape).all(|(&s, &n)| s > 0 || n == 1) {
            fast::scatter(&shape, &y, &mut back, &strides);
            naive::scatter(&shape, &y, &mut back_want, &strides);
            assert_close(&back, &back_want, 1e-5, "scatter");
        }
    }

    #[test]
    fn broadcasts_are_naive((shape, a_strides) in any_strided(), zeros in 0u32..32, seed: u64) {
        let n = numel(&shape);
        // b: dense, with some dimensions repeated.
        let mut b_strides: Vec<usize> = (0..shape.len()).map(|d| shape[d + 1..].iter().product()).collect();
        b_strides.iter_mut().enumerate().for_each(|(d, s)| *s *= (zeros >> d & 1) as usize);
        let (a, b) = (memory(&shape, &a_strides, seed), memory(&shape, &b_strides, seed ^ 1));
        let (mut y, mut want) = (vec![7.0; n], vec![0.0; n]);
        for isa in available() {
            for op in [Binary::Sub, Binary::Div, Binary::Max] {
                fast::binary(isa, op, &shape, (&a, &a_strides), (&b, &b_strides), &mut y);
                naive::binary(op, &shape, (&a, &a_strides), (&b, &b_strides), &mut want);
                prop_assert_eq!(&y, &want);
                fast::binary(isa, op, &shape, (&b, &b_strides), (&a, &a_strides), &mut y);
                naive::binary(op, &shape, (&b, &b_strides), (&a, &a_strides), &mut want);
                prop_assert_eq!(&y, &want);
            }
        }
    }

    #[test]
    fn sums_are_naive((shape, _) in any_strided(), which in 0u32..32, seed: u64) {
        let summed: Vec<bool> = (0..shape.len()).map(|d| which >> d & 1 == 1).collect();
        let kept: usize = (0..shape.len()).map(|d| if summed[d] { 1 } else { shape[d] }).product();
        let x = numbers(seed, numel(&shape), -1.0, 1.0);
        let (mut y, mut want, mut magnitude) = (vec![7.0; kept], vec![0.0f64; kept], vec![0.0; kept]);
        fast::sum_dims(&shape, &x, &summed, &mut y);
        // Up to two million numbers: what they sum up to says nothing of how they are rounded, their magnitudes do.
        let exact: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        naive::sum_dims(&shape, &exact, &summed, &mut want);
        naive::sum_dims(&shape, &exact.iter().map(|x| x.abs()).collect::<Vec<_>>(), &summed, &mut magnitude);
        for ((y, want), magnitude) in y.iter().zip(want).zip(magnitude) {
            assert!((f64::from(*y) - want).abs() <= 2e-6 * magnitude, "{y}, not {want}, of {magnitude}");
        }
    }
}

#[test]
fn channels_last_and_back() {
    // Odd sizes, larger than a tile, in both directions.
    let (n, c, h, w) = (2, 19, 5, 37);
    let x = numbers(1, n * c * h * w, -1.0, 1.0);
    let (mut y, mut back, mut want) = (x.clone(), x.clone(), x.clone());
    // Memory [n][h][w][c] read as [n][c][h][w].
    let (shape, strides) = ([n, c, h, w], [h * w * c, 1, w * c, c]);
    fast::gather(&shape, &x, &strides, &mut y);
    naive::gather(&shape, &x, &strides, &mut want);
    assert_eq!(y, want);
    fast::gather(&[n, h, w, c], &y, &[c * h * w, w, 1, h * w], &mut back);
    assert_eq!(back, x);
}

#[test]
#[should_panic(expected = "beyond 5 numbers")]
fn strides_beyond_the_slice_panic() {
    gather(&[2, 3], &[0.0f32; 5], &[3, 1], &mut [0.0; 6]);
}
