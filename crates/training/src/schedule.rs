//! Learning rates over time.

use std::f64::consts::PI;

/// What follows the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decline {
    /// 1 to the end.
    Constant,
    /// From 1 straight to 0.
    #[default]
    Linear,
    /// (1 + cos πt)/2, t from 0 to 1. Source: Loshchilov and Hutter, SGDR, 2016, without restarts.
    Cosine,
}

/// The factor on the learning rate: a linear warm-up, then a decline.
///
/// With W steps of warm-up out of N, step i (from 0) has the factor (i + 1)/W while i < W, and then the decline at
/// t = (i − W)/(N − W). No step has the factor 0.
///
/// ```
/// use ukulele_training::{Decline, Schedule};
/// let schedule = Schedule { warmup: 0.2, decline: Decline::Linear };
/// let factors: Vec<f64> = (0..10).map(|step| schedule.factor(step, 10)).collect();
/// assert_eq!(factors, [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// The share of all steps that warms up, 0 to 1.
    pub warmup: f64,
    /// What follows.
    pub decline: Decline,
}

impl Default for Schedule {
    /// A tenth of warm-up, then straight to 0: BERT's.
    fn default() -> Self {
        Self { warmup: 0.1, decline: Decline::Linear }
    }
}

impl Schedule {
    /// The same rate at every step.
    pub const CONSTANT: Self = Self { warmup: 0.0, decline: Decline::Constant };

    /// The factor of step `step`, counted from 0, out of `total`.
    pub fn factor(&self, step: usize, total: usize) -> f64 {
        let warmup = (self.warmup.clamp(0.0, 1.0) * total as f64).round() as usize;
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let t = ((step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64).min(1.0);
        match self.decline {
            Decline::Constant => 1.0,
            Decline::Linear => 1.0 - t,
            Decline::Cosine => 0.5 * (1.0 + (PI * t).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cosine_passes_the_middle_at_half_time() {
        let schedule = Schedule { warmup: 0.0, decline: Decline::Cosine };
        let factors: Vec<f64> = (0..4).map(|i| schedule.factor(i, 4)).collect();
        let want = [1.0, 0.5 + 0.125f64.sqrt(), 0.5, 0.5 - 0.125f64.sqrt()];
        assert!(factors.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-15), "{factors:?}");
    }

    #[test]
    fn every_step_moves_and_none_exceeds_the_rate() {
        for decline in [Decline::Constant, Decline::Linear, Decline::Cosine] {
            for warmup in [0.0, 0.06, 0.5, 1.0] {
                for total in [1, 2, 7, 100] {
                    let factors: Vec<f64> = (0..total).map(|i| Schedule { warmup, decline }.factor(i, total)).collect();
                    assert!(factors.iter().all(|&f| f > 0.0 && f <= 1.0), "{decline:?} {warmup} {total} {factors:?}");
                    let peak = factors.iter().position(|&f| f == 1.0).expect("the full rate is reached");
                    assert!(factors[..peak].is_sorted() && factors[peak..].is_sorted_by(|a, b| a >= b), "{factors:?}");
                }
            }
        }
    }

    #[test]
    fn steps_beyond_the_end_and_no_steps_at_all_are_harmless() {
        let schedule = Schedule::default();
        assert_eq!(schedule.factor(20, 10), 0.0);
        assert!(schedule.factor(0, 0).is_finite());
        assert_eq!(Schedule::CONSTANT.factor(7, 3), 1.0);
    }
}
