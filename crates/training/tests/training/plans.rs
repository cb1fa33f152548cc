//! Trunks run as plans by themselves, with the numbers of the model; and by the model where they cannot.

use crate::common::{bert, bits, changed, images, resnet, tokens};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use ukulele_inference::{PlanOptions, Precision};
use ukulele_layers::{Error, Init, Module, ModuleId, Param, Pass, Role, Value};
use ukulele_models::{Pooling, ResNet, ResNetConfig};
use ukulele_training::{
    Classifier, Control, Evaluation, Features, FitOptions, FrozenTrunk, Labelled, Planned, Sgd, TrunkPlan, argmax,
    evaluate, evaluate_with, fit, predict,
};

/// What was done: plans made, batches run by one, batches run by the model.
#[derive(Debug, Default)]
struct Counts {
    made: AtomicUsize,
    planned: AtomicUsize,
    eager: AtomicUsize,
}

/// A model that counts.
#[derive(Clone)]
struct Counted<N> {
    net: N,
    counts: Arc<Counts>,
    /// Whether its trunk has an op that plans do not know.
    unknown: bool,
}

impl<N> Counted<N> {
    fn new(net: N) -> Self {
        Self { net, counts: Arc::default(), unknown: false }
    }

    /// (plans made, batches by plan, batches by the model) since the last call.
    fn counts(&self) -> (usize, usize, usize) {
        let take = |count: &AtomicUsize| count.swap(0, Ordering::Relaxed);
        (take(&self.counts.made), take(&self.counts.planned), take(&self.counts.eager))
    }
}

impl<N: Module> Module for Counted<N> {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        self.net.each(path, f);
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        self.net.modules(path, f);
    }
}

impl<N: Classifier + 'static> Classifier for Counted<N> {
    type Batch = N::Batch;

    fn features(&self, batch: &N::Batch, pass: &mut Pass) -> ukulele_layers::Result<Value> {
        self.counts.eager.fetch_add(1, Ordering::Relaxed);
        self.net.features(batch, pass)
    }

    fn head(&self, features: &Value, pass: &mut Pass) -> ukulele_layers::Result<Value> {
        self.net.head(features, pass)
    }

    fn classes(&self) -> usize {
        self.net.classes()
    }

    fn head_names(&self) -> Vec<String> {
        self.net.head_names()
    }

    fn groups(&self) -> Vec<Vec<String>> {
        self.net.groups()
    }

    fn count(batch: &N::Batch) -> usize {
        N::count(batch)
    }

    fn measures(&self) -> String {
        self.net.measures()
    }

    fn compile(&self, example: &N::Batch, options: PlanOptions) -> ukulele_layers::Result<Option<TrunkPlan<Self>>> {
        if self.unknown {
            return Err(Error::argument("plan", "no plan for this"));
        }
        let Some(plan) = self.net.compile(example, options)? else { return Ok(None) };
        self.counts.made.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Box::new(move |counted: &Self, batch: &N::Batch| {
            let features = plan(&counted.net, batch)?;
            counted.counts.planned.fetch_add(1, Ordering::Relaxed);
            Ok(features)
        })))
    }
}

/// |a − b| <= 1e-4 |b|.
#[track_caller]
fn close<'a>(a: impl IntoIterator<Item = &'a f32>, b: impl IntoIterator<Item = &'a f32>) {
    let pairs: Vec<(f64, f64)> = a.into_iter().zip(b).map(|(&a, &b)| (a.into(), b.into())).collect();
    let sum = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>().sqrt();
    let (off, norm) = (sum(&|(a, b)| (a - b).powi(2)), sum(&|(_, b)| b * b));
    assert!(!pairs.is_empty() && off <= 1e-4 * norm, "off by {off} of {norm}");
}

/// What the model itself says.
fn eager<N: Classifier>(net: &N, batches: &[Labelled<N::Batch>]) -> Vec<Vec<f32>> {
    let logits = |batch: &Labelled<N::Batch>| net.logits(&batch.inputs, &mut Pass::eval()).unwrap();
    let rows = |y: Value| y.softmax().unwrap().tensor().to_vec().chunks(3).map(<[f32]>::to_vec).collect::<Vec<_>>();
    batches.iter().flat_map(|batch| rows(logits(batch))).collect()
}

/// Everything that runs a trunk without learning.
fn judged<N: Classifier + Clone + 'static>(net: N, batches: &[Labelled<N::Batch>])
where
    N::Batch: Clone,
{
    let want = eager(&net, batches);
    let mut net = Counted::new(net);
    let all = || batches.iter().cloned().map(Ok);
    let check = |found: &Evaluation| {
        close(found.probabilities.iter().flatten(), want.iter().flatten());
        assert!(found.predictions.iter().copied().eq(want.iter().map(|row| argmax(row))));
    };
    check(&evaluate(&net, all()).unwrap());
    assert_eq!(net.counts(), (1, batches.len(), 0));
    // Too few to be worth a plan.
    evaluate(&net, all().take(1)).unwrap();
    assert_eq!(net.counts(), (0, 0, 1));

    net.freeze_trunk();
    let features = Features::of(&mut net, all()).unwrap();
    assert_eq!(net.counts(), (1, batches.len(), 0));
    let plain = |batch: &Labelled<N::Batch>| net.net.features(&batch.inputs, &mut Pass::eval()).unwrap();
    let plain: Vec<f32> = batches.iter().flat_map(|batch| plain(batch).tensor().to_vec()).collect();
    close(&features.values.to_vec(), &plain);

    let planned = Planned::new(&net, &batches[0].inputs);
    assert!(planned.has_plan());
    let rows: Vec<Vec<f32>> = batches.iter().flat_map(|batch| planned.predict(&batch.inputs).unwrap()).collect();
    close(rows.iter().flatten(), want.iter().flatten());
    assert_eq!(net.counts(), (1, batches.len(), 0));

    net.unknown = true;
    assert!(!Planned::new(&net, &batches[0].inputs).has_plan());
    assert_eq!(evaluate(&net, all()).unwrap().probabilities, want);
    assert_eq!(net.counts(), (0, 0, batches.len()));
}

#[test]
fn images_are_judged_by_a_plan() {
    judged(resnet(4), &(0..7).map(|i| images(5, 32, i)).collect::<Vec<_>>());
}

#[test]
fn texts_are_judged_by_a_plan() {
    let batches: Vec<_> = (0..7).map(|i| tokens(5, 6 + i, i)).collect();
    for pooling in [Pooling::Mean, Pooling::Cls, Pooling::Max, Pooling::Pooler] {
        judged(bert(16, 0.2, pooling), &batches);
    }
}

#[test]
fn many_inputs_at_once_are_predicted_by_a_plan() {
    let (net, many) = (Counted::new(resnet(4)), images(40, 32, 0));
    let want = eager(&net.net, std::slice::from_ref(&many));
    close(predict(&net, &many.inputs).unwrap().iter().flatten(), want.iter().flatten());
    assert_eq!(net.counts(), (1, 1, 0));
    assert_eq!(predict(&net, &images(5, 32, 0).inputs).unwrap().len(), 5);
    assert_eq!(net.counts(), (0, 0, 1));
}

#[test]
fn what_a_plan_does_not_take_the_model_runs() {
    let net = Counted::new(resnet(4));
    let batches = [images(32, 32, 0), images(3, 48, 1), images(2, 32, 2)];
    let found = evaluate(&net, batches.iter().cloned().map(Ok)).unwrap();
    assert_eq!(net.counts(), (1, 2, 1));
    let other = eager(&net.net, &batches[1..2]);
    assert_eq!(found.probabilities[32..35], other, "the other size is the model's own");

    let net = Counted::new(bert(16, 0.0, Pooling::Mean));
    let mut front = tokens(32, 6, 0);
    front.inputs.mask[0] = 0.0;
    let found = evaluate(&net, std::iter::once(Ok(front.clone()))).unwrap();
    assert_eq!((net.counts(), found.probabilities), ((1, 0, 1), eager(&net.net, &[front])));
    // The error is the model's.
    let mut wrong = tokens(32, 6, 0);
    wrong.inputs.ids[3] = 97;
    let own = net.net.logits(&wrong.inputs, &mut Pass::eval()).unwrap_err().to_string();
    assert_eq!(predict(&net, &wrong.inputs).unwrap_err().to_string(), own);
}

#[test]
fn another_precision_is_a_plan_or_an_error() {
    for precision in [Precision::Bf16, Precision::Int8] {
        let options = PlanOptions { precision, ..Default::default() };
        let mut net = Counted::new(resnet(16));
        let few = || std::iter::once(Ok(images(5, 32, 0)));
        let (exact, found) = (evaluate(&net, few()).unwrap(), evaluate_with(&net, few(), options).unwrap());
        // One run by the model in f32, one by a plan however few there are.
        assert_eq!(net.counts(), (1, 1, 1));
        let off = exact.probabilities.iter().flatten().zip(found.probabilities.iter().flatten());
        let most = off.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(most > 1e-6 && most < 0.05, "{precision:?}: {most}");
        let other_size = [images(5, 32, 0), images(5, 48, 0)].into_iter().map(Ok);
        assert!(evaluate_with(&net, other_size, options).unwrap_err().to_string().contains("compiled"));
        net.unknown = true;
        assert!(evaluate_with(&net, few(), options).unwrap_err().to_string().contains("no plan for this"));
        assert!(Planned::with_options(&net, &images(5, 32, 0).inputs, options).is_err());
    }
}

#[test]
fn texts_without_tokens_are_the_models() {
    let net = Counted::new(bert(16, 0.0, Pooling::Cls));
    let mut batch = tokens(32, 6, 0);
    batch.inputs.mask[..6].fill(0.0);
    let found = evaluate(&net, std::iter::once(Ok(batch.clone()))).unwrap();
    assert_eq!((net.counts(), found.probabilities), ((1, 0, 1), eager(&net.net, &[batch])));
}

#[test]
fn a_plan_serves_no_other_model() {
    let mut a = resnet(4);
    let mut b = ResNet::new(&ResNetConfig { bn_eps: 1e-2, ..a.config().clone() }, &mut Init::new(0));
    b.set_state(&a.state()).unwrap();
    let batch = images(3, 32, 0).inputs;
    a.freeze_trunk();
    b.freeze_trunk();
    let mut trunk = FrozenTrunk::default();
    for net in [&mut a, &mut b] {
        let found = trunk.features(net, &batch).unwrap().unwrap();
        close(
            &found.tensor().to_vec(),
            &net.features(&batch.clone().into(), &mut Pass::eval()).unwrap().tensor().to_vec(),
        );
    }
}

#[test]
fn without_a_plan_a_frozen_trunk_runs_in_the_training_pass() {
    let mut net = Counted::new(resnet(4));
    (net.unknown, net.counts) = (true, Arc::default());
    net.freeze_trunk();
    let (mut trunk, batch) = (FrozenTrunk::default(), images(3, 32, 0).inputs);
    assert!(trunk.features(&mut net, &batch).unwrap().is_none());
    trunk.logits(&mut net, &batch, &mut Pass::train(0)).unwrap();
    assert_eq!(net.counts(), (0, 0, 1));
}

#[test]
fn threads_do_not_change_the_bits() {
    let net = resnet(8);
    let batches: Vec<_> = (0..3).map(|i| images(11, 48, i)).collect();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| evaluate(&net, batches.iter().cloned().map(Ok)).unwrap())
    };
    assert_eq!(on(1), on(2));
}

/// Trains two epochs of these batches.
fn trained<N: Classifier>(net: &mut N, batches: &[Labelled<N::Batch>])
where
    N::Batch: Clone,
{
    let options = FitOptions { epochs: 2, seed: 3, ..Default::default() };
    let mut sgd = Sgd::new(0.01).momentum(0.9);
    let mut epoch = |_| Ok(Box::new(batches.iter().cloned().map(Ok).collect::<Vec<_>>().into_iter()) as _);
    fit(net, &mut sgd, &options, &mut epoch, &mut |_| Ok(None), &mut |_| Control::Continue).unwrap();
}

/// With a frozen trunk the head learns what it learns without a plan.
fn learned<N: Classifier + Clone + 'static>(mut net: N, batches: &[Labelled<N::Batch>])
where
    N::Batch: Clone,
{
    net.freeze_trunk();
    let (mut planned, mut plain) = (Counted::new(net.clone()), Counted::new(net.clone()));
    plain.unknown = true;
    trained(&mut planned, batches);
    trained(&mut plain, batches);
    assert_eq!(planned.counts(), (1, 2 * batches.len(), 0));
    assert_eq!(plain.counts(), (0, 0, 2 * batches.len()));
    let head = net.head_names();
    for ((name, got), (_, want)) in planned.state().iter().zip(&plain.state()) {
        if head.iter().any(|prefix| name.starts_with(prefix)) {
            close(&got.to_vec(), &want.to_vec());
        }
    }
    let moved = changed(&bits(&mut net), &bits(&mut planned));
    assert!(!moved.is_empty() && moved.iter().all(|name| head.iter().any(|prefix| name.starts_with(prefix))));

    // A part that is not frozen on one of its axes is the business of the training pass.
    for role in [Role::Weight, Role::Statistic, Role::Rate] {
        let mut net = Counted::new(net.clone());
        let mut open = false;
        net.each("", &mut |name, param| {
            if param.role == role && !head.iter().any(|prefix| name.starts_with(prefix)) {
                param.frozen = false;
                open = true;
            }
        });
        if open {
            trained(&mut net, batches);
            assert_eq!(net.counts(), (0, 0, 2 * batches.len()), "{role:?}");
        }
    }
}

#[test]
fn a_frozen_trunk_of_images_is_a_plan() {
    learned(resnet(4), &(0..3).map(|i| images(4, 32, i)).collect::<Vec<_>>());
}

#[test]
fn a_frozen_trunk_of_texts_is_a_plan() {
    learned(bert(16, 0.2, Pooling::Mean), &(0..3).map(|i| tokens(4, 6, i)).collect::<Vec<_>>());
}

#[test]
fn a_plan_ends_with_the_weights_it_was_made_of() {
    let (mut net, batch) = (Counted::new(resnet(4)), images(3, 32, 0).inputs);
    net.freeze_trunk();
    let mut trunk = FrozenTrunk::default();
    let mut features = |net: &mut Counted<_>| {
        let found = trunk.features(net, &batch).unwrap().map(|value| value.tensor().to_vec());
        (found, trunk.has_plan())
    };
    let (first, _) = features(&mut net);
    assert_eq!(features(&mut net), (first.clone(), true));
    assert_eq!(net.counts(), (1, 2, 0));
    // Changed in place, at one place.
    net.net.layer1[0].conv1.weight.value.memory_mut()[0] += 1.0;
    let (second, _) = features(&mut net);
    assert_eq!(net.counts(), (1, 1, 0));
    assert_ne!(first, second);
    close(&second.unwrap(), &net.net.features(&batch.clone().into(), &mut Pass::eval()).unwrap().tensor().to_vec());
    // The head is none of its business.
    net.net.fc.weight.value.memory_mut()[0] += 1.0;
    features(&mut net);
    assert_eq!(net.counts(), (0, 1, 0));
    net.unfreeze(|name| name == "layer4.0.bn2.running_var");
    assert_eq!(features(&mut net), (None, false));
}
