//! Softmax, its logarithm and cross entropy over rows.

pub(crate) mod fast;
#[cfg(test)]
mod tests;

use crate::Element;
use crate::element::is_f32;
use crate::isa::current;
use crate::naive::softmax as naive;
use bytemuck::{cast_slice, cast_slice_mut};

/// y = e^x / sum of e^x over each row of `cols` numbers, computed from x - max so that nothing overflows. A row that is
/// minus infinity throughout gives NaN, as in torch.
///
/// # Panics
/// If the sizes do not fit, as all functions of this module do.
pub fn softmax<T: Element>(x: &[T], cols: usize, y: &mut [T]) {
    check(x.len(), y.len(), cols);
    if is_f32::<T>() {
        fast::softmax(current(), cast_slice(x), cols.max(1), cast_slice_mut(y));
    } else {
        naive::softmax(x, cols.max(1), y);
    }
}

/// dx = y (dy - sum of y dy over the row), y being the output of [`softmax`].
pub fn softmax_backward<T: Element>(y: &[T], dy: &[T], cols: usize, dx: &mut [T]) {
    check(y.len(), dy.len(), cols);
    check(y.len(), dx.len(), cols);
    if is_f32::<T>() {
        fast::softmax_backward(current(), cast_slice(y), cast_slice(dy), cols.max(1), cast_slice_mut(dx));
    } else {
        naive::softmax_backward(y, dy, cols.max(1), dx);
    }
}

/// y = x - max - ln sum of e^(x - max) over each row.
pub fn log_softmax<T: Element>(x: &[T], cols: usize, y: &mut [T]) {
    check(x.len(), y.len(), cols);
    if is_f32::<T>() {
        fast::log_softmax(current(), cast_slice(x), cols.max(1), cast_slice_mut(y));
    } else {
        naive::log_softmax(x, cols.max(1), y);
    }
}

/// dx = dy - e^y sum of dy over the row, y being the output of [`log_softmax`].
pub fn log_softmax_backward<T: Element>(y: &[T], dy: &[T], cols: usize, dx: &mut [T]) {
    check(y.len(), dy.len(), cols);
    check(y.len(), dx.len(), cols);
    if is_f32::<T>() {
        fast::log_softmax_backward(current(), cast_slice(y), cast_slice(dy), cols.max(1), cast_slice_mut(dx));
    } else {
        naive::log_softmax_backward(y, dy, cols.max(1), dx);
    }
}

/// How cross entropy is taken.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy<'a, T> {
    /// Numbers in a row of logits.
    pub classes: usize,
    /// Rows with this target count for nothing (-100 in torch).
    pub ignore_index: i64,
    /// This share of the target is spread evenly over all classes, 0 to 1.
    pub label_smoothing: f64,
    /// A weight per class.
    pub weights: Option<&'a [T]>,
}

impl<T: Element> CrossEntropy<'_, T> {
    /// No smoothing, no weights, -100 ignored.
    pub fn new(classes: usize) -> Self {
        CrossEntropy { classes, ignore_index: -100, label_smoothing: 0.0, weights: None }
    }

    /// What the sum of the losses is divided by: the summed weights of the targets, or their number.
    pub fn normaliser(&self, targets: &[i64]) -> f64 {
        let counted = targets.iter().filter(|&&t| t != self.ignore_index);
        match self.weights {
            None => counted.count() as f64,
            Some(weights) => counted.map(|&t| weights[t as usize].to_f64()).sum(),
        }
    }
}

/// The mean cross entropy of rows of logits, exactly torch's: with p = softmax(row), e = label_smoothing, K classes,
/// target t and class weights w, the loss of a row is -(1 - e) w_t ln p_t - e / K sum_c w_c ln p_c, and the mean divides
/// their sum by the sum of w_t. If every row is ignored the mean is NaN, and the gradient 0.
///
/// If wanted, `dlogits` gets the gradient of the mean, in the same pass.
///
/// # Panics
/// If the sizes do not fit, or a target is neither a class nor the ignored one.
pub fn cross_entropy<T: Element>(
    spec: &CrossEntropy<T>,
    logits: &[T],
    targets: &[i64],
    dlogits: Option<&mut [T]>,
) -> f64 {
    let classes = spec.classes;
    assert_eq!(logits.len(), targets.len() * classes, "cross_entropy: {classes} classes");
    assert!(dlogits.as_deref().is_none_or(|d| d.len() == logits.len()), "cross_entropy: dlogits");
    assert!(spec.weights.is_none_or(|w| w.len() == classes), "cross_entropy: weights");
    for &t in targets {
        assert!(
            t == spec.ignore_index || (0..classes as i64).contains(&t),
            "cross_entropy: target {t} of {classes} classes"
        );
    }
    if is_f32::<T>() {
        let spec = CrossEntropy {
            classes,
            ignore_index: spec.ignore_index,
            label_smoothing: spec.label_smoothing,
            weights: spec.weights.map(cast_slice),
        };
        fast::cross_entropy(current(), &spec, cast_slice(logits), targets, dlogits.map(cast_slice_mut))
    } else {
        naive::cross_entropy(spec, logits, targets, dlogits)
    }
}

/// Panics unless both are the same number of whole rows.
fn check(x: usize, y: usize, cols: usize) {
    assert_eq!(x, y, "softmax");
    crate::reduce::check(x, cols);
}
