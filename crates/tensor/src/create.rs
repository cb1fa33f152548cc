//! Ways to make a tensor.

use crate::buffer::Buffer;
use crate::{Element, Error, Result, Shape, Tensor};
use std::sync::Arc;

impl<T: Element> Tensor<T> {
    /// The tensor of this shape with these elements in row-major order.
    ///
    /// # Errors
    /// The number of elements is not the product of the dimensions.
    pub fn from_vec(shape: &[usize], data: Vec<T>) -> Result<Self> {
        let dims = Shape::new(shape)?;
        if dims.numel() != data.len() {
            return Err(Error::argument(
                "from_vec",
                format!("shape {shape:?} wants {} elements, {} given", dims.numel(), data.len()),
            ));
        }
        Ok(Self::over(Buffer::from_vec(data), dims, dims.row_major()))
    }

    fn over(buffer: Buffer<T>, shape: Shape, strides: Shape) -> Self {
        Self { buffer: Arc::new(buffer), shape, strides, offset: 0 }
    }

    /// A scalar: no dimensions, one element.
    pub fn scalar(value: T) -> Self {
        Self::over(Buffer::from_vec(vec![value]), Shape::default(), Shape::default())
    }

    /// All zeros, row-major.
    ///
    /// # Errors
    /// Too large a shape; so for all that follow.
    pub fn zeros(shape: &[usize]) -> Result<Self> {
        let shape = Shape::new(shape)?;
        Ok(Self::over(Buffer::zeros(shape.numel()), shape, shape.row_major()))
    }

    /// All ones, row-major.
    ///
    /// # Errors
    /// Too large a shape.
    pub fn ones(shape: &[usize]) -> Result<Self> {
        Self::full(shape, T::ONE)
    }

    /// All equal to `value`, row-major.
    ///
    /// # Errors
    /// Too large a shape.
    pub fn full(shape: &[usize], value: T) -> Result<Self> {
        Self::build(shape, |out| out.fill(value))
    }

    /// Row-major; `fill` must write every element.
    ///
    /// # Errors
    /// Too large a shape.
    pub fn build(shape: &[usize], fill: impl FnOnce(&mut [T])) -> Result<Self> {
        let shape = Shape::new(shape)?;
        let mut buffer = Buffer::scratch(shape.numel());
        fill(buffer.as_mut_slice());
        Ok(Self::over(buffer, shape, shape.row_major()))
    }

    /// Shape (N, C, H, W) in channels-last memory; `fill` must write every element, in the order N, H, W, C.
    ///
    /// # Errors
    /// Too large a shape.
    pub fn build_channels_last(shape: [usize; 4], fill: impl FnOnce(&mut [T])) -> Result<Self> {
        let shape = Shape::new(&shape)?;
        let mut buffer = Buffer::scratch(shape.numel());
        fill(buffer.as_mut_slice());
        Ok(Self::over(buffer, shape, shape.channels_last()))
    }

    /// Several row-major tensors at once; `fill` must write every element of all.
    ///
    /// # Errors
    /// Too large a shape.
    pub fn build_all<const N: usize>(shapes: [&[usize]; N], fill: impl FnOnce([&mut [T]; N])) -> Result<[Self; N]> {
        let mut dims = [Shape::default(); N];
        for (dims, shape) in dims.iter_mut().zip(shapes) {
            *dims = Shape::new(shape)?;
        }
        let mut buffers = dims.map(|shape| Buffer::scratch(shape.numel()));
        fill(buffers.each_mut().map(Buffer::as_mut_slice));
        let mut dims = dims.into_iter();
        Ok(buffers.map(|buffer| {
            let shape = dims.next().unwrap_or_default();
            Self::over(buffer, shape, shape.row_major())
        }))
    }

    /// A tensor whose dimensions lie in memory in `order`, a permutation, slowest first; `fill` must write every element,
    /// in the order of memory.
    ///
    /// # Errors
    /// Too large a shape.
    pub fn build_in_order(shape: &[usize], order: &[usize], fill: impl FnOnce(&mut [T])) -> Result<Self> {
        let shape = Shape::new(shape)?;
        let strides = shape.strides_in(order);
        let mut buffer = Buffer::scratch(shape.numel());
        fill(buffer.as_mut_slice());
        Ok(Self::over(buffer, shape, strides))
    }

    /// A tensor of the shape and memory order of `self`; `fill` must write every element, in that order.
    /// Gaps of a view are not repeated: the result is dense.
    ///
    /// # Errors
    /// None that `self` did not have.
    pub fn build_like(&self, fill: impl FnOnce(&mut [T])) -> Result<Self> {
        let strides = self.shape.strides_in(&self.memory_order());
        let mut buffer = Buffer::scratch(self.numel());
        fill(buffer.as_mut_slice());
        Ok(Self::over(buffer, self.shape, strides))
    }
}
