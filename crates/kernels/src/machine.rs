//! What the machine reaches at best, measured: the roofs that kernels stay below.
//!
//! All of it is what the threads of the current pool reach together, the best of many tries: about 0.2 s each.

use crate::isa::Isa;
use crate::simd::Simd;
use rayon::prelude::*;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long is measured.
const TIME: Duration = Duration::from_millis(200);
/// Chains of multiply-adds that run side by side: more than the processor has begun at any time, fewer than it has registers.
const CHAINS: usize = 12;
/// Numbers that no cache of a processor holds: 256 MiB.
const MEMORY: usize = 1 << 26;
/// Numbers that the second cache of a core holds and the first does not: 128 KiB.
const CACHE: usize = 1 << 15;

/// f32 operations a second, two for a multiply-add, out of registers.
pub fn peak_flops(isa: Isa) -> f64 {
    best(TIME, || {
        let one = |_: rayon::BroadcastContext<'_>| {
            let (sum, operations) = multiply_adds(isa, black_box(&[0.5; 48]), 1 << 18);
            black_box(sum);
            operations
        };
        rayon::broadcast(one).into_iter().sum::<usize>()
    })
}

/// Bytes a second that are read from memory.
pub fn memory_bandwidth(isa: Isa) -> f64 {
    let threads = rayon::current_num_threads();
    let mut numbers = vec![0.0; MEMORY];
    // The first to write to a page decides where it lies.
    let share = MEMORY.div_ceil(threads);
    numbers.par_chunks_mut(share).for_each(|part| part.fill(1.0));
    let part = |thread: usize| numbers.chunks(share).nth(thread).unwrap_or_default();
    best(TIME, || {
        rayon::broadcast(|thread| black_box(read(isa, black_box(part(thread.index())))));
        4 * MEMORY
    })
}

/// Bytes a second that are read from the second caches of all cores.
pub fn cache_bandwidth(isa: Isa) -> f64 {
    const ROUNDS: usize = 256;
    best(TIME, || {
        let one = |_: rayon::BroadcastContext<'_>| {
            let numbers = vec![1.0; CACHE];
            for _ in 0..ROUNDS {
                black_box(read(isa, black_box(&numbers)));
            }
            4 * CACHE * ROUNDS
        };
        rayon::broadcast(one).into_iter().sum::<usize>()
    })
}

/// The highest amount a second that `work` did, in so much time and at least once.
fn best(time: Duration, mut work: impl FnMut() -> usize) -> f64 {
    let (begin, mut most) = (Instant::now(), 0.0f64);
    loop {
        let start = Instant::now();
        let amount = work() as f64;
        most = most.max(amount / start.elapsed().as_secs_f64().max(1e-9));
        if begin.elapsed() >= time {
            return most;
        }
    }
}

/// x = x·f + s so many times in each lane of each chain: the sum of the lanes, and how many operations that was. The
/// seeds are 16 factors, 16 summands and 16 numbers to begin with.
#[inline(always)]
fn multiply_adds_body<S: Simd>(s: S, seeds: &[f32; 48], rounds: usize) -> (f32, usize) {
    let (factor, summand) = (s.load(&seeds[..16]), s.load(&seeds[16..32]));
    let mut chains = [s.load(&seeds[32..]); CHAINS];
    // No two may be the same, or the compiler keeps one.
    for i in 1..CHAINS {
        chains[i] = s.add(chains[i - 1], s.splat(seeds[i]));
    }
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = s.mul_add(*chain, factor, summand);
        }
    }
    let mut sum = s.zero();
    for chain in chains {
        sum = s.add(sum, chain);
    }
    (s.sum(sum), 2 * S::LANES * CHAINS * rounds)
}
dispatch!(fn multiply_adds(seeds: &[f32; 48], rounds: usize) -> (f32, usize) = multiply_adds_body);

/// The sum of the numbers, a multiple of 8 vectors; what is beyond is left out.
#[inline(always)]
fn read_body<S: Simd>(s: S, numbers: &[f32]) -> f32 {
    let mut sums = [s.zero(); 8];
    for block in numbers.chunks_exact(8 * S::LANES) {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = s.add(*sum, s.load(&block[i * S::LANES..]));
        }
    }
    let mut sum = s.zero();
    for part in sums {
        sum = s.add(sum, part);
    }
    s.sum(sum)
}
dispatch!(fn read(numbers: &[f32]) -> f32 = read_body);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;

    #[test]
    fn what_is_counted_is_done() {
        for isa in available() {
            // x = (x + 1)/2 goes to 1, x = x + 1/2 counts.
            let (sum, operations) = multiply_adds(isa, &[0.5; 48], 100);
            let lanes = operations / (2 * CHAINS * 100);
            assert!([4, 8, 16].contains(&lanes), "{isa:?}: {lanes}");
            assert_eq!(sum, (lanes * CHAINS) as f32, "{isa:?}");
            let mut seeds = [0.5; 48];
            seeds[..16].fill(1.0);
            // Chain i begins with 1/2 + i, and grows by 1/2 six times.
            let begin: f32 = (0..CHAINS).map(|i| 0.5 + i as f32).sum();
            assert_eq!(multiply_adds(isa, &seeds, 6).0, lanes as f32 * (begin + 3.0 * CHAINS as f32), "{isa:?}");
            assert_eq!(read(isa, &[1.0; 1 << 12]), 4096.0, "{isa:?}");
        }
    }

    #[test]
    fn roofs_are_numbers() {
        let isa = crate::isa::current();
        for roof in [peak_flops(isa), cache_bandwidth(isa)] {
            assert!(roof > 0.0 && roof.is_finite(), "{roof}");
        }
    }
}
