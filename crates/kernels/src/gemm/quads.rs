//! 8-bit integers, four in the place of one f32: tiles, panels and walks serve as they are, with a quarter of the depth.
//!
//! A number x of A is scale·(q − zero) with q from 0 to 255, scale and zero belonging to its row; a number of B is scale·q
//! with q from −127 to 127, scale belonging to its column. Sums of products of integers are exact, so that the result does
//! not depend on their order:
//!
//! Σ a·b = scale_a·scale_b·(Σ q_a·q_b − zero·Σ q_b)

use crate::simd::Simd;

/// Rows of B up to which sums surely fit 32 bits: 255·127 each.
pub(crate) const MOST_ROWS: usize = i32::MAX as usize / (255 * 127);
/// Rows of a panel behind the quads: the scales of its columns, and the sums of their integers, in the bits of f32.
pub(crate) const TRAILER: usize = 2;

/// How the numbers of a row of A are to be read: scale·(q − zero).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quantum {
    pub(crate) scale: f32,
    pub(crate) zero: i32,
}

impl Quantum {
    /// 0 and what lies between these two are in reach. Without a number that is finite and not 0 the scale is 0; one that is not
    /// finite makes it NaN, and with it the whole row of the result.
    pub(crate) fn of((least, most): (f32, f32)) -> Self {
        let scale = most / 255.0 - least / 255.0;
        if scale < f32::MIN_POSITIVE {
            return Quantum { scale: 0.0, zero: 0 };
        }
        Quantum { scale, zero: (-least / scale).round_ties_even() as i32 }
    }

    /// Four times the integer of 0.
    pub(crate) fn zeros(self) -> f32 {
        f32::from_bits(u32::from_le_bytes([self.zero as u8; 4]))
    }

    /// The factor from numbers to integers.
    fn inverse(self) -> f32 {
        if self.scale == 0.0 { 0.0 } else { 1.0 / self.scale }
    }
}

#[inline(always)]
fn extremes_body<S: Simd>(s: S, x: &[f32]) -> (f32, f32) {
    // 0·x is NaN where x is not finite.
    let (mut least, mut most, mut finite) = (s.zero(), s.zero(), s.zero());
    let mut rest = x;
    while !rest.is_empty() {
        let v;
        (v, rest) = match rest.split_at_checked(S::LANES) {
            Some((now, later)) => (s.load(now), later),
            None => (s.load_partial(rest), &rest[..0]),
        };
        (least, most) = (s.min(v, least), s.max(v, most));
        finite = s.add(finite, s.mul(v, s.zero()));
    }
    let nan = s.sum(finite);
    (nan - s.max_lane(s.neg(least)), nan + s.max_lane(most))
}
dispatch!(
    /// The least and the largest of 0 and these numbers; NaN if one is not finite.
    pub(crate) fn extremes(x: &[f32]) -> (f32, f32) = extremes_body
);

#[inline(always)]
fn quantize_body<S: Simd>(s: S, quantum: Quantum, x: &[f32], out: &mut [f32]) {
    let (inverse, zero) = (s.splat(quantum.inverse()), s.splat(quantum.zero as f32));
    let (floor, ceiling) = (s.zero(), s.splat(255.0));
    let places = S::LANES / 4;
    for (x, out) in x.chunks(S::LANES).zip(out.chunks_mut(places)) {
        let v = if x.len() == S::LANES { s.load(x) } else { s.load_partial(x) };
        let v = s.min(s.max(s.add(s.round(s.mul(v, inverse)), zero), floor), ceiling);
        let mut bytes = [0.0; 4];
        s.store_bytes(&mut bytes, v);
        out.copy_from_slice(&bytes[..out.len()]);
    }
}
dispatch!(
    /// The integers of x, four in a place; those that are missing in the last place have any value.
    pub(crate) fn quantize(quantum: Quantum, x: &[f32], out: &mut [f32]) = quantize_body
);

/// `count` panels `[tap][row][width]` of f32 as panels of quads, each with its [`TRAILER`]. A number of rows that is not a multiple
/// of four is filled up with zeros.
pub(crate) fn join_quads(panels: &[f32], count: usize, taps: usize, rows: usize, width: usize) -> Vec<f32> {
    let size = taps * rows * width;
    let mut quads = Vec::with_capacity(count * width * (taps * rows.div_ceil(4) + TRAILER));
    for panel in (0..count).map(|panel| &panels[panel * size..][..size]) {
        let mut largest = vec![0.0f32; width];
        for row in panel.chunks_exact(width) {
            // What is not finite stays, and makes its column of the result NaN.
            largest
                .iter_mut()
                .zip(row)
                .for_each(|(most, x)| *most = if x.abs() > *most || x.is_nan() { x.abs() } else { *most });
        }
        let scales: Vec<f32> = largest.iter().map(|most| most / 127.0).collect();
        let integer = |x: f32, scale: f32| {
            if scale == 0.0 { 0 } else { (x / scale).round_ties_even().clamp(-127.0, 127.0) as i8 }
        };
        let mut sums = vec![0i32; width];
        for tap in panel.chunks_exact((rows * width).max(1)) {
            for four in tap.chunks(4 * width) {
                for (j, (&scale, sum)) in scales.iter().zip(&mut sums).enumerate() {
                    let quad: [i8; 4] =
                        std::array::from_fn(|i| four.get(i * width + j).map_or(0, |&x| integer(x, scale)));
                    *sum += quad.iter().map(|&q| i32::from(q)).sum::<i32>();
                    quads.push(f32::from_bits(u32::from_le_bytes(quad.map(|q| q as u8))));
                }
            }
        }
        quads.extend(scales);
        quads.extend(sums.into_iter().map(|sum| f32::from_bits(sum as u32)));
    }
    quads
}
