//! Layer normalisation over the last dimension.

use crate::{Init, Param, Pass, Result, Role, Value, module};

/// y = γ·(x − μ)/√(σ² + ε) + β, with μ and σ² over the last dimension. Source: Ba, Kiros and Hinton 2016.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// γ, `[D]`.
    pub weight: Param,
    /// β, `[D]`.
    pub bias: Param,
    /// ε.
    pub eps: f64,
}

module!(LayerNorm { weight, bias });

impl LayerNorm {
    /// γ = 1, β = 0.
    pub fn new(size: usize, eps: f64) -> Self {
        Self { weight: Init::constant(size, 1.0, Role::Bias), bias: Init::constant(size, 0.0, Role::Bias), eps }
    }

    /// [.., D] to [.., D].
    ///
    /// # Errors
    /// Another last dimension.
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let (gamma, beta) = (pass.param(&self.weight), pass.param(&self.bias));
        let y = x.layer_norm(&gamma, &beta, self.eps)?;
        Ok(pass.tap(self, y))
    }
}
