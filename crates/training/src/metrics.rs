//! How good predictions are.

use crate::{Error, Result};
use std::collections::BTreeMap;

/// How often each class was taken for each other: entry (label, prediction).
///
/// ```
/// use ukulele_training::Confusion;
/// let confusion = Confusion::new(2, &[0, 0, 1, 1], &[0, 1, 1, 1])?;
/// assert_eq!(confusion.count(0, 1), 1);
/// assert_eq!(confusion.accuracy(), 0.75);
/// # Ok::<(), ukulele_training::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<usize>,
}

/// The scores of one class. What would be 0/0 is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassScore {
    /// Of those predicted as this class, the share that is.
    pub precision: f64,
    /// Of those that are of this class, the share predicted as such.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// The number of examples of this class.
    pub support: usize,
}

impl Confusion {
    /// Counts labels against predictions.
    ///
    /// # Errors
    /// Lists of unequal length, or a class out of range.
    pub fn new(classes: usize, labels: &[usize], predictions: &[usize]) -> Result<Self> {
        if labels.len() != predictions.len() {
            return Err(Error::Argument(format!("{} labels and {} predictions", labels.len(), predictions.len())));
        }
        let mut counts = vec![0; classes * classes];
        for (&label, &prediction) in labels.iter().zip(predictions) {
            if label.max(prediction) >= classes {
                return Err(Error::Argument(format!("class {} of {classes} classes", label.max(prediction))));
            }
            counts[label * classes + prediction] += 1;
        }
        Ok(Self { classes, counts })
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many examples of class `label` were predicted as `prediction`; 0 out of range.
    pub fn count(&self, label: usize, prediction: usize) -> usize {
        if label.max(prediction) < self.classes { self.counts[label * self.classes + prediction] } else { 0 }
    }

    /// The number of examples.
    pub fn total(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The number predicted right.
    pub fn correct(&self) -> usize {
        (0..self.classes).map(|c| self.count(c, c)).sum()
    }

    /// The share predicted right; 0 without examples.
    pub fn accuracy(&self) -> f64 {
        ratio(self.correct(), self.total())
    }

    /// The scores of one class.
    pub fn class(&self, class: usize) -> ClassScore {
        let support = (0..self.classes).map(|p| self.count(class, p)).sum();
        let predicted: usize = (0..self.classes).map(|l| self.count(l, class)).sum();
        let right = self.count(class, class);
        ClassScore {
            precision: ratio(right, predicted),
            recall: ratio(right, support),
            f1: ratio(2 * right, support + predicted),
            support,
        }
    }

    /// The mean of F1 over the classes that occur as a label or a prediction; 0 without examples.
    pub fn macro_f1(&self) -> f64 {
        let occurs = |&c: &usize| (0..self.classes).any(|o| self.count(c, o) + self.count(o, c) > 0);
        let scores: Vec<f64> = (0..self.classes).filter(occurs).map(|c| self.class(c).f1).collect();
        if scores.is_empty() { 0.0 } else { scores.iter().sum::<f64>() / scores.len() as f64 }
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// One weight per class, so that all classes count alike in the loss: n / (classes · n_c), as scikit-learn's `balanced`.
///
/// # Errors
/// A label out of range, or a class without examples.
pub fn class_weights_balanced(labels: &[i64], classes: usize) -> Result<Vec<f64>> {
    let mut counts = BTreeMap::new();
    for &label in labels {
        if usize::try_from(label).ok().is_none_or(|l| l >= classes) {
            return Err(Error::Argument(format!("label {label} of {classes} classes")));
        }
        *counts.entry(label).or_insert(0_usize) += 1;
    }
    (0..classes as i64)
        .map(|class| match counts.get(&class) {
            Some(&count) => Ok(labels.len() as f64 / (classes * count) as f64),
            None => Err(Error::Argument(format!("class {class} has no examples, so no weight balances it"))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of scikit-learn's `precision_recall_fscore_support` and `f1_score(average="macro")`.
    #[test]
    fn scores_are_those_of_the_textbook() {
        let labels = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2];
        let predictions = [0, 0, 1, 2, 1, 1, 0, 2, 2, 2];
        let confusion = Confusion::new(4, &labels, &predictions).unwrap();
        assert_eq!((confusion.correct(), confusion.total(), confusion.accuracy()), (7, 10, 0.7));
        let want =
            [(2. / 3., 0.5, 4. / 7., 4), (2. / 3., 2. / 3., 2. / 3., 3), (0.75, 1.0, 6. / 7., 3), (0., 0., 0., 0)];
        for (class, (precision, recall, f1, support)) in want.into_iter().enumerate() {
            let got = confusion.class(class);
            assert!((got.precision - precision).abs() < 1e-12 && (got.recall - recall).abs() < 1e-12);
            assert!((got.f1 - f1).abs() < 1e-12 && got.support == support, "{class}: {got:?}");
        }
        assert!((confusion.macro_f1() - (4. / 7. + 2. / 3. + 6. / 7.) / 3.).abs() < 1e-12);
    }

    #[test]
    fn nothing_to_count_is_no_division_by_zero() {
        let confusion = Confusion::new(3, &[], &[]).unwrap();
        assert_eq!((confusion.accuracy(), confusion.macro_f1(), confusion.class(5).f1), (0.0, 0.0, 0.0));
    }

    #[test]
    fn wrong_lists_are_errors() {
        assert!(Confusion::new(2, &[0], &[0, 1]).is_err());
        assert_eq!(Confusion::new(2, &[0], &[2]).unwrap_err().to_string(), "class 2 of 2 classes");
    }

    #[test]
    fn rare_classes_weigh_more() {
        assert_eq!(class_weights_balanced(&[0, 0, 0, 1], 2).unwrap(), [4. / 6., 2.0]);
        assert!(class_weights_balanced(&[0, 2], 3).unwrap_err().to_string().contains("class 1 has no examples"));
        assert!(class_weights_balanced(&[-1], 2).is_err() && class_weights_balanced(&[2], 2).is_err());
    }
}
