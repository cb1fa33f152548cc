//! BERT that sorts texts by any pooling, as `uke finetune text` trains it. For other heads and relatives see [`crate::TextModel`].

use crate::bert::BertModel;
use crate::bert_config::{BertConfig, DEVIATION};
use crate::pooling::Pooling;
use crate::tokens::TokenBatch;
use ukulele_layers::{Dropout, Init, Linear, Pass, Result, Value, module};

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
