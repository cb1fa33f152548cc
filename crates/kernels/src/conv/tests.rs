//! The fast convolutions against their naive twins, on every instruction set of the machine.

use super::*;
use crate::gemm::{Activation, Precision};
use crate::isa::available;
use crate::team::with_team;
use proptest::prelude::*;

mod mixed;
mod step;

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

/// `numbers` as pixels of `channels` channels that are `apart` numbers further from each other, with sevens between.
fn spread(numbers: &[f32], channels: usize, apart: usize) -> Vec<f32> {
    let mut out = vec![7.0; numbers.len() / channels * (channels + apart)];
    for (from, to) in numbers.chunks(channels).zip(out.chunks_mut(channels + apart)) {
        to[..channels].copy_from_slice(from);
    }
    out
}

/// The convolution of numbers that are rounded to integers: x by image, or by pixel where it is a plain product.
fn integers(g: &Conv2d, apart_x: &[f32], w: &[f32], epilogue: &Epilogue<f32>) -> Vec<f32> {
    let x: Vec<f32> = apart_x.chunks(g.cin + 3).flat_map(|pixel| &pixel[..g.cin]).copied().collect();
    let whole = |(scale, integers): (f32, Vec<i64>)| integers.into_iter().map(move |q| scale * q as f32);
    let part = if g.is_product() { g.cin } else { g.h * g.w * g.cin };
    let x: Vec<f32> = x.chunks(part.max(1)).flat_map(|x| whole(naive::gemm::affine(x.iter().copied()))).collect();
    let row = g.kh * g.kw * g.cin / g.groups;
    let w: Vec<f32> = w.chunks(row).flat_map(|w| whole(naive::gemm::symmetric(w.iter().copied()))).collect();
    let mut y = vec![0.0; g.y_len()];
    let residual = epilogue
        .residual
        .map(|residual| residual.chunks(g.cout + 5).flat_map(|pixel| &pixel[..g.cout]).copied().collect::<Vec<_>>());
    naive::conv::conv2d(g, &x, &w, &mut y, &Epilogue { residual: residual.as_deref(), ..*epilogue });
    spread(&y, g.cout, 5)
}

/// The prepared convolution by every algorithm, from and to pixels that lie apart, gives `want` and leaves what is between.
fn check_apart(isa: Isa, g: &Conv2d, x: &[f32], w: &[f32], want: &[f32], epilogue: &Epilogue<f32>) {
    let (apart_x, residual) = (spread(x, g.cin, 3), epilogue.residual.map(|residual| spread(residual, g.cout, 5)));
    let epilogue = Epilogue { residual: residual.as_deref(), ..*epilogue };
    let want = spread(want, g.cout, 5);
    for algorithm in [Algorithm::Direct, Algorithm::Winograd] {
        if !algorithm.supports(g) {
            continue;
        }
        let packed = PackedConv::new_with(isa, Kind::Single, g, w, algorithm);
        let mut got = vec![7.0; want.len()];
        conv2d_packed(g, Pixels { data: &apart_x, stride: g.cin + 3 }, &packed, &mut got, g.cout + 5, &epilogue);
        let factor = if algorithm == Algorithm::Winograd { 8 } else { 1 };
        assert_close(&got, &want, factor * g.kh * g.kw * g.cin, &format!("{isa:?} {algorithm:?}"));
    }
    if dense::supports(g, Kind::Quads) {
        let want = integers(g, &apart_x, w, &epilogue);
        for kind in [Kind::Quads, Kind::quads(isa)] {
            let packed = PackedConv::new_with(isa, kind, g, w, Algorithm::Direct);
            let mut got = vec![7.0; want.len()];
            conv2d_packed(g, Pixels { data: &apart_x, stride: g.cin + 3 }, &packed, &mut got, g.cout + 5, &epilogue);
            assert_close(&got, &want, g.kh * g.kw * g.cin, &format!("{isa:?} {kind:?}"));
        }
    }
    if !dense::supports(g, Kind::Pairs) && !stem::supports(g, Kind::Pairs) {
        return;
    }
    // In bf16 as the exact products of rounded numbers.
    let rounded = |x: &[f32]| x.iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect::<Vec<_>>();
    let mut want = want.clone();
    conv2d_packed(
        g,
        Pixels { data: &rounded(&apart_x), stride: g.cin + 3 },
        &PackedConv::new_with(isa, Kind::Single, g, &rounded(w), Algorithm::Direct),
        &mut want,
        g.cout + 5,
        &epilogue,
    );
    for kind in [Kind::Pairs, Kind::pairs(isa)] {
        let packed = PackedConv::new_with(isa, kind, g, w, Algorithm::Direct);
        let mut got = vec![7.0; want.len()];
        conv2d_packed(g, Pixels { data: &apart_x, stride: g.cin + 3 }, &packed, &mut got, g.cout + 5, &epilogue);
        assert_close(&got, &want, g.kh * g.kw * g.cin, &format!("{isa:?} {kind:?}"));
    }
}

/// All three passes on every instruction set.
fn check(g: &Conv2d, seed: u64, residual: bool, activation: Activation) {
    let (x, w, dy) = (numbers(g.x_len(), seed), numbers(g.w_len(), seed + 1), numbers(g.y_len(), seed + 2));
    let bias = numbers(g.cout, seed + 3);
    let epilogue = Epilogue { bias: Some(&bias), residual: residual.then_some(&dy[..]), activation };
    let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
    naive::conv::conv2d(g, &x, &w, &mut y, &epilogue);
    naive::conv::conv2d_backward_data(g, &dy, &w, &mut dx, false);
    naive::conv::conv2d_backward_weight(g, &x, &dy, &mut dw);
    for isa in available() {
        let (mut fast_y, mut fast_dx, mut fast_dw) = (dy.clone(), x.clone(), w.clone());
        conv2d_with(isa, Kind::Single, g, &x, &w, &mut fast_y, &epilogue);
        check_apart(isa, g, &x, &w, &y, &epilogue);
        check_rounded(isa, g, &x, &w, &dy, &epilogue);
        backward_data_with(isa, Kind::Single, g, &dy, &w, &mut fast_dx, false);
        let mut fast_sum = fast_dx.clone();
        backward_data_with(isa, Kind::Single, g, &dy, &w, &mut fast_sum, true);
        backward_weight_with(isa, Kind::Single, g, &x, &dy, &mut fast_dw);
        let taps = g.kh * g.kw;
        assert_close(&fast_y, &y, taps * g.cin, &format!("{isa:?} forward"));
        let depth = if winograd::backward_form(g, Kind::Single).is_some() { 8 } else { 1 } * taps * g.cout;
        assert_close(&fast_dx, &dx, depth, &format!("{isa:?} backward data"));
        let twice: Vec<f32> = dx.iter().map(|dx| 2.0 * dx).collect();
        assert_close(&fast_sum, &twice, 2 * depth, &format!("{isa:?} backward data, added"));
        let depth = if winograd_weight::pays(g, Kind::Single) { 8 } else { 1 } * g.n * g.out_h() * g.out_w();
        assert_close(&fast_dw, &dw, depth, &format!("{isa:?} backward weight"));
    }
}

/// All three passes in bf16 on every instruction set: those of rounded numbers, which are exact where the pass stays in f32 if
/// they are rounded before.
fn check_rounded(isa: Isa, g: &Conv2d, x: &[f32], w: &[f32], dy: &[f32], epilogue: &Epilogue<f32>) {
    let rounded = |x: &[f32]| x.iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect::<Vec<_>>();
    let (rounded_x, rounded_w, rounded_dy) = (rounded(x), rounded(w), rounded(dy));
    let (mut y, mut dx, mut dw) = (dy.to_vec(), x.to_vec(), w.to_vec());
    naive::conv::conv2d(g, &rounded_x, &rounded_w, &mut y, epilogue);
    naive::conv::conv2d_backward_data(g, &rounded_dy, &rounded_w, &mut dx, false);
    naive::conv::conv2d_backward_weight(g, &rounded_x, &rounded_dy, &mut dw);
    let taps = g.kh * g.kw;
    for kind in [Kind::Pairs, Kind::pairs(isa)] {
        let (mut fast_y, mut fast_dx, mut fast_dw) = (dy.to_vec(), x.to_vec(), w.to_vec());
        let direct = dense::supports(g, kind) && !g.is_depthwise();
        let (from, by) = if direct { (x, w) } else { (&rounded_x[..], &rounded_w[..]) };
        conv2d_with(isa, kind, g, from, by, &mut fast_y, epilogue);
        assert_close(&fast_y, &y, taps * g.cin, &format!("{isa:?} {kind:?} forward"));
        let winograd = winograd::backward_form(g, kind).is_some();
        let back = dense::supports_backward(g, kind) && !g.is_depthwise() && !winograd;
        let (from, by) = if back { (dy, w) } else { (&rounded_dy[..], &rounded_w[..]) };
        let depth = if winograd { 8 } else { 1 } * taps * g.cout;
        backward_data_with(isa, kind, g, from, by, &mut fast_dx, false);
        assert_close(&fast_dx, &dx, depth, &format!("{isa:?} {kind:?} backward data"));
        backward_data_with(isa, kind, g, from, by, &mut fast_dx, true);
        let twice: Vec<f32> = dx.iter().map(|dx| 2.0 * dx).collect();
        assert_close(&fast_dx, &twice, 2 * depth, &format!("{isa:?} {kind:?} backward data, added"));
        let winograd = winograd_weight::pays(g, if direct { kind } else { Kind::Single });
        let (from, by) = if direct && !winograd { (x, dy) } else { (&rounded_x[..], &rounded_dy[..]) };
        backward_weight_with(isa, kind, g, from, by, &mut fast_dw);
        let depth = if winograd { 8 } else { 1 } * g.n * g.out_h() * g.out_w();
        assert_close(&fast_dw, &dw, depth, &format!("{isa:?} {kind:?} backward weight"));
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

/// A pointwise layer, which the others of these tests are made of.
const PRODUCT: Conv2d = Conv2d {
    n: 2,
    h: 9,
    w: 10,
    cin: 64,
    cout: 50,
    kh: 1,
    kw: 1,
    stride: (1, 1),
    pad: [0; 4],
    dilation: (1, 1),
    groups: 1,
};

/// The first layers and the pointwise layer whose pixels are 4 KiB apart, which take their own ways.
#[test]
fn special_cases_agree_with_the_naive_twin() {
    let stem = Conv2d { h: 29, w: 31, cin: 3, cout: 40, kh: 7, kw: 7, stride: (2, 2), pad: [3; 4], ..PRODUCT };
    let wide = Conv2d { h: 6, w: 5, cin: 512, cout: 33, kh: 1, kw: 1, pad: [0; 4], ..stem };
    let large = Conv2d { h: 40, w: 40, cin: 40, kh: 3, kw: 3, stride: (1, 1), pad: [1; 4], ..stem };
    let strided = Conv2d { stride: (2, 2), groups: 4, ..large };
    let images = Conv2d { n: 40, h: 7, w: 7, cin: 64, ..large };
    let product = Conv2d { stride: (1, 1), cin: 1024, cout: 34, ..wide };
    for g in [stem, wide, product, Conv2d { pad: [1, 0, 0, 2], ..product }, large, strided, images] {
        check(&g, 7, true, Activation::Relu);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]
    #[test]
    fn winograd_agrees_with_the_naive_twin(
        image in (0usize..4, 0usize..20, 0usize..20),
        channels in (1usize..70, 1usize..70),
        pad in prop::array::uniform4(0usize..4),
        kernel in prop_oneof![
            Just((3, 3)), Just((5, 5)), Just((1, 3)), Just((3, 1)), Just((1, 5)), Just((5, 1)), Just((1, 7)), Just((7, 1)),
        ],
        seed in 0u64..1000,
        residual in any::<bool>(),
    ) {
        let (n, h, w) = image;
        let (cin, cout) = channels;
        let (kh, kw) = kernel;
        let g = Conv2d { n, h, w, cin, cout, kh, kw, stride: (1, 1), pad, dilation: (1, 1), groups: 1 };
        check(&g, seed, residual, Activation::Relu);
    }
}

/// Of inputs, of all kernels.
#[test]
fn winograds_gradients_of_other_kernels_agree_with_the_naive_twin() {
    for (kh, kw) in [(5, 5), (1, 3), (3, 1), (1, 5), (5, 1), (1, 7), (7, 1)] {
        for pad in [[kh / 2, kh / 2, kw / 2, kw / 2], [0, kh - 1, kw - 1, 0]] {
            let stride = (1, 1);
            let g = Conv2d { n: 3, h: 35, w: 33, cin: 35, cout: 40, kh, kw, stride, pad, dilation: (1, 1), groups: 1 };
            assert!(winograd::backward_form(&g, Kind::Single).is_some(), "{kh}x{kw} {pad:?}");
            check(&g, 5, false, Activation::None);
        }
    }
}

/// Other padding than 1, and sides and channels that are no multiples of anything.
#[test]
fn winograds_gradients_agree_with_the_naive_twin() {
    for pad in [[0, 2, 1, 2], [0; 4], [2; 4], [2, 1, 0, 1]] {
        let g = Conv2d {
            n: 2,
            h: 62,
            w: 59,
            cin: 33,
            cout: 40,
            kh: 3,
            kw: 3,
            stride: (1, 1),
            pad,
            dilation: (1, 1),
            groups: 1,
        };
        assert!(
            winograd::backward_form(&g, Kind::Single).is_some() && winograd_weight::pays(&g, Kind::Single),
            "{pad:?}"
        );
        check(&g, 3, false, Activation::None);
    }
}

#[test]
#[should_panic(expected = "larger than any memory")]
fn sizes_that_wrap_around_panic() {
    // 17 times this is 1 more than 2^64.
    let cout = 17_361_641_481_138_401_521;
    let g = Conv2d {
        n: 1,
        h: 1,
        w: 17,
        cin: 0,
        cout,
        kh: 1,
        kw: 1,
        stride: (1, 1),
        pad: [0; 4],
        dilation: (1, 1),
        groups: 1,
    };
    conv2d(&g, &[], &[], &mut [0.0f32], &Epilogue::NONE);
}

#[test]
fn without_channels_there_is_the_bias() {
    for (kh, kw) in [(3, 3), (3, 1), (1, 2), (1, 1)] {
        let g = Conv2d {
            n: 1,
            h: 4,
            w: 4,
            cin: 0,
            cout: 2,
            kh,
            kw,
            stride: (1, 1),
            pad: [1; 4],
            dilation: (1, 1),
            groups: 1,
        };
        assert!(!Algorithm::Winograd.supports(&g));
        let epilogue = Epilogue { bias: Some(&[1.0, 2.0]), ..Epilogue::NONE };
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let packed = PackedConv::with_precision(&g, &[], Algorithm::Direct, precision);
            let mut y = vec![7.0; g.y_len()];
            conv2d_packed(&g, Pixels { data: &[9.0; 100], stride: 3 }, &packed, &mut y, 2, &epilogue);
            assert!(y.chunks(2).all(|y| y == [1.0, 2.0]), "{kh}x{kw} {precision:?}: {y:?}");
        }
    }
}

/// Relative to the largest output.
#[test]
fn winograds_error_is_as_stated() {
    let (n, h, w, cin, cout) = (1, 28, 28, 256, 64);
    let g = Conv2d { n, h, w, cin, cout, kh: 3, kw: 3, stride: (1, 1), pad: [1; 4], dilation: (1, 1), groups: 1 };
    let (x, weight) = (numbers(g.x_len(), 1), numbers(g.w_len(), 2));
    let f64s = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    let mut exact = vec![0.0; g.y_len()];
    naive::conv::conv2d(&g, &f64s(&x), &f64s(&weight), &mut exact, &Epilogue::NONE);
    let largest = exact.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    for isa in available() {
        for (algorithm, stated) in [(Algorithm::Direct, 8e-7), (Algorithm::Winograd, 1.5e-6)] {
            let mut y = vec![0.0; g.y_len()];
            let packed = PackedConv::new_with(isa, Kind::Single, &g, &weight, algorithm);
            conv2d_packed(&g, Pixels::dense(&x, cin), &packed, &mut y, cout, &Epilogue::NONE);
            let worst = y.iter().zip(&exact).fold(0.0f64, |m, (y, x)| m.max((f64::from(*y) - x).abs()));
            println!("{isa:?} {algorithm:?}: {:.1e}", worst / largest);
            assert!(worst / largest < stated, "{isa:?} {algorithm:?}: {:.1e}", worst / largest);
        }
    }
    // Of the other kernels.
    for (kh, kw, stated) in
        [(5, 5, 1.5e-6), (1, 3, 1e-6), (3, 1, 1e-6), (1, 5, 2e-6), (5, 1, 2e-6), (1, 7, 4e-6), (7, 1, 4e-6)]
    {
        let g = Conv2d { h: 17, w: 17, cin: 192, kh, kw, pad: [kh / 2, kh / 2, kw / 2, kw / 2], ..g };
        let (x, weight) = (numbers(g.x_len(), 1), numbers(g.w_len(), 2));
        let mut exact = vec![0.0; g.y_len()];
        naive::conv::conv2d(&g, &f64s(&x), &f64s(&weight), &mut exact, &Epilogue::NONE);
        let largest = exact.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        for isa in available() {
            let mut y = vec![0.0; g.y_len()];
            let packed = PackedConv::new_with(isa, Kind::Single, &g, &weight, Algorithm::Winograd);
            conv2d_packed(&g, Pixels::dense(&x, g.cin), &packed, &mut y, cout, &Epilogue::NONE);
            let worst = y.iter().zip(&exact).fold(0.0f64, |m, (y, x)| m.max((f64::from(*y) - x).abs()));
            println!("{isa:?} {kh}x{kw}: {:.1e}", worst / largest);
            assert!(worst / largest < stated, "{isa:?} {kh}x{kw}: {:.1e}", worst / largest);
        }
    }
    // The gradient of the weight.
    let wide = Conv2d { h: 56, w: 56, ..g };
    assert!(winograd_weight::pays(&wide, Kind::Single));
    let (wide_x, dy) = (numbers(wide.x_len(), 1), numbers(wide.y_len(), 3));
    let mut exact = vec![0.0; g.w_len()];
    naive::conv::conv2d_backward_weight(&wide, &f64s(&wide_x), &f64s(&dy), &mut exact);
    let largest = exact.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    for isa in available() {
        let mut dw = vec![0.0; g.w_len()];
        backward_weight_with(isa, Kind::Single, &wide, &wide_x, &dy, &mut dw);
        let worst = dw.iter().zip(&exact).fold(0.0f64, |m, (y, x)| m.max((f64::from(*y) - x).abs()));
        println!("{isa:?} backward weight: {:.1e}", worst / largest);
        assert!(worst / largest < 2e-6, "{isa:?} backward weight: {:.1e}", worst / largest);
    }
    // The gradient of the input, which is large enough here to be computed by Winograd's algorithm.
    let turned = Conv2d { cin: cout, cout: cin, ..g };
    assert!(winograd::backward_form(&turned, Kind::Single).is_some());
    let mut exact = vec![0.0; turned.x_len()];
    naive::conv::conv2d_backward_data(&turned, &f64s(&x), &f64s(&weight), &mut exact, false);
    let largest = exact.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    for isa in available() {
        let mut dx = vec![0.0; turned.x_len()];
        backward_data_with(isa, Kind::Single, &turned, &x, &weight, &mut dx, false);
        let worst = dx.iter().zip(&exact).fold(0.0f64, |m, (y, x)| m.max((f64::from(*y) - x).abs()));
        println!("{isa:?} backward data: {:.1e}", worst / largest);
        assert!(worst / largest < 1.5e-6, "{isa:?} backward data: {:.1e}", worst / largest);
    }
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let g = Conv2d { n: 3, h: 30, w: 30, cin: 40, cout: 70, kh: 3, kw: 3, pad: [1; 4], ..PRODUCT };
    let depthwise = Conv2d { groups: 40, cout: 40, ..g };
    let first = Conv2d { cin: 3, kh: 7, kw: 7, stride: (2, 2), pad: [3; 4], ..g };
    let line = Conv2d { kh: 1, kw: 7, pad: [0, 0, 3, 3], ..g };
    let wide = Conv2d { kh: 5, kw: 5, pad: [2; 4], ..g };
    let run = |threads: usize, isa, kind, g: &Conv2d| {
        let (x, w, dy) = (numbers(g.x_len(), 1), numbers(g.w_len(), 2), numbers(g.y_len(), 3));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            with_team(|| {
                let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
                conv2d_with(isa, kind, g, &x, &w, &mut y, &Epilogue::NONE);
                let mut winograd = dy.clone();
                if Algorithm::Winograd.supports(g) {
                    let packed = PackedConv::new_with(isa, Kind::Single, g, &w, Algorithm::Winograd);
                    conv2d_packed(g, Pixels::dense(&x, g.cin), &packed, &mut winograd, g.cout, &Epilogue::NONE);
                }
                backward_data_with(isa, kind, g, &dy, &w, &mut dx, false);
                backward_data_with(isa, kind, g, &dy, &w, &mut dx, true);
                backward_weight_with(isa, kind, g, &x, &dy, &mut dw);
                let places = [Kind::pairs(isa), Kind::quads(isa)].map(|kind| {
                    let mut y = dy.clone();
                    if dense::supports(g, kind) {
                        let packed = PackedConv::new_with(isa, kind, g, &w, Algorithm::Direct);
                        conv2d_packed(g, Pixels::dense(&x, g.cin), &packed, &mut y, g.cout, &Epilogue::NONE);
                    }
                    y
                });
                (y, winograd, dx, dw, places)
            })
        })
    };
    for isa in available() {
        for g in [g, depthwise, first, line, wide] {
            for kind in [Kind::Single, Kind::Pairs, Kind::pairs(isa)] {
                assert_eq!(run(1, isa, kind, &g), run(2, isa, kind, &g), "{isa:?} {kind:?}");
            }
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
