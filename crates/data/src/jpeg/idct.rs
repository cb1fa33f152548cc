//! The inverse cosine transform of a block, in the integers of libjpeg's accurate one (Loeffler, Ligtenberg and Moschytz,
//! 1989: 11 products a line). The columns come first and keep two bits more; each of both passes rounds once.

/// Bits after the point of the factors below.
const POINT: u32 = 13;
/// Bits that the first pass keeps.
const KEPT: u32 = 2;

/// A number with [`POINT`] bits after the point.
const fn fixed(value: f64) -> i32 {
    (value * (1 << POINT) as f64 + 0.5) as i32
}

/// One line of eight frequencies to eight samples, [`POINT`] bits too large.
fn line(f: [i32; 8]) -> [i32; 8] {
    let times = |value: i32, factor: f64| value.wrapping_mul(fixed(factor));
    let sum = |a: i32, b: i32| a.wrapping_add(b);
    let difference = |a: i32, b: i32| a.wrapping_sub(b);
    // Even frequencies.
    let turn = times(sum(f[2], f[6]), 0.541_196_100);
    let (low, high) = (sum(turn, times(f[2], 0.765_366_865)), difference(turn, times(f[6], 1.847_759_065)));
    let (plus, minus) = (sum(f[0], f[4]).wrapping_shl(POINT), difference(f[0], f[4]).wrapping_shl(POINT));
    let even = [sum(plus, low), sum(minus, high), difference(minus, high), difference(plus, low)];
    // Odd frequencies.
    let (a, b) = (sum(f[7], f[3]), sum(f[5], f[1]));
    let both = times(sum(a, b), 1.175_875_602);
    let (a, b) = (difference(both, times(a, 1.961_570_560)), difference(both, times(b, 0.390_180_644)));
    let (c, d) = (times(sum(f[7], f[1]), 0.899_976_223), times(sum(f[5], f[3]), 2.562_915_447));
    let odd = [
        sum(times(f[1], 1.501_321_110), difference(b, c)),
        sum(times(f[3], 3.072_711_026), difference(a, d)),
        sum(times(f[5], 2.053_119_869), difference(b, d)),
        sum(times(f[7], 0.298_631_336), difference(a, c)),
    ];
    std::array::from_fn(|i| if i < 4 { sum(even[i], odd[i]) } else { difference(even[7 - i], odd[7 - i]) })
}

/// Divides by 2^`bits`, halves up.
fn round(value: i32, bits: u32) -> i32 {
    value.wrapping_add(1 << (bits - 1)) >> bits
}

/// Writes the 8 x 8 samples of a block; `stride` is from a row to the next.
pub(super) fn block(coefficients: &[i16; 64], factors: &[u16; 64], out: &mut [u8], stride: usize) {
    let sample = |value: i32| value.saturating_add(128).clamp(0, 255) as u8;
    let value = |i: usize| i32::from(coefficients[i]).wrapping_mul(i32::from(factors[i]));
    if coefficients[1..].iter().all(|&c| c == 0) {
        let even = sample(round(value(0).wrapping_shl(KEPT), KEPT + 3));
        out.chunks_mut(stride).take(8).for_each(|row| row[..8].fill(even));
        return;
    }
    let mut middle = [0; 64];
    for x in 0..8 {
        let column: [i32; 8] = std::array::from_fn(|y| value(y * 8 + x));
        for (y, value) in line(column).into_iter().enumerate() {
            middle[y * 8 + x] = round(value, POINT - KEPT);
        }
    }
    for (frequencies, row) in middle.as_chunks::<8>().0.iter().zip(out.chunks_mut(stride)) {
        for (value, to) in line(*frequencies).into_iter().zip(row) {
            *to = sample(round(value, POINT + KEPT + 3));
        }
    }
}
