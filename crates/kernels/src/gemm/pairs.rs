//! bf16, the upper half of an f32, in pairs: two such numbers lie in the place of one f32, so that tiles, panels and walks
//! serve as they are, with half the depth.
//!
//! A pair is rounded from two f32 that follow each other, ties to even. Products of pairs are summed in f32.

use super::tile::{ENDLESS_CHAIN, LONG_CHAIN};
use super::{Precision, quads};
use crate::isa::Isa;
use crate::numbers::{Numbers, Stored};
use crate::simd::Simd;

/// What the places of A and B hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One f32.
    Single,
    /// Two bf16, whose products are made of f32 operations.
    Pairs,
    /// Two bf16, multiplied by the processor's instruction. It takes denormal numbers for 0 and does not round between the
    /// two products.
    NativePairs,
    /// Four 8-bit integers, whose products are made of 16-bit operations.
    Quads,
    /// Four 8-bit integers, multiplied by the processor's instruction.
    NativeQuads,
}

impl Kind {
    /// Numbers in this precision as this instruction set has them.
    pub(crate) fn of(isa: Isa, precision: Precision) -> Self {
        match precision {
            Precision::F32 => Kind::Single,
            Precision::Bf16 => Self::pairs(isa),
            Precision::Int8 => Self::quads(isa),
        }
    }

    /// Pairs as this instruction set has them.
    pub(crate) fn pairs(isa: Isa) -> Self {
        if isa == Isa::Avx512 && native() { Kind::NativePairs } else { Kind::Pairs }
    }

    /// Quads as this instruction set has them.
    pub(crate) fn quads(isa: Isa) -> Self {
        if isa == Isa::Avx512 && native_quads() { Kind::NativeQuads } else { Kind::Quads }
    }

    pub(crate) fn precision(self) -> Precision {
        match self {
            Kind::Single => Precision::F32,
            Kind::Pairs | Kind::NativePairs => Precision::Bf16,
            Kind::Quads | Kind::NativeQuads => Precision::Int8,
        }
    }

    /// Places that so many numbers take.
    pub(crate) fn places(self, numbers: usize) -> usize {
        match self.precision() {
            Precision::F32 => numbers,
            Precision::Bf16 => numbers.div_ceil(2),
            Precision::Int8 => numbers.div_ceil(4),
        }
    }

    /// Products that are added one after the other in a product with a prepared matrix.
    pub(crate) fn chain(self) -> usize {
        if self.precision() == Precision::Int8 { ENDLESS_CHAIN } else { LONG_CHAIN }
    }

    /// Rows of a panel behind its last tap.
    pub(crate) fn trailer(self) -> usize {
        if self.precision() == Precision::Int8 { quads::TRAILER } else { 0 }
    }
}

/// Has the processor AVX512_VNNI?
pub(crate) fn native_quads() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512vnni");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Has the processor AVX512_BF16, and AVX512BW to order what it rounds?
pub(crate) fn native() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The bits of the bf16 next to x.
#[inline(always)]
pub(crate) fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    // A NaN must not become an infinity.
    if x.is_nan() { bits >> 16 | 0x40 } else { (bits + 0x7FFF + (bits >> 16 & 1)) >> 16 }
}

/// The pair of two numbers.
#[inline(always)]
pub(crate) fn pair(low: f32, high: f32) -> f32 {
    f32::from_bits(rounded(low) | rounded(high) << 16)
}

#[inline(always)]
fn convert_body<S: Simd>(_: S, x: &[f32], out: &mut [f32]) {
    for ([low, high], out) in x.as_chunks::<2>().0.iter().zip(out) {
        *out = pair(*low, *high);
    }
}
dispatch!(fn convert(x: &[f32], out: &mut [f32]) = convert_body);

/// Pairs of the numbers of x; a last one alone is paired with 0.
pub(crate) fn to_pairs(isa: Isa, kind: Kind, x: &[f32], out: &mut [f32]) {
    assert_eq!(out.len(), x.len().div_ceil(2), "pairs of {} numbers", x.len());
    let mut done = 0;
    if kind == Kind::NativePairs {
        done = x.len() / 32 * 32;
        convert_native(&x[..done], &mut out[..done / 2]);
    }
    convert(isa, &x[done..], &mut out[done / 2..]);
    if let (false, [.., last], [.., out]) = (x.len().is_multiple_of(2), x, out) {
        *out = pair(*last, 0.0);
    }
}

/// Pairs by the processor's instruction, 32 numbers at a time.
fn convert_native(x: &[f32], out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        #[target_feature(enable = "avx512f,avx512bf16")]
        fn all(x: &[[f32; 32]], out: &mut [[f32; 16]]) {
            for (x, out) in x.iter().zip(out) {
                // SAFETY: the arrays have 32 and 16 numbers.
                unsafe {
                    let (low, high) = (_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x.as_ptr().add(16)));
                    let pairs = std::mem::transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(high, low));
                    _mm512_storeu_ps(out.as_mut_ptr(), pairs);
                }
            }
        }
        assert!(native() && Isa::Avx512.is_available());
        // SAFETY: the processor has the instructions, checked above.
        unsafe { all(x.as_chunks().0, out.as_chunks_mut().0) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("no processor of this kind has the instruction: {} {}", x.len(), out.len());
}

/// Rows of pairs that are made of two rows of `len` numbers each.
#[derive(Clone, Copy)]
pub(crate) struct Joins<'a> {
    /// Where the rows come from.
    pub(crate) from: Numbers<'a>,
    /// Where the two rows of each row of pairs begin; without the second it is zeros.
    pub(crate) rows: &'a [(usize, Option<usize>)],
    pub(crate) len: usize,
    /// Distance from one row of pairs to the next.
    pub(crate) pitch: usize,
}

#[inline(always)]
fn join_body<S: Simd>(_: S, joins: &Joins, first: usize, out: &mut [f32]) {
    match joins.from {
        Numbers::F32(from) => join_of(from, joins, first, out),
        Numbers::Bf16(from) => join_of(from, joins, first, out),
    }
}

/// [`join_body`] of numbers that lie in one of their ways.
#[inline(always)]
fn join_of<X: Stored>(from: &[X], joins: &Joins, first: usize, out: &mut [f32]) {
    let Joins { rows, len, pitch, .. } = *joins;
    for (&(low, high), out) in rows.iter().zip(out.chunks_mut(pitch)) {
        let (low, out) = (&from[low..][first..len], &mut out[first..len]);
        match high {
            Some(high) => {
                for ((low, high), out) in low.iter().zip(&from[high..][first..len]).zip(out) {
                    *out = f32::from_bits(low.short() | high.short() << 16);
                }
            }
            None => low.iter().zip(out).for_each(|(low, out)| *out = f32::from_bits(low.short())),
        }
    }
}
dispatch!(
    /// All pairs from the given one of each row on.
    fn join_from(joins: &Joins, first: usize, out: &mut [f32]) = join_body
);

/// Number i of each row of pairs is number i of the first row and, below it, that of the second. Those that are bf16 are moved,
/// not rounded: plain loops do that as fast as memory gives them.
pub(crate) fn join(isa: Isa, kind: Kind, joins: &Joins, out: &mut [f32]) {
    assert!(joins.len <= joins.pitch, "rows of {} numbers that are {} apart", joins.len, joins.pitch);
    let mut done = 0;
    if let (Kind::NativePairs, Numbers::F32(from)) = (kind, joins.from) {
        done = joins.len / 16 * 16;
        join_native(from, joins, done, out);
    }
    if done < joins.len {
        join_from(isa, joins, done, out);
    }
}

/// The first `count` pairs of each row by the processor's instruction, 16 at a time.
fn join_native(from: &[f32], joins: &Joins, count: usize, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
        fn all(from: &[f32], joins: &Joins, count: usize, out: &mut [f32]) {
            let order: [u16; 32] = std::array::from_fn(|i| (i / 2 + i % 2 * 16) as u16);
            let zeros = [0.0; 16];
            // SAFETY: the arrays have 16 numbers, and `order` has 32.
            unsafe {
                let order = _mm512_loadu_epi16(order.as_ptr().cast());
                for (&(low, high), out) in joins.rows.iter().zip(out.chunks_mut(joins.pitch)) {
                    let low = from[low..][..count].as_chunks::<16>().0;
                    let high = high.map(|high| from[high..][..count].as_chunks::<16>().0);
                    for (i, out) in out[..count].as_chunks_mut::<16>().0.iter_mut().enumerate() {
                        let high = if let Some(high) = high { &high[i] } else { &zeros };
                        let (low, high) = (_mm512_loadu_ps(low[i].as_ptr()), _mm512_loadu_ps(high.as_ptr()));
                        let apart = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                        let pairs = _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, apart));
                        _mm512_storeu_ps(out.as_mut_ptr(), pairs);
                    }
                }
            }
        }
        assert!(native() && Isa::Avx512.is_available());
        // SAFETY: the processor has the instructions, checked above.
        unsafe { all(from, joins, count, out) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("no processor of this kind has the instruction: {count} {} {} {}", from.len(), joins.len, out.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;
    use crate::numbers::tests::narrowed;

    /// The two numbers of a pair.
    fn parts(pair: f32) -> [f32; 2] {
        [pair.to_bits() << 16, pair.to_bits() & 0xFFFF_0000].map(f32::from_bits)
    }

    #[test]
    fn pairs_are_the_nearest_bf16() {
        let mut x: Vec<f32> = (0..4001).map(|i| ((i * 7919) % 4001) as f32 * 1.7e-3 - 3.0).collect();
        x.extend([0.0, -0.0, 1e30, -1e-30, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1.003_906_3, 1.011_718_8]);
        let want: Vec<f32> = x.iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect();
        for isa in available() {
            for kind in [Kind::Pairs, Kind::pairs(isa)] {
                for len in [0, 1, 2, 31, 64, 65, x.len()] {
                    let mut out = vec![7.0; len.div_ceil(2)];
                    to_pairs(isa, kind, &x[..len], &mut out);
                    let got: Vec<f32> = out.into_iter().flat_map(parts).collect();
                    assert_eq!(got[..len], want[..len], "{isa:?} {kind:?} {len}");
                    assert!(got[len..].iter().all(|&x| x == 0.0));
                }
                for len in [1, 15, 16, 37] {
                    let rows = [(0, Some(3000)), (x.len() - len, None), (2000, Some(1))];
                    let joined = |from| {
                        let mut out = vec![7.0; 3 * len + 4];
                        join(isa, kind, &Joins { from, rows: &rows, len, pitch: len + 2 }, &mut out);
                        out
                    };
                    let at = |row: Option<usize>, i: usize| row.map_or(0.0, |row| x[row + i]);
                    let row = |&(low, high): &(usize, Option<usize>)| {
                        let pairs: Vec<f32> = (0..len).map(|i| pair(x[low + i], at(high, i))).collect();
                        [&pairs[..], &[7.0; 2]].concat()
                    };
                    let bits = |out: &[f32]| out.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    let want: Vec<f32> = rows.iter().flat_map(row).collect();
                    for from in [Numbers::F32(&x), Numbers::Bf16(&narrowed(&x))] {
                        assert_eq!(bits(&joined(from)), bits(&want[..3 * len + 4]), "{isa:?} {kind:?} {len}");
                    }
                }
                let mut out = vec![7.0; 32];
                to_pairs(isa, kind, &[f32::NAN; 64], &mut out);
                assert!(out.into_iter().flat_map(parts).all(f32::is_nan), "{isa:?} {kind:?}");
            }
        }
    }
}
