//! Softmax and cross entropy, row by row.

use crate::Element;
use crate::softmax::CrossEntropy;

/// Largest element and ln of the sum of e^(x - largest).
fn log_sum_exp<T: Element>(row: &[T]) -> (T, T) {
    let max = row.iter().fold(T::NEG_INFINITY, |max, &x| max.max(x));
    (max, row.iter().map(|&x| (x - max).exp()).sum::<T>().ln())
}

/// See [`crate::softmax::softmax`].
pub fn softmax<T: Element>(x: &[T], cols: usize, y: &mut [T]) {
    for (x, y) in x.chunks(cols).zip(y.chunks_mut(cols)) {
        let max = x.iter().fold(T::NEG_INFINITY, |max, &x| max.max(x));
        let sum: T = x.iter().map(|&x| (x - max).exp()).sum();
        for (y, &x) in y.iter_mut().zip(x) {
            *y = (x - max).exp() / sum;
        }
    }
}

/// See [`crate::softmax::softmax_backward`].
pub fn softmax_backward<T: Element>(y: &[T], dy: &[T], cols: usize, dx: &mut [T]) {
    for ((y, dy), dx) in y.chunks(cols).zip(dy.chunks(cols)).zip(dx.chunks_mut(cols)) {
        let dot: T = y.iter().zip(dy).map(|(&y, &dy)| y * dy).sum();
        for j in 0..y.len() {
            dx[j] = y[j] * (dy[j] - dot);
        }
    }
}

/// See [`crate::softmax::log_softmax`].
pub fn log_softmax<T: Element>(x: &[T], cols: usize, y: &mut [T]) {
    for (x, y) in x.chunks(cols).zip(y.chunks_mut(cols)) {
        let (max, ln_sum) = log_sum_exp(x);
        for (y, &x) in y.iter_mut().zip(x) {
            *y = x - max - ln_sum;
        }
    }
}

/// See [`crate::softmax::log_softmax_backward`].
pub fn log_softmax_backward<T: Element>(y: &[T], dy: &[T], cols: usize, dx: &mut [T]) {
    for ((y, dy), dx) in y.chunks(cols).zip(dy.chunks(cols)).zip(dx.chunks_mut(cols)) {
        let sum: T = dy.iter().copied().sum();
        for j in 0..y.len() {
            dx[j] = dy[j] - y[j].exp() * sum;
        }
    }
}

/// See [`crate::softmax::cross_entropy`].
pub fn cross_entropy<T: Element>(
    spec: &CrossEntropy<T>,
    logits: &[T],
    targets: &[i64],
    mut dlogits: Option<&mut [T]>,
) -> f64 {
    let classes = spec.classes;
    let smoothing = T::from_f64(spec.label_smoothing);
    let each = smoothing / T::from_usize(classes);
    let weight = |class: usize| spec.weights.map_or(T::ONE, |weights| weights[class]);
    let total_weight: T = (0..classes).map(weight).sum();
    let normaliser = T::from_f64(spec.normaliser(targets));
    if let Some(dlogits) = dlogits.as_deref_mut() {
        dlogits.fill(T::ZERO);
    }
    let mut loss = 0.0;
    for (i, &target) in targets.iter().enumerate() {
        if target == spec.ignore_index {
            continue;
        }
        let target = target as usize;
        let row = &logits[i * classes..(i + 1) * classes];
        let (max, ln_sum) = log_sum_exp(row);
        let log_p = |class: usize| row[class] - max - ln_sum;
        let hit = (T::ONE - smoothing) * weight(target);
        let mut row_loss = -hit * log_p(target);
        if smoothing > T::ZERO {
            row_loss += -each * (0..classes).map(|c| weight(c) * log_p(c)).sum::<T>();
        }
        loss += (row_loss / normaliser).to_f64();
        if let Some(dlogits) = dlogits.as_deref_mut() {
            // The gradient of -sum_c q_c log_p_c is p_c sum(q) - q_c.
            let mass = hit + each * total_weight;
            for class in 0..classes {
                let q = each * weight(class) + if class == target { hit } else { T::ZERO };
                dlogits[i * classes + class] = (log_p(class).exp() * mass - q) / normaliser;
            }
        }
    }
    if normaliser == T::ZERO { f64::NAN } else { loss }
}
