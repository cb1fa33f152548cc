//! BERT: a stack of transformer encoders over word pieces.
//!
//! ids (B, T) → word + position + type embeddings, LayerNorm → L layers of {self-attention, add, LayerNorm, GELU
//! feed-forward, add, LayerNorm} → hidden states (B, T, D). Names are Hugging Face's.
//! Source: Devlin et al. 2018; `modeling_bert.py` of transformers.

use serde_json::{Map, Value as Json, json};
use ukulele_layers::{
    Dropout, Embedding, Error, Gelu, Init, LayerNorm, Linear, MultiHeadAttention, Pass, Result, Tensor, Value, module,
};

/// A BERT's measures, as its `config.json` names them.
#[derive(Debug, Clone, PartialEq)]
pub struct BertConfig {
    /// Word pieces in the table.
    pub vocab_size: usize,
    /// D.
    pub hidden_size: usize,
    /// L.
    pub num_hidden_layers: usize,
    /// Heads of attention; divides D.
    pub num_attention_heads: usize,
    /// Width of the feed-forward part.
    pub intermediate_size: usize,
    /// The longest sequence.
    pub max_position_embeddings: usize,
    /// Kinds of segment.
    pub type_vocab_size: usize,
    /// ε of all layer norms.
    pub layer_norm_eps: f64,
    /// Form of GELU.
    pub hidden_act: Gelu,
    /// Dropout after each part.
    pub hidden_dropout_prob: f32,
    /// Dropout on the weights of attention.
    pub attention_probs_dropout_prob: f32,
}

impl Default for BertConfig {
    /// bert-base-uncased.
    fn default() -> Self {
        Self {
            vocab_size: 30522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            hidden_act: Gelu::Erf,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
        }
    }
}

impl BertConfig {
    /// Reads the parsed `config.json` of a Hugging Face model; what it does not name is as in bert-base.
    ///
    /// # Errors
    /// A number that is none or is out of range, an activation that BERT does not have, or heads that do not divide D.
    pub fn from_json(config: &Json) -> Result<Self> {
        let wrong =
            |key: &str, what: &str| Error::argument("config.json", format!("`{key}` is {}; {what}", config[key]));
        let size = |key: &str, default: usize| match &config[key] {
            Json::Null => Ok(default),
            value => value
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| (1..=1 << 24).contains(n))
                .ok_or_else(|| wrong(key, "a whole number from 1 to 16,777,216 belongs there")),
        };
        let number = |key: &str, default: f64, below: f64| match &config[key] {
            Json::Null => Ok(default),
            value => value
                .as_f64()
                .filter(|x| (0.0..below).contains(x))
                .ok_or_else(|| wrong(key, &format!("a number from 0 to below {below} belongs there"))),
        };
        let base = Self::default();
        let config = Self {
            vocab_size: size("vocab_size", base.vocab_size)?,
            hidden_size: size("hidden_size", base.hidden_size)?,
            num_hidden_layers: size("num_hidden_layers", base.num_hidden_layers)?,
            num_attention_heads: size("num_attention_heads", base.num_attention_heads)?,
            intermediate_size: size("intermediate_size", base.intermediate_size)?,
            max_position_embeddings: size("max_position_embeddings", base.max_position_embeddings)?,
            type_vocab_size: size("type_vocab_size", base.type_vocab_size)?,
            layer_norm_eps: number("layer_norm_eps", base.layer_norm_eps, 1.0)?,
            hidden_act: match config["hidden_act"].as_str() {
                None if config["hidden_act"].is_null() => Gelu::Erf,
                Some("gelu") => Gelu::Erf,
                Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Gelu::Tanh,
                _ => return Err(wrong("hidden_act", "BERT has gelu, gelu_new or gelu_pytorch_tanh")),
            },
            hidden_dropout_prob: number("hidden_dropout_prob", 0.1, 1.0)? as f32,
            attention_probs_dropout_prob: number("attention_probs_dropout_prob", 0.1, 1.0)? as f32,
        };
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            let message =
                format!("{} heads do not divide a hidden size of {}", config.num_attention_heads, config.hidden_size);
            return Err(Error::argument("config.json", message));
        }
        Ok(config)
    }

    /// The measures that a file's names and shapes tell of, with the knobs of its dialect, for a file without
    /// `config.json`.
    pub fn from_weights(found: &weights_import::Bert, knobs: &weights_import::Knobs) -> Self {
        Self {
            vocab_size: found.vocab,
            hidden_size: found.hidden,
            num_hidden_layers: found.layers,
            num_attention_heads: found.heads,
            intermediate_size: found.intermediate,
            max_position_embeddings: found.positions,
            type_vocab_size: found.types,
            layer_norm_eps: knobs.layer_norm_eps,
            hidden_act: match knobs.gelu {
                weights_import::Gelu::Erf => Gelu::Erf,
                weights_import::Gelu::Tanh => Gelu::Tanh,
            },
            ..Self::default()
        }
    }

    /// The entries of a Hugging Face `config.json`.
    pub fn to_json(&self) -> Map<String, Json> {
        let config = json!({
            "model_type": "bert",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "type_vocab_size": self.type_vocab_size,
            "layer_norm_eps": self.layer_norm_eps,
            "hidden_act": match self.hidden_act { Gelu::Erf => "gelu", Gelu::Tanh => "gelu_new" },
            "hidden_dropout_prob": decimal(self.hidden_dropout_prob),
            "attention_probs_dropout_prob": decimal(self.attention_probs_dropout_prob),
        });
        config.as_object().cloned().unwrap_or_default()
    }
}

/// The number with the fewest digits that rounds to `value`: 0.1, not 0.10000000149.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

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

    fn check(&self) -> Result<()> {
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
    fn score_mask(&self) -> Result<Option<Tensor>> {
        if self.mask.iter().all(|&m| m == 1.0) {
            return Ok(None);
        }
        let scores = self.mask.iter().map(|&m| if m == 0.0 { f32::MIN } else { 0.0 }).collect();
        Tensor::from_vec(&[self.batch, self.length], scores).map(Some)
    }
}

/// Word, position and segment embeddings.
#[derive(Debug, Clone)]
pub struct BertEmbeddings {
    /// [vocabulary, D].
    pub word_embeddings: Embedding,
    /// [longest sequence, D].
    pub position_embeddings: Embedding,
    /// [segments, D].
    pub token_type_embeddings: Embedding,
    /// Norm of the sum.
    pub norm: LayerNorm,
    /// After the norm.
    pub dropout: Dropout,
}

module!(BertEmbeddings { word_embeddings, position_embeddings, token_type_embeddings, norm => "LayerNorm", dropout });

/// A projection, then LayerNorm of its sum with the input of the block.
#[derive(Debug, Clone)]
pub struct BertOutput {
    /// Back to D.
    pub dense: Linear,
    /// Norm of the sum.
    pub norm: LayerNorm,
    /// After `dense`.
    pub dropout: Dropout,
}

module!(BertOutput { dense, norm => "LayerNorm", dropout });

impl BertOutput {
    fn forward(&self, x: &Value, residual: &Value, pass: &mut Pass) -> Result<Value> {
        let y = self.dense.forward(x, pass)?;
        let y = self.dropout.forward(&y, pass)?;
        let y = self.norm.forward(&y.add(residual)?, pass)?;
        Ok(pass.tap(self, y))
    }
}

/// Self-attention and its output block.
#[derive(Debug, Clone)]
pub struct BertAttention {
    /// Q, K, V and the heads.
    pub mixer: MultiHeadAttention,
    /// Projection, residual, norm.
    pub output: BertOutput,
}

module!(BertAttention { mixer => "self", output });

/// The widening half of the feed-forward part.
#[derive(Debug, Clone)]
pub struct BertIntermediate {
    /// D to the wide size.
    pub dense: Linear,
}

module!(BertIntermediate { dense });

/// One transformer layer.
#[derive(Debug, Clone)]
pub struct BertLayer {
    /// Self-attention.
    pub attention: BertAttention,
    /// Feed-forward, wide.
    pub intermediate: BertIntermediate,
    /// Feed-forward, back to D.
    pub output: BertOutput,
    activation: Gelu,
}

module!(BertLayer { attention, intermediate, output });

impl BertLayer {
    fn forward(&self, x: &Value, mask: Option<&Tensor>, pass: &mut Pass) -> Result<Value> {
        let mixed = self.attention.mixer.forward(x, mask, pass)?;
        let y = self.attention.output.forward(&mixed, x, pass)?;
        let y = pass.tap(&self.attention, y);
        let wide = self.intermediate.dense.forward(&y, pass)?.gelu(self.activation)?;
        let wide = pass.tap(&self.intermediate, wide);
        let y = self.output.forward(&wide, &y, pass)?;
        Ok(pass.tap(self, y))
    }
}

/// The stack of layers: `encoder.layer.N`.
#[derive(Debug, Clone)]
pub struct BertEncoder {
    /// The layers, first to last.
    pub layer: Vec<BertLayer>,
}

module!(BertEncoder { layer });

/// tanh(dense(first token)).
#[derive(Debug, Clone)]
pub struct BertPooler {
    /// D to D.
    pub dense: Linear,
}

module!(BertPooler { dense });

/// The encoder: ids to hidden states.
#[derive(Debug, Clone)]
pub struct BertModel {
    /// Word, position and segment embeddings.
    pub embeddings: BertEmbeddings,
    /// The stack of layers.
    pub encoder: BertEncoder,
    /// For models that have one.
    pub pooler: Option<BertPooler>,
    config: BertConfig,
}

module!(BertModel { embeddings, encoder, pooler });

/// Deviation of fresh weights.
const DEVIATION: f64 = 0.02;

impl BertModel {
    /// An encoder of these measures with fresh weights; `pooler` tells whether it has one.
    pub fn new(config: &BertConfig, pooler: bool, init: &mut Init) -> Self {
        let (size, wide, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let drop = || Dropout::new(config.hidden_dropout_prob);
        let table = |entries, init: &mut Init| Embedding::new(entries, size, DEVIATION, init);
        let output = |inputs, init: &mut Init| BertOutput {
            dense: Linear::normal(inputs, size, DEVIATION, init),
            norm: LayerNorm::new(size, eps),
            dropout: drop(),
        };
        let embeddings = BertEmbeddings {
            word_embeddings: table(config.vocab_size, init),
            position_embeddings: table(config.max_position_embeddings, init),
            token_type_embeddings: table(config.type_vocab_size, init),
            norm: LayerNorm::new(size, eps),
            dropout: drop(),
        };
        let layers = (0..config.num_hidden_layers).map(|_| BertLayer {
            attention: BertAttention {
                mixer: MultiHeadAttention::new(
                    size,
                    config.num_attention_heads,
                    config.attention_probs_dropout_prob,
                    DEVIATION,
                    init,
                ),
                output: output(size, init),
            },
            intermediate: BertIntermediate { dense: Linear::normal(size, wide, DEVIATION, init) },
            output: output(wide, init),
            activation: config.hidden_act,
        });
        let encoder = BertEncoder { layer: layers.collect() };
        let pooler = pooler.then(|| BertPooler { dense: Linear::normal(size, size, DEVIATION, init) });
        Self { embeddings, encoder, pooler, config: config.clone() }
    }

    /// The measures.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// The embedded tokens: (B, T, D).
    ///
    /// # Errors
    /// Lists of unequal length, a sequence longer than the positions, or ids beyond the tables.
    pub fn embed(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        tokens.check()?;
        if tokens.length > self.config.max_position_embeddings {
            let message = format!(
                "a sequence of {} tokens, the model has {} positions; truncate it",
                tokens.length, self.config.max_position_embeddings
            );
            return Err(Error::argument("bert", message));
        }
        let shape = [tokens.batch, tokens.length];
        let e = &self.embeddings;
        let words = e.word_embeddings.forward(&tokens.ids, &shape, pass)?;
        let types = e.token_type_embeddings.forward(&tokens.types, &shape, pass)?;
        let positions: Vec<usize> = (0..tokens.length).collect();
        let positions = e.position_embeddings.forward(&positions, &[tokens.length], pass)?;
        let sum = words.add(&types)?.add(&positions)?;
        let y = e.dropout.forward(&e.norm.forward(&sum, pass)?, pass)?;
        Ok(pass.tap(e, y))
    }

    /// The hidden states after the embeddings and after each layer: L + 1 times (B, T, D).
    ///
    /// # Errors
    /// As [`BertModel::embed`].
    pub fn hidden_states(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Vec<Value>> {
        let mask = tokens.score_mask()?;
        let mut states = vec![self.embed(tokens, pass)?];
        for layer in &self.encoder.layer {
            let next = layer.forward(&states[states.len() - 1], mask.as_ref(), pass)?;
            states.push(next);
        }
        Ok(states)
    }

    /// The last hidden states: (B, T, D).
    ///
    /// # Errors
    /// As [`BertModel::embed`].
    pub fn forward(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        let mask = tokens.score_mask()?;
        let x = self.embed(tokens, pass)?;
        let y = self.encoder.layer.iter().try_fold(x, |x, layer| layer.forward(&x, mask.as_ref(), pass))?;
        let y = pass.tap(&self.encoder, y);
        Ok(pass.tap(self, y))
    }

    /// One vector per sequence, (B, D).
    ///
    /// # Errors
    /// As [`BertModel::embed`]; [`Pooling::Pooler`] on a model without one.
    pub fn pooled(&self, tokens: &TokenBatch, pooling: Pooling, pass: &mut Pass) -> Result<Value> {
        let hidden = self.forward(tokens, pass)?;
        match (pooling, &self.pooler) {
            (Pooling::Mean, _) => mean_over_tokens(&hidden, tokens),
            (Pooling::Cls, _) => hidden.select(1, 0),
            (Pooling::Pooler, Some(pooler)) => {
                let y = pooler.dense.forward(&hidden.select(1, 0)?, pass)?.tanh()?;
                Ok(pass.tap(pooler, y))
            }
            (Pooling::Pooler, None) => Err(Error::argument("bert", "this model has no pooler; pool by mean or cls")),
        }
    }

    /// Prefixes of names from the input to the output, one per group, below `prefix`.
    pub fn layer_groups(&self, prefix: &str) -> Vec<Vec<String>> {
        let layers = (0..self.encoder.layer.len()).map(|i| vec![format!("{prefix}encoder.layer.{i}.")]);
        std::iter::once(vec![format!("{prefix}embeddings.")]).chain(layers).collect()
    }
}

/// The mean of the hidden states of the tokens that are no padding: (B, T, D) to (B, D).
fn mean_over_tokens(hidden: &Value, tokens: &TokenBatch) -> Result<Value> {
    let weights = tokens.mask.chunks(tokens.length.max(1)).flat_map(|row| {
        let total = row.iter().sum::<f32>().max(1.0);
        row.iter().map(move |m| m / total)
    });
    let weights: Value = Tensor::from_vec(&[tokens.batch, 1, tokens.length], weights.collect())?.into();
    let size = hidden.shape()[2];
    weights.matmul(hidden)?.reshape(&[tokens.batch, size])
}

/// How a sequence becomes one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// tanh of a trained projection of the first token: as BERT was pretrained for sentence pairs.
    Pooler,
    /// The first token.
    Cls,
    /// The mean over all tokens.
    Mean,
}

impl Pooling {
    /// The name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pooler => "pooler",
            Self::Cls => "cls",
            Self::Mean => "mean",
        }
    }

    /// The pooling of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pooler, Self::Cls, Self::Mean].into_iter().find(|p| p.name() == name)
    }
}

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
        let y = head.transform.dense.forward(&hidden, pass)?.gelu(self.bert.config.hidden_act)?;
        let y = head.transform.norm.forward(&y, pass)?;
        let y = pass.tap(&head.transform, y);
        let table = pass.param(&self.bert.embeddings.word_embeddings.weight);
        let bias = pass.param(&head.bias);
        let y = y.linear(&table, Some(&bias))?;
        let y = pass.tap(head, y);
        Ok(pass.tap(&self.cls, y))
    }
}
