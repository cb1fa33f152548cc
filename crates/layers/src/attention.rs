//! Multi-head attention.

use crate::{Dropout, Init, Linear, Pass, Result, Tensor, Value, module};
use ukulele_autograd::AttentionOptions;

/// softmax(Q·Kᵀ/√d + mask)·V for each head, with Q, K, V linear in x: [B, T, D] to [B, T, D].
/// Source: Vaswani et al. 2017. The fields are named as in BERT's `attention.self`.
#[derive(Debug, Clone)]
pub struct MultiHeadAttention {
    /// Q.
    pub query: Linear,
    /// K.
    pub key: Linear,
    /// V.
    pub value: Linear,
    /// On the weights after the softmax.
    pub dropout: Dropout,
    /// The number of heads; divides D.
    pub heads: usize,
}

module!(MultiHeadAttention { query, key, value, dropout });

impl MultiHeadAttention {
    /// Projections normal with this deviation.
    pub fn new(size: usize, heads: usize, dropout: f32, deviation: f64, init: &mut Init) -> Self {
        let mut linear = || Linear::normal(size, size, deviation, init);
        Self { query: linear(), key: linear(), value: linear(), dropout: Dropout::new(dropout), heads }
    }

    /// `mask` [B, T] is added to the scores of each key: 0 where a token is, a large negative number where padding is.
    ///
    /// # Errors
    /// A size that the heads do not divide, or a mask of another shape.
    pub fn forward(&self, x: &Value, mask: Option<&Tensor>, pass: &mut Pass) -> Result<Value> {
        let y = attend([&self.query, &self.key, &self.value], self.heads, &self.dropout, x, mask, pass)?;
        Ok(pass.tap(self, y))
    }
}

/// Self-attention with these Q, K and V, for layers that name them otherwise; see [`MultiHeadAttention::forward`].
///
/// # Errors
/// As there.
pub fn attend(
    linears: [&Linear; 3],
    heads: usize,
    dropout: &Dropout,
    x: &Value,
    mask: Option<&Tensor>,
    pass: &mut Pass,
) -> Result<Value> {
    let [query, key, value] = linears.map(|linear| linear.forward(x, pass));
    let options = AttentionOptions { heads, scale: None, mask: mask.cloned(), dropout: dropout.draw(pass) };
    query?.attention(&key?, &value?, &options)
}
