//! Matrix product by three nested loops.

use crate::Element;
use crate::gemm::{Activation, Epilogue, Mat};

/// Applies the function to one number.
pub fn activate<T: Element>(activation: Activation, x: T) -> T {
    let half = T::from_f64(0.5);
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(T::ZERO),
        Activation::GeluErf => half * x * (T::ONE + (x * T::from_f64(std::f64::consts::FRAC_1_SQRT_2)).erf()),
        Activation::GeluTanh => {
            let inner = T::from_f64(0.797_884_560_802_865_4) * (x + T::from_f64(0.044715) * x * x * x);
            half * x * (T::ONE + inner.tanh())
        }
    }
}

/// See [`crate::gemm::gemm`].
pub fn gemm<T: Element>(a: Mat<T>, b: Mat<T>, c: &mut [T], ldc: usize, accumulate: bool, epilogue: &Epilogue<T>) {
    for i in 0..a.rows {
        for j in 0..b.cols {
            let at = i * ldc + j;
            let mut sum = if accumulate { c[at] } else { T::ZERO };
            for k in 0..a.cols {
                sum += a.at(i, k) * b.at(k, j);
            }
            c[at] = finish(sum, epilogue, at, j);
        }
    }
}

/// [`gemm`] of 8-bit integers, which are multiplied and added as such: b's of a scale for each column, a's of a scale and a zero
/// point for each row. Rows and columns without a number other than 0 count as zeros.
pub fn gemm_int8(a: Mat<f32>, b: Mat<f32>, c: &mut [f32], ldc: usize, accumulate: bool, epilogue: &Epilogue<f32>) {
    let columns: Vec<_> = (0..b.cols).map(|j| symmetric((0..b.rows).map(|k| b.at(k, j)))).collect();
    for i in 0..a.rows {
        let (scale, row) = affine((0..a.cols).map(|k| a.at(i, k)));
        for (j, (column_scale, column)) in columns.iter().enumerate() {
            let sum: i64 = row.iter().zip(column).map(|(a, b)| a * b).sum();
            let at = i * ldc + j;
            let product = sum as f32 * (scale * column_scale) + if accumulate { c[at] } else { 0.0 };
            c[at] = finish(product, epilogue, at, j);
        }
    }
}

/// Numbers as a scale times integers from −127 to 127.
pub fn symmetric(x: impl Iterator<Item = f32> + Clone) -> (f32, Vec<i64>) {
    let scale = x.clone().map(f32::abs).fold(0.0, f32::max) / 127.0;
    let integer = |x: f32| if scale == 0.0 { 0 } else { (x / scale).round_ties_even() as i64 };
    (scale, x.map(integer).collect())
}

/// Numbers as a scale times integers that are 256 in a row, 0 among them.
pub fn affine(x: impl Iterator<Item = f32> + Clone) -> (f32, Vec<i64>) {
    let (least, most) = (x.clone().fold(0.0, f32::min), x.clone().fold(0.0, f32::max));
    let scale = most / 255.0 - least / 255.0;
    let zero = if scale == 0.0 { 0 } else { (-least / scale).round_ties_even() as i64 };
    let integer = |x: f32| {
        let q = if scale == 0.0 { 0 } else { (x * (1.0 / scale)).round_ties_even() as i64 };
        (q + zero).clamp(0, 255) - zero
    };
    (scale, x.map(integer).collect())
}

/// act(sum + bias + residual) for the element at `at`, column `j`, of the result.
pub(crate) fn finish<T: Element>(mut sum: T, epilogue: &Epilogue<T>, at: usize, j: usize) -> T {
    if let Some(bias) = epilogue.bias {
        sum += bias[j];
    }
    if let Some(residual) = epilogue.residual {
        sum += residual[at];
    }
    activate(epilogue.activation, sum)
}
