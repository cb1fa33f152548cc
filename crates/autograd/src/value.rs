//! A tensor that may know how it was made.

use crate::tape::{NodeId, Tape};
use crate::{Element, Error, Op, Result, Tensor};

/// A tensor in a computation. It is *traced* only if something trainable lies behind it.
#[derive(Clone, Debug)]
pub struct Value<T: Element = f32> {
    tensor: Tensor<T>,
    trace: Option<(Tape<T>, NodeId)>,
}

impl<T: Element> From<Tensor<T>> for Value<T> {
    fn from(tensor: Tensor<T>) -> Self {
        Self { tensor, trace: None }
    }
}

impl<T: Element> Value<T> {
    pub(crate) fn traced(tensor: Tensor<T>, tape: Tape<T>, node: NodeId) -> Self {
        Self { tensor, trace: Some((tape, node)) }
    }

    /// The tensor.
    pub fn tensor(&self) -> &Tensor<T> {
        &self.tensor
    }

    /// The tensor, taken out.
    pub fn into_tensor(self) -> Tensor<T> {
        self.tensor
    }

    /// The dimensions.
    pub fn shape(&self) -> &[usize] {
        self.tensor.shape()
    }

    /// Whether a gradient can flow back through this value.
    pub fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// The tape and the place on it, if traced.
    pub fn trace(&self) -> Option<(&Tape<T>, NodeId)> {
        self.trace.as_ref().map(|(tape, node)| (tape, *node))
    }

    /// The same tensor without its history: no gradient flows back through the result. The tape remembers the cut, so
    /// that [`Tape::audit`] can name it.
    pub fn detach(&self) -> Self {
        if let Some((tape, node)) = &self.trace {
            tape.cut("detach", *node);
        }
        self.tensor.clone().into()
    }

    /// Runs `op` on `inputs` and records it if any of them is traced. Every method of `Value` that computes ends here;
    /// an op of your own is called through it.
    ///
    /// # Errors
    /// Those of the op's forward; inputs that lie on different tapes.
    pub fn apply(op: impl Op<T>, inputs: &[&Self]) -> Result<Self> {
        Ok(Self::apply_then(op, inputs, |_| ())?.0)
    }

    /// As [`Value::apply`], for an op whose forward finds more than its output: `read` sees the op after its forward,
    /// before the tape takes it.
    ///
    /// # Errors
    /// As [`Value::apply`].
    pub fn apply_then<O: Op<T>, R>(mut op: O, inputs: &[&Self], read: impl FnOnce(&O) -> R) -> Result<(Self, R)> {
        let mut tape: Option<&Tape<T>> = None;
        for (other, _) in inputs.iter().filter_map(|v| v.trace.as_ref()) {
            if tape.is_some_and(|t| !t.same(other)) {
                return Err(Error::argument(op.name(), "inputs lie on different tapes; detach one of them"));
            }
            tape = Some(other);
        }
        let tensors: Vec<&Tensor<T>> = inputs.iter().map(|v| &v.tensor).collect();
        let output = op.forward(&tensors, tape.is_some_and(Tape::differentiates))?;
        let found = read(&op);
        let Some(tape) = tape else { return Ok((output.into(), found)) };
        let nodes: Vec<Option<NodeId>> = inputs.iter().map(|v| v.trace.as_ref().map(|(_, n)| *n)).collect();
        let node = tape.record(Box::new(op), &tensors, &nodes, &output);
        Ok((Self::traced(output, tape.clone(), node), found))
    }
}
