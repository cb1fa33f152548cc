//! How sure a measured number is: 95 % intervals.

use crate::{Error, Result};

/// A value with a 95 % interval around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// The Wilson interval of a share: `correct` of `total`. It stays within 0 and 1, and is honest for small counts.
/// Source: Wilson, Probable inference, the law of succession, and statistical inference, 1927.
///
/// ```
/// let share = ukulele_training::wilson(45, 50);
/// assert!((share.low - 0.7864).abs() < 1e-4 && (share.high - 0.9565).abs() < 1e-4);
/// ```
pub fn wilson(correct: usize, total: usize) -> Interval {
    if total == 0 {
        return Interval { value: 0.0, low: 0.0, high: 1.0 };
    }
    let n = total as f64;
    let p = correct as f64 / n;
    let center = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    Interval { value: p, low: ((center - half) / scale).max(0.0), high: ((center + half) / scale).min(1.0) }
}

/// The mean of measurements (e.g. one per seed) with Student's interval: mean ± t·s/√n. A single measurement has an
/// interval without ends.
///
/// # Errors
/// No measurements.
pub fn mean_interval(values: &[f64]) -> Result<Interval> {
    if values.is_empty() {
        return Err(Error::Argument("no values to take the mean of".into()));
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() == 1 {
        return Ok(Interval { value: mean, low: f64::NEG_INFINITY, high: f64::INFINITY });
    }
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = student(values.len() - 1) * (variance / n).sqrt();
    Ok(Interval { value: mean, low: mean - half, high: mean + half })
}

/// The mean of a − b over pairs (same seed, same data) with Student's interval. Above 0 throughout: a is better.
///
/// # Errors
/// Lists of unequal length, or empty.
pub fn paired_difference(a: &[f64], b: &[f64]) -> Result<Interval> {
    if a.len() != b.len() {
        return Err(Error::Argument(format!("{} and {} values are no pairs", a.len(), b.len())));
    }
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    mean_interval(&differences)
}

/// The 97.5 % quantile of Student's distribution with this many degrees of freedom: a table up to 30, then the
/// expansion of Cornish and Fisher, good to 1e-4 there.
fn student(freedom: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604,
        2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518,
        2.0484, 2.0452, 2.0423,
    ];
    match freedom {
        0 => f64::INFINITY,
        1..=30 => TABLE[freedom - 1],
        _ => {
            let n = freedom as f64;
            let [z3, z5] = [Z.powi(3), Z.powi(5)];
            Z + (z3 + Z) / (4.0 * n) + (5.0 * z5 + 16.0 * z3 + 3.0 * Z) / (96.0 * n * n)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy.stats.t.ppf(0.975, n).
    #[test]
    fn quantiles_are_those_of_the_table() {
        for (freedom, want) in
            [(1, 12.7062), (4, 2.7764), (30, 2.0423), (31, 2.03951), (40, 2.02108), (100, 1.98397), (1000, 1.96234)]
        {
            assert!((student(freedom) - want).abs() < 1e-4, "{freedom}: {}", student(freedom));
        }
    }

    /// statsmodels.stats.proportion.proportion_confint(method="wilson").
    #[test]
    fn shares_at_the_ends_have_sensible_intervals() {
        let none = wilson(0, 10);
        assert!(none.low == 0.0 && (none.high - 0.27753).abs() < 1e-5, "{none:?}");
        let all = wilson(10, 10);
        assert!((all.low - 0.72247).abs() < 1e-5 && (all.high - 1.0).abs() < 1e-15, "{all:?}");
        assert_eq!((wilson(0, 0).low, wilson(0, 0).high), (0.0, 1.0));
    }

    #[test]
    fn a_mean_of_five_seeds() {
        // mean 0.846, s = 0.0114018, half = 2.7764 · s / √5 = 0.014157
        let got = mean_interval(&[0.83, 0.84, 0.85, 0.85, 0.86]).unwrap();
        assert!((got.value - 0.846).abs() < 1e-12 && (got.high - got.value - 0.014157).abs() < 1e-6, "{got:?}");
        assert!(mean_interval(&[0.5]).unwrap().high.is_infinite() && mean_interval(&[]).is_err());
    }

    #[test]
    fn pairs_cancel_what_they_share() {
        let difference = paired_difference(&[0.9, 0.7, 0.5], &[0.8, 0.6, 0.4]).unwrap();
        assert!((difference.value - 0.1).abs() < 1e-12 && difference.low > 0.0999);
        assert!(paired_difference(&[1.0], &[]).is_err());
    }
}
