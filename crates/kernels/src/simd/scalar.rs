//! Plain Rust over arrays of 4, which compilers turn into the 128-bit vectors that every target has.

use super::Simd;
use crate::gemm::pairs::rounded;
use std::array::from_fn;

/// The portable instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;

impl Simd for Scalar {
    const LANES: usize = 4;
    const ROWS: usize = 4;
    type V = [f32; 4];
    type M = [bool; 4];

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> [f32; 4] {
        // SAFETY: the caller promises 4 readable numbers.
        unsafe { x.cast::<[f32; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, x: *mut f32, v: [f32; 4]) {
        // SAFETY: the caller promises room for 4 numbers.
        unsafe { x.cast::<[f32; 4]>().write(v) }
    }
    #[inline(always)]
    unsafe fn load_bf16_ptr(self, x: *const u16) -> [f32; 4] {
        // SAFETY: the caller promises 4 readable numbers.
        unsafe { x.cast::<[u16; 4]>().read() }.map(|x| f32::from_bits(u32::from(x) << 16))
    }
    #[inline(always)]
    unsafe fn store_bf16_ptr(self, x: *mut u16, v: [f32; 4]) {
        // SAFETY: the caller promises room for 4 numbers.
        unsafe { x.cast::<[u16; 4]>().write(v.map(|v| rounded(v) as u16)) }
    }
    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> [f32; 4] {
        from_fn(|i| if i < x.len() { x[i] } else { 0.0 })
    }
    #[inline(always)]
    fn store_partial(self, x: &mut [f32], v: [f32; 4]) {
        x.iter_mut().zip(v).for_each(|(x, v)| *x = v);
    }
    #[inline(always)]
    fn zip(self, a: [f32; 4], b: [f32; 4]) -> [[f32; 4]; 2] {
        [[a[0], b[0], a[1], b[1]], [a[2], b[2], a[3], b[3]]]
    }
    #[inline(always)]
    fn low(self, pairs: [f32; 4]) -> [f32; 4] {
        from_fn(|i| f32::from_bits(pairs[i].to_bits() << 16))
    }
    #[inline(always)]
    fn high(self, pairs: [f32; 4]) -> [f32; 4] {
        from_fn(|i| f32::from_bits(pairs[i].to_bits() & 0xFFFF_0000))
    }
    #[inline(always)]
    fn dot4(self, a: [f32; 4], b: [f32; 4], sum: [f32; 4]) -> [f32; 4] {
        from_fn(|i| {
            let (a, b) = (a[i].to_bits().to_le_bytes(), b[i].to_bits().to_le_bytes());
            let products: [i32; 4] = from_fn(|k| i32::from(a[k]) * i32::from(b[k] as i8));
            f32::from_bits(products.into_iter().fold(sum[i].to_bits(), |sum, product| sum.wrapping_add(product as u32)))
        })
    }
    #[inline(always)]
    fn integer_difference(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        from_fn(|i| a[i].to_bits().wrapping_sub(b[i].to_bits().wrapping_mul(c[i].to_bits())) as i32 as f32)
    }
    #[inline(always)]
    fn store_bytes(self, x: &mut [f32; 4], v: [f32; 4]) {
        x[0] = f32::from_bits(u32::from_le_bytes(v.map(|v| v as u8)));
    }
    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        // Where the instruction may be missing, f32::mul_add is a call of a slow library function.
        const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));
        from_fn(|i| if FUSED { a[i].mul_add(b[i], c[i]) } else { a[i] * b[i] + c[i] })
    }
    #[inline(always)]
    fn neg(self, a: [f32; 4]) -> [f32; 4] {
        from_fn(|i| -a[i])
    }
    #[inline(always)]
    fn abs(self, a: [f32; 4]) -> [f32; 4] {
        from_fn(|i| a[i].abs())
    }
    #[inline(always)]
    fn copysign(self, a: [f32; 4], sign: [f32; 4]) -> [f32; 4] {
        from_fn(|i| a[i].copysign(sign[i]))
    }
    #[inline(always)]
    fn sqrt(self, a: [f32; 4]) -> [f32; 4] {
        from_fn(|i| a[i].sqrt())
    }
    #[inline(always)]
    fn max(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn round(self, a: [f32; 4]) -> [f32; 4] {
        // Adding and taking away 1.5 * 2^23 rounds to even for |a| < 2^22; larger numbers go the slow way.
        const MAGIC: f32 = 12_582_912.0;
        from_fn(|i| if a[i].abs() < 4_194_304.0 { (a[i] + MAGIC) - MAGIC } else { a[i].round_ties_even() })
    }
    #[inline(always)]
    fn pow2(self, n: [f32; 4]) -> [f32; 4] {
        from_fn(|i| f32::from_bits(((n[i] as i32 + 127) << 23) as u32))
    }
    #[inline(always)]
    fn less(self, a: [f32; 4], b: [f32; 4]) -> [bool; 4] {
        from_fn(|i| a[i] < b[i])
    }
    #[inline(always)]
    fn select(self, mask: [bool; 4], a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        from_fn(|i| if mask[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn sum(self, a: [f32; 4]) -> f32 {
        (a[0] + a[2]) + (a[1] + a[3])
    }
    #[inline(always)]
    fn max_lane(self, a: [f32; 4]) -> f32 {
        a[0].max(a[2]).max(a[1].max(a[3]))
    }
}
