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
        let kinds = [Kind::Single, Kind::Pairs, Kind::pairs(isa)].map(|kind| (kind, Algorithm::Direct));
        for (kind, algorithm) in kinds.into_iter().chain([(Kind::Single, Algorithm::Winograd)]) {
            if !algorithm.supports(g) || !dense::supports(g, kind) && !stem::supports(g, kind) {
                continue;
            }
            let (pairs, winograd) = (kind != Kind::Single, algorithm == Algorithm::Winograd);
            let seen = if from || pairs { &rounded[0] } else { &x };
            let by = if pairs { &rounded[1] } else { &w };
            let there = [None, Some(&residual), Some(&rounded[2])][third];
            let there =
                there.map(|all| all.chunks(stride).flat_map(|pixel| &pixel[..g.cout]).copied().collect::<Vec<_>>());
            let mut want = vec![0.0; g.y_len()];
            let epilogue = Epilogue { bias: Some(&bias), residual: there.as_deref(), activation };
            naive::conv::conv2d(g, seen, by, &mut want, &epilogue);
            let want = spread(&want, g.cout, 4);
            let packed = PackedConv::new_with(isa, kind, g, &w, algorithm);
            let (mut wide, mut short) = (vec![7.0; len], narrowed(&vec![7.0; len]));
            let residual = [None, Some(Numbers::F32(&residual)), Some(Numbers::Bf16(&short_residual))][third];
            let epilogue = MixedEpilogue { bias: Some(&bias), residual, activation };
            let source = if from { Numbers::Bf16(&short_x) } else { Numbers::F32(&x) };
            let y = if to { NumbersMut::Bf16(&mut short) } else { NumbersMut::F32(&mut wide) };
            conv2d_packed_mixed(g, source, &packed, y, stride, &epilogue);
            let got = if to { widened(&short) } else { wide };
            let terms = if winograd { 8 } else { 1 } * g.kh * g.kw * g.cin;
            let tolerance = 2e-7 * (terms as f32 + 8.0) + if to { 1e-3 } else { 0.0 };
            assert_near(
                &got,
                &want,
                to,
                tolerance,
                &format!("{isa:?} {kind:?} {algorithm:?} {g:?} {from} {to} {third}"),
            );
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
    let wide = Conv2d { cin: 1024, cout: 64, ..PRODUCT };
    let three = Conv2d { cin: 64, cout: 96, kh: 3, kw: 3, pad: [1; 4], ..wide };
    let strided = Conv2d { stride: (2, 2), ..wide };
    let grouped = Conv2d { groups: 4, ..three };
    let stem = Conv2d { h: 29, w: 31, cin: 3, cout: 40, kh: 7, kw: 7, stride: (2, 2), pad: [3, 2, 3, 1], ..wide };
    let line = Conv2d { cin: 36, cout: 50, kh: 7, pad: [3, 3, 0, 0], ..wide };
    for g in [wide, three, strided, grouped, stem, line, Conv2d { stride: (2, 2), ..three }] {
        for way in 0..12 {
            check_mixed(&g, 5, way, Activation::Relu);
        }
    }
}
