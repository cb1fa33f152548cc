//! The tensor itself, and how its elements are reached.

use crate::buffer::Buffer;
use crate::{Element, Error, Result, Shape};
use std::fmt;
use std::sync::Arc;

/// An n-dimensional array: shape, strides (in elements) and shared memory.
#[derive(Clone)]
pub struct Tensor<T: Element = f32> {
    pub(crate) buffer: Arc<Buffer<T>>,
    pub(crate) shape: Shape,
    pub(crate) strides: Shape,
    pub(crate) offset: usize,
}

impl<T: Element> Tensor<T> {
    /// The dimensions; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The distance in elements between neighbours along each dimension.
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.shape.numel()
    }

    /// The dimensions as an array.
    ///
    /// # Errors
    /// The tensor has another number of dimensions; `op` and `expected` (e.g. `(N, C, H, W)`) go into the message.
    pub fn dims<const N: usize>(&self, op: &'static str, expected: &str) -> Result<[usize; N]> {
        self.shape().try_into().map_err(|_| Error::shape(op, self.shape(), expected))
    }

    /// Whether the elements lie in memory with exactly these strides (dimensions of size 1 aside).
    fn lies_as(&self, strides: &Shape) -> bool {
        self.numel() == 0
            || self.shape.iter().zip(self.strides.iter()).zip(strides.iter()).all(|((&d, s), t)| d == 1 || s == t)
    }

    /// Whether the memory is dense and row-major.
    pub fn is_contiguous(&self) -> bool {
        self.lies_as(&self.shape.row_major())
    }

    /// Whether the memory is dense and the shape (N, C, H, W) lies as N, H, W, C.
    pub fn is_channels_last(&self) -> bool {
        self.rank() == 4 && self.lies_as(&self.shape.channels_last())
    }

    /// Whether both have the same shape and lie in memory in the same order, densely.
    pub fn same_layout(&self, other: &Self) -> bool {
        self.shape == other.shape && self.is_dense() && other.lies_as(&self.strides)
    }

    /// Whether the elements fill a stretch of memory without gaps or overlap, in any order of the dimensions.
    pub fn is_dense(&self) -> bool {
        self.lies_as(&self.shape.strides_in(&self.memory_order()))
    }

    /// The dimensions from the slowest to the fastest in memory.
    pub fn memory_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.rank()).collect();
        order.sort_by_key(|&d| std::cmp::Reverse((self.strides[d], self.shape[d])));
        order
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// The memory is not row-major; take [`Tensor::contiguous`] first.
    pub fn as_slice(&self) -> Result<&[T]> {
        if !self.is_contiguous() {
            return Err(Error::argument(
                "as_slice",
                format!("shape {:?} with strides {:?} is not row-major", self.shape, self.strides),
            ));
        }
        Ok(&self.buffer.as_slice()[self.offset..self.offset + self.numel()])
    }

    /// The elements in the order they lie in memory.
    ///
    /// # Errors
    /// The tensor is a view with gaps or repeats; take [`Tensor::contiguous`] first.
    pub fn memory(&self) -> Result<&[T]> {
        if !self.is_dense() {
            return Err(Error::argument(
                "memory",
                format!("shape {:?} with strides {:?} is not dense", self.shape, self.strides),
            ));
        }
        Ok(&self.buffer.as_slice()[self.offset..self.offset + self.numel()])
    }

    /// As [`Tensor::memory`] for a tensor known to be dense, as [`Tensor::dense`] and the builders return it.
    ///
    /// # Panics
    /// The tensor is a view with gaps or repeats: a bug of the caller.
    pub fn dense_memory(&self) -> &[T] {
        self.memory().expect("a dense tensor")
    }

    /// The same elements in dense memory of any order; no copy if they lie so already.
    pub fn dense(&self) -> Self {
        if self.is_dense() { self.clone() } else { self.contiguous() }
    }

    /// The memory from the first element of this view on, to be read with [`Tensor::strides`].
    pub fn strided(&self) -> &[T] {
        let all = self.buffer.as_slice();
        &all[self.offset.min(all.len())..]
    }

    /// The elements in the order they lie in memory, to be written. Copies first if others share them or if the tensor
    /// is a view with gaps.
    pub fn memory_mut(&mut self) -> &mut [T] {
        if !self.is_dense() {
            *self = self.contiguous();
        } else if Arc::get_mut(&mut self.buffer).is_none() {
            let mut copy = Buffer::scratch(self.numel());
            copy.as_mut_slice().copy_from_slice(&self.buffer.as_slice()[self.offset..self.offset + self.numel()]);
            (self.buffer, self.offset) = (Arc::new(copy), 0);
        }
        let range = self.offset..self.offset + self.numel();
        match Arc::get_mut(&mut self.buffer) {
            Some(buffer) => &mut buffer.as_mut_slice()[range],
            None => unreachable!("the buffer was made unique above"),
        }
    }

    /// The elements in row-major order, copied.
    pub fn to_vec(&self) -> Vec<T> {
        let mut out = vec![T::ZERO; self.numel()];
        self.copy_to(&mut out);
        out
    }

    /// Copies the elements to `out` in row-major order; `out` has [`Tensor::numel`] elements.
    fn copy_to(&self, out: &mut [T]) {
        match self.as_slice() {
            Ok(slice) => out.copy_from_slice(slice),
            Err(_) => ukulele_kernels::strided::gather(&self.shape, self.strided(), &self.strides, out),
        }
    }

    /// The one element.
    ///
    /// # Errors
    /// There are more or none.
    pub fn item(&self) -> Result<T> {
        if self.numel() != 1 {
            return Err(Error::shape("item", self.shape(), "one element"));
        }
        Ok(self.buffer.as_slice()[self.offset])
    }

    /// The same elements in row-major memory; no copy if they lie so already.
    pub fn contiguous(&self) -> Self {
        if self.is_contiguous() {
            return self.clone();
        }
        let mut buffer = Buffer::scratch(self.numel());
        self.copy_to(buffer.as_mut_slice());
        Self { buffer: Arc::new(buffer), shape: self.shape, strides: self.shape.row_major(), offset: 0 }
    }

    /// The same elements with the dimensions lying in memory in `order`, a permutation, slowest first; no copy if they do
    /// so already.
    ///
    /// # Panics
    /// `order` names a dimension that the tensor does not have: a bug of the caller.
    pub fn in_memory_order(&self, order: &[usize]) -> Self {
        let view = Self { shape: self.shape.ordered(order), strides: self.strides.ordered(order), ..self.clone() };
        Self { shape: self.shape, strides: self.shape.strides_in(order), ..view.contiguous() }
    }

    /// Shape (N, C, H, W) in channels-last memory; no copy if it lies so already. Other ranks become row-major.
    pub fn channels_last(&self) -> Self {
        match self.rank() {
            4 if self.is_channels_last() => self.clone(),
            4 => self.in_memory_order(&[0, 2, 3, 1]),
            _ => self.contiguous(),
        }
    }

    /// The same elements in memory of the layout of `other`, which has the same shape.
    ///
    /// # Errors
    /// The shapes differ.
    pub fn laid_as(&self, other: &Self) -> Result<Self> {
        if self.shape != other.shape {
            return Err(Error::shapes("laid_as", self.shape(), other.shape()));
        }
        Ok(if other.same_layout(self) { self.clone() } else { self.in_memory_order(&other.memory_order()) })
    }

    /// The same elements as another type, through f64.
    pub fn cast<U: Element>(&self) -> Tensor<U> {
        let source = self.dense();
        let mut buffer = Buffer::<U>::scratch(source.numel());
        let memory = &source.buffer.as_slice()[source.offset..source.offset + source.numel()];
        for (out, x) in buffer.as_mut_slice().iter_mut().zip(memory) {
            *out = U::from_f64(x.to_f64());
        }
        Tensor {
            buffer: Arc::new(buffer),
            shape: source.shape,
            strides: source.shape.strides_in(&source.memory_order()),
            offset: 0,
        }
    }
}

impl<T: Element> fmt::Debug for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.to_vec();
        let shown: Vec<f64> = values.iter().take(8).map(|v| v.to_f64()).collect();
        write!(f, "Tensor{:?} {shown:?}{}", self.shape, if values.len() > 8 { " ..." } else { "" })
    }
}
