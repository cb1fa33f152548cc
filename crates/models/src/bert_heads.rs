//! BERT with the heads that the demos and `uke finetune text` train. For all heads and relatives see [`crate::TextModel`].

use crate::bert::BertModel;
use crate::bert_config::{BertConfig, DEVIATION};
use crate::pooling::Pooling;
use crate::tokens::TokenBatch;
use ukulele_layers::{Dropout, Init, LayerNorm, Linear, Pass, Result, Tensor, Value, module};

/// BERT with a classifier on the pooled sequence.
#[derive(Debug, Clone)]
pub struct BertForSequenceClassification {
    /// The encoder.
    pub bert: BertModel,
    /// Before the classifier.
    pub dropout: Dropout,
    /// D to classes.
    pub classifier: Linear,
    /// How a sequence becomes one vector.
    pub pooling: Pooling,
}

module!(BertForSequenceClassification { bert, dropout, classifier });

impl BertForSequenceClassification {
    /// A classifier of `classes` classes with fresh weights.
    pub fn new(config: &BertConfig, classes: usize, pooling: Pooling, init: &mut Init) -> Self {
        let bert = BertModel::new(config, pooling == Pooling::Pooler, init);
        let dropout = Dropout::new(config.hidden_dropout_prob);
        let classifier = Linear::normal(config.hidden_size, classes, DEVIATION, init);
        Self { bert, dropout, classifier, pooling }
    }

    /// What the classifier sees: (B, D).
    ///
    /// # Errors
    /// As [`BertModel::embed`].
    pub fn features(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        self.bert.pooled(tokens, self.pooling, pass)
    }

    /// Logits of features: (B, D) to (B, classes).
    ///
    /// # Errors
    /// Another size than the classifier takes.
    pub fn head(&self, features: &Value, pass: &mut Pass) -> Result<Value> {
        self.classifier.forward(&self.dropout.forward(features, pass)?, pass)
    }

    /// Logits: (B, classes).
    ///
    /// # Errors
    /// As [`BertModel::embed`].
    pub fn forward(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        let features = self.features(tokens, pass)?;
        self.head(&features, pass)
    }

    /// Prefixes of names from the input to the output, one per group.
    pub fn layer_groups(&self) -> Vec<Vec<String>> {
        let mut groups = self.bert.layer_groups("bert.");
        groups.push(vec!["bert.pooler.".to_owned(), "dropout.".to_owned(), "classifier.".to_owned()]);
        groups
    }
}

/// dense, GELU, LayerNorm: before the words are scored.
#[derive(Debug, Clone)]
pub struct BertPredictionTransform {
    /// D to D.
    pub dense: Linear,
    /// Its norm.
    pub norm: LayerNorm,
}

module!(BertPredictionTransform { dense, norm => "LayerNorm" });

/// Scores of words: `cls.predictions`. The matrix is the table of word embeddings (tied).
#[derive(Debug, Clone)]
pub struct BertPredictions {
    /// One bias per word.
    pub bias: ukulele_layers::Param,
    /// Before the words are scored.
    pub transform: BertPredictionTransform,
}

module!(BertPredictions { bias, transform });

/// The head's name in checkpoints.
#[derive(Debug, Clone)]
pub struct BertMaskedHead {
    /// Scores of words.
    pub predictions: BertPredictions,
}

module!(BertMaskedHead { predictions });

/// BERT that guesses masked words.
#[derive(Debug, Clone)]
pub struct BertForMaskedLM {
    /// The encoder, without pooler.
    pub bert: BertModel,
    /// Scores of words.
    pub cls: BertMaskedHead,
}

module!(BertForMaskedLM { bert, cls });

impl BertForMaskedLM {
    /// A model with fresh weights.
    pub fn new(config: &BertConfig, init: &mut Init) -> Self {
        let bert = BertModel::new(config, false, init);
        let size = config.hidden_size;
        let bias = Tensor::zeros(&[config.vocab_size]).expect("sizes of a model fit in memory");
        let predictions = BertPredictions {
            bias: ukulele_layers::Param::new(bias, ukulele_layers::Role::Bias),
            transform: BertPredictionTransform {
                dense: Linear::normal(size, size, DEVIATION, init),
                norm: LayerNorm::new(size, config.layer_norm_eps),
            },
        };
        Self { bert, cls: BertMaskedHead { predictions } }
    }

    /// Scores of every word at every place: (B, T, vocabulary).
    ///
    /// # Errors
    /// As [`BertModel::embed`].
    pub fn forward(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        let hidden = self.bert.forward(tokens, pass)?;
        let head = &self.cls.predictions;
        let y = head.transform.dense.forward(&hidden, pass)?.gelu(self.bert.config().hidden_act)?;
        let y = head.transform.norm.forward(&y, pass)?;
        let y = pass.tap(&head.transform, y);
        let table = pass.param(&self.bert.embeddings.word_embeddings.weight);
        let bias = pass.param(&head.bias);
        let y = y.linear(&table, Some(&bias))?;
        let y = pass.tap(head, y);
        Ok(pass.tap(&self.cls, y))
    }
}
