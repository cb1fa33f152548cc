//! `uke finetune image`.

use crate::args::{AugmentArg, Freeze, ImageArgs};
use crate::errors::{Failure, Result, printable};
use crate::files;
use crate::outcome::Outcome;
use crate::photos;
use crate::progress::Progress;
use crate::report::thousands;
use crate::train::{
    Plan, apply_freeze, finish, kept, loss, shuffled_lists, split_off, train, train_above, train_head,
    with_frozen_trunk,
};
use std::time::Instant;
use ukulele_data::{Augment, ImageBatches, Preprocess, RandomCrop, Size};
use ukulele_layers::{Init, Module, Role};
use ukulele_models::{ImageConfig, ImageModel, Pretrained};
use ukulele_training::{DataKey, FeatureCache, Model, check_writable, evaluate};
use weights_import::{Architecture, Dialect, Weights, guess};

/// Learning rate of the last stage.
const RATE: f64 = 5e-4;

/// Runs the command.
pub(crate) fn run(args: &ImageArgs, quiet: bool) -> Result<()> {
    let start = Instant::now();
    let setup = &args.training;
    // Everything that can be wrong is looked at before the first step.
    let augment = augment(&args.augment)?;
    let weights = weights_import::open(&args.weights)?;
    let dialect = Dialect::detect(&weights)?;
    let config = measures(&weights, &dialect, args.model.as_deref())?;
    let preprocess = preprocess(args, &dialect, config.image_size())?;
    let all = photos::read(&args.data, &args.path_column, &args.label_column, None)?;
    let all = photos::checked(all, &args.data.display().to_string(), args.skip_broken)?;
    let names = all.names.clone();
    let (learn, judge) = match args.val.as_deref() {
        Some(path) => {
            let judge = photos::read(path, &args.path_column, &args.label_column, Some(&names))?;
            (all, photos::checked_some(judge, args.skip_broken)?)
        }
        None => {
            let [learn, judge] = split_off(&all.labels, &names, setup.val_share, setup.seed, &args.data)?;
            (all.subset(&learn)?, all.subset(&judge)?)
        }
    };
    check_writable(&setup.out)?;
    files::check_file(setup.json.as_deref())?;
    let cache = setup.feature_cache.as_ref().map(FeatureCache::new).transpose()?;
    // Of the files: the preprocessing decides on what is made of them below.
    let [learn_kept, judge_kept] =
        [&learn, &judge].map(|photos| kept(cache.as_ref(), || DataKey::photos(photos, &preprocess)));
    let (learn_kept, judge_kept) = (learn_kept?, judge_kept?);

    let mut net = ImageModel::new(&config.with_classes(names.len()), &mut Init::new(setup.seed));
    net.remove_aux();
    let head = net.head_names();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let report = net.load(&weights, &dialect)?.only_missing(&head)?;
    // A head of the file may have the same shape; it belongs to other classes.
    net.replace_head(names.len(), &mut Init::new(setup.seed));
    apply_freeze(&mut net, setup.freeze)?;
    // Few photos a step say less about the statistics than the many that they came from.
    net.set_frozen(&[Role::Statistic], true, |_| true);
    let plan = Plan::of(setup, learn.len(), RATE);
    if !quiet {
        eprintln!("{}", printable(&report.to_string()));
        eprintln!("{} classes; {} photos to learn from, {} to validate", names.len(), learn.len(), judge.len());
        let trainable = thousands(net.parameter_count().1 as f64);
        eprintln!(
            "{trainable} parameters learn; at most {} epochs, batches of {}, rate {:e}",
            plan.epochs, plan.batch, plan.rate
        );
    }
    let loss = loss(&plan, &learn.labels, names.len(), setup.balance)?;
    let (judge, left) = photos::kept(judge, &preprocess)?;
    let exam = photos::still(judge, left)?;
    let progress = || Progress::training("training", plan.epochs, quiet);
    let history = if setup.freeze == Freeze::Trunk {
        let features = photos::features(&mut net, learn_kept, &photos::still(learn, preprocess.clone())?, quiet)?;
        let seen = photos::features(&mut net, judge_kept, &exam, quiet)?;
        train_head(&mut net, &plan, loss, &features, &seen, &progress())?
    } else {
        // A random crop is one of the whole photo, which then is decoded anew in each epoch.
        let (learn, left) = match augment.crop {
            None => photos::kept(learn, &preprocess)?,
            Some(_) => (learn, preprocess.clone()),
        };
        let still = photos::still(learn.clone(), left.clone())?;
        // A fresh head would first tear at the trunk: it begins as the one that the frozen trunk wants.
        with_frozen_trunk(&mut net, |net| {
            let features = photos::features(net, learn_kept.clone(), &still, quiet)?;
            let seen = photos::features(net, judge_kept.clone(), &exam, quiet)?;
            let plan = plan.of_head(learn.len());
            let progress = Progress::bar_only("the new head", plan.epochs, quiet);
            train_head(net, &plan, loss.clone(), &features, &seen, &progress)
        })?;
        let values = match setup.freeze {
            // Photos that never change say the same in each epoch, up to the first layers that learn.
            Freeze::Groups(groups @ 1..) if augment == Augment::default() => {
                photos::boundary_values(&mut net, groups, [(&still, learn_kept), (&exam, judge_kept)], quiet)?
            }
            _ => None,
        };
        match &values {
            Some([values, seen]) => {
                let lists = |epoch| shuffled_lists(values.len(), plan.batch, plan.seed, epoch);
                train_above(&mut net, &plan, loss, [values, seen], &lists, &progress())?
            }
            None => {
                let lesson = ImageBatches::new(learn, left, augment, plan.batch, setup.seed)?;
                train(
                    &mut net,
                    &plan,
                    loss,
                    &mut |epoch| Ok(photos::epoch(&lesson, epoch)),
                    &mut |net| Ok(Some(evaluate(net, photos::in_order(&exam))?.score())),
                    &progress(),
                )?
            }
        }
    };
    let found = evaluate(&net, photos::in_order(&exam))?;
    let outcome = Outcome::of(&found, names.names())?;
    let mut model = Model::new(net, names.names())?;
    model.preprocess = Some(preprocess);
    model.metrics.insert("validation".into(), outcome.json());
    model.save(&setup.out)?;
    finish(&history, &outcome, setup, start.elapsed().as_secs_f64(), "a-photo.jpg")
}

/// The measures of the network that the weights belong to; of `model`, if one is asked for.
fn measures(weights: &Weights, dialect: &Dialect, model: Option<&str>) -> Result<ImageConfig> {
    let file = weights.source();
    let Some(found) = guess(weights, dialect) else {
        return Err(Failure::run(format!("{file}: no known network is recognised in these weights")));
    };
    let config = match ImageConfig::from_weights(&found, dialect, 2) {
        Ok(config) => config,
        Err(_) if matches!(found, Architecture::Bert(_)) => {
            let message = format!("{file}: these weights look like {found}; `finetune text` trains them");
            return Err(Failure::run(message));
        }
        Err(error) => return Err(error.into()),
    };
    let asked = |name: &str| ImageConfig::named(name, 2).is_some_and(|asked| asked.same_trunk(&config));
    match model {
        Some(name) if !asked(name) => {
            Err(Failure::run(format!("{file}: these weights look like {found}, but --model {name} is asked for")))
        }
        _ => Ok(config),
    }
}

/// As the weights were trained; at the side that is asked for, or at `side` if nothing is said but the dialect's preset.
fn preprocess(args: &ImageArgs, dialect: &Dialect, side: usize) -> Result<Preprocess> {
    let mut preprocess = Preprocess::of_weights(&args.weights, dialect.preprocess(), side)?;
    if let Some(side) = args.size {
        preprocess = preprocess.with_side(side as usize);
    }
    if args.whole
        && let Some((height, width)) = preprocess.crop.take()
    {
        preprocess.size = Some(Size::Exact { height, width });
    }
    Ok(preprocess)
}

fn augment(changes: &[AugmentArg]) -> Result<Augment> {
    let has = |change| changes.contains(&change);
    if has(AugmentArg::None) && changes.len() > 1 {
        return Err(Failure::usage("--augment none goes with no other change"));
    }
    Ok(Augment {
        flip_horizontal: has(AugmentArg::Flip),
        flip_vertical: has(AugmentArg::FlipVertical),
        rotate: has(AugmentArg::Rotate),
        crop: has(AugmentArg::Crop).then_some(RandomCrop::GENTLE),
        ..Augment::default()
    })
}
