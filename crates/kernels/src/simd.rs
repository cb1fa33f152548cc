//! A vector of f32 whose width is that of the instruction set: algorithms are written once over [`Simd`].
//!
//! A value of a type that implements `Simd` is a proof that the processor has the instruction set, so its methods are
//! safe. All are `#[inline(always)]`, and must end up inside a function made by `dispatch!` (see [`crate::isa`]).

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
pub mod scalar;

/// Operations on vectors of `LANES` f32.
pub trait Simd: Copy + Send + Sync + 'static {
    /// Numbers in a vector.
    const LANES: usize;
    /// Rows of the largest tile of 2 vectors a row that the registers of a matrix product can hold.
    const ROWS: usize;
    /// A vector.
    type V: Copy;
    /// The result of a comparison, one truth value per lane.
    type M: Copy;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// All lanes 0.
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(0.0)
    }
    /// The first `LANES` numbers at `x`.
    ///
    /// # Safety
    /// `x` must be valid for reading `LANES` numbers.
    unsafe fn load_ptr(self, x: *const f32) -> Self::V;
    /// Writes the lanes to `x`.
    ///
    /// # Safety
    /// `x` must be valid for writing `LANES` numbers.
    unsafe fn store_ptr(self, x: *mut f32, v: Self::V);
    /// Tells the processor that the cache line at `x`, which may lie anywhere, is about to be written (or read).
    #[inline(always)]
    fn prefetch(self, x: *const f32) {
        let _ = x;
    }
    /// Tells the processor that the cache line at `x`, which may lie anywhere, is about to be read.
    #[inline(always)]
    fn prefetch_read(self, x: *const f32) {
        let _ = x;
    }
    /// The first `LANES` numbers of the slice, which must have that many.
    #[inline(always)]
    fn load(self, x: &[f32]) -> Self::V {
        assert!(x.len() >= Self::LANES);
        // SAFETY: the slice is long enough.
        unsafe { self.load_ptr(x.as_ptr()) }
    }
    /// Writes the lanes to the start of the slice, which must have room for all of them.
    #[inline(always)]
    fn store(self, x: &mut [f32], v: Self::V) {
        assert!(x.len() >= Self::LANES);
        // SAFETY: the slice is long enough.
        unsafe { self.store_ptr(x.as_mut_ptr(), v) }
    }
    /// The first `LANES` bf16 at `x`, as f32.
    ///
    /// # Safety
    /// `x` must be valid for reading `LANES` of them.
    unsafe fn load_bf16_ptr(self, x: *const u16) -> Self::V;
    /// Writes the bf16 next to each lane, ties to even, to `x`.
    ///
    /// # Safety
    /// `x` must be valid for writing `LANES` of them.
    unsafe fn store_bf16_ptr(self, x: *mut u16, v: Self::V);
    /// As many bf16 as the slice has (at most `LANES`), as f32, the other lanes 0.
    #[inline(always)]
    fn load_bf16(self, x: &[u16]) -> Self::V {
        let mut some = [0; 16];
        let from = if x.len() >= Self::LANES {
            x
        } else {
            some[..x.len()].copy_from_slice(x);
            &some
        };
        // SAFETY: the slice is long enough.
        unsafe { self.load_bf16_ptr(from.as_ptr()) }
    }
    /// Writes the bf16 next to as many lanes as the slice has places for (at most `LANES`).
    #[inline(always)]
    fn store_bf16(self, x: &mut [u16], v: Self::V) {
        if x.len() >= Self::LANES {
            // SAFETY: the slice is long enough.
            return unsafe { self.store_bf16_ptr(x.as_mut_ptr(), v) };
        }
        let mut all = [0; 16];
        // SAFETY: no vector has more lanes than the array numbers.
        unsafe { self.store_bf16_ptr(all.as_mut_ptr(), v) };
        x.copy_from_slice(&all[..x.len()]);
    }
    /// As many lanes as the slice has numbers (at most `LANES`), the others 0.
    fn load_partial(self, x: &[f32]) -> Self::V;
    /// Writes as many lanes as the slice has numbers (at most `LANES`).
    fn store_partial(self, x: &mut [f32], v: Self::V);

    /// a + b
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// a - b
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a / b
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// The lanes of both by turns, a first: the first `LANES` of these, and the others.
    fn zip(self, a: Self::V, b: Self::V) -> [Self::V; 2];
    /// The lower bf16 of each pair (see `gemm::pairs`), as f32.
    fn low(self, pairs: Self::V) -> Self::V;
    /// The upper bf16 of each pair, as f32.
    fn high(self, pairs: Self::V) -> Self::V;
    /// Four products of each lane, unsigned bytes of `a` by signed ones of `b`, added to the integer that is in the bits of `sum` (see
    /// `gemm::quads`).
    fn dot4(self, a: Self::V, b: Self::V, sum: Self::V) -> Self::V;
    /// a - b * c of the 32-bit integers that are in the bits, as f32.
    fn integer_difference(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The lanes, integers from 0 to 255, as bytes in the first `LANES / 4` places.
    fn store_bytes(self, x: &mut [f32; 4], v: Self::V);
    /// a * b + c, rounded once where the processor surely has the instruction, else twice.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// -a
    fn neg(self, a: Self::V) -> Self::V;
    /// |a|
    fn abs(self, a: Self::V) -> Self::V;
    /// The magnitude of `a` with the sign of `sign`.
    fn copysign(self, a: Self::V, sign: Self::V) -> Self::V;
    /// Square root.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// a if a > b, else b; thus b if either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// a if a < b, else b; thus b if either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The nearest integer, ties to even.
    fn round(self, a: Self::V) -> Self::V;
    /// 2^n for lanes that hold integers from -126 to 127; for -127 it is 0.
    fn pow2(self, n: Self::V) -> Self::V;
    /// a < b; false if either is NaN.
    fn less(self, a: Self::V, b: Self::V) -> Self::M;
    /// a where the mask is true, else b.
    fn select(self, mask: Self::M, a: Self::V, b: Self::V) -> Self::V;

    /// The sum of the lanes, in an order that is fixed per instruction set.
    fn sum(self, a: Self::V) -> f32;
    /// The largest lane.
    fn max_lane(self, a: Self::V) -> f32;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;

    fn unsigned_quad(i: usize) -> u32 {
        u32::from_le_bytes([255, (i * 16) as u8, 0, 128 + i as u8])
    }
    fn signed_quad(i: usize) -> u32 {
        u32::from_le_bytes([127, -128i8 as u8, i as u8, (i as i8 * -8) as u8])
    }

    /// Applies every operation to vectors of x and y, one row of results each.
    #[inline(always)]
    fn all_body<S: Simd>(s: S, x: &[f32], y: &[f32], out: &mut Vec<(&'static str, Vec<f32>)>) {
        let (a, b) = (s.load(x), s.load(y));
        let mut put = |name, v| {
            let mut row = vec![0.0; S::LANES];
            s.store(&mut row, v);
            out.push((name, row));
        };
        put("add", s.add(a, b));
        put("sub", s.sub(a, b));
        put("mul", s.mul(a, b));
        put("div", s.div(a, b));
        put("mul_add", s.mul_add(a, b, s.splat(2.0)));
        let [low, high] = s.zip(a, b);
        put("zip low", low);
        put("zip high", high);
        put("neg", s.neg(a));
        put("abs", s.abs(a));
        put("copysign", s.copysign(a, b));
        put("sqrt", s.sqrt(s.abs(a)));
        put("max", s.max(a, b));
        put("min", s.min(a, b));
        put("round", s.round(a));
        put("pow2", s.pow2(s.round(a)));
        put("pow2(-127)", s.pow2(s.splat(-127.0)));
        put("select", s.select(s.less(a, b), a, b));
        put("sum", s.splat(s.sum(a)));
        put("max_lane", s.splat(s.max_lane(a)));
        // Integers as bits.
        let bits = |f: fn(usize) -> u32| s.load(&std::array::from_fn::<f32, 16, _>(|i| f32::from_bits(f(i))));
        let (quads, signed, sums) = (bits(unsigned_quad), bits(signed_quad), bits(|i| (1000 * i) as u32));
        put("dot4", s.dot4(quads, signed, sums));
        put("integer_difference", s.integer_difference(signed, sums, bits(|i| i as u32)));
        let mut bytes = [7.0; 4];
        s.store_bytes(&mut bytes, s.mul(s.abs(a), s.splat(2.0)));
        let mut row = [7.0; 16];
        row[..4].copy_from_slice(&bytes);
        put("store_bytes", s.load(&row));
        for n in 0..=S::LANES {
            put("load_partial", s.load_partial(&x[..n]));
            let mut row = vec![7.0; S::LANES];
            s.store_partial(&mut row[..n], a);
            put("store_partial", s.load(&row));
        }
    }
    dispatch!(fn all(x: &[f32], y: &[f32], out: &mut Vec<(&'static str, Vec<f32>)>) = all_body);

    #[test]
    fn every_isa_agrees_with_plain_rust() {
        // Small dyadic numbers: every operation but div and sqrt is exact, and those round correctly everywhere.
        let x: Vec<f32> = (0..16).map(|i| [2.5, -0.5, 3.25, -7.0, 0.0, 1.5, -2.5][i % 7]).collect();
        let y: Vec<f32> = (0..16).map(|i| [-1.5, 4.0, 3.25, -8.0, 2.0][i % 5]).collect();
        for isa in available() {
            let mut out = Vec::new();
            all(isa, &x, &y, &mut out);
            let lanes = out[0].1.len();
            let mut partial = [0, 0];
            for (name, row) in &out {
                let first = &x[..lanes];
                let which = usize::from(*name == "store_partial");
                for (i, &got) in row.iter().enumerate() {
                    let (a, b) = (x[i], y[i]);
                    let dot = || {
                        let products = unsigned_quad(i).to_le_bytes().into_iter().zip(signed_quad(i).to_le_bytes());
                        products.map(|(a, b)| i32::from(a) * i32::from(b as i8)).sum::<i32>() + 1000 * i as i32
                    };
                    let want = match *name {
                        "dot4" => {
                            assert_eq!(got.to_bits() as i32, dot(), "{isa:?} {name} lane {i}");
                            continue;
                        }
                        "integer_difference" => (signed_quad(i) as i32 - 1000 * (i * i) as i32) as f32,
                        "store_bytes" if i < lanes / 4 => {
                            let bytes: [u8; 4] = std::array::from_fn(|k| (2.0 * x[4 * i + k].abs()) as u8);
                            assert_eq!(got.to_bits().to_le_bytes(), bytes, "{isa:?} {name} lane {i}");
                            continue;
                        }
                        "store_bytes" => 7.0,
                        "add" => a + b,
                        "sub" => a - b,
                        "mul" => a * b,
                        "div" => a / b,
                        "mul_add" => a * b + 2.0,
                        "zip low" => [&x, &y][i % 2][i / 2],
                        "zip high" => [&x, &y][i % 2][(lanes + i) / 2],
                        "neg" => -a,
                        "abs" => a.abs(),
                        "copysign" => a.copysign(b),
                        "sqrt" => a.abs().sqrt(),
                        "max" => a.max(b),
                        "min" | "select" => a.min(b),
                        "round" => a.round_ties_even(),
                        "pow2" => a.round_ties_even().exp2(),
                        "pow2(-127)" => 0.0,
                        "sum" => first.iter().sum(),
                        "max_lane" => first.iter().copied().fold(f32::MIN, f32::max),
                        _ if i < partial[which] => a,
                        _ => [0.0, 7.0][which],
                    };
                    assert_eq!(got, want, "{isa:?} {name} lane {i}");
                }
                if name.ends_with("partial") {
                    partial[which] += 1;
                }
            }
        }
    }

    #[inline(always)]
    fn max_nan_body<S: Simd>(s: S) -> (f32, f32) {
        let (nan, one) = (s.splat(f32::NAN), s.splat(1.0));
        (s.max_lane(s.max(nan, one)), s.sum(s.max(one, nan)))
    }
    dispatch!(fn max_nan() -> (f32, f32) = max_nan_body);

    #[test]
    fn max_with_nan_is_the_second() {
        for isa in available() {
            let (first, second) = max_nan(isa);
            assert_eq!(first, 1.0, "{isa:?}");
            assert!(second.is_nan(), "{isa:?}");
        }
    }
}
