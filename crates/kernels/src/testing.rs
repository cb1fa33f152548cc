//! What the tests of this crate share.

use crate::random;
use crate::team::with_team;

/// Random numbers in [low, high), a function of the seed.
pub(crate) fn numbers(seed: u64, len: usize, low: f64, high: f64) -> Vec<f32> {
    let mut x = vec![0.0; len];
    random::fill_uniform(seed, low, high, &mut x);
    x
}

/// Numbers at the edges of f32.
pub(crate) fn special() -> Vec<f32> {
    let positive = [0.0, 1e-45, 1.0, 2.5, f32::MAX, f32::INFINITY];
    let mut all: Vec<f32> = positive.iter().flat_map(|&x| [x, -x]).collect();
    all.push(f32::NAN);
    all
}

/// Panics unless |got - want| <= tolerance * (1 + |want|) everywhere, NaN and infinities at the same places.
pub(crate) fn assert_close(got: &[f32], want: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan());
        assert!(same || (g - w).abs() <= tolerance * (1.0 + w.abs()), "{what}: element {i} is {g}, not {w}");
    }
}

/// The result of `f` on 1 and on 2 threads; panics unless both are the same bits.
pub(crate) fn same_on_1_and_2_threads<R: PartialEq + Send>(what: &str, f: impl Fn() -> R + Sync) -> R {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("a pool of threads").install(|| with_team(&f))
    };
    let one = on(1);
    assert!(one == on(2), "{what}: 1 and 2 threads differ");
    one
}
