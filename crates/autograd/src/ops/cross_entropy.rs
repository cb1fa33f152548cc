//! L = Σ w_t·ℓ / Σ w_t over the rows, ℓ = −(1 − s)·ln p_t − s/K·Σ (w_c / w_t)·ln p_c, with p = softmax(row), target t,
//! class weights w, label smoothing s and K classes; exactly as torch does. Without weights and smoothing:
//! L = mean(−ln p_t), ∂L/∂x = (p − onehot(t)) / N.

use crate::gradcheck::{Example, numbers};
use crate::ops::elementwise::affine;
use crate::{Element, Error, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::softmax;

/// How cross entropy is taken.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropy {
    /// A weight per class.
    pub class_weights: Option<Vec<f64>>,
    /// The share of the target that is spread evenly over all classes, in [0, 1].
    pub label_smoothing: f64,
    /// Rows with this label count for nothing.
    pub ignore_index: i64,
}

impl Default for CrossEntropy {
    /// No weights, no smoothing; −100 is ignored, as in torch.
    fn default() -> Self {
        Self { class_weights: None, label_smoothing: 0.0, ignore_index: -100 }
    }
}

/// Mean cross entropy of logits (N, C).
#[derive(Debug, Clone)]
pub struct CrossEntropyLoss<T: Element> {
    /// The class of each row.
    pub labels: Vec<i64>,
    /// How it is taken.
    pub options: CrossEntropy,
    /// ∂L/∂logits, known after a recorded forward.
    pub gradient: Option<Tensor<T>>,
}

impl<T: Element> Op<T> for CrossEntropyLoss<T> {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::NOTHING
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], record: bool) -> Result<Tensor<T>> {
        let logits = inputs[0].contiguous();
        let [rows, classes] = logits.dims("cross_entropy", "logits (N, C)")?;
        let CrossEntropy { class_weights, label_smoothing, ignore_index } = &self.options;
        let fail = |message: String| Err(Error::argument("cross_entropy", message));
        if self.labels.len() != rows {
            return fail(format!("{} labels for logits {:?}", self.labels.len(), logits.shape()));
        }
        let wrong = |&label: &i64| label != *ignore_index && !(0..classes as i64).contains(&label);
        if let Some(row) = self.labels.iter().position(wrong) {
            return fail(format!("label {} at row {row} is none of {classes} classes", self.labels[row]));
        }
        if let Some(weights) = class_weights.as_ref().filter(|w| w.len() != classes) {
            return fail(format!("{} class weights for {classes} classes", weights.len()));
        }
        if !(0.0..=1.0).contains(label_smoothing) {
            return fail(format!("label smoothing {label_smoothing} is not in [0, 1]"));
        }
        let weights: Option<Vec<T>> = class_weights.as_ref().map(|w| w.iter().map(|&w| T::from_f64(w)).collect());
        let spec = softmax::CrossEntropy {
            classes,
            ignore_index: *ignore_index,
            label_smoothing: *label_smoothing,
            weights: weights.as_deref(),
        };
        let mut loss = 0.0;
        let mut run = |gradient: Option<&mut [T]>| {
            loss = softmax::cross_entropy(&spec, logits.dense_memory(), &self.labels, gradient)
        };
        if record {
            self.gradient = Some(Tensor::build(logits.shape(), |gradient| run(Some(gradient)))?);
        } else {
            run(None);
        }
        Ok(Tensor::scalar(T::from_f64(loss)))
    }

    fn backward(&self, _: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let Some(gradient) = &self.gradient else {
            return Err(Error::argument("cross_entropy", "backward was called before forward"));
        };
        let factor = grad.item()?.to_f64();
        slots.add(0, if factor == 1.0 { gradient.clone() } else { affine(factor, 0.0, gradient)? })
    }
}

impl<T: Element> Value<T> {
    /// The mean cross entropy of logits (N, C) and the classes `labels`; −100 is ignored.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let logits: Value = Tensor::from_vec(&[2, 2], vec![1., 1., 5., 5.])?.into();
    /// assert!((logits.cross_entropy(&[0, 1])?.tensor().item()? - 2f32.ln()).abs() < 1e-6);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another shape, another number of labels, a label that is no class.
    pub fn cross_entropy(&self, labels: &[i64]) -> Result<Self> {
        self.cross_entropy_with(labels, &CrossEntropy::default())
    }

    /// As [`Value::cross_entropy`], with class weights, label smoothing, or another label to ignore.
    ///
    /// ```
    /// # use ukulele_autograd::{CrossEntropy, Tensor, Value};
    /// let logits: Value = Tensor::from_vec(&[2, 2], vec![1., 1., 9., 1.])?.into();
    /// let loss = logits.cross_entropy_with(&[0, 7], &CrossEntropy { ignore_index: 7, ..Default::default() })?;
    /// assert!((loss.tensor().item()? - 2f32.ln()).abs() < 1e-6);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Also: not one weight a class, a smoothing outside [0, 1].
    pub fn cross_entropy_with(&self, labels: &[i64], options: &CrossEntropy) -> Result<Self> {
        let op = CrossEntropyLoss { labels: labels.to_vec(), options: options.clone(), gradient: None };
        Self::apply(op, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let example = |label, shape: [usize; 2], labels: &'static [i64], options: CrossEntropy| {
        let run = move |v: &[Value<T>]| v[0].scale(3.0)?.cross_entropy_with(labels, &options);
        Example::new(label, vec![numbers(1, &shape)], run)
    };
    let plain = CrossEntropy::default;
    let weights = || Some(vec![0.5, 1.0, 2.0]);
    vec![
        example("plain", [4, 3], &[0, 2, 1, 2], plain()),
        example("ignored", [4, 3], &[0, -100, 1, -100], plain()),
        example("smoothing", [3, 3], &[0, 2, 1], CrossEntropy { label_smoothing: 0.1, ..plain() }),
        example("weights", [4, 3], &[0, 2, 1, 2], CrossEntropy { class_weights: weights(), ..plain() }),
        example(
            "all",
            [3, 3],
            &[1, 9, 2],
            CrossEntropy { class_weights: weights(), label_smoothing: 0.2, ignore_index: 9 },
        ),
        example("one class", [2, 1], &[0, 0], plain()),
        Example::new("scaled loss", vec![numbers(1, &[2, 3])], |v| v[0].cross_entropy(&[0, 1])?.scale(0.25)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_do_not_fit_are_errors() {
        let logits: Value = numbers(1, &[2, 3]).into();
        let run = |labels: &[i64], options| logits.cross_entropy_with(labels, &options).unwrap_err().to_string();
        let plain = CrossEntropy::default;
        assert!(run(&[0], plain()).contains("1 labels for logits [2, 3]"));
        assert!(run(&[0, 3], plain()).contains("label 3 at row 1 is none of 3 classes"));
        assert!(run(&[0, -1], plain()).contains("label -1"));
        assert!(run(&[0, 1], CrossEntropy { class_weights: Some(vec![1.0]), ..plain() }).contains("1 class weights"));
        assert!(run(&[0, 1], CrossEntropy { label_smoothing: 1.5, ..plain() }).contains("1.5"));
    }
}
