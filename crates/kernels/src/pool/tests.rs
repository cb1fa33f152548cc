//! Fast against naive on every instruction set, and torch's rules for sizes.

use super::*;
use crate::isa::available;
use crate::numbers::tests::{assert_near, narrowed, widened};
use crate::testing::{assert_close, numbers};
use proptest::prelude::*;

/// Any pooling that has at least one window.
fn any_pool() -> impl Strategy<Value = Pool2d> {
    let window = (1usize..4, 1usize..4, 1usize..4, 1usize..4, [0usize..2, 0..2, 0..2, 0..2]);
    (0usize..3, 3usize..9, 3usize..9, 1usize..90, window, any::<bool>(), any::<bool>()).prop_map(
        |(n, h, w, c, (kh, kw, sh, sw, pad), ceil_mode, count_include_pad)| {
            let pad = [pad[0].min(kh / 2), pad[1].min(kh / 2), pad[2].min(kw / 2), pad[3].min(kw / 2)];
            Pool2d { n, h, w, c, kh, kw, stride: (sh, sw), pad, ceil_mode, count_include_pad }
        },
    )
}

/// What tells -0 from 0 and one NaN from another.
fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn fast_is_naive(g in any_pool(), seed: u64, ties: bool, odd in 0u8..4) {
        let mut x = numbers(seed, g.x_len(), -2.0, 2.0);
        if ties {
            // 0 and -0 are equal, and differ.
            x.iter_mut().for_each(|x| *x = x.round());
        }
        if odd == 0 {
            let one = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN];
            x.iter_mut().enumerate().filter(|(i, _)| i % 13 == 5).for_each(|(i, x)| *x = one[i / 13 % 4]);
        }
        let dy = numbers(seed ^ 1, g.y_len(), -1.0, 1.0);
        let [mut y, mut want] = [(); 2].map(|()| vec![7.0; g.y_len()]);
        let [mut at, mut at_want] = [(); 2].map(|()| vec![7; g.places_len()]);
        let [mut dx, mut dx_want] = [(); 2].map(|()| vec![7.0; g.x_len()]);
        for isa in available() {
            fast::max_pool2d_places(isa, &g, Numbers::F32(&x), NumbersMut::F32(&mut y), &mut at);
            naive::max_pool2d_places(&g, &x, &mut want, &mut at_want);
            prop_assert_eq!((bits(&y), &at), (bits(&want), &at_want));
            y.fill(7.0);
            fast::max_pool2d(isa, &g, &x, &mut y);
            prop_assert_eq!(bits(&y), bits(&want));
            naive::max_pool2d(&g, &x, &mut y);
            prop_assert_eq!(bits(&y), bits(&want));
            fast::max_pool2d_backward(isa, &g, Numbers::F32(&dy), &at, NumbersMut::F32(&mut dx));
            naive::max_pool2d_backward(&g, &dy, &at, &mut dx_want);
            prop_assert_eq!(&dx, &dx_want);
            // The largest of what bf16 has is exact; gradients are rounded once.
            let (short_x, short_dy) = (narrowed(&x), narrowed(&dy));
            let (mut short_y, mut short_dx) = (vec![7; y.len()], vec![7; dx.len()]);
            naive::max_pool2d_places(&g, &widened(&short_x), &mut want, &mut at_want);
            fast::max_pool2d_places(isa, &g, Numbers::Bf16(&short_x), NumbersMut::Bf16(&mut short_y), &mut at);
            assert_near(&widened(&short_y), &want, false, 0.0, "largest of bf16");
            prop_assert_eq!(&at, &at_want);
            naive::max_pool2d_backward(&g, &widened(&short_dy), &at, &mut dx_want);
            fast::max_pool2d_backward(isa, &g, Numbers::Bf16(&short_dy), &at, NumbersMut::Bf16(&mut short_dx));
            prop_assert_eq!(&short_dx, &narrowed(&dx_want));
            fast::max_pool2d_backward(isa, &g, Numbers::Bf16(&short_dy), &at, NumbersMut::F32(&mut dx));
            prop_assert_eq!(&dx, &dx_want);
            fast::avg_pool2d(isa, &g, &x, &mut y);
            naive::avg_pool2d(&g, &x, &mut want);
            assert_close(&y, &want, 1e-6, "average");
            fast::avg_pool2d_backward(isa, &g, &dy, &mut dx);
            naive::avg_pool2d_backward(&g, &dy, &mut dx_want);
            assert_close(&dx, &dx_want, 1e-6, "average backward");
        }
    }

    #[test]
    fn adaptive_is_naive(
        n in 0usize..3, h in 1usize..9, w in 1usize..9, c in 1usize..40, out_h in 1usize..9, out_w in 1usize..9,
        seed: u64,
    ) {
        let g = AdaptivePool2d { n, h, w, c, out_h, out_w };
        let (x, dy) = (numbers(seed, n * h * w * c, -1.0, 1.0), numbers(seed ^ 1, n * out_h * out_w * c, -1.0, 1.0));
        let [mut y, mut want] = [(); 2].map(|()| vec![7.0; dy.len()]);
        let [mut dx, mut dx_want] = [(); 2].map(|()| vec![7.0; x.len()]);
        for isa in available() {
            fast::adaptive_avg_pool2d(isa, &g, &x, &mut y);
            naive::adaptive_avg_pool2d(&g, &x, &mut want);
            assert_close(&y, &want, 1e-6, "adaptive");
            fast::adaptive_avg_pool2d_backward(isa, &g, &dy, &mut dx);
            naive::adaptive_avg_pool2d_backward(&g, &dy, &mut dx_want);
            assert_close(&dx, &dx_want, 1e-6, "adaptive backward");
        }
    }
}

#[test]
fn sizes_are_those_of_torch() {
    let g = Pool2d {
        n: 1,
        h: 112,
        w: 7,
        c: 1,
        kh: 3,
        kw: 3,
        stride: (2, 2),
        pad: [1; 4],
        ceil_mode: false,
        count_include_pad: true,
    };
    // torch.nn.MaxPool2d(3, 2, 1) on 112 x 7.
    assert_eq!((g.out_h(), g.out_w()), (56, 4));
    let ceil = Pool2d { ceil_mode: true, ..g };
    assert_eq!((ceil.out_h(), ceil.out_w()), (57, 4));
    // A window of 2 with step 3 on 4 numbers: the second starts at the last number; on 3 numbers it would start outside.
    let small = |h, ceil_mode| Pool2d { h, kh: 2, stride: (3, 2), pad: [0; 4], ceil_mode, ..g }.out_h();
    assert_eq!((small(4, false), small(4, true), small(3, true)), (1, 2, 1));
}

#[test]
fn divisors_are_those_of_torch() {
    // 1 2 3 4, window 3, step 2, padding 1, ceil mode: windows (pad 1 2), (2 3 4), (4 pad beyond).
    let g = Pool2d {
        n: 1,
        h: 1,
        w: 4,
        c: 1,
        kh: 1,
        kw: 3,
        stride: (1, 2),
        pad: [0, 0, 1, 1],
        ceil_mode: true,
        count_include_pad: true,
    };
    let x = [1.0f32, 2.0, 3.0, 4.0];
    let mut y = [0.0; 3];
    avg_pool2d(&g, &x, &mut y);
    // What hangs over the padding is not counted: torch.nn.AvgPool2d((1, 3), (1, 2), (0, 1), ceil_mode=True).
    assert_eq!(y, [1.0, 3.0, 2.0]);
    avg_pool2d(&Pool2d { count_include_pad: false, ..g }, &x, &mut y);
    assert_eq!(y, [1.5, 3.0, 4.0]);
}

/// A pooling of windows side by side.
fn plain(n: usize, [h, w]: [usize; 2], c: usize, [kh, kw]: [usize; 2]) -> Pool2d {
    Pool2d { n, h, w, c, kh, kw, stride: (kh, kw), pad: [0; 4], ceil_mode: false, count_include_pad: true }
}

#[test]
fn max_passes_nan_and_infinity() {
    let g = plain(1, [2, 2], 17, [2, 2]);
    let mut x = vec![f32::NEG_INFINITY; 4 * 17];
    x[17] = f32::NAN;
    x[2 * 17 + 1] = f32::INFINITY;
    x[3 * 17 + 16] = 1.0;
    for isa in available() {
        let (mut y, mut at) = (vec![0.0; 17], vec![9; 17]);
        fast::max_pool2d_places(isa, &g, Numbers::F32(&x), NumbersMut::F32(&mut y), &mut at);
        assert!(y[0].is_nan() && at[0] == 1, "{isa:?} {y:?}");
        assert_eq!((y[1], at[1], y[2], at[2], y[16], at[16]), (f32::INFINITY, 2, f32::NEG_INFINITY, 0, 1.0, 3));
        let mut alone = vec![0.0; 17];
        fast::max_pool2d(isa, &g, &x, &mut alone);
        assert_eq!(bits(&alone), bits(&y));
    }
}

#[test]
fn windows_of_more_than_256_pixels_have_places_of_four_bytes() {
    for (kernel, bytes) in [([256, 1], 1), ([257, 1], 4), ([20, 30], 4)] {
        let g = Pool2d { pad: [1, 0, 0, 0], ..plain(2, [300, 31], 21, kernel) };
        let x = numbers(3, g.x_len(), -1.0, 1.0);
        assert_eq!(g.places_len(), bytes * g.y_len());
        let [mut at, mut at_want] = [(); 2].map(|()| vec![7; g.places_len()]);
        let [mut y, mut want] = [(); 2].map(|()| vec![7.0; g.y_len()]);
        let [mut dx, mut dx_want] = [(); 2].map(|()| vec![7.0; g.x_len()]);
        naive::max_pool2d_places(&g, &x, &mut want, &mut at_want);
        naive::max_pool2d_backward(&g, &want, &at_want, &mut dx_want);
        for isa in available() {
            fast::max_pool2d_places(isa, &g, Numbers::F32(&x), NumbersMut::F32(&mut y), &mut at);
            assert_eq!((&y, &at), (&want, &at_want), "{isa:?}");
            fast::max_pool2d_backward(isa, &g, Numbers::F32(&y), &at, NumbersMut::F32(&mut dx));
            assert_eq!(dx, dx_want);
        }
    }
}
