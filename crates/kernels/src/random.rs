//! Counter-based random numbers: element `index` of stream `key` is a pure function of both, so the result depends
//! neither on threads nor on the order of calls, and a mask need not be kept because it can be computed again.
//!
//! The generator is SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).

use crate::Element;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of SplitMix64: a bijection of 64-bit numbers in which every input bit moves every output bit.
#[inline(always)]
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// 64 random bits: number `index` of stream `key`.
#[inline(always)]
pub fn bits(key: u64, index: u64) -> u64 {
    mix(key.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
}

/// One stream out of several numbers, such as seed, epoch, sample and op. The order matters.
pub fn key(parts: &[u64]) -> u64 {
    parts.iter().fold(0x0123_4567_89AB_CDEF, |key, &part| bits(key, mix(part)))
}

/// Uniform in [0, 1), a multiple of 2^-53.
#[inline(always)]
pub fn uniform(key: u64, index: u64) -> f64 {
    (bits(key, index) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// Normal with mean 0 and standard deviation 1.
/// Source: Box and Muller, A note on the generation of random normal deviates, 1958.
pub fn normal(key: u64, index: u64) -> f64 {
    let i = index.wrapping_mul(2);
    // 1 - u lies in (0, 1], where the logarithm is finite.
    let radius = (-2.0 * (1.0 - uniform(key, i)).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(key, i.wrapping_add(1))).cos()
}

/// Does dropout at this rate keep element `index`? True with probability 1 - rate. Each 64 random bits serve two
/// elements.
#[inline(always)]
pub fn keep(key: u64, index: u64, rate: f64) -> bool {
    let half = (bits(key, index / 2) >> (32 * (index % 2))) as u32;
    half >= threshold(rate)
}

/// The rate in units of 2^-32.
#[inline(always)]
pub(crate) fn threshold(rate: f64) -> u32 {
    (rate * 4_294_967_296.0) as u32
}

/// What dropout multiplies elements `first`, `first + 1`, ... with: 1 / (1 - rate) where [`keep`], else 0. Inlined so that
/// it is compiled for the instruction set of the caller.
#[inline(always)]
pub(crate) fn keep_mask(key: u64, first: u64, rate: f64, mask: &mut [f32]) {
    const WORDS: usize = 64;
    let (threshold, scale) = (threshold(rate), (1.0 / (1.0 - rate)) as f32);
    // Each word serves two elements; the first word may begin with one before the first.
    let skip = (first % 2) as usize;
    let mut word = first / 2;
    let mut done = 0;
    let mut words = [0u64; WORDS];
    while done < mask.len() + skip {
        for w in &mut words {
            *w = bits(key, word).to_le();
            word += 1;
        }
        let from = if done == 0 { skip } else { 0 };
        let halves: &[u32] = &bytemuck::cast_slice(&words)[from..];
        let start = (done + from) - skip;
        for (mask, &half) in mask[start..].iter_mut().zip(halves) {
            *mask = if half >= threshold { scale } else { 0.0 };
        }
        done += 2 * WORDS;
    }
}

/// Uniform numbers in [low, high).
pub fn fill_uniform<T: Element>(key: u64, low: f64, high: f64, out: &mut [T]) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = T::from_f64(low + (high - low) * uniform(key, i as u64));
    }
}

/// Normal numbers.
pub fn fill_normal<T: Element>(key: u64, mean: f64, std: f64, out: &mut [T]) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = T::from_f64(mean + std * normal(key, i as u64));
    }
}

/// Normal numbers, each drawn again until it lies within `cut` standard deviations of the mean.
///
/// # Panics
/// Unless `cut` > 0.
pub fn fill_truncated_normal<T: Element>(key: u64, mean: f64, std: f64, cut: f64, out: &mut [T]) {
    assert!(cut > 0.0, "a normal number within {cut} standard deviations");
    for (i, out) in out.iter_mut().enumerate() {
        let stream = bits(key, i as u64);
        let z = (0..).map(|attempt| normal(stream, attempt));
        let z = z.into_iter().find(|z| z.abs() <= cut).unwrap_or(0.0);
        *out = T::from_f64(mean + std * z);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_matches_its_reference() {
        // The first outputs of the reference implementation (prng.di.unimi.it/splitmix64.c) for the seed 1234567.
        let want = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431];
        for (i, want) in want.into_iter().enumerate() {
            assert_eq!(bits(1234567, i as u64), want);
        }
    }

    #[test]
    fn moments_are_right() {
        let n = 200_000;
        let mut u = vec![0f64; n];
        fill_uniform(key(&[1]), -1.0, 3.0, &mut u);
        let mut z = vec![0f64; n];
        fill_normal(key(&[2]), 1.0, 2.0, &mut z);
        let mean = |x: &[f64]| x.iter().sum::<f64>() / n as f64;
        let var = |x: &[f64]| {
            let m = mean(x);
            x.iter().map(|x| (x - m) * (x - m)).sum::<f64>() / n as f64
        };
        // Within 5 standard errors.
        assert!((mean(&u) - 1.0).abs() < 5.0 * (4.0 / 12f64.sqrt()) / (n as f64).sqrt());
        assert!((var(&u) - 16.0 / 12.0).abs() < 0.02);
        assert!((mean(&z) - 1.0).abs() < 5.0 * 2.0 / (n as f64).sqrt());
        assert!((var(&z) - 4.0).abs() < 0.07);
        assert!(u.iter().all(|u| (-1.0..3.0).contains(u)));
        let kept = (0..n as u64).filter(|&i| keep(7, i, 0.1)).count() as f64 / n as f64;
        assert!((kept - 0.9).abs() < 5.0 * (0.09f64 / n as f64).sqrt(), "{kept}");
    }

    #[test]
    fn keep_mask_is_keep() {
        for (first, len) in [(0, 0), (0, 1), (1, 1), (7, 127), (8, 128), (5, 1000)] {
            let mut mask = vec![9.0; len];
            keep_mask(11, first, 0.25, &mut mask);
            for (i, &m) in mask.iter().enumerate() {
                assert_eq!(m > 0.0, keep(11, first + i as u64, 0.25), "{first} {i}");
                assert!(m == 0.0 || m == (1.0 / 0.75) as f32);
            }
        }
    }

    #[test]
    fn truncated_stays_inside() {
        let mut z = vec![0f64; 20_000];
        fill_truncated_normal(3, 0.0, 0.5, 2.0, &mut z);
        assert!(z.iter().all(|z| z.abs() <= 1.0) && z.iter().any(|z| z.abs() > 0.9));
    }

    #[test]
    fn keys_differ_by_order_and_length() {
        let keys = [key(&[]), key(&[0]), key(&[0, 0]), key(&[1, 2]), key(&[2, 1])];
        for (i, a) in keys.iter().enumerate() {
            assert!(keys[i + 1..].iter().all(|b| a != b));
        }
    }
}
