//! A tensor that may know how it was made.

use crate::tape::{NodeId, Tape};
use crate::{Data, Element, Error, Op, Result, Tensor};
use std::sync::OnceLock;
use std::time::Instant;

/// A tensor in a computation. It is *traced* only if something trainable lies behind it.
#[derive(Clone, Debug)]
pub struct Value<T: Element = f32> {
    data: Data<T>,
    /// The tensor of what lies as bf16, once somebody has asked for it.
    wide: OnceLock<Tensor<T>>,
    trace: Option<(Tape<T>, NodeId)>,
}

impl<T: Element> From<Tensor<T>> for Value<T> {
    fn from(tensor: Tensor<T>) -> Self {
        Self::of(tensor.into(), None)
    }
}

impl<T: Element> Value<T> {
    fn of(data: Data<T>, trace: Option<(Tape<T>, NodeId)>) -> Self {
        Self { data, wide: OnceLock::new(), trace }
    }

    pub(crate) fn traced(tensor: Tensor<T>, tape: Tape<T>, node: NodeId) -> Self {
        Self::of(tensor.into(), Some((tape, node)))
    }

    /// The tensor. Of what lies as bf16 it is a copy, made once, that lives as long as the value: who wants to know sizes asks
    /// [`Value::shape`].
    pub fn tensor(&self) -> &Tensor<T> {
        match &self.data {
            Data::Full(tensor) => tensor,
            Data::Short(short) => self.wide.get_or_init(|| short.tensor()),
        }
    }

    /// The tensor, taken out.
    pub fn into_tensor(self) -> Tensor<T> {
        self.wide.into_inner().unwrap_or_else(|| self.data.into_tensor())
    }

    /// The numbers as they lie.
    pub fn data(&self) -> &Data<T> {
        &self.data
    }

    /// The dimensions.
    pub fn shape(&self) -> &[usize] {
        self.data.shape()
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.shape().iter().product()
    }

    /// The dimensions as an array.
    ///
    /// # Errors
    /// The value has another number of dimensions; `op` and `expected` (e.g. `(N, C, H, W)`) go into the message.
    pub fn dims<const N: usize>(&self, op: &'static str, expected: &str) -> Result<[usize; N]> {
        self.shape().try_into().map_err(|_| Error::shape(op, self.shape(), expected))
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
        Self { trace: None, ..self.clone() }
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
        let data: Vec<&Data<T>> = inputs.iter().map(|v| &v.data).collect();
        let start = Instant::now();
        let output = op.forward_data(&data, tape.is_some_and(Tape::differentiates))?;
        let seconds = start.elapsed().as_secs_f64();
        let found = read(&op);
        let Some(tape) = tape else { return Ok((Self::of(output, None), found)) };
        let nodes: Vec<Option<NodeId>> = inputs.iter().map(|v| v.trace.as_ref().map(|(_, n)| *n)).collect();
        let node = tape.record(Box::new(op), &data, &nodes, &output, seconds);
        Ok((Self::of(output, Some((tape.clone(), node))), found))
    }
}
