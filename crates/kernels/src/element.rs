//! The element types of a tensor: f32 for work, f64 for proving gradients.

use bytemuck::Pod;
use std::any::TypeId;
use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// A floating point number that kernels can work on: `f32` or `f64`.
pub trait Element:
    Pod
    + Send
    + Sync
    + Debug
    + Display
    + Default
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + 'static
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// The distance from 1 to the next larger number.
    const EPSILON: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// Negative infinity.
    const NEG_INFINITY: Self;
    /// Short name of the type: `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// The nearest number of this type.
    fn from_f64(x: f64) -> Self;
    /// The same number in f64 (exact).
    fn to_f64(self) -> f64;
    /// The nearest number of this type.
    fn from_f32(x: f32) -> Self;
    /// The nearest f32.
    fn to_f32(self) -> f32;
    /// The nearest number of this type.
    fn from_usize(n: usize) -> Self {
        Self::from_f64(n as f64)
    }

    /// e^x
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// ln(1 + x), precise for small x.
    fn ln_1p(self) -> Self;
    /// e^x - 1, precise for small x.
    fn exp_m1(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The error function, 2/sqrt(pi) times the integral of e^(-t^2) from 0 to x.
    fn erf(self) -> Self;
    /// Sine.
    fn sin(self) -> Self;
    /// Cosine.
    fn cos(self) -> Self;
    /// x^y
    fn powf(self, y: Self) -> Self;
    /// x^n
    fn powi(self, n: i32) -> Self;
    /// |x|
    fn abs(self) -> Self;
    /// Largest integer not above x.
    fn floor(self) -> Self;
    /// Smallest integer not below x.
    fn ceil(self) -> Self;
    /// The larger of the two; NaN if either is NaN (as torch does).
    fn max(self, other: Self) -> Self {
        if self > other || self.is_nan() { self } else { other }
    }
    /// The smaller of the two; NaN if either is NaN (as torch does).
    fn min(self, other: Self) -> Self {
        if self < other || self.is_nan() { self } else { other }
    }
    /// Is it not a number?
    fn is_nan(self) -> bool;
    /// Is it neither infinite nor NaN?
    fn is_finite(self) -> bool;
}

macro_rules! element {
    ($t:ident, $name:literal, $erf:expr) => {
        impl Element for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const EPSILON: Self = $t::EPSILON;
            const INFINITY: Self = $t::INFINITY;
            const NEG_INFINITY: Self = $t::NEG_INFINITY;
            const NAME: &'static str = $name;
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            fn to_f64(self) -> f64 {
                self as f64
            }
            fn from_f32(x: f32) -> Self {
                x as $t
            }
            fn to_f32(self) -> f32 {
                self as f32
            }
            fn exp(self) -> Self {
                $t::exp(self)
            }
            fn ln(self) -> Self {
                $t::ln(self)
            }
            fn ln_1p(self) -> Self {
                $t::ln_1p(self)
            }
            fn exp_m1(self) -> Self {
                $t::exp_m1(self)
            }
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            fn tanh(self) -> Self {
                $t::tanh(self)
            }
            fn erf(self) -> Self {
                $erf(self)
            }
            fn sin(self) -> Self {
                $t::sin(self)
            }
            fn cos(self) -> Self {
                $t::cos(self)
            }
            fn powf(self, y: Self) -> Self {
                $t::powf(self, y)
            }
            fn powi(self, n: i32) -> Self {
                $t::powi(self, n)
            }
            fn abs(self) -> Self {
                $t::abs(self)
            }
            fn floor(self) -> Self {
                $t::floor(self)
            }
            fn ceil(self) -> Self {
                $t::ceil(self)
            }
            fn is_nan(self) -> bool {
                $t::is_nan(self)
            }
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
        }
    };
}

element!(f32, "f32", |x: f32| erf(x as f64) as f32);
element!(f64, "f64", erf);

/// erf(x) = 2/sqrt(pi) e^(-x^2) sum_n 2^n x^(2n+1) / (2n+1)!!. All terms have one sign, so nothing cancels and the
/// error stays below 2e-15; from |x| = 6 on the result rounds to 1.
/// Source: Abramowitz and Stegun 7.1.6.
fn erf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x.abs() >= 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > sum.abs() * 1e-17 {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// The slice as one of `U` if that is what it is.
pub fn cast<T: Element, U: Element>(x: &[T]) -> Option<&[U]> {
    (TypeId::of::<T>() == TypeId::of::<U>()).then(|| bytemuck::cast_slice(x))
}

/// The slice as a mutable one of `U` if that is what it is.
pub fn cast_mut<T: Element, U: Element>(x: &mut [T]) -> Option<&mut [U]> {
    (TypeId::of::<T>() == TypeId::of::<U>()).then(|| bytemuck::cast_slice_mut(x))
}

/// The slice as f32 if that is what it is.
pub fn as_f32<T: Element>(x: &[T]) -> Option<&[f32]> {
    cast(x)
}

/// The slice as mutable f32 if that is what it is.
pub fn as_f32_mut<T: Element>(x: &mut [T]) -> Option<&mut [f32]> {
    cast_mut(x)
}

/// Is `T` f32, the type that has fast kernels?
pub fn is_f32<T: Element>() -> bool {
    TypeId::of::<T>() == TypeId::of::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_matches_known_values() {
        // Abramowitz and Stegun, table 7.1, and erf(3.5), erf(5) to double precision.
        for (x, want) in [
            (0.0, 0.0),
            (0.1, 0.1124629160182849),
            (0.5, 0.5204998778130465),
            (1.0, 0.8427007929497149),
            (2.0, 0.9953222650189527),
            (3.5, 0.9999992569016276),
            (5.0, 0.9999999999984626),
            (7.0, 1.0),
        ] {
            assert!((Element::erf(x) - want).abs() < 2e-15, "erf({x}) = {}", Element::erf(x));
            assert_eq!(Element::erf(-x), -Element::erf(x));
        }
    }

    #[test]
    fn only_f32_casts() {
        assert_eq!(as_f32(&[1.0f32, 2.0]), Some(&[1.0f32, 2.0][..]));
        assert_eq!(as_f32(&[1.0f64]), None);
        assert!(as_f32_mut(&mut [1.0f64]).is_none());
    }

    #[test]
    fn max_and_min_keep_nan() {
        assert!(Element::max(f32::NAN, 1.0).is_nan() && Element::max(1.0, f32::NAN).is_nan());
        assert!(Element::min(f64::NAN, 1.0).is_nan() && Element::min(1.0, f64::NAN).is_nan());
        assert_eq!(Element::max(1.0f32, 2.0), 2.0);
        assert_eq!(Element::min(1.0f32, 2.0), 1.0);
    }
}
