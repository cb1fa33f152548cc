//! One type for all models of text: BERT and its relatives, with every head that Hugging Face gives them.

use crate::albert::AlbertModel;
use crate::bert::BertModel;
use crate::bert_config::{BertConfig, DEVIATION};
use crate::distilbert::DistilBertModel;
use crate::pooling::{Pooling, normalise};
use crate::pretrained::Pretrained;
use crate::text_heads::{Discriminator, DiscriminatorHead, OrderHead, SequenceHead, WordsHead};
use crate::tokens::TokenBatch;
use serde_json::{Map, Value as Json, json};
use std::path::Path;
use ukulele_layers::{
    Dropout, Error, Init, Linear, Module, ModuleId, Param, Pass, Result, Role, Tensor, Value, join, module,
};
use weights_import::{Architecture, Bert, Dialect, TextFamily, Weights, guess};

/// What a model of text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextTask {
    /// Hidden states, and the pooled first token where there is a pooler.
    Features,
    /// Classes, several at once, or numbers, of each text.
    SequenceClassification,
    /// Classes of each token.
    TokenClassification,
    /// Where in the text the answer begins and ends.
    QuestionAnswering,
    /// Which of several texts.
    MultipleChoice,
    /// Which word belongs at each place.
    MaskedLM,
    /// Whether the second text follows the first.
    NextSentencePrediction,
    /// What the model was pretrained for: words and the order of sentences (BERT, ALBERT), or replaced tokens (ELECTRA).
    PreTraining,
}

impl TextTask {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Features, "Model"),
        (Self::SequenceClassification, "ForSequenceClassification"),
        (Self::TokenClassification, "ForTokenClassification"),
        (Self::QuestionAnswering, "ForQuestionAnswering"),
        (Self::MultipleChoice, "ForMultipleChoice"),
        (Self::MaskedLM, "ForMaskedLM"),
        (Self::NextSentencePrediction, "ForNextSentencePrediction"),
        (Self::PreTraining, "ForPreTraining"),
    ];

    /// The task of a class of transformers, as `BertForMaskedLM`.
    fn of_class(class: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, ending)| class.ends_with(ending)).map(|(task, _)| task)
    }
}

/// A layer on each token's hidden state.
#[derive(Debug, Clone)]
pub struct TokenHead {
    /// D to classes.
    pub classifier: Linear,
    /// Before it.
    pub dropout: Dropout,
}

module!(TokenHead { classifier, dropout });

/// Scores of being the first and the last token of the answer.
#[derive(Debug, Clone)]
pub struct AnswerHead {
    /// D to 2.
    pub qa_outputs: Linear,
    /// DistilBERT's, before it.
    pub dropout: Option<Dropout>,
}

module!(AnswerHead { qa_outputs, dropout });

/// The head of a [`TextModel`].
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the task of its name")]
pub enum TextHead {
    Features,
    SequenceClassification(SequenceHead),
    TokenClassification(TokenHead),
    QuestionAnswering(AnswerHead),
    MultipleChoice(SequenceHead),
    MaskedLM(WordsHead),
    NextSentencePrediction(OrderHead),
    PreTraining(WordsHead, OrderHead),
    Discriminator(DiscriminatorHead),
}

/// The encoder of a [`TextModel`].
#[derive(Debug, Clone)]
pub enum TextEncoder {
    /// Of BERT, RoBERTa and ELECTRA.
    Bert(BertModel),
    /// Of DistilBERT.
    DistilBert(DistilBertModel),
    /// Of ALBERT.
    Albert(AlbertModel),
}

macro_rules! encoder {
    ($self:expr, $net:ident => $do:expr) => {
        match $self {
            TextEncoder::Bert($net) => $do,
            TextEncoder::DistilBert($net) => $do,
            TextEncoder::Albert($net) => $do,
        }
    };
}

macro_rules! head {
    ($self:expr, $head:ident => $do:expr) => {
        match $self {
            TextHead::Features => {}
            TextHead::SequenceClassification($head) | TextHead::MultipleChoice($head) => $do,
            TextHead::TokenClassification($head) => $do,
            TextHead::QuestionAnswering($head) => $do,
            TextHead::MaskedLM($head) => $do,
            TextHead::NextSentencePrediction($head) => $do,
            TextHead::Discriminator($head) => $do,
            TextHead::PreTraining(words, order) => {
                {
                    let $head = words;
                    $do
                };
                let $head = order;
                $do
            }
        }
    };
}

/// A model of text: an encoder and a head.
///
/// ```no_run
/// # use ukulele_models::{TextModel, TextLabels, TokenBatch};
/// # use ukulele_layers::{Init, Pass};
/// let (mut net, _dialect) = TextModel::from_pretrained("roberta-base")?; // a folder with config.json, or a file
/// net.replace_head(3, &mut Init::new(0));
/// let tokens = TokenBatch::unpadded(1, 4, vec![0, 713, 16, 2])?;
/// let loss = net.forward(&tokens, &mut Pass::train(1))?.loss(&TextLabels::Classes(vec![2]))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct TextModel {
    /// Tokens to hidden states.
    pub encoder: TextEncoder,
    /// Hidden states to what is wanted.
    pub head: TextHead,
}

impl Module for TextModel {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        let prefix = join(path, self.prefix());
        encoder!(&mut self.encoder, net => net.each(&prefix, f));
        head!(&mut self.head, head => head.each(path, f));
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        let prefix = join(path, self.prefix());
        encoder!(&self.encoder, net => net.modules(&prefix, f));
        head!(&self.head, head => head.modules(path, f));
    }
}

/// What a model says, by Hugging Face's names.
#[derive(Debug, Clone)]
pub struct TextOutput {
    /// `logits`; or `start_logits` and `end_logits`; `prediction_logits` and `seq_relationship_logits` (ALBERT:
    /// `sop_logits`); `last_hidden_state` and `pooler_output`.
    pub values: Vec<(&'static str, Value)>,
    task: TextTask,
}

/// What is to be learned.
#[derive(Debug, Clone, PartialEq)]
pub enum TextLabels {
    /// A class per text, per choice, per token or per place, row by row; −100 is left out. Cross entropy.
    Classes(Vec<i64>),
    /// Of each text and class, whether it applies: B x C of 0 or 1. Binary cross entropy.
    Several(Vec<f32>),
    /// Numbers, one for each output. Squared error.
    Numbers(Vec<f32>),
    /// First and last token of the answer; one beyond the text is left out.
    Span {
        /// First token.
        start: Vec<i64>,
        /// Last token.
        end: Vec<i64>,
    },
    /// The word at each place (−100 is left out), and for each text 0 if the second sentence follows the first.
    Pretraining {
        /// Of each place.
        words: Vec<i64>,
        /// Of each text.
        order: Vec<i64>,
    },
    /// Of each token whether it was replaced (0 or 1), and the mask of the batch.
    Replaced {
        /// Of each token.
        replaced: Vec<f32>,
        /// 1 where a token is, 0 where padding is.
        mask: Vec<f32>,
    },
}

impl TextOutput {
    /// The first value: the logits, but for models of several.
    pub fn logits(&self) -> &Value {
        &self.values[0].1
    }

    /// The loss as Hugging Face takes it.
    ///
    /// # Errors
    /// Labels of another task, or of another number than the logits.
    pub fn loss(&self, labels: &TextLabels) -> Result<Value> {
        let logits = self.logits();
        let rows = |logits: &Value| {
            let classes = logits.shape().last().copied().unwrap_or(1);
            logits.reshape(&[logits.tensor().numel() / classes.max(1), classes])
        };
        match (self.task, labels) {
            (
                TextTask::SequenceClassification
                | TextTask::TokenClassification
                | TextTask::MultipleChoice
                | TextTask::MaskedLM
                | TextTask::NextSentencePrediction,
                TextLabels::Classes(labels),
            ) => rows(logits)?.cross_entropy(labels),
            (TextTask::SequenceClassification, TextLabels::Several(labels)) => logits.bce_with_logits(labels, None),
            (TextTask::SequenceClassification, TextLabels::Numbers(numbers)) => {
                logits.mse(&Tensor::from_vec(logits.shape(), numbers.clone())?.into())
            }
            (TextTask::QuestionAnswering, TextLabels::Span { start, end }) => {
                let beyond = logits.shape()[1] as i64;
                let of = |logits: &Value, places: &[i64]| {
                    let places = places.iter().map(|&p| {
                        if (0..beyond).contains(&p) {
                            p
                        } else if p < 0 {
                            0
                        } else {
                            -100
                        }
                    });
                    logits.cross_entropy(&places.collect::<Vec<_>>())
                };
                of(logits, start)?.add(&of(&self.values[1].1, end)?)?.scale(0.5)
            }
            (TextTask::PreTraining, TextLabels::Pretraining { words, order }) if self.values.len() == 2 => {
                rows(logits)?.cross_entropy(words)?.add(&self.values[1].1.cross_entropy(order)?)
            }
            (TextTask::PreTraining, TextLabels::Replaced { replaced, mask }) if self.values.len() == 1 => {
                logits.bce_with_logits(replaced, Some(mask))
            }
            (task, labels) => {
                Err(Error::argument("loss", format!("a model for {task:?} does not learn from {labels:.40?}")))
            }
        }
    }
}

impl TextModel {
    /// A model with fresh weights; `classes` counts for classification of sequences and tokens.
    ///
    /// # Errors
    /// A head that the family does not have.
    pub fn new(config: &BertConfig, task: TextTask, classes: usize, init: &mut Init) -> Result<Self> {
        let pooled = match config.family {
            TextFamily::Bert | TextFamily::Albert => {
                !matches!(task, TextTask::TokenClassification | TextTask::QuestionAnswering | TextTask::MaskedLM)
            }
            TextFamily::Roberta => matches!(task, TextTask::Features | TextTask::MultipleChoice),
            TextFamily::Electra | TextFamily::DistilBert => false,
        };
        Self::with_pooler(config, task, classes, pooled, init)
    }

    fn with_pooler(config: &BertConfig, task: TextTask, classes: usize, pooler: bool, init: &mut Init) -> Result<Self> {
        let encoder = match config.family {
            TextFamily::DistilBert => TextEncoder::DistilBert(DistilBertModel::new(config, init)),
            TextFamily::Albert => TextEncoder::Albert(AlbertModel::new(config, pooler, init)),
            _ => TextEncoder::Bert(BertModel::new(config, pooler, init)),
        };
        let linear = |outputs, init: &mut Init| Linear::normal(config.hidden_size, outputs, DEVIATION, init);
        let head = match (task, config.family) {
            (TextTask::Features, _) => TextHead::Features,
            (TextTask::SequenceClassification, _) => {
                TextHead::SequenceClassification(SequenceHead::new(config, classes, false, init))
            }
            (TextTask::TokenClassification, _) => TextHead::TokenClassification(TokenHead {
                classifier: linear(classes, init),
                dropout: Dropout::new(match config.family {
                    // Its classifier of texts alone has a rate of its own.
                    TextFamily::DistilBert => config.hidden_dropout_prob,
                    _ => config.classifier_dropout(),
                }),
            }),
            (TextTask::QuestionAnswering, _) => TextHead::QuestionAnswering(AnswerHead {
                qa_outputs: linear(2, init),
                dropout: config.qa_dropout.map(Dropout::new),
            }),
            (TextTask::MultipleChoice, _) => TextHead::MultipleChoice(SequenceHead::new(config, 1, true, init)),
            (TextTask::MaskedLM, _) => TextHead::MaskedLM(WordsHead::new(config, init)),
            (TextTask::NextSentencePrediction, TextFamily::Bert) => {
                TextHead::NextSentencePrediction(OrderHead::new(config, init))
            }
            (TextTask::PreTraining, TextFamily::Bert | TextFamily::Albert) => {
                TextHead::PreTraining(WordsHead::new(config, init), OrderHead::new(config, init))
            }
            (TextTask::PreTraining, TextFamily::Electra) => {
                let discriminator_predictions = Discriminator::new(config, init);
                TextHead::Discriminator(DiscriminatorHead { discriminator_predictions })
            }
            (task, family) => {
                return Err(Error::argument("text model", format!("{} has no head for {task:?}", family.name())));
            }
        };
        Ok(Self { encoder, head })
    }

    /// The model of a file of weights or of a folder with `config.json`, and its dialect. The configuration says what the model
    /// is for; without one the tensors do. A head that is not in the file is fresh, as for a file that holds only an encoder.
    ///
    /// # Errors
    /// No file of weights, no model of text, or weights that leave a part of the encoder open.
    pub fn from_pretrained(path: impl AsRef<Path>) -> weights_import::Result<(Self, Dialect)> {
        let weights = weights_import::open(path)?;
        let dialect = Dialect::detect(&weights)?;
        let (config, found) = measures(&weights, &dialect)?;
        let said = weights.config()?;
        let argument = |error: Error| weights_import::Error::Argument(format!("{}: {error}", weights.source()));
        let class = said.as_ref().and_then(|said| said["architectures"][0].as_str());
        let has = |name: &str| weights.entries().iter().any(|entry| entry.name.ends_with(name));
        let task = class.and_then(TextTask::of_class).unwrap_or_else(|| task_of(&found, &has));
        let labels = said.as_ref().and_then(|said| said["id2label"].as_object().map(Map::len));
        let classes = found.classes.or(labels).unwrap_or(2);
        let mut net = Self::new(&config, task, classes, &mut Init::zeros()).map_err(argument)?;
        // An encoder alone may have been saved without its pooler.
        if task == TextTask::Features && !found.pooler {
            net.remove_pooler();
        }
        let report = net.load(&weights, &dialect)?;
        let head = net.head_names();
        let fresh: Vec<String> = report.missing.clone();
        let open: Vec<&str> = head.iter().map(String::as_str).collect();
        let _complete = report.only_missing(&open)?;
        if !fresh.is_empty() {
            let mut init = Init::new(0);
            let other = Self::new(&config, task, classes, &mut init).map_err(argument)?;
            net.take(other, &fresh);
        }
        Ok((net, dialect))
    }

    /// The encoder alone of any such weights, with its pooler if they have one.
    ///
    /// # Errors
    /// As [`TextModel::from_pretrained`].
    pub fn encoder_of(weights: &Weights, dialect: &Dialect) -> weights_import::Result<Self> {
        let (config, found) = measures(weights, dialect)?;
        let argument = |error: Error| weights_import::Error::Argument(format!("{}: {error}", weights.source()));
        let mut net =
            Self::with_pooler(&config, TextTask::Features, 0, found.pooler, &mut Init::zeros()).map_err(argument)?;
        let _complete = net.load(weights, dialect)?.only_missing(&[])?;
        Ok(net)
    }

    /// Takes these parameters from a model of the same measures.
    fn take(&mut self, mut other: Self, names: &[String]) {
        let mut theirs = std::collections::BTreeMap::new();
        other.each("", &mut |name, param| {
            if param.role != Role::Rate {
                theirs.insert(name.to_owned(), param.value.clone());
            }
        });
        self.each("", &mut |name, param| {
            if let Some(value) = theirs.remove(name).filter(|_| names.iter().any(|n| n == name)) {
                param.value = value;
            }
        });
    }

    fn remove_pooler(&mut self) {
        match &mut self.encoder {
            TextEncoder::Bert(net) => net.pooler = None,
            TextEncoder::Albert(net) => net.pooler = None,
            TextEncoder::DistilBert(_) => {}
        }
    }

    /// The measures.
    pub fn config(&self) -> &BertConfig {
        encoder!(&self.encoder, net => net.config())
    }

    /// What it is for.
    pub fn task(&self) -> TextTask {
        match &self.head {
            TextHead::Features => TextTask::Features,
            TextHead::SequenceClassification(_) => TextTask::SequenceClassification,
            TextHead::TokenClassification(_) => TextTask::TokenClassification,
            TextHead::QuestionAnswering(_) => TextTask::QuestionAnswering,
            TextHead::MultipleChoice(_) => TextTask::MultipleChoice,
            TextHead::MaskedLM(_) => TextTask::MaskedLM,
            TextHead::NextSentencePrediction(_) => TextTask::NextSentencePrediction,
            TextHead::PreTraining(..) | TextHead::Discriminator(_) => TextTask::PreTraining,
        }
    }

    /// What a model with a head calls its encoder; an encoder alone has no name.
    fn prefix(&self) -> &'static str {
        match &self.head {
            TextHead::Features => "",
            _ => self.config().family.prefix(),
        }
    }

    /// The entries of the `config.json` with which transformers' `from_pretrained` loads the model; `labels` name the classes.
    pub fn to_json(&self, labels: &[String]) -> Map<String, Json> {
        let mut config = self.config().to_json();
        let family = match self.config().family {
            TextFamily::Bert => "Bert",
            TextFamily::Roberta => "Roberta",
            TextFamily::Electra => "Electra",
            TextFamily::DistilBert => "DistilBert",
            TextFamily::Albert => "Albert",
        };
        let ending =
            TextTask::ALL.into_iter().find(|(task, _)| *task == self.task()).map_or("Model", |(_, ending)| ending);
        config.insert("architectures".to_owned(), json!([format!("{family}{ending}")]));
        let numbered = labels.iter().enumerate();
        if !labels.is_empty() {
            let names: Map<String, Json> = numbered.clone().map(|(i, l)| (i.to_string(), l.clone().into())).collect();
            config.insert("id2label".to_owned(), names.into());
            let numbers: Map<String, Json> = numbered.map(|(i, l)| (l.clone(), i.into())).collect();
            config.insert("label2id".to_owned(), numbers.into());
        }
        config
    }

    /// The last hidden states: (B, T, D).
    ///
    /// # Errors
    /// Lists of unequal length, a sequence longer than the model's longest, or ids beyond the tables.
    pub fn hidden(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        encoder!(&self.encoder, net => net.forward(tokens, pass))
    }

    /// tanh of a dense layer on the first token, where the model has one.
    fn pooler(&self, hidden: &Value, pass: &mut Pass) -> Result<Option<Value>> {
        Ok(match &self.encoder {
            TextEncoder::Bert(net) => net.pooler.as_ref().map(|pooler| pooler.forward(hidden, pass)).transpose()?,
            TextEncoder::Albert(net) => {
                let pooled = net.pooler.as_ref().map(|pooler| pooler.forward(&hidden.select(1, 0)?, pass)?.tanh());
                pooled.transpose()?
            }
            TextEncoder::DistilBert(_) => None,
        })
    }

    /// One vector a text, (B, D): of the pooler where there is one, else the first token's.
    fn pooled(&self, hidden: &Value, pass: &mut Pass) -> Result<Value> {
        match self.pooler(hidden, pass)? {
            Some(pooled) => Ok(pooled),
            None => hidden.select(1, 0),
        }
    }

    /// What the head sees: (B, D), or (B, T, D) of heads that look at every token.
    ///
    /// # Errors
    /// As [`TextModel::hidden`].
    pub fn features(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        let hidden = self.hidden(tokens, pass)?;
        match &self.head {
            TextHead::SequenceClassification(_) | TextHead::MultipleChoice(_) | TextHead::NextSentencePrediction(_) => {
                self.pooled(&hidden, pass)
            }
            _ => Ok(hidden),
        }
    }

    /// One vector a text for comparing texts: hidden states pooled and, if `unit`, of length 1. (B, D).
    ///
    /// # Errors
    /// As [`TextModel::hidden`]; [`Pooling::Pooler`] on a model without one.
    pub fn embed(&self, tokens: &TokenBatch, pooling: Pooling, unit: bool, pass: &mut Pass) -> Result<Value> {
        let hidden = self.hidden(tokens, pass)?;
        let none = || Error::argument("embed", "this model has no pooler; pool by mean, cls or max");
        let vector = match pooling {
            Pooling::Pooler => self.pooler(&hidden, pass)?.ok_or_else(none)?,
            _ => pooling.of(&hidden, tokens)?,
        };
        if unit { normalise(&vector) } else { Ok(vector) }
    }

    /// The output of the head. Of [`TextHead::MultipleChoice`] the batch holds the choices of each question one after the
    /// other, as many for each as `choices`: (questions, choices).
    ///
    /// # Errors
    /// As [`TextModel::hidden`]; a batch that is no multiple of the choices.
    pub fn forward_choices(&self, tokens: &TokenBatch, choices: usize, pass: &mut Pass) -> Result<TextOutput> {
        let hidden = self.hidden(tokens, pass)?;
        let one = |value: Value| vec![("logits", value)];
        let values = match &self.head {
            TextHead::Features => {
                let pooled = self.pooler(&hidden, pass)?;
                std::iter::once(("last_hidden_state", hidden)).chain(pooled.map(|y| ("pooler_output", y))).collect()
            }
            TextHead::SequenceClassification(head) => {
                let pooled = self.pooled(&hidden, pass)?;
                one(head.forward(&pooled, pass)?)
            }
            TextHead::TokenClassification(head) => {
                let x = head.dropout.forward(&hidden, pass)?;
                one(head.classifier.forward(&x, pass)?)
            }
            TextHead::QuestionAnswering(head) => {
                let x = match &head.dropout {
                    Some(dropout) => dropout.forward(&hidden, pass)?,
                    None => hidden,
                };
                let y = head.qa_outputs.forward(&x, pass)?;
                vec![("start_logits", y.select(2, 0)?), ("end_logits", y.select(2, 1)?)]
            }
            TextHead::MultipleChoice(head) => {
                if choices == 0 || !tokens.batch.is_multiple_of(choices) {
                    let message = format!("{} texts are no multiple of {choices} choices", tokens.batch);
                    return Err(Error::argument("multiple choice", message));
                }
                let pooled = self.pooled(&hidden, pass)?;
                one(head.forward(&pooled, pass)?.reshape(&[tokens.batch / choices, choices])?)
            }
            TextHead::MaskedLM(head) => one(head.forward(&hidden, self.words(), pass)?),
            TextHead::NextSentencePrediction(head) => {
                let pooled = self.pooled(&hidden, pass)?;
                one(head.forward(&pooled, pass)?)
            }
            TextHead::PreTraining(words, order) => {
                let pooled = self.pooled(&hidden, pass)?;
                let albert = self.config().family == TextFamily::Albert;
                let name = if albert { "sop_logits" } else { "seq_relationship_logits" };
                let words = words.forward(&hidden, self.words(), pass)?;
                vec![("prediction_logits", words), (name, order.forward(&pooled, pass)?)]
            }
            TextHead::Discriminator(head) => {
                let y = head.discriminator_predictions.forward(&hidden, pass)?;
                one(y)
            }
        };
        Ok(TextOutput { values, task: self.task() })
    }

    /// The output of the head; of multiple choice all texts of the batch are choices of one question.
    ///
    /// # Errors
    /// As [`TextModel::hidden`].
    pub fn forward(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<TextOutput> {
        self.forward_choices(tokens, tokens.batch, pass)
    }

    /// The table of word embeddings, which is also the last matrix of a head that scores words.
    fn words(&self) -> &Param {
        match &self.encoder {
            TextEncoder::Bert(net) => &net.embeddings.word_embeddings.weight,
            TextEncoder::DistilBert(net) => &net.embeddings.word_embeddings.weight,
            TextEncoder::Albert(net) => &net.embeddings.word_embeddings.weight,
        }
    }

    /// Classes out, of heads that have classes.
    pub fn classes(&self) -> Option<usize> {
        match &self.head {
            TextHead::SequenceClassification(head) => Some(head.classes()),
            TextHead::TokenClassification(head) => Some(head.classifier.outputs()),
            _ => None,
        }
    }

    /// Gives the model a fresh head for `classes` classes of texts; of tokens, if its head was for tokens. The encoder keeps its
    /// weights; a pooler that it lacks is fresh too.
    pub fn replace_head(&mut self, classes: usize, init: &mut Init) {
        let task = match self.head {
            TextHead::TokenClassification(_) => TextTask::TokenClassification,
            _ => TextTask::SequenceClassification,
        };
        let Ok(fresh) = Self::new(&self.config().clone(), task, classes, init) else { return };
        match (&mut self.encoder, fresh.encoder) {
            (TextEncoder::Bert(net), TextEncoder::Bert(other)) if net.pooler.is_none() || other.pooler.is_none() => {
                net.pooler = other.pooler;
            }
            (TextEncoder::Albert(net), TextEncoder::Albert(other))
                if net.pooler.is_none() || other.pooler.is_none() =>
            {
                net.pooler = other.pooler;
            }
            _ => {}
        }
        self.head = fresh.head;
    }

    /// Prefixes of names from the input to the output, one list per group: embeddings, layers, head. The last is the head, with
    /// the pooler that it looks at.
    pub fn layer_groups(&self) -> Vec<Vec<String>> {
        let prefix = join(self.prefix(), "");
        let mut groups = encoder!(&self.encoder, net => net.layer_groups(&prefix));
        let mut head = vec![format!("{prefix}pooler.")];
        let mut probe = self.head.clone();
        head!(&mut probe, head_module => head_module.each("", &mut |name, _| {
            let part = name.split('.').next().unwrap_or(name);
            let part = format!("{part}.");
            if !head.contains(&part) {
                head.push(part);
            }
        }));
        groups.push(head);
        groups
    }

    /// Prefixes of the names of the head.
    pub fn head_names(&self) -> Vec<String> {
        self.layer_groups().pop().unwrap_or_default()
    }
}

/// The measures that `config.json` beside the weights says, or their tensors; and what these tell.
fn measures(weights: &Weights, dialect: &Dialect) -> weights_import::Result<(BertConfig, Bert)> {
    let fail = |what: String| weights_import::Error::Argument(format!("{}: {what}", weights.source()));
    let found = match guess(weights, dialect) {
        Some(Architecture::Bert(found)) => found,
        Some(other) => return Err(fail(format!("these weights are of {other}, which reads no text"))),
        None => return Err(fail("no known architecture".to_owned())),
    };
    let config = match weights.config()? {
        Some(said) if said["model_type"].is_string() || found.family == TextFamily::Bert => {
            BertConfig::from_json(&said).map_err(|error| fail(error.to_string()))?
        }
        _ => BertConfig::from_weights(&found, &dialect.knobs),
    };
    // A configuration of another model would take any amount of memory before its tensors turned out not to fit.
    let said = (config.vocab_size, config.embedding(), config.hidden_size, config.intermediate_size);
    let held = (found.vocab, found.embedding, found.hidden, found.intermediate);
    let rows = (config.max_position_embeddings, config.type_vocab_size) == (found.positions, found.types);
    let layers = if found.family == TextFamily::Albert { config.hidden_groups } else { config.num_hidden_layers };
    if said != held || !rows || layers != found.layers {
        return Err(fail(format!(
            "holds {}; config.json beside it describes {layers} layers, hidden {}, {} words of width {}, intermediate {}, {} \
             positions, {} segments",
            Architecture::Bert(found),
            config.hidden_size,
            config.vocab_size,
            config.embedding(),
            config.intermediate_size,
            config.max_position_embeddings,
            config.type_vocab_size
        )));
    }
    Ok((config, found))
}

/// What the tensors of a file without `config.json` are for.
fn task_of(found: &Bert, has: &dyn Fn(&str) -> bool) -> TextTask {
    let order = has("cls.seq_relationship.weight") || has("sop_classifier.classifier.weight");
    if found.mlm && order || has("discriminator_predictions.dense.weight") {
        TextTask::PreTraining
    } else if found.mlm {
        TextTask::MaskedLM
    } else if order {
        TextTask::NextSentencePrediction
    } else if has("qa_outputs.weight") {
        TextTask::QuestionAnswering
    } else if has("sequence_summary.summary.weight") {
        TextTask::MultipleChoice
    } else if found.classes.is_some() {
        // The pooler, or its place in the head, tells texts from tokens.
        let texts = found.pooler || has("classifier.out_proj.weight") || has("pre_classifier.weight");
        if texts { TextTask::SequenceClassification } else { TextTask::TokenClassification }
    } else {
        TextTask::Features
    }
}
