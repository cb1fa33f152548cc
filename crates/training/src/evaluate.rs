//! A model's answers, and how good they are.

use crate::trunk::{PAYS, over};
use crate::{Classifier, Confusion, Error, Labelled, Planned, Result, Score};
use ukulele_inference::PlanOptions;
use ukulele_layers::{Pass, Tensor, Value};

/// A model's answers to labelled examples, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// The class of each example.
    pub labels: Vec<usize>,
    /// The most probable class of each, the first of equals.
    pub predictions: Vec<usize>,
    /// The probabilities of all classes, for each.
    pub probabilities: Vec<Vec<f32>>,
    /// Mean cross entropy, without smoothing or weights.
    pub loss: f64,
}

impl Evaluation {
    /// Accuracy and loss.
    pub fn score(&self) -> Score {
        let right = self.labels.iter().zip(&self.predictions).filter(|(l, p)| l == p).count();
        Score { accuracy: right as f64 / self.labels.len().max(1) as f64, loss: self.loss }
    }

    /// Labels against predictions.
    ///
    /// # Errors
    /// None for an evaluation made by [`evaluate`].
    pub fn confusion(&self) -> Result<Confusion> {
        let classes = self.probabilities.first().map_or(0, Vec::len);
        Confusion::new(classes, &self.labels, &self.predictions)
    }

    /// Takes in a batch; the loss is the sum until all are.
    fn add(&mut self, logits: &Value, labels: &[i64]) -> Result<()> {
        self.loss += f64::from(logits.cross_entropy(labels)?.tensor().item()?) * labels.len() as f64;
        for &label in labels {
            let class = usize::try_from(label).map_err(|_| Error::Argument(format!("label {label} is no class")))?;
            self.labels.push(class);
        }
        self.probabilities.extend(rows(logits.softmax()?.tensor()));
        Ok(())
    }
}

/// Runs the model in evaluation mode over batches: by a plan of its trunk, if there are so many inputs that making one pays.
///
/// # Errors
/// A batch that cannot be made or run; a label that is no class.
pub fn evaluate<N: Classifier>(
    net: &N,
    batches: impl Iterator<Item = Result<Labelled<N::Batch>>>,
) -> Result<Evaluation> {
    evaluate_with(net, batches, PlanOptions::default())
}

/// As [`evaluate`], with options of the plan. In another precision than f32 the trunk always is one; the head stays f32.
///
/// # Errors
/// As there; a trunk or batch that plans do not take, where the precision is not f32.
pub fn evaluate_with<N: Classifier>(
    net: &N,
    mut batches: impl Iterator<Item = Result<Labelled<N::Batch>>>,
    options: PlanOptions,
) -> Result<Evaluation> {
    let mut found = Evaluation::default();
    over(net, None, options, &mut batches, &mut |features, batch| {
        found.add(&net.head(&features, &mut Pass::eval())?, &batch.labels)
    })?;
    found.predictions = found.probabilities.iter().map(|row| argmax(row)).collect();
    found.loss /= found.labels.len().max(1) as f64;
    Ok(found)
}

/// The probabilities of all classes for each input of a batch. A batch of 32 inputs or more has a plan compiled for it, which takes
/// as long as 7 to 25 of them: for batch after batch, [`Planned`] keeps its plan.
///
/// # Errors
/// Those of the model.
pub fn predict<N: Classifier>(net: &N, inputs: &N::Batch) -> Result<Vec<Vec<f32>>> {
    if N::count(inputs) < PAYS {
        return Ok(rows(net.logits(inputs, &mut Pass::eval())?.softmax()?.tensor()));
    }
    Planned::new(net, inputs).predict(inputs)
}

/// The place of the largest number, the first of equals; 0 in an empty list.
pub fn argmax(values: &[f32]) -> usize {
    values.iter().enumerate().fold(0, |best, (i, v)| if *v > values[best] { i } else { best })
}

pub(crate) fn rows(matrix: &Tensor) -> Vec<Vec<f32>> {
    let width = matrix.shape().last().copied().unwrap_or(1).max(1);
    matrix.to_vec().chunks(width).map(<[f32]>::to_vec).collect()
}
