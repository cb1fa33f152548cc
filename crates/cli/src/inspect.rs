//! `uke inspect`: what is in a weights file.

use crate::args::InspectArgs;
use crate::errors::{Failure, Result, printable};
use crate::output::say;
use crate::progress::counter;
use crate::report::thousands;
use crate::{files, interrupt};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use weights_import::{
    Dialect, Finding, Statistics, Weights, examine, examine_colours, examine_names, examine_norms, guess,
};

/// What is known of one tensor.
struct Tensor {
    sha256: Option<String>,
    statistics: Option<Statistics>,
}

/// Runs the command.
pub(crate) fn run(args: &InspectArgs, quiet: bool) -> Result<()> {
    let to_stdout = args.json.as_ref().is_some_and(|path| path.as_os_str() == "-");
    if !to_stdout {
        files::check_file(args.json.as_deref())?;
    }
    let weights = weights_import::open(&args.file)?;
    let dialect = Dialect::detect(&weights);
    let mut findings = examine_names(&weights, dialect.as_ref().ok());
    let tensors = match args.index_only {
        true => weights.entries().iter().map(|_| Tensor { sha256: None, statistics: None }).collect(),
        false => values(&weights, dialect.as_ref().ok(), &mut findings, quiet || to_stdout)?,
    };
    if to_stdout {
        return say!("{:#}", json_of(&weights, &dialect, &tensors, &findings));
    }
    if let Some(path) = args.json.as_deref() {
        files::write_json(path, &json_of(&weights, &dialect, &tensors, &findings))?;
    }
    say!("{}", printable(&text(&weights, &dialect, &tensors, &findings)).trim_end())
}

/// Reads every tensor once.
fn values(
    weights: &Weights,
    dialect: Option<&Dialect>,
    findings: &mut Vec<Finding>,
    quiet: bool,
) -> Result<Vec<Tensor>> {
    let bar = counter("tensors", weights.entries().len(), quiet);
    let mut tensors = Vec::new();
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for entry in weights.entries() {
        if interrupt::asked() {
            return Err(Failure::Interrupted("nothing was written".to_owned()));
        }
        bar.inc(1);
        let raw = match weights.raw(&entry.name) {
            Ok(raw) => raw,
            Err(error) => {
                findings.push(Finding { kind: "unreadable", message: error.to_string() });
                tensors.push(Tensor { sha256: None, statistics: None });
                continue;
            }
        };
        let sha256: String = Sha256::digest(&raw.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let statistics = match entry.dtype.is_float() {
            true => raw.to_f32(&entry.name).ok().map(|values| Statistics::of(&values)),
            false => None,
        };
        findings.extend(statistics.as_ref().and_then(|s| examine(entry, s)));
        if entry.shape.len() >= 2 && entry.numel() > 1 && statistics.is_some_and(|s| s.min < s.max) {
            match seen.get(&sha256) {
                Some(twin) => findings.push(Finding {
                    kind: "twins",
                    message: format!("{} has the same values as {twin}: shared (tied) weights", entry.name),
                }),
                None => drop(seen.insert(sha256.clone(), &entry.name)),
            }
        }
        tensors.push(Tensor { sha256: Some(sha256), statistics });
    }
    bar.finish_and_clear();
    let known = weights.entries().iter().zip(&tensors).filter_map(|(entry, tensor)| Some((entry, tensor.statistics?)));
    findings.extend(examine_norms(known));
    if let Some(dialect) = dialect {
        findings.extend(examine_colours(weights, dialect).ok().flatten());
    }
    Ok(tensors)
}

type Detected = weights_import::Result<Dialect>;

fn text(weights: &Weights, dialect: &Detected, tensors: &[Tensor], findings: &[Finding]) -> String {
    let mut out = format!("{}\n", weights.source());
    let _ = writeln!(out, "  format        {}", weights.format());
    match dialect {
        Ok(dialect) => {
            let _ = writeln!(out, "  dialect       {} ({})", dialect.name(), dialect.evidence());
            let architecture = guess(weights, dialect).map_or_else(|| "not recognised".to_owned(), |a| a.to_string());
            let _ = writeln!(out, "  architecture  {architecture}");
            if dialect.preprocess() != "none" {
                let _ = writeln!(out, "  images        {}", dialect.preprocess());
            }
        }
        Err(error) => {
            let _ = writeln!(out, "  dialect       none: {error}");
        }
    }
    let types: Vec<String> = weights.dtypes().iter().map(|(dtype, count)| format!("{count} of {dtype}")).collect();
    let _ = writeln!(out, "  parameters    {}", thousands(weights.parameters() as f64));
    let _ = writeln!(out, "  tensors       {} ({})\n", weights.entries().len(), types.join(", "));
    let widest = weights.entries().iter().map(|e| e.name.chars().count()).max().unwrap_or(0).min(72);
    for (entry, tensor) in weights.entries().iter().zip(tensors) {
        let shape = format!("{:?}", entry.shape);
        let _ = write!(out, "{:<widest$}  {:>5} {shape:<20}", entry.name, entry.dtype.to_string());
        if let Some(s) = tensor.statistics {
            let _ =
                write!(out, " {:>11.4e} to {:>11.4e}, mean {:>11.4e} sd {:>10.4e}", s.min, s.max, s.mean, s.deviation);
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    if !findings.is_empty() {
        out.push_str("\nWhat smells:\n");
    }
    for finding in findings {
        let _ = writeln!(out, "  {finding}");
    }
    out
}

fn json_of(weights: &Weights, dialect: &Detected, tensors: &[Tensor], findings: &[Finding]) -> Json {
    let known = dialect.as_ref().ok();
    let architecture = known.and_then(|dialect| guess(weights, dialect));
    let tensors: Vec<Json> = weights
        .entries()
        .iter()
        .zip(tensors)
        .map(|(entry, tensor)| {
            let mut object = json!({"name": entry.name, "shape": entry.shape, "dtype": entry.dtype.to_string()});
            if let Some(sha256) = &tensor.sha256 {
                object["sha256"] = json!(sha256);
            }
            object
        })
        .collect();
    json!({
        "file": weights.source(),
        "format": weights.format(),
        "dialect": known.map(Dialect::name),
        "evidence": known.map(Dialect::evidence),
        "architecture": architecture.as_ref().map(weights_import::Architecture::name),
        "configuration": architecture.as_ref().map(ToString::to_string),
        "preprocess": known.map(Dialect::preprocess),
        "parameters": weights.parameters(),
        "metadata": weights.metadata(),
        "findings": findings.iter().map(|f| json!({"kind": f.kind, "message": f.message})).collect::<Vec<_>>(),
        "tensors": tensors,
    })
}
