//! A head trained on kept features is the head trained behind its frozen trunk.

use crate::common::{bert, bits, images, resnet, tokens};
use ukulele_layers::Module;
use ukulele_models::Pooling;
use ukulele_training::{
    AdamW, Batches, Classifier, Control, Features, FitOptions, HeadOnly, History, Labelled, Result, evaluate, fit,
};

fn train<'a, N: Classifier>(net: &mut N, batches: &mut dyn FnMut(usize) -> Result<Batches<'a, N::Batch>>) -> History
where
    N::Batch: 'a,
{
    let options = FitOptions { epochs: 3, seed: 5, ..Default::default() };
    fit(net, &mut AdamW::new(0.01), &options, batches, &mut |_| Ok(None), &mut |_| Control::Continue).unwrap()
}

/// Trains `net` behind its trunk and on its features, over the same batches of four.
fn compare<N: Classifier + Clone>(net: N, examples: &[Labelled<N::Batch>])
where
    N::Batch: Clone,
{
    let repeat = || examples.iter().cloned().map(Ok);
    let mut behind = net.clone();
    behind.freeze_trunk();
    let mut on_features = behind.clone();
    let slow = train(&mut behind, &mut |_| Ok(Box::new(repeat().collect::<Vec<_>>().into_iter())));

    let features = Features::of(&mut on_features, repeat()).unwrap();
    let lists: Vec<Vec<usize>> = (0..examples.len()).map(|i| (4 * i..4 * i + 4).collect()).collect();
    let quick = train(&mut HeadOnly(&mut on_features), &mut |_| Ok(features.batches(lists.clone())));
    assert_eq!(slow, quick);
    assert!(bits(&mut behind) == bits(&mut on_features));

    let slow = evaluate(&behind, repeat()).unwrap();
    let quick = evaluate(&HeadOnly(&mut on_features), features.batches(lists)).unwrap();
    assert_eq!(slow, quick);
    assert!(slow.probabilities.iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6));
    assert_eq!(slow.confusion().unwrap().accuracy(), slow.score().accuracy);
}

#[test]
fn of_bert() {
    let examples: Vec<_> = (0..8).map(|i| tokens(4, 6, i)).collect();
    compare(bert(16, 0.2, Pooling::Mean), &examples);
    compare(bert(16, 0.2, Pooling::Pooler), &examples);
}

#[test]
fn of_resnet() {
    let examples: Vec<_> = (0..8).map(|i| images(4, 32, i)).collect();
    compare(resnet(4), &examples);
}

#[test]
fn a_trunk_that_moves_has_no_features_to_keep() {
    let mut net = resnet(4);
    let error = Features::of(&mut net, std::iter::once(Ok(images(4, 32, 0)))).unwrap_err().to_string();
    assert!(error.contains("`conv1.weight` is not frozen"), "{error}");
    net.freeze(|name| !name.ends_with("running_mean") && !name.starts_with("fc."));
    let error = Features::of(&mut net, std::iter::once(Ok(images(4, 32, 0)))).unwrap_err().to_string();
    assert!(error.contains("`bn1.running_mean` is not frozen"), "{error}");
    net.freeze_trunk();
    assert!(Features::of(&mut net, std::iter::empty()).unwrap_err().to_string().contains("no batches"));
    let features = Features::of(&mut net, std::iter::once(Ok(images(4, 32, 0)))).unwrap();
    assert_eq!(features.batch(&[4]).unwrap_err().to_string(), "example 4 of 4");
}
