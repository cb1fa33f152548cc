//! `uke verify`: where a network's numbers part from those of its original.

use crate::args::VerifyArgs;
use crate::errors::{Failure, Result, printable};
use crate::files;
use crate::network::Network;
use crate::output::say;
use serde_json::json;
use ukulele_layers::{Module, Pass, Tensor};
use weights_import::Weights;

/// One tensor beside the original's.
struct Row {
    name: String,
    error: f64,
}

/// Runs the command.
pub(crate) fn run(args: &VerifyArgs, quiet: bool) -> Result<()> {
    files::check_file(args.json.as_deref())?;
    let (input, expected) = (weights_import::open(&args.input)?, weights_import::open(&args.expect)?);
    let net = Network::open(&weights_import::open(&args.weights)?, args.model.as_deref())?;
    let mut pass = Pass::eval();
    let alone = expected.format() == "npy";
    let mut strangers = Vec::new();
    if !alone {
        strangers = unknown(&net, &expected)?;
        pass.watch_all(&net);
    }
    let output = net.run(&input, &mut pass)?;

    let mut rows = Vec::new();
    let mut add = |name: &str, ours: &Tensor| -> Result<()> {
        let theirs = if alone { crate::network::only(&expected)? } else { name };
        if expected.entry(theirs).is_some() {
            rows.push(Row { name: name.to_owned(), error: error(name, ours, &expected.get(theirs)?)? });
        }
        Ok(())
    };
    for (name, value) in pass.taps() {
        add(name, value.tensor())?;
    }
    add("output", &output)?;
    let agrees = |row: &&Row| row.error <= args.tolerance;
    let first = rows.iter().find(|row| !agrees(row));
    if let Some(path) = &args.json {
        let list: Vec<_> = rows.iter().map(|row| json!({ "name": row.name, "error": row.error })).collect();
        let said = json!({
            "tolerance": args.tolerance, "agrees": first.is_none(), "first": first.map(|row| &row.name), "rows": list,
            "not_compared": strangers,
        });
        files::write_json(path, &said)?;
    }
    if !quiet {
        for row in &rows {
            let mark = if agrees(&row) { "" } else { "   <- off" };
            say!("{}", printable(&format!("{:10.1e}  {}{mark}", row.error, row.name)))?;
        }
    }
    if let Some(name) = strangers.first() {
        let message = format!("not compared: {} array(s) that are no modules here, such as `{name}`", strangers.len());
        eprintln!("{}", printable(&message));
    }
    match first {
        None => {
            say!("{} of {} agree within {:e}, relative in norm", rows.len(), rows.len(), args.tolerance)
        }
        Some(row) => Err(Failure::run(format!(
            "`{}` is the first to part from the original: off by {:.1e}, relative in norm; {} of {} agree within {:e}",
            row.name,
            row.error,
            rows.iter().filter(agrees).count(),
            rows.len(),
            args.tolerance
        ))),
    }
}

/// The names expected that nothing here goes by, such as an activation that is fused with what is before it.
fn unknown(net: &Network, expected: &Weights) -> Result<Vec<String>> {
    let mut modules = vec!["output".to_owned()];
    net.modules("", &mut |name, _| modules.push(name.to_owned()));
    let names = expected.entries().iter().map(|entry| &entry.name);
    let strangers: Vec<String> = names.filter(|name| !modules.contains(name)).cloned().collect();
    match strangers.first() {
        None if expected.entries().is_empty() => Err(Failure::run(format!("{}: no arrays", expected.source()))),
        // The pass says which names are near.
        Some(name) if strangers.len() == expected.entries().len() => match Pass::eval().watch(net, &[name]) {
            Err(error) => Err(Failure::run(format!("{}: {error}; `output` is the output", expected.source()))),
            Ok(()) => Ok(strangers),
        },
        _ => Ok(strangers),
    }
}

/// |ours - theirs| / |theirs| in norm. Images may be given as (N, H, W, C), as Keras has them.
fn error(name: &str, ours: &Tensor, theirs: &Tensor) -> Result<f64> {
    let channels_last = ours.rank() == 4 && ours.shape() != theirs.shape();
    let turned = if channels_last { ours.permute(&[0, 2, 3, 1])? } else { ours.clone() };
    if turned.shape() != theirs.shape() {
        return Err(Failure::run(format!(
            "`{name}` has the shape {:?} here, the original's {:?}",
            ours.shape(),
            theirs.shape()
        )));
    }
    let (mut off, mut norm) = (0.0, 0.0);
    for (a, b) in turned.to_vec().into_iter().zip(theirs.to_vec()) {
        off += (f64::from(a) - f64::from(b)).powi(2);
        norm += f64::from(b).powi(2);
    }
    // What is no number agrees with nothing.
    let error = (off / if norm > 0.0 { norm } else { 1.0 }).sqrt();
    Ok(if error.is_nan() { f64::INFINITY } else { error })
}
