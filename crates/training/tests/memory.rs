//! Tensor memory after each step is what it was before, and large buffers are those that earlier steps have left. Alone
//! in its process, as the count is of the whole process.

mod common;

use common::{bert, images, resnet, tokens};
use ukulele_kernels::arena;
use ukulele_layers::{BatchNorm2d, Pass, Precision, Tensor, Value};
use ukulele_models::Pooling;
use ukulele_tensor::memory;
use ukulele_training::{AdamW, Classifier, CrossEntropy, Labelled, Optimizer, Sgd, loss_and_gradients};

fn check<N: Classifier>(mut net: N, mut optimizer: impl Optimizer, batch: &[Labelled<N::Batch>]) {
    let (mut live, mut held) = (Vec::new(), Vec::new());
    for step in 0..8 {
        let start = memory::reset_peak();
        let (_, gradients) = loss_and_gradients(&mut net, batch, &CrossEntropy::default(), step, step == 0).unwrap();
        optimizer.step(&mut net, gradients).unwrap();
        assert!(memory::usage().peak > start);
        live.push(memory::usage().live);
        held.push(arena::usage().1);
    }
    // Once stretches have found their places, what a step needs is what those before have left.
    assert!(held[0] > 0 && held[4..].iter().all(|&bytes| bytes == held[3]), "{held:?}");
    // The first step makes the optimiser's state.
    assert!(live[1..].iter().all(|&bytes| bytes == live[0]), "{live:?}");
}

#[test]
fn every_step_gives_back_what_it_took() {
    let before = memory::usage().live;
    check(resnet(8), Sgd::new(0.01).momentum(0.9), &[images(4, 32, 0), images(4, 32, 1)]);
    check(bert(128, 0.1, Pooling::Mean), AdamW::new(1e-3), &[tokens(8, 48, 0)]);
    let mut frozen = bert(128, 0.1, Pooling::Mean);
    frozen.freeze_trunk();
    check(frozen, AdamW::new(1e-3), &[tokens(8, 48, 0)]);
    assert_eq!(memory::usage().live, before);
    bf16_takes_half();
    assert_eq!(memory::usage().live, before);
}

/// What a network of images takes at most in forward and backward, and a norm beside its result: nobody keeps f32 of what lies as bf16.
fn bf16_takes_half() {
    let net = resnet(8);
    let photos = images(8, 128, 0);
    let inputs: Value = photos.inputs.channels_last().into();
    let [full, short] = [Precision::F32, Precision::Bf16].map(|precision| {
        let start = memory::reset_peak();
        let mut pass = Pass::train(1).with_precision(precision);
        let logits = net.forward(&inputs, &mut pass).unwrap();
        let loss = logits.cross_entropy(&photos.labels).unwrap();
        drop(logits);
        pass.backward(&loss).unwrap();
        memory::usage().peak - start
    });
    assert!(short * 10 < full * 6, "{short} bytes at most in bf16, {full} in f32");
    let weight: Value = Tensor::full(&[8, 2, 1, 1], 0.5).unwrap().into();
    let x = Value::from(Tensor::full(&[2, 2, 32, 32], 0.5).unwrap());
    let y = x.conv2d_in(Precision::Bf16, &weight, None, &Default::default()).unwrap();
    let start = memory::usage().live;
    let normal = BatchNorm2d::new(8, 1e-5).forward(&y, &mut Pass::train(1)).unwrap();
    let grown = memory::usage().live - start;
    assert!(normal.data().is_short() && grown < 2 * 2 * 8 * 32 * 32 + 4096, "{grown} bytes");
}
