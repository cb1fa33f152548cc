//! Exponential, error function, hyperbolic tangent and what is made of them, over vectors.
//!
//! Errors are in ulp (units in the last place of the result) against f64, the largest over all instruction sets and a
//! dense sample of all f32; `tests` below measures them. Polynomials were fitted to the stated function on the stated
//! interval by least squares on 4,000 Chebyshev nodes, reweighted until the largest relative error stopped falling
//! (Lawson, 1961).

use crate::simd::Simd;

/// Horner's rule: coefficients from the highest power down.
#[inline(always)]
fn polynomial<S: Simd>(s: S, x: S::V, coefficients: &[f32]) -> S::V {
    let mut sum = s.splat(coefficients[0]);
    for &c in &coefficients[1..] {
        sum = s.mul_add(sum, x, s.splat(c));
    }
    sum
}

/// x = n ln 2 + r with |r| <= ln 2 / 2; returns (n, e^r). The largest error of e^r is 1 ulp.
#[inline(always)]
fn exp_parts<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 as a number of 10 bits, whose product with n is exact, and the rest.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let n = s.round(s.mul(x, s.splat(LOG2_E)));
    let r = s.mul_add(n, s.splat(-LN_2_HIGH), x);
    let r = s.mul_add(n, s.splat(-LN_2_LOW), r);
    // (e^r - 1 - r) / r^2
    let p = polynomial(s, r, &[0.001_381_446_5, 0.008_368_781, 0.041_668_393, 0.166_665_2, 0.499_999_94]);
    let tail = s.mul_add(s.mul(r, r), p, r);
    (n, s.add(tail, s.splat(1.0)))
}

/// e^x, at most 1.1 ulp wrong (1 denormal step where the result is denormal). Overflows to infinity, underflows to 0
/// through the denormals, NaN stays NaN.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // NaN passes: min and max return their second operand then.
    let x = s.min(s.splat(89.0), s.max(s.splat(-104.5), x));
    let (n, p) = exp_parts(s, x);
    // 2^n in two factors, for n from -151 to 128 exceeds the exponents of one f32.
    let half = s.round(s.mul(n, s.splat(0.5)));
    s.mul(s.mul(p, s.pow2(half)), s.pow2(s.sub(n, half)))
}

/// e^x for x <= 0, at most 1.1 ulp wrong; results below 2^-126.5 (x < -87.683) are 0. For softmax and the like.
#[inline(always)]
pub fn exp_nonpositive<S: Simd>(s: S, x: S::V) -> S::V {
    // For n = -127 the bits of the power are those of 0.
    let (n, p) = exp_parts(s, s.max(s.splat(-88.0), x));
    s.mul(p, s.pow2(n))
}

/// 2^x for x <= 0, at most 2^-13 of itself wrong, for results that are rounded to bf16; below -126 it is 2^-126. NaN stays NaN.
#[inline(always)]
pub fn exp2_short<S: Simd>(s: S, x: S::V) -> S::V {
    let x = s.max(s.splat(-126.0), x);
    let n = s.round(x);
    let p = polynomial(s, s.sub(x, n), &[0.055_171_653, 0.242_611_12, 0.693_261, 0.999_928_1]);
    s.mul(p, s.pow2(n))
}

/// The error function, at most 1.5 ulp wrong.
///
/// For |x| <= 0.93 it is x + x P(x^2); above, 1 - e^-Q(|x|), where Q approximates -ln erfc.
#[inline(always)]
pub fn erf<S: Simd>(s: S, x: S::V) -> S::V {
    // From 4 on the result rounds to 1. NaN passes.
    let t = s.min(s.splat(4.0), s.abs(x));
    let near = polynomial(
        s,
        s.mul(t, t),
        &[-0.000_595_388_35, 0.004_985_974_6, -0.026_761_75, 0.112_816_84, -0.376_124_8, 0.128_379_15],
    );
    let near = s.mul_add(near, t, t);
    let far = polynomial(
        s,
        t,
        &[-0.000_194_778_65, 0.003_031_828_7, -0.022_181_42, 0.103_836_97, 0.637_290_36, 1.127_611_3, 0.000_211_304_04],
    );
    // -Q >= -18: the exponent is far from its limits.
    let (n, p) = exp_parts(s, s.neg(far));
    let far = s.sub(s.splat(1.0), s.mul(p, s.pow2(n)));
    s.copysign(s.select(s.less(t, s.splat(0.93)), near, far), x)
}

/// The hyperbolic tangent, at most 1.5 ulp wrong.
///
/// For |x| <= 0.625 it is x + x^3 P(x^2); above, 1 - 2 / (e^(2 |x|) + 1).
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: S::V) -> S::V {
    // From 9.02 on the result rounds to 1. NaN passes.
    let t = s.min(s.splat(10.0), s.abs(x));
    let square = s.mul(t, t);
    let near = polynomial(s, square, &[-0.005_704_990_6, 0.020_639_09, -0.053_739_715, 0.133_314_42, -0.333_332_8]);
    let near = s.mul_add(s.mul(square, t), near, t);
    let (n, p) = exp_parts(s, s.add(t, t));
    let e = s.mul(p, s.pow2(n));
    let far = s.sub(s.splat(1.0), s.div(s.splat(2.0), s.add(e, s.splat(1.0))));
    s.copysign(s.select(s.less(t, s.splat(0.625)), near, far), x)
}

/// 1 / (1 + e^-x), at most 2.5 ulp wrong; 0 below -88.7, where the result would be denormal.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    s.div(s.splat(1.0), s.add(s.splat(1.0), exp(s, s.neg(x))))
}

/// x/2 (1 + erf(x / sqrt 2)) = x Φ(x). The error is at most 2e-7 times |x|.
///
/// Φ(-t) = 2^(-1 + t P(t)) up to t = 6, from where on it is 0, and Φ(t) = 1 - Φ(-t): the error of the exponent counts where Φ(-t) is
/// large, and nothing cancels.
#[inline(always)]
pub fn gelu_erf<S: Simd>(s: S, x: S::V) -> S::V {
    let t = s.abs(x);
    let p = polynomial(
        s,
        t,
        &[
            -1.890_484_2e-6,
            2.855_951_6e-5,
            -1.376_264_3e-4,
            -2.459_436_4e-4,
            0.007_192_901_3,
            -0.052_575_137,
            -0.459_186_35,
            -1.151_107_2,
        ],
    );
    let exponent = s.mul_add(t, p, s.splat(-1.0));
    let n = s.round(exponent);
    let r = s.sub(exponent, n);
    let power =
        polynomial(s, r, &[0.001_327_647_1, 0.009_675_542, 0.055_507_135, 0.240_221_2, 0.693_146_94, 1.000_000_1]);
    let tail = s.select(s.less(t, s.splat(6.0)), s.mul(power, s.pow2(n)), s.zero());
    s.mul(x, s.select(s.less(x, s.zero()), tail, s.sub(s.splat(1.0), tail)))
}

/// [`gelu_erf`] for results that are rounded to bf16: the error is at most 2^-14 times |x|.
///
/// Φ(x) is 1/2 + x P(x²) up to |x| = 4, from where on it stays as it is there, within 2^-14 of 0 or 1.
#[inline(always)]
pub fn gelu_erf_short<S: Simd>(s: S, x: S::V) -> S::V {
    // NaN passes by the factor x.
    let t = s.max(s.splat(-4.0), s.min(s.splat(4.0), x));
    let p = polynomial(
        s,
        s.mul(t, t),
        &[
            -1.305_253_5e-9,
            1.060_602_4e-7,
            -3.747_845_5e-6,
            7.664_806e-5,
            -0.001_023_963_9,
            0.009_590_857,
            -0.066_077_486,
            0.398_810_95,
        ],
    );
    s.mul(x, s.mul_add(t, p, s.splat(0.5)))
}

/// The derivative of [`gelu_erf`], Φ(x) + x φ(x), at most 3e-7 wrong.
#[inline(always)]
pub fn gelu_erf_derivative<S: Simd>(s: S, x: S::V) -> S::V {
    // Beyond 20 it is 0 or 1; the limit keeps x^2 finite. NaN passes.
    let x = s.min(s.splat(20.0), s.max(s.splat(-20.0), x));
    let erf = erf(s, s.mul(x, s.splat(std::f32::consts::FRAC_1_SQRT_2)));
    let cdf = s.mul_add(erf, s.splat(0.5), s.splat(0.5));
    // 0.3989... = 1 / sqrt(2 pi)
    let pdf = s.mul(s.splat(0.398_942_3), exp_nonpositive(s, s.mul(s.mul(x, x), s.splat(-0.5))));
    s.mul_add(x, pdf, cdf)
}

/// sqrt(2/pi) and the coefficient of the cube.
const TANH_SCALE: f32 = 0.797_884_6;
const TANH_CUBE: f32 = 0.044_715;

/// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), computed as x / (1 + e^(-2 ...)), which has no cancellation. The error
/// is at most 2e-7 times |x|.
#[inline(always)]
pub fn gelu_tanh<S: Simd>(s: S, x: S::V) -> S::V {
    let cubic = s.mul_add(s.mul(x, x), s.splat(TANH_CUBE), s.splat(1.0));
    let inner = s.mul(s.mul(cubic, x), s.splat(-2.0 * TANH_SCALE));
    s.div(x, s.add(s.splat(1.0), exp(s, inner)))
}

/// The derivative of [`gelu_tanh`], at most 3e-7 wrong.
///
/// With u = sqrt(2/pi) (x + 0.044715 x^3), e = e^-2u and v = 1 / (1 + e) it is v + 2 x v (e v) u', where e v = 1 - v.
#[inline(always)]
pub fn gelu_tanh_derivative<S: Simd>(s: S, x: S::V) -> S::V {
    // Beyond 10 it is 0 or 1; the limit keeps the powers finite. NaN passes.
    let x = s.min(s.splat(10.0), s.max(s.splat(-10.0), x));
    let square = s.mul(x, x);
    let cubic = s.mul_add(square, s.splat(TANH_CUBE), s.splat(1.0));
    let e = exp(s, s.mul(s.mul(cubic, x), s.splat(-2.0 * TANH_SCALE)));
    let v = s.div(s.splat(1.0), s.add(s.splat(1.0), e));
    let slope = s.mul_add(square, s.splat(3.0 * TANH_CUBE), s.splat(1.0));
    let slope = s.mul(s.mul(slope, s.splat(2.0 * TANH_SCALE)), s.mul(e, v));
    s.mul_add(s.mul(x, v), slope, v)
}

#[cfg(test)]
mod tests;
