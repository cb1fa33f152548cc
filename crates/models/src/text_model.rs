//! One type for all models of text: BERT and its relatives, with every head that Hugging Face gives them.

use crate::albert::AlbertModel;
use crate::bert::BertModel;
use crate::bert_config::{BertConfig, DEVIATION};
use crate::distilbert::DistilBertModel;
use crate::pooling::{Pooling, normalise};
use crate::pretrained::Pretrained;
use crate::text_heads::{Discriminator, DiscriminatorHead, OrderHead, SequenceHead, WordsHead};
use crate::text_stages::TextStages;
use crate::text_task::{TextOutput, TextTask};
use crate::tokens::TokenBatch;
use serde_json::{Map, Value as Json, json};
use std::ops::Range;
use std::path::Path;
use ukulele_kernels::in_pool;
use ukulele_layers::{Dropout, Error, Init, Linear, Module, ModuleId, Param, Pass, Result, Value, join, module};
use weights_import::{Architecture, Bert, Dialect, TextFamily, Weights, guess};

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

/// Whether the models of transformers have a pooler. Without one, heads look at the first token.
fn wants_pooler(family: TextFamily, task: TextTask) -> bool {
    match family {
        TextFamily::Bert | TextFamily::Albert => {
            !matches!(task, TextTask::TokenClassification | TextTask::QuestionAnswering | TextTask::MaskedLM)
        }
        TextFamily::Roberta => matches!(task, TextTask::Features | TextTask::MultipleChoice),
        TextFamily::Electra | TextFamily::DistilBert => false,
    }
}

/// How the models of transformers make one vector of a text.
fn usual_pooling(family: TextFamily, task: TextTask) -> Pooling {
    if wants_pooler(family, task) { Pooling::Pooler } else { Pooling::Cls }
}

impl TextEncoder {
    fn new(config: &BertConfig, pooler: bool, init: &mut Init) -> Self {
        match config.family {
            TextFamily::DistilBert => Self::DistilBert(DistilBertModel::new(config, init)),
            TextFamily::Albert => Self::Albert(AlbertModel::new(config, pooler, init)),
            _ => Self::Bert(BertModel::new(config, pooler, init)),
        }
    }

    /// Takes the pooler away, or makes a fresh one where there is none.
    fn set_pooler(&mut self, wanted: bool, init: &mut Init) {
        match self {
            Self::Bert(net) => net.set_pooler(wanted, init),
            Self::Albert(net) => net.set_pooler(wanted, init),
            Self::DistilBert(_) => {}
        }
    }
}

impl TextHead {
    /// A fresh head.
    fn new(config: &BertConfig, task: TextTask, classes: usize, init: &mut Init) -> Result<Self> {
        let pooling = usual_pooling(config.family, task);
        let linear = |outputs, init: &mut Init| Linear::normal(config.hidden_size, outputs, DEVIATION, init);
        Ok(match (task, config.family) {
            (TextTask::Features, _) => TextHead::Features,
            (TextTask::SequenceClassification, _) => {
                TextHead::SequenceClassification(SequenceHead::new(config, classes, false, pooling, init))
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
            (TextTask::MultipleChoice, _) => {
                TextHead::MultipleChoice(SequenceHead::new(config, 1, true, pooling, init))
            }
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
        })
    }
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

impl TextModel {
    /// A model with fresh weights; `classes` counts for classification of sequences and tokens.
    ///
    /// # Errors
    /// A head that the family does not have.
    pub fn new(config: &BertConfig, task: TextTask, classes: usize, init: &mut Init) -> Result<Self> {
        let encoder = TextEncoder::new(config, wants_pooler(config.family, task), init);
        Ok(Self { encoder, head: TextHead::new(config, task, classes, init)? })
    }

    /// A model with fresh weights that sorts texts into `classes` classes, by any pooling.
    ///
    /// # Errors
    /// [`Pooling::Pooler`] of DistilBERT, which has none.
    pub fn classifier(config: &BertConfig, classes: usize, pooling: Pooling, init: &mut Init) -> Result<Self> {
        let encoder = TextEncoder::new(config, pooling == Pooling::Pooler, init);
        let head = TextHead::SequenceClassification(SequenceHead::new(config, classes, false, pooling, init));
        let net = Self { encoder, head };
        if pooling == Pooling::Pooler && !net.has_pooler() {
            return Err(no_pooler());
        }
        Ok(net)
    }

    /// The model of a file of weights or of a folder with `config.json`, and its dialect. The configuration says what the model
    /// is for; without one the tensors do. For another head see [`TextModel::replace_head`].
    ///
    /// # Errors
    /// No file of weights, no model of text, or weights that leave a part of the model open; where that is the head,
    /// [`TextModel::encoder_of`] does without.
    pub fn from_pretrained(path: impl AsRef<Path>) -> weights_import::Result<(Self, Dialect)> {
        let weights = weights_import::open(path)?;
        let dialect = Dialect::detect(&weights)?;
        let (config, found) = Self::measures(&weights, &dialect)?;
        let said = weights.config()?;
        let argument = |error: Error| weights_import::Error::Argument(format!("{}: {error}", weights.source()));
        let class = said.as_ref().and_then(|said| said["architectures"][0].as_str());
        let has = |name: &str| weights.entries().iter().any(|entry| entry.name.ends_with(name));
        let task = class.and_then(TextTask::of_class).unwrap_or_else(|| task_of(&found, &has));
        if matches!(task, TextTask::MaskedLM | TextTask::PreTraining)
            && said.as_ref().is_some_and(|said| said["tie_word_embeddings"] == false)
        {
            let message =
                "its head has a matrix of its own for words (`tie_word_embeddings` is false), which is not read";
            return Err(argument(Error::argument("config.json", message)));
        }
        let labels = said.as_ref().and_then(|said| said["id2label"].as_object().map(Map::len));
        let classes = found.classes.or(labels).unwrap_or(2);
        let mut net = Self::new(&config, task, classes, &mut Init::zeros()).map_err(argument)?;
        net.keep_pooler(found.pooler);
        let _complete = net.load(&weights, &dialect)?.only_missing(&[])?;
        Ok((net, dialect))
    }

    /// Makes room for the pooler of a file, or takes it away from a model whose head does not look at it. One that no head looks
    /// at is frozen: it waits for [`TextModel::replace_head`].
    pub fn keep_pooler(&mut self, kept: bool) {
        let needed = match &self.head {
            TextHead::SequenceClassification(head) | TextHead::MultipleChoice(head) => head.pooling == Pooling::Pooler,
            TextHead::NextSentencePrediction(_) | TextHead::PreTraining(..) => true,
            _ => false,
        };
        self.encoder.set_pooler(kept || needed, &mut Init::zeros());
        let idle = !needed && !matches!(self.head, TextHead::Features);
        let pooler = join(self.prefix(), "pooler.");
        self.each("", &mut |name, param| {
            if name.starts_with(&pooler) {
                param.frozen = idle;
            }
        });
    }

    /// The encoder alone of any such weights, with its pooler if they have one.
    ///
    /// # Errors
    /// As [`TextModel::from_pretrained`].
    pub fn encoder_of(weights: &Weights, dialect: &Dialect) -> weights_import::Result<Self> {
        let (config, found) = Self::measures(weights, dialect)?;
        let encoder = TextEncoder::new(&config, found.pooler, &mut Init::zeros());
        let mut net = Self { encoder, head: TextHead::Features };
        let _complete = net.load(weights, dialect)?.only_missing(&[])?;
        Ok(net)
    }

    /// The measures that `config.json` beside the weights says, or their tensors; and what these tell.
    ///
    /// # Errors
    /// No model of text, or a configuration that is not of these tensors.
    pub fn measures(weights: &Weights, dialect: &Dialect) -> weights_import::Result<(BertConfig, Bert)> {
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
        if !config.fits(&found) {
            let layers =
                if found.family == TextFamily::Albert { config.hidden_groups } else { config.num_hidden_layers };
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
            TextFamily::Roberta if self.config().alias == Some("xlm-roberta") => "XLMRoberta",
            TextFamily::Roberta if self.config().alias == Some("camembert") => "Camembert",
            TextFamily::Roberta => "Roberta",
            TextFamily::Electra => "Electra",
            TextFamily::DistilBert => "DistilBert",
            TextFamily::Albert => "Albert",
        };
        // The class of transformers pools in its own way: what pools otherwise is to be read as a trunk there.
        let task = match &self.head {
            TextHead::SequenceClassification(head)
                if head.pooling != usual_pooling(self.config().family, self.task()) =>
            {
                TextTask::Features
            }
            _ => self.task(),
        };
        let ending = TextTask::ALL.into_iter().find(|(known, _)| *known == task).map_or("Model", |(_, ending)| ending);
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
        in_pool(|| encoder!(&self.encoder, net => net.forward(tokens, pass)))
    }

    /// The encoder's stages from `range.start` to before `range.end`, one for each group of [`TextModel::layer_groups`] but the
    /// head's: the first takes the tokens (`x` is `None`), each further one what the one before it gives, (B, T, D). All of them
    /// are [`TextModel::hidden`]. Of the tokens all stages but the first see the padding alone.
    ///
    /// # Errors
    /// A range beyond the stages; `x` where the first begins, or none where it does not; those of [`TextModel::hidden`].
    pub fn run_stages(
        &self,
        range: Range<usize>,
        x: Option<&Value>,
        tokens: &TokenBatch,
        pass: &mut Pass,
    ) -> Result<Value> {
        in_pool(|| encoder!(&self.encoder, net => net.run(range, x, tokens, pass)))
    }

    /// What the encoder's embeddings give, (B, T, width): the output of the module [`TextModel::embeddings_name`].
    ///
    /// # Errors
    /// As [`TextModel::hidden`].
    pub fn embedded(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        encoder!(&self.encoder, net => net.looked_up(tokens, pass))
    }

    /// The name of the encoder's embeddings.
    pub fn embeddings_name(&self) -> String {
        join(self.prefix(), "embeddings")
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

    /// Whether there is a trained projection of the first token.
    pub fn has_pooler(&self) -> bool {
        match &self.encoder {
            TextEncoder::Bert(net) => net.pooler.is_some(),
            TextEncoder::Albert(net) => net.pooler.is_some(),
            TextEncoder::DistilBert(_) => false,
        }
    }

    /// One vector a text: (B, D).
    fn pooled(&self, hidden: &Value, tokens: &TokenBatch, pooling: Pooling, pass: &mut Pass) -> Result<Value> {
        match pooling {
            Pooling::Pooler => self.pooler(hidden, pass)?.ok_or_else(no_pooler),
            _ => pooling.of(hidden, tokens),
        }
    }

    /// What the head sees: (B, D), or (B, T, D) of heads that look at every token.
    ///
    /// # Errors
    /// As [`TextModel::hidden`].
    pub fn features(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        let hidden = self.hidden(tokens, pass)?;
        self.features_of(hidden, tokens, pass)
    }

    /// What the head sees of the last hidden states (B, T, D): those, or a vector of each text.
    ///
    /// # Errors
    /// Another number of tokens than hidden states.
    pub fn features_of(&self, hidden: Value, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        match &self.head {
            TextHead::SequenceClassification(head) | TextHead::MultipleChoice(head) => {
                self.pooled(&hidden, tokens, head.pooling, pass)
            }
            TextHead::NextSentencePrediction(_) => self.pooled(&hidden, tokens, Pooling::Pooler, pass),
            _ => Ok(hidden),
        }
    }

    /// One vector a text for comparing texts: hidden states pooled and, if `unit`, of length 1. (B, D).
    ///
    /// # Errors
    /// As [`TextModel::hidden`]; [`Pooling::Pooler`] on a model without one.
    pub fn embed(&self, tokens: &TokenBatch, pooling: Pooling, unit: bool, pass: &mut Pass) -> Result<Value> {
        let hidden = self.hidden(tokens, pass)?;
        let vector = self.pooled(&hidden, tokens, pooling, pass)?;
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
                let pooled = self.pooled(&hidden, tokens, head.pooling, pass)?;
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
                let pooled = self.pooled(&hidden, tokens, head.pooling, pass)?;
                one(head.forward(&pooled, pass)?.reshape(&[tokens.batch / choices, choices])?)
            }
            TextHead::MaskedLM(head) => one(head.forward(&hidden, self.words(), pass)?),
            TextHead::NextSentencePrediction(head) => {
                let pooled = self.pooled(&hidden, tokens, Pooling::Pooler, pass)?;
                one(head.forward(&pooled, pass)?)
            }
            TextHead::PreTraining(words, order) => {
                let pooled = self.pooled(&hidden, tokens, Pooling::Pooler, pass)?;
                let albert = self.config().family == TextFamily::Albert;
                let name = if albert { "sop_logits" } else { "seq_relationship_logits" };
                let words = words.forward(&hidden, self.words(), pass)?;
                vec![("prediction_logits", words), (name, order.forward(&pooled, pass)?)]
            }
            TextHead::Discriminator(head) => one(head.discriminator_predictions.forward(&hidden, pass)?),
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
    /// weights. Texts are pooled as the family does; by the mean where that is a pooler which the model has not.
    pub fn replace_head(&mut self, classes: usize, init: &mut Init) {
        let config = self.config().clone();
        let task = match self.head {
            TextHead::TokenClassification(_) => TextTask::TokenClassification,
            _ => TextTask::SequenceClassification,
        };
        self.head = TextHead::new(&config, task, classes, init).expect("every family classifies");
        let trained = self.has_pooler();
        if let TextHead::SequenceClassification(head) = &mut self.head
            && head.pooling == Pooling::Pooler
            && !trained
        {
            head.pooling = Pooling::Mean;
        }
        self.keep_pooler(trained);
    }

    /// Prefixes of names from the input to the output, one list per group: embeddings, layers, head. The last is the head, with
    /// the pooler that it looks at.
    pub fn layer_groups(&self) -> Vec<Vec<String>> {
        let prefix = join(self.prefix(), "");
        let mut groups = encoder!(&self.encoder, net => net.layer_groups(&prefix));
        groups.push(std::iter::once(format!("{prefix}pooler.")).chain(self.head_names()).collect());
        groups
    }

    /// Prefixes of the names of the head, without a pooler.
    pub fn head_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut add = |name: &str| {
            let part = format!("{}.", name.split('.').next().unwrap_or(name));
            if !name.is_empty() && !names.contains(&part) {
                names.push(part);
            }
        };
        head!(&self.head, head => head.modules("", &mut |name, _| add(name)));
        // Its bias is of no module.
        if let TextHead::MaskedLM(words) | TextHead::PreTraining(words, _) = &self.head {
            add(words.bias_name());
        }
        names
    }
}

fn no_pooler() -> Error {
    Error::argument("text model", "this model has no pooler; pool by mean, cls or max")
}

/// What the tensors of a file without `config.json` are for.
fn task_of(found: &Bert, has: &dyn Fn(&str) -> bool) -> TextTask {
    let order =
        ["cls.seq_relationship.weight", "cls/seq_relationship/output_weights", "sop_classifier.classifier.weight"];
    let order = order.into_iter().any(has);
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
