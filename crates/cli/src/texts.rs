//! Texts as a model takes them.

use crate::errors::{Failure, Result};
use std::path::Path;
use ukulele_data::{Table, TableFormat, TextBatch, TextBatches, TextDataset};
use ukulele_inference::PlanOptions;
use ukulele_models::{TextModel, TokenBatch};
use ukulele_training::{Batches, Evaluation, Labelled, Model, TextInput, evaluate_with};

/// Texts in a batch when nothing is learned.
const EVALUATED_AT_ONCE: usize = 64;

/// How a saved model wants its texts.
pub(crate) fn saved_input(model: &Model) -> Result<&TextInput> {
    model.text.as_ref().ok_or_else(|| Failure::run("this model has no tokenizer, so it is none for texts"))
}

/// Batches to learn from.
pub(crate) fn lesson(input: &TextInput, data: &TextDataset, batch: usize, seed: u64) -> Result<TextBatches> {
    Ok(TextBatches::encode(&input.tokenizer, &data.texts, &data.labels, input.max_length, batch, seed)?)
}

/// Batches for a pass in which nothing is learned.
pub(crate) fn exam(input: &TextInput, data: &TextDataset) -> Result<TextBatches> {
    lesson(input, data, EVALUATED_AT_ONCE, 0)
}

/// Batches of texts whose classes are not known.
pub(crate) fn question(input: &TextInput, texts: &[String]) -> Result<TextBatches> {
    let labels = vec![0; texts.len()];
    Ok(TextBatches::encode(&input.tokenizer, texts, &labels, input.max_length, EVALUATED_AT_ONCE, 0)?)
}

/// Says so if texts were cut.
pub(crate) fn warn_of_cut(texts: &TextBatches, most: usize) {
    if texts.cut() > 0 {
        let (cut, all) = (texts.cut(), texts.len());
        eprintln!("warning: {cut} of {all} texts are longer than {most} tokens; what is beyond is cut off");
    }
}

/// Reads a table.
pub(crate) fn table(path: &Path) -> Result<Table> {
    Ok(Table::open(path, TableFormat::default())?)
}

fn labelled(batch: TextBatch) -> Labelled<TokenBatch> {
    let TextBatch { batch, length, ids, types, mask, labels, .. } = batch;
    Labelled {
        inputs: TokenBatch { batch, length, ids, types, mask },
        labels: labels.iter().map(|&l| l as i64).collect(),
    }
}

/// The batches of an epoch, counted from 1.
pub(crate) fn epoch(texts: &TextBatches, epoch: usize) -> Batches<'_, TokenBatch> {
    let batches: Vec<TextBatch> = texts.epoch(epoch as u64).collect();
    Box::new(batches.into_iter().map(|batch| Ok(labelled(batch))))
}

/// All batches from the shortest text to the longest.
pub(crate) fn by_length(
    texts: &TextBatches,
) -> impl Iterator<Item = ukulele_training::Result<Labelled<TokenBatch>>> + '_ {
    texts.by_length().map(|batch| Ok(labelled(batch)))
}

/// How many tokens all texts have.
pub(crate) fn tokens(texts: &TextBatches) -> f64 {
    texts.by_length().flat_map(|batch| batch.mask).map(f64::from).sum()
}

/// The place of each text in the order of [`by_length`].
pub(crate) fn places_by_length(texts: &TextBatches) -> Vec<usize> {
    let mut places = vec![0; texts.len()];
    let order = texts.by_length().flat_map(|batch| batch.samples);
    order.enumerate().for_each(|(place, sample)| places[sample] = place);
    places
}

/// The batches of an epoch, as lists of these places of texts.
pub(crate) fn lists(texts: &TextBatches, epoch: usize, places: &[usize]) -> Vec<Vec<usize>> {
    let batches = texts.epoch(epoch as u64);
    batches.map(|batch| batch.samples.iter().map(|&sample| places[sample]).collect()).collect()
}

/// What the model says of the texts, in the order of the data set.
pub(crate) fn evaluated(net: &TextModel, texts: &TextBatches) -> ukulele_training::Result<Evaluation> {
    evaluated_with(net, texts, PlanOptions::default())
}

/// As [`evaluated`], with options of the plan.
pub(crate) fn evaluated_with(
    net: &TextModel,
    texts: &TextBatches,
    options: PlanOptions,
) -> ukulele_training::Result<Evaluation> {
    let places: Vec<usize> = texts.by_length().flat_map(|batch| batch.samples).collect();
    let found = evaluate_with(net, by_length(texts), options)?;
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|&i| places[i]);
    Ok(Evaluation {
        labels: order.iter().map(|&i| found.labels[i]).collect(),
        predictions: order.iter().map(|&i| found.predictions[i]).collect(),
        probabilities: order.iter().map(|&i| found.probabilities[i].clone()).collect(),
        loss: found.loss,
    })
}
