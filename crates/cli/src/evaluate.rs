//! `uke evaluate`: how good a model is on labelled data.

use crate::args::EvaluateArgs;
use crate::errors::{Failure, Result};
use crate::files;
use crate::outcome::Outcome;
use crate::output::say;
use crate::photos;
use crate::texts;
use ukulele_data::{Labels, TextDataset};
use ukulele_training::{Evaluation, Model, Network, evaluate_with};

/// Runs the command.
pub(crate) fn run(args: &EvaluateArgs) -> Result<()> {
    let model = Model::load(&args.model)?;
    files::check_file(args.json.as_deref())?;
    let found = match &model.network {
        Network::Text(_) => of_texts(&model, args)?,
        Network::Image(_) => of_photos(&model, args)?,
    };
    let outcome = Outcome::of(&found, &model.labels)?;
    let (data, precision) = (args.data.display(), args.precision.name());
    if let Some(path) = args.json.as_deref() {
        let mut json = outcome.json();
        json["precision"] = precision.into();
        files::write_json(path, &json)?;
    }
    let data = if precision == "f32" { data.to_string() } else { format!("{data} in {precision}") };
    say!("{}", outcome.text(&data).trim_end())
}

fn of_texts(model: &Model, args: &EvaluateArgs) -> Result<Evaluation> {
    let Network::Text(net) = &model.network else {
        return Err(Failure::run(format!("{}: this model is none for texts", args.model.display())));
    };
    let names = Labels::new(model.labels.clone())?;
    let table = texts::table(&args.data)?;
    let data = TextDataset::with_labels(&table, &args.columns.text_column, &args.label_column, &names)?;
    let input = texts::saved_input(model)?;
    let exam = texts::exam(input, &data)?;
    texts::warn_of_cut(&exam, input.max_length);
    Ok(texts::evaluated_with(net, &exam, args.precision.options())?)
}

fn of_photos(model: &Model, args: &EvaluateArgs) -> Result<Evaluation> {
    let Network::Image(net) = &model.network else {
        return Err(Failure::run(format!("{}: this model is none for photos", args.model.display())));
    };
    let names = Labels::new(model.labels.clone())?;
    let data = photos::read(&args.data, &args.path_column, &args.label_column, Some(&names))?;
    let data = photos::checked_some(data, args.skip_broken)?;
    let preprocess = photos::saved_preprocess(model)?;
    let batches = photos::still(data, preprocess)?;
    Ok(evaluate_with(net, photos::in_order(&batches), args.precision.options())?)
}
