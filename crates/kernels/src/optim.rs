//! Optimiser updates: one pass over parameter, gradient and state. The formulas are those of torch.optim.

mod fast;
#[cfg(test)]
mod tests;

use crate::Element;
use crate::element::is_f32;
use crate::isa::current;
use crate::naive::optim as naive;
use bytemuck::{cast_slice, cast_slice_mut};

/// Stochastic gradient descent: g = grad_scale grad + weight_decay p; with momentum, v = momentum v + g and g = v (or
/// g + momentum v for Nesterov); p -= rate g.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub rate: f64,
    /// Share of the last step that goes on, 0 for none.
    pub momentum: f64,
    /// Look ahead. Source: Sutskever et al., On the importance of initialization and momentum, 2013.
    pub nesterov: bool,
    /// Added to the gradient per unit of the parameter.
    pub weight_decay: f64,
    /// The gradient is multiplied with this first (gradient clipping, accumulation).
    pub grad_scale: f64,
}

/// Adam and AdamW: g = grad_scale grad (+ weight_decay p unless decoupled), m += (1 - beta1) (g - m),
/// v = beta2 v + (1 - beta2) g^2, (p *= 1 - rate weight_decay if decoupled),
/// p -= rate / (1 - beta1^step) m / (sqrt(v) / sqrt(1 - beta2^step) + eps).
/// Source: Kingma and Ba, Adam, 2014; Loshchilov and Hutter, Decoupled weight decay regularization, 2017.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the mean of squares.
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Is the decay applied to the parameter itself (AdamW), or added to the gradient (Adam)?
    pub decoupled: bool,
    /// The gradient is multiplied with this first (gradient clipping, accumulation).
    pub grad_scale: f64,
}

/// What Adam needs per step, the same for all elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamConstants {
    /// Weight decay that is added to the gradient.
    pub(crate) l2: f64,
    /// What the parameter is multiplied with.
    pub(crate) shrink: f64,
    /// rate / (1 - beta1^step)
    pub(crate) step_size: f64,
    /// sqrt(1 - beta2^step)
    pub(crate) root_correction: f64,
}

impl Adam {
    pub(crate) fn constants(&self, step: u64) -> AdamConstants {
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        AdamConstants {
            l2: if self.decoupled { 0.0 } else { self.weight_decay },
            shrink: if self.decoupled { 1.0 - self.rate * self.weight_decay } else { 1.0 },
            step_size: self.rate / correction(self.beta1),
            root_correction: correction(self.beta2).sqrt(),
        }
    }
}

/// One step of SGD. `velocity` starts at 0, and may be empty if there is no momentum.
///
/// # Panics
/// If the lengths differ.
pub fn sgd<T: Element>(o: &Sgd, param: &mut [T], grad: &[T], velocity: &mut [T]) {
    assert_eq!(param.len(), grad.len(), "sgd: gradient");
    assert!(o.momentum == 0.0 || velocity.len() == param.len(), "sgd: velocity");
    if is_f32::<T>() {
        fast::sgd(current(), o, cast_slice_mut(param), cast_slice(grad), cast_slice_mut(velocity));
    } else {
        naive::sgd(o, param, grad, velocity);
    }
}

/// Step number `step` (from 1 on) of Adam or AdamW. `m` and `v` start at 0.
///
/// # Panics
/// If the lengths differ, or at step 0.
pub fn adam<T: Element>(o: &Adam, step: u64, param: &mut [T], grad: &[T], m: &mut [T], v: &mut [T]) {
    let n = param.len();
    assert!(grad.len() == n && m.len() == n && v.len() == n, "adam: lengths");
    assert!(step > 0, "adam: steps count from 1");
    if is_f32::<T>() {
        fast::adam(current(), o, step, cast_slice_mut(param), cast_slice(grad), cast_slice_mut(m), cast_slice_mut(v));
    } else {
        naive::adam(o, step, param, grad, m, v);
    }
}
