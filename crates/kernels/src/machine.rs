//! What the machine reaches at best, measured: the roofs that kernels stay below.
//!
//! All of it is what the threads of the current pool reach together, the best of many tries: about 0.2 s each. Whatever else
//! runs meanwhile lowers it.

use crate::gemm::Precision;
use crate::gemm::pairs::Kind;
use crate::isa::Isa;
use crate::simd::Simd;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long is measured.
const TIME: Duration = Duration::from_millis(200);
/// Chains of multiply-adds that run side by side: more than the processor has begun at any time, fewer than it has registers.
const CHAINS: usize = 12;
/// Rows of a tile of products, of two vectors each: as many chains.
const ROWS: usize = CHAINS / 2;
/// Bytes to read from memory, at least: 256 MiB.
const MEMORY: usize = 1 << 28;
/// Numbers that the second cache of a core holds and the first does not: 128 KiB.
const CACHE: usize = 1 << 15;

/// Vectors of the widest instruction set, two a row.
type Tile = [[[f32; 16]; 2]; ROWS];

/// Operations a second in this precision, two for a multiply-add, out of registers, as products are made here: in bf16 by f32
/// operations where the processor has no instruction for it, in int8 by those of 16 bits.
pub fn peak_flops(isa: Isa, precision: Precision) -> f64 {
    const ROUNDS: usize = 1 << 18;
    let kind = match precision {
        Precision::F32 => Kind::Single,
        Precision::Bf16 => Kind::pairs(isa),
        Precision::Int8 => Kind::quads(isa),
    };
    best(TIME, || {
        let one = |_: rayon::BroadcastContext<'_>| match kind {
            Kind::Single | Kind::Pairs => {
                let (sum, operations) = multiply_adds(isa, black_box(&[0.5; 48]), ROUNDS);
                black_box(sum);
                operations
            }
            _ => {
                let mut tile = black_box([[[1.0; 16]; 2]; ROWS]);
                let operations = products(isa, kind, black_box(&[[0.5; 16]; 2]), &mut tile, ROUNDS);
                black_box(tile);
                operations
            }
        };
        rayon::broadcast(one).into_iter().sum::<usize>()
    })
}

/// Bytes a second that are read from memory.
pub fn memory_bandwidth(isa: Isa) -> f64 {
    // Whole blocks of `read`, on any instruction set.
    let share = (beyond_caches() / 4 / rayon::current_num_threads()).next_multiple_of(128);
    // The first to write to a page decides where it lies: each thread writes what it reads.
    let parts = rayon::broadcast(|_| vec![1.0; share]);
    best(TIME, || {
        rayon::broadcast(|thread| black_box(read(isa, black_box(&parts[thread.index()]))));
        4 * share * parts.len()
    })
}

/// Four times the bytes that all last caches hold, so that next to nothing is still there when its turn comes again; but no more
/// than a quarter of the memory that is free. Where the system does not say, [`MEMORY`].
fn beyond_caches() -> usize {
    let free = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = free.lines().find_map(|line| kilobytes(line.strip_prefix("MemAvailable:")?, "kB"));
    let wanted = MEMORY.max(4 * last_caches(Path::new("/sys/devices/system/cpu")));
    wanted.min(free.map_or(MEMORY, |free| free / 4))
}

/// Bytes of all third caches together, as Linux describes processors in this folder; 0 where it does not.
fn last_caches(folder: &Path) -> usize {
    let processors = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let caches = processors.filter_map(|processor| {
        let cache = processor.path().join("cache/index3");
        let size = std::fs::read_to_string(cache.join("size")).ok()?;
        // Processors that share a cache list the same ones.
        Some((std::fs::read_to_string(cache.join("shared_cpu_list")).ok()?, kilobytes(&size, "K")?))
    });
    caches.collect::<BTreeMap<_, _>>().into_values().sum()
}

fn kilobytes(text: &str, unit: &str) -> Option<usize> {
    text.trim().strip_suffix(unit)?.trim().parse::<usize>().ok()?.checked_mul(1024)
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

/// How two vectors are multiplied.
trait Product<S: Simd> {
    /// Operations for a lane.
    const EACH: usize;
    /// a·b + sum
    fn multiply_add(s: S, a: S::V, b: S::V, sum: S::V) -> S::V;
}

/// Of [`Kind::Quads`].
struct Quads;
impl<S: Simd> Product<S> for Quads {
    const EACH: usize = 8;
    #[inline(always)]
    fn multiply_add(s: S, a: S::V, b: S::V, sum: S::V) -> S::V {
        s.dot4(a, b, sum)
    }
}

/// tile[i][j] += a_i·b_j so many times, where a_i is what tile[i][0] was: how many operations that was. As in the tiles of matrix
/// products, each of a and b is met by several.
#[inline(always)]
fn products_body<S: Simd, P: Product<S>>(s: S, b: &[[f32; 16]; 2], tile: &mut Tile, rounds: usize) -> usize {
    let b = [s.load(&b[0]), s.load(&b[1])];
    let mut sums = [[s.zero(); 2]; ROWS];
    for (sums, row) in sums.iter_mut().zip(&*tile) {
        *sums = [s.load(&row[0]), s.load(&row[1])];
    }
    for _ in 0..rounds {
        for row in &mut sums {
            let a = row[0];
            *row = [P::multiply_add(s, a, b[0], row[0]), P::multiply_add(s, a, b[1], row[1])];
        }
    }
    for (sums, row) in sums.iter().zip(tile) {
        s.store(&mut row[0], sums[0]);
        s.store(&mut row[1], sums[1]);
    }
    P::EACH * S::LANES * CHAINS * rounds
}

#[inline(always)]
fn quads_body<S: Simd>(s: S, b: &[[f32; 16]; 2], tile: &mut Tile, rounds: usize) -> usize {
    products_body::<S, Quads>(s, b, tile, rounds)
}
dispatch!(fn quads(b: &[[f32; 16]; 2], tile: &mut Tile, rounds: usize) -> usize = quads_body);

/// By instructions beyond AVX-512F.
#[cfg(target_arch = "x86_64")]
mod native {
    use super::{Product, Tile, products_body};
    use crate::simd::avx512::Avx512;
    use std::arch::x86_64::*;
    use std::mem::transmute;

    /// Of `Kind::NativePairs`.
    struct Pairs;
    impl Product<Avx512> for Pairs {
        const EACH: usize = 4;
        #[inline(always)]
        fn multiply_add(_: Avx512, a: __m512, b: __m512, sum: __m512) -> __m512 {
            // SAFETY: only `pairs` uses it, which runs where the processor has the instruction; the types are of one size.
            unsafe { _mm512_dpbf16_ps(sum, transmute::<__m512, __m512bh>(a), transmute::<__m512, __m512bh>(b)) }
        }
    }

    /// Of `Kind::NativeQuads`.
    struct Quads;
    impl Product<Avx512> for Quads {
        const EACH: usize = 8;
        #[inline(always)]
        fn multiply_add(_: Avx512, a: __m512, b: __m512, sum: __m512) -> __m512 {
            // SAFETY: only `quads` uses it, which runs where the processor has the instruction.
            unsafe {
                let (a, b, sum) = (_mm512_castps_si512(a), _mm512_castps_si512(b), _mm512_castps_si512(sum));
                _mm512_castsi512_ps(_mm512_dpbusd_epi32(sum, a, b))
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]
    pub(super) fn pairs(s: Avx512, b: &[[f32; 16]; 2], tile: &mut Tile, rounds: usize) -> usize {
        products_body::<Avx512, Pairs>(s, b, tile, rounds)
    }

    #[target_feature(enable = "avx512f,avx512vnni,avx2,fma")]
    pub(super) fn quads(s: Avx512, b: &[[f32; 16]; 2], tile: &mut Tile, rounds: usize) -> usize {
        products_body::<Avx512, Quads>(s, b, tile, rounds)
    }
}

/// [`products_body`] of pairs and quads, which must be of this processor and instruction set.
fn products(isa: Isa, kind: Kind, b: &[[f32; 16]; 2], tile: &mut Tile, rounds: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::simd::avx512::Avx512;
        let there = isa == Isa::Avx512 && isa.is_available();
        match kind {
            // SAFETY: the processor has the instructions, checked right before.
            Kind::NativePairs if there && Kind::pairs(isa) == kind => unsafe {
                return native::pairs(Avx512::assume(), b, tile, rounds);
            },
            // SAFETY: as above.
            Kind::NativeQuads if there && Kind::quads(isa) == kind => unsafe {
                return native::quads(Avx512::assume(), b, tile, rounds);
            },
            _ => (),
        }
    }
    assert!(kind == Kind::Quads, "{kind:?} on {}", isa.name());
    quads(isa, b, tile, rounds)
}

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

    /// What `rounds` of products give in a lane of one row, by the definition.
    fn lane<T: Copy>(begin: [T; 2], rounds: usize, multiply_add: impl Fn(T, usize, T) -> T) -> [T; 2] {
        (0..rounds).fold(begin, |[x, y], _| [multiply_add(x, 0, x), multiply_add(x, 1, y)])
    }

    #[test]
    fn products_are_counted_and_done() {
        let bits = |[x, y]: [u32; 2]| [[f32::from_bits(x); 16], [f32::from_bits(y); 16]];
        for isa in available() {
            let b = [0x7f80_03fe_u32, 0x01ff_0280];
            let sum = |a: u32, j: usize, sum: u32| {
                let products = a.to_le_bytes().into_iter().zip(b[j].to_le_bytes());
                let products = products.map(|(a, b)| i32::from(a) * i32::from(b as i8)).sum::<i32>();
                sum.wrapping_add(products as u32)
            };
            let want = lane([7, 0xff02_1003], 5, sum);
            for kind in [Kind::Quads, Kind::quads(isa)] {
                let mut tile = [bits([7, 0xff02_1003]); ROWS];
                let lanes = products(isa, kind, &bits(b), &mut tile, 5) / (8 * CHAINS * 5);
                assert!([4, 8, 16].contains(&lanes), "{isa:?}: {lanes}");
                for got in tile.iter().flat_map(|row| row.iter().zip(want)) {
                    assert!(got.0[..lanes].iter().all(|x| x.to_bits() == got.1), "{isa:?} {kind:?}: {tile:?}");
                }
            }
            if Kind::pairs(isa) == Kind::NativePairs {
                // The upper halves of small numbers are the numbers, the lower ones 0.
                let b = [0.5f32, -1.0];
                let mut tile = [[[1.0; 16], [3.0; 16]]; ROWS];
                let operations = products(isa, Kind::NativePairs, &b.map(|b| [b; 16]), &mut tile, 3);
                assert_eq!(operations, 4 * 16 * CHAINS * 3);
                let want = lane([1.0, 3.0], 3, |a, j, sum| a * b[j] + sum);
                assert_eq!(tile, [want.map(|x| [x; 16]); ROWS]);
            }
        }
    }

    #[test]
    fn caches_that_are_shared_count_once() -> std::io::Result<()> {
        let folder = std::env::temp_dir().join(format!("ukulele-caches-{}", std::process::id()));
        for (i, shared) in ["0-1", "0-1", "2"].into_iter().enumerate() {
            let cache = folder.join(format!("cpu{i}/cache/index3"));
            std::fs::create_dir_all(&cache)?;
            std::fs::write(cache.join("size"), "32768K\n")?;
            std::fs::write(cache.join("shared_cpu_list"), shared)?;
        }
        let found = last_caches(&folder);
        std::fs::remove_dir_all(&folder)?;
        assert_eq!((found, last_caches(&folder)), (2 << 25, 0));
        Ok(())
    }

    #[test]
    fn roofs_are_numbers() {
        let isa = crate::isa::current();
        let peaks = [Precision::F32, Precision::Bf16, Precision::Int8].map(|precision| peak_flops(isa, precision));
        for roof in peaks.into_iter().chain([memory_bandwidth(isa), cache_bandwidth(isa)]) {
            assert!(roof > 0.0 && roof.is_finite(), "{roof}");
        }
    }
}
