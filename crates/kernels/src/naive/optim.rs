//! Optimiser updates, one parameter at a time.

use crate::Element;
use crate::optim::{Adam, Sgd};

/// See [`crate::optim::sgd`].
pub fn sgd<T: Element>(o: &Sgd, param: &mut [T], grad: &[T], velocity: &mut [T]) {
    let c = T::from_f64;
    for i in 0..param.len() {
        let mut g = c(o.grad_scale) * grad[i] + c(o.weight_decay) * param[i];
        if o.momentum != 0.0 {
            velocity[i] = c(o.momentum) * velocity[i] + g;
            g = if o.nesterov { g + c(o.momentum) * velocity[i] } else { velocity[i] };
        }
        param[i] += -c(o.rate) * g;
    }
}

/// See [`crate::optim::adam`].
pub fn adam<T: Element>(o: &Adam, step: u64, param: &mut [T], grad: &[T], m: &mut [T], v: &mut [T]) {
    let c = T::from_f64;
    let k = o.constants(step);
    for i in 0..param.len() {
        let g = c(o.grad_scale) * grad[i] + c(k.l2) * param[i];
        m[i] = m[i] + c(1.0 - o.beta1) * (g - m[i]);
        v[i] = c(o.beta2) * v[i] + c(1.0 - o.beta2) * g * g;
        let denominator = v[i].sqrt() / c(k.root_correction) + c(o.eps);
        param[i] = c(k.shrink) * param[i] - c(k.step_size) * m[i] / denominator;
    }
}
