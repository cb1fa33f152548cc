//! Batches of texts of like length, so that little is padded.

use crate::batch::{check, cut, purpose};
use crate::encoding::Encoding;
use crate::error::Result;
use crate::random::Random;
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// Encoded texts, padded to the longest; lists are [batch, length] in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct TextBatch {
    /// Number of texts.
    pub batch: usize,
    /// Tokens of each, padding included.
    pub length: usize,
    /// Token ids.
    pub ids: Vec<usize>,
    /// 0 for the first text of a pair, 1 for the second.
    pub types: Vec<usize>,
    /// 1 where a token is, 0 where padding is.
    pub mask: Vec<f32>,
    /// The class of each text; empty if there are none.
    pub labels: Vec<usize>,
    /// The number of each text in the data set.
    pub samples: Vec<usize>,
}

impl TextBatch {
    /// Pads encodings to the longest of them; at least one token long.
    pub fn pad(encodings: &[&Encoding], pad: u32) -> Self {
        let length = encodings.iter().map(|e| e.len()).max().unwrap_or(0).max(1);
        let total = encodings.len() * length;
        let (mut ids, mut types, mut mask) = (Vec::with_capacity(total), Vec::with_capacity(total), vec![0.0; total]);
        for (i, encoding) in encodings.iter().enumerate() {
            ids.extend(encoding.ids.iter().map(|&id| id as usize));
            types.extend(encoding.types.iter().map(|&kind| kind as usize));
            ids.resize((i + 1) * length, pad as usize);
            types.resize((i + 1) * length, 0);
            let there = &mut mask[i * length..i * length + encoding.len()];
            there.iter_mut().zip(&encoding.mask).for_each(|(out, &there)| *out = f32::from(u8::from(there)));
        }
        let samples = (0..encodings.len()).collect();
        Self { batch: encodings.len(), length, ids, types, mask, labels: vec![], samples }
    }
}

/// Texts and their classes, ready to be batched.
#[derive(Debug, Clone)]
pub struct TextBatches {
    encodings: Vec<Encoding>,
    labels: Vec<usize>,
    pad: u32,
    batch: usize,
    seed: u64,
    cut: usize,
}

/// Batches in a window that is sorted by length: larger pads less, smaller mixes better.
const WINDOW: usize = 8;

impl TextBatches {
    /// Batches of at most `batch` texts.
    ///
    /// # Errors
    /// No texts, a batch of 0, or lists of unequal length.
    pub fn new(encodings: Vec<Encoding>, labels: Vec<usize>, pad: u32, batch: usize, seed: u64) -> Result<Self> {
        check(encodings.len(), labels.len(), batch)?;
        Ok(Self { encodings, labels, pad, batch, seed, cut: 0 })
    }

    /// Encodes texts, each cut to `max_length` tokens.
    ///
    /// # Errors
    /// As [`TextBatches::new`] and [`Tokenizer::encode_with`].
    pub fn encode(
        tokenizer: &Tokenizer,
        texts: &[String],
        labels: &[usize],
        max_length: usize,
        batch: usize,
        seed: u64,
    ) -> Result<Self> {
        let options = EncodeOptions { max_length: Some(max_length), ..EncodeOptions::default() };
        let inputs: Vec<_> = texts.iter().map(|text| (text.as_str(), None)).collect();
        let parts = tokenizer.encode_batch(&inputs, &options)?;
        let cut = parts.iter().filter(|parts| parts.len() > 1).count();
        let encodings = parts.into_iter().filter_map(|parts| parts.into_iter().next()).collect();
        // Padding is masked: any id will do where the vocabulary has none for it.
        Ok(Self { cut, ..Self::new(encodings, labels.to_vec(), tokenizer.pad_id().unwrap_or(0), batch, seed)? })
    }

    /// Number of texts.
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one text")]
    pub fn len(&self) -> usize {
        self.encodings.len()
    }

    /// Number of texts that were longer than allowed, and lost their ends.
    pub fn cut(&self) -> usize {
        self.cut
    }

    /// Number of batches of an epoch.
    pub fn count(&self) -> usize {
        self.len().div_ceil(self.batch)
    }

    /// Every text once: shuffled, sorted by length within windows of 8 batches, cut, and the batches shuffled. The same
    /// (seed, epoch) gives the same batches.
    pub fn epoch(&self, epoch: u64) -> impl Iterator<Item = TextBatch> + '_ {
        let mut random = Random::new(&[self.seed, purpose::TEXTS, epoch]);
        let mut order: Vec<usize> = (0..self.len()).collect();
        random.shuffle(&mut order);
        for window in order.chunks_mut(WINDOW * self.batch) {
            window.sort_by_key(|&i| self.encodings[i].len());
        }
        let mut batches = cut(&order, self.batch);
        random.shuffle(&mut batches);
        batches.into_iter().map(|samples| self.collect(samples))
    }

    /// Every text once, from the shortest to the longest: for evaluation. [`TextBatch::samples`] says which is which.
    pub fn by_length(&self) -> impl Iterator<Item = TextBatch> + '_ {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&i| self.encodings[i].len());
        cut(&order, self.batch).into_iter().map(|samples| self.collect(samples))
    }

    fn collect(&self, samples: Vec<usize>) -> TextBatch {
        let encodings: Vec<&Encoding> = samples.iter().map(|&i| &self.encodings[i]).collect();
        let labels = samples.iter().map(|&i| self.labels[i]).collect();
        TextBatch { labels, samples, ..TextBatch::pad(&encodings, self.pad) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoding(length: usize) -> Encoding {
        Encoding {
            ids: (1..=length as u32).collect(),
            types: vec![1; length],
            offsets: vec![(0, 0); length],
            special: vec![false; length],
            words: vec![Some(0); length],
            mask: vec![true; length],
        }
    }

    fn batches(lengths: &[usize], batch: usize) -> TextBatches {
        let encodings = lengths.iter().map(|&n| encoding(n)).collect();
        TextBatches::new(encodings, (0..lengths.len()).collect(), 7, batch, 1).unwrap()
    }

    #[test]
    fn pads_to_the_longest() {
        let batch = TextBatch::pad(&[&encoding(1), &encoding(3)], 7);
        assert_eq!((batch.batch, batch.length), (2, 3));
        assert_eq!(batch.ids, [1, 7, 7, 1, 2, 3]);
        assert_eq!(batch.types, [1, 0, 0, 1, 1, 1]);
        assert_eq!(batch.mask, [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(TextBatch::pad(&[&encoding(0)], 7).ids, [7]);
    }

    #[test]
    fn little_is_padded() {
        let lengths: Vec<usize> = (0..1000).map(|i| 2 + i * 7 % 60).collect();
        let padded: usize = batches(&lengths, 10).epoch(0).map(|b| b.batch * b.length).sum();
        let tokens: usize = lengths.iter().sum();
        assert!(padded < tokens * 5 / 4, "{padded} for {tokens} tokens");
    }

    proptest! {
        #[test]
        fn each_text_once(lengths in prop::collection::vec(0usize..20, 1..100), batch in 1usize..20, epoch: u64) {
            let all = batches(&lengths, batch);
            for batches in [all.epoch(epoch).collect::<Vec<_>>(), all.by_length().collect()] {
                prop_assert_eq!(batches.len(), all.count());
                let mut seen: Vec<usize> = batches.iter().flat_map(|b| b.samples.clone()).collect();
                seen.sort_unstable();
                prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
                for b in &batches {
                    prop_assert!(b.batch <= batch && b.samples == b.labels);
                    let tokens: usize = b.samples.iter().map(|&i| lengths[i]).sum();
                    prop_assert_eq!(b.mask.iter().sum::<f32>() as usize, tokens);
                }
            }
            let again: Vec<TextBatch> = all.epoch(epoch).collect();
            prop_assert_eq!(again, all.epoch(epoch).collect::<Vec<_>>());
        }
    }

    #[test]
    fn epochs_differ() {
        let all = batches(&[3; 50], 4);
        let order = |epoch| all.epoch(epoch).flat_map(|b| b.samples).collect::<Vec<_>>();
        assert_ne!(order(0), order(1));
    }
}
