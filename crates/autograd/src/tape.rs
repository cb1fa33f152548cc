//! The record of a forward pass, and the walk back over it.

use crate::op::{Keeps, Kept, Op, Slots};
use crate::{Cost, Data, Element, Error, Gradient, OpProfile, Result, Tensor, Value};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use ukulele_kernels::in_pool;
use ukulele_tensor::Shape;

/// The place of a record on its tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub(crate) usize);

#[derive(Debug)]
pub(crate) struct Node<T: Element> {
    /// None for a leaf.
    pub(crate) op: Option<Box<dyn Op<T>>>,
    /// The leaf's or op's name.
    pub(crate) name: String,
    pub(crate) inputs: Vec<Option<usize>>,
    shapes: Vec<Shape>,
    /// Which inputs lie as bf16.
    short: Vec<bool>,
    /// The shape of the output.
    pub(crate) shape: Shape,
    pub(crate) kept: Vec<Option<Data<T>>>,
    /// Inputs that backward needs and that are computed again, their ops being cheap.
    again: Vec<bool>,
    /// What backward needs; more may be kept for who computes the output again.
    needs: Keeps,
    /// Whether backward needs the output.
    needs_output: bool,
    /// Whether the output can be computed again instead of being kept.
    recomputed: bool,
    /// What is there of it.
    output: Option<Data<T>>,
    /// How many ops, one after the other, must be computed again before this one can be.
    depth: usize,
    /// If somebody wants to know.
    profile: Option<OpProfile>,
}

/// Ops in a row that are computed again: more would all be alive at once. The second is of tapes that checkpoint.
const DEEPEST: [usize; 2] = [4, 8];

#[derive(Debug)]
pub(crate) struct Record<T: Element> {
    pub(crate) nodes: Vec<Node<T>>,
    /// Where a gradient was cut off on purpose: the op and the node it read.
    pub(crate) cuts: Vec<(&'static str, usize)>,
    /// Set by backward: the records are gone.
    pub(crate) spent: bool,
    /// Keeps what ops read besides traced values, and nothing for backward.
    graph: bool,
    /// Keeps outputs here and there only.
    checkpoint: bool,
    /// Of the ops that backward has passed, the last first, if somebody wants to know.
    profile: Option<Vec<OpProfile>>,
}

/// The record of one forward pass. A handle: clones share the record.
#[derive(Debug)]
pub struct Tape<T: Element = f32> {
    record: Arc<Mutex<Record<T>>>,
}

impl<T: Element> Clone for Tape<T> {
    fn clone(&self) -> Self {
        Self { record: Arc::clone(&self.record) }
    }
}

impl<T: Element> Default for Tape<T> {
    fn default() -> Self {
        Self::of_kind(false)
    }
}

/// The gradients of a tape's leaves.
#[derive(Debug)]
pub struct Gradients<T: Element = f32> {
    leaves: BTreeMap<NodeId, Tensor<T>>,
}

impl<T: Element> Gradients<T> {
    /// The gradient of a leaf; `None` if the loss does not depend on it, or if it is no leaf.
    pub fn of(&self, leaf: &Value<T>) -> Option<&Tensor<T>> {
        self.at(leaf.trace()?.1)
    }

    /// The gradient of the leaf at a place of the tape.
    pub fn at(&self, node: NodeId) -> Option<&Tensor<T>> {
        self.leaves.get(&node)
    }

    /// Takes the gradient of the leaf at a place of the tape out.
    pub fn take(&mut self, node: NodeId) -> Option<Tensor<T>> {
        self.leaves.remove(&node)
    }
}

impl<T: Element> Tape<T> {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty tape that records ops instead of what gradients need: see [`Tape::graph`].
    pub fn recorder() -> Self {
        Self::of_kind(true)
    }

    fn of_kind(graph: bool) -> Self {
        let record =
            Record { nodes: Vec::new(), cuts: Vec::new(), spent: false, graph, checkpoint: false, profile: None };
        Self { record: Arc::new(Mutex::new(record)) }
    }

    /// The tape, which from now on keeps one output in nine of a chain of ops, where it can: those between are computed again in
    /// backward, when they are needed, with the same bits. A step takes less memory, and at most another forward pass more.
    ///
    /// Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".
    #[must_use]
    pub fn checkpointing(self) -> Self {
        self.lock().checkpoint = true;
        self
    }

    /// The tape, which from now on notes what each op took, for [`Tape::take_profile`].
    #[must_use]
    pub fn profiling(self) -> Self {
        self.lock().profile = Some(Vec::new());
        self
    }

    /// What each op up to the loss took in forward and in backward, in the order of forward, after backward; empty without
    /// [`Tape::profiling`]. Given once.
    ///
    /// ```
    /// # use ukulele_autograd::{Tape, Tensor};
    /// let tape = Tape::<f32>::new().profiling();
    /// let (x, w) = (tape.leaf("x", Tensor::ones(&[8, 4])?), tape.leaf("w", Tensor::ones(&[3, 4])?));
    /// tape.backward(&x.linear(&w, None)?.sum()?)?;
    /// let profile = tape.take_profile();
    /// assert_eq!((profile[0].what.as_str(), profile[0].forward.multiply_adds), ("linear 4 -> 3 [8, 3]", 8 * 4 * 3));
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    pub fn take_profile(&self) -> Vec<OpProfile> {
        let mut profile = self.lock().profile.as_mut().map(std::mem::take).unwrap_or_default();
        profile.reverse();
        profile
    }

    /// Whether the tape records for gradients.
    pub fn differentiates(&self) -> bool {
        !self.lock().graph
    }

    /// Takes the records, once.
    pub(crate) fn take_nodes(&self, op: &'static str) -> Result<Vec<Node<T>>> {
        let mut record = self.lock();
        if std::mem::replace(&mut record.spent, true) {
            return Err(spent(op));
        }
        Ok(std::mem::take(&mut record.nodes))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Record<T>> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.record, &other.record)
    }

    /// The number of records, leaves included.
    pub fn len(&self) -> usize {
        self.lock().nodes.len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A trainable value: what the loss is differentiated by. `name` is what messages call it.
    pub fn leaf(&self, name: &str, tensor: Tensor<T>) -> Value<T> {
        let shape = Shape::new(tensor.shape()).unwrap_or_default();
        let name = name.to_owned();
        let node = Node {
            op: None,
            name,
            inputs: vec![],
            shapes: vec![],
            short: vec![],
            shape,
            kept: vec![],
            again: vec![],
            needs: Keeps::NOTHING,
            needs_output: false,
            recomputed: false,
            output: None,
            depth: 0,
            profile: None,
        };
        let id = self.push(node);
        Value::traced(tensor, self.clone(), id)
    }

    /// Records a node; a tape that backward has used up records nothing more.
    fn push(&self, node: Node<T>) -> NodeId {
        let mut record = self.lock();
        if record.spent {
            return NodeId(usize::MAX);
        }
        record.nodes.push(node);
        NodeId(record.nodes.len() - 1)
    }

    pub(crate) fn cut(&self, op: &'static str, node: NodeId) {
        self.lock().cuts.push((op, node.0));
    }

    pub(crate) fn record(
        &self,
        op: Box<dyn Op<T>>,
        inputs: &[&Data<T>],
        nodes: &[Option<NodeId>],
        output: &Data<T>,
        seconds: f64,
    ) -> NodeId {
        let wants: Vec<bool> = nodes.iter().map(Option::is_some).collect();
        let keeps = op.keeps(&wants);
        let (graph, checkpoint, profiles) = {
            let record = self.lock();
            (record.graph, record.checkpoint, record.profile.is_some())
        };
        let deepest = DEEPEST[usize::from(checkpoint)];
        let more = if checkpoint { op.again_needs(inputs.len()) } else { op.is_cheap().then_some(Keeps::NOTHING) };
        let (recomputed, more) = (more.is_some() && !graph, more.unwrap_or(Keeps::NOTHING));
        let keep = |i: usize| if graph { !wants[i] } else { keeps.has_input(i) || more.has_input(i) };
        let (again, depth): (Vec<bool>, usize) = {
            let record = self.lock();
            let depth_of = |node: Option<NodeId>| {
                let node = record.nodes.get(node?.0)?;
                (node.recomputed && node.depth < deepest).then_some(node.depth + 1)
            };
            let depths: Vec<Option<usize>> =
                nodes.iter().enumerate().map(|(i, node)| depth_of(*node).filter(|_| !graph && keep(i))).collect();
            (depths.iter().map(Option::is_some).collect(), depths.into_iter().flatten().max().unwrap_or(0))
        };
        let needs_output = keeps.has_output() && !graph;
        self.push(Node {
            name: op.name().to_owned(),
            inputs: nodes.iter().map(|n| n.map(|n| n.0)).collect(),
            shapes: inputs.iter().map(|t| Shape::new(t.shape()).unwrap_or_default()).collect(),
            short: inputs.iter().map(|t| t.is_short()).collect(),
            shape: Shape::new(output.shape()).unwrap_or_default(),
            kept: (inputs.iter().enumerate()).map(|(i, t)| (keep(i) && !again[i]).then(|| (*t).clone())).collect(),
            again,
            needs_output,
            output: (needs_output && !(recomputed && depth < deepest)).then(|| output.clone()),
            depth,
            profile: profiles.then(|| OpProfile::new(&*op, inputs, &wants, keeps, output, seconds)),
            needs: keeps,
            recomputed,
            op: Some(op),
        })
    }

    /// The gradients of the scalar `loss` by every leaf. The records are used up: what each kept is freed as soon as
    /// its gradients are known.
    ///
    /// # Errors
    /// `loss` is not a scalar, is not on this tape, or backward has already been called.
    pub fn backward(&self, loss: &Value<T>) -> Result<Gradients<T>> {
        self.backward_from(loss, scalar_gradient(loss)?)
    }

    /// As [`Tape::backward`], for any value and the gradient of the loss by it.
    ///
    /// # Errors
    /// As [`Tape::backward`], and shapes that differ.
    pub fn backward_from(&self, value: &Value<T>, gradient: Tensor<T>) -> Result<Gradients<T>> {
        let end = self.end(value, &gradient)?;
        let mut leaves = BTreeMap::new();
        let each = &mut |leaf, gradient: Gradient<T>| {
            leaves.insert(leaf, gradient.into_tensor()?);
            Ok(())
        };
        let gradient = Data::Full(gradient).lying(value.data().is_short())?;
        in_pool(|| self.walk(end, gradient, false, each))?;
        Ok(Gradients { leaves })
    }

    /// Where a walk from `value` on begins.
    fn end(&self, value: &Value<T>, gradient: &Tensor<T>) -> Result<usize> {
        let end = match value.trace() {
            Some((tape, node)) if tape.same(self) => node.0,
            _ => {
                return Err(Error::argument("backward", "the loss does not depend on anything trainable of this tape"));
            }
        };
        if value.shape() != gradient.shape() {
            return Err(Error::shapes("backward", value.shape(), gradient.shape()));
        }
        if !self.differentiates() {
            return Err(Error::argument("backward", "a recorder's tape has no gradients; use Tape::new"));
        }
        Ok(end)
    }

    /// As [`Tape::backward`], giving each leaf's gradient away as soon as it is known: at that time the tape has let go of the
    /// leaf's own tensor. Leaves come in the reverse order of their recording, those that the loss does not depend on not at all.
    ///
    /// # Errors
    /// As [`Tape::backward`]; the first of `each`, which ends the walk.
    pub fn backward_each(
        &self,
        loss: &Value<T>,
        each: &mut (dyn FnMut(NodeId, Gradient<T>) -> Result<()> + Send),
    ) -> Result<()> {
        let gradient = scalar_gradient(loss)?;
        let end = self.end(loss, &gradient)?;
        in_pool(|| self.walk(end, gradient.into(), true, each))
    }

    /// The walk from the node `end` back. Large gradients of leaves may be products if the reader is `lazy`.
    fn walk(
        &self,
        end: usize,
        gradient: Data<T>,
        lazy: bool,
        each: &mut (dyn FnMut(NodeId, Gradient<T>) -> Result<()> + Send),
    ) -> Result<()> {
        let mut nodes = self.take_nodes("backward")?;
        nodes.truncate(end + 1);
        let is_leaf: Vec<bool> = nodes.iter().map(|node| node.op.is_none()).collect();
        let mut products = BTreeMap::new();
        let mut gradients: Vec<Option<Data<T>>> = vec![None; end + 1];
        gradients[end] = Some(gradient);
        for at in (0..=end).rev() {
            let start = Instant::now();
            let gradient = gradients[at].take();
            if let Some(product) = products.remove(&at) {
                nodes.truncate(at);
                each(NodeId(at), Gradient::Product(product))?;
                continue;
            }
            if gradient.is_some() && nodes[at].needs_output {
                output_again(&mut nodes, at)?;
            }
            let kept = if gradient.is_some() { inputs_again(&mut nodes, at, false)? } else { Vec::new() };
            let Some(node) = nodes.pop() else { continue };
            let Some(gradient) = gradient else {
                self.note(node.profile.map(|profile| OpProfile { backward: Cost::default(), ..profile }));
                continue;
            };
            let Some(op) = node.op else {
                each(NodeId(at), Gradient::Tensor(gradient.into_tensor().dense()))?;
                continue;
            };
            drop(node.kept);
            let output = node.output.filter(|_| node.needs_output);
            let kept = Kept { op: op.name(), inputs: kept, output };
            let mut slots = Slots {
                op: op.name(),
                inputs: &node.inputs,
                shapes: &node.shapes,
                short: &node.short,
                gradients: &mut gradients,
                products: lazy.then_some((&mut products, &is_leaf[..])),
            };
            op.backward_data(kept, gradient, &mut slots)?;
            self.note(node.profile.map(|mut profile| {
                profile.backward.seconds = start.elapsed().as_secs_f64();
                profile
            }));
        }
        Ok(())
    }

    /// Keeps what an op took, if anybody wants to know.
    fn note(&self, profile: Option<OpProfile>) {
        if let (Some(profile), Some(profiles)) = (profile, &mut self.lock().profile) {
            profiles.push(profile);
        }
    }
}

/// The gradient of a loss by itself.
fn scalar_gradient<T: Element>(loss: &Value<T>) -> Result<Tensor<T>> {
    if loss.numel() != 1 {
        return Err(Error::shape("backward", loss.shape(), "a scalar loss; call sum or mean"));
    }
    Tensor::full(loss.shape(), T::ONE)
}

/// The inputs of a node that backward needs, or all that were kept or can be computed again.
fn inputs_again<T: Element>(nodes: &mut [Node<T>], at: usize, all: bool) -> Result<Vec<Option<Data<T>>>> {
    let mut inputs = nodes[at].kept.clone();
    for (i, input) in inputs.iter_mut().enumerate() {
        let needed = nodes[at].again[i] && (all || nodes[at].needs.has_input(i));
        if let (true, Some(source)) = (needed, nodes[at].inputs[i]) {
            *input = Some(output_again(nodes, source)?);
        }
    }
    Ok(inputs)
}

/// The output of a node whose op is cheap. It stays there for others until its own gradients are known.
fn output_again<T: Element>(nodes: &mut [Node<T>], at: usize) -> Result<Data<T>> {
    if let Some(output) = &nodes[at].output {
        return Ok(output.clone());
    }
    let inputs = inputs_again(nodes, at, true)?;
    let node = &mut nodes[at];
    let Some(op) = &node.op else { return Err(Error::argument("backward", "a leaf is not computed")) };
    let output = op.again_data(Kept { op: op.name(), inputs, output: None })?;
    node.output = Some(output.clone());
    Ok(output)
}

/// Backward was called before.
pub(crate) fn spent(op: &'static str) -> Error {
    Error::argument(op, "this tape was already used; run the forward pass again on a new one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(tape: &Tape) -> Value {
        tape.leaf("x", Tensor::from_vec(&[2], vec![1.0, -2.0]).unwrap())
    }

    #[test]
    fn gradients_of_all_ways_add_up() -> Result<()> {
        let tape = Tape::new();
        let x = leaf(&tape);
        let loss = x.square()?.add(&x.scale(3.0)?)?.sub(&x)?.sum()?;
        assert_eq!(tape.backward(&loss)?.of(&x).unwrap().to_vec(), [4.0, -2.0]);
        Ok(())
    }

    #[test]
    fn what_is_not_trainable_is_not_recorded() -> Result<()> {
        let tape = Tape::new();
        let x = leaf(&tape);
        let frozen: Value = Tensor::ones(&[2])?.into();
        let y = frozen.exp()?.scale(2.0)?;
        assert!(!y.is_traced() && tape.len() == 1);
        assert!(y.mul(&x)?.is_traced() && tape.len() == 2);
        assert!(!x.detach().is_traced() && x.detach().square()?.trace().is_none());
        Ok(())
    }

    #[test]
    fn values_after_the_loss_get_no_gradient() -> Result<()> {
        let tape = Tape::new();
        let x = leaf(&tape);
        let loss = x.sum()?;
        let other = tape.leaf("other", Tensor::scalar(1.0));
        loss.mul(&other)?;
        let gradients = tape.backward(&loss)?;
        assert!(gradients.of(&other).is_none() && gradients.of(&x).unwrap().is_dense());
        Ok(())
    }

    #[test]
    fn long_chains_of_cheap_ops_go_back() -> Result<()> {
        // Forward in a thread whose stack would not hold a call for each of them; nor would those of the pool's threads, 2 MiB, which
        // go back.
        let chain = || -> Result<Vec<f32>> {
            let tape = Tape::new();
            let x = leaf(&tape);
            let mut y = x.clone();
            for _ in 0..20_000 {
                y = y.gelu(crate::Gelu::Erf)?.add_scalar(0.01)?.gelu(crate::Gelu::Erf)?;
            }
            Ok(tape.backward(&y.sum()?)?.of(&x).map(Tensor::to_vec).unwrap_or_default())
        };
        let run = std::thread::Builder::new().stack_size(256 * 1024).spawn(chain);
        let gradient = run.map_err(|error| Error::argument("test", error.to_string()))?.join();
        assert_eq!(gradient.map(|gradient| gradient.map(|g| g.len())).ok(), Some(Ok(2)));
        Ok(())
    }

    #[test]
    fn a_tape_serves_once() -> Result<()> {
        let tape = Tape::new();
        let x = leaf(&tape);
        let loss = x.sum()?;
        tape.backward(&loss)?;
        let more = loss.scale(2.0)?;
        assert!(tape.is_empty());
        let errors = [tape.backward(&more).unwrap_err(), tape.audit(&more).unwrap_err()];
        assert!(errors.iter().all(|e| e.to_string().contains("already used")), "{errors:?}");
        Ok(())
    }

    #[test]
    fn wrong_losses_are_errors() -> Result<()> {
        let (tape, other) = (Tape::new(), Tape::new());
        let x = leaf(&tape);
        assert!(tape.backward(&x).unwrap_err().to_string().contains("scalar"));
        assert!(tape.backward(&leaf(&other).sum()?).unwrap_err().to_string().contains("depend on"));
        assert!(tape.backward_from(&x, Tensor::ones(&[3])?).unwrap_err().to_string().contains("[2] and [3]"));
        assert!(x.add(&leaf(&other)).unwrap_err().to_string().contains("different tapes"));
        Ok(())
    }
}
