//! Dropout.

use crate::{Param, Pass, Result, Role, Tensor, Value, module};
use ukulele_autograd::Dropout as Drop;

/// In training, y = x·keep/(1 − p), where keep is 1 with probability 1 − p and else 0; otherwise y = x.
/// Source: Srivastava et al. 2014.
#[derive(Debug, Clone)]
pub struct Dropout {
    /// p, a scalar; see [`Role::Rate`].
    pub p: Param,
}

module!(Dropout { p });

impl Dropout {
    /// Drops with probability `p`, 0 <= p < 1.
    pub fn new(p: f32) -> Self {
        Self { p: Param::new(Tensor::scalar(p), Role::Rate) }
    }

    /// The rate and key to drop with now; `None` when nothing is to be dropped.
    pub fn draw(&self, pass: &mut Pass) -> Option<Drop> {
        let rate = self.p.value.item().unwrap_or(0.0);
        (pass.is_training() && !self.p.frozen && rate > 0.0).then(|| Drop { rate, key: pass.draw_key() })
    }

    /// Any shape.
    ///
    /// # Errors
    /// A rate outside [0, 1).
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let y = match self.draw(pass) {
            Some(drop) => x.dropout(f64::from(drop.rate), drop.key)?,
            None => x.clone(),
        };
        Ok(pass.tap(self, y))
    }
}
