//! BERT: a stack of transformer encoders over word pieces. RoBERTa and ELECTRA are the same but for what is said here.
//!
//! ids (B, T) → word + position + type embeddings, LayerNorm → L layers of {self-attention, add, LayerNorm, GELU
//! feed-forward, add, LayerNorm} → hidden states (B, T, D). RoBERTa counts positions from behind the padding's; ELECTRA's
//! embeddings may be narrower and are then projected. Names are Hugging Face's.
//! Source: Devlin et al. 2018, Liu et al. 2019, Clark et al. 2020; `modeling_bert.py`, `_roberta.py`, `_electra.py` of
//! transformers.

use crate::bert_config::{BertConfig, DEVIATION};
use crate::pooling::Pooling;
use crate::text_stages::TextStages;
use crate::tokens::TokenBatch;
use ukulele_layers::{
    Dropout, Embedding, Error, Gelu, Init, LayerNorm, Linear, MultiHeadAttention, Pass, Result, Tensor, Value, module,
};
use weights_import::TextFamily;

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

impl BertEmbeddings {
    /// `padding`: positions count from behind this id, see [`TokenBatch::positions_after`].
    pub(crate) fn forward(&self, tokens: &TokenBatch, padding: Option<usize>, pass: &mut Pass) -> Result<Value> {
        let shape = [tokens.batch, tokens.length];
        let words = self.word_embeddings.forward(&tokens.ids, &shape, pass)?;
        let types = self.token_type_embeddings.forward(&tokens.types, &shape, pass)?;
        let positions = match padding {
            Some(id) => self.position_embeddings.forward(&tokens.positions_after(id), &shape, pass)?,
            None => {
                let positions: Vec<usize> = (0..tokens.length).collect();
                self.position_embeddings.forward(&positions, &[tokens.length], pass)?
            }
        };
        let y = self.norm.forward(&words.add(&types)?.add(&positions)?, pass)?;
        let y = self.dropout.forward(&y, pass)?;
        Ok(pass.tap(self, y))
    }
}

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

impl BertPooler {
    fn new(size: usize, init: &mut Init) -> Self {
        Self { dense: Linear::normal(size, size, DEVIATION, init) }
    }

    /// Hidden states (B, T, D) to (B, D).
    pub(crate) fn forward(&self, hidden: &Value, pass: &mut Pass) -> Result<Value> {
        let y = self.dense.forward(&hidden.select(1, 0)?, pass)?.tanh()?;
        Ok(pass.tap(self, y))
    }
}

impl TextStages for BertModel {
    fn groups(&self) -> usize {
        self.encoder.layer.len()
    }

    fn first(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        self.embed(tokens, pass)
    }

    fn group(&self, at: usize, x: &Value, mask: Option<&Tensor>, pass: &mut Pass) -> Result<Value> {
        let y = self.encoder.layer[at].forward(x, mask, pass)?;
        if at + 1 < self.groups() {
            return Ok(y);
        }
        let y = pass.tap(&self.encoder, y);
        Ok(pass.tap(self, y))
    }
}

/// The encoder: ids to hidden states.
#[derive(Debug, Clone)]
pub struct BertModel {
    /// Word, position and segment embeddings.
    pub embeddings: BertEmbeddings,
    /// From the width of the embeddings to D, where they differ.
    pub embeddings_project: Option<Linear>,
    /// The stack of layers.
    pub encoder: BertEncoder,
    /// For models that have one.
    pub pooler: Option<BertPooler>,
    config: BertConfig,
}

module!(BertModel { embeddings, embeddings_project, encoder, pooler });

impl BertModel {
    /// An encoder of these measures with fresh weights; `pooler` tells whether it has one.
    pub fn new(config: &BertConfig, pooler: bool, init: &mut Init) -> Self {
        let (size, wide, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let drop = || Dropout::new(config.hidden_dropout_prob);
        let narrow = config.embedding();
        let table = |entries, init: &mut Init| Embedding::new(entries, narrow, DEVIATION, init);
        let output = |inputs, init: &mut Init| BertOutput {
            dense: Linear::normal(inputs, size, DEVIATION, init),
            norm: LayerNorm::new(size, eps),
            dropout: drop(),
        };
        let embeddings = BertEmbeddings {
            word_embeddings: config.word_embeddings(init),
            position_embeddings: Embedding {
                padding: (config.family == TextFamily::Roberta).then_some(config.pad_token_id),
                ..table(config.max_position_embeddings, init)
            },
            token_type_embeddings: table(config.type_vocab_size, init),
            norm: LayerNorm::new(narrow, eps),
            dropout: drop(),
        };
        let embeddings_project = (narrow != size).then(|| Linear::normal(narrow, size, DEVIATION, init));
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
        let pooler = pooler.then(|| BertPooler::new(size, init));
        Self { embeddings, embeddings_project, encoder, pooler, config: config.clone() }
    }

    /// Takes the pooler away, or makes a fresh one where there is none.
    pub(crate) fn set_pooler(&mut self, wanted: bool, init: &mut Init) {
        let old = self.pooler.take();
        self.pooler = wanted.then(|| old.unwrap_or_else(|| BertPooler::new(self.config.hidden_size, init)));
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
        let y = self.looked_up(tokens, pass)?;
        self.embeddings_project.as_ref().map_or(Ok(y.clone()), |project| project.forward(&y, pass))
    }

    /// The embedded tokens before they are projected.
    pub(crate) fn looked_up(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        tokens.fits(&self.config)?;
        let padding = (self.config.family == TextFamily::Roberta).then_some(self.config.pad_token_id);
        self.embeddings.forward(tokens, padding, pass)
    }

    /// The hidden states after the embeddings and after each layer: L + 1 times (B, T, D).
    ///
    /// # Errors
    /// As [`BertModel::embed`].
    pub fn hidden_states(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Vec<Value>> {
        let mut states = vec![self.embed(tokens, pass)?];
        let mask = tokens.score_mask()?;
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
        self.run(0..self.groups() + 1, None, tokens, pass)
    }

    /// One vector per sequence, (B, D).
    ///
    /// # Errors
    /// As [`BertModel::embed`]; [`Pooling::Pooler`] on a model without one.
    pub fn pooled(&self, tokens: &TokenBatch, pooling: Pooling, pass: &mut Pass) -> Result<Value> {
        let hidden = self.forward(tokens, pass)?;
        match (pooling, &self.pooler) {
            (Pooling::Pooler, Some(pooler)) => pooler.forward(&hidden, pass),
            (Pooling::Pooler, None) => Err(Error::argument("bert", "this model has no pooler; pool by mean or cls")),
            _ => pooling.of(&hidden, tokens),
        }
    }

    /// Prefixes of names from the input to the output, one per group, below `prefix`.
    pub fn layer_groups(&self, prefix: &str) -> Vec<Vec<String>> {
        let layers = (0..self.encoder.layer.len()).map(|i| vec![format!("{prefix}encoder.layer.{i}.")]);
        let embeddings = ["embeddings.", "embeddings_project."].map(|part| format!("{prefix}{part}"));
        std::iter::once(embeddings.to_vec()).chain(layers).collect()
    }
}
