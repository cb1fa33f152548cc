//! The gradient of a leaf: a tensor, or a product that its reader computes piece by piece.

use crate::{Element, Result, Tensor};
use ukulele_kernels::gemm::{Epilogue, Mat, Precision, gemm_in};

/// Rows of the factors up to which a gradient stays a product: no element's sum is then cut in several.
const MOST_ROWS: usize = 128;
/// Numbers of a gradient from which on it stays one.
const LEAST: usize = 1 << 20;
/// Numbers of a piece, about.
const PIECE: usize = 1 << 20;

/// The gradient of a leaf, as [`crate::Tape::backward_each`] gives it.
#[derive(Debug)]
pub enum Gradient<T: Element = f32> {
    /// In memory.
    Tensor(Tensor<T>),
    /// Not computed yet.
    Product(Product<T>),
}

/// Lᵀ·R of L (rows, out) and R (rows, in): the gradient of a dense layer's weight. For a batch of few rows its factors are much
/// smaller than itself.
#[derive(Debug)]
pub struct Product<T: Element = f32> {
    precision: Precision,
    left: Tensor<T>,
    right: Tensor<T>,
}

impl<T: Element> Gradient<T> {
    /// The whole gradient.
    ///
    /// # Errors
    /// None in correct use.
    pub fn into_tensor(self) -> Result<Tensor<T>> {
        match self {
            Self::Tensor(tensor) => Ok(tensor),
            Self::Product(product) => product.tensor(),
        }
    }
}

impl<T: Element> Product<T> {
    /// Of row-major factors.
    pub(crate) fn of(precision: Precision, left: &Tensor<T>, right: &Tensor<T>) -> Self {
        Self { precision, left: left.clone(), right: right.clone() }
    }

    /// Of row-major factors, if it pays not to compute it.
    pub(crate) fn worth(precision: Precision, left: &Tensor<T>, right: &Tensor<T>) -> Option<Self> {
        let (rows, out, width) = sizes(left, right);
        let worth = rows <= MOST_ROWS && out * width >= LEAST;
        worth.then(|| Self::of(precision, left, right))
    }

    /// (out, in).
    pub fn shape(&self) -> [usize; 2] {
        let (_, out, width) = sizes(&self.left, &self.right);
        [out, width]
    }

    /// The whole of it, row-major.
    ///
    /// # Errors
    /// None in correct use.
    pub fn tensor(&self) -> Result<Tensor<T>> {
        let [out, width] = self.shape();
        Tensor::build(&[out, width], |y| self.rows(0, y))
    }

    /// Calls `f` with the place of each piece of the row-major whole, and its numbers, which are those of [`Product::tensor`].
    ///
    /// # Errors
    /// The first of `f`.
    pub fn pieces<E>(&self, mut f: impl FnMut(usize, &[T]) -> Result<(), E>) -> Result<(), E>
    where
        E: From<crate::Error>,
    {
        let [out, width] = self.shape();
        let rows = (PIECE / width.max(1)).clamp(1, out.max(1));
        let mut memory = Tensor::zeros(&[rows, width])?;
        for first in (0..out).step_by(rows) {
            let piece = &mut memory.memory_mut()[..rows.min(out - first) * width];
            self.rows(first, piece);
            f(first * width, piece)?;
        }
        Ok(())
    }

    /// Rows from `first` on, as many as `y` has room for.
    fn rows(&self, first: usize, y: &mut [T]) {
        let (rows, out, width) = sizes(&self.left, &self.right);
        let left = Mat::new(self.left.dense_memory(), rows, out).t();
        let some = Mat { data: &left.data[first.min(left.data.len())..], rows: y.len() / width.max(1), ..left };
        let right = Mat::new(self.right.dense_memory(), rows, width);
        gemm_in(self.precision, some, right, y, width, false, &Epilogue::NONE);
    }
}

/// Rows, out, in.
fn sizes<T: Element>(left: &Tensor<T>, right: &Tensor<T>) -> (usize, usize, usize) {
    let last = |tensor: &Tensor<T>| tensor.shape().last().copied().unwrap_or(1);
    let (out, width) = (last(left), last(right));
    (left.numel() / out.max(1), out, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_the_bits_of_the_whole() -> Result<()> {
        let numbers = |rows: usize, cols: usize| {
            let data = (0..rows * cols).map(|i| ((i * 7919) % 2003) as f32 / 1001.0 - 1.0).collect();
            Tensor::from_vec(&[rows, cols], data)
        };
        for (rows, out, width) in [(4, 1100, 2000), (128, 1025, 1024), (1, 2, 1 << 20)] {
            let product = Product::worth(Precision::F32, &numbers(rows, out)?, &numbers(rows, width)?).unwrap();
            let whole = product.tensor()?.to_vec();
            let mut next = 0;
            product.pieces(|at, piece| {
                assert_eq!(at, next);
                assert!(whole[at..at + piece.len()] == *piece, "{rows} {out} {width} from {at} on");
                next = at + piece.len();
                Ok::<(), crate::Error>(())
            })?;
            assert_eq!(next, out * width);
        }
        assert!(Product::worth(Precision::F32, &numbers(129, 1025)?, &numbers(129, 1024)?).is_none());
        assert!(Product::worth(Precision::F32, &numbers(1, 1023)?, &numbers(1, 1024)?).is_none());
        Ok(())
    }
}
