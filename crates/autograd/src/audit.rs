//! Does every trainable parameter have a way to the loss?

use crate::{Element, Error, Result, Tape, Value};

impl<T: Element> Tape<T> {
    /// Checks that the gradient of `loss` reaches every leaf. Called before the first training step: a layer that was
    /// forgotten, or a value that was detached, is found there and not after days of training.
    ///
    /// # Errors
    /// Names each leaf that is not reached, and the op at which its way ends.
    pub fn audit(&self, loss: &Value<T>) -> Result<()> {
        let record = self.lock();
        let nodes = &record.nodes;
        let mut reached = vec![false; nodes.len()];
        if let Some((tape, node)) = loss.trace() {
            if tape.same(self) {
                reached[node.0] = true;
            }
        }
        for at in (0..nodes.len()).rev().filter(|&at| at < reached.len()) {
            if reached[at] {
                nodes[at].inputs.iter().flatten().for_each(|&i| reached[i] = true);
            }
        }
        let lost: Vec<String> = (0..nodes.len())
            .filter(|&at| nodes[at].op.is_none() && !reached[at])
            .map(|leaf| {
                let mut follows = vec![false; nodes.len()];
                follows[leaf] = true;
                let mut last = leaf;
                for at in leaf + 1..nodes.len() {
                    if nodes[at].inputs.iter().flatten().any(|&i| follows[i]) {
                        (follows[at], last) = (true, at);
                    }
                }
                let name = &nodes[leaf].name;
                match record.cuts.iter().find(|(_, node)| follows[*node]) {
                    Some((op, _)) => format!("{name} (cut by `{op}`)"),
                    None if last == leaf => format!("{name} (used by no op)"),
                    None => format!("{name} (the result of `{}` is not used)", nodes[last].name),
                }
            })
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        Err(Error::argument("audit", format!("no way from the loss to: {}; freeze them or use them", lost.join(", "))))
    }
}
