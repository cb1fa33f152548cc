//! What models of text are for: their outputs, and the losses by which they learn.

use ukulele_layers::{Error, Result, Tensor, Value};

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
    pub(crate) const ALL: [(Self, &'static str); 8] = [
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
    pub fn of_class(class: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, ending)| class.ends_with(ending)).map(|(task, _)| task)
    }
}

/// What a model says, by Hugging Face's names.
#[derive(Debug, Clone)]
pub struct TextOutput {
    /// `logits`; or `start_logits` and `end_logits`; `prediction_logits` and `seq_relationship_logits` (ALBERT:
    /// `sop_logits`); `last_hidden_state` and `pooler_output`.
    pub values: Vec<(&'static str, Value)>,
    pub(crate) task: TextTask,
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

impl TextLabels {
    fn name(&self) -> &'static str {
        match self {
            Self::Classes(_) => "Classes",
            Self::Several(_) => "Several",
            Self::Numbers(_) => "Numbers",
            Self::Span { .. } => "Span",
            Self::Pretraining { .. } => "Pretraining",
            Self::Replaced { .. } => "Replaced",
        }
    }
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
            logits.reshape(&[logits.numel() / classes.max(1), classes])
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
                    let places = places.iter().map(|&place| if place < beyond { place.max(0) } else { -100 });
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
                Err(Error::argument("loss", format!("a model for {task:?} does not learn from {}", labels.name())))
            }
        }
    }
}
