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
