//! Products whose second factor is packed some columns at a time.

use ukulele_kernels::gemm::{Activation, Epilogue, Mat, gemm};

fn numbers(seed: usize, count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

#[test]
fn a_large_factor_gives_each_column_the_bits_it_has_alone() {
    let (m, k, n, ldc) = (9, 2100, 2100, 2110);
    let (a, b, bias) = (numbers(1, m * k), numbers(2, k * n), numbers(3, n));
    let (residual, before) = (numbers(4, m * ldc), numbers(5, m * ldc));
    let a = Mat::new(&a, m, k);
    for b in [Mat::new(&b, k, n), Mat::new(&b, n, k).t()] {
        for accumulate in [false, true] {
            let epilogue = Epilogue { bias: Some(&bias[..]), residual: Some(&residual), activation: Activation::Relu };
            let mut all = before.clone();
            gemm(a, b, &mut all, ldc, accumulate, &epilogue);
            let mut parts = before.clone();
            for first in (0..n).step_by(96) {
                let cols = 96.min(n - first);
                let b = Mat { data: &b.data[first * b.col_stride..], cols, ..b };
                let epilogue =
                    Epilogue { bias: Some(&bias[first..first + cols]), residual: Some(&residual[first..]), ..epilogue };
                gemm(a, b, &mut parts[first..], ldc, accumulate, &epilogue);
            }
            assert!(all == parts, "accumulate {accumulate}");
        }
    }
    let none = Epilogue::NONE;
    gemm(Mat::new(&[], 0, k), Mat::new(&b, k, n), &mut [], n, false, &none);
}
