//! Winograd's transforms of one column or row: polynomials at 0, at pairs of points ±p, and at infinity.
//!
//! A row d of `2 P + 2` numbers meets the factors that, at a point, all other points share, so that its product with a transformed
//! kernel is the value of a polynomial at that point; the outputs are its coefficients. With q(x²) = Π (x² - p²) over all pairs but
//! one, the points ±p of that pair give Σ qᵢ d₂ᵢ₊₂ ± p Σ qᵢ d₂ᵢ₊₁; 0 and infinity give the same of all pairs, of even and of
//! odd d.

use crate::simd::Simd;

/// Of 6 inputs, for 3 taps and 4 outputs, or 5 and 2; among the best that Barabasz et al. 2018 find. With 1 and 2 as in Lavin and
/// Gray 2015 rounding grows several times more.
pub(super) const SIX: Points<2> = Points::of([0.625, 1.5]);
/// Of 8 inputs, for 5 taps: found by trying many for the least error.
pub(super) const EIGHT: Points<3> = Points::of([0.5, 0.875, 1.75]);
/// Of 10 inputs, for 7 taps: found likewise.
pub(super) const TEN: Points<4> = Points::of([0.375, 0.875, 1.25, 2.5]);

/// Pairs of points, and the polynomials in x² that are 0 at them.
pub(super) struct Points<const P: usize> {
    /// The positive ones.
    pub(super) points: [f64; P],
    /// For each pair the coefficients of that of all others, from the constant on; the last is 1.
    others: [[f64; P]; P],
    /// Those of all, without the last, which is 1.
    all: [f64; P],
}

impl<const P: usize> Points<P> {
    const fn of(points: [f64; P]) -> Self {
        let (mut others, mut all) = ([[0.0; P]; P], [0.0; P]);
        let mut pair = 0;
        while pair <= P {
            // Multiplied by (x² - p²) for each p but that of `pair`.
            let (mut product, mut degree, mut k) = ([0.0; P], 0, 0);
            product[0] = 1.0;
            while k < P {
                if k != pair {
                    let square = points[k] * points[k];
                    degree += 1;
                    let mut i = if degree < P { degree } else { P - 1 };
                    while i > 0 {
                        product[i] = product[i - 1] - square * product[i];
                        i -= 1;
                    }
                    product[0] *= -square;
                }
                k += 1;
            }
            if pair < P {
                others[pair] = product;
            } else {
                all = product;
            }
            pair += 1;
        }
        Points { points, others, all }
    }

    /// Rows of G: powers of each point over the product of its distances to the others, and the last tap.
    pub(super) fn weight_rows(&self, taps: usize) -> Vec<Vec<f64>> {
        let finite: Vec<f64> = [0.0].into_iter().chain(self.points.iter().flat_map(|&p| [p, -p])).collect();
        let row = |&p: &f64| {
            let distances: f64 = finite.iter().filter(|&&other| other != p).map(|other| p - other).product();
            (0..taps as i32).map(|power| p.powi(power) / distances).collect()
        };
        let last = (0..taps).map(|tap| if tap + 1 == taps { 1.0 } else { 0.0 }).collect();
        finite.iter().map(row).chain([last]).collect()
    }
}

/// Bᵀ d.
#[inline(always)]
pub(super) fn input_points<S: Simd, const P: usize, const IN: usize>(
    s: S,
    points: &Points<P>,
    d: [S::V; IN],
) -> [S::V; IN] {
    const { assert!(IN == 2 * P + 2) };
    let mut v = [s.zero(); IN];
    let (mut zero, mut infinity) = (d[2 * P], d[2 * P + 1]);
    for i in (0..P).rev() {
        let factor = s.splat(points.all[i] as f32);
        zero = s.mul_add(factor, d[2 * i], zero);
        infinity = s.mul_add(factor, d[2 * i + 1], infinity);
    }
    (v[0], v[IN - 1]) = (zero, infinity);
    for pair in 0..P {
        let (mut even, mut odd) = (d[2 * P], d[2 * P - 1]);
        for i in (0..P - 1).rev() {
            let factor = s.splat(points.others[pair][i] as f32);
            even = s.mul_add(factor, d[2 * i + 2], even);
            odd = s.mul_add(factor, d[2 * i + 1], odd);
        }
        let p = s.splat(points.points[pair] as f32);
        v[2 * pair + 1] = s.mul_add(p, odd, even);
        v[2 * pair + 2] = s.mul_add(s.splat(-points.points[pair] as f32), odd, even);
    }
    v
}

/// Aᵀ m: coefficient k is the sum over the points of its k-th power times m, and the last one has infinity's m as well.
#[inline(always)]
pub(super) fn output_points<S: Simd, const P: usize, const IN: usize, const OUT: usize>(
    s: S,
    points: &Points<P>,
    m: [S::V; IN],
) -> [S::V; OUT] {
    const { assert!(IN == 2 * P + 2 && OUT > 1) };
    let mut y = [s.zero(); OUT];
    (y[0], y[OUT - 1]) = (m[0], m[IN - 1]);
    for pair in 0..P {
        let (sum, difference) = (s.add(m[2 * pair + 1], m[2 * pair + 2]), s.sub(m[2 * pair + 1], m[2 * pair + 2]));
        let mut power = 1.0;
        for (k, y) in y.iter_mut().enumerate() {
            let term = if k % 2 == 0 { sum } else { difference };
            *y = s.mul_add(s.splat(power as f32), term, *y);
            power *= points.points[pair];
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    fn bodies<S: Simd>(s: S, result: &mut [f64; 3]) {
        macro_rules! worst {
            ($points:expr, $pairs:literal, $inputs:literal, $outputs:literal) => {{
                let taps = $inputs + 1 - $outputs;
                let number = |i: usize| ((i * 7 + 3) % 11) as f32 - 5.0;
                let g: Vec<f64> = (0..taps).map(|i| f64::from(number(i + 5))).collect();
                let v = input_points::<S, $pairs, $inputs>(s, &$points, std::array::from_fn(|i| s.splat(number(i))));
                let mut m = v;
                for (m, row) in m.iter_mut().zip($points.weight_rows(taps)) {
                    let weight: f64 = row.iter().zip(&g).map(|(row, g)| row * g).sum();
                    *m = s.mul(*m, s.splat(weight as f32));
                }
                let y = output_points::<S, $pairs, $inputs, $outputs>(s, &$points, m);
                let mut worst = 0.0f64;
                for (k, y) in y.into_iter().enumerate() {
                    let want: f64 = (0..taps).map(|t| g[t] * f64::from(number(k + t))).sum();
                    let mut got = vec![0.0; S::LANES];
                    s.store(&mut got, y);
                    worst = worst.max((f64::from(got[0]) - want).abs());
                }
                worst
            }};
        }
        *result = [worst!(SIX, 2, 6, 4).max(worst!(SIX, 2, 6, 2)), worst!(EIGHT, 3, 8, 4), worst!(TEN, 4, 10, 4)];
    }
    dispatch!(fn worst(result: &mut [f64; 3]) = bodies);

    #[test]
    fn outputs_are_sums_of_taps() {
        let mut errors = [0.0; 3];
        worst(Isa::Scalar, &mut errors);
        assert!(errors.iter().all(|&error| error < 1e-3), "{errors:?}");
    }
}
