//! One training: optimiser, schedule, frozen parts, and what came of it.

use crate::args::{Freeze, PrecisionArg, TrainArgs};
use crate::errors::{Failure, Result, printable};
use crate::files;
use crate::interrupt;
use crate::outcome::Outcome;
use crate::output::say;
use crate::progress::{Progress, counter};
use crate::report::thousands;
use serde_json::json;
use std::path::Path;
use ukulele_data::{Labels, Random, split};
use ukulele_inference::Precision;
use ukulele_layers::Pass;
use ukulele_training::{
    AboveBoundary, AdamW, Batches, BoundaryValues, Cached, Classifier, CrossEntropy, DataKey, Ending, Error, Event,
    FeatureCache, Features, FitOptions, Groups, HeadOnly, History, Labelled, Schedule, Score, class_weights_balanced,
    evaluate, fit,
};

/// How one model is trained.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// Passes over the data, at most.
    pub(crate) epochs: usize,
    /// Samples per step.
    pub(crate) batch: usize,
    /// Learning rate of the last group of layers.
    pub(crate) rate: f64,
    /// Factor from each group to the one before it.
    pub(crate) rate_decay: f64,
    /// Decay of weights.
    pub(crate) weight_decay: f64,
    /// Share of the target spread over all classes.
    pub(crate) label_smoothing: f64,
    /// Epochs without a better validation before it ends.
    pub(crate) patience: Option<usize>,
    /// Of batches and dropout.
    pub(crate) seed: u64,
    /// What convolutions and linear layers multiply.
    pub(crate) precision: Precision,
    /// Whether most outputs are computed again in backward.
    pub(crate) gradient_checkpointing: bool,
}

impl Plan {
    /// The plan for `samples` training samples, where the command line leaves it open; `rate` is the model's usual one.
    pub(crate) fn of(args: &TrainArgs, samples: usize, rate: f64) -> Self {
        let head = args.freeze == Freeze::Trunk;
        Self {
            epochs: args.epochs.map_or_else(|| usual_epochs(samples, head), |n| n as usize),
            batch: args.batch.map_or(if samples < 500 { 16 } else { 32 }, |n| n as usize),
            rate: args.rate.unwrap_or(if head { HEAD_RATE } else { rate }),
            rate_decay: args.rate_decay,
            weight_decay: args.weight_decay,
            label_smoothing: args.label_smoothing,
            patience: Some(args.patience as usize * if head { 4 } else { 1 }),
            seed: args.seed,
            precision: args.precision.precision(),
            gradient_checkpointing: args.gradient_checkpointing,
        }
    }
}

impl Plan {
    /// The plan of a head alone, for `samples` training samples.
    pub(crate) fn of_head(&self, samples: usize) -> Self {
        Self { epochs: usual_epochs(samples, true), rate: HEAD_RATE, rate_decay: 1.0, ..self.clone() }
    }
}

/// Learning rate of a linear head on a frozen trunk.
pub(crate) const HEAD_RATE: f64 = 3e-3;

/// The fewer samples, the more often they must be seen; a linear head costs nothing, and is given its time.
fn usual_epochs(samples: usize, head: bool) -> usize {
    match samples {
        _ if head => 60,
        0..500 => 20,
        500..2000 => 10,
        2000..20_000 => 6,
        _ => 4,
    }
}

/// The loss of a plan: smoothed, and with classes weighed by how rare they are if `balance`.
pub(crate) fn loss(plan: &Plan, labels: &[usize], classes: usize, balance: bool) -> Result<CrossEntropy> {
    let labels: Vec<i64> = labels.iter().map(|&l| l as i64).collect();
    let class_weights = if balance { Some(class_weights_balanced(&labels, classes)?) } else { None };
    Ok(CrossEntropy { class_weights, label_smoothing: plan.label_smoothing, ..CrossEntropy::default() })
}

/// Freezes what `freeze` says.
///
/// # Errors
/// More groups than the model has.
pub(crate) fn apply_freeze<N: Classifier>(net: &mut N, freeze: Freeze) -> Result<()> {
    let groups = net.groups().len();
    match freeze {
        Freeze::None => {}
        Freeze::Trunk => net.freeze_trunk(),
        Freeze::Groups(count) if count < groups => net.freeze_groups(count),
        Freeze::Groups(count) => {
            let message = format!(
                "--freeze {count}: this model has {groups} groups of layers, the head among them; at most {} can be frozen",
                groups - 1
            );
            return Err(Failure::usage(message));
        }
    }
    Ok(())
}

/// Trains `net` and leaves it with the best validated state. `validate` judges it after each epoch.
pub(crate) fn train<'a, N: Classifier>(
    net: &mut N,
    plan: &Plan,
    loss: CrossEntropy,
    batches: &mut dyn FnMut(usize) -> ukulele_training::Result<Batches<'a, N::Batch>>,
    validate: &mut dyn FnMut(&N) -> ukulele_training::Result<Option<Score>>,
    progress: &Progress,
) -> Result<History>
where
    N::Batch: 'a,
{
    let groups = Groups::new().layerwise(&net.groups(), plan.rate_decay);
    let mut optimizer = AdamW::new(plan.rate).weight_decay(plan.weight_decay).groups(groups);
    let options = FitOptions {
        epochs: plan.epochs,
        schedule: Schedule::default(),
        clip: Some(1.0),
        accumulate: 1,
        loss,
        seed: plan.seed,
        patience: plan.patience,
        precision: plan.precision,
        gradient_checkpointing: plan.gradient_checkpointing,
    };
    let mut observe = |event: &Event| progress.see(event);
    Ok(fit(net, &mut optimizer, &options, batches, validate, &mut observe)?)
}

/// Where the features of data are kept, and how they are found there; `None` if no cache is asked for.
pub(crate) type Kept<'a> = Option<(&'a FeatureCache, DataKey)>;

/// Where the features are kept of the data with this key.
pub(crate) fn kept(
    cache: Option<&FeatureCache>,
    key: impl FnOnce() -> ukulele_training::Result<DataKey>,
) -> Result<Kept<'_>> {
    Ok(cache.map(|cache| key().map(|key| (cache, key))).transpose()?)
}

/// What the frozen trunk of `net` says of the batches, of so many inputs; those that are kept are read. Ctrl-C is an error.
pub(crate) fn features<N: Classifier>(
    net: &mut N,
    kept: Kept<'_>,
    batches: impl Iterator<Item = ukulele_training::Result<Labelled<N::Batch>>>,
    inputs: usize,
    quiet: bool,
) -> Result<Features> {
    once("features of the frozen trunk", batches, inputs, quiet, |batches| match kept {
        Some((cache, key)) => cache.features(net, &key, batches),
        None => Features::of(net, batches).map(fresh),
    })
}

/// As [`features`], what the frozen groups of layers say at the boundary to those that learn; `None` where neither the disk nor
/// memory has room for it.
pub(crate) fn boundary_values<N: Classifier>(
    net: &mut N,
    kept: Kept<'_>,
    batches: impl Iterator<Item = ukulele_training::Result<Labelled<N::Batch>>>,
    inputs: usize,
    quiet: bool,
) -> Result<Option<BoundaryValues>> {
    once("values of the frozen layers", batches, inputs, quiet, |batches| {
        let Some((cache, key)) = kept else { return BoundaryValues::of(net, batches).map(Some).map(fresh) };
        match cache.boundary(net, &key, batches) {
            Ok(Cached { features, read, warning }) => Ok(Cached { features: Some(features), read, warning }),
            Err(Error::NoRoom(why)) => {
                let warning = Some(format!("{why}; frozen layers run in each step").replace('\n', " "));
                Ok(Cached { features: None, read: false, warning })
            }
            Err(error) => Err(error),
        }
    })
}

fn fresh<T>(features: T) -> Cached<T> {
    Cached { features, read: false, warning: None }
}

/// Runs something frozen over all batches, once.
fn once<B, T>(
    what: &'static str,
    batches: impl Iterator<Item = ukulele_training::Result<Labelled<B>>>,
    inputs: usize,
    quiet: bool,
    run: impl FnOnce(&mut dyn Iterator<Item = ukulele_training::Result<Labelled<B>>>) -> ukulele_training::Result<Cached<T>>,
) -> Result<T> {
    let bar = counter(what, inputs, quiet);
    let batches = batches.take_while(|_| !interrupt::asked());
    let mut batches = batches.inspect(|batch| bar.inc(batch.as_ref().map_or(0, |batch| batch.labels.len() as u64)));
    let found = run(&mut batches);
    bar.finish_and_clear();
    if interrupt::asked() {
        return Err(Failure::Interrupted("nothing was learned yet; nothing was saved".to_owned()));
    }
    let found = found?;
    if let Some(warning) = &found.warning {
        eprintln!("warning: {}", printable(warning));
    } else if found.read && !quiet {
        eprintln!("{} features are there from an earlier training", thousands(inputs as f64));
    }
    Ok(found.features)
}

/// Whether what the first `groups` groups of layers say of so many times the example can be kept: in a folder, with a note if it is
/// much, or in memory. Where not, they run in each step.
pub(crate) fn can_keep<N: Classifier>(
    net: &N,
    groups: usize,
    example: &N::Batch,
    times: f64,
    folder: bool,
) -> Result<bool> {
    let numbers = net.below(example, groups, &mut Pass::eval())?.numel() as f64 * times;
    let (limit, narrow) = (FeatureCache::HELD as f64, 2.0 * numbers);
    if folder && narrow > limit {
        let gigabytes = narrow / 1e9;
        eprintln!("note: --feature-cache: {groups} groups of layers say {gigabytes:.1} GB of these data");
    }
    Ok(folder || 4.0 * numbers <= limit)
}

/// Trains what is above the boundary to frozen groups of layers, on what these say; `lists` says which inputs are a batch.
pub(crate) fn train_above<N: Classifier>(
    net: &mut N,
    plan: &Plan,
    loss: CrossEntropy,
    [values, seen]: [&BoundaryValues; 2],
    lists: &dyn Fn(usize) -> Vec<Vec<usize>>,
    progress: &Progress,
) -> Result<History> {
    train(
        &mut AboveBoundary { net, boundary: values.boundary() },
        plan,
        loss,
        &mut |epoch| Ok(values.batches(lists(epoch))),
        &mut |net| Ok(Some(evaluate(net, seen.batches(in_order(seen.len(), 32)))?.score())),
        progress,
    )
}

/// Trains the head of `net` on features of its trunk, and judges it by those of the validation samples.
pub(crate) fn train_head<N: Classifier>(
    net: &mut N,
    plan: &Plan,
    loss: CrossEntropy,
    features: &Features,
    seen: &Features,
    progress: &Progress,
) -> Result<History> {
    train(
        &mut HeadOnly(net),
        plan,
        loss,
        &mut |epoch| Ok(features.batches(shuffled_lists(features.labels.len(), plan.batch, plan.seed, epoch))),
        &mut |net| Ok(Some(evaluate(net, seen.batches(whole(seen.labels.len())))?.score())),
        progress,
    )
}

/// As [`train_head`] for a `net` of which more is to learn afterwards: what was frozen and what not stays so. A fresh head
/// would send random gradients into the trunk. Source: Kumar et al. 2022, linear probing then fine-tuning.
pub(crate) fn train_head_first<N: Classifier>(
    net: &mut N,
    plan: &Plan,
    loss: CrossEntropy,
    features: &Features,
    seen: &Features,
    progress: &Progress,
) -> Result<()> {
    with_frozen_trunk(net, |net| train_head(net, plan, loss, features, seen, progress).map(drop))
}

/// Does something with `net` while only its head learns.
pub(crate) fn with_frozen_trunk<N: Classifier, T>(net: &mut N, f: impl FnOnce(&mut N) -> Result<T>) -> Result<T> {
    let mut frozen = Vec::new();
    net.each("", &mut |_, param| frozen.push(param.frozen));
    net.freeze_trunk();
    let result = f(net);
    let mut before = frozen.into_iter();
    net.each("", &mut |_, param| param.frozen = before.next().unwrap_or(param.frozen));
    result
}

/// Says what came of a training, and writes it down. Ctrl-C is an ending of its own.
pub(crate) fn finish(
    history: &History,
    outcome: &Outcome<'_>,
    setup: &TrainArgs,
    seconds: f64,
    input: &str,
) -> Result<()> {
    if let Some(path) = setup.json.as_deref() {
        let epochs: Vec<_> = history
            .epochs
            .iter()
            .map(|e| {
                let validation = e.validation.map(|v| json!({"accuracy": v.accuracy, "loss": v.loss}));
                json!({"epoch": e.epoch, "loss": e.loss, "validation": validation})
            })
            .collect();
        let value = json!({
            "validation": outcome.json(),
            "epochs": epochs,
            "best_epoch": history.best.map(|e| e.epoch),
            "ending": history.ending.to_string(),
            "steps": history.steps.len(),
            "seconds": seconds,
            "precision": setup.precision.name(),
            "model": setup.out.display().to_string(),
        });
        files::write_json(path, &value)?;
    }
    let kept = match history.best {
        Some(epoch) => format!("the state of epoch {}", epoch.epoch),
        None => format!("the state after {} steps", history.steps.len()),
    };
    let folder = setup.out.display();
    // Ctrl-C may have ended who reads it, too.
    let said = say!("{}", outcome.text("validation").trim_end());
    if history.ending == Ending::Stopped {
        return Err(Failure::Interrupted(format!("saved {kept} to {folder}; it loads like any other model")));
    }
    said?;
    let precision = match setup.precision {
        PrecisionArg::F32 => String::new(),
        other => format!(" of learning in {}", other.name()),
    };
    let ending = history.ending;
    say!("Saved {kept} to {folder} after {seconds:.0} s{precision} ({ending}). Next: uke predict {folder} {input}")
}

/// The places below `count` in random batches: an epoch.
pub(crate) fn shuffled_lists(count: usize, batch: usize, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
    let mut places: Vec<usize> = (0..count).collect();
    Random::new(&[seed, SHUFFLE, epoch as u64]).shuffle(&mut places);
    places.chunks(batch.max(1)).map(<[usize]>::to_vec).collect()
}

/// Purpose of a random stream.
const SHUFFLE: u64 = 0x5f;

/// The places below `count` in order, in batches for a pass in which nothing is learned.
pub(crate) fn whole(count: usize) -> Vec<Vec<usize>> {
    in_order(count, 256)
}

fn in_order(count: usize, batch: usize) -> Vec<Vec<usize>> {
    let places: Vec<usize> = (0..count).collect();
    places.chunks(batch).map(<[usize]>::to_vec).collect()
}

/// Splits off a share of the samples to validate, stratified: places to learn from and places to validate.
///
/// # Errors
/// Too few samples, or a class of which no sample would be left to learn from.
pub(crate) fn split_off(
    labels: &[usize],
    names: &Labels,
    share: f64,
    seed: u64,
    source: &Path,
) -> Result<[Vec<usize>; 2]> {
    let judge = ((labels.len() as f64 * share).round() as usize).max(names.len());
    let source = source.display();
    if judge + names.len() > labels.len() {
        let message = format!(
            "{source}: {} samples are too few to learn from and to validate; add samples, or give validation data with --val",
            labels.len()
        );
        return Err(Failure::run(message));
    }
    let mut parts = split::stratified(labels, &[labels.len() - judge, judge], seed)?;
    let (judge, learn) = (parts.pop().unwrap_or_default(), parts.pop().unwrap_or_default());
    if let Some(class) = (0..names.len()).find(|class| !learn.iter().any(|&i| labels[i] == *class)) {
        let name = names.name(class).unwrap_or_default();
        return Err(Failure::run(format!("{source}: class `{name}` has too few samples; add some, or give --val")));
    }
    Ok([learn, judge])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ukulele_layers::{Init, Tensor};
    use ukulele_models::{ResNet, ResNetConfig};

    #[test]
    fn without_room_frozen_layers_run_in_each_step() -> Result<()> {
        let config = ResNetConfig { width: 4, layers: [1, 1, 1, 1], ..ResNetConfig::depth(18, 2).unwrap() };
        let mut net = ResNet::new(&config, &mut Init::new(0));
        net.freeze_groups(3);
        let folder = std::env::temp_dir().join(format!("uke-no-room-{}", std::process::id()));
        let mut of = |most: usize| {
            let cache = FeatureCache::new(&folder)?.held_at_most(most);
            std::fs::remove_dir_all(&folder).unwrap();
            let batch = Labelled { inputs: Tensor::ones(&[2, 3, 32, 32])?, labels: vec![0, 1] };
            let kept = Some((&cache, DataKey::new("two", 2)));
            boundary_values(&mut net, kept, std::iter::once(Ok(batch)), 2, true)
        };
        assert_eq!(of(1000)?.map(|values| values.len()), Some(2));
        assert!(of(10)?.is_none());
        Ok(())
    }

    #[test]
    fn more_data_is_seen_less_often() {
        let epochs: Vec<usize> = [10, 499, 500, 2000, 100_000].map(|n| usual_epochs(n, false)).to_vec();
        assert_eq!(epochs, [20, 20, 10, 6, 4]);
    }

    #[test]
    fn splits_take_the_same_share_of_each_class() {
        let labels: Vec<usize> = (0..100).map(|i| usize::from(i % 10 == 0)).collect();
        let names = Labels::from_values(["a", "b"]).unwrap();
        let [learn, judge] = split_off(&labels, &names, 0.2, 7, Path::new("t.csv")).unwrap();
        assert_eq!((learn.len(), judge.len()), (80, 20));
        assert_eq!(judge.iter().filter(|&&i| labels[i] == 1).count(), 2);
        assert!(judge.iter().all(|i| !learn.contains(i)));
        assert!(split_off(&[0, 0, 1], &names, 0.2, 7, Path::new("t.csv")).is_err());
    }

    #[test]
    fn every_epoch_has_every_sample_in_another_order() {
        let [one, two] = [1, 2].map(|epoch| shuffled_lists(10, 4, 3, epoch).concat());
        assert_ne!(one, two);
        for mut epoch in [one, two] {
            epoch.sort_unstable();
            assert!(epoch.into_iter().eq(0..10));
        }
    }
}
