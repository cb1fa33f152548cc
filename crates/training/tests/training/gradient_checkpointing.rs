//! Outputs that are computed again in backward give the same bits.

use crate::common::{bert, images, resnet, tokens};
use ukulele_layers::{Init, Precision};
use ukulele_models::{Pooling, ResNet, ResNetConfig};
use ukulele_training::{AdamW, Batches, Classifier, Control, FitOptions, Optimizer, Result, Sgd, fit};

/// The losses of some steps, clipped or not, and in which precision.
fn losses<'a, N: Classifier>(
    mut net: N,
    mut optimizer: impl Optimizer,
    (gradient_checkpointing, clip, precision): (bool, Option<f64>, Precision),
    batches: &mut dyn FnMut(usize) -> Result<Batches<'a, N::Batch>>,
) -> Vec<f64>
where
    N::Batch: 'a,
{
    let options = FitOptions { epochs: 2, seed: 3, gradient_checkpointing, clip, precision, ..Default::default() };
    let history =
        fit(&mut net, &mut optimizer, &options, batches, &mut |_| Ok(None), &mut |_| Control::Continue).unwrap();
    history.steps.iter().map(|step| step.loss).collect()
}

#[test]
fn losses_have_the_same_bits() {
    let bottleneck = || {
        let config = ResNetConfig { width: 8, layers: [2, 1, 1, 1], ..ResNetConfig::depth(50, 3).unwrap() };
        ResNet::new(&config, &mut Init::new(1))
    };
    for (clip, precision) in [(None, Precision::F32), (Some(1.0), Precision::F32), (None, Precision::Bf16)] {
        let of = |gradient_checkpointing| {
            let how = (gradient_checkpointing, clip, precision);
            let photos = &mut |_| -> Result<Batches<_>> { Ok(Box::new((0..3).map(|i| Ok(images(4, 64, i))))) };
            let plain = losses(resnet(8), Sgd::new(0.05).momentum(0.9), how, photos);
            let deep = losses(bottleneck(), Sgd::new(0.05).momentum(0.9), how, photos);
            let texts = losses(bert(32, 0.1, Pooling::Pooler), AdamW::new(1e-3), how, &mut |_| {
                Ok(Box::new((0..3).map(|i| Ok(tokens(4, 12, i)))))
            });
            [plain, deep, texts]
        };
        let (kept, again) = (of(false), of(true));
        assert!(kept.iter().all(|losses| losses.len() == 6 && losses[0] != losses[5]), "{kept:?}");
        assert_eq!(kept, again);
    }
}
