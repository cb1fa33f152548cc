//! Views: other shapes and orders of the same memory.

use crate::{Element, Error, Result, Shape, Tensor};

impl<T: Element> Tensor<T> {
    pub(crate) fn check_dim(&self, op: &'static str, dim: usize) -> Result<()> {
        if dim < self.rank() {
            return Ok(());
        }
        Err(Error::Index { op, shape: self.shape.to_vec(), what: format!("no dimension {dim}") })
    }

    /// The same elements, in row-major order, under another shape. Copies only if the memory is not row-major.
    ///
    /// # Errors
    /// The number of elements differs.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        let shape = Shape::new(shape)?;
        if shape.numel() != self.numel() {
            return Err(Error::shapes("reshape", self.shape(), &shape));
        }
        Ok(Self { shape, strides: shape.row_major(), ..self.contiguous() })
    }

    /// The dimensions in another order: dimension i of the result is dimension `order[i]` of `self`.
    ///
    /// # Errors
    /// `order` is not a permutation of the dimensions.
    pub fn permute(&self, order: &[usize]) -> Result<Self> {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..self.rank()) {
            return Err(Error::shape(
                "permute",
                self.shape(),
                format!("as many dimensions as in the order {order:?}, each once"),
            ));
        }
        let dims: Vec<usize> = order.iter().map(|&d| self.shape[d]).collect();
        let strides: Vec<usize> = order.iter().map(|&d| self.strides[d]).collect();
        Ok(Self { shape: Shape::list(&dims), strides: Shape::list(&strides), ..self.clone() })
    }

    /// Two dimensions exchanged.
    ///
    /// # Errors
    /// A dimension the tensor does not have.
    pub fn transpose(&self, a: usize, b: usize) -> Result<Self> {
        self.check_dim("transpose", a.max(b))?;
        let mut order: Vec<usize> = (0..self.rank()).collect();
        order.swap(a, b);
        self.permute(&order)
    }

    /// The `len` entries from `start` on along `dim`.
    ///
    /// # Errors
    /// A range that reaches past the end, or a dimension the tensor does not have.
    pub fn narrow(&self, dim: usize, start: usize, len: usize) -> Result<Self> {
        self.check_dim("narrow", dim)?;
        if start.checked_add(len).is_none_or(|end| end > self.shape[dim]) {
            let what = format!("no entries {start}..{} in dimension {dim}", start.saturating_add(len));
            return Err(Error::Index { op: "narrow", shape: self.shape.to_vec(), what });
        }
        let mut view = self.clone();
        view.shape.set(dim, len);
        if view.numel() > 0 {
            view.offset += start * self.strides[dim];
        }
        Ok(view)
    }

    /// Entry `index` along `dim`; the dimension is gone.
    ///
    /// # Errors
    /// An index past the end, or a dimension the tensor does not have.
    pub fn select(&self, dim: usize, index: usize) -> Result<Self> {
        let view = self.narrow(dim, index, 1)?;
        let keep: Vec<usize> = (0..self.rank()).filter(|&d| d != dim).collect();
        let dims: Vec<usize> = keep.iter().map(|&d| view.shape[d]).collect();
        let strides: Vec<usize> = keep.iter().map(|&d| view.strides[d]).collect();
        Ok(Self { shape: Shape::list(&dims), strides: Shape::list(&strides), ..view })
    }

    /// Repeats dimensions of size 1 (and missing leading ones) up to `shape`, without copying.
    ///
    /// # Errors
    /// A dimension that is neither equal nor 1.
    pub fn expand(&self, shape: &[usize]) -> Result<Self> {
        let target = crate::broadcast("expand", self.shape(), shape)?;
        if *target != *shape {
            return Err(Error::shapes("expand", self.shape(), shape));
        }
        let lead = shape.len() - self.rank();
        let mut strides = vec![0; shape.len()];
        for d in 0..self.rank() {
            strides[lead + d] = if self.shape[d] == shape[lead + d] { self.strides[d] } else { 0 };
        }
        Ok(Self { shape: target, strides: Shape::list(&strides), ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;

    fn count(shape: &[usize]) -> Tensor {
        Tensor::from_vec(shape, (0..shape.iter().product()).map(|i| i as f32).collect()).unwrap()
    }

    #[test]
    fn views_show_the_right_elements() {
        let x = count(&[2, 3, 4]);
        assert_eq!(x.permute(&[2, 0, 1]).unwrap().to_vec()[..6], [0., 4., 8., 12., 16., 20.]);
        assert_eq!(
            x.narrow(1, 1, 2).unwrap().to_vec(),
            [4., 5., 6., 7., 8., 9., 10., 11., 16., 17., 18., 19., 20., 21., 22., 23.]
        );
        assert_eq!(x.select(2, 3).unwrap().to_vec(), [3., 7., 11., 15., 19., 23.]);
        assert_eq!(
            count(&[3, 1]).expand(&[2, 3, 2]).unwrap().to_vec(),
            [0., 0., 1., 1., 2., 2., 0., 0., 1., 1., 2., 2.]
        );
        assert_eq!(x.transpose(0, 2).unwrap().reshape(&[24]).unwrap().to_vec()[..4], [0., 12., 4., 16.]);
    }

    #[test]
    fn channels_last_is_only_another_order_of_memory() {
        let x = count(&[2, 3, 4, 5]);
        let y = x.channels_last();
        assert!(y.is_channels_last() && y.is_dense() && !y.is_contiguous());
        assert_eq!(y.to_vec(), x.to_vec());
        assert_eq!(y.memory().unwrap()[..3], [0., 20., 40.]);
        assert_eq!(x.laid_as(&y).unwrap().memory().unwrap(), y.memory().unwrap());
        assert_eq!(y.cast::<f64>().to_vec(), x.cast::<f64>().to_vec());
        assert!(y.build_like(|m| m.fill(0.)).unwrap().is_channels_last());
    }

    #[test]
    fn writing_never_reaches_a_view() {
        let mut x = count(&[4]);
        let view = x.clone();
        x.memory_mut()[0] = 9.;
        assert_eq!((x.to_vec()[0], view.to_vec()[0]), (9., 0.));
    }

    #[test]
    fn empty_views_of_empty_views_are_empty() {
        let x = count(&[2, 3]).narrow(0, 2, 0).unwrap().narrow(1, 3, 0).unwrap();
        assert!(x.as_slice().unwrap().is_empty() && x.memory().unwrap().is_empty() && x.to_vec().is_empty());
    }

    #[test]
    fn wrong_views_are_errors_with_both_shapes() {
        let x = count(&[2, 5]);
        assert_eq!(x.reshape(&[3, 4]).unwrap_err().to_string(), "reshape: shapes [2, 5] and [3, 4] do not fit");
        assert!(x.narrow(0, usize::MAX, 2).is_err() && x.narrow(2, 0, 1).is_err() && x.permute(&[0, 0]).is_err());
        assert!(x.expand(&[3, 5]).is_err() && Tensor::<f32>::zeros(&[usize::MAX, 2]).is_err());
    }
}
