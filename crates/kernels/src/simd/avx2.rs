//! AVX2 with FMA: 8 lanes.

use super::Simd;
use std::arch::x86_64::*;

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The processor must have AVX2 and FMA.
    #[inline(always)]
    pub unsafe fn assume() -> Self {
        Avx2(())
    }

    /// A mask whose first `n` lanes (at most 8) are set.
    #[inline(always)]
    fn first(self, n: usize) -> __m256i {
        const ONES_THEN_ZEROS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: self proves AVX2; the 8 numbers from 8 - min(n, 8) on lie inside the table.
        unsafe { _mm256_loadu_si256(ONES_THEN_ZEROS.as_ptr().add(8 - n.min(8)).cast()) }
    }
}

/// Calls intrinsics that need nothing but the instruction set.
macro_rules! with {
    ($body:expr) => {
        // SAFETY: a value of type Avx2 exists only where the processor has AVX2 and FMA.
        unsafe { $body }
    };
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    const ROWS: usize = 6;
    type V = __m256;
    type M = __m256;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        with!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> __m256 {
        // SAFETY: the caller promises 8 readable numbers; self proves AVX2.
        unsafe { _mm256_loadu_ps(x) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, x: *mut f32, v: __m256) {
        // SAFETY: the caller promises room for 8 numbers; self proves AVX2.
        unsafe { _mm256_storeu_ps(x, v) }
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
    unsafe fn load_bf16_ptr(self, x: *const u16) -> __m256 {
        // SAFETY: the caller promises 8 readable numbers; self proves AVX2.
        unsafe {
            let all = _mm256_cvtepu16_epi32(_mm_loadu_si128(x.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(all))
        }
    }
    #[inline(always)]
    unsafe fn store_bf16_ptr(self, x: *mut u16, v: __m256) {
        // SAFETY: the caller promises room for 8 numbers; self proves AVX2.
        unsafe {
            let bits = _mm256_castps_si256(v);
            let cut = _mm256_srli_epi32::<16>(bits);
            let half = _mm256_add_epi32(_mm256_and_si256(cut, _mm256_set1_epi32(1)), _mm256_set1_epi32(0x7FFF));
            let near = _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, half));
            // A NaN must not become an infinity.
            let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(v, v));
            let all = _mm256_blendv_epi8(near, _mm256_or_si256(cut, _mm256_set1_epi32(0x40)), nan);
            let halves = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(all, all));
            _mm_storeu_si128(x.cast(), _mm256_castsi256_si128(halves));
        }
    }
    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> __m256 {
        // SAFETY: lanes beyond the slice are masked and not read.
        unsafe { _mm256_maskload_ps(x.as_ptr(), self.first(x.len())) }
    }
    #[inline(always)]
    fn store_partial(self, x: &mut [f32], v: __m256) {
        // SAFETY: lanes beyond the slice are masked and not written.
        unsafe { _mm256_maskstore_ps(x.as_mut_ptr(), self.first(x.len()), v) }
    }
    #[inline(always)]
    fn zip(self, a: __m256, b: __m256) -> [__m256; 2] {
        with!({
            // Of each half of 128 bits.
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)]
        })
    }
    #[inline(always)]
    fn low(self, pairs: __m256) -> __m256 {
        with!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(pairs))))
    }
    #[inline(always)]
    fn high(self, pairs: __m256) -> __m256 {
        with!(_mm256_castsi256_ps(_mm256_and_si256(
            _mm256_castps_si256(pairs),
            _mm256_set1_epi32(0xFFFF_0000_u32 as i32)
        )))
    }
    #[inline(always)]
    fn dot4(self, a: __m256, b: __m256, sum: __m256) -> __m256 {
        with!({
            let (a, b, sum) = (_mm256_castps_si256(a), _mm256_castps_si256(b), _mm256_castps_si256(sum));
            // Bytes 0 and 2, and bytes 1 and 3, as 16-bit integers.
            let (even_a, odd_a) = (_mm256_and_si256(a, _mm256_set1_epi16(0xFF)), _mm256_srli_epi16::<8>(a));
            let (even_b, odd_b) = (_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(b)), _mm256_srai_epi16::<8>(b));
            let products = _mm256_add_epi32(_mm256_madd_epi16(even_a, even_b), _mm256_madd_epi16(odd_a, odd_b));
            _mm256_castsi256_ps(_mm256_add_epi32(sum, products))
        })
    }
    #[inline(always)]
    fn integer_difference(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        with!({
            let product = _mm256_mullo_epi32(_mm256_castps_si256(b), _mm256_castps_si256(c));
            _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_castps_si256(a), product))
        })
    }
    #[inline(always)]
    fn store_bytes(self, x: &mut [f32; 4], v: __m256) {
        with!({
            let integers = _mm256_cvtps_epi32(v);
            let words = _mm_packs_epi32(_mm256_castsi256_si128(integers), _mm256_extracti128_si256::<1>(integers));
            _mm_storel_epi64(x.as_mut_ptr().cast(), _mm_packus_epi16(words, words));
        })
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        with!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        with!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        with!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        with!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        with!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn neg(self, a: __m256) -> __m256 {
        with!(_mm256_xor_ps(a, _mm256_set1_ps(-0.0)))
    }
    #[inline(always)]
    fn abs(self, a: __m256) -> __m256 {
        with!(_mm256_andnot_ps(_mm256_set1_ps(-0.0), a))
    }
    #[inline(always)]
    fn copysign(self, a: __m256, sign: __m256) -> __m256 {
        with!(_mm256_or_ps(self.abs(a), _mm256_and_ps(_mm256_set1_ps(-0.0), sign)))
    }
    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        with!(_mm256_sqrt_ps(a))
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        with!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        with!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        with!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn pow2(self, n: __m256) -> __m256 {
        with!(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(
            _mm256_cvtps_epi32(n),
            _mm256_set1_epi32(127)
        ))))
    }
    #[inline(always)]
    fn less(self, a: __m256, b: __m256) -> __m256 {
        with!(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b))
    }
    #[inline(always)]
    fn select(self, mask: __m256, a: __m256, b: __m256) -> __m256 {
        with!(_mm256_blendv_ps(b, a, mask))
    }
    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        with!({
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        })
    }
    #[inline(always)]
    fn max_lane(self, a: __m256) -> f32 {
        with!({
            let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        })
    }
}
