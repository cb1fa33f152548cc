//! Functions of one element at a time.

use crate::Element;
use crate::elementwise::{Binary, Unary};
use crate::gemm::Activation;
use crate::naive::gemm::activate;
use crate::random;

/// f(x)
pub fn apply<T: Element>(op: Unary, x: T) -> T {
    match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Square => x * x,
        Unary::Sqrt => x.sqrt(),
        Unary::Recip => T::ONE / x,
        Unary::Exp => x.exp(),
        Unary::Ln => x.ln(),
        Unary::Relu => x.max(T::ZERO),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => T::ONE / (T::ONE + (-x).exp()),
        Unary::GeluErf => activate(Activation::GeluErf, x),
        Unary::GeluTanh => activate(Activation::GeluTanh, x),
    }
}

/// f'(x), given what [`Unary::keeps`] says: x or f(x).
pub fn derivative<T: Element>(op: Unary, kept: T) -> T {
    let c = T::from_f64;
    match op {
        Unary::Neg => -T::ONE,
        Unary::Abs if kept > T::ZERO => T::ONE,
        Unary::Abs if kept < T::ZERO => -T::ONE,
        Unary::Abs => kept, // 0, or NaN
        Unary::Square => c(2.0) * kept,
        Unary::Sqrt => c(0.5) / kept,
        Unary::Recip => -kept * kept,
        Unary::Exp => kept,
        Unary::Ln => T::ONE / kept,
        Unary::Relu if kept <= T::ZERO => T::ZERO,
        Unary::Relu => T::ONE,
        Unary::Tanh => T::ONE - kept * kept,
        Unary::Sigmoid => kept * (T::ONE - kept),
        Unary::GeluErf => {
            let x = kept;
            let cdf = c(0.5) * (T::ONE + (x * c(std::f64::consts::FRAC_1_SQRT_2)).erf());
            // 0.3989... = 1 / sqrt(2 pi)
            let pdf = c(0.398_942_280_401_432_7) * (c(-0.5) * x * x).exp();
            if pdf == T::ZERO { cdf } else { cdf + x * pdf }
        }
        Unary::GeluTanh => {
            let x = kept;
            // 0.7978... = sqrt(2 / pi)
            let (a, b) = (c(0.797_884_560_802_865_4), c(0.044715));
            let t = (a * (x + b * x * x * x)).tanh();
            let sech2 = T::ONE - t * t;
            let first = c(0.5) * (T::ONE + t);
            if sech2 == T::ZERO {
                return first;
            }
            first + c(0.5) * x * sech2 * a * (T::ONE + c(3.0) * b * x * x)
        }
    }
}

/// See [`crate::elementwise::unary`].
pub fn unary<T: Element>(op: Unary, x: &[T], y: &mut [T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = apply(op, x);
    }
}

/// See [`crate::elementwise::unary_backward`].
pub fn unary_backward<T: Element>(op: Unary, kept: &[T], dy: &[T], dx: &mut [T]) {
    for i in 0..dx.len() {
        dx[i] = match op {
            // Not times 0: the gradient stays 0 even where dy is infinite, as in torch.
            Unary::Relu if kept[i] <= T::ZERO => T::ZERO,
            _ => dy[i] * derivative(op, kept[i]),
        };
    }
}

/// a op b
pub fn combine<T: Element>(op: Binary, a: T, b: T) -> T {
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Max => a.max(b),
        Binary::Min => a.min(b),
    }
}

/// See [`crate::elementwise::binary`].
pub fn binary<T: Element>(op: Binary, a: &[T], b: &[T], y: &mut [T]) {
    for i in 0..y.len() {
        y[i] = combine(op, a[i], b[i]);
    }
}

/// See [`crate::elementwise::affine`].
pub fn affine<T: Element>(scale: T, shift: T, x: &[T], y: &mut [T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = scale * x + shift;
    }
}

/// See [`crate::elementwise::axpy`].
pub fn axpy<T: Element>(alpha: T, x: &[T], y: &mut [T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += alpha * x;
    }
}

/// See [`crate::elementwise::add_columns`].
pub fn add_columns<T: Element>(x: &[T], bias: &[T], y: &mut [T]) {
    for (i, (y, &x)) in y.iter_mut().zip(x).enumerate() {
        *y = x + bias[i % bias.len()];
    }
}

/// See [`crate::elementwise::dropout`].
pub fn dropout<T: Element>(key: u64, rate: f64, x: &[T], y: &mut [T]) {
    let scale = T::from_f64(1.0 / (1.0 - rate));
    for (i, (y, &x)) in y.iter_mut().zip(x).enumerate() {
        let kept = random::keep(key, i as u64, rate);
        *y = x * if kept { scale } else { T::ZERO };
    }
}
