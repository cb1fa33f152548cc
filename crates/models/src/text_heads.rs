//! The heads of BERT and its relatives, under Hugging Face's names, which differ from one to the other.

use crate::bert_config::{BertConfig, DEVIATION};
use crate::pooling::Pooling;
use ukulele_layers::{
    Dropout, Gelu, Init, LayerNorm, Linear, Module, ModuleId, Param, Pass, Result, Role, Tensor, Value, join, module,
};
use weights_import::TextFamily;

/// dropout, dense, tanh (ELECTRA: GELU), dropout, dense: the classifier of RoBERTa and ELECTRA.
#[derive(Debug, Clone)]
pub struct ClassificationHead {
    /// D to D.
    pub dense: Linear,
    /// D to classes.
    pub out_proj: Linear,
    gelu: bool,
}

module!(ClassificationHead { dense, out_proj });

/// D to D, before a choice is scored.
#[derive(Debug, Clone)]
pub struct SequenceSummary {
    /// D to D.
    pub summary: Linear,
}

module!(SequenceSummary { summary });

/// A classifier of one dense layer or two.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one per process")]
pub enum Scores {
    /// D to classes.
    Linear(Linear),
    /// RoBERTa's and ELECTRA's.
    Head(ClassificationHead),
}

impl Module for Scores {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        match self {
            Self::Linear(linear) => linear.each(path, f),
            Self::Head(head) => head.each(path, f),
        }
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        match self {
            Self::Linear(linear) => linear.modules(path, f),
            Self::Head(head) => head.modules(path, f),
        }
    }
}

/// One vector a sequence to scores of classes, or to one score of a choice.
#[derive(Debug, Clone)]
pub struct SequenceHead {
    /// DistilBERT: dense and ReLU.
    pub pre_classifier: Option<Linear>,
    /// ELECTRA, of choices: dense and GELU.
    pub sequence_summary: Option<SequenceSummary>,
    /// Scores.
    pub classifier: Scores,
    /// Before each dense layer but the first of DistilBERT's.
    pub dropout: Dropout,
    /// How a text becomes the one vector.
    pub pooling: Pooling,
}

module!(SequenceHead { pre_classifier, sequence_summary, classifier, dropout });

impl SequenceHead {
    /// For `classes` classes; `choice` is the head that scores one choice of several.
    pub(crate) fn new(config: &BertConfig, classes: usize, choice: bool, pooling: Pooling, init: &mut Init) -> Self {
        let size = config.hidden_size;
        let linear = |outputs, init: &mut Init| Linear::normal(size, outputs, DEVIATION, init);
        let family = config.family;
        let pre_classifier = (family == TextFamily::DistilBert).then(|| linear(size, init));
        let summary = family == TextFamily::Electra && choice;
        let sequence_summary = summary.then(|| SequenceSummary { summary: linear(size, init) });
        let classifier = match family {
            TextFamily::Roberta | TextFamily::Electra if !choice => Scores::Head(ClassificationHead {
                dense: linear(size, init),
                out_proj: linear(classes, init),
                gelu: family == TextFamily::Electra,
            }),
            _ => Scores::Linear(linear(classes, init)),
        };
        let rate = match family {
            TextFamily::Roberta if choice => config.hidden_dropout_prob,
            _ => config.classifier_dropout(),
        };
        Self { pre_classifier, sequence_summary, classifier, dropout: Dropout::new(rate), pooling }
    }

    /// Classes out.
    pub fn classes(&self) -> usize {
        match &self.classifier {
            Scores::Linear(linear) => linear.outputs(),
            Scores::Head(head) => head.out_proj.outputs(),
        }
    }

    /// One vector a text, (B, D), to scores, (B, classes).
    ///
    /// # Errors
    /// Vectors of another size.
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let mut x = x.clone();
        if let Some(pre) = &self.pre_classifier {
            x = pre.forward(&x, pass)?.relu()?;
        }
        if let Some(summary) = &self.sequence_summary {
            x = summary.summary.forward(&x, pass)?.gelu(Gelu::Erf)?;
        }
        let x = self.dropout.forward(&x, pass)?;
        let x = match &self.sequence_summary {
            Some(summary) => pass.tap(summary, x),
            None => x,
        };
        match &self.classifier {
            Scores::Linear(linear) => linear.forward(&x, pass),
            Scores::Head(head) => {
                let x = head.dense.forward(&x, pass)?;
                let x = if head.gelu { x.gelu(Gelu::Erf)? } else { x.tanh()? };
                let x = self.dropout.forward(&x, pass)?;
                let y = head.out_proj.forward(&x, pass)?;
                Ok(pass.tap(head, y))
            }
        }
    }
}

/// Scores of words: dense, GELU, LayerNorm, and the table of word embeddings as the last matrix (tied), with a bias.
#[derive(Debug, Clone)]
pub struct WordsHead {
    /// D to the width of the embeddings.
    pub dense: Linear,
    /// Its norm.
    pub norm: LayerNorm,
    /// One per word.
    pub bias: Param,
    activation: Gelu,
    family: TextFamily,
}

impl WordsHead {
    pub(crate) fn new(config: &BertConfig, init: &mut Init) -> Self {
        let family = config.family;
        let bias = Tensor::zeros(&[config.vocab_size]).expect("sizes of a model fit in memory");
        Self {
            dense: Linear::normal(config.hidden_size, config.embedding(), DEVIATION, init),
            norm: LayerNorm::new(config.embedding(), config.layer_norm_eps),
            bias: Param::new(bias, Role::Bias),
            // Of RoBERTa and ELECTRA whatever the configuration says.
            activation: match family {
                TextFamily::Roberta | TextFamily::Electra => Gelu::Erf,
                _ => config.hidden_act,
            },
            family,
        }
    }

    /// What the family calls `bias`, `dense` and `norm`.
    fn names(&self) -> [&'static str; 3] {
        match self.family {
            TextFamily::Bert => {
                ["cls.predictions.bias", "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"]
            }
            TextFamily::Roberta => ["lm_head.bias", "lm_head.dense", "lm_head.layer_norm"],
            TextFamily::Electra => {
                ["generator_lm_head.bias", "generator_predictions.dense", "generator_predictions.LayerNorm"]
            }
            TextFamily::DistilBert => ["vocab_projector.bias", "vocab_transform", "vocab_layer_norm"],
            TextFamily::Albert => ["predictions.bias", "predictions.dense", "predictions.LayerNorm"],
        }
    }

    pub(crate) fn bias_name(&self) -> &'static str {
        self.names()[0]
    }

    /// Hidden states (B, T, D) to (B, T, words); `table` is that of the word embeddings.
    pub(crate) fn forward(&self, hidden: &Value, table: &Param, pass: &mut Pass) -> Result<Value> {
        let y = self.dense.forward(hidden, pass)?.gelu(self.activation)?;
        let y = self.norm.forward(&y, pass)?;
        let (table, bias) = (pass.param(table), pass.param(&self.bias));
        y.linear_in(pass.precision(), &table, Some(&bias))
    }
}

impl Module for WordsHead {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        let [bias, dense, norm] = self.names().map(|name| join(path, name));
        self.bias.each(&bias, f);
        self.dense.each(&dense, f);
        self.norm.each(&norm, f);
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        let [_, dense, norm] = self.names().map(|name| join(path, name));
        self.dense.modules(&dense, f);
        self.norm.modules(&norm, f);
    }
}

/// Whether a second sentence follows the first: BERT's `cls.seq_relationship`, ALBERT's `sop_classifier.classifier`.
#[derive(Debug, Clone)]
pub struct OrderHead {
    /// D to 2.
    pub classifier: Linear,
    /// ALBERT's.
    pub dropout: Dropout,
    family: TextFamily,
}

impl OrderHead {
    pub(crate) fn new(config: &BertConfig, init: &mut Init) -> Self {
        let albert = config.family == TextFamily::Albert;
        let dropout = Dropout::new(if albert { config.classifier_dropout() } else { 0.0 });
        Self { classifier: Linear::normal(config.hidden_size, 2, DEVIATION, init), dropout, family: config.family }
    }

    fn name(&self, path: &str) -> String {
        join(path, if self.family == TextFamily::Albert { "sop_classifier.classifier" } else { "cls.seq_relationship" })
    }

    /// Pooled (B, D) to (B, 2).
    pub(crate) fn forward(&self, pooled: &Value, pass: &mut Pass) -> Result<Value> {
        let x = self.dropout.forward(pooled, pass)?;
        self.classifier.forward(&x, pass)
    }
}

impl Module for OrderHead {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        let name = self.name(path);
        self.classifier.each(&name, f);
        self.dropout.each(&format!("{name}.dropout"), f);
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        self.classifier.modules(&self.name(path), f);
    }
}

/// Whether each token was replaced: ELECTRA's discriminator.
#[derive(Debug, Clone)]
pub struct Discriminator {
    /// D to D, then GELU.
    pub dense: Linear,
    /// D to 1.
    pub dense_prediction: Linear,
    activation: Gelu,
}

module!(Discriminator { dense, dense_prediction });

/// The head's name in checkpoints.
#[derive(Debug, Clone)]
pub struct DiscriminatorHead {
    /// Scores of tokens.
    pub discriminator_predictions: Discriminator,
}

module!(DiscriminatorHead { discriminator_predictions });

impl Discriminator {
    pub(crate) fn new(config: &BertConfig, init: &mut Init) -> Self {
        let size = config.hidden_size;
        Self {
            dense: Linear::normal(size, size, DEVIATION, init),
            dense_prediction: Linear::normal(size, 1, DEVIATION, init),
            activation: config.hidden_act,
        }
    }

    /// Hidden states (B, T, D) to (B, T).
    pub(crate) fn forward(&self, hidden: &Value, pass: &mut Pass) -> Result<Value> {
        let y = self.dense.forward(hidden, pass)?.gelu(self.activation)?;
        let y = self.dense_prediction.forward(&y, pass)?;
        let y = y.reshape(&hidden.shape()[..2])?;
        Ok(pass.tap(self, y))
    }
}
