//! The demo of texts: BERT-tiny learns the sentiment of tweets. Weights and tweets are inside the binary.

use super::{Run, Summary, Way, answer_of_ways, labels_for, peak_memory, results, summary, table, write};
use crate::args::DemoArgs;
use crate::errors::{Failure, Result};
use crate::output::say;
use crate::progress::Progress;
use crate::report::{Content, Labelled, Report, Sample, thousands};
use crate::texts;
use crate::train::{Plan, train, train_head, train_head_first};
use crate::{files, interrupt, predict};
use std::path::{Path, PathBuf};
use std::time::Instant;
use ukulele_data::{Casing, Labels, TextBatches, TextDataset, Tokenizer, split};
use ukulele_inference::Precision;
use ukulele_layers::{Init, Module};
use ukulele_models::{BertConfig, Pooling, Pretrained, TextModel};
use ukulele_training::{Classifier, CrossEntropy, Features, Model, TextInput, check_writable, paired_difference};
use weights_import::Dialect;

const WEIGHTS: &[u8] = include_bytes!("../../../../assets/bert-tiny/model.safetensors");
const CONFIG: &str = include_str!("../../../../assets/bert-tiny/config.json");
const VOCABULARY: &str = include_str!("../../../../assets/bert-tiny/vocab.txt");
const TWEETS: &str = include_str!("../../../../assets/tweets/tweets.tsv");

/// The classes, in order.
const CLASSES: [&str; 2] = ["negative", "positive"];

/// Sentences of our own, for the saved model.
const SENTENCES: [&str; 4] = [
    "What a lovely morning, best coffee ever!",
    "My train is late again and it rains. I hate this.",
    "The new phone is great, thank you so much",
    "Worst service ever, never going back there",
];

/// What can be turned.
struct Knobs {
    /// Labels of the main comparison.
    labels: usize,
    /// Labels of the curve.
    pools: [usize; 4],
    /// Tweets that validate.
    validation: usize,
    /// A tweet is clear if its score is at least this far from 0.
    clear: f64,
    /// Word pieces of a tweet, at most.
    max_length: usize,
    /// Tweets per step.
    batch: usize,
    /// How a tweet becomes one vector.
    pooling: Pooling,
    /// Steps of one training, whatever the way: so many times are all labels gone through that at least these are taken,
    /// but no less than `least_epochs` times.
    steps: usize,
    /// See `steps`.
    least_epochs: usize,
    /// See `steps`: and no more than this many times.
    most_epochs: usize,
    /// Learning rates of the ways, in the order of [`Way::ALL`].
    rates: [f64; 3],
    /// In the full fine-tune, the factor from each group of layers to the one before it.
    rate_decay: f64,
}

const KNOBS: Knobs = Knobs {
    labels: 200,
    pools: [50, 200, 800, 2400],
    validation: 600,
    clear: 0.5,
    max_length: 48,
    batch: 16,
    pooling: Pooling::Mean,
    steps: 300,
    least_epochs: 4,
    most_epochs: 24,
    rates: [5e-4, 1e-2, 5e-4],
    rate_decay: 0.8,
};

impl Knobs {
    fn plan(&self, way: Way, labels: usize, seed: u64) -> Plan {
        let steps = labels.div_ceil(self.batch);
        let rate = self.rates[way as usize];
        Plan {
            epochs: self.steps.div_ceil(steps).clamp(self.least_epochs, self.most_epochs),
            batch: self.batch,
            rate,
            rate_decay: if way == Way::Full { self.rate_decay } else { 1.0 },
            weight_decay: 0.01,
            label_smoothing: 0.0,
            patience: None,
            seed,
            precision: Precision::F32,
            gradient_checkpointing: false,
        }
    }
}

/// The tweets, and the model they are for.
struct Task {
    tweets: TextDataset,
    input: TextInput,
    weights: weights_import::Weights,
    dialect: Dialect,
    config: BertConfig,
}

/// The places of the tweets to learn from, to validate with, and to test on.
struct Split {
    learn: Vec<usize>,
    judge: Vec<usize>,
    test: Vec<usize>,
}

impl Task {
    fn new(knobs: &Knobs) -> Result<Self> {
        let names = Labels::new(CLASSES.map(str::to_owned).into())?;
        let mut tweets = TextDataset { texts: Vec::new(), labels: Vec::new(), names };
        for line in TWEETS.lines() {
            let mut fields = line.splitn(3, '\t').skip(1);
            let score: f64 = fields.next().unwrap_or_default().parse()?;
            if score.abs() >= knobs.clear {
                tweets.texts.push(plain(fields.next().unwrap_or_default()));
                tweets.labels.push(usize::from(score > 0.0));
            }
        }
        let tokenizer = Tokenizer::from_vocab(VOCABULARY, Casing::Uncased)?;
        let input = TextInput { tokenizer, max_length: knobs.max_length };
        let weights = weights_import::from_bytes(WEIGHTS.to_vec(), "bert-tiny")?;
        let dialect = Dialect::detect(&weights)?;
        let config = BertConfig::from_json(&serde_json::from_str(CONFIG)?)?;
        Ok(Self { tweets, input, weights, dialect, config })
    }

    /// Stratified by seed. A larger pool to learn from contains the smaller ones; what is in no part is tested on.
    fn split(&self, labels: usize, seed: u64, knobs: &Knobs) -> Result<Split> {
        let all = &self.tweets.labels;
        let judge = split::stratified(all, &[knobs.validation], seed)?.swap_remove(0);
        let free: Vec<usize> = (0..all.len()).filter(|i| !judge.contains(i)).collect();
        let classes: Vec<usize> = free.iter().map(|&i| all[i]).collect();
        let pools = split::nested(&classes, &knobs.pools, seed)?;
        let at = knobs.pools.iter().position(|&n| n == labels).unwrap_or(0);
        let learn: Vec<usize> = pools[at].iter().map(|&i| free[i]).collect();
        let test = free.into_iter().filter(|i| !learn.contains(i)).collect();
        Ok(Split { learn, judge, test })
    }

    /// The model that a way begins with.
    fn model(&self, way: Way, knobs: &Knobs, seed: u64) -> Result<TextModel> {
        let mut net = TextModel::classifier(&self.config, CLASSES.len(), knobs.pooling, &mut Init::new(seed))?;
        if way != Way::Scratch {
            net.load(&self.weights, &self.dialect)?.only_missing(&["classifier."])?;
        }
        if way == Way::Head {
            net.freeze_trunk();
        }
        Ok(net)
    }

    /// What the pretrained trunk says of texts.
    fn features(&self, knobs: &Knobs, seed: u64, batches: &TextBatches) -> Result<Features> {
        Ok(Features::of(&mut self.model(Way::Head, knobs, seed)?, texts::by_length(batches))?)
    }

    /// Learns one way, and is tested.
    fn learn(&self, way: Way, split: &Split, seed: u64, knobs: &Knobs, quiet: bool) -> Result<(Run, TextModel)> {
        let labels = split.learn.len();
        let plan = knobs.plan(way, labels, seed);
        let name = format!("{:<14} {:>5} labels", way.name(), thousands(labels as f64));
        let progress = Progress::bar_only(&name, plan.epochs, quiet);
        let [learn, judge, test] = [&split.learn, &split.judge, &split.test].map(|places| self.tweets.subset(places));
        let (learn, exam, test) = (learn?, texts::exam(&self.input, &judge?)?, texts::exam(&self.input, &test?)?);
        ukulele_tensor::memory::reset_peak();
        let start = Instant::now();
        let mut net = self.model(way, knobs, seed)?;
        let loss = CrossEntropy::default();
        let history = if way == Way::Head {
            let features = self.features(knobs, seed, &texts::exam(&self.input, &learn)?)?;
            let seen = self.features(knobs, seed, &exam)?;
            train_head(&mut net, &plan, loss, &features, &seen, &progress)?
        } else {
            if way == Way::Full {
                // A fresh head would first tear at the trunk: it begins as the one that the frozen trunk wants.
                let features = self.features(knobs, seed, &texts::exam(&self.input, &learn)?)?;
                let seen = self.features(knobs, seed, &exam)?;
                let head = Plan { rate: knobs.rates[Way::Head as usize], rate_decay: 1.0, ..plan.clone() };
                train_head_first(&mut net, &head, loss.clone(), &features, &seen, &progress)?;
            }
            let lesson = texts::lesson(&self.input, &learn, plan.batch, seed)?;
            train(
                &mut net,
                &plan,
                loss,
                &mut |epoch| Ok(texts::epoch(&lesson, epoch)),
                &mut |net| Ok(Some(texts::evaluated(net, &exam)?.score())),
                &progress,
            )?
        };
        let seconds = start.elapsed().as_secs_f64();
        if interrupt::asked() {
            return Err(Failure::Interrupted("the demo was left; nothing was saved".to_owned()));
        }
        let peak_bytes = ukulele_tensor::memory::usage().peak;
        let found = texts::evaluated(&net, &test)?;
        let run = Run::new(way, labels, seed, seconds, net.parameter_count().1, peak_bytes, &history, &found)?;
        Ok((run, net))
    }
}

/// Runs the demo.
pub(crate) fn run(args: &DemoArgs, quiet: bool) -> Result<()> {
    let knobs = &KNOBS;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("uke-demo"));
    check_writable(&out)?;
    files::check_file(args.json.as_deref())?;
    let start = Instant::now();
    let task = Task::new(knobs)?;
    let all = task.tweets.len();
    say!(
        "BERT-tiny (2 layers, hidden 128, 4.4 M parameters) learns the sentiment of tweets, three ways.\n\
         {} tweets rated clearly positive or negative by 20 people each; {} labels to learn from, {} to validate, {} to test; {}.\n",
        thousands(all as f64),
        knobs.labels,
        knobs.validation,
        thousands((all - knobs.labels - knobs.validation) as f64),
        if args.seeds == 1 { "seed 1".to_owned() } else { format!("seeds 1 to {}", args.seeds) },
    )?;
    let (mut runs, mut kept) = (Vec::new(), None);
    let pools: &[usize] = if args.no_curve { &[knobs.labels] } else { &knobs.pools };
    for seed in 1..=args.seeds {
        for &labels in pools {
            let split = task.split(labels, seed, knobs)?;
            for way in Way::ALL {
                let (run, net) = task.learn(way, &split, seed, knobs, quiet)?;
                if (way, labels, seed) == (Way::Full, knobs.labels, 1) {
                    kept = Some((net, split.test.clone()));
                }
                runs.push(run);
            }
        }
    }
    let rows = Way::ALL.iter().map(|&way| summary(&runs, way, knobs.labels)).collect::<Result<Vec<_>>>()?;
    let mut curve = Vec::new();
    for way in Way::ALL.iter().filter(|_| !args.no_curve) {
        for &labels in pools {
            curve.push(summary(&runs, *way, labels)?);
        }
    }
    let answer = answer(&rows, &curve, knobs.labels)?;
    say!("{} labels:\n{}", knobs.labels, table(&rows))?;
    if !curve.is_empty() {
        say!("How many labels is pretraining worth? Test accuracy:\n{}", curve_table(&curve, knobs))?;
    }
    say!("{answer}\n")?;

    let (net, test) = kept.ok_or_else(|| Failure::run("no model was trained"))?;
    save(net, task.input.clone(), &rows, &out)?;
    say!("The fine-tuned model, saved to {} and loaded again, says:", out.display())?;
    for line in predict::lines(&Model::load(&out)?, &SENTENCES)? {
        say!("  {line}")?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let report = report(&task, &runs, &rows, curve, answer, &test, args.seeds, seconds, knobs)?;
    let tested = all - knobs.labels - knobs.validation;
    let json = match args.json.as_deref() {
        Some(path) => Some((path, "text", results(&rows, report.curve_rows(), args.seeds, seconds, tested)?)),
        None => None,
    };
    write(&report, &out, json)?;
    say!(
        "\nReport: {}   {seconds:.0} s, {:.0} MB of memory at most\nTry: uke predict {} \"your own text\"",
        out.join("report.html").display(),
        super::megabytes(peak_memory()),
        out.display()
    )?;
    Ok(())
}

/// Saves the model with what predicting takes.
fn save(net: TextModel, input: TextInput, rows: &[Summary], out: &Path) -> Result<()> {
    let mut model = Model::new(net, &CLASSES)?;
    model.text = Some(input);
    if let Some(full) = rows.iter().find(|r| r.way == Way::Full) {
        model.metrics.insert("test_accuracy".into(), full.each[0].into());
        model.metrics.insert("labels".into(), full.labels.into());
    }
    Ok(model.save(out)?)
}

/// The answer, in words, from the numbers alone.
fn answer(rows: &[Summary], curve: &[Summary], labels: usize) -> Result<String> {
    let of = |rows: &[Summary], way: Way| rows.iter().find(|r| r.way == way).map_or(0.0, |r| r.accuracy.value);
    let [scratch, full] = [Way::Scratch, Way::Full].map(|way| of(rows, way));
    let mut text = answer_of_ways(rows, &format!("{labels} labels"));
    if curve.is_empty() {
        return Ok(text);
    }
    let points: Vec<(usize, f64)> =
        curve.iter().filter(|r| r.way == Way::Scratch).map(|r| (r.labels, r.accuracy.value)).collect();
    let most = points.last().map_or(0, |p| p.0);
    match labels_for(&points, full) {
        Some(wanted) if wanted > labels as f64 => {
            let rounded = (wanted / 50.0).round() * 50.0;
            text += &format!(
                " From scratch it takes about {} labels to get there: pretraining is worth some {} of them.",
                thousands(rounded),
                thousands(rounded - labels as f64)
            );
        }
        Some(_) => text += " From scratch it takes no more labels than that.",
        None => text += &format!(" From scratch, {} labels do not get there.", thousands(most as f64)),
    }
    let last = |way: Way| curve.iter().filter(|r| r.way == way).map(|r| r.accuracy.value).next_back().unwrap_or(0.0);
    let gap = (last(Way::Full) - last(Way::Scratch)) * 100.0;
    text += &format!(
        " With {} labels the distance is {gap:.1} points, with {labels} it is {:.1}.",
        thousands(most as f64),
        (full - scratch) * 100.0
    );
    Ok(text)
}

/// Rows of labels, columns of ways.
fn curve_table(curve: &[Summary], knobs: &Knobs) -> String {
    let mut out = format!("  {:>7} {}\n", "labels", Way::ALL.map(|w| format!("{:>18}", w.name())).join(""));
    for labels in knobs.pools {
        let cell = |way: Way| {
            let row = curve.iter().find(|r| r.way == way && r.labels == labels);
            row.map_or(String::new(), |r| {
                format!("{:>10.3} ±{:.3} ", r.accuracy.value, (r.accuracy.high - r.accuracy.low) / 2.0)
            })
        };
        out +=
            &format!("  {:>7} {}\n", thousands(labels as f64), Way::ALL.map(|w| format!("{:>18}", cell(w))).join(""));
    }
    out
}

/// Everything on one page.
fn report(
    task: &Task,
    runs: &[Run],
    rows: &[Summary],
    curve: Vec<Summary>,
    answer: String,
    test: &[usize],
    seeds: u64,
    seconds: f64,
    knobs: &Knobs,
) -> Result<Report> {
    let shown: Vec<&Run> = runs.iter().filter(|r| r.labels == knobs.labels && r.seed == 1).collect();
    let Some(full) = shown.iter().find(|r| r.way == Way::Full) else {
        return Err(Failure::run("no full fine-tune was run"));
    };
    let truth = |k: usize| task.tweets.labels[test[k]];
    let sample = |k: usize| Sample {
        content: Content::Text(task.tweets.texts[test[k]].clone()),
        truth: CLASSES[truth(k)].to_owned(),
        predicted: CLASSES[full.predictions[k].0].to_owned(),
        probability: full.predictions[k].1,
    };
    let samples = super::shown_samples(full, &truth, 8, 4).into_iter().map(sample).collect();
    let plan = |labels: usize| knobs.plan(Way::Full, labels, 1);
    let learned = knobs.pools.iter().filter(|&&n| runs.iter().any(|run| run.labels == n));
    let epochs: Vec<String> = learned.map(|&n| format!("{} at {}", plan(n).epochs, thousands(n as f64))).collect();
    let of_seeds = if seeds == 1 {
        "one seed; intervals are Wilson's".to_owned()
    } else {
        format!("means over {seeds} seeds; intervals are Student's over seeds")
    };
    let mut facts = vec![
        ("Weights", "BERT-tiny, pretrained on masked words; 2 layers, hidden 128, 2 heads, 30,522 word pieces; Apache-2.0".to_owned()),
        ("Data", format!("{} tweets whose mean rating by 20 people is at least {} from neutral (Hutto and Gilbert 2014; MIT)", thousands(task.tweets.len() as f64), knobs.clear)),
        ("Split", format!("stratified by seed: {} to validate, then the labels to learn from (each pool contains the smaller ones), all the rest to test; {of_seeds}", knobs.validation)),
        ("Budget", format!("the same for all three ways: batches of {}, epochs {}; the epoch with the best validation is kept", knobs.batch, epochs.join(", "))),
        ("From scratch", format!("the same network with fresh weights; AdamW, rate {:e}", knobs.rates[0])),
        ("Head only", format!("the trunk as it is, its features ({} over the tokens) computed once; a linear head; AdamW, rate {:e}", knobs.pooling.name(), knobs.rates[1])),
        ("Full fine-tune", format!("begins with the head of the line above; everything learns; AdamW, rate {:e}, times {} for each layer further down", knobs.rates[2], knobs.rate_decay)),
        ("Schedule", "a tenth of the steps warms up, then the rate falls straight to 0; gradients clipped to norm 1; weight decay 0.01".to_owned()),
    ];
    if seeds > 1 {
        let each = |way: Way| rows.iter().find(|r| r.way == way).map(|r| r.each.clone()).unwrap_or_default();
        let gain = paired_difference(&each(Way::Full), &each(Way::Scratch))?;
        facts.push((
            "Full above scratch",
            format!(
                "{:.1} points (95% interval of the paired difference {:.1} to {:.1})",
                gain.value * 100.0,
                gain.low * 100.0,
                gain.high * 100.0
            ),
        ));
    }
    facts.push((
        "Took",
        format!(
            "{seconds:.0} seconds for {} trainings on {} threads; at most {:.0} MB of memory",
            runs.len(),
            rayon::current_num_threads(),
            super::megabytes(peak_memory())
        ),
    ));
    let note = "Every point is a model of its own, tested on all tweets that it has not seen. What pretraining gives is largest where labels are few; with more of them, training from scratch catches up.";
    Ok(Report {
        title: "What is pretraining worth? Sentiment of tweets".to_owned(),
        answer,
        task: format!(
            "BERT-tiny learns whether a tweet is positive or negative from {} labelled ones: from scratch, with a linear head on the pretrained trunk, and by fine-tuning all of it. Same labels, same epochs, same test.",
            knobs.labels
        ),
        ways: Way::ALL.iter().map(|&way| summary(runs, way, knobs.labels)).collect::<Result<_>>()?,
        label_curve: (!curve.is_empty()).then(|| Labelled {
            chart: super::charts::labels(&curve),
            rows: curve,
            note: note.to_owned(),
        }),
        learning: super::charts::learning(&shown),
        learning_note: format!(
            "The three ways with {} labels{}. From scratch the loss falls as well, but what is learned are the {} tweets, not the language. A dot marks the epoch that was kept.",
            knobs.labels,
            if seeds > 1 { ", seed 1" } else { "" },
            knobs.labels
        ),
        classes: CLASSES.map(str::to_owned).into(),
        confusion: full.test.clone(),
        samples,
        facts,
    })
}

/// A tweet without the five entities of HTML, which the data has from the web.
fn plain(text: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.trim().to_owned(), |text, (entity, sign)| text.replace(entity, sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_assets_are_what_the_demo_says() -> Result<()> {
        let task = Task::new(&KNOBS)?;
        assert_eq!(task.tweets.len(), 3432);
        assert_eq!(task.tweets.labels.iter().sum::<usize>(), 2345);
        assert!(task.tweets.texts.iter().all(|t| !t.is_empty() && !t.contains("&amp;")));
        Ok(())
    }

    #[test]
    fn all_ways_have_one_budget() {
        for labels in KNOBS.pools {
            let plans = Way::ALL.map(|way| KNOBS.plan(way, labels, 1));
            assert!(plans.iter().all(|p| (p.epochs, p.batch) == (plans[0].epochs, plans[0].batch)));
        }
    }
}
