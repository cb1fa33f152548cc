//! `uke finetune text`.

use crate::args::{Freeze, PoolingArg, TextArgs, TrainArgs};
use crate::errors::{Failure, Result, printable};
use crate::files;
use crate::outcome::Outcome;
use crate::progress::Progress;
use crate::report::thousands;
use crate::texts;
use crate::train::{
    Plan, apply_freeze, boundary_values, can_keep, features, finish, kept, loss, split_off, train, train_above,
    train_head,
};
use std::path::Path;
use std::time::Instant;
use ukulele_data::{TextBatches, TextDataset, Tokenizer};
use ukulele_layers::{Init, Module};
use ukulele_models::{BertConfig, Pooling, Pretrained, TextModel, TokenBatch};
use ukulele_training::{DataKey, FeatureCache, History, Model, TextInput, check_writable};
use weights_import::{Dialect, Report, TextFamily, Weights};

/// Runs the command.
pub(crate) fn run(args: &TextArgs, quiet: bool) -> Result<()> {
    let start = Instant::now();
    let setup = &args.training;
    // Everything that can be wrong is looked at before the first step.
    if setup.feature_cache.is_some() && matches!(setup.freeze, Freeze::None | Freeze::Groups(0)) {
        let message = "--feature-cache: a trunk that learns has no features to keep; add --freeze trunk or --freeze N";
        return Err(Failure::usage(message));
    }
    let weights = weights_import::open(&args.weights)?;
    let bert = Encoder::of(&weights, args)?;
    let (text, label) = (args.columns.text_column.as_str(), args.label_column.as_str());
    let all = TextDataset::from_table(&texts::table(&args.train)?, text, label)?;
    let names = all.names.clone();
    let (learn, judge) = match args.val.as_deref() {
        Some(path) => (all, TextDataset::with_labels(&texts::table(path)?, text, label, &names)?),
        None => {
            let [learn, judge] = split_off(&all.labels, &names, setup.val_share, setup.seed, &args.train)?;
            (all.subset(&learn)?, all.subset(&judge)?)
        }
    };
    check_writable(&setup.out)?;
    files::check_file(setup.json.as_deref())?;
    let (mut net, report) = bert.model(&weights, names.len(), setup.seed)?;
    apply_freeze(&mut net, setup.freeze)?;
    let plan = Plan::of(setup, learn.len(), usual_rate(bert.config.hidden_size));
    if !quiet {
        eprintln!("{}", printable(&report.to_string()));
        eprintln!(
            "{} classes; {} texts to learn from, {} to validate; {}",
            names.len(),
            learn.len(),
            judge.len(),
            bert.why
        );
        let trainable = thousands(net.parameter_count().1 as f64);
        eprintln!(
            "{trainable} parameters learn; at most {} epochs, batches of {}, rate {:e}",
            plan.epochs, plan.batch, plan.rate
        );
    }
    let exam = texts::exam(&bert.input, &judge)?;
    let history = fit(&mut net, &plan, setup, &bert.input, &learn, &exam, quiet)?;
    let found = texts::evaluated(&net, &exam)?;
    let outcome = Outcome::of(&found, names.names())?;
    let mut model = Model::new(net, names.names())?;
    model.text = Some(bert.input);
    model.metrics.insert("validation".into(), outcome.json());
    model.save(&setup.out)?;
    finish(&history, &outcome, setup, start.elapsed().as_secs_f64(), "\"a text\"")
}

/// A pretrained encoder and what cuts texts for it.
struct Encoder {
    config: BertConfig,
    pooling: Pooling,
    /// Why this pooling.
    why: String,
    /// Whether the file has a pooler.
    pooler: bool,
    input: TextInput,
    dialect: Dialect,
}

impl Encoder {
    fn of(weights: &Weights, args: &TextArgs) -> Result<Self> {
        let dialect = Dialect::detect(weights)?;
        let (config, bert) = TextModel::measures(weights, &dialect)?;
        let (pooling, why) = match args.pooling {
            Some(PoolingArg::Mean) => (Pooling::Mean, "pooling by mean, as asked"),
            Some(PoolingArg::Cls) => (Pooling::Cls, "pooling by the first token, as asked"),
            Some(PoolingArg::Pooler) if bert.pooler => (Pooling::Pooler, "pooling by the trained pooler, as asked"),
            Some(PoolingArg::Pooler) if args.training.freeze == Freeze::Trunk => {
                let message = "--pooling pooler --freeze trunk: the file has no pooler, and a fresh one would not learn; \
                               pool by mean";
                return Err(Failure::usage(message));
            }
            Some(PoolingArg::Pooler) => {
                (Pooling::Pooler, "pooling by a pooler that is not in the file and begins fresh")
            }
            // The pooler in files of RoBERTa was never trained.
            None if bert.pooler && matches!(config.family, TextFamily::Bert | TextFamily::Albert) => {
                (Pooling::Pooler, "pooling by the trained pooler of the file")
            }
            None => (Pooling::Mean, "pooling by mean, as the file has no trained pooler"),
        };
        let most = config.longest();
        let length = args.max_length as usize;
        if length > most {
            return Err(Failure::usage(format!(
                "--max-length {length}: this model has {most} positions; {most} is the most"
            )));
        }
        let folder =
            if args.weights.is_dir() { args.weights.as_path() } else { args.weights.parent().unwrap_or(Path::new("")) };
        let input = TextInput { tokenizer: Tokenizer::from_files(folder)?, max_length: length };
        let size = input.tokenizer.vocab_size();
        if size > config.vocab_size {
            let message = format!(
                "the vocabulary in {} has {size} tokens, the model's table {}: they do not belong together",
                folder.display(),
                config.vocab_size
            );
            return Err(Failure::run(message));
        }
        Ok(Self { config, pooling, why: why.to_owned(), pooler: bert.pooler, input, dialect })
    }

    fn model(&self, weights: &Weights, classes: usize, seed: u64) -> Result<(TextModel, Report)> {
        let mut net = TextModel::classifier(&self.config, classes, self.pooling, &mut Init::new(seed))?;
        let fresh = net.head.clone();
        let mut open = net.head_names();
        open.extend((!self.pooler).then(|| format!("{}.pooler.", self.config.family.prefix())));
        let open: Vec<&str> = open.iter().map(String::as_str).collect();
        let report = net.load(weights, &self.dialect)?.only_missing(&open)?;
        // A head of the file may have the same shape; it belongs to other classes.
        net.head = fresh;
        Ok((net, report))
    }
}

/// The rate at which a BERT of this width is usually fine-tuned: the wider, the slower.
fn usual_rate(hidden: usize) -> f64 {
    match hidden {
        0..=192 => 5e-4,
        193..=512 => 1e-4,
        _ => 5e-5,
    }
}

fn fit(
    net: &mut TextModel,
    plan: &Plan,
    setup: &TrainArgs,
    input: &TextInput,
    learn: &TextDataset,
    exam: &TextBatches,
    quiet: bool,
) -> Result<History> {
    let loss = loss(plan, &learn.labels, learn.names.len(), setup.balance)?;
    let lesson = match setup.freeze {
        Freeze::Trunk => texts::exam(input, learn)?,
        _ => texts::lesson(input, learn, plan.batch, plan.seed)?,
    };
    if !quiet {
        texts::warn_of_cut(&lesson, input.max_length);
    }
    let progress = Progress::training("training", plan.epochs, quiet);
    let cache = setup.feature_cache.as_ref().map(FeatureCache::new).transpose()?;
    let kept = |texts: &TextBatches| kept(cache.as_ref(), || DataKey::tokens(texts::by_length(texts)));
    if setup.freeze == Freeze::Trunk {
        let mut of = |texts: &TextBatches| features(net, kept(texts)?, texts::by_length(texts), texts.len(), quiet);
        let (features, seen) = (of(&lesson)?, of(exam)?);
        return train_head(net, plan, loss, &features, &seen, &progress);
    }
    // Embeddings alone are looked up as fast as what they gave.
    let least = if cache.is_some() { 1 } else { 2 };
    if let Freeze::Groups(groups) = setup.freeze
        && groups >= least
    {
        // In batches of another size: their padding is part of the key.
        let still = texts::exam(input, learn)?;
        let (example, tokens) = (TokenBatch::unpadded(1, 1, vec![0])?, texts::tokens(&still) + texts::tokens(exam));
        if can_keep(net, groups, &example, tokens, cache.is_some())? {
            let mut of =
                |texts: &TextBatches| boundary_values(net, kept(texts)?, texts::by_length(texts), texts.len(), quiet);
            if let Some(values) = of(&still)?
                && let Some(seen) = of(exam)?
            {
                let places = texts::places_by_length(&still);
                let lists = |epoch| texts::lists(&lesson, epoch, &places);
                return train_above(net, plan, loss, [&values, &seen], &lists, &progress);
            }
        }
    }
    train(
        net,
        plan,
        loss,
        &mut |epoch| Ok(texts::epoch(&lesson, epoch)),
        &mut |net| Ok(Some(texts::evaluated(net, exam)?.score())),
        &progress,
    )
}
