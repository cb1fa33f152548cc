//! What an operation is: a forward, its derivative, and what the derivative needs.

use crate::{Data, Product, Work};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use ukulele_kernels::gemm::Precision;
use ukulele_tensor::{Element, Error, Result, Tensor};

/// A differentiable operation. One op is one file in [`crate::ops`].
///
/// An op is a typed value, not a closure, so that a reader of the tape (a compiler, a printer, an exporter) can match
/// on it. What only its backward needs and is neither an input nor the output (statistics, indices), it keeps in itself.
pub trait Op<T: Element>: Any + Debug + Send {
    /// The op's name, as errors and printed graphs show it.
    fn name(&self) -> &'static str;

    /// What it does by its definition on inputs of these shapes, for tables; `wants[i]` as in [`Op::keeps`].
    fn work(&self, shapes: &[&[usize]], wants: &[bool]) -> Work {
        let _ = (shapes, wants);
        Work::plain(self.name())
    }

    /// What backward needs, when `wants[i]` tells whether input i wants a gradient.
    fn keeps(&self, wants: &[bool]) -> Keeps;

    /// The result for `inputs`. `record` tells whether backward may follow; if not, nothing needs keeping.
    ///
    /// # Errors
    /// Shapes that do not fit, checked here once.
    fn forward(&mut self, inputs: &[&Tensor<T>], record: bool) -> Result<Tensor<T>> {
        let _ = (inputs, record);
        Err(Error::argument(self.name(), "the op has neither `forward` nor `forward_data`"))
    }

    /// Whether the output costs little to compute again from what [`Op::keeps`] names. Then the tape keeps it for nobody: whoever
    /// needs it in backward gets it from [`Op::again`].
    fn is_cheap(&self) -> bool {
        false
    }

    /// What [`Op::again`] needs beside what [`Op::keeps`] names, of an op of so many inputs; `None` if the output cannot be computed
    /// again. A tape that checkpoints ([`crate::Tape::checkpointing`]) keeps it, and not the output.
    fn again_needs(&self, inputs: usize) -> Option<Keeps> {
        let _ = inputs;
        self.is_cheap().then_some(Keeps::NOTHING)
    }

    /// The output once more, with the bits that forward gave it; of ops that are cheap, or have [`Op::again_needs`].
    ///
    /// # Errors
    /// None in correct use.
    fn again(&self, kept: &Kept<T>) -> Result<Tensor<T>> {
        Err(kept.missing("its output again"))
    }

    /// Adds to `slots` the gradient of each input that wants one, given that of the output, whose memory may be reused.
    ///
    /// # Errors
    /// None in correct use.
    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let _ = (kept, grad, slots);
        Err(Error::argument(self.name(), "the op has neither `backward` nor `backward_data`"))
    }

    /// As [`Op::forward`], of inputs that may lie as bf16; the tape calls this. An op has one of the two, and one of [`Op::backward`] and
    /// [`Op::backward_data`], and of [`Op::again`] and [`Op::again_data`]: for one that has the plain ones bf16 is widened.
    ///
    /// # Errors
    /// As there.
    fn forward_data(&mut self, inputs: &[&Data<T>], record: bool) -> Result<Data<T>> {
        let tensors: Vec<Tensor<T>> = inputs.iter().map(|input| input.tensor()).collect();
        Ok(self.forward(&tensors.iter().collect::<Vec<_>>(), record)?.into())
    }

    /// As [`Op::again`], lying as [`Op::forward_data`] gave it.
    ///
    /// # Errors
    /// As there.
    fn again_data(&self, kept: Kept<T>) -> Result<Data<T>> {
        Ok(self.again(&kept.widened())?.into())
    }

    /// As [`Op::backward`], the gradient lying as the output does.
    ///
    /// # Errors
    /// As there.
    fn backward_data(&self, kept: Kept<T>, grad: Data<T>, slots: &mut Slots<T>) -> Result<()> {
        self.backward(&kept.widened(), grad.into_tensor(), slots)
    }
}

/// Checks that an op can learn in this precision.
pub(crate) fn learns_in(op: &'static str, precision: Precision) -> Result<()> {
    if precision == Precision::Int8 {
        return Err(Error::argument(op, "nothing learns in int8, which is for plans"));
    }
    Ok(())
}

/// Which tensors stay alive until backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeps {
    /// Bit i: input i.
    inputs: u32,
    /// The output.
    output: bool,
}

impl Keeps {
    /// Nothing: the gradient of the output is all that backward needs.
    pub const NOTHING: Self = Self { inputs: 0, output: false };
    /// The output only.
    pub const OUTPUT: Self = Self { inputs: 0, output: true };

    /// The first `count` inputs.
    pub fn first(count: usize) -> Self {
        (0..count).fold(Self::NOTHING, |keeps, i| keeps.and_inputs(&[i]))
    }

    /// The inputs at these positions.
    pub fn inputs(positions: &[usize]) -> Self {
        Self::NOTHING.and_inputs(positions)
    }

    /// These inputs as well.
    pub fn and_inputs(self, positions: &[usize]) -> Self {
        positions.iter().fold(self, |k, &i| {
            assert!(i < u32::BITS as usize, "an op that keeps input {i}");
            Self { inputs: k.inputs | 1 << i, ..k }
        })
    }

    /// Input `position` as well, if `condition` holds.
    pub fn and_input_if(self, position: usize, condition: bool) -> Self {
        if condition { self.and_inputs(&[position]) } else { self }
    }

    pub(crate) fn has_input(self, position: usize) -> bool {
        position < u32::BITS as usize && self.inputs >> position & 1 == 1
    }

    pub(crate) fn has_output(self) -> bool {
        self.output
    }
}

/// What was kept for backward.
#[derive(Debug, Clone)]
pub struct Kept<T: Element> {
    pub(crate) op: &'static str,
    pub(crate) inputs: Vec<Option<Data<T>>>,
    pub(crate) output: Option<Data<T>>,
}

impl<T: Element> Kept<T> {
    fn missing(&self, what: &str) -> Error {
        Error::argument(self.op, format!("backward asks for {what}, which `keeps` did not name"))
    }

    /// The same, nothing lying as bf16.
    fn widened(self) -> Self {
        let wide = |data: Option<Data<T>>| data.map(|data| data.into_tensor().into());
        Self { op: self.op, inputs: self.inputs.into_iter().map(wide).collect(), output: wide(self.output) }
    }

    fn full<'a>(&self, data: &'a Data<T>) -> Result<&'a Tensor<T>> {
        match data {
            Data::Full(tensor) => Ok(tensor),
            Data::Short(_) => {
                Err(Error::argument(self.op, "backward reads as a tensor what lies as bf16: `input_data` has it"))
            }
        }
    }

    /// Input `i`, which does not lie as bf16.
    ///
    /// # Errors
    /// The op's [`Op::keeps`] did not name it.
    pub fn input(&self, i: usize) -> Result<&Tensor<T>> {
        self.full(self.input_data(i)?)
    }

    /// Input `i` as it lies.
    ///
    /// # Errors
    /// As [`Kept::input`].
    pub fn input_data(&self, i: usize) -> Result<&Data<T>> {
        self.inputs.get(i).and_then(Option::as_ref).ok_or_else(|| self.missing(&format!("input {i}")))
    }

    /// All inputs.
    ///
    /// # Errors
    /// One that nobody named.
    pub fn all(&self) -> Result<Vec<&Tensor<T>>> {
        (0..self.inputs.len()).map(|i| self.input(i)).collect()
    }

    /// All inputs as they lie.
    ///
    /// # Errors
    /// One that nobody named.
    pub fn all_data(&self) -> Result<Vec<&Data<T>>> {
        (0..self.inputs.len()).map(|i| self.input_data(i)).collect()
    }

    /// The output, which does not lie as bf16.
    ///
    /// # Errors
    /// The op's [`Op::keeps`] did not name it.
    pub fn output(&self) -> Result<&Tensor<T>> {
        self.full(self.output_data()?)
    }

    /// The output as it lies.
    ///
    /// # Errors
    /// As [`Kept::output`].
    pub fn output_data(&self) -> Result<&Data<T>> {
        self.output.as_ref().ok_or_else(|| self.missing("the output"))
    }
}

/// Gradients of leaves that are products, and which nodes are leaves.
type Products<'a, T> = (&'a mut BTreeMap<usize, Product<T>>, &'a [bool]);

/// Where backward puts the gradients of an op's inputs.
#[derive(Debug)]
pub struct Slots<'a, T: Element> {
    pub(crate) op: &'static str,
    pub(crate) inputs: &'a [Option<usize>],
    pub(crate) shapes: &'a [ukulele_tensor::Shape],
    /// Which inputs lie as bf16.
    pub(crate) short: &'a [bool],
    pub(crate) gradients: &'a mut [Option<Data<T>>],
    /// Gradients of leaves that are products, if the reader takes such, and which nodes are leaves.
    pub(crate) products: Option<Products<'a, T>>,
}

impl<T: Element> Slots<'_, T> {
    /// Whether input `i` wants a gradient: something trainable lies behind it.
    pub fn wants(&self, i: usize) -> bool {
        self.inputs.get(i).copied().flatten().is_some()
    }

    /// The shape of input `i`.
    pub fn shape(&self, i: usize) -> &[usize] {
        &self.shapes[i]
    }

    /// Whether input `i` lies as bf16, and therefore its gradient.
    pub fn is_short(&self, i: usize) -> bool {
        self.short[i]
    }

    /// Adds to the gradient of input `i`; of no effect if the input wants none.
    ///
    /// # Errors
    /// A gradient of another shape than the input.
    pub fn add(&mut self, i: usize, gradient: impl Into<Data<T>>) -> Result<()> {
        let gradient = gradient.into();
        let Some(node) = self.inputs.get(i).copied().flatten() else { return Ok(()) };
        if *gradient.shape() != *self.shapes[i] {
            return Err(Error::shapes(self.op, gradient.shape(), &self.shapes[i]));
        }
        self.compute_product(node)?;
        let gradient = gradient.lying(self.short[i])?;
        self.gradients[node] = Some(match self.gradients[node].take() {
            None => gradient,
            Some(sum) => sum.plus(gradient)?,
        });
        Ok(())
    }

    /// Adds leftᵀ·right to the gradient of input `i` (out, in), for row-major `left` (.., out) and `right` (.., in): of a leaf
    /// alone, where that is large and its factors are small, it need not be computed here. The factors are rounded to the precision.
    ///
    /// # Errors
    /// As [`Slots::add`].
    pub fn add_product(&mut self, i: usize, precision: Precision, left: &Tensor<T>, right: &Tensor<T>) -> Result<()> {
        let Some(node) = self.inputs.get(i).copied().flatten() else { return Ok(()) };
        let alone = self.gradients[node].is_none();
        if let Some((products, leaves)) = &mut self.products
            && alone
            && leaves[node]
            && !products.contains_key(&node)
            && let Some(product) = Product::worth(precision, left, right)
        {
            products.insert(node, product);
            return Ok(());
        }
        self.add(i, Product::of(precision, left, right).tensor()?)
    }

    /// Makes a tensor of a product that something is to be added to.
    fn compute_product(&mut self, node: usize) -> Result<()> {
        if let Some((products, _)) = &mut self.products
            && let Some(product) = products.remove(&node)
        {
            self.gradients[node] = Some(product.tensor()?.into());
        }
        Ok(())
    }

    /// Takes out what has been added to the gradient of input `i`, if anything: for kernels that add to it in place. The sum
    /// goes back by [`Slots::add`].
    pub fn take(&mut self, i: usize) -> Option<Data<T>> {
        let node = self.inputs.get(i).copied().flatten()?;
        self.compute_product(node).ok()?;
        self.gradients[node].take()
    }

    /// Adds to the gradient of the entries from `start` on along `dim` of input `i`.
    ///
    /// # Errors
    /// A gradient that does not fit there.
    pub fn add_to_narrow(&mut self, i: usize, dim: usize, start: usize, gradient: &Tensor<T>) -> Result<()> {
        let Some(node) = self.inputs.get(i).copied().flatten() else { return Ok(()) };
        self.compute_product(node)?;
        let mut sum = match self.gradients[node].take() {
            Some(sum) => sum.into_tensor(),
            None => gradient.zeros_like(dim, self.shapes[i].get(dim).copied().unwrap_or(0))?,
        };
        if *sum.shape() != *self.shapes[i] {
            return Err(Error::shapes(self.op, gradient.shape(), &self.shapes[i]));
        }
        sum.add_to_narrow(dim, start, gradient)?;
        self.gradients[node] = Some(Data::Full(sum).lying(self.short[i])?);
        Ok(())
    }
}
