//! ReLU of numbers that lie as f32 or all as bf16.

use crate::isa::{Isa, current};
use crate::lanes::PIECE;
use crate::numbers::{Numbers, NumbersMut, Stored, alike};
use crate::simd::Simd;

#[inline(always)]
fn relu_of<S: Simd, X: Stored>(s: S, x: &[X], y: &mut [X]) {
    lanes!(s, y = [x] s.max(s.zero(), x));
}

#[inline(always)]
fn relu_body<S: Simd>(s: S, x: Numbers, y: NumbersMut) {
    match (x, y) {
        (Numbers::F32(x), NumbersMut::F32(y)) => relu_of(s, x, y),
        (Numbers::Bf16(x), NumbersMut::Bf16(y)) => relu_of(s, x, y),
        _ => unreachable!("checked by the entries"),
    }
}
dispatch!(fn relu_piece(x: Numbers, y: NumbersMut) = relu_body);

#[inline(always)]
fn passed_of<S: Simd, X: Stored>(s: S, y: &[X], dy: &[X], dx: &mut [X]) {
    // What is less than this is 0.
    let tiny = s.splat(f32::from_bits(1));
    lanes!(s, dx = [y, dy] s.select(s.less(y, tiny), s.zero(), dy));
}

#[inline(always)]
fn passed_body<S: Simd>(s: S, y: Numbers, dy: Numbers, dx: NumbersMut) {
    match (y, dy, dx) {
        (Numbers::F32(y), Numbers::F32(dy), NumbersMut::F32(dx)) => passed_of(s, y, dy, dx),
        (Numbers::Bf16(y), Numbers::Bf16(dy), NumbersMut::Bf16(dx)) => passed_of(s, y, dy, dx),
        _ => unreachable!("checked by the entries"),
    }
}
dispatch!(
    /// dx = dy where the output y of a ReLU is not 0.
    pub(crate) fn passed_piece(y: Numbers, dy: Numbers, dx: NumbersMut) = passed_body
);

/// y = max(x, 0); both lie alike.
///
/// # Panics
/// If the sizes do not fit, or they lie differently.
pub fn relu_mixed(x: Numbers, y: NumbersMut) {
    relu_with(current(), x, y);
}

pub(super) fn relu_with(isa: Isa, x: Numbers, y: NumbersMut) {
    assert_eq!(x.len(), y.len(), "relu");
    assert!(alike([Some(x), Some(y.seen())]), "relu: numbers that lie differently");
    y.pieces(PIECE, |at, y| relu_piece(isa, x.part(at..at + y.len()), y));
}

/// dx = dy where the output y is not 0; all lie alike.
///
/// # Panics
/// As [`relu_mixed`].
pub fn relu_backward_mixed(y: Numbers, dy: Numbers, dx: NumbersMut) {
    relu_backward_with(current(), y, dy, dx);
}

pub(super) fn relu_backward_with(isa: Isa, y: Numbers, dy: Numbers, dx: NumbersMut) {
    assert_eq!((y.len(), dy.len()), (dx.len(), dx.len()), "relu");
    assert!(alike([Some(y), Some(dy), Some(dx.seen())]), "relu: numbers that lie differently");
    dx.pieces(PIECE, |at, dx| {
        let piece = at..at + dx.len();
        passed_piece(isa, y.part(piece.clone()), dy.part(piece), dx);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::Unary;
    use crate::isa::available;
    use crate::naive::elementwise as naive;
    use crate::numbers::tests::{assert_near, narrowed, widened};
    use crate::testing::{numbers, special};

    #[test]
    fn agrees_with_the_naive_twin() {
        for len in [0, 1, 15, 16, 37, 70_001] {
            let mut x = widened(&narrowed(&numbers(1, len, -1.0, 1.0)));
            x.iter_mut().zip(special()).for_each(|(x, special)| *x = special);
            let (x, dy) = (widened(&narrowed(&x)), widened(&narrowed(&numbers(2, len, -1.0, 1.0))));
            let [mut want, mut want_dx] = [(); 2].map(|()| vec![7.0; len]);
            naive::unary(Unary::Relu, &x, &mut want);
            naive::unary_backward(Unary::Relu, &want, &dy, &mut want_dx);
            for isa in available() {
                let (mut y, mut dx) = (vec![7; len], vec![7; len]);
                relu_with(isa, Numbers::Bf16(&narrowed(&x)), NumbersMut::Bf16(&mut y));
                assert_near(&widened(&y), &want, false, 0.0, "relu of bf16");
                let gradient = narrowed(&dy);
                relu_backward_with(isa, Numbers::Bf16(&y), Numbers::Bf16(&gradient), NumbersMut::Bf16(&mut dx));
                assert_near(&widened(&dx), &want_dx, false, 0.0, "gradient of bf16");
                let (mut y, mut dx) = (vec![7.0; len], vec![7.0; len]);
                relu_with(isa, Numbers::F32(&x), NumbersMut::F32(&mut y));
                relu_backward_with(isa, Numbers::F32(&y), Numbers::F32(&dy), NumbersMut::F32(&mut dx));
                assert_near(&y, &want, false, 0.0, "relu");
                assert_near(&dx, &want_dx, false, 0.0, "gradient");
            }
        }
    }
}
