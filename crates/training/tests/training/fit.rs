//! The loop: what it keeps, when it ends, how it fails.

use crate::common::{bert, bits, images, resnet, tokens};
use ukulele_layers::{Module, Tensor};
use ukulele_models::{Pooling, ResNet, TextHead};
use ukulele_training::{
    AdamW, Batches, Control, Decline, Ending, Error, Event, FitOptions, Result, Schedule, Score, Sgd, evaluate, fit,
};

fn two_batches(epoch: usize) -> Result<Batches<'static, Tensor>> {
    Ok(Box::new((0..2).map(move |i| Ok(images(4, 32, epoch + i)))))
}

/// Validations that say these accuracies one after the other, and the states they saw.
struct Judge {
    accuracies: Vec<f64>,
    seen: Vec<Vec<(String, Vec<u32>)>>,
}

impl Judge {
    fn new(accuracies: &[f64]) -> Self {
        Self { accuracies: accuracies.to_vec(), seen: vec![] }
    }

    fn judge(&mut self, net: &ResNet) -> Result<Option<Score>> {
        self.seen.push(bits(&mut net.clone()));
        Ok(Some(Score { accuracy: self.accuracies[self.seen.len() - 1], loss: 1.0 }))
    }
}

fn options(epochs: usize) -> FitOptions {
    FitOptions { epochs, ..Default::default() }
}

#[test]
fn the_best_state_is_put_back() {
    let mut net = resnet(4);
    let mut judge = Judge::new(&[0.5, 0.7, 0.6]);
    let history =
        fit(&mut net, &mut Sgd::new(0.05), &options(3), &mut two_batches, &mut |net| judge.judge(net), &mut |_| {
            Control::Continue
        })
        .unwrap();
    assert_eq!((history.best.unwrap().epoch, history.ending, history.steps.len()), (2, Ending::Complete, 6));
    assert!(bits(&mut net) == judge.seen[1] && judge.seen[1] != judge.seen[2]);
    let best: Vec<bool> = history.epochs.iter().map(|epoch| epoch.best).collect();
    assert_eq!(best, [true, true, false]);
}

#[test]
fn an_interrupted_training_keeps_the_best() {
    let mut net = resnet(4);
    let mut judge = Judge::new(&[0.5, 0.4]);
    let mut steps = 0;
    let history =
        fit(&mut net, &mut Sgd::new(0.05), &options(9), &mut two_batches, &mut |net| judge.judge(net), &mut |event| {
            steps += usize::from(matches!(event, Event::Step(_)));
            if steps == 5 { Control::Stop } else { Control::Continue }
        })
        .unwrap();
    assert_eq!((history.best.unwrap().epoch, history.ending, history.steps.len()), (1, Ending::Stopped, 5));
    assert!(bits(&mut net) == judge.seen[0]);
}

#[test]
fn a_training_without_progress_ends_early() {
    let mut judge = Judge::new(&[0.5, 0.6, 0.6, 0.1]);
    let history = fit(
        &mut resnet(4),
        &mut Sgd::new(0.01),
        &FitOptions { patience: Some(2), ..options(9) },
        &mut two_batches,
        &mut |net| judge.judge(net),
        &mut |_| Control::Continue,
    )
    .unwrap();
    assert_eq!((history.epochs.len(), history.ending, history.best.unwrap().epoch), (4, Ending::Early, 2));
}

#[test]
fn a_diverged_training_says_so_and_puts_the_best_back() {
    let mut net = resnet(4);
    let mut judge = Judge::new(&[0.5; 9]);
    // The second batch of epoch 2 is infinite.
    let mut batches = |epoch: usize| -> Result<Batches<'static, Tensor>> {
        let mut pair = [images(4, 32, 0), images(4, 32, 1)];
        if epoch == 2 {
            pair[1].inputs.memory_mut().fill(f32::INFINITY);
        }
        Ok(Box::new(pair.map(Ok).into_iter()))
    };
    let error = fit(&mut net, &mut Sgd::new(0.01), &options(3), &mut batches, &mut |net| judge.judge(net), &mut |_| {
        Control::Continue
    })
    .unwrap_err();
    assert!(matches!(error, Error::Diverged { epoch: 2, step: 4, .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("step 4") && text.contains("NaN") && text.contains("smaller learning rate"), "{text}");
    assert!(bits(&mut net) == judge.seen[0]);
}

#[test]
fn a_parameter_without_a_way_to_the_loss_is_an_error_before_the_first_step() {
    let mut net = bert(16, 0.1, Pooling::Pooler);
    let before = bits(&mut net);
    let TextHead::SequenceClassification(head) = &mut net.head else { panic!("a classifier") };
    head.pooling = Pooling::Mean;
    let run = |net: &mut _| {
        let mut batches = |_| -> Result<Batches<'static, _>> { Ok(Box::new(std::iter::once(Ok(tokens(2, 4, 0))))) };
        fit(net, &mut AdamW::new(0.1), &options(1), &mut batches, &mut |_| Ok(None), &mut |_| Control::Continue)
    };
    let error = run(&mut net).unwrap_err().to_string();
    assert!(error.contains("bert.pooler.dense.weight"), "{error}");
    assert!(before == bits(&mut net));
    net.freeze(|name| name.starts_with("bert.pooler."));
    run(&mut net).unwrap();
}

#[test]
fn rates_follow_the_schedule_over_all_epochs() {
    let schedule = Schedule { warmup: 0.25, decline: Decline::Linear };
    let mut seen = vec![];
    let history = fit(
        &mut resnet(4),
        &mut Sgd::new(0.04),
        &FitOptions { schedule, ..options(4) },
        &mut two_batches,
        &mut |_| Ok(None),
        &mut |event| {
            seen.push(*event);
            Control::Continue
        },
    )
    .unwrap();
    let rates: Vec<f64> = history.steps.iter().map(|step| step.rate).collect();
    let want: Vec<f64> = (0..8).map(|i| 0.04 * schedule.factor(i, 8)).collect();
    assert_eq!(rates, want);
    assert_eq!((seen.len(), history.best), (12, None));
    assert!(history.steps.iter().all(|step| step.total == 8 && step.norm.is_some_and(|norm| norm > 0.0)));
}

#[test]
fn accumulated_steps_are_fewer_and_the_last_may_be_short() {
    let mut batches = |_| -> Result<Batches<'static, Tensor>> { Ok(Box::new((0..5).map(|i| Ok(images(2, 32, i))))) };
    let options = FitOptions { accumulate: 2, ..options(2) };
    let history =
        fit(&mut resnet(4), &mut Sgd::new(0.01), &options, &mut batches, &mut |_| Ok(None), &mut |_| Control::Continue)
            .unwrap();
    assert_eq!(history.steps.len(), 6);
}

#[test]
fn a_small_net_learns_to_tell_bright_from_dark() {
    let mut net = resnet(4);
    let test = || std::iter::once(Ok(images(12, 32, 50)));
    let history = fit(
        &mut net,
        &mut AdamW::new(0.01),
        &options(8),
        &mut |epoch| Ok(Box::new((0..4).map(move |i| Ok(images(8, 32, 4 * epoch + i))))),
        &mut |net| Ok(Some(evaluate(net, test())?.score())),
        &mut |_| Control::Continue,
    )
    .unwrap();
    let found = evaluate(&net, test()).unwrap();
    assert_eq!(history.best.unwrap().validation, Some(found.score()));
    assert!(found.score().accuracy > 0.9, "{found:?}");
}

#[test]
fn what_cannot_be_trained_is_an_error() {
    let run = |options: FitOptions, batches: &mut dyn FnMut(usize) -> Result<Batches<'static, Tensor>>| {
        let mut net = resnet(4);
        fit(&mut net, &mut Sgd::new(0.1), &options, batches, &mut |_| Ok(None), &mut |_| Control::Continue)
            .unwrap_err()
            .to_string()
    };
    assert!(run(options(0), &mut two_batches).contains("0 epochs"));
    assert!(run(FitOptions { accumulate: 0, ..options(1) }, &mut two_batches).contains("0 batches"));
    assert!(run(FitOptions { clip: Some(f64::NAN), ..options(1) }, &mut two_batches).contains("clipped"));
    assert!(run(options(1), &mut |_| Ok(Box::new(std::iter::empty()))).contains("epoch 1 has no batches"));
    let broken = &mut |_| -> Result<Batches<'static, Tensor>> {
        Ok(Box::new(std::iter::once(Err(Error::data("cat.jpg is no image")))))
    };
    assert_eq!(run(options(1), broken), "cat.jpg is no image");
}
