//! The same seed gives the same bits, whatever the number of threads.

use crate::common::{bert, bits, images, resnet, tokens};
use ukulele_models::Pooling;
use ukulele_training::{AdamW, Batches, Classifier, Control, FitOptions, History, Optimizer, Sgd, fit};

type Run = (Vec<(String, Vec<u32>)>, History);

fn twenty_steps<'a, N: Classifier>(
    mut net: N,
    mut optimizer: impl Optimizer,
    seed: u64,
    batches: &mut dyn FnMut(usize) -> ukulele_training::Result<Batches<'a, N::Batch>>,
) -> Run
where
    N::Batch: 'a,
{
    let options = FitOptions { epochs: 4, seed, ..Default::default() };
    let history =
        fit(&mut net, &mut optimizer, &options, batches, &mut |_| Ok(None), &mut |_| Control::Continue).unwrap();
    assert_eq!(history.steps.len(), 20);
    (bits(&mut net), history)
}

fn of_images() -> Run {
    twenty_steps(resnet(16), Sgd::new(0.05).momentum(0.9), 3, &mut |epoch| {
        Ok(Box::new((0..5).map(move |i| Ok(images(8, 64, 10 * epoch + i)))))
    })
}

fn of_text(seed: u64) -> Run {
    twenty_steps(bert(128, 0.1, Pooling::Mean), AdamW::new(1e-3), seed, &mut |epoch| {
        Ok(Box::new((0..5).map(move |i| Ok(tokens(8, 48, 10 * epoch + i)))))
    })
}

fn on<R: Send>(threads: usize, run: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
}

#[test]
fn a_resnet_has_the_same_bits_on_one_and_two_threads() {
    let one = on(1, of_images);
    assert!(one == on(2, of_images));
    assert!(one.1.steps[19].loss < one.1.steps[0].loss);
}

#[test]
fn a_bert_has_the_same_bits_on_one_and_two_threads() {
    let one = on(1, || of_text(3));
    assert!(one == on(2, || of_text(3)));
    assert!(one.1.steps[19].loss < one.1.steps[0].loss);
    assert!(one.0 != of_text(4).0, "another seed drops other elements");
}
