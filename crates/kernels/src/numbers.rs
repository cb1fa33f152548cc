//! Numbers that lie in memory as f32, or as bf16: the upper halves of f32, rounded to the nearest.
//!
//! Two bf16 that follow each other are a pair of `gemm::pairs`: what lies so is multiplied as it is, and what is computed from it
//! is computed in f32.

use crate::gemm::pack::with_buffer;
use crate::gemm::pairs::rounded;
use crate::isa::{Isa, current};
use crate::lanes::{PIECE, pieces2};
use crate::simd::Simd;
use crate::team::each_chunk;
use bytemuck::{cast_slice, cast_slice_mut};
use std::ops::Range;

/// Numbers to read.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    /// As f32.
    F32(&'a [f32]),
    /// As the bits of bf16.
    Bf16(&'a [u16]),
}

/// Room for numbers, or numbers to change.
#[derive(Debug)]
pub enum NumbersMut<'a> {
    /// As f32.
    F32(&'a mut [f32]),
    /// As the bits of bf16.
    Bf16(&'a mut [u16]),
}

impl<'a> Numbers<'a> {
    /// Those that are known to lie as f32.
    #[inline(always)]
    pub(crate) fn wide(self) -> &'a [f32] {
        match self {
            Self::F32(x) => x,
            Self::Bf16(_) => unreachable!("numbers that lie as f32"),
        }
    }

    /// Those that are known to lie as bf16.
    #[inline(always)]
    pub(crate) fn short(self) -> &'a [u16] {
        match self {
            Self::Bf16(x) => x,
            Self::F32(_) => unreachable!("numbers that lie as bf16"),
        }
    }

    /// Those of `range`, counted in numbers of their kind, in memory that is asked for as f32.
    pub fn within(memory: &'a [f32], bf16: bool, range: Range<usize>) -> Self {
        if bf16 { Self::Bf16(&cast_slice(memory)[range]) } else { Self::F32(&memory[range]) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::Bf16(x) => x.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of them.
    #[inline(always)]
    pub fn part(self, range: Range<usize>) -> Self {
        match self {
            Self::F32(x) => Self::F32(&x[range]),
            Self::Bf16(x) => Self::Bf16(&x[range]),
        }
    }
}

impl<'a> NumbersMut<'a> {
    /// As [`Numbers::within`].
    pub fn within(memory: &'a mut [f32], bf16: bool, range: Range<usize>) -> Self {
        if bf16 { Self::Bf16(&mut cast_slice_mut(memory)[range]) } else { Self::F32(&mut memory[range]) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::Bf16(x) => x.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of them.
    #[inline(always)]
    pub fn part(&mut self, range: Range<usize>) -> NumbersMut<'_> {
        match self {
            Self::F32(x) => NumbersMut::F32(&mut x[range]),
            Self::Bf16(x) => NumbersMut::Bf16(&mut x[range]),
        }
    }

    /// The same for who goes on using them.
    pub fn again(&mut self) -> NumbersMut<'_> {
        self.part(0..self.len())
    }

    /// To be read.
    pub fn seen(&self) -> Numbers<'_> {
        match self {
            Self::F32(x) => Numbers::F32(x),
            Self::Bf16(x) => Numbers::Bf16(x),
        }
    }

    /// Sets all to 0.
    pub(crate) fn clear(self) {
        match self {
            Self::F32(x) => x.fill(0.0),
            Self::Bf16(x) => x.fill(0),
        }
    }

    /// Calls `f(start, piece)` for pieces of `size` numbers, on all threads if there are several.
    pub(crate) fn pieces(self, size: usize, f: impl Fn(usize, NumbersMut) + Send + Sync) {
        let size = size.max(1);
        match self {
            Self::F32(y) => crate::lanes::pieces(y, size, |at, y| f(at, NumbersMut::F32(y))),
            Self::Bf16(y) => crate::lanes::pieces(y, size, |at, y| f(at, NumbersMut::Bf16(y))),
        }
    }

    /// [`NumbersMut::pieces`] of two that lie alike.
    pub(crate) fn pieces2(self, other: Self, size: usize, f: impl Fn(usize, NumbersMut, NumbersMut) + Send + Sync) {
        match (self, other) {
            (Self::F32(a), Self::F32(b)) => {
                pieces2(a, b, size, |at, a, b| f(at, NumbersMut::F32(a), NumbersMut::F32(b)));
            }
            (Self::Bf16(a), Self::Bf16(b)) => {
                pieces2(a, b, size, |at, a, b| f(at, NumbersMut::Bf16(a), NumbersMut::Bf16(b)));
            }
            _ => unreachable!("numbers that lie differently"),
        }
    }
}

/// Whether all that there are lie as f32, or all as bf16.
pub(crate) fn alike<const N: usize>(numbers: [Option<Numbers>; N]) -> bool {
    let mut short = numbers.iter().flatten().map(|numbers| matches!(numbers, Numbers::Bf16(_)));
    let first = short.next();
    short.all(|short| Some(short) == first)
}

/// A number in memory.
pub(crate) trait Stored: Copy + Send + Sync + Default {
    /// As f32.
    fn number(self) -> f32;
    /// The number next to x.
    fn near(x: f32) -> Self;
    /// As many lanes as the slice has numbers, at most all; the others 0.
    fn load<S: Simd>(s: S, x: &[Self]) -> S::V;
    /// All lanes.
    ///
    /// # Safety
    /// `x` must be valid for reading as many numbers.
    unsafe fn load_ptr<S: Simd>(s: S, x: *const Self) -> S::V;
    /// Writes as many lanes as the slice has numbers, at most all.
    fn store<S: Simd>(s: S, x: &mut [Self], v: S::V);
    /// The bits of the bf16 next to it.
    fn short(self) -> u32;
}

impl Stored for f32 {
    #[inline(always)]
    fn number(self) -> f32 {
        self
    }
    #[inline(always)]
    fn near(x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[f32]) -> S::V {
        crate::gemm::store::load(s, x)
    }
    #[inline(always)]
    unsafe fn load_ptr<S: Simd>(s: S, x: *const f32) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load_ptr(x) }
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, x: &mut [f32], v: S::V) {
        if x.len() >= S::LANES { s.store(x, v) } else { s.store_partial(x, v) }
    }
    #[inline(always)]
    fn short(self) -> u32 {
        rounded(self)
    }
}

impl Stored for u16 {
    #[inline(always)]
    fn number(self) -> f32 {
        f32::from_bits(u32::from(self) << 16)
    }
    #[inline(always)]
    fn near(x: f32) -> u16 {
        rounded(x) as u16
    }
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[u16]) -> S::V {
        s.load_bf16(x)
    }
    #[inline(always)]
    unsafe fn load_ptr<S: Simd>(s: S, x: *const u16) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load_bf16_ptr(x) }
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, x: &mut [u16], v: S::V) {
        s.store_bf16(x, v)
    }
    #[inline(always)]
    fn short(self) -> u32 {
        self.into()
    }
}

/// y = x, rounded where y is narrower.
#[inline(always)]
pub(crate) fn copy<S: Simd, X: Stored, Y: Stored>(s: S, x: &[X], y: &mut [Y]) {
    let n = y.len();
    let x = &x[..n];
    for i in (0..n).step_by(S::LANES) {
        let end = n.min(i + S::LANES);
        Y::store(s, &mut y[i..end], X::load(s, &x[i..end]));
    }
}

#[inline(always)]
fn widen_body<S: Simd>(s: S, x: &[u16], y: &mut [f32]) {
    copy(s, x, y);
}
dispatch!(
    /// y = x
    pub(crate) fn widen(x: &[u16], y: &mut [f32]) = widen_body
);

#[inline(always)]
fn narrow_body<S: Simd>(s: S, x: &[f32], y: &mut [u16]) {
    copy(s, x, y);
}
dispatch!(
    /// y = the bf16 next to x
    pub(crate) fn narrow(x: &[f32], y: &mut [u16]) = narrow_body
);

/// y = x, where they lie differently rounded or widened.
///
/// # Panics
/// If there are not as many.
pub fn convert(x: Numbers, y: NumbersMut) {
    assert_eq!(x.len(), y.len(), "numbers to convert");
    y.pieces(PIECE, |at, y| convert_with(current(), x.part(at..at + y.len()), y));
}

/// y += x, both of which lie alike; each sum is f32 and rounded once.
///
/// # Panics
/// If there are not as many, or they lie differently.
pub fn add(x: Numbers, y: NumbersMut) {
    assert_eq!(x.len(), y.len(), "numbers to add");
    assert!(alike([Some(x), Some(y.seen())]), "numbers to add that lie differently");
    y.pieces(PIECE, |at, y| add_piece(current(), x.part(at..at + y.len()), y));
}

#[inline(always)]
fn add_to<S: Simd, X: Stored>(s: S, x: &[X], y: &mut [X]) {
    lanes!(s, in y = [x] s.add(y, x));
}

#[inline(always)]
fn add_body<S: Simd>(s: S, x: Numbers, y: NumbersMut) {
    match (x, y) {
        (Numbers::F32(x), NumbersMut::F32(y)) => add_to(s, x, y),
        (Numbers::Bf16(x), NumbersMut::Bf16(y)) => add_to(s, x, y),
        _ => unreachable!("checked by `add`"),
    }
}
dispatch!(fn add_piece(x: Numbers, y: NumbersMut) = add_body);

/// [`convert`] on an instruction set.
pub(crate) fn convert_with(isa: Isa, x: Numbers, y: NumbersMut) {
    assert_eq!(x.len(), y.len(), "numbers to convert");
    match (x, y) {
        (Numbers::F32(x), NumbersMut::F32(y)) => y.copy_from_slice(x),
        (Numbers::Bf16(x), NumbersMut::Bf16(y)) => y.copy_from_slice(x),
        (Numbers::F32(x), NumbersMut::Bf16(y)) => narrow(isa, x, y),
        (Numbers::Bf16(x), NumbersMut::F32(y)) => widen(isa, x, y),
    }
}

/// x as f32 in `memory`, which is as large, on all threads.
pub(crate) fn widen_all(isa: Isa, x: &[u16], memory: &mut [f32]) {
    each_chunk(memory, PIECE, |i, y| widen(isa, &x[i * PIECE..][..y.len()], y));
}

/// Calls `f` with x as f32.
pub(crate) fn with_wide<R>(isa: Isa, x: Numbers, f: impl FnOnce(&[f32]) -> R) -> R {
    match x {
        Numbers::F32(x) => f(x),
        Numbers::Bf16(x) => with_buffer(x.len(), |wide| {
            widen_all(isa, x, wide);
            f(wide)
        }),
    }
}

/// Calls `f` with room for y as f32, which holds y if it is `read`; what `f` leaves there is rounded as y lies.
pub(crate) fn with_wide_mut(isa: Isa, y: NumbersMut, read: bool, f: impl FnOnce(&mut [f32])) {
    match y {
        NumbersMut::F32(y) => f(y),
        NumbersMut::Bf16(y) => with_buffer(y.len(), |wide| {
            if read {
                widen_all(isa, y, wide);
            }
            f(wide);
            each_chunk(y, PIECE, |i, y| narrow(isa, &wide[i * PIECE..][..y.len()], y));
        }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::isa::available;
    use crate::testing::{numbers, special};
    use half::bf16;

    /// The bits of the bf16 next to the numbers.
    pub(crate) fn narrowed(x: &[f32]) -> Vec<u16> {
        x.iter().map(|&x| bf16::from_f32(x).to_bits()).collect()
    }

    /// The numbers that these bits stand for.
    pub(crate) fn widened(x: &[u16]) -> Vec<f32> {
        x.iter().map(|&x| bf16::from_bits(x).to_f32()).collect()
    }

    /// Panics unless all is within the tolerance and, if it is rounded to bf16, half of its last place.
    pub(crate) fn assert_near(got: &[f32], want: &[f32], rounded: bool, tolerance: f32, what: &str) {
        assert_eq!(got.len(), want.len(), "{what}: lengths");
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let tolerance = tolerance + if rounded { want.abs() / 256.0 } else { 0.0 };
            let same = got == want || got.is_nan() && want.is_nan();
            assert!(same || (got - want).abs() <= tolerance, "{what}: {got} instead of {want} at {i}");
        }
    }

    #[test]
    fn they_are_the_nearest() {
        let mut x = numbers(1, 1000, -3.0, 3.0);
        x.extend(special().iter().filter(|x| x.is_nan() || x.abs() == 0.0 || x.abs() > 1e-30));
        x.extend([1.003_906_3, 1.011_718_8, 3.4e38]);
        for isa in available() {
            for len in (0..70).chain([x.len()]) {
                let from = &x[x.len() - len..];
                let (mut narrow, mut wide) = (vec![7; len], vec![7.0; len]);
                convert_with(isa, Numbers::F32(from), NumbersMut::Bf16(&mut narrow));
                convert_with(isa, Numbers::Bf16(&narrow), NumbersMut::F32(&mut wide));
                for ((x, narrow), wide) in from.iter().zip(narrow).zip(wide) {
                    let want = bf16::from_f32(*x);
                    let same = narrow == want.to_bits() || x.is_nan() && bf16::from_bits(narrow).is_nan();
                    assert!(same, "{isa:?} {len}: {x} is {narrow:x}, not {:x}", want.to_bits());
                    assert!(wide == want.to_f32() || wide.is_nan() && x.is_nan(), "{isa:?} {len}: {x} is {wide}");
                }
                let (a, b) = (narrowed(&numbers(2, len, -3.0, 3.0)), narrowed(&numbers(3, len, -3.0, 3.0)));
                let sums: Vec<f32> = widened(&a).iter().zip(widened(&b)).map(|(a, b)| a + b).collect();
                let (mut sum, mut wide) = (b.clone(), widened(&b));
                add_piece(isa, Numbers::Bf16(&a), NumbersMut::Bf16(&mut sum));
                add_piece(isa, Numbers::F32(&widened(&a)), NumbersMut::F32(&mut wide));
                assert_eq!((sum, &wide), (narrowed(&sums), &sums), "{isa:?} {len}");
            }
        }
    }
}
