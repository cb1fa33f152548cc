//! Shapes and strides: small lists of numbers, kept inline.

use crate::{Error, Result};
use std::fmt;
use std::ops::Deref;

/// The most dimensions a tensor can have.
pub const MAX_RANK: usize = 8;

/// A list of at most [`MAX_RANK`] dimensions (or strides), in elements. Dereferences to `&[usize]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// The shape with these dimensions.
    ///
    /// # Errors
    /// More than [`MAX_RANK`] dimensions, or a product that overflows `isize`.
    pub fn new(dims: &[usize]) -> Result<Self> {
        let too_large = || Error::TooLarge { shape: dims.to_vec() };
        if dims.len() > MAX_RANK {
            return Err(too_large());
        }
        let numel = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1))).ok_or_else(too_large)?;
        if numel > isize::MAX as usize / 8 {
            return Err(too_large());
        }
        Ok(Self::list(dims))
    }

    /// A list that is not checked as a shape: strides.
    pub(crate) fn list(values: &[usize]) -> Self {
        let mut dims = [0; MAX_RANK];
        dims[..values.len()].copy_from_slice(values);
        Self { dims, rank: values.len() as u8 }
    }

    /// The number of elements: the product of the dimensions; 1 for a scalar.
    pub fn numel(&self) -> usize {
        self.iter().product()
    }

    /// Strides of row-major memory: the last dimension is contiguous.
    pub fn row_major(&self) -> Self {
        let order: Vec<usize> = (0..self.len()).collect();
        self.strides_in(&order)
    }

    /// Strides of channels-last memory for (N, C, H, W): the order in memory is N, H, W, C.
    pub(crate) fn channels_last(&self) -> Self {
        self.strides_in(&[0, 2, 3, 1])
    }

    /// Strides of dense memory in which the dimensions follow each other in `order`, slowest first.
    pub(crate) fn strides_in(&self, order: &[usize]) -> Self {
        let mut strides = *self;
        let mut step = 1;
        for &d in order.iter().rev() {
            strides.dims[d] = step;
            step *= self[d].max(1);
        }
        strides
    }

    /// The entries in the order of the dimensions in memory.
    pub(crate) fn ordered(&self, order: &[usize]) -> Self {
        let mut ordered = *self;
        for (i, &d) in order.iter().enumerate() {
            ordered.dims[i] = self[d];
        }
        ordered
    }

    pub(crate) fn set(&mut self, dim: usize, value: usize) {
        self.dims[dim] = value;
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.dims[..usize::from(self.rank)]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deref().fmt(f)
    }
}

/// The shape that `left` and `right` broadcast to: dimensions are aligned at the end, and a 1 stretches.
///
/// # Errors
/// Two dimensions that differ and of which neither is 1.
///
/// ```
/// let shape = ukulele_tensor::broadcast("add", &[4, 1, 3], &[5, 1])?;
/// assert_eq!(&*shape, &[4, 5, 3]);
/// # Ok::<(), ukulele_tensor::Error>(())
/// ```
pub fn broadcast(op: &'static str, left: &[usize], right: &[usize]) -> Result<Shape> {
    let rank = left.len().max(right.len());
    let dim = |s: &[usize], i: usize| if i + s.len() >= rank { s[i + s.len() - rank] } else { 1 };
    let mut out = vec![0; rank];
    for (i, d) in out.iter_mut().enumerate() {
        *d = match (dim(left, i), dim(right, i)) {
            (a, b) if a == b => a,
            (1, b) => b,
            (a, 1) => a,
            _ => return Err(Error::shapes(op, left, right)),
        };
    }
    Shape::new(&out)
}
