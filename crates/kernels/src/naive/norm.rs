//! Batch and layer normalisation, column by column and row by row.

use crate::Element;
use crate::norm::{BatchNormBackward, BatchNormGradients, Relu};

/// Mean and biased variance of the numbers.
fn moments(x: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = x.clone().count() as f64;
    let mean = x.clone().sum::<f64>() / n;
    (mean, x.map(|x| (x - mean) * (x - mean)).sum::<f64>() / n)
}

/// See [`crate::norm::batch_norm_statistics`].
pub fn batch_norm_statistics<T: Element>(x: &[T], mean: &mut [T], variance: &mut [T]) {
    let cols = mean.len();
    for j in 0..cols {
        let (m, v) = moments(x.iter().skip(j).step_by(cols).map(|x| x.to_f64()));
        (mean[j], variance[j]) = (T::from_f64(m), T::from_f64(v));
    }
}

/// 1 / sqrt(variance + eps)
fn inverse_std<T: Element>(variance: T, eps: f64) -> T {
    T::from_f64(1.0 / (variance.to_f64() + eps).sqrt())
}

/// See [`crate::norm::batch_norm_apply`].
pub fn batch_norm_apply<T: Element>(
    x: &[T],
    mean: &[T],
    variance: &[T],
    gamma: &[T],
    beta: &[T],
    eps: f64,
    residual: Option<&[T]>,
    relu: bool,
    y: &mut [T],
) {
    for i in 0..y.len() {
        let j = i % mean.len();
        let mut value = (x[i] - mean[j]) * inverse_std(variance[j], eps) * gamma[j] + beta[j];
        if let Some(residual) = residual {
            value += residual[i];
        }
        y[i] = if relu { value.max(T::ZERO) } else { value };
    }
}

/// See [`crate::norm::batch_norm_backward`].
pub fn batch_norm_backward<T: Element>(p: &BatchNormBackward<T>, dy: &mut [T], mut out: BatchNormGradients<T>) {
    let cols = p.mean.len();
    let rows = T::from_usize(dy.len() / cols.max(1));
    for j in 0..cols {
        let scale = inverse_std(p.variance[j], p.eps);
        let normal = |i: usize| (p.x[i] - p.mean[j]) * scale;
        let column = (j..dy.len()).step_by(cols);
        let stopped = |i: usize| match p.relu {
            Relu::None => false,
            Relu::Output(y) => y[i] <= T::ZERO,
            Relu::Beta(beta) => normal(i) * p.gamma[j] + beta[j] <= T::ZERO,
        };
        let g: Vec<T> = column.clone().map(|i| if stopped(i) { T::ZERO } else { dy[i] }).collect();
        let dbeta: T = g.iter().copied().sum();
        let dgamma: T = g.iter().zip(column.clone()).map(|(&g, i)| g * normal(i)).sum();
        for (&g, i) in g.iter().zip(column) {
            if let Some(dresidual) = &mut out.dresidual {
                dresidual[i] = g;
            }
            if out.dx_in_dy {
                let through_statistics = if p.batch_statistics { (dbeta + normal(i) * dgamma) / rows } else { T::ZERO };
                dy[i] = p.gamma[j] * scale * (g - through_statistics);
            }
        }
        (out.dgamma[j], out.dbeta[j]) = (dgamma, dbeta);
    }
}

/// See [`crate::norm::layer_norm`].
pub fn layer_norm<T: Element>(
    x: &[T],
    gamma: &[T],
    beta: &[T],
    eps: f64,
    y: &mut [T],
    mean: &mut [T],
    inv_std: &mut [T],
) {
    let cols = gamma.len();
    for i in 0..mean.len() {
        let row = i * cols..(i + 1) * cols;
        let (m, v) = moments(x[row.clone()].iter().map(|x| x.to_f64()));
        mean[i] = T::from_f64(m);
        inv_std[i] = T::from_f64(1.0 / (v + eps).sqrt());
        for k in row.clone() {
            let j = k - row.start;
            y[k] = (x[k] - mean[i]) * inv_std[i] * gamma[j] + beta[j];
        }
    }
}

/// See [`crate::norm::layer_norm_backward`].
pub fn layer_norm_backward<T: Element>(
    x: &[T],
    mean: &[T],
    inv_std: &[T],
    gamma: &[T],
    dy: &[T],
    dx: Option<&mut [T]>,
    dgamma: &mut [T],
    dbeta: &mut [T],
) {
    let cols = gamma.len();
    dgamma.fill(T::ZERO);
    dbeta.fill(T::ZERO);
    let normal = |k: usize| (x[k] - mean[k / cols]) * inv_std[k / cols];
    for (k, &dy) in dy.iter().enumerate() {
        dbeta[k % cols] += dy;
        dgamma[k % cols] += dy * normal(k);
    }
    let Some(dx) = dx else { return };
    for i in 0..mean.len() {
        let row = i * cols..(i + 1) * cols;
        let n = T::from_usize(cols);
        let g = |k: usize| dy[k] * gamma[k % cols];
        let sum: T = row.clone().map(g).sum();
        let dot: T = row.clone().map(|k| g(k) * normal(k)).sum();
        for k in row {
            dx[k] = inv_std[i] * (g(k) - (sum + normal(k) * dot) / n);
        }
    }
}
