//! The doctor: what smells in a weights file.
//!
//! Nothing here is an error; a finding is something that a person should know before they trust the weights.

use crate::{Dialect, Entry, Options, Result, Weights, guess, quantised, read};
use std::collections::BTreeSet;
use std::fmt;

/// Something that smells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind: `nan`, `infinite`, `zero`, `constant`, `fresh`, `fresh_statistics`, `optimiser`, `gamma`, `background`, `channels`,
    /// `swapped_channels`, `twins`, `quantised`, `unread`.
    pub kind: &'static str,
    /// What was seen, and what it means.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn finding(kind: &'static str, message: String) -> Finding {
    Finding { kind, message }
}

/// What the values of one tensor are like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// The least finite value; 0 if there is none.
    pub min: f32,
    /// The greatest finite value; 0 if there is none.
    pub max: f32,
    /// Mean of the finite values.
    pub mean: f64,
    /// Standard deviation of the finite values.
    pub deviation: f64,
    /// How many are not a number.
    pub nan: usize,
    /// How many are infinite.
    pub infinite: usize,
}

impl Statistics {
    /// Of these values: sums in f64, two passes.
    pub fn of(values: &[f32]) -> Self {
        let finite = || values.iter().filter(|v| v.is_finite());
        let count = finite().count().max(1) as f64;
        let mean = finite().map(|&v| f64::from(v)).sum::<f64>() / count;
        let spread = finite().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
        let (min, max) = finite().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
        let none = min > max;
        Self {
            min: if none { 0.0 } else { min },
            max: if none { 0.0 } else { max },
            mean,
            deviation: spread.sqrt(),
            nan: values.iter().filter(|v| v.is_nan()).count(),
            infinite: values.iter().filter(|v| v.is_infinite()).count(),
        }
    }

    /// Whether the values look like many random ones between -b and b, whose deviation is b / √3. Trained weights have tails.
    fn is_uniform(&self) -> bool {
        let (low, high) = (f64::from(self.min), f64::from(self.max));
        high > 0.0 && (low + high).abs() < 0.01 * high && (self.deviation * 3f64.sqrt() / high - 1.0).abs() < 0.02
    }
}

/// What smells in the values of one tensor of floating point numbers.
pub fn examine(entry: &Entry, values: &Statistics) -> Option<Finding> {
    let Entry { name, .. } = entry;
    let many = |count: usize| if count == 1 { "1 element".to_string() } else { format!("{count} elements") };
    if values.nan > 0 {
        let message = format!(
            "{name}: {} of {} not a number (NaN): training went wrong, or the file is broken",
            many(values.nan),
            entry.numel()
        );
        return Some(finding("nan", message));
    }
    if values.infinite > 0 {
        return Some(finding("infinite", format!("{name}: {} infinite", many(values.infinite))));
    }
    if entry.shape.len() >= 2 && entry.numel() > 1 && values.min == values.max {
        return Some(match values.min == 0.0 {
            true => finding("zero", format!("{name}: all zero: never trained, or pruned away")),
            false => finding("constant", format!("{name}: all {}: never trained", values.min)),
        });
    }
    if entry.shape.len() >= 2 && entry.numel() >= 1000 && values.is_uniform() {
        let message =
            format!("{name}: evenly spread from {} to {}, as layers begin: never trained", values.min, values.max);
        return Some(finding("fresh", message));
    }
    None
}

/// What smells in the statistics of batch norms, given the values of all tensors: those that never saw a batch have a mean of
/// 0 and a variance of 1.
pub fn examine_norms<'e>(tensors: impl Iterator<Item = (&'e Entry, Statistics)>) -> Option<Finding> {
    let (mut fresh, mut all, mut example) = (0, 0, None);
    for (entry, values) in tensors {
        let name = entry.name.strip_suffix(":0").unwrap_or(&entry.name);
        let begin = match name.rsplit(['.', '/']).next() {
            Some("running_mean" | "moving_mean") => 0.0,
            Some("running_var" | "moving_variance") => 1.0,
            _ => continue,
        };
        all += 1;
        if values.min == begin && values.max == begin {
            fresh += 1;
            example.get_or_insert(&entry.name);
        }
    }
    let example = example?;
    let message = format!(
        "{fresh} of {all} statistics of batch norms are as they begin (mean 0, variance 1), e.g. {example}: never trained"
    );
    Some(finding("fresh_statistics", message))
}

/// Parts of names by which training programs mark the state of their optimisers.
const OPTIMISER: &[&str] = &[
    "adam_m",
    "adam_v",
    "exp_avg",
    "exp_avg_sq",
    "momentum_buffer",
    "Momentum",
    "RMSProp",
    "optimizer",
    "optimizer_weights",
    "optimizer_state",
    "Adam",
    "Adam_1",
    ".OPTIMIZER_SLOT",
];

/// What smells in the names and shapes of a file.
pub fn examine_names(weights: &Weights, dialect: Option<&Dialect>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let entries = weights.entries();
    let is_state = |e: &&Entry| e.name.split(['/', '.']).any(|part| OPTIMISER.contains(&part));
    let state: Vec<&Entry> = entries.iter().filter(is_state).collect();
    if let Some(first) = state.first() {
        let message =
            format!("{} tensors are state of an optimiser, e.g. {}: no model needs them", state.len(), first.name);
        findings.push(finding("optimiser", message));
    }
    findings.extend(quantised::words(weights).map(|message| finding("quantised", message)));
    let skipped = || weights.metadata().iter().filter_map(|(key, why)| Some((key.strip_prefix("skipped.")?, why)));
    if let Some((first, why)) = skipped().next() {
        let message = format!("{} tensors are not read, e.g. {first}: {why}", skipped().count());
        findings.push(finding("unread", message));
    }
    let names: BTreeSet<&str> = entries.iter().map(|e| e.name.as_str()).collect();
    let norms = [(".running_var", ".weight"), ("/moving_variance", "/gamma"), ("/moving_variance:0", "/gamma:0")];
    let bare: Vec<&str> = entries
        .iter()
        .filter_map(|e| norms.iter().find_map(|(of, scale)| Some((e.name.strip_suffix(of)?, *scale))))
        .filter(|(norm, scale)| !names.contains(format!("{norm}{scale}").as_str()))
        .map(|(norm, _)| norm)
        .collect();
    if let Some(first) = bare.first() {
        let message = format!("{} batch norms have no scale (gamma), e.g. {first}: it is taken to be 1", bare.len());
        findings.push(finding("gamma", message));
    }
    let Some(dialect) = dialect else { return findings };
    let classes = guess(weights, dialect).and_then(|found| found.classes());
    if dialect.knobs.class_offset > 0 || classes == Some(1001) {
        let count = classes.map_or_else(|| "the classes".to_string(), |n| format!("{n} classes"));
        findings
            .push(finding("background", format!("{count}: class 0 is the background, the first real one is class 1")));
    }
    if dialect.preprocess().ends_with("_bgr") {
        let message = "the first convolution wants the colours in the order blue, green, red".to_string();
        findings.push(finding("channels", message));
    }
    findings
}

/// By how much the weights of one outer colour must exceed those of the other to tell the order.
const CLEARLY: f64 = 1.05;

/// Whether the first convolution expects the colours in another order than the dialect feeds them.
///
/// Photographs vary more in red than in blue, and networks that learned from them weigh red more: with w the first kernel
/// (out, 3, H, W), |w[:, 0]| > |w[:, 2]| tells red, green, blue, the reverse blue, green, red. It is a sign, not a proof.
///
/// # Errors
/// The kernel cannot be read.
pub fn examine_colours(weights: &Weights, dialect: &Dialect) -> Result<Option<Finding>> {
    let targets = dialect.targets(weights);
    let first = targets.into_iter().find(|(_, shape)| matches!(shape[..], [_, 3, h, w] if h > 1 && w > 1));
    let Some((name, shape)) = first else { return Ok(None) };
    let options = Options { any_architecture: true, ..Options::default() };
    let (mut kernels, _) = read(&[(name.clone(), shape.clone())], weights, dialect, options)?;
    let Some(kernel) = kernels.remove(&name) else { return Ok(None) };
    let mut energy = [0.0f64; 3];
    for (i, w) in kernel.to_vec().into_iter().enumerate() {
        energy[i / (shape[2] * shape[3]) % 3] += f64::from(w).powi(2);
    }
    let [first, _, last] = energy.map(f64::sqrt);
    let feeds_bgr = dialect.preprocess().ends_with("_bgr");
    let (looks, feeds) = match (first > CLEARLY * last, last > CLEARLY * first) {
        (true, _) if feeds_bgr => ("red, green, blue", "blue, green, red"),
        (_, true) if !feeds_bgr => ("blue, green, red", "red, green, blue"),
        _ => return Ok(None),
    };
    let message = format!(
        "{name} weighs its first channel {:.2} times as much as its last, as networks for {looks} do, while this naming \
         feeds {feeds}: try the other order of colours",
        first / last
    );
    Ok(Some(finding("swapped_channels", message)))
}
