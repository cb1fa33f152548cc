//! bf16, the upper half of an f32, in pairs: two such numbers lie in the place of one f32, so that tiles, panels and walks
//! serve as they are, with half the depth.
//!
//! A pair is rounded from two f32 that follow each other, ties to even. Products of pairs are summed in f32.

use super::tile::{ENDLESS_CHAIN, LONG_CHAIN};
use super::{Precision, quads};
use crate::isa::Isa;
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

/// Has the processor AVX512_BF16?
pub(crate) fn native() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The bits of the bf16 next to x.
#[inline(always)]
fn rounded(x: f32) -> u32 {
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

/// Joins rows 2i and 2i + 1 of panels `[row][width]`, whose rows are even in number, to rows of pairs.
pub(crate) fn join_rows(panels: &[f32], width: usize) -> Vec<f32> {
    let mut pairs = Vec::with_capacity(panels.len() / 2);
    for rows in panels.chunks_exact(2 * width) {
        let (low, high) = rows.split_at(width);
        pairs.extend(low.iter().zip(high).map(|(&low, &high)| pair(low, high)));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;

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
                let mut out = vec![7.0; 32];
                to_pairs(isa, kind, &[f32::NAN; 64], &mut out);
                assert!(out.into_iter().flat_map(parts).all(f32::is_nan), "{isa:?} {kind:?}");
            }
        }
    }
}
