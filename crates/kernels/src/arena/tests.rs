//! No two stretches share memory, whatever is taken and given back.

use super::*;
use proptest::prelude::*;

/// Panics unless the books agree with each other and with the stretches that are out.
fn check(arena: &Arena, out: &[(usize, usize)]) {
    let mut all: Vec<(usize, usize)> = arena.free.iter().map(|(&start, &len)| (start, len)).collect();
    assert_eq!(arena.sizes, all.iter().map(|&(start, len)| (len, start)).collect());
    let touching = all.windows(2).filter(|pair| pair[0].0 + pair[0].1 == pair[1].0);
    assert!(touching.into_iter().all(|pair| arena.chunks.contains_key(&pair[1].0)), "free neighbours are one");
    all.extend(out);
    all.sort_unstable();
    // Together they are the used parts of the chunks, without gap or overlap.
    let mut rest = &all[..];
    for (&start, chunk) in &arena.chunks {
        assert!(start % LINE == 0 && chunk.used <= chunk.size);
        let mut at = start;
        while at < start + chunk.used {
            assert_eq!(rest[0].0, at);
            at += rest[0].1;
            rest = &rest[1..];
        }
        assert_eq!(at, start + chunk.used);
    }
    assert!(rest.is_empty());
    assert_eq!(arena.live, out.iter().map(|stretch| stretch.1).sum());
    assert_eq!(arena.held, arena.chunks.values().map(|chunk| chunk.used).sum());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn stretches_are_apart(ops in prop::collection::vec((any::<bool>(), 0usize..1000, 0u32..14), 1..200)) {
        let (mut arena, mut out) = (Arena::new(), Vec::new());
        for (take, lines, shift) in ops {
            if take || out.is_empty() {
                // From a line to more than a chunk, none of which is touched.
                let bytes = (1 + (lines << shift) / 4) * LINE;
                let best = arena.sizes.range((bytes, 0)..).next().copied();
                let (start, used) = arena.take(bytes);
                prop_assert!(used <= bytes);
                prop_assert!(best.is_none_or(|(_, at)| at == start.addr().get()), "the smallest that fits");
                out.push((start.addr().get(), bytes));
            } else {
                let (start, bytes) = out.swap_remove(lines % out.len());
                arena.give(start, bytes);
            }
            check(&arena, &out);
        }
        for (start, bytes) in out.drain(..) {
            arena.give(start, bytes);
        }
        check(&arena, &[]);
        prop_assert!(arena.held <= arena.peak + arena.peak / 8);
        arena.trim(0);
        prop_assert_eq!((arena.held, arena.free.len()), (0, 0));
    }
}

#[test]
fn zeros_are_zeros_after_others() {
    for round in 0..50usize {
        let len = 1 + round * 7919 % 40_000;
        let mut dirty = Stretch::<f32>::scratch(len);
        dirty.as_mut_slice().fill(round as f32 + 1.0);
        let kept: Vec<_> = (0..round % 5).map(|_| Stretch::<f64>::scratch(100)).collect();
        drop(dirty);
        let zeros = Stretch::<u8>::zeros(len * 4 + round % 3);
        assert!(zeros.as_slice().iter().all(|&byte| byte == 0) && zeros.as_slice().len() == len * 4 + round % 3);
        assert!(kept.iter().all(|stretch| stretch.as_slice().as_ptr().addr() % LINE == 0));
    }
    assert!(Stretch::<f32>::zeros(0).as_slice().is_empty());
}

#[test]
fn threads_do_not_share() {
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            scope.spawn(move || {
                for round in 0..200usize {
                    let mut own: Vec<_> = (1..6).map(|i| Stretch::<u32>::scratch(i * (round % 17 + 1) * 100)).collect();
                    own.iter_mut().for_each(|own| own.as_mut_slice().fill(thread));
                    std::thread::yield_now();
                    assert!(own.iter().all(|own| own.as_slice().iter().all(|&number| number == thread)));
                }
            });
        }
    });
}

#[test]
#[should_panic(expected = "too many")]
fn more_than_any_memory_is_a_panic() {
    let _ = Stretch::<f64>::scratch(usize::MAX / 8);
}
