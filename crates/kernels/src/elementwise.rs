//! Functions of one element at a time: y = f(x), dx = dy f'(x), and products and sums of equal shapes.

pub(crate) mod fast;
pub(crate) mod mixed;
#[cfg(test)]
mod tests;

use crate::Element;
use crate::element::is_f32;
use crate::isa::current;
use crate::naive::elementwise as naive;
use bytemuck::{cast_slice, cast_slice_mut};
pub use mixed::{relu_backward_mixed, relu_mixed};

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// -x
    Neg,
    /// |x|, derivative 0 at 0
    Abs,
    /// x^2
    Square,
    /// Square root
    Sqrt,
    /// 1 / x
    Recip,
    /// e^x
    Exp,
    /// Natural logarithm
    Ln,
    /// max(x, 0), derivative 0 at 0; NaN stays NaN
    Relu,
    /// Hyperbolic tangent
    Tanh,
    /// 1 / (1 + e^-x)
    Sigmoid,
    /// x Φ(x) = x/2 (1 + erf(x / sqrt 2)). Source: Hendrycks and Gimpel, Gaussian error linear units, 2016.
    GeluErf,
    /// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), the approximation of the same paper
    GeluTanh,
}

/// What the backward of a function needs from its forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// x
    Input,
    /// f(x)
    Output,
}

impl Unary {
    /// All of them.
    pub const ALL: [Unary; 12] = [
        Unary::Neg,
        Unary::Abs,
        Unary::Square,
        Unary::Sqrt,
        Unary::Recip,
        Unary::Exp,
        Unary::Ln,
        Unary::Relu,
        Unary::Tanh,
        Unary::Sigmoid,
        Unary::GeluErf,
        Unary::GeluTanh,
    ];

    /// What [`unary_backward`] wants as `kept`. (The derivative of `Neg` looks at neither.)
    pub fn keeps(self) -> Keeps {
        use Unary::*;
        match self {
            Sqrt | Recip | Exp | Relu | Tanh | Sigmoid => Keeps::Output,
            Neg | Abs | Square | Ln | GeluErf | GeluTanh => Keeps::Input,
        }
    }
}

/// A function of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a b
    Mul,
    /// a / b
    Div,
    /// The larger; NaN if either is
    Max,
    /// The smaller; NaN if either is
    Min,
}

/// y = f(x)
///
/// # Panics
/// If the lengths differ, as all functions of this module do.
pub fn unary<T: Element>(op: Unary, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "{op:?}");
    if is_f32::<T>() {
        fast::unary(current(), op, cast_slice(x), cast_slice_mut(y));
    } else {
        naive::unary(op, x, y);
    }
}

/// dx = dy f'(x), where `kept` is x or f(x) as [`Unary::keeps`] says.
pub fn unary_backward<T: Element>(op: Unary, kept: &[T], dy: &[T], dx: &mut [T]) {
    assert_eq!((kept.len(), dy.len()), (dx.len(), dx.len()), "{op:?}");
    if is_f32::<T>() {
        fast::unary_backward(current(), op, cast_slice(kept), cast_slice(dy), cast_slice_mut(dx));
    } else {
        naive::unary_backward(op, kept, dy, dx);
    }
}

/// y = a op b
pub fn binary<T: Element>(op: Binary, a: &[T], b: &[T], y: &mut [T]) {
    assert_eq!((a.len(), b.len()), (y.len(), y.len()), "{op:?}");
    if is_f32::<T>() {
        fast::binary(current(), op, cast_slice(a), cast_slice(b), cast_slice_mut(y));
    } else {
        naive::binary(op, a, b, y);
    }
}

/// y = scale x + shift
pub fn affine<T: Element>(scale: T, shift: T, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "affine");
    if is_f32::<T>() {
        fast::affine(current(), scale.to_f32(), shift.to_f32(), cast_slice(x), cast_slice_mut(y));
    } else {
        naive::affine(scale, shift, x, y);
    }
}

/// y += alpha x; how gradients are accumulated (alpha = 1).
pub fn axpy<T: Element>(alpha: T, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "axpy");
    if is_f32::<T>() {
        fast::axpy(current(), alpha.to_f32(), cast_slice(x), cast_slice_mut(y));
    } else {
        naive::axpy(alpha, x, y);
    }
}

/// y = x + bias, the bias added to each row of `bias.len()` numbers.
pub fn add_columns<T: Element>(x: &[T], bias: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "add_columns");
    assert!(
        x.is_empty() || (!bias.is_empty() && x.len().is_multiple_of(bias.len())),
        "add_columns: rows of {} in {}",
        bias.len(),
        x.len()
    );
    if is_f32::<T>() {
        fast::add_columns(current(), cast_slice(x), cast_slice(bias), cast_slice_mut(y));
    } else {
        naive::add_columns(x, bias, y);
    }
}

/// y = x m, where element i of the mask m is 1 / (1 - rate) if [`crate::random::keep`]`(key, i, rate)`, else 0. The
/// backward is the same function applied to dy: the mask is computed again, not kept.
/// Source: Srivastava et al., Dropout, 2014.
///
/// # Panics
/// Unless 0 <= rate < 1.
pub fn dropout<T: Element>(key: u64, rate: f64, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "dropout");
    assert!((0.0..1.0).contains(&rate), "dropout rate {rate}");
    if is_f32::<T>() {
        fast::dropout(current(), key, rate, cast_slice(x), cast_slice_mut(y));
    } else {
        naive::dropout(key, rate, x, y);
    }
}
