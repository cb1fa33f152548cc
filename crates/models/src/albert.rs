//! ALBERT: a BERT whose layers share their weights, with narrow embeddings. Names are Hugging Face's.
//! Source: Lan et al. 2019; `modeling_albert.py` of transformers.

use crate::bert::BertEmbeddings;
use crate::bert_config::{BertConfig, DEVIATION};
use crate::text_stages::TextStages;
use crate::tokens::TokenBatch;
use ukulele_layers::{Dropout, Embedding, Gelu, Init, LayerNorm, Linear, Pass, Result, Tensor, Value, attend, module};

/// Self-attention, a projection, and the norm of the sum with the input.
#[derive(Debug, Clone)]
pub struct AlbertAttention {
    /// Q.
    pub query: Linear,
    /// K.
    pub key: Linear,
    /// V.
    pub value: Linear,
    /// Back to D.
    pub dense: Linear,
    /// Norm of the sum.
    pub norm: LayerNorm,
    /// On the weights after the softmax.
    pub attention_dropout: Dropout,
    /// After `dense`.
    pub output_dropout: Dropout,
    heads: usize,
}

module!(AlbertAttention { query, key, value, dense, norm => "LayerNorm", attention_dropout, output_dropout });

/// One transformer layer.
#[derive(Debug, Clone)]
pub struct AlbertLayer {
    /// Norm of the last sum.
    pub full_layer_layer_norm: LayerNorm,
    /// Self-attention.
    pub attention: AlbertAttention,
    /// D to the wide size.
    pub ffn: Linear,
    /// Back to D.
    pub ffn_output: Linear,
    activation: Gelu,
}

module!(AlbertLayer { full_layer_layer_norm, attention, ffn, ffn_output });

impl AlbertLayer {
    fn forward(&self, x: &Value, mask: Option<&Tensor>, pass: &mut Pass) -> Result<Value> {
        let a = &self.attention;
        let mixed = attend([&a.query, &a.key, &a.value], a.heads, &a.attention_dropout, x, mask, pass)?;
        let mixed = a.dense.forward(&mixed, pass)?;
        let mixed = a.output_dropout.forward(&mixed, pass)?;
        let x = a.norm.forward(&mixed.add(x)?, pass)?;
        let x = pass.tap(a, x);
        let wide = self.ffn.forward(&x, pass)?.gelu(self.activation)?;
        let y = self.ffn_output.forward(&wide, pass)?;
        let y = self.full_layer_layer_norm.forward(&y.add(&x)?, pass)?;
        Ok(pass.tap(self, y))
    }
}

/// Layers that are gone through together.
#[derive(Debug, Clone)]
pub struct AlbertLayerGroup {
    /// The layers, first to last.
    pub albert_layers: Vec<AlbertLayer>,
}

module!(AlbertLayerGroup { albert_layers });

/// The projection to D, and groups of layers, each gone through several times.
#[derive(Debug, Clone)]
pub struct AlbertTransformer {
    /// From the width of the embeddings to D.
    pub embedding_hidden_mapping_in: Linear,
    /// The groups, first to last.
    pub albert_layer_groups: Vec<AlbertLayerGroup>,
}

module!(AlbertTransformer { embedding_hidden_mapping_in, albert_layer_groups });

impl TextStages for AlbertModel {
    fn groups(&self) -> usize {
        self.encoder.albert_layer_groups.len()
    }

    fn first(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        let x = self.looked_up(tokens, pass)?;
        self.encoder.embedding_hidden_mapping_in.forward(&x, pass)
    }

    /// A group is gone through as often as layers fall to it.
    fn group(&self, at: usize, x: &Value, mask: Option<&Tensor>, pass: &mut Pass) -> Result<Value> {
        let (layers, groups) = (self.config.num_hidden_layers, self.groups());
        let (group, mut x) = (&self.encoder.albert_layer_groups[at], x.clone());
        for _ in (0..layers).filter(|i| i * groups / layers == at) {
            x = group.albert_layers.iter().try_fold(x, |x, layer| layer.forward(&x, mask, pass))?;
            x = pass.tap(group, x);
        }
        if at + 1 < groups {
            return Ok(x);
        }
        let y = pass.tap(&self.encoder, x);
        Ok(pass.tap(self, y))
    }
}

/// The encoder: ids to hidden states.
#[derive(Debug, Clone)]
pub struct AlbertModel {
    /// Word, position and segment embeddings.
    pub embeddings: BertEmbeddings,
    /// The layers.
    pub encoder: AlbertTransformer,
    /// tanh(pooler(first token)), for models that have it.
    pub pooler: Option<Linear>,
    config: BertConfig,
}

module!(AlbertModel { embeddings, encoder, pooler });

impl AlbertModel {
    /// An encoder of these measures with fresh weights; `pooler` tells whether it has one.
    pub fn new(config: &BertConfig, pooler: bool, init: &mut Init) -> Self {
        let (size, narrow, wide) = (config.hidden_size, config.embedding(), config.intermediate_size);
        let eps = config.layer_norm_eps;
        let drop = || Dropout::new(config.hidden_dropout_prob);
        let linear = |inputs, outputs, init: &mut Init| Linear::normal(inputs, outputs, DEVIATION, init);
        let table = |entries, init: &mut Init| Embedding::new(entries, narrow, DEVIATION, init);
        let embeddings = BertEmbeddings {
            word_embeddings: config.word_embeddings(init),
            position_embeddings: table(config.max_position_embeddings, init),
            token_type_embeddings: table(config.type_vocab_size, init),
            norm: LayerNorm::new(narrow, eps),
            dropout: drop(),
        };
        let embedding_hidden_mapping_in = linear(narrow, size, init);
        let mut layer = || AlbertLayer {
            full_layer_layer_norm: LayerNorm::new(size, eps),
            attention: AlbertAttention {
                query: linear(size, size, init),
                key: linear(size, size, init),
                value: linear(size, size, init),
                dense: linear(size, size, init),
                norm: LayerNorm::new(size, eps),
                attention_dropout: Dropout::new(config.attention_probs_dropout_prob),
                output_dropout: drop(),
                heads: config.num_attention_heads,
            },
            ffn: linear(size, wide, init),
            ffn_output: linear(wide, size, init),
            activation: config.hidden_act,
        };
        let mut group = || AlbertLayerGroup { albert_layers: (0..config.inner_group_num).map(|_| layer()).collect() };
        let albert_layer_groups = (0..config.hidden_groups).map(|_| group()).collect();
        let encoder = AlbertTransformer { embedding_hidden_mapping_in, albert_layer_groups };
        let pooler = pooler.then(|| linear(size, size, init));
        Self { embeddings, encoder, pooler, config: config.clone() }
    }

    /// Takes the pooler away, or makes a fresh one where there is none.
    pub(crate) fn set_pooler(&mut self, wanted: bool, init: &mut Init) {
        let (old, size) = (self.pooler.take(), self.config.hidden_size);
        self.pooler = wanted.then(|| old.unwrap_or_else(|| Linear::normal(size, size, DEVIATION, init)));
    }

    /// The measures.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// The last hidden states: (B, T, D). A module that is gone through several times tells watchers its last output.
    ///
    /// # Errors
    /// Lists of unequal length, a sequence longer than the positions, or ids beyond the tables.
    pub fn forward(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        self.run(0..self.groups() + 1, None, tokens, pass)
    }

    /// The embedded tokens before they are projected.
    pub(crate) fn looked_up(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        tokens.fits(&self.config)?;
        self.embeddings.forward(tokens, None, pass)
    }

    /// Prefixes of names from the input to the output, one per group, below `prefix`.
    pub fn layer_groups(&self, prefix: &str) -> Vec<Vec<String>> {
        let layers = (0..self.encoder.albert_layer_groups.len())
            .map(|i| vec![format!("{prefix}encoder.albert_layer_groups.{i}.")]);
        let first = ["embeddings.", "encoder.embedding_hidden_mapping_in."].map(|part| format!("{prefix}{part}"));
        std::iter::once(first.to_vec()).chain(layers).collect()
    }
}
