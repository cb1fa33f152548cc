//! L = Σ w·ℓ / Σ w, ℓ = max(x, 0) − x·t + ln(1 + e^−|x|) = −t·ln σ(x) − (1 − t)·ln(1 − σ(x)); ∂L/∂x = w·(σ(x) − t) / Σ w.

use crate::gradcheck::{Example, numbers};
use crate::{Element, Error, Keeps, Kept, Op, Result, Slots, Tensor, Value};

/// Binary cross entropy of each logit, averaged.
#[derive(Debug, Clone)]
pub struct BceWithLogits {
    /// t of each logit in row-major order: 0, 1 or between.
    pub targets: Vec<f32>,
    /// w of each, not negative; `None` is 1.
    pub weights: Option<Vec<f32>>,
}

impl BceWithLogits {
    /// x, t and w of each logit.
    fn each<T: Element>(&self, logits: &Tensor<T>) -> impl Iterator<Item = (f64, f64, f64)> {
        let weight = |i: usize| self.weights.as_ref().map_or(1.0, |w| f64::from(w[i]));
        let targets = self.targets.iter().enumerate().map(move |(i, &t)| (f64::from(t), weight(i)));
        logits.to_vec().into_iter().zip(targets).map(|(x, (t, w))| (x.to_f64(), t, w))
    }

    fn total(&self) -> f64 {
        let sum = |weights: &Vec<f32>| weights.iter().map(|&w| f64::from(w)).sum();
        self.weights.as_ref().map_or(self.targets.len() as f64, sum)
    }
}

impl<T: Element> Op<T> for BceWithLogits {
    fn name(&self) -> &'static str {
        "bce_with_logits"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::inputs(&[0])
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        let count = inputs[0].numel();
        let fail = |message: String| Err(Error::argument("bce_with_logits", message));
        for (what, len) in [("targets", self.targets.len()), ("weights", self.weights.as_ref().map_or(count, Vec::len))] {
            if len != count {
                return fail(format!("{len} {what} for logits {:?}", inputs[0].shape()));
            }
        }
        if let Some(i) = self.targets.iter().position(|t| !(0.0..=1.0).contains(t)) {
            return fail(format!("target {} at place {i} is not in [0, 1]", self.targets[i]));
        }
        if let Some(i) = self.weights.iter().flatten().position(|w| !(w.is_finite() && *w >= 0.0)) {
            return fail(format!("the weight at place {i} is no number of at least 0"));
        }
        let loss = |(x, t, w): (f64, f64, f64)| w * (x.max(0.0) - x * t + (-x.abs()).exp().ln_1p());
        let sum: f64 = self.each(inputs[0]).map(loss).sum();
        Ok(Tensor::scalar(T::from_f64(sum / self.total())))
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let (x, factor) = (kept.input(0)?, grad.item()?.to_f64() / self.total());
        let gradient = |(x, t, w): (f64, f64, f64)| T::from_f64(factor * w * (1.0 / (1.0 + (-x).exp()) - t));
        slots.add(0, Tensor::from_vec(x.shape(), self.each(x).map(gradient).collect())?)
    }
}

impl<T: Element> Value<T> {
    /// The mean binary cross entropy of logits of any shape and targets in row-major order, as torch's
    /// `BCEWithLogitsLoss`. `weights` says how much each counts: with 0 and 1 it is a mask.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let logits: Value = Tensor::from_vec(&[1, 2], vec![0., 9.])?.into();
    /// let loss = logits.bce_with_logits(&[1., 0.], Some(&[1., 0.]))?;
    /// assert!((loss.tensor().item()? - 2f32.ln()).abs() < 1e-6);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another number of targets or weights, a target outside [0, 1], a negative weight.
    pub fn bce_with_logits(&self, targets: &[f32], weights: Option<&[f32]>) -> Result<Self> {
        let op = BceWithLogits { targets: targets.to_vec(), weights: weights.map(<[f32]>::to_vec) };
        Self::apply(op, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let example = |label, shape: &[usize], targets: &'static [f32], weights: Option<&'static [f32]>| {
        Example::new(label, vec![numbers(1, shape)], move |v| v[0].scale(3.0)?.bce_with_logits(targets, weights))
    };
    vec![
        example("matrix", &[2, 3], &[0., 1., 1., 0., 0.25, 1.], None),
        example("weights", &[2, 2], &[0., 1., 1., 0.], Some(&[1., 0., 0.5, 2.])),
        example("scalar", &[], &[1.], None),
        example("image", &[1, 2, 1, 2], &[0., 1., 0.5, 1.], None),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_that_do_not_fit_are_errors() {
        let logits: Value = numbers(1, &[2]).into();
        let run = |t: &[f32], w: Option<&[f32]>| logits.bce_with_logits(t, w).unwrap_err().to_string();
        assert!(run(&[0.], None).contains("1 targets for logits [2]"));
        assert!(run(&[0., 2.], None).contains("target 2 at place 1"));
        assert!(run(&[0., 1.], Some(&[1.])).contains("1 weights"));
        assert!(run(&[0., 1.], Some(&[1., -1.])).contains("weight at place 1"));
    }

    /// σ saturates, the loss does not.
    #[test]
    fn large_logits_stay_finite() {
        let logits: Value = Tensor::from_vec(&[2], vec![1000., -1000.]).unwrap().into();
        assert_eq!(logits.bce_with_logits(&[0., 1.], None).unwrap().tensor().item().unwrap(), 1000.);
        assert_eq!(logits.bce_with_logits(&[1., 0.], None).unwrap().tensor().item().unwrap(), 0.);
    }
}
