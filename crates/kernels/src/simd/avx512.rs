//! AVX-512F, with AVX2 and FMA: 16 lanes.

use super::Simd;
use super::avx2::Avx2;
use std::arch::x86_64::*;

/// Proof that the processor has AVX-512F, AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The processor must have AVX-512F, AVX2 and FMA.
    #[inline(always)]
    pub unsafe fn assume() -> Self {
        Avx512(())
    }
}

/// A mask whose first `n` lanes (at most 16) are set.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    ((1u32 << n.min(16)) - 1) as __mmask16
}

/// Calls intrinsics that need nothing but the instruction set.
macro_rules! with {
    ($body:expr) => {
        // SAFETY: a value of type Avx512 exists only where the processor has AVX-512F.
        unsafe { $body }
    };
}

impl Simd for Avx512 {
    const LANES: usize = 16;
    const ROWS: usize = 12;
    type V = __m512;
    type M = __mmask16;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        with!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> __m512 {
        // SAFETY: the caller promises 16 readable numbers; self proves AVX-512F.
        unsafe { _mm512_loadu_ps(x) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, x: *mut f32, v: __m512) {
        // SAFETY: the caller promises room for 16 numbers; self proves AVX-512F.
        unsafe { _mm512_storeu_ps(x, v) }
    }
    #[inline(always)]
    fn prefetch(self, x: *const f32) {
        with!(_mm_prefetch::<_MM_HINT_ET0>(x.cast()))
    }
    #[inline(always)]
    fn prefetch_read(self, x: *const f32) {
        with!(_mm_prefetch::<_MM_HINT_T0>(x.cast()))
    }
    #[inline(always)]
    unsafe fn load_bf16_ptr(self, x: *const u16) -> __m512 {
        // SAFETY: the caller promises 16 readable numbers; self proves AVX-512F.
        unsafe {
            let all = _mm512_cvtepu16_epi32(_mm256_loadu_si256(x.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(all))
        }
    }
    #[inline(always)]
    unsafe fn store_bf16_ptr(self, x: *mut u16, v: __m512) {
        // SAFETY: the caller promises room for 16 numbers; self proves AVX-512F.
        unsafe {
            let bits = _mm512_castps_si512(v);
            let cut = _mm512_srli_epi32::<16>(bits);
            let half = _mm512_add_epi32(_mm512_and_si512(cut, _mm512_set1_epi32(1)), _mm512_set1_epi32(0x7FFF));
            let near = _mm512_srli_epi32::<16>(_mm512_add_epi32(bits, half));
            // A NaN must not become an infinity.
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
            let all = _mm512_mask_or_epi32(near, nan, cut, _mm512_set1_epi32(0x40));
            _mm256_storeu_si256(x.cast(), _mm512_cvtepi32_epi16(all));
        }
    }
    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> __m512 {
        // SAFETY: lanes beyond the slice are masked and not read.
        unsafe { _mm512_maskz_loadu_ps(first(x.len()), x.as_ptr()) }
    }
    #[inline(always)]
    fn store_partial(self, x: &mut [f32], v: __m512) {
        // SAFETY: lanes beyond the slice are masked and not written.
        unsafe { _mm512_mask_storeu_ps(x.as_mut_ptr(), first(x.len()), v) }
    }
    #[inline(always)]
    fn zip(self, a: __m512, b: __m512) -> [__m512; 2] {
        // Lanes of a from 0, of b from 16 on.
        with!({
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
            [_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b)]
        })
    }
    #[inline(always)]
    fn low(self, pairs: __m512) -> __m512 {
        with!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(pairs))))
    }
    #[inline(always)]
    fn high(self, pairs: __m512) -> __m512 {
        with!(_mm512_castsi512_ps(_mm512_and_si512(
            _mm512_castps_si512(pairs),
            _mm512_set1_epi32(0xFFFF_0000_u32 as i32)
        )))
    }
    #[inline(always)]
    fn dot4(self, a: __m512, b: __m512, sum: __m512) -> __m512 {
        // AVX-512F has no 16-bit integers; self proves AVX2 as well.
        let halves = |v: __m512| {
            with!([_mm512_castps512_ps256(v), _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v)))])
        };
        let ([a0, a1], [b0, b1], [sum0, sum1]) = (halves(a), halves(b), halves(sum));
        with!({
            let s = Avx2::assume();
            let (low, high) = (s.dot4(a0, b0, sum0), s.dot4(a1, b1, sum1));
            _mm512_castpd_ps(_mm512_insertf64x4::<1>(
                _mm512_castps_pd(_mm512_castps256_ps512(low)),
                _mm256_castps_pd(high),
            ))
        })
    }
    #[inline(always)]
    fn integer_difference(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        with!({
            let product = _mm512_mullo_epi32(_mm512_castps_si512(b), _mm512_castps_si512(c));
            _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_castps_si512(a), product))
        })
    }
    #[inline(always)]
    fn store_bytes(self, x: &mut [f32; 4], v: __m512) {
        with!(_mm_storeu_si128(x.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v))))
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        with!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        with!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        with!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        with!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        with!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn neg(self, a: __m512) -> __m512 {
        with!(_mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a), _mm512_set1_epi32(i32::MIN))))
    }
    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        with!(_mm512_abs_ps(a))
    }
    #[inline(always)]
    fn copysign(self, a: __m512, sign: __m512) -> __m512 {
        // Truth table 0xD8: the bit of the second operand where the third is set, else that of the first.
        with!(_mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xD8>(
            _mm512_castps_si512(a),
            _mm512_castps_si512(sign),
            _mm512_set1_epi32(i32::MIN),
        )))
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        with!(_mm512_sqrt_ps(a))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        with!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        with!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        with!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn pow2(self, n: __m512) -> __m512 {
        with!(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(
            _mm512_cvtps_epi32(n),
            _mm512_set1_epi32(127)
        ))))
    }
    #[inline(always)]
    fn less(self, a: __m512, b: __m512) -> __mmask16 {
        with!(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b))
    }
    #[inline(always)]
    fn select(self, mask: __mmask16, a: __m512, b: __m512) -> __m512 {
        with!(_mm512_mask_blend_ps(mask, b, a))
    }
    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        with!(_mm512_reduce_add_ps(a))
    }
    #[inline(always)]
    fn max_lane(self, a: __m512) -> f32 {
        with!(_mm512_reduce_max_ps(a))
    }
}
