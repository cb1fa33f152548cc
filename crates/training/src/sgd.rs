//! Stochastic gradient descent.

use crate::optimizer::Pieces;
use crate::{Group, Groups, Optimizer, Result, optimizer};
use std::collections::BTreeMap;
use ukulele_kernels::optim;
use ukulele_layers::{Gradients, Module, Param, ParamId, Pass, Tensor, Value};

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
            update(rule, velocity, param, gradient, group)
        })
    }

    fn backward_and_step(&mut self, net: &mut dyn Module, pass: &mut Pass, loss: &Value) -> Result<()> {
        let Self { rule, groups, velocity, .. } = self;
        optimizer::backward_and_step(net, pass, loss, groups, &mut |param, gradient, group| {
            update(rule, velocity, param, gradient, group)
        })
    }
}

fn update(
    rule: &optim::Sgd,
    velocity: &mut BTreeMap<ParamId, Tensor>,
    param: &mut Param,
    gradient: &mut Pieces<'_>,
    group: Group,
) -> Result<()> {
    let rule = optim::Sgd { rate: rule.rate * group.rate, weight_decay: rule.weight_decay * group.decay, ..*rule };
    if rule.momentum == 0.0 {
        let p = param.value.memory_mut();
        return gradient(&mut |at, g| optim::sgd(&rule, &mut p[at..at + g.len()], g, &mut []));
    }
    let mut state = match velocity.remove(&param.id()) {
        Some(old) => old.laid_as(&param.value)?,
        None => param.value.build_like(|v| v.fill(0.0))?,
    };
    let (p, v) = (param.value.memory_mut(), state.memory_mut());
    gradient(&mut |at, g| {
        let piece = at..at + g.len();
        optim::sgd(&rule, &mut p[piece.clone()], g, &mut v[piece]);
    })?;
    velocity.insert(param.id(), state);
    Ok(())
}
