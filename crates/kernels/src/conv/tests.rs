//! The fast convolutions against their naive twins, on every instruction set of the machine.

use super::*;
use crate::gemm::Activation;
use crate::isa::available;
use proptest::prelude::*;

/// Numbers between -1 and 1 that look random.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        z ^= z << 13;
        z ^= z >> 7;
        z ^= z << 17;
        (z >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Any small convolution: `kind` 0 general, 1 grouped, 2 depthwise, 3 pointwise.
fn any_conv() -> impl Strategy<Value = Conv2d> {
    let image = (0usize..4, 0usize..12, 0usize..12);
    let channels = (0usize..4, 1usize..5, 1usize..20, 1usize..40);
    let kernel = (1usize..5, 1usize..5, 1usize..4, 1usize..4);
    let rest = (prop::array::uniform4(0usize..4), 1usize..3, 1usize..3);
    (image, channels, kernel, rest).prop_map(|(image, (kind, groups, cin, cout), kernel, (pad, dh, dw))| {
        let (groups, cin, cout) = match kind {
            1 => (groups, groups * cin, groups * cout),
            2 => (cin, cin, cin * groups),
            _ => (1, cin * groups, cout * groups),
        };
        let (kh, kw) = if kind == 3 { (1, 1) } else { (kernel.0, kernel.1) };
        Conv2d {
            n: image.0,
            h: image.1,
            w: image.2,
            cin,
            cout,
            kh,
            kw,
            stride: (kernel.2, kernel.3),
            pad,
            dilation: (dh, dw),
            groups,
        }
    })
}

/// Differences that rounding `k` products of numbers up to 1 can make.
fn assert_close(got: &[f32], want: &[f32], k: usize, what: &str) {
    let tolerance = 2e-7 * (k as f32 + 8.0);
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= tolerance, "{what}: {got} instead of {want} at {i}");
    }
}

/// All three passes on every instruction set.
fn check(g: &Conv2d, seed: u64, residual: bool, activation: Activation) {
    let (x, w, dy) = (numbers(g.x_len(), seed), numbers(g.w_len(), seed + 1), numbers(g.y_len(), seed + 2));
    let bias = numbers(g.cout, seed + 3);
    let epilogue = Epilogue { bias: Some(&bias), residual: residual.then_some(&dy[..]), activation };
    let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
    naive::conv::conv2d(g, &x, &w, &mut y, &epilogue);
    naive::conv::conv2d_backward_data(g, &dy, &w, &mut dx);
    naive::conv::conv2d_backward_weight(g, &x, &dy, &mut dw);
    for isa in available() {
        let (mut fast_y, mut fast_dx, mut fast_dw) = (dy.clone(), x.clone(), w.clone());
        let mut packed_y = dy.clone();
        conv2d_with(isa, g, &x, &w, &mut fast_y, &epilogue);
        conv2d_packed(g, &x, &PackedConv::new_with(isa, g, &w), &mut packed_y, &epilogue);
        assert_eq!(fast_y, packed_y, "{isa:?} packed");
        backward_data_with(isa, g, &dy, &w, &mut fast_dx);
        backward_weight_with(isa, g, &x, &dy, &mut fast_dw);
        let taps = g.kh * g.kw;
        assert_close(&fast_y, &y, taps * g.cin, &format!("{isa:?} forward"));
        assert_close(&fast_dx, &dx, taps * g.cout, &format!("{isa:?} backward data"));
        assert_close(&fast_dw, &dw, g.n * g.out_h() * g.out_w(), &format!("{isa:?} backward weight"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn agrees_with_the_naive_twin(
        g in any_conv(),
        seed in 0u64..1000,
        residual in any::<bool>(),
        activation in prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::GeluErf)],
    ) {
        check(&g, seed, residual, activation);
    }
}

/// The first layers and the pointwise layer whose pixels are 2 KiB apart, which take their own ways.
#[test]
fn special_cases_agree_with_the_naive_twin() {
    let stem = Conv2d {
        n: 2,
        h: 29,
        w: 31,
        cin: 3,
        cout: 40,
        kh: 7,
        kw: 7,
        stride: (2, 2),
        pad: [3; 4],
        dilation: (1, 1),
        groups: 1,
    };
    let wide = Conv2d { h: 6, w: 5, cin: 512, cout: 33, kh: 1, kw: 1, pad: [0; 4], ..stem };
    let large = Conv2d { h: 40, w: 40, cin: 40, kh: 3, kw: 3, stride: (1, 1), pad: [1; 4], ..stem };
    for g in [stem, wide, Conv2d { pad: [1, 0, 0, 2], stride: (1, 1), ..wide }, large] {
        check(&g, 7, true, Activation::Relu);
    }
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let g = Conv2d {
        n: 3,
        h: 30,
        w: 30,
        cin: 40,
        cout: 70,
        kh: 3,
        kw: 3,
        stride: (1, 1),
        pad: [1; 4],
        dilation: (1, 1),
        groups: 1,
    };
    let depthwise = Conv2d { groups: 40, cout: 40, ..g };
    let run = |threads: usize, isa, g: &Conv2d| {
        let (x, w, dy) = (numbers(g.x_len(), 1), numbers(g.w_len(), 2), numbers(g.y_len(), 3));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
            conv2d_packed(g, &x, &PackedConv::new_with(isa, g, &w), &mut y, &Epilogue::NONE);
            backward_data_with(isa, g, &dy, &w, &mut dx);
            backward_weight_with(isa, g, &x, &dy, &mut dw);
            (y, dx, dw)
        })
    };
    for isa in available() {
        for g in [g, depthwise] {
            assert_eq!(run(1, isa, &g), run(2, isa, &g), "{isa:?}");
        }
    }
}

#[test]
fn f64_runs_the_naive_twin() {
    let g = Conv2d {
        n: 1,
        h: 2,
        w: 2,
        cin: 1,
        cout: 1,
        kh: 2,
        kw: 2,
        stride: (1, 1),
        pad: [0; 4],
        dilation: (1, 1),
        groups: 1,
    };
    let (x, w, mut y) = ([1.0f64, 2.0, 3.0, 4.0], [5.0f64, 6.0, 7.0, 8.0], [0.0]);
    conv2d(&g, &x, &w, &mut y, &Epilogue::NONE);
    assert_eq!(y, [70.0]);
}
