//! The convolutions of a training step, of and to numbers that lie as f32 or as bf16.

use super::*;
use crate::conv::mixed;
use crate::numbers::tests::{narrowed, widened};
use crate::testing::same_on_1_and_2_threads;

/// Numbers, and the bf16 next to them.
struct Both {
    wide: Vec<f32>,
    short: Vec<u16>,
    /// Where these begin: from an odd place on they are no pairs as they lie.
    first: usize,
}

impl Both {
    fn new(wide: Vec<f32>, first: usize) -> Self {
        let short = [&vec![0; first], &narrowed(&wide)[..]].concat();
        Both { wide, short, first }
    }

    fn lying(&self, bf16: bool) -> Numbers<'_> {
        if bf16 { Numbers::Bf16(&self.short[self.first..]) } else { Numbers::F32(&self.wide) }
    }

    /// The same as f32.
    fn seen(&self, bf16: bool) -> Vec<f32> {
        if bf16 { widened(&self.short[self.first..]) } else { self.wide.clone() }
    }
}

/// All factors and gradients of a convolution.
struct Step {
    g: Conv2d,
    x: Both,
    w: Vec<f32>,
    dy: Both,
    bias: Vec<f32>,
}

impl Step {
    /// Random ones; bf16 all of them if they are `round`.
    fn new(g: Conv2d, seed: u64, round: bool, first: usize) -> Self {
        let numbers = |n, seed| if round { widened(&narrowed(&numbers(n, seed))) } else { numbers(n, seed) };
        let (x, dy) = (numbers(g.x_len(), seed), numbers(g.y_len(), seed + 1));
        let (w, bias) = (numbers(g.w_len(), seed + 2), numbers(g.cout, seed + 3));
        Step { g, x: Both::new(x, first), w, dy: Both::new(dy, first), bias }
    }

    fn forward(&self, isa: Isa, kind: Kind, from: bool, y: NumbersMut) {
        let epilogue = Epilogue { bias: Some(&self.bias), ..Epilogue::NONE };
        mixed::forward(isa, kind, &self.g, self.x.lying(from), &self.w, y, epilogue);
    }

    fn backward_data(&self, isa: Isa, kind: Kind, from: bool, dx: NumbersMut, accumulate: bool) {
        mixed::backward_data(isa, kind, &self.g, self.dy.lying(from), &self.w, dx, accumulate);
    }

    fn backward_weight(&self, isa: Isa, kind: Kind, (x, dy): (bool, bool)) -> Vec<f32> {
        let mut dw = vec![7.0; self.w.len()];
        mixed::backward_weight(isa, kind, &self.g, self.x.lying(x), self.dy.lying(dy), &mut dw);
        dw
    }

    /// The passes of f32 over the numbers as they are seen.
    fn wide(&self, isa: Isa, kind: Kind, from: bool, dx: &mut [f32], accumulate: bool) -> Vec<f32> {
        let mut y = vec![7.0; self.dy.wide.len()];
        let epilogue = Epilogue { bias: Some(&self.bias), ..Epilogue::NONE };
        conv2d_with(isa, kind, &self.g, &self.x.seen(from), &self.w, &mut y, &epilogue);
        backward_data_with(isa, kind, &self.g, &self.dy.seen(from), &self.w, dx, accumulate);
        y
    }

    /// However they lie, what comes out is bit for bit what the passes of f32 give, rounded once where it is bf16.
    fn check_bits(&self, isa: Isa, kind: Kind) {
        let Step { g, x, dy, .. } = self;
        for (from, to) in [(false, false), (false, true), (true, false), (true, true)] {
            let what = format!("{isa:?} {kind:?} {g:?} {from} {to}");
            for accumulate in [false, true] {
                let mut dx = x.seen(to);
                let y = self.wide(isa, kind, from, &mut dx, accumulate);
                let got = lying(to, &dy.wide, |y| self.forward(isa, kind, from, y));
                assert_same(&got, &y, to, &format!("{what} forward"));
                let got = lying(to, &x.wide, |dx| self.backward_data(isa, kind, from, dx, accumulate));
                assert_same(&got, &dx, to, &format!("{what} {accumulate} backward data"));
            }
            let mut dw = self.w.clone();
            backward_weight_with(isa, kind, g, &x.seen(from), &dy.seen(to), &mut dw);
            let got = self.backward_weight(isa, kind, (from, to));
            assert_same(&got, &dw, false, &format!("{what} backward weight"));
        }
    }

    /// What lies as f32 agrees with the naive twin.
    fn check_twin(&self, isa: Isa, kind: Kind, [y, dx, dw]: [&[f32]; 3]) {
        let Step { g, x, .. } = self;
        let (what, taps) = (format!("{isa:?} {kind:?} {g:?}"), g.kh * g.kw);
        let mut got = x.wide.clone();
        let (got_y, got_dw) =
            (self.wide(isa, kind, false, &mut got, false), self.backward_weight(isa, kind, (false, false)));
        assert_close(&got_y, y, taps * g.cin, &format!("{what} forward"));
        let times = if winograd::backward_form(g, kind).is_some() { 8 } else { 1 };
        assert_close(&got, dx, times * taps * g.cout, &format!("{what} backward data"));
        let times = if winograd_weight::pays(g, kind) { 8 } else { 1 };
        assert_close(&got_dw, dw, times * g.n * g.out_h() * g.out_w(), &format!("{what} backward weight"));
    }
}

/// What `f` makes of `before`, as it lies, as f32.
fn lying(bf16: bool, before: &[f32], f: impl FnOnce(NumbersMut)) -> Vec<f32> {
    let (mut wide, mut short) = (before.to_vec(), narrowed(before));
    f(if bf16 { NumbersMut::Bf16(&mut short) } else { NumbersMut::F32(&mut wide) });
    if bf16 { widened(&short) } else { wide }
}

/// Panics unless `got` has the bits of `want`, rounded if so.
fn assert_same(got: &[f32], want: &[f32], rounded: bool, what: &str) {
    let want = if rounded { widened(&narrowed(want)) } else { want.to_vec() };
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        assert!(got.to_bits() == want.to_bits(), "{what}: {got} instead of {want} at {i}");
    }
}

/// Those that take ways of their own.
fn geometries() -> Vec<Conv2d> {
    let three = Conv2d { cout: 96, kh: 3, kw: 3, pad: [1; 4], ..PRODUCT };
    let first = Conv2d { h: 29, w: 31, cin: 3, kh: 7, kw: 7, stride: (2, 2), pad: [3, 2, 3, 1], ..PRODUCT };
    vec![
        PRODUCT,
        Conv2d { cin: 1024, ..PRODUCT },
        Conv2d { stride: (2, 2), ..PRODUCT },
        three,
        Conv2d { stride: (2, 2), ..three },
        Conv2d { dilation: (2, 1), cin: 30, ..three },
        Conv2d { groups: 4, ..three },
        Conv2d { groups: 3, cin: 15, cout: 21, ..three },
        Conv2d { groups: 64, cout: 128, ..three },
        Conv2d { cin: 33, cout: 35, ..three },
        first,
        Conv2d { stride: (1, 1), cout: 41, ..first },
        Conv2d { h: 33, w: 35, cin: 36, cout: 40, kh: 1, kw: 7, pad: [0, 0, 3, 3], ..PRODUCT },
        Conv2d { n: 1, h: 56, w: 56, cout: 34, ..three },
    ]
}

fn kinds(isa: Isa) -> Vec<Kind> {
    let mut kinds = vec![Kind::Single, Kind::Pairs, Kind::pairs(isa)];
    kinds.dedup();
    kinds
}

#[test]
fn sizes_of_networks_agree_with_the_naive_twin() {
    for g in geometries() {
        let step = Step::new(g, 5, true, 0);
        let (mut y, mut dx, mut dw) = (step.dy.wide.clone(), step.x.wide.clone(), step.w.clone());
        let epilogue = Epilogue { bias: Some(&step.bias), ..Epilogue::NONE };
        naive::conv::conv2d(&g, &step.x.wide, &step.w, &mut y, &epilogue);
        naive::conv::conv2d_backward_data(&g, &step.dy.wide, &step.w, &mut dx, false);
        naive::conv::conv2d_backward_weight(&g, &step.x.wide, &step.dy.wide, &mut dw);
        for isa in available() {
            for kind in kinds(isa) {
                step.check_twin(isa, kind, [&y, &dx, &dw]);
                step.check_bits(isa, kind);
            }
        }
    }
    // The last one's gradients are Winograd's.
    let last = geometries().pop().unwrap();
    assert!(winograd::backward_form(&last, Kind::Pairs).is_some() && winograd_weight::pays(&last, Kind::Pairs));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_has_the_bits_of_f32(g in any_conv(), seed in 0u64..1000, first in 0usize..2) {
        let step = Step::new(g, seed, false, first);
        for isa in available() {
            kinds(isa).into_iter().for_each(|kind| step.check_bits(isa, kind));
        }
    }
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    for g in geometries() {
        let step = Step::new(g, 7, false, 0);
        for isa in available() {
            for kind in kinds(isa) {
                same_on_1_and_2_threads(&format!("{isa:?} {kind:?} {g:?}"), || {
                    let y = lying(true, &step.dy.wide, |y| step.forward(isa, kind, true, y));
                    let dx = lying(true, &step.x.wide, |dx| step.backward_data(isa, kind, true, dx, true));
                    (y, dx, step.backward_weight(isa, kind, (true, true)))
                });
            }
        }
    }
}

#[test]
fn short_results_are_pairs_of_products() {
    let [product, .., winograd] = &geometries()[..] else { unreachable!() };
    assert!(lies_short(product) && lies_short(winograd));
    assert!(
        !lies_short(&Conv2d { cout: 35, ..*product }) && !lies_short(&Conv2d { groups: 64, cout: 128, ..*product })
    );
}

#[test]
#[should_panic(expected = "int8 needs a prepared weight")]
fn integers_have_no_gradients() {
    let step = Step::new(geometries()[0], 1, false, 0);
    let (x, dy) = (step.x.lying(true), step.dy.lying(true));
    conv2d_backward_weight_mixed(Precision::Int8, &step.g, x, dy, &mut step.w.clone());
}
