//! Convolutions of and to bf16.

use super::*;
use crate::gemm::MixedEpilogue;
use crate::numbers::tests::{assert_near, narrowed, widened};
use crate::numbers::{Numbers, NumbersMut};

/// The direct sum in single numbers and pairs, all lying in one of the ways that there are, on every instruction set.
fn check_mixed(g: &Conv2d, seed: u64, way: usize, activation: Activation) {
    let (x, w, bias) = (numbers(g.x_len(), seed), numbers(g.w_len(), seed + 1), numbers(g.cout, seed + 2));
    let stride = g.cout + 4;
    let len = g.y_len() / g.cout * stride;
    let residual = numbers(len, seed + 3);
    let (short_x, short_residual) = (narrowed(&x), narrowed(&residual));
    let (from, to, third) = (way & 1 == 1, way & 2 == 2, way / 4 % 3);
    let rounded = [widened(&short_x), widened(&narrowed(&w)), widened(&short_residual)];
    for isa in available() {
        for kind in [Kind::Single, Kind::Pairs, Kind::pairs(isa)] {
            if !dense::supports(g, kind) {
                continue;
            }
            let pairs = kind != Kind::Single;
            let seen = if from || pairs { &rounded[0] } else { &x };
            let by = if pairs { &rounded[1] } else { &w };
            let there = [None, Some(&residual), Some(&rounded[2])][third];
            let there =
                there.map(|all| all.chunks(stride).flat_map(|pixel| &pixel[..g.cout]).copied().collect::<Vec<_>>());
            let mut want = vec![0.0; g.y_len()];
            let epilogue = Epilogue { bias: Some(&bias), residual: there.as_deref(), activation };
            naive::conv::conv2d(g, seen, by, &mut want, &epilogue);
            let want = spread(&want, g.cout, 4);
            let packed = PackedConv::new_with(isa, kind, g, &w, Algorithm::Direct);
            let (mut wide, mut short) = (vec![7.0; len], narrowed(&vec![7.0; len]));
            let residual = [None, Some(Numbers::F32(&residual)), Some(Numbers::Bf16(&short_residual))][third];
            let epilogue = MixedEpilogue { bias: Some(&bias), residual, activation };
            let source = if from { Numbers::Bf16(&short_x) } else { Numbers::F32(&x) };
            let y = if to { NumbersMut::Bf16(&mut short) } else { NumbersMut::F32(&mut wide) };
            conv2d_packed_mixed(g, source, &packed, y, stride, &epilogue);
            let got = if to { widened(&short) } else { wide };
            let tolerance = 2e-7 * ((g.kh * g.kw * g.cin) as f32 + 8.0) + if to { 1e-3 } else { 0.0 };
            assert_near(&got, &want, to, tolerance, &format!("{isa:?} {kind:?} {g:?} {from} {to} {third}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn agrees_with_the_naive_twin(
        g in any_conv(),
        seed in 0u64..1000,
        way in 0usize..12,
        activation in prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::GeluErf)],
    ) {
        check_mixed(&g, seed, way, activation);
    }
}

#[test]
fn sizes_of_networks_agree_with_the_naive_twin() {
    let wide = Conv2d {
        n: 2,
        h: 9,
        w: 10,
        cin: 1024,
        cout: 64,
        kh: 1,
        kw: 1,
        stride: (1, 1),
        pad: [0; 4],
        dilation: (1, 1),
        groups: 1,
    };
    let three = Conv2d { cin: 64, cout: 96, kh: 3, kw: 3, pad: [1; 4], ..wide };
    let strided = Conv2d { stride: (2, 2), ..wide };
    let grouped = Conv2d { groups: 4, ..three };
    for g in [wide, three, strided, grouped, Conv2d { stride: (2, 2), ..three }] {
        for way in 0..12 {
            check_mixed(&g, 5, way, Activation::Relu);
        }
    }
}

#[test]
fn winograd_takes_f32() {
    let g = Conv2d {
        n: 1,
        h: 6,
        w: 6,
        cin: 4,
        cout: 4,
        kh: 3,
        kw: 3,
        stride: (1, 1),
        pad: [1; 4],
        dilation: (1, 1),
        groups: 1,
    };
    let (x, w) = (numbers(g.x_len(), 1), numbers(g.w_len(), 2));
    let packed = PackedConv::new(&g, &w, Algorithm::Winograd);
    let (mut want, mut got) = (vec![0.0; g.y_len()], vec![0.0; g.y_len()]);
    let epilogue = MixedEpilogue { bias: None, residual: Some(Numbers::F32(&x)), activation: Activation::Relu };
    conv2d_packed(&g, Pixels::dense(&x, 4), &packed, &mut want, 4, &epilogue.wide().unwrap());
    conv2d_packed_mixed(&g, Numbers::F32(&x), &packed, NumbersMut::F32(&mut got), 4, &epilogue);
    assert_eq!(got, want);
}
