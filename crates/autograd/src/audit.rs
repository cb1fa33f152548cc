//! Does every trainable parameter have a way to the loss?

use crate::tape::{NodeId, Record, spent};
use crate::{Element, Error, Result, Tape, Value};

/// A leaf from which no way leads to the loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreached {
    /// Its place on the tape.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Where its way ends, e.g. ``cut by `detach` ``.
    pub reason: String,
}

impl<T: Element> Tape<T> {
    /// Checks that the gradient of `loss` reaches every leaf. Called before the first training step: a layer that was
    /// forgotten, or a value that was detached, is found there and not after days of training.
    ///
    /// ```
    /// # use ukulele_autograd::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let [w, b] = ["w", "b"].map(|name| tape.leaf(name, Tensor::scalar(1f32)));
    /// let loss = w.mul(&b.square()?.detach())?;
    /// let error = tape.audit(&loss).unwrap_err().to_string();
    /// assert_eq!(error, "audit: no way from the loss to: b (cut by `detach`); freeze them or use them");
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Names each leaf that is not reached, and the op at which its way ends. Backward was called before.
    pub fn audit(&self, loss: &Value<T>) -> Result<()> {
        if self.lock().spent {
            return Err(spent("audit"));
        }
        let lost: Vec<String> = self.unreached(loss).iter().map(|u| format!("{} ({})", u.name, u.reason)).collect();
        if lost.is_empty() {
            return Ok(());
        }
        Err(Error::argument("audit", format!("no way from the loss to: {}; freeze them or use them", lost.join(", "))))
    }

    /// The leaves that the gradient of `loss` does not reach, in the order of recording. To be asked before backward,
    /// which uses the records up.
    pub fn unreached(&self, loss: &Value<T>) -> Vec<Unreached> {
        let record = self.lock();
        let nodes = &record.nodes;
        let mut reached = vec![false; nodes.len()];
        if let Some((_, node)) = loss.trace().filter(|(tape, node)| tape.same(self) && node.0 < nodes.len()) {
            reached[node.0] = true;
        }
        for at in (0..nodes.len()).rev() {
            if reached[at] {
                nodes[at].inputs.iter().flatten().for_each(|&i| reached[i] = true);
            }
        }
        let leaves = (0..nodes.len()).filter(|&at| nodes[at].op.is_none() && !reached[at]);
        leaves
            .map(|at| Unreached { node: NodeId(at), name: nodes[at].name.clone(), reason: reason(&record, at) })
            .collect()
    }
}

/// Where the way of a leaf ends.
fn reason<T: Element>(record: &Record<T>, leaf: usize) -> String {
    let nodes = &record.nodes;
    let mut follows = vec![false; nodes.len()];
    follows[leaf] = true;
    let mut last = leaf;
    for at in leaf + 1..nodes.len() {
        if nodes[at].inputs.iter().flatten().any(|&i| follows[i]) {
            (follows[at], last) = (true, at);
        }
    }
    match record.cuts.iter().find(|(_, node)| follows[*node]) {
        Some((op, _)) => format!("cut by `{op}`"),
        None if last == leaf => "used by no op".to_owned(),
        None => format!("the result of `{}` is not used", nodes[last].name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;

    fn leaves(tape: &Tape) -> [Value; 2] {
        ["w", "b"].map(|name| tape.leaf(name, Tensor::scalar(2.0)))
    }

    fn found(tape: &Tape, loss: &Value) -> Vec<(String, String)> {
        tape.unreached(loss).into_iter().map(|u| (u.name, u.reason)).collect()
    }

    #[test]
    fn a_loss_that_uses_all_is_in_order() -> Result<()> {
        let tape = Tape::new();
        let [w, b] = leaves(&tape);
        let loss = w.relu()?.add(&b)?.square()?;
        tape.audit(&loss)?;
        assert!(found(&tape, &loss).is_empty());
        Ok(())
    }

    #[test]
    fn a_detached_value_is_named() -> Result<()> {
        let tape = Tape::new();
        let [w, b] = leaves(&tape);
        let loss = w.relu()?.exp()?.detach().add(&b)?;
        assert_eq!(found(&tape, &loss), [("w".to_owned(), "cut by `detach`".to_owned())]);
        assert_eq!(tape.unreached(&loss)[0].node, w.trace().unwrap().1);
        Ok(())
    }

    #[test]
    fn an_unused_leaf_is_named() -> Result<()> {
        let tape = Tape::new();
        let [w, _b] = leaves(&tape);
        let error = tape.audit(&w.square()?).unwrap_err().to_string();
        assert!(error.contains("b (used by no op)"), "{error}");
        Ok(())
    }

    #[test]
    fn a_result_that_is_not_used_is_named() -> Result<()> {
        let tape = Tape::new();
        let [w, b] = leaves(&tape);
        w.add(&b)?.exp()?;
        let loss = w.square()?;
        assert_eq!(found(&tape, &loss), [("b".to_owned(), "the result of `exp` is not used".to_owned())]);
        Ok(())
    }

    #[test]
    fn a_loss_of_constants_reaches_nothing() -> Result<()> {
        let tape = Tape::new();
        leaves(&tape);
        assert_eq!(tape.unreached(&Tensor::scalar(1.0).into()).len(), 2);
        Ok(())
    }
}
