//! Tensor memory after each step is what it was before. Alone in its process, as the count is of the whole process.

mod common;

use common::{bert, images, resnet, tokens};
use ukulele_models::Pooling;
use ukulele_tensor::memory;
use ukulele_training::{AdamW, Classifier, CrossEntropy, Labelled, Optimizer, Sgd, loss_and_gradients};

fn check<N: Classifier>(mut net: N, mut optimizer: impl Optimizer, batch: &[Labelled<N::Batch>]) {
    let mut live = Vec::new();
    for step in 0..4 {
        let start = memory::reset_peak();
        let (_, gradients) = loss_and_gradients(&mut net, batch, &CrossEntropy::default(), step, step == 0).unwrap();
        optimizer.step(&mut net, gradients).unwrap();
        assert!(memory::usage().peak > start);
        live.push(memory::usage().live);
    }
    // The first step makes the optimiser's state.
    assert!(live[1..].iter().all(|&bytes| bytes == live[0]), "{live:?}");
}

#[test]
fn every_step_gives_back_what_it_took() {
    let before = memory::usage().live;
    check(resnet(8), Sgd::new(0.01).momentum(0.9), &[images(4, 32, 0), images(4, 32, 1)]);
    check(bert(32, 0.1, Pooling::Mean), AdamW::new(1e-3), &[tokens(4, 8, 0)]);
    let mut frozen = bert(32, 0.1, Pooling::Mean);
    frozen.freeze_trunk();
    check(frozen, AdamW::new(1e-3), &[tokens(4, 8, 0)]);
    assert_eq!(memory::usage().live, before);
}
