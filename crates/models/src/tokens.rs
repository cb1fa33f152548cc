//! What models of text read: ids of tokens.

use crate::bert_config::BertConfig;
use ukulele_layers::{Error, Result, Tensor};

/// A batch of sequences, padded to one length.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenBatch {
    /// Sequences.
    pub batch: usize,
    /// Tokens of each, padding included.
    pub length: usize,
    /// Ids of word pieces, (B, T) in row-major order.
    pub ids: Vec<usize>,
    /// Segment of each token.
    pub types: Vec<usize>,
    /// 1 where a token is, 0 where padding is.
    pub mask: Vec<f32>,
}

impl TokenBatch {
    /// Sequences of equal length, without padding, of one segment.
    ///
    /// # Errors
    /// The number of ids is not a multiple of the length.
    pub fn unpadded(batch: usize, length: usize, ids: Vec<usize>) -> Result<Self> {
        let count = ids.len();
        let tokens = Self { batch, length, ids, types: vec![0; count], mask: vec![1.0; count] };
        tokens.check()?;
        Ok(tokens)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let want = self.batch * self.length;
        for (what, len) in [("ids", self.ids.len()), ("types", self.types.len()), ("mask", self.mask.len())] {
            if len != want {
                let message =
                    format!("{} sequences of {} tokens want {want} {what}, {len} given", self.batch, self.length);
                return Err(Error::argument("tokens", message));
            }
        }
        Ok(())
    }

    /// What is added to the scores of attention, (B, T): 0 for tokens, the lowest number for padding. `None` if there
    /// is no padding.
    pub(crate) fn score_mask(&self) -> Result<Option<Tensor>> {
        if self.mask.iter().all(|&m| m == 1.0) {
            return Ok(None);
        }
        let scores = self.mask.iter().map(|&m| if m == 0.0 { f32::MIN } else { 0.0 }).collect();
        Tensor::from_vec(&[self.batch, self.length], scores).map(Some)
    }

    /// Whether a model of these measures takes them.
    pub(crate) fn fits(&self, config: &BertConfig) -> Result<()> {
        self.check()?;
        if self.length > config.longest() {
            let message = format!(
                "a sequence of {} tokens, the model has {} positions; truncate it",
                self.length,
                config.longest()
            );
            return Err(Error::argument(config.family.prefix(), message));
        }
        let known = [("token", &self.ids, config.vocab_size), ("segment", &self.types, config.type_vocab_size)];
        for (what, ids, count) in known {
            // A model without a table of segments does not look at them.
            if let Some(place) = ids.iter().position(|&id| id >= count).filter(|_| count > 0) {
                let message = format!(
                    "{what} {} at place {} of sequence {}, the model's table has {count}; the tokenizer belongs to another model",
                    ids[place],
                    place % self.length.max(1),
                    place / self.length.max(1)
                );
                return Err(Error::argument(config.family.prefix(), message));
            }
        }
        Ok(())
    }

    /// RoBERTa's positions: tokens count from behind that of the padding, which all padding has.
    pub(crate) fn positions_after(&self, padding: usize) -> Vec<usize> {
        let row = |row: &[usize]| {
            let mut next = padding;
            let count = |&id: &usize| {
                next += usize::from(id != padding);
                if id == padding { padding } else { next }
            };
            row.iter().map(count).collect::<Vec<_>>()
        };
        self.ids.chunks(self.length.max(1)).flat_map(row).collect()
    }
}
