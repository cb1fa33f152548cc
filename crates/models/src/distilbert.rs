//! DistilBERT: half of BERT's layers, without segments and pooler. Names are Hugging Face's.
//! Source: Sanh et al. 2019; `modeling_distilbert.py` of transformers.

use crate::bert_config::{BertConfig, DEVIATION};
use crate::text_stages::TextStages;
use crate::tokens::TokenBatch;
use ukulele_layers::{Dropout, Embedding, Gelu, Init, LayerNorm, Linear, Pass, Result, Tensor, Value, attend, module};

/// ε of its layer norms, which its configuration does not tell.
const EPS: f64 = 1e-12;

/// Word and position embeddings.
#[derive(Debug, Clone)]
pub struct DistilBertEmbeddings {
    /// [vocabulary, D].
    pub word_embeddings: Embedding,
    /// [longest sequence, D].
    pub position_embeddings: Embedding,
    /// Norm of the sum.
    pub norm: LayerNorm,
    /// After the norm.
    pub dropout: Dropout,
}

module!(DistilBertEmbeddings { word_embeddings, position_embeddings, norm => "LayerNorm", dropout });

/// softmax(Q·Kᵀ/√d)·V for each head, and a projection.
#[derive(Debug, Clone)]
pub struct DistilBertAttention {
    /// Q.
    pub q_lin: Linear,
    /// K.
    pub k_lin: Linear,
    /// V.
    pub v_lin: Linear,
    /// Back to D.
    pub out_lin: Linear,
    /// On the weights after the softmax.
    pub dropout: Dropout,
    heads: usize,
}

module!(DistilBertAttention { q_lin, k_lin, v_lin, out_lin, dropout });

/// Two dense layers with GELU between.
#[derive(Debug, Clone)]
pub struct DistilBertFfn {
    /// D to the wide size.
    pub lin1: Linear,
    /// Back to D.
    pub lin2: Linear,
    /// After `lin2`.
    pub dropout: Dropout,
    activation: Gelu,
}

module!(DistilBertFfn { lin1, lin2, dropout });

/// One transformer layer.
#[derive(Debug, Clone)]
pub struct DistilBertLayer {
    /// Self-attention.
    pub attention: DistilBertAttention,
    /// Norm of its sum with the input.
    pub sa_layer_norm: LayerNorm,
    /// Feed-forward.
    pub ffn: DistilBertFfn,
    /// Norm of its sum with what it is given.
    pub output_layer_norm: LayerNorm,
}

module!(DistilBertLayer { attention, sa_layer_norm, ffn, output_layer_norm });

impl DistilBertLayer {
    fn forward(&self, x: &Value, mask: Option<&Tensor>, pass: &mut Pass) -> Result<Value> {
        let a = &self.attention;
        let mixed = attend([&a.q_lin, &a.k_lin, &a.v_lin], a.heads, &a.dropout, x, mask, pass)?;
        let mixed = a.out_lin.forward(&mixed, pass)?;
        let mixed = pass.tap(a, mixed);
        let x = self.sa_layer_norm.forward(&mixed.add(x)?, pass)?;
        let wide = self.ffn.lin1.forward(&x, pass)?.gelu(self.ffn.activation)?;
        let y = self.ffn.lin2.forward(&wide, pass)?;
        let y = self.ffn.dropout.forward(&y, pass)?;
        let y = pass.tap(&self.ffn, y);
        let y = self.output_layer_norm.forward(&y.add(&x)?, pass)?;
        Ok(pass.tap(self, y))
    }
}

/// The stack of layers: `transformer.layer.N`.
#[derive(Debug, Clone)]
pub struct DistilBertTransformer {
    /// The layers, first to last.
    pub layer: Vec<DistilBertLayer>,
}

module!(DistilBertTransformer { layer });

impl TextStages for DistilBertModel {
    fn groups(&self) -> usize {
        self.transformer.layer.len()
    }

    fn first(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        self.looked_up(tokens, pass)
    }

    fn group(&self, at: usize, x: &Value, mask: Option<&Tensor>, pass: &mut Pass) -> Result<Value> {
        let y = self.transformer.layer[at].forward(x, mask, pass)?;
        if at + 1 < self.groups() {
            return Ok(y);
        }
        let y = pass.tap(&self.transformer, y);
        Ok(pass.tap(self, y))
    }
}

/// The encoder: ids to hidden states.
#[derive(Debug, Clone)]
pub struct DistilBertModel {
    /// Word and position embeddings.
    pub embeddings: DistilBertEmbeddings,
    /// The stack of layers.
    pub transformer: DistilBertTransformer,
    config: BertConfig,
}

module!(DistilBertModel { embeddings, transformer });

impl DistilBertModel {
    /// An encoder of these measures with fresh weights.
    pub fn new(config: &BertConfig, init: &mut Init) -> Self {
        let (size, wide) = (config.hidden_size, config.intermediate_size);
        let drop = || Dropout::new(config.hidden_dropout_prob);
        let linear = |inputs, outputs, init: &mut Init| Linear::normal(inputs, outputs, DEVIATION, init);
        let embeddings = DistilBertEmbeddings {
            word_embeddings: config.word_embeddings(init),
            position_embeddings: Embedding::new(config.max_position_embeddings, size, DEVIATION, init),
            norm: LayerNorm::new(size, EPS),
            dropout: drop(),
        };
        let layers = (0..config.num_hidden_layers).map(|_| DistilBertLayer {
            attention: DistilBertAttention {
                q_lin: linear(size, size, init),
                k_lin: linear(size, size, init),
                v_lin: linear(size, size, init),
                out_lin: linear(size, size, init),
                dropout: Dropout::new(config.attention_probs_dropout_prob),
                heads: config.num_attention_heads,
            },
            sa_layer_norm: LayerNorm::new(size, EPS),
            ffn: DistilBertFfn {
                lin1: linear(size, wide, init),
                lin2: linear(wide, size, init),
                dropout: drop(),
                activation: config.hidden_act,
            },
            output_layer_norm: LayerNorm::new(size, EPS),
        });
        let transformer = DistilBertTransformer { layer: layers.collect() };
        Self { embeddings, transformer, config: config.clone() }
    }

    /// The measures.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// The last hidden states: (B, T, D). Segments are not looked at.
    ///
    /// # Errors
    /// Lists of unequal length, a sequence longer than the positions, or ids beyond the table.
    pub fn forward(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        self.run(0..self.groups() + 1, None, tokens, pass)
    }

    /// The embedded tokens.
    pub(crate) fn looked_up(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        tokens.fits(&self.config)?;
        let e = &self.embeddings;
        let words = e.word_embeddings.forward(&tokens.ids, &[tokens.batch, tokens.length], pass)?;
        let positions: Vec<usize> = (0..tokens.length).collect();
        let positions = e.position_embeddings.forward(&positions, &[tokens.length], pass)?;
        let x = e.norm.forward(&words.add(&positions)?, pass)?;
        let x = e.dropout.forward(&x, pass)?;
        Ok(pass.tap(e, x))
    }

    /// Prefixes of names from the input to the output, one per group, below `prefix`.
    pub fn layer_groups(&self, prefix: &str) -> Vec<Vec<String>> {
        let layers = (0..self.transformer.layer.len()).map(|i| vec![format!("{prefix}transformer.layer.{i}.")]);
        std::iter::once(vec![format!("{prefix}embeddings.")]).chain(layers).collect()
    }
}
