//! `uke evaluate`: how good a model is on labelled data.

use crate::args::EvaluateArgs;
use crate::errors::{Failure, Result};
use crate::files;
use crate::outcome::Outcome;
use crate::photos;
use crate::texts::{self, Cutter};
use ukulele_data::{Labels, TextDataset};
use ukulele_training::{Checkpoint, Evaluation, Network, evaluate};

/// Runs the command.
pub(crate) fn run(args: &EvaluateArgs) -> Result<()> {
    let checkpoint = Checkpoint::load(&args.model)?;
    files::check_file(args.json.as_deref())?;
    let found = match &checkpoint.network {
        Network::Bert(_) => of_texts(&checkpoint, args)?,
        Network::Image(_) => of_photos(&checkpoint, args)?,
    };
    let outcome = Outcome::of(&found, &checkpoint.labels)?;
    print!("{}", outcome.text(&args.data.display().to_string()));
    match args.json.as_deref() {
        Some(path) => files::write_json(path, &outcome.json()),
        None => Ok(()),
    }
}

fn of_texts(checkpoint: &Checkpoint, args: &EvaluateArgs) -> Result<Evaluation> {
    let Network::Bert(net) = &checkpoint.network else {
        return Err(Failure::run(format!("{}: this model is none for texts", args.model.display())));
    };
    let names = Labels::new(checkpoint.labels.clone())?;
    let table = texts::table(&args.data)?;
    let data = TextDataset::with_labels(&table, &args.columns.text_column, &args.label_column, &names)?;
    Ok(texts::evaluated(net, &Cutter::saved(checkpoint)?.exam(&data)?)?)
}

fn of_photos(checkpoint: &Checkpoint, args: &EvaluateArgs) -> Result<Evaluation> {
    let Network::Image(net) = &checkpoint.network else {
        return Err(Failure::run(format!("{}: this model is none for photos", args.model.display())));
    };
    let names = Labels::new(checkpoint.labels.clone())?;
    let data = photos::read(&args.data, &args.path_column, &args.label_column, Some(&names))?;
    let data = photos::checked_some(data, args.skip_broken)?;
    let preprocess = photos::saved_preprocess(checkpoint)?;
    let batches = photos::still(data, preprocess)?;
    Ok(evaluate(net, photos::in_order(&batches))?)
}
