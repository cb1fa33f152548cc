//! Batch normalisation over the channels of images.

use crate::init::check_len;
use crate::{Init, Param, Pass, Result, Role, Tensor, Value, module};
use ukulele_autograd::BatchNormOptions;

/// y = γ·(x − μ)/√(σ² + ε) + β per channel of (N, C, H, W).
///
/// In training μ and σ² are those of the batch, and the running statistics move: r ← (1 − m)·r + m·batch (σ² unbiased),
/// as an update of the pass. In evaluation, and whenever the statistics are frozen, μ and σ² are the running ones.
/// Source: Ioffe and Szegedy 2015; momentum as torch counts it.
#[derive(Debug, Clone)]
pub struct BatchNorm2d {
    /// γ, `[C]`.
    pub weight: Param,
    /// β, `[C]`.
    pub bias: Param,
    /// μ, `[C]`.
    pub running_mean: Param,
    /// σ², `[C]`.
    pub running_var: Param,
    /// ε.
    pub eps: f64,
    /// m.
    pub momentum: f32,
}

module!(BatchNorm2d { weight, bias, running_mean, running_var });

impl BatchNorm2d {
    /// γ = 1, β = 0, μ = 0, σ² = 1, m = 0.1.
    pub fn new(channels: usize, eps: f64) -> Self {
        Self {
            weight: Init::constant(channels, 1.0, Role::Bias),
            bias: Init::constant(channels, 0.0, Role::Bias),
            running_mean: Init::constant(channels, 0.0, Role::Statistic),
            running_var: Init::constant(channels, 1.0, Role::Statistic),
            eps,
            momentum: 0.1,
        }
    }

    /// The normalised x.
    ///
    /// # Errors
    /// Another number of channels; one value per channel in training.
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        self.run(x, None, false, pass)
    }

    /// max(bn(x), 0), in one sweep over memory.
    ///
    /// # Errors
    /// As [`BatchNorm2d::forward`].
    pub fn forward_relu(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        self.run(x, None, true, pass)
    }

    /// max(bn(x) + residual, 0), in one sweep over memory.
    ///
    /// # Errors
    /// As [`BatchNorm2d::forward`], and a residual of another shape.
    pub fn forward_add_relu(&self, x: &Value, residual: &Value, pass: &mut Pass) -> Result<Value> {
        self.run(x, Some(residual), true, pass)
    }

    fn run(&self, x: &Value, residual: Option<&Value>, relu: bool, pass: &mut Pass) -> Result<Value> {
        if pass.is_watched(self) {
            let y = self.normalise(x, None, false, pass)?;
            let y = pass.tap(self, y);
            let y = residual.map_or(Ok(y.clone()), |residual| y.add(residual))?;
            return if relu { y.relu() } else { Ok(y) };
        }
        self.normalise(x, residual, relu, pass)
    }

    fn normalise(&self, x: &Value, residual: Option<&Value>, relu: bool, pass: &mut Pass) -> Result<Value> {
        let channels = x.dims::<4>("batch_norm", "(N, C, H, W)")?[1];
        check_len("batch_norm", &self.running_mean, channels)?;
        let (gamma, beta) = (pass.param(&self.weight), pass.param(&self.bias));
        let options = BatchNormOptions { residual, relu };
        if !pass.is_training() || self.running_mean.frozen {
            return x.batch_norm_eval(
                &gamma,
                &beta,
                &self.running_mean.value,
                &self.running_var.value,
                self.eps,
                &options,
            );
        }
        let (y, batch) = x.batch_norm_train(&gamma, &beta, self.eps, &options)?;
        for (running, batch) in [(&self.running_mean, &batch.mean), (&self.running_var, &batch.variance)] {
            let old = pass.statistic(running);
            let (old, batch, m) = (old.as_slice()?, batch.as_slice()?, self.momentum);
            let moved = old.iter().zip(batch).map(|(&r, &b)| (1.0 - m) * r + m * b).collect();
            pass.update(running, Tensor::from_vec(&[channels], moved)?);
        }
        Ok(y)
    }
}
