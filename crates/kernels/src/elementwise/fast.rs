//! The functions over vectors, and their work on all threads.

use super::{Binary, Unary};
use crate::isa::Isa;
use crate::lanes::{PIECE, pieces};
use crate::math;
use crate::naive::elementwise as naive;
use crate::random;
use crate::simd::Simd;

pub(crate) fn unary(isa: Isa, op: Unary, x: &[f32], y: &mut [f32]) {
    pieces(y, PIECE, |at, y| unary_piece(isa, op, &x[at..], y));
}

dispatch!(fn unary_piece(op: Unary, x: &[f32], y: &mut [f32]) = unary_body);
#[inline(always)]
fn unary_body<S: Simd>(s: S, op: Unary, x: &[f32], y: &mut [f32]) {
    let one = s.splat(1.0);
    match op {
        Unary::Neg => lanes!(s, y = [x] s.neg(x)),
        Unary::Abs => lanes!(s, y = [x] s.abs(x)),
        Unary::Square => lanes!(s, y = [x] s.mul(x, x)),
        Unary::Sqrt => lanes!(s, y = [x] s.sqrt(x)),
        Unary::Recip => lanes!(s, y = [x] s.div(one, x)),
        Unary::Exp => lanes!(s, y = [x] math::exp(s, x)),
        Unary::Ln => naive::unary(op, x, y),
        Unary::Relu => lanes!(s, y = [x] s.max(s.zero(), x)),
        Unary::Tanh => lanes!(s, y = [x] math::tanh(s, x)),
        Unary::Sigmoid => lanes!(s, y = [x] math::sigmoid(s, x)),
        Unary::GeluErf => lanes!(s, y = [x] math::gelu_erf(s, x)),
        Unary::GeluTanh => lanes!(s, y = [x] math::gelu_tanh(s, x)),
    }
}

pub(crate) fn unary_backward(isa: Isa, op: Unary, kept: &[f32], dy: &[f32], dx: &mut [f32]) {
    pieces(dx, PIECE, |at, dx| {
        unary_backward_piece(isa, op, &kept[at..], &dy[at..], dx);
    });
}

dispatch!(fn unary_backward_piece(op: Unary, k: &[f32], dy: &[f32], dx: &mut [f32]) = unary_backward_body);
#[inline(always)]
fn unary_backward_body<S: Simd>(s: S, op: Unary, k: &[f32], dy: &[f32], dx: &mut [f32]) {
    let one = s.splat(1.0);
    // An output of ReLU that is less than this is 0.
    let tiny = s.splat(f32::from_bits(1));
    match op {
        Unary::Neg => lanes!(s, dx = [dy] s.neg(dy)),
        Unary::Abs => lanes!(s, dx = [k, dy] {
            let sign = s.select(s.less(k, s.zero()), s.neg(one), k);
            s.mul(dy, s.select(s.less(s.zero(), k), one, sign))
        }),
        Unary::Square => lanes!(s, dx = [k, dy] s.mul(dy, s.add(k, k))),
        Unary::Sqrt => lanes!(s, dx = [k, dy] s.mul(dy, s.div(s.splat(0.5), k))),
        Unary::Recip => lanes!(s, dx = [k, dy] s.mul(dy, s.mul(s.neg(k), k))),
        Unary::Exp => lanes!(s, dx = [k, dy] s.mul(dy, k)),
        Unary::Ln => lanes!(s, dx = [k, dy] s.mul(dy, s.div(one, k))),
        Unary::Relu => lanes!(s, dx = [k, dy] s.select(s.less(k, tiny), s.zero(), dy)),
        Unary::Tanh => lanes!(s, dx = [k, dy] s.mul(dy, s.sub(one, s.mul(k, k)))),
        Unary::Sigmoid => lanes!(s, dx = [k, dy] s.mul(dy, s.mul(k, s.sub(one, k)))),
        Unary::GeluErf => lanes!(s, dx = [k, dy] s.mul(dy, math::gelu_erf_derivative(s, k))),
        Unary::GeluTanh => lanes!(s, dx = [k, dy] s.mul(dy, math::gelu_tanh_derivative(s, k))),
    }
}

pub(crate) fn binary(isa: Isa, op: Binary, a: &[f32], b: &[f32], y: &mut [f32]) {
    pieces(y, PIECE, |at, y| binary_piece(isa, op, &a[at..], &b[at..], y));
}

dispatch!(pub(crate) fn binary_piece(op: Binary, a: &[f32], b: &[f32], y: &mut [f32]) = binary_body);
#[inline(always)]
fn binary_body<S: Simd>(s: S, op: Binary, a: &[f32], b: &[f32], y: &mut [f32]) {
    match op {
        Binary::Add => lanes!(s, y = [a, b] s.add(a, b)),
        Binary::Sub => lanes!(s, y = [a, b] s.sub(a, b)),
        Binary::Mul => lanes!(s, y = [a, b] s.mul(a, b)),
        Binary::Div => lanes!(s, y = [a, b] s.div(a, b)),
        Binary::Max => lanes!(s, y = [a, b] larger(s, a, b)),
        Binary::Min => lanes!(s, y = [a, b] s.neg(larger(s, s.neg(a), s.neg(b)))),
    }
}

/// The larger, NaN if either is.
#[inline(always)]
fn larger<S: Simd>(s: S, a: S::V, b: S::V) -> S::V {
    // max is b where either is NaN: right unless a is. Where a is infinite or NaN, a + max(0, b) is it, or NaN if b is.
    let a_or_nan = s.add(a, s.max(s.zero(), b));
    s.select(s.less(a, s.splat(f32::INFINITY)), s.max(a, b), a_or_nan)
}

/// y = a op b for one number b, or b op a.
pub(crate) fn binary_number(isa: Isa, op: Binary, a: &[f32], b: f32, swap: bool, y: &mut [f32]) {
    binary_number_piece(isa, op, a, b, swap, y);
}

dispatch!(fn binary_number_piece(op: Binary, a: &[f32], b: f32, swap: bool, y: &mut [f32]) = binary_number_body);
#[inline(always)]
fn binary_number_body<S: Simd>(s: S, op: Binary, a: &[f32], b: f32, swap: bool, y: &mut [f32]) {
    let b = s.splat(b);
    match (op, swap) {
        (Binary::Add, _) => lanes!(s, y = [a] s.add(a, b)),
        (Binary::Sub, false) => lanes!(s, y = [a] s.sub(a, b)),
        (Binary::Sub, true) => lanes!(s, y = [a] s.sub(b, a)),
        (Binary::Mul, _) => lanes!(s, y = [a] s.mul(a, b)),
        (Binary::Div, false) => lanes!(s, y = [a] s.div(a, b)),
        (Binary::Div, true) => lanes!(s, y = [a] s.div(b, a)),
        (Binary::Max, _) => lanes!(s, y = [a] larger(s, a, b)),
        (Binary::Min, _) => lanes!(s, y = [a] s.neg(larger(s, s.neg(a), s.neg(b)))),
    }
}

pub(crate) fn affine(isa: Isa, scale: f32, shift: f32, x: &[f32], y: &mut [f32]) {
    pieces(y, PIECE, |at, y| affine_piece(isa, scale, shift, &x[at..], y));
}

dispatch!(fn affine_piece(scale: f32, shift: f32, x: &[f32], y: &mut [f32]) = affine_body);
#[inline(always)]
fn affine_body<S: Simd>(s: S, scale: f32, shift: f32, x: &[f32], y: &mut [f32]) {
    let (scale, shift) = (s.splat(scale), s.splat(shift));
    lanes!(s, y = [x] s.mul_add(scale, x, shift));
}

pub(crate) fn axpy(isa: Isa, alpha: f32, x: &[f32], y: &mut [f32]) {
    pieces(y, PIECE, |at, y| axpy_piece(isa, alpha, &x[at..], y));
}

dispatch!(fn axpy_piece(alpha: f32, x: &[f32], y: &mut [f32]) = axpy_body);
#[inline(always)]
fn axpy_body<S: Simd>(s: S, alpha: f32, x: &[f32], y: &mut [f32]) {
    let alpha = s.splat(alpha);
    lanes!(s, in y = [x] s.mul_add(alpha, x, y));
}

pub(crate) fn add_columns(isa: Isa, x: &[f32], bias: &[f32], y: &mut [f32]) {
    let rows = crate::lanes::piece_rows(bias.len());
    pieces(y, rows * bias.len(), |at, y| {
        add_columns_piece(isa, &x[at..], bias, y);
    });
}

dispatch!(fn add_columns_piece(x: &[f32], bias: &[f32], y: &mut [f32]) = add_columns_body);
#[inline(always)]
fn add_columns_body<S: Simd>(s: S, x: &[f32], bias: &[f32], y: &mut [f32]) {
    let cols = bias.len();
    for (x, y) in x.chunks_exact(cols).zip(y.chunks_exact_mut(cols)) {
        lanes!(s, y = [x, bias] s.add(x, bias));
    }
}

pub(crate) fn dropout(isa: Isa, key: u64, rate: f64, x: &[f32], y: &mut [f32]) {
    pieces(y, PIECE, |at, y| {
        dropout_piece(isa, key, at as u64, rate, &x[at..], y);
    });
}

dispatch!(fn dropout_piece(key: u64, first: u64, rate: f64, x: &[f32], y: &mut [f32]) = dropout_body);
#[inline(always)]
fn dropout_body<S: Simd>(s: S, key: u64, first: u64, rate: f64, x: &[f32], y: &mut [f32]) {
    let mut mask = [0.0; 256];
    for (i, (x, y)) in x.chunks(256).zip(y.chunks_mut(256)).enumerate() {
        let mask = &mut mask[..y.len()];
        random::keep_mask(key, first + 256 * i as u64, rate, mask);
        lanes!(s, y = [x, mask] s.mul(x, mask));
    }
}
