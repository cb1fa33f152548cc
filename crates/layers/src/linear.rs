//! y = x·Wᵀ + b.

use crate::{Init, Param, Pass, Result, Role, Value, module};

/// y = x·Wᵀ + b over the last dimension of x: [.., in] to [.., out].
#[derive(Debug, Clone)]
pub struct Linear {
    /// W, [out, in].
    pub weight: Param,
    /// b, `[out]`.
    pub bias: Option<Param>,
}

module!(Linear { weight, bias });

impl Linear {
    /// W and b uniform on ±1/√in, as torch begins.
    pub fn new(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        let bound = 1.0 / (inputs.max(1) as f64).sqrt();
        Self {
            weight: Param::new(init.uniform(&[outputs, inputs], bound), Role::Weight),
            bias: Some(Param::new(init.uniform(&[outputs], bound), Role::Bias)),
        }
    }

    /// W normal with this deviation, b zero, as BERT begins.
    pub fn normal(inputs: usize, outputs: usize, deviation: f64, init: &mut Init) -> Self {
        Self {
            weight: Param::new(init.normal(&[outputs, inputs], deviation), Role::Weight),
            bias: Some(Init::constant(outputs, 0.0, Role::Bias)),
        }
    }

    /// The size of the last dimension of the result.
    pub fn outputs(&self) -> usize {
        self.weight.value.shape()[0]
    }

    /// [.., in] to [.., out].
    ///
    /// # Errors
    /// Another last dimension than W has.
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let weight = pass.param(&self.weight);
        let bias = self.bias.as_ref().map(|b| pass.param(b));
        let y = x.linear_in(pass.precision(), &weight, bias.as_ref())?;
        Ok(pass.tap(self, y))
    }
}
