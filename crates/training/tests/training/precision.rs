//! Learning in bf16 beside learning in f32.

use crate::common::{bert, images, resnet, tokens};
use ukulele_layers::{Pass, Precision};
use ukulele_models::Pooling;
use ukulele_training::{AdamW, Batches, Classifier, Control, FitOptions, FrozenTrunk, Optimizer, Result, Sgd, fit};

/// The losses of 40 steps.
fn curve<'a, N: Classifier>(
    mut net: N,
    mut optimizer: impl Optimizer,
    precision: Precision,
    batches: &mut dyn FnMut(usize) -> Result<Batches<'a, N::Batch>>,
) -> Vec<f64>
where
    N::Batch: 'a,
{
    let options = FitOptions { epochs: 8, seed: 3, precision, ..Default::default() };
    let history =
        fit(&mut net, &mut optimizer, &options, batches, &mut |_| Ok(None), &mut |_| Control::Continue).unwrap();
    history.steps.iter().map(|step| step.loss).collect()
}

/// Checks that both curves go down by more than half and stay within `bound` of each other, and that they differ at once.
fn compare(what: &str, bound: f64, run: impl Fn(Precision) -> Vec<f64>) {
    let [exact, rounded] = [Precision::F32, Precision::Bf16].map(run);
    let first = (rounded[0] - exact[0]).abs();
    let worst = rounded.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("{what}: first {first:.1e}, worst {worst:.1e}, {:.4} to {:.4}", exact[0], exact[39]);
    assert!(first > 1e-6 && first < bound, "{what}: {} and {} at first", rounded[0], exact[0]);
    assert!(worst < bound, "{what}: {worst}\n{exact:?}\n{rounded:?}");
    assert!(exact[39] < exact[0] / 2.0 && rounded[39] < rounded[0] / 2.0, "{what}: {exact:?}\n{rounded:?}");
}

#[test]
fn a_resnet_learns_in_bf16_as_in_f32() {
    compare("resnet", 0.1, |precision| {
        curve(resnet(16), Sgd::new(0.05).momentum(0.9), precision, &mut |_| {
            Ok(Box::new((0..5).map(|i| Ok(images(8, 64, i)))))
        })
    });
}

#[test]
fn a_bert_learns_in_bf16_as_in_f32() {
    compare("bert", 0.01, |precision| {
        curve(bert(128, 0.1, Pooling::Mean), AdamW::new(1e-3), precision, &mut |_| {
            Ok(Box::new((0..5).map(|i| {
                let mut batch = tokens(8, 48, i);
                // Every token tells the class.
                let ids = batch.inputs.ids.iter_mut().enumerate();
                ids.for_each(|(i, id)| *id = *id / 3 * 3 + batch.labels[i / 48] as usize);
                Ok(batch)
            })))
        })
    });
}

#[test]
fn a_frozen_trunk_is_of_the_precision_of_the_pass() {
    let (mut net, batch) = (resnet(16), images(8, 64, 0).inputs);
    let far = |a: &[f32], b: &[f32]| {
        let squares = |of: &dyn Fn(f32, f32) -> f32| a.iter().zip(b).map(|(&a, &b)| of(a, b).powi(2)).sum::<f32>();
        (squares(&|a, b| a - b) / squares(&|_, b| b)).sqrt()
    };
    // All of the trunk, and three groups of it.
    for boundary in [net.stages(), 3] {
        net.freeze_groups(boundary);
        let mut trunk = FrozenTrunk::default();
        let mut logits = |precision| {
            let mut pass = Pass::train(0).with_precision(precision);
            let logits = trunk.logits(&mut net, &batch, &mut pass).unwrap();
            assert!(trunk.has_plan());
            logits.tensor().to_vec()
        };
        let (exact, rounded) = (logits(Precision::F32), logits(Precision::Bf16));
        assert_eq!(logits(Precision::F32), exact);
        // Another result than that of an exact trunk below layers in bf16, and about as far from all in f32.
        let mut pass = Pass::train(0).with_precision(Precision::Bf16);
        let value = net.below(&batch, boundary, &mut Pass::eval()).unwrap();
        let features = net.above(&value, None, boundary, &mut pass).unwrap();
        let above = net.head(&features, &mut pass).unwrap().tensor().to_vec();
        assert!(far(&rounded, &above) > 1e-4, "{boundary}: {}", far(&rounded, &above));
        assert!(far(&rounded, &exact) < 0.03, "{boundary}: {}", far(&rounded, &exact));
    }
}

#[test]
fn nothing_learns_in_int8() {
    let options = FitOptions { precision: Precision::Int8, ..Default::default() };
    let batches = || -> Batches<_> { Box::new((0..1).map(|i| Ok(images(2, 64, i)))) };
    let error =
        fit(&mut resnet(16), &mut Sgd::new(0.05), &options, &mut |_| Ok(batches()), &mut |_| Ok(None), &mut |_| {
            Control::Continue
        })
        .unwrap_err();
    assert!(error.to_string().contains("int8"), "{error}");
}
