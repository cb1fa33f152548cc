//! Stochastic gradient descent.

use crate::{Groups, Optimizer, Result, optimizer};
use std::collections::BTreeMap;
use ukulele_kernels::optim;
use ukulele_layers::{Gradients, Module, ParamId, Tensor};

/// g ← g + λ·p; with momentum μ: v ← μ·v + g, and g ← v, or g + μ·v (Nesterov); p ← p − rate·g. As `torch.optim.SGD`.
///
/// ```
/// use ukulele_layers::{Init, Linear, Pass, Tensor};
/// use ukulele_training::{Optimizer, Sgd};
/// let mut net = Linear::new(4, 2, &mut Init::new(0));
/// let mut sgd = Sgd::new(0.1).momentum(0.9);
/// let mut pass = Pass::train(0);
/// let loss = net.forward(&Tensor::ones(&[3, 4])?.into(), &mut pass)?.cross_entropy(&[0, 1, 1])?;
/// let gradients = pass.backward(&loss)?;
/// sgd.step(&mut net, gradients)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Sgd {
    rule: optim::Sgd,
    base: f64,
    groups: Groups,
    velocity: BTreeMap<ParamId, Tensor>,
}

impl Sgd {
    /// Plain: no momentum, no decay.
    pub fn new(rate: f64) -> Self {
        let rule = optim::Sgd { rate, momentum: 0.0, nesterov: false, weight_decay: 0.0, grad_scale: 1.0 };
        Self { rule, base: rate, groups: Groups::new(), velocity: BTreeMap::new() }
    }

    /// μ, 0 to 1.
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.rule.momentum = momentum;
        self
    }

    /// Looks ahead; of no effect without momentum.
    #[must_use]
    pub fn nesterov(mut self) -> Self {
        self.rule.nesterov = true;
        self
    }

    /// λ.
    #[must_use]
    pub fn weight_decay(mut self, decay: f64) -> Self {
        self.rule.weight_decay = decay;
        self
    }

    /// Factors per parameter.
    #[must_use]
    pub fn groups(mut self, groups: Groups) -> Self {
        self.groups = groups;
        self
    }
}

impl Optimizer for Sgd {
    fn rate(&self) -> f64 {
        self.rule.rate
    }

    fn set_factor(&mut self, factor: f64) {
        self.rule.rate = self.base * factor;
    }

    fn step(&mut self, net: &mut dyn Module, gradients: Gradients) -> Result<()> {
        let Self { rule, groups, velocity, .. } = self;
        optimizer::step(net, gradients, groups, &mut |param, gradient, group| {
            let rule =
                optim::Sgd { rate: rule.rate * group.rate, weight_decay: rule.weight_decay * group.decay, ..*rule };
            if rule.momentum == 0.0 {
                optim::sgd(&rule, param.value.memory_mut(), gradient, &mut []);
                return Ok(());
            }
            let old = match velocity.remove(&param.id()) {
                Some(old) => old.laid_as(&param.value)?,
                None => param.value.build_like(|v| v.fill(0.0))?,
            };
            let mut new = old;
            optim::sgd(&rule, param.value.memory_mut(), gradient, new.memory_mut());
            velocity.insert(param.id(), new);
            Ok(())
        })
    }
}
