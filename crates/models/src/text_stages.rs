//! Encoders of texts in stages: the embeddings, then one for each group of layers.

use crate::tokens::TokenBatch;
use std::ops::Range;
use ukulele_layers::{Error, Pass, Result, Tensor, Value};

/// An encoder that can be run in part.
pub(crate) trait TextStages {
    /// Groups of layers; each is a stage, behind that of the embeddings.
    fn groups(&self) -> usize;

    /// Tokens to (B, T, D).
    fn first(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value>;

    /// One of the groups, counted from 0: (B, T, D) to (B, T, D). The last also tells watchers what the encoder gives.
    fn group(&self, at: usize, x: &Value, mask: Option<&Tensor>, pass: &mut Pass) -> Result<Value>;

    /// The stages of this range, from `x` on if it does not begin with the embeddings.
    fn run(&self, range: Range<usize>, x: Option<&Value>, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        let wrong = |message: String| Err(Error::argument("stages", message));
        let count = self.groups() + 1;
        if range.end > count {
            return wrong(format!("stages {range:?}; there are {count}"));
        }
        let (mut y, start) = match (x, range.start) {
            (None, 0) if range.end > 0 => (self.first(tokens, pass)?, 1),
            (None, start) => return wrong(format!("stages {range:?} want what stage {start} is given")),
            (Some(_), 0) => return wrong("the first stage takes tokens alone".to_owned()),
            (Some(x), start) => {
                tokens.check()?;
                let [batch, length, _] = x.dims::<3>("stages", "hidden states (B, T, D)")?;
                if [batch, length] != [tokens.batch, tokens.length] {
                    let expected = format!("({}, {}, D), as the tokens have it", tokens.batch, tokens.length);
                    return Err(Error::shape("stages", x.shape(), expected));
                }
                (x.clone(), start)
            }
        };
        let mask = tokens.score_mask()?;
        for stage in start..range.end {
            y = self.group(stage - 1, &y, mask.as_ref(), pass)?;
        }
        Ok(y)
    }
}
