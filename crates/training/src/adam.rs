//! Adam and AdamW.

use crate::optimizer::Pieces;
use crate::{Group, Groups, Optimizer, Result, optimizer};
use std::collections::BTreeMap;
use ukulele_kernels::optim;
use ukulele_layers::{Gradients, Module, Param, ParamId, Pass, Tensor, Value};

/// What is kept per parameter.
#[derive(Debug)]
struct Moments {
    step: u64,
    mean: Tensor,
    square: Tensor,
}

macro_rules! adam {
    ($(#[$doc:meta])* $name:ident, decoupled: $decoupled:literal, weight_decay: $decay:literal) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            rule: optim::Adam,
            base: f64,
            groups: Groups,
            moments: BTreeMap<ParamId, Moments>,
        }

        impl $name {
            /// β = (0.9, 0.999), ε = 1e-8, and torch's weight decay.
            pub fn new(rate: f64) -> Self {
                let rule = optim::Adam {
                    rate,
                    beta1: 0.9,
                    beta2: 0.999,
                    eps: 1e-8,
                    weight_decay: $decay,
                    decoupled: $decoupled,
                    grad_scale: 1.0,
                };
                Self { rule, base: rate, groups: Groups::new(), moments: BTreeMap::new() }
            }

            /// β₁ and β₂, 0 to below 1.
            #[must_use]
            pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
                (self.rule.beta1, self.rule.beta2) = (beta1, beta2);
                self
            }

            /// ε.
            #[must_use]
            pub fn eps(mut self, eps: f64) -> Self {
                self.rule.eps = eps;
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

        impl Optimizer for $name {
            fn rate(&self) -> f64 {
                self.rule.rate
            }

            fn set_factor(&mut self, factor: f64) {
                self.rule.rate = self.base * factor;
            }

            fn step(&mut self, net: &mut dyn Module, gradients: Gradients) -> Result<()> {
                let Self { rule, groups, moments, .. } = self;
                optimizer::step(net, gradients, groups, &mut |param, gradient, group| {
                    update(rule, moments, param, gradient, group)
                })
            }

            fn backward_and_step(&mut self, net: &mut dyn Module, pass: &mut Pass, loss: &Value) -> Result<()> {
                let Self { rule, groups, moments, .. } = self;
                optimizer::backward_and_step(net, pass, loss, groups, &mut |param, gradient, group| {
                    update(rule, moments, param, gradient, group)
                })
            }
        }
    };
}

adam! {
    /// g ← g + λ·p; m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²; p ← p − rate·m̂/(√v̂ + ε), with m̂ and v̂ corrected
    /// for their start at 0. λ is 0 unless set. As `torch.optim.Adam`. Source: Kingma and Ba 2014.
    Adam, decoupled: false, weight_decay: 0.0
}

adam! {
    /// As [`Adam`], but the decay is taken from the parameter itself: p ← p − rate·λ·p. λ is 0.01 unless set. As
    /// `torch.optim.AdamW`, but for biases and norms, which do not decay unless [`Groups::decay_all`] says so.
    /// Source: Loshchilov and Hutter 2017.
    AdamW, decoupled: true, weight_decay: 0.01
}

fn update(
    rule: &optim::Adam,
    moments: &mut BTreeMap<ParamId, Moments>,
    param: &mut Param,
    gradient: &mut Pieces<'_>,
    group: Group,
) -> Result<()> {
    let rule = optim::Adam { rate: rule.rate * group.rate, weight_decay: rule.weight_decay * group.decay, ..*rule };
    let mut state = match moments.remove(&param.id()) {
        Some(old) => {
            let (mean, square) = (old.mean.laid_as(&param.value)?, old.square.laid_as(&param.value)?);
            Moments { step: old.step + 1, mean, square }
        }
        None => {
            let zeros = || param.value.build_like(|v| v.fill(0.0));
            Moments { step: 1, mean: zeros()?, square: zeros()? }
        }
    };
    let (p, mean, square) = (param.value.memory_mut(), state.mean.memory_mut(), state.square.memory_mut());
    gradient(&mut |at, g| {
        let piece = at..at + g.len();
        let (p, mean, square) = (&mut p[piece.clone()], &mut mean[piece.clone()], &mut square[piece]);
        optim::adam(&rule, state.step, p, g, mean, square);
    })?;
    moments.insert(param.id(), state);
    Ok(())
}
