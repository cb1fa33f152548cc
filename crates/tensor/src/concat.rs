//! Tensors put together along a dimension, and parts added to a whole.

use crate::buffer::Buffer;
use crate::{Element, Error, Result, Shape, Tensor};
use std::sync::Arc;
use ukulele_kernels::strided;

impl<T: Element> Tensor<T> {
    /// The tensors one after the other along `dim`, in the memory order of the first.
    ///
    /// ```
    /// # use ukulele_tensor::Tensor;
    /// let [a, b] = [Tensor::from_vec(&[2, 1], vec![1., 2.])?, Tensor::from_vec(&[2, 2], vec![3., 4., 5., 6.])?];
    /// assert_eq!(Tensor::concat(&[&a, &b], 1)?.to_vec(), [1., 3., 4., 2., 5., 6.]);
    /// # Ok::<(), ukulele_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// No tensors, a dimension they do not have, or shapes that differ in another dimension.
    pub fn concat(tensors: &[&Self], dim: usize) -> Result<Self> {
        let Some(first) = tensors.first() else {
            return Err(Error::argument("concat", "no tensors given"));
        };
        first.check_dim("concat", dim)?;
        let mut shape = first.shape().to_vec();
        shape[dim] = 0;
        for tensor in tensors {
            let fits = |d: usize| d == dim || tensor.shape()[d] == shape[d];
            if tensor.rank() != first.rank() || !(0..first.rank()).all(fits) {
                return Err(Error::shapes("concat", first.shape(), tensor.shape()));
            }
            let size = shape[dim].checked_add(tensor.shape()[dim]);
            shape[dim] = size.ok_or_else(|| Error::TooLarge { shape: shape.clone() })?;
        }
        let shape = Shape::new(&shape)?;
        let order = first.memory_order();
        let strides = shape.strides_in(&order);
        let mut buffer = Buffer::scratch(shape.numel());
        let mut start = 0;
        for part in tensors {
            let part = part.in_memory_order(&order);
            if part.numel() > 0 {
                let memory = &mut buffer.as_mut_slice()[start..];
                strided::scatter(&part.shape.ordered(&order), part.dense_memory(), memory, &strides.ordered(&order));
                start += part.shape[dim] * strides[dim];
            }
        }
        Ok(Self { buffer: Arc::new(buffer), shape, strides, offset: 0 })
    }

    /// Zeros of the shape and memory order of `self`, but with `size` entries along `dim`.
    ///
    /// # Errors
    /// A dimension the tensor does not have; too large a shape.
    pub fn zeros_like(&self, dim: usize, size: usize) -> Result<Self> {
        self.check_dim("zeros_like", dim)?;
        let mut shape = self.shape().to_vec();
        shape[dim] = size;
        let shape = Shape::new(&shape)?;
        let strides = shape.strides_in(&self.memory_order());
        Ok(Self { buffer: Arc::new(Buffer::zeros(shape.numel())), shape, strides, offset: 0 })
    }

    /// Adds `part` to the entries from `start` on along `dim`: the counterpart of [`Tensor::narrow`].
    ///
    /// # Errors
    /// A part that reaches past the end or has other dimensions.
    pub fn add_to_narrow(&mut self, dim: usize, start: usize, part: &Self) -> Result<()> {
        let len = part.shape().get(dim).copied().unwrap_or(0);
        if self.narrow(dim, start, len)?.shape != part.shape {
            return Err(Error::shapes("add_to_narrow", self.shape(), part.shape()));
        }
        if !self.is_dense() {
            *self = self.contiguous();
        }
        let order = self.memory_order();
        let part = part.in_memory_order(&order);
        if part.numel() > 0 {
            let (shape, strides) = (part.shape.ordered(&order), self.strides.ordered(&order));
            let start = start * self.strides[dim];
            strided::scatter_add(&shape, part.dense_memory(), &mut self.memory_mut()[start..], &strides);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;

    fn count(shape: &[usize]) -> Tensor {
        Tensor::from_vec(shape, (0..shape.iter().product()).map(|i| i as f32).collect()).unwrap()
    }

    #[test]
    fn concat_undoes_narrow_in_every_dimension_and_layout() {
        for x in [count(&[2, 3, 4, 5]), count(&[2, 3, 4, 5]).channels_last()] {
            for dim in 0..4 {
                let size = x.shape()[dim];
                for cut in 0..=size {
                    let parts = [x.narrow(dim, 0, cut).unwrap(), x.narrow(dim, cut, size - cut).unwrap()];
                    let whole = Tensor::concat(&[&parts[0], &parts[1]], dim).unwrap();
                    assert_eq!(whole.to_vec(), x.to_vec());
                    let mut sum = parts[0].zeros_like(dim, size).unwrap();
                    sum.add_to_narrow(dim, cut, &parts[1]).unwrap();
                    sum.add_to_narrow(dim, 0, &parts[0]).unwrap();
                    assert_eq!(sum.to_vec(), x.to_vec());
                }
            }
            let both = Tensor::concat(&[&x, &x], 1).unwrap();
            assert_eq!((both.is_channels_last(), both.shape()), (x.is_channels_last(), &[2, 6, 4, 5][..]));
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_errors() {
        let x = count(&[2, 3]);
        assert!(Tensor::<f32>::concat(&[], 0).is_err() && Tensor::concat(&[&x], 2).is_err());
        let error = Tensor::concat(&[&x, &count(&[3, 3])], 1).unwrap_err();
        assert_eq!(error.to_string(), "concat: shapes [2, 3] and [3, 3] do not fit");
        assert!(x.clone().add_to_narrow(1, 2, &count(&[2, 2])).is_err());
        assert!(x.clone().add_to_narrow(1, 0, &count(&[1, 2])).is_err());
    }
}
