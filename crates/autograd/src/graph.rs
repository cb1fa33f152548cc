//! A recorded forward pass as data, for those who compile, print or export it.

use crate::{Element, Error, Op, Result, Tape, Tensor, Value};

/// The ops of a forward pass, in an order in which each comes after those it reads.
#[derive(Debug)]
pub struct Graph<T: Element = f32> {
    /// Inputs and ops.
    pub nodes: Vec<GraphNode<T>>,
    /// Which node is the result.
    pub output: usize,
}

/// An input of the pass, or an op.
#[derive(Debug)]
pub struct GraphNode<T: Element = f32> {
    /// `None` for an input.
    pub op: Option<Box<dyn Op<T>>>,
    /// What the op reads.
    pub inputs: Vec<GraphInput<T>>,
    /// The shape of the result.
    pub shape: Vec<usize>,
}

/// What an op reads.
#[derive(Debug, Clone)]
pub enum GraphInput<T: Element = f32> {
    /// The result of an earlier node.
    Node(usize),
    /// A tensor that depends on no input: a parameter.
    Constant(Tensor<T>),
}

impl<T: Element> Tape<T> {
    /// What was recorded on a tape made by [`Tape::recorder`], up to `output`. The records are used up.
    ///
    /// ```
    /// # use ukulele_autograd::{GraphInput, Tape, Tensor, Value};
    /// let tape = Tape::recorder();
    /// let (x, w): (Value, Value) = (tape.leaf("x", Tensor::ones(&[2])?), Tensor::ones(&[2])?.into());
    /// let graph = tape.graph(&x.mul(&w)?.exp()?)?;
    /// assert!(graph.nodes[1].op.as_ref().is_some_and(|op| op.name() == "mul"));
    /// assert!(matches!(graph.nodes[1].inputs[..], [GraphInput::Node(0), GraphInput::Constant(_)]));
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// A tape for gradients, or one that was used before; a value that depends on no input of this tape.
    pub fn graph(&self, output: &Value<T>) -> Result<Graph<T>> {
        let output = match output.trace() {
            Some((tape, node)) if tape.same(self) => node.0,
            _ => return Err(Error::argument("graph", "the value does not depend on any input of this tape")),
        };
        if self.differentiates() {
            return Err(Error::argument("graph", "this tape records for gradients; use Tape::recorder"));
        }
        let mut nodes = self.take_nodes("graph")?;
        nodes.truncate(output + 1);
        let nodes = nodes.into_iter().map(|node| GraphNode {
            op: node.op,
            inputs: (node.inputs.into_iter().zip(node.kept))
                .filter_map(|(input, kept)| {
                    input.map(GraphInput::Node).or(kept.map(|kept| GraphInput::Constant(kept.into_tensor())))
                })
                .collect(),
            shape: node.shape.to_vec(),
        });
        Ok(Graph { nodes: nodes.collect(), output })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphs_are_of_recorders_and_gradients_of_tapes() -> Result<()> {
        let recorder = Tape::<f32>::recorder();
        let x = recorder.leaf("x", Tensor::ones(&[2])?);
        let y = x.sum()?;
        assert!(recorder.backward(&y).unwrap_err().to_string().contains("recorder"));
        assert_eq!(recorder.graph(&y)?.nodes[1].shape, [0usize; 0]);
        assert!(recorder.graph(&y).unwrap_err().to_string().contains("already used"));
        let tape = Tape::<f32>::new();
        let x = tape.leaf("x", Tensor::ones(&[2])?);
        assert!(tape.graph(&x).unwrap_err().to_string().contains("Tape::recorder"));
        assert!(Tape::recorder().graph(&x).unwrap_err().to_string().contains("depend"));
        Ok(())
    }
}
