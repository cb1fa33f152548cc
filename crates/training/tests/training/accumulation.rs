//! Several small batches make the step of one large batch.

use crate::common::{bert, bits, changed, images, resnet, tokens};
use ukulele_layers::{Module, Tensor};
use ukulele_models::{Pooling, TokenBatch};
use ukulele_training::{CrossEntropy, Labelled, Optimizer, Sgd, evaluate, loss_and_gradients};

/// Rows `start..start + count`.
fn part(batch: &Labelled<TokenBatch>, start: usize, count: usize) -> Labelled<TokenBatch> {
    let (tokens, length) = (&batch.inputs, batch.inputs.length);
    let range = start * length..(start + count) * length;
    let inputs = TokenBatch {
        batch: count,
        length,
        ids: tokens.ids[range.clone()].to_vec(),
        types: tokens.types[range.clone()].to_vec(),
        mask: tokens.mask[range].to_vec(),
    };
    Labelled { inputs, labels: batch.labels[start..start + count].to_vec() }
}

#[test]
fn unequal_small_batches_give_the_gradients_of_the_large_one() {
    let mut net = bert(16, 0.0, Pooling::Mean);
    let mut large = tokens(12, 7, 3);
    large.labels[5] = -100;
    let small = [part(&large, 0, 5), part(&large, 5, 2), part(&large, 7, 5)];
    let weighted =
        CrossEntropy { class_weights: Some(vec![0.2, 1.0, 3.0]), label_smoothing: 0.1, ..Default::default() };
    for loss in [CrossEntropy::default(), weighted] {
        let (one, all) = loss_and_gradients(&mut net, std::slice::from_ref(&large), &loss, 0, true).unwrap();
        let (sum, parts) = loss_and_gradients(&mut net, &small, &loss, 0, true).unwrap();
        assert!((one - sum).abs() < 1e-6, "{one} {sum}");
        let mut compared = 0;
        net.each("", &mut |name, param| {
            if let (Some(a), Some(b)) = (all.of(param), parts.of(param)) {
                let (a, b) = (a.to_vec(), b.to_vec());
                let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
                let difference = norm(&mut a.iter().zip(&b).map(|(a, b)| a - b));
                // The bias of K moves no softmax: its gradient is rounding error around 0.
                assert!(difference <= 1e-5 * norm(&mut a.iter().copied()) + 1e-7, "{name}: {difference}");
                compared += 1;
            }
        });
        assert!(compared > 30, "{compared}");
    }
}

#[test]
fn running_statistics_move_with_every_small_batch() {
    let batches: Vec<Labelled<Tensor>> = (0..2).map(|i| images(4, 32, i)).collect();
    let mut together = resnet(4);
    let before = bits(&mut together);
    let (_, gradients) = loss_and_gradients(&mut together, &batches, &CrossEntropy::default(), 0, false).unwrap();
    Sgd::new(0.0).step(&mut together, gradients).unwrap();

    let mut apart = together.clone();
    let start: Vec<(String, Tensor)> = resnet(4).state();
    apart.set_state(&start).unwrap();
    assert_eq!(bits(&mut apart), before);
    for batch in &batches {
        let one = std::slice::from_ref(batch);
        let (_, gradients) = loss_and_gradients(&mut apart, one, &CrossEntropy::default(), 0, false).unwrap();
        Sgd::new(0.0).step(&mut apart, gradients).unwrap();
    }
    let (together, apart) = (bits(&mut together), bits(&mut apart));
    assert_eq!(changed(&together, &apart), [""; 0]);
    assert!(changed(&before, &apart).iter().all(|name| name.contains("running_")));
    assert!(changed(&before, &apart).len() > 10);
}

#[test]
fn a_step_that_says_nothing_is_an_error() {
    let mut net = bert(16, 0.0, Pooling::Mean);
    let mut batch = tokens(3, 4, 0);
    batch.labels.fill(-100);
    let run = |net: &mut _, batches: &[_]| {
        loss_and_gradients(net, batches, &CrossEntropy::default(), 0, false).unwrap_err().to_string()
    };
    assert!(run(&mut net, &[batch.clone()]).contains("weigh nothing"));
    assert!(run(&mut net, &[]).contains("no batches"));
    let error = evaluate(&net, std::iter::once(Ok(batch))).unwrap_err().to_string();
    assert_eq!(error, "label -100 is no class");
}
