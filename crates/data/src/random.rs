//! Randomness by counter: the same key gives the same numbers, in any order, on any thread. No state is shared.

/// Finaliser of splitmix64: a bijection of 64 bits that mixes them well.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A stream of numbers that is determined by a key, e.g. (seed, epoch, sample).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random {
    key: u64,
    count: u64,
}

impl Random {
    /// The stream of a key. Every part counts: (1, 2) and (2, 1) are different streams.
    pub fn new(key: &[u64]) -> Self {
        let key = key.iter().fold(0x9E37_79B9_7F4A_7C15, |hash, &part| mix(hash ^ mix(part.wrapping_add(hash))));
        Self { key, count: 0 }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.count += 1;
        mix(self.key.wrapping_add(self.count.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    /// Uniform in [0, 1), in steps of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform below `n`; 0 if `n` is 0. The bias is below n / 2^64.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_determine_streams() {
        let draw = |key: &[u64]| Random::new(key).bits();
        assert_eq!(draw(&[1, 2]), draw(&[1, 2]));
        let mut seen = vec![draw(&[]), draw(&[0]), draw(&[0, 0]), draw(&[1, 2]), draw(&[2, 1]), draw(&[1]), draw(&[2])];
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 7);
    }

    #[test]
    fn uniform() {
        let mut random = Random::new(&[7]);
        let mut counts = [0; 10];
        let mut sum = 0.0;
        for _ in 0..100_000 {
            counts[random.below(10)] += 1;
            sum += random.unit();
        }
        assert!(counts.iter().all(|&c| (9_500..10_500).contains(&c)), "{counts:?}");
        assert!((sum / 100_000.0 - 0.5).abs() < 0.005, "{sum}");
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn shuffles_are_permutations() {
        let mut items: Vec<usize> = (0..100).collect();
        Random::new(&[3]).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
