//! What an evaluation found, for people and as JSON.

use crate::errors::Result;
use serde_json::{Map, Value as Json, json};
use ukulele_training::{Confusion, Evaluation, wilson};

/// More classes than this make no readable matrix on a terminal.
const MOST_COLUMNS: usize = 12;

/// An evaluation with the names of its classes.
pub(crate) struct Outcome<'a> {
    confusion: Confusion,
    loss: f64,
    labels: &'a [String],
}

impl<'a> Outcome<'a> {
    /// Of an evaluation.
    pub(crate) fn of(evaluation: &Evaluation, labels: &'a [String]) -> Result<Self> {
        let confusion = Confusion::new(labels.len(), &evaluation.labels, &evaluation.predictions)?;
        Ok(Self { confusion, loss: evaluation.loss, labels })
    }

    /// Accuracy with its interval, F1, and the confusion matrix.
    pub(crate) fn text(&self, what: &str) -> String {
        let c = &self.confusion;
        let interval = wilson(c.correct(), c.total());
        let mut out = format!(
            "{what}: accuracy {:.4} (95% interval {:.4} to {:.4}; {} of {} right), macro F1 {:.4}, loss {:.4}\n",
            interval.value,
            interval.low,
            interval.high,
            c.correct(),
            c.total(),
            c.macro_f1(),
            self.loss
        );
        let width = self.labels.iter().map(|l| l.chars().count()).max().unwrap_or(0).clamp(5, 24);
        let cut = |label: &str| label.chars().take(width).collect::<String>();
        let matrix = self.labels.len() <= MOST_COLUMNS;
        let head: Vec<String> = self.labels.iter().filter(|_| matrix).map(|l| format!("{:>width$}", cut(l))).collect();
        let title = if matrix { "is \\ says" } else { "class" };
        let first = width.max(title.len());
        out += &format!(
            "  {title:<first$}  {}{}precision  recall      F1\n",
            head.join("  "),
            if matrix { "   " } else { "" }
        );
        for (i, label) in self.labels.iter().enumerate() {
            let row: Vec<String> =
                (0..self.labels.len()).filter(|_| matrix).map(|j| format!("{:>width$}", c.count(i, j))).collect();
            let class = c.class(i);
            out += &format!(
                "  {:<first$}  {}{}{:>9.3}  {:>6.3}  {:>6.3}\n",
                cut(label),
                row.join("  "),
                if matrix { "   " } else { "" },
                class.precision,
                class.recall,
                class.f1
            );
        }
        out
    }

    /// The same as JSON.
    pub(crate) fn json(&self) -> Json {
        let c = &self.confusion;
        let interval = wilson(c.correct(), c.total());
        let classes = self.labels.len();
        let mut per_class = Map::new();
        for (i, label) in self.labels.iter().enumerate() {
            let score = c.class(i);
            per_class.insert(
                label.clone(),
                json!({"precision": score.precision, "recall": score.recall, "f1": score.f1, "support": score.support}),
            );
        }
        json!({
            "accuracy": interval.value,
            "low": interval.low,
            "high": interval.high,
            "samples": c.total(),
            "macro_f1": c.macro_f1(),
            "loss": self.loss,
            "labels": self.labels,
            "confusion": (0..classes).map(|i| (0..classes).map(|j| c.count(i, j)).collect()).collect::<Vec<Vec<usize>>>(),
            "classes": per_class,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrix_and_numbers_agree() -> Result<()> {
        let labels = ["no".to_owned(), "yes".to_owned()];
        let evaluation =
            Evaluation { labels: vec![0, 0, 1, 1], predictions: vec![0, 1, 1, 1], probabilities: vec![], loss: 0.5 };
        let outcome = Outcome::of(&evaluation, &labels)?;
        assert!(
            outcome.text("test").starts_with("test: accuracy 0.7500 (95% interval 0.3006 to 0.9544; 3 of 4 right)")
        );
        assert_eq!(outcome.json()["confusion"], json!([[1, 1], [0, 2]]));
        Ok(())
    }
}
