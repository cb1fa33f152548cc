//! Plans of models of text: no work for padding, Q, K and V as one product.

use crate::plan::Plan;
use ukulele_layers::{Error, Pass, Result, Tensor, Value};
use ukulele_models::{TextModel, TokenBatch};

/// The encoder of a model of text, compiled: tokens to hidden states.
///
/// The texts of a batch lie one after the other, whatever their lengths: padding costs nothing. The weights are those of now; the
/// plan holds them packed, and shares the model's own.
#[derive(Debug)]
pub struct TextPlan {
    model: TextModel,
    plan: Plan,
}

impl TextPlan {
    /// Compiles the encoder.
    ///
    /// # Errors
    /// An op that plans do not know.
    pub fn compile(model: &TextModel) -> Result<Self> {
        // Any token will do: what is recorded begins behind the embeddings.
        let (texts, length) = (2, 3);
        let id = model.config().vocab_size.saturating_sub(1);
        let ids = (0..texts * length).map(|i| id.saturating_sub(i)).collect();
        let tokens = TokenBatch::unpadded(texts, length, ids)?;
        let mut pass = Pass::record_from(model, &model.embeddings_name())?;
        let hidden = model.hidden(&tokens, &mut pass)?;
        let embedded = model.embedded(&tokens, &mut Pass::eval())?.into_tensor().contiguous();
        Ok(Self { plan: Plan::of_tokens(&pass, &embedded, &hidden)?, model: model.clone() })
    }

    /// The last hidden states (B, T, D), zeros where padding is.
    ///
    /// # Errors
    /// Padding that is not at the end of its text, or what [`TextModel::hidden`] refuses.
    pub fn hidden(&self, tokens: &TokenBatch) -> Result<Value> {
        let mut lengths = Vec::with_capacity(tokens.batch);
        for (i, mask) in tokens.mask.chunks(tokens.length.max(1)).enumerate() {
            let length = mask.iter().take_while(|&&m| m != 0.0).count();
            if mask[length..].iter().any(|&m| m != 0.0) {
                return Err(Error::argument("plan", format!("text {i} has padding before its end")));
            }
            lengths.push(length);
        }
        let embedded = self.model.embedded(tokens, &mut Pass::eval())?.into_tensor().contiguous();
        let width = embedded.shape().last().copied().unwrap_or(0);
        let packed: Vec<f32> = (embedded.dense_memory().chunks((tokens.length * width).max(1)).zip(&lengths))
            .flat_map(|(text, length)| text[..length * width].iter().copied())
            .collect();
        let total = lengths.iter().sum();
        let hidden = self.plan.run_tokens(&Tensor::from_vec(&[total, width], packed)?, &lengths)?;
        let width = hidden.shape()[1];
        let mut texts = hidden.dense_memory();
        let padded = Tensor::build(&[tokens.batch, tokens.length, width], |y| {
            y.fill(0.0);
            for (y, length) in y.chunks_mut((tokens.length * width).max(1)).zip(&lengths) {
                let (text, rest) = texts.split_at(length * width);
                y[..text.len()].copy_from_slice(text);
                texts = rest;
            }
        });
        Ok(padded?.into())
    }
}
