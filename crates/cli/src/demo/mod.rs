//! The demos: the same task learned three ways at the same budget, and what the difference is.

mod charts;
pub(crate) mod image;
pub(crate) mod text;

use crate::args::{DemoArgs, DemoKind};
use crate::errors::{Failure, Result};
use crate::report::Report;
use crate::{files, memory};
use serde_json::{Map, Value as Json, json};
use std::path::Path;
use ukulele_training::{Confusion, Evaluation, History, Interval, mean_interval, paired_difference, wilson};

/// Runs a demo.
pub(crate) fn run(args: &DemoArgs, quiet: bool) -> Result<()> {
    match args.kind {
        DemoKind::Text => text::run(args, quiet),
        DemoKind::Image => image::run(args, quiet),
    }
}

/// A way to learn the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The same architecture with fresh weights.
    Scratch,
    /// The pretrained trunk as it is, and a fresh linear head that learns.
    Head,
    /// The pretrained trunk and a fresh head, all learning, lower layers at smaller rates.
    Full,
}

impl Way {
    /// All, from the least use of pretraining to the most.
    pub(crate) const ALL: [Self; 3] = [Self::Scratch, Self::Head, Self::Full];

    /// The name in JSON, and the CSS class.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Scratch => "scratch",
            Self::Head => "head",
            Self::Full => "full",
        }
    }

    /// The name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scratch => "from scratch",
            Self::Head => "head only",
            Self::Full => "full fine-tune",
        }
    }
}

/// One epoch of a training.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Counted from 1.
    pub(crate) epoch: usize,
    /// Mean training loss.
    pub(crate) loss: f64,
    /// Accuracy on the validation set.
    pub(crate) validation: f64,
}

/// One training and its test.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// How it learned.
    pub(crate) way: Way,
    /// From how many labels.
    pub(crate) labels: usize,
    /// With which seed.
    pub(crate) seed: u64,
    /// Labels against predictions on the test set.
    pub(crate) test: Confusion,
    /// Time of training and validation.
    pub(crate) seconds: f64,
    /// Numbers that learned.
    pub(crate) trainable: usize,
    /// Most memory that tensors held at once.
    pub(crate) peak_bytes: usize,
    /// Its epochs.
    pub(crate) history: Vec<Moment>,
    /// The epoch, an index of `history`, whose weights were kept.
    pub(crate) best: usize,
    /// For each test sample the class predicted and its probability.
    pub(crate) predictions: Vec<(usize, f32)>,
}

impl Run {
    /// Of a training that is over, and what it says of the test set.
    pub(crate) fn new(
        way: Way,
        labels: usize,
        seed: u64,
        seconds: f64,
        trainable: usize,
        peak_bytes: usize,
        history: &History,
        found: &Evaluation,
    ) -> Result<Self> {
        let (history, best) = moments(history);
        let predictions =
            found.predictions.iter().zip(&found.probabilities).map(|(&class, p)| (class, p[class])).collect();
        Ok(Self {
            way,
            labels,
            seed,
            test: found.confusion()?,
            seconds,
            trainable,
            peak_bytes,
            history,
            best,
            predictions,
        })
    }
}

/// The runs of one way and number of labels, over all seeds.
pub(crate) struct Summary {
    /// How it learned.
    pub(crate) way: Way,
    /// From how many labels.
    pub(crate) labels: usize,
    /// Test accuracy: over seeds the mean with Student's interval, for a single seed the share with Wilson's.
    pub(crate) accuracy: Interval,
    /// Accuracy of each seed.
    pub(crate) each: Vec<f64>,
    /// Mean over seeds.
    pub(crate) macro_f1: f64,
    /// Mean over seeds.
    pub(crate) seconds: f64,
    /// Numbers that learned.
    pub(crate) trainable: usize,
    /// The most over seeds.
    pub(crate) peak_bytes: usize,
}

/// Summarises the runs of one way and number of labels.
///
/// # Errors
/// There are none.
pub(crate) fn summary(runs: &[Run], way: Way, labels: usize) -> Result<Summary> {
    let mine: Vec<&Run> = runs.iter().filter(|r| r.way == way && r.labels == labels).collect();
    let [first, ..] = mine.as_slice() else {
        return Err(Failure::run(format!("no run {} with {labels} labels", way.name())));
    };
    let each: Vec<f64> = mine.iter().map(|r| r.test.accuracy()).collect();
    let mean = |f: &dyn Fn(&Run) -> f64| mine.iter().map(|r| f(r)).sum::<f64>() / mine.len() as f64;
    Ok(Summary {
        way,
        labels,
        accuracy: match each.len() {
            1 => wilson(first.test.correct(), first.test.total()),
            _ => mean_interval(&each)?,
        },
        macro_f1: mean(&|r| r.test.macro_f1()),
        seconds: mean(&|r| r.seconds),
        trainable: first.trainable,
        peak_bytes: mine.iter().map(|r| r.peak_bytes).max().unwrap_or(0),
        each,
    })
}

/// The table of the three ways, for the terminal.
pub(crate) fn table(rows: &[Summary]) -> String {
    let mut out = format!(
        "  {:<15} {:>8}   {:<15} {:>7} {:>9} {:>12} {:>8}\n",
        "", "accuracy", "95% interval", "macro F1", "seconds", "trainable", "memory"
    );
    for row in rows {
        let interval = format!("{:.3} to {:.3}", row.accuracy.low, row.accuracy.high);
        out += &format!(
            "  {:<15} {:>8.3}   {:<15} {:>8.3} {:>9.1} {:>12} {:>5.0} MB\n",
            row.way.name(),
            row.accuracy.value,
            interval,
            row.macro_f1,
            row.seconds,
            crate::report::thousands(row.trainable as f64),
            megabytes(row.peak_bytes),
        );
    }
    out
}

/// Bytes as megabytes of 2²⁰.
pub(crate) fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The most memory this process held at once, in bytes, as Linux counts it; elsewhere what tensors held.
pub(crate) fn peak_memory() -> usize {
    memory::peak().unwrap_or_else(|| ukulele_tensor::memory::usage().peak)
}

/// The object that `--json` writes below `text` or `image`.
pub(crate) fn results(rows: &[Summary], curve: &[Summary], seeds: u64, seconds: f64, test_size: usize) -> Result<Json> {
    let mut object = Map::new();
    for row in rows {
        object.insert(row.way.key().to_owned(), numbers(row));
    }
    let each = |way: Way| rows.iter().find(|r| r.way == way).map(|r| r.each.clone()).unwrap_or_default();
    if seeds > 1 {
        let gain = paired_difference(&each(Way::Full), &each(Way::Scratch))?;
        object.insert("full_minus_scratch".into(), json!({"mean": gain.value, "low": gain.low, "high": gain.high}));
    }
    if !curve.is_empty() {
        let mut by_labels = Map::new();
        for row in curve {
            let entry = by_labels.entry(row.labels.to_string()).or_insert_with(|| json!({}));
            entry[row.way.key()] = numbers(row);
        }
        object.insert("by_labels".into(), by_labels.into());
    }
    object.insert("labels".into(), rows.first().map_or(0, |r| r.labels).into());
    object.insert("test_size".into(), test_size.into());
    object.insert("seeds".into(), seeds.into());
    object.insert("seconds".into(), seconds.into());
    object.insert("peak_rss_mb".into(), megabytes(peak_memory()).into());
    Ok(object.into())
}

fn numbers(row: &Summary) -> Json {
    json!({
        "accuracy": row.accuracy.value,
        "low": row.accuracy.low,
        "high": row.accuracy.high,
        "macro_f1": row.macro_f1,
        "each_seed": row.each,
        "seconds": row.seconds,
        "trainable_parameters": row.trainable,
        "peak_tensor_mb": megabytes(row.peak_bytes),
    })
}

/// Writes the report, and the JSON file if one is wanted.
pub(crate) fn write(report: &Report, out: &Path, json: Option<(&Path, &str, Json)>) -> Result<()> {
    files::write(&out.join("report.html"), report.html().as_bytes())?;
    match json {
        Some((path, key, value)) => files::write_json(path, &json!({ key: value })),
        None => Ok(()),
    }
}

/// Samples for the report, as places in the test set: some at even distances, and the mistakes that the model was surest of.
pub(crate) fn shown_samples(run: &Run, truth: &dyn Fn(usize) -> usize, some: usize, mistakes: usize) -> Vec<usize> {
    let all = run.predictions.len();
    let mut shown: Vec<usize> = (0..some.min(all)).map(|i| i * all / some.min(all)).collect();
    let mut wrong: Vec<usize> = (0..all).filter(|k| run.predictions[*k].0 != truth(*k) && !shown.contains(k)).collect();
    wrong.sort_by(|&a, &b| run.predictions[b].1.total_cmp(&run.predictions[a].1).then(a.cmp(&b)));
    shown.extend(wrong.into_iter().take(mistakes));
    shown
}

/// The epochs of a training, and which of them was kept.
fn moments(history: &History) -> (Vec<Moment>, usize) {
    let all: Vec<Moment> = history
        .epochs
        .iter()
        .map(|e| Moment { epoch: e.epoch, loss: e.loss, validation: e.validation.map_or(f64::NAN, |v| v.accuracy) })
        .collect();
    let best = history.best.map_or(all.len().saturating_sub(1), |best| best.epoch.saturating_sub(1));
    (all, best)
}

/// The comparison of the three ways, in words.
pub(crate) fn answer_of_ways(rows: &[Summary], with: &str) -> String {
    let [scratch, head, full] =
        Way::ALL.map(|way| rows.iter().find(|r| r.way == way).map_or(0.0, |r| r.accuracy.value * 100.0));
    format!(
        "With {with}, fine-tuning pretrained weights reaches {full:.1}%, a linear head on the frozen trunk {head:.1}%, and the same network from scratch {scratch:.1}%."
    )
}

/// How many labels training from scratch wants for this accuracy: read off its curve, on a logarithmic scale of labels.
/// `None` if the curve does not reach it.
pub(crate) fn labels_for(curve: &[(usize, f64)], accuracy: f64) -> Option<f64> {
    if curve.first().is_some_and(|first| first.1 >= accuracy) {
        return curve.first().map(|first| first.0 as f64);
    }
    curve.windows(2).find(|pair| pair[0].1 < accuracy && pair[1].1 >= accuracy).map(|pair| {
        let share = (accuracy - pair[0].1) / (pair[1].1 - pair[0].1);
        let (a, b) = ((pair[0].0 as f64).ln(), (pair[1].0 as f64).ln());
        (a + share * (b - a)).exp()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worth_is_read_off_the_curve() {
        let curve = [(100, 0.6), (1000, 0.8)];
        assert_eq!(labels_for(&curve, 0.5), Some(100.0));
        assert!(labels_for(&curve, 0.7).is_some_and(|n| (n - 316.0).abs() < 1.0));
        assert_eq!(labels_for(&curve, 0.9), None);
    }
}
