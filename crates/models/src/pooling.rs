//! From the hidden states of all tokens to one vector per sequence.

use crate::tokens::TokenBatch;
use ukulele_layers::{Pool2d, Result, Tensor, Value};

/// How a sequence becomes one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// tanh of a trained projection of the first token: as BERT was pretrained for sentence pairs.
    Pooler,
    /// The first token.
    Cls,
    /// The mean over all tokens.
    Mean,
    /// The largest of all tokens, in each place.
    Max,
}

impl Pooling {
    /// The name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pooler => "pooler",
            Self::Cls => "cls",
            Self::Mean => "mean",
            Self::Max => "max",
        }
    }

    /// The pooling of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pooler, Self::Cls, Self::Mean, Self::Max].into_iter().find(|p| p.name() == name)
    }

    /// Hidden states (B, T, D) to (B, D). A pooler is a layer of a model: [`Pooling::Pooler`] here is its first token.
    ///
    /// # Errors
    /// Another number of tokens than hidden states.
    pub fn of(self, hidden: &Value, tokens: &TokenBatch) -> Result<Value> {
        match self {
            Self::Mean => mean_over_tokens(hidden, tokens),
            Self::Max => max_over_tokens(hidden, tokens),
            Self::Cls | Self::Pooler => hidden.select(1, 0),
        }
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

/// The largest hidden state of the tokens that are no padding, in each place: (B, T, D) to (B, D).
fn max_over_tokens(hidden: &Value, tokens: &TokenBatch) -> Result<Value> {
    let (size, length) = (hidden.shape()[2], tokens.length);
    let hidden = match tokens.score_mask()? {
        Some(mask) => hidden.add(&mask.reshape(&[tokens.batch, length, 1])?.into())?,
        None => hidden.clone(),
    };
    // As an image of one column.
    let column = hidden.reshape(&[tokens.batch, length, 1, size])?.permute(&[0, 3, 1, 2])?;
    let all = Pool2d { kernel: [length, 1], stride: [length, 1], ..Pool2d::default() };
    column.max_pool2d(&all)?.reshape(&[tokens.batch, size])
}

/// x / max(|x|, 10⁻¹²) for each row x of (B, D).
///
/// # Errors
/// No matrix.
pub fn normalise(x: &Value) -> Result<Value> {
    let norm = x.square()?.sum_dims(&[1], true)?.sqrt()?;
    x.div(&norm.add_scalar(-1e-12)?.relu()?.add_scalar(1e-12)?)
}
