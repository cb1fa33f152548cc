//! Plans of models of text: no work for padding, Q, K and V as one product.

use crate::plan::{Plan, PlanOptions, StepProfile};
use std::time::Instant;
use ukulele_kernels::in_pool;
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
        Self::compile_with(model, PlanOptions::default())
    }

    /// As [`TextPlan::compile`], with options.
    ///
    /// # Errors
    /// As there; in bf16 numbers that are not those of the model.
    pub fn compile_with(model: &TextModel, options: PlanOptions) -> Result<Self> {
        Self::compile_stages(model, model.layer_groups().len() - 1, options)
    }

    /// As [`TextPlan::compile_with`], of the first `count` stages of the encoder ([`TextModel::run_stages`]):
    /// [`TextPlan::hidden`] is then what they give.
    ///
    /// # Errors
    /// As there; no such number of stages, or embeddings alone where nothing is computed behind them.
    pub fn compile_stages(model: &TextModel, count: usize, options: PlanOptions) -> Result<Self> {
        // Any token will do: what is recorded begins behind the embeddings.
        let (texts, length) = (2, 3);
        let id = model.config().vocab_size.saturating_sub(1);
        let ids = (0..texts * length).map(|i| id.saturating_sub(i)).collect();
        let tokens = TokenBatch::unpadded(texts, length, ids)?;
        let mut pass = Pass::record_from(model, &model.embeddings_name())?;
        let hidden = model.run_stages(0..count, None, &tokens, &mut pass)?;
        let embedded = model.embedded(&tokens, &mut Pass::eval())?.into_tensor().contiguous();
        Ok(Self { plan: Plan::of_tokens(&pass, &embedded, &hidden, options)?, model: model.clone() })
    }

    /// The last hidden states (B, T, D), zeros where padding is.
    ///
    /// # Errors
    /// Padding that is not at the end of its text, or what [`TextModel::hidden`] refuses.
    pub fn hidden(&self, tokens: &TokenBatch) -> Result<Value> {
        in_pool(|| self.hidden_here(tokens))
    }

    fn hidden_here(&self, tokens: &TokenBatch) -> Result<Value> {
        let (packed, lengths) = self.embedded(tokens)?;
        let hidden = self.plan.run_tokens(&packed, &lengths)?;
        let width = hidden.shape()[1];
        if lengths.iter().all(|&length| length == tokens.length) {
            return Ok(hidden.reshape(&[tokens.batch, tokens.length, width])?.into());
        }
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

    /// Numbers of f32 in whose memory the packed weights of linear layers lie, those that layers share once.
    pub fn packed_len(&self) -> usize {
        self.plan.packed_len()
    }

    /// How far the plan's numbers were from the model's on a few tokens, relative in norm.
    pub fn error(&self) -> f64 {
        self.plan.error()
    }

    /// How long each step took in a run on these texts, and what it had to do, the embeddings first.
    ///
    /// # Errors
    /// As [`TextPlan::hidden`].
    pub fn profile(&self, tokens: &TokenBatch) -> Result<Vec<StepProfile>> {
        in_pool(|| self.profile_here(tokens))
    }

    fn profile_here(&self, tokens: &TokenBatch) -> Result<Vec<StepProfile>> {
        let start = Instant::now();
        let (packed, lengths) = self.embedded(tokens)?;
        let embeddings = StepProfile {
            what: format!("embeddings {:?}", &packed.shape()[1..]),
            seconds: start.elapsed().as_secs_f64(),
            multiply_adds: 0,
            // Each is looked up and written, at least.
            numbers: 2 * packed.numel() as u64,
            weights: 0,
        };
        let mut steps = self.plan.profile_with(&packed, &lengths)?;
        steps.insert(0, embeddings);
        Ok(steps)
    }

    /// What the embeddings give for the tokens that are no padding, texts one after the other, and the lengths of the texts.
    fn embedded(&self, tokens: &TokenBatch) -> Result<(Tensor, Vec<usize>)> {
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
        if lengths.iter().all(|&length| length == tokens.length) {
            return Ok((embedded.reshape(&[tokens.batch * tokens.length, width])?, lengths));
        }
        let packed: Vec<f32> = (embedded.dense_memory().chunks((tokens.length * width).max(1)).zip(&lengths))
            .flat_map(|(text, length)| text[..length * width].iter().copied())
            .collect();
        Ok((Tensor::from_vec(&[lengths.iter().sum(), width], packed)?, lengths))
    }
}
