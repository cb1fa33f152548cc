//! `uke predict`: labels for new inputs.

use crate::args::PredictArgs;
use crate::errors::{Failure, Result};
use crate::files;
use crate::output::say;
use crate::photos;
use crate::texts;
use serde_json::{Map, Value as Json, json};
use std::path::{Path, PathBuf};
use ukulele_data::{ImageDataset, Labels, Photo};
use ukulele_inference::PlanOptions;
use ukulele_training::{Model, Network, argmax, evaluate_with};

/// What a model says of an input.
pub(crate) struct Answer {
    /// The input: the text, or the path of the photo.
    pub(crate) input: String,
    /// The class.
    pub(crate) label: String,
    /// Its probability.
    pub(crate) probability: f32,
    /// The probabilities of all classes, in their order.
    pub(crate) all: Vec<f32>,
}

/// Runs the command.
pub(crate) fn run(args: &PredictArgs, quiet: bool) -> Result<()> {
    let model = Model::load(&args.model)?;
    files::check_file(args.json.as_deref())?;
    let options = args.precision.options();
    let answers = match &model.network {
        Network::Text(_) => of_texts(&model, &lines_of(&args.inputs)?, options, quiet)?,
        Network::Image(_) => of_photos(&model, &paths(&args.inputs)?, args.skip_broken, options, quiet)?,
    };
    if let Some(path) = args.json.as_deref() {
        files::write_json(path, &answers.iter().map(|a| object(a, &model.labels)).collect())?;
    }
    answers.iter().try_for_each(|answer| say!("{}", line(answer, &model.labels)))
}

/// Label, probability and input: a line for the terminal.
fn line(answer: &Answer, labels: &[String]) -> String {
    let width = labels.iter().map(|l| l.chars().count()).max().unwrap_or(0).min(24);
    format!("{:<width$}  {:.3}  {}", answer.label, answer.probability, answer.input)
}

fn object(answer: &Answer, labels: &[String]) -> Json {
    let all: Map<String, Json> = labels.iter().cloned().zip(answer.all.iter().map(|&p| p.into())).collect();
    json!({"input": answer.input, "label": answer.label, "probability": answer.probability, "probabilities": all})
}

/// Lines for the terminal about these texts.
pub(crate) fn lines(model: &Model, texts: &[&str]) -> Result<Vec<String>> {
    let texts: Vec<String> = texts.iter().map(|&t| t.to_owned()).collect();
    Ok(of_texts(model, &texts, PlanOptions::default(), true)?.iter().map(|a| line(a, &model.labels)).collect())
}

/// Lines for the terminal about these photos.
pub(crate) fn photo_lines(model: &Model, paths: &[PathBuf]) -> Result<Vec<String>> {
    Ok(of_photos(model, paths, false, PlanOptions::default(), true)?.iter().map(|a| line(a, &model.labels)).collect())
}

/// What the model says of these texts.
fn of_texts(model: &Model, inputs: &[String], options: PlanOptions, quiet: bool) -> Result<Vec<Answer>> {
    let Network::Text(net) = &model.network else {
        return Err(Failure::run("this model is none for texts"));
    };
    let input = texts::saved_input(model)?;
    let question = texts::question(input, inputs)?;
    if !quiet {
        texts::warn_of_cut(&question, input.max_length);
    }
    let found = texts::evaluated_with(net, &question, options)?;
    Ok(answers(inputs, found.probabilities, &model.labels))
}

/// What the model says of these photos.
fn of_photos(model: &Model, paths: &[PathBuf], skip: bool, options: PlanOptions, quiet: bool) -> Result<Vec<Answer>> {
    let Network::Image(net) = &model.network else {
        return Err(Failure::run("this model is none for photos"));
    };
    let preprocess = photos::saved_preprocess(model)?;
    let mut good = Vec::new();
    for path in paths {
        match ukulele_data::Image::open(path) {
            Ok(_) => good.push(path.clone()),
            Err(error) if skip => {
                if !quiet {
                    eprintln!("left out: {error}");
                }
            }
            Err(error) => return Err(Failure::run(format!("{error}; leave out broken photos with --skip-broken"))),
        }
    }
    if good.is_empty() {
        return Err(Failure::run("no readable photo is left"));
    }
    let names = Labels::new(model.labels.clone())?;
    let data =
        ImageDataset { photos: good.iter().cloned().map(Photo::File).collect(), labels: vec![0; good.len()], names };
    let batches = photos::still(data, preprocess)?;
    let found = evaluate_with(net, photos::in_order(&batches), options)?;
    let names: Vec<String> = good.iter().map(|p| p.display().to_string()).collect();
    Ok(answers(&names, found.probabilities, &model.labels))
}

fn answers(inputs: &[String], probabilities: Vec<Vec<f32>>, labels: &[String]) -> Vec<Answer> {
    let one = |(input, all): (&String, Vec<f32>)| {
        let class = argmax(&all);
        let label = labels.get(class).cloned().unwrap_or_default();
        Answer { input: input.clone(), label, probability: all.get(class).copied().unwrap_or(0.0), all }
    };
    inputs.iter().zip(probabilities).map(one).collect()
}

/// The texts that the inputs stand for: those of the lines of a file, or the input itself.
fn lines_of(inputs: &[String]) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for input in inputs {
        let path = Path::new(input);
        if !path.is_file() {
            texts.push(input.clone());
            continue;
        }
        let bytes = std::fs::read(path).map_err(|e| Failure::io("read", path, &e))?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            Failure::run(format!("{input}: byte {at} is not UTF-8; a file of texts is UTF-8, one text a line"))
        })?;
        texts.extend(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned));
    }
    if texts.is_empty() {
        return Err(Failure::run(format!("{}: no text in it", inputs.join(", "))));
    }
    Ok(texts)
}

/// The photos that the inputs stand for: themselves, and those directly in folders.
fn paths(inputs: &[String]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for input in inputs {
        let path = PathBuf::from(input);
        if path.is_dir() {
            let within = in_folder(&path)?;
            if within.is_empty() {
                return Err(Failure::run(format!("{input}: no .png, .jpg or .jpeg in this folder")));
            }
            found.extend(within);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// The photos directly in a folder, by name.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let wrong = |e: std::io::Error| Failure::io("read the folder", folder, &e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let ending = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        if path.is_file() && matches!(ending.as_deref(), Some("png" | "jpg" | "jpeg")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
