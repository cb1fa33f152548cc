//! Texts as a model takes them.

use crate::errors::{Failure, Result};
use std::path::Path;
use ukulele_data::{Casing, Table, TableFormat, TextBatch, TextBatches, TextDataset, WordPiece};
use ukulele_models::{BertForSequenceClassification, TokenBatch};
use ukulele_training::{Batches, Checkpoint, Evaluation, Labelled, Tokenizer, evaluate};

/// Texts in a batch when nothing is learned.
const EVALUATED_AT_ONCE: usize = 64;

/// A tokenizer, and where it cuts off.
#[derive(Debug, Clone)]
pub(crate) struct Cutter {
    pub(crate) tokenizer: WordPiece,
    pub(crate) max_length: usize,
}

impl Cutter {
    /// Of a saved model.
    pub(crate) fn saved(checkpoint: &Checkpoint) -> Result<Self> {
        let Some(saved) = &checkpoint.tokenizer else {
            return Err(Failure::run("this model has no tokenizer, so it is none for texts"));
        };
        let casing = if saved.lower_case { Casing::Uncased } else { Casing::Cased };
        Ok(Self { tokenizer: WordPiece::from_vocab(&saved.vocab, casing)?, max_length: saved.max_length })
    }

    /// To be saved with a model.
    pub(crate) fn to_save(&self) -> Tokenizer {
        let lower_case = self.tokenizer.config_json()["do_lower_case"].as_bool().unwrap_or(true);
        Tokenizer { vocab: self.tokenizer.vocab_text(), lower_case, max_length: self.max_length }
    }

    /// Batches to learn from.
    pub(crate) fn lesson(&self, data: &TextDataset, batch: usize, seed: u64) -> Result<TextBatches> {
        Ok(TextBatches::encode(&self.tokenizer, &data.texts, &data.labels, self.max_length, batch, seed)?)
    }

    /// Batches for a pass in which nothing is learned.
    pub(crate) fn exam(&self, data: &TextDataset) -> Result<TextBatches> {
        self.lesson(data, EVALUATED_AT_ONCE, 0)
    }

    /// Batches of texts whose classes are not known.
    pub(crate) fn question(&self, texts: &[String]) -> Result<TextBatches> {
        let labels = vec![0; texts.len()];
        Ok(TextBatches::encode(&self.tokenizer, texts, &labels, self.max_length, EVALUATED_AT_ONCE, 0)?)
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

/// What the model says of the texts, in the order of the data set.
pub(crate) fn evaluated(
    net: &BertForSequenceClassification,
    texts: &TextBatches,
) -> ukulele_training::Result<Evaluation> {
    let places: Vec<usize> = texts.by_length().flat_map(|batch| batch.samples).collect();
    let found = evaluate(net, by_length(texts))?;
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|&i| places[i]);
    Ok(Evaluation {
        labels: order.iter().map(|&i| found.labels[i]).collect(),
        predictions: order.iter().map(|&i| found.predictions[i]).collect(),
        probabilities: order.iter().map(|&i| found.probabilities[i].clone()).collect(),
        loss: found.loss,
    })
}
