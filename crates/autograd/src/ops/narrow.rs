//! A range of entries along one dimension; the gradient is added to that range.

use crate::gradcheck::{Example, numbers};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value, Way, Work};

/// The `len` entries from `start` on along `dim`. A view: nothing is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Narrow {
    /// The dimension.
    pub dim: usize,
    /// The first entry.
    pub start: usize,
    /// The number of entries.
    pub len: usize,
}

impl<T: Element> Op<T> for Narrow {
    fn name(&self) -> &'static str {
        "narrow"
    }

    fn work(&self, _: &[&[usize]], _: &[bool]) -> Work {
        Work { backward: Way::default(), ..Work::view("narrow") }
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::NOTHING
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        inputs[0].narrow(self.dim, self.start, self.len)
    }

    fn backward(&self, _: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        slots.add_to_narrow(0, self.dim, self.start, &grad)
    }
}

impl<T: Element> Value<T> {
    /// The `len` entries from `start` on along `dim`.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[4], vec![1., 2., 3., 4.])?.into();
    /// assert_eq!(x.narrow(0, 1, 2)?.tensor().to_vec(), [2., 3.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// A range that reaches past the end, or a dimension that the value does not have.
    pub fn narrow(&self, dim: usize, start: usize, len: usize) -> Result<Self> {
        Self::apply(Narrow { dim, start, len }, &[self])
    }

    /// Entry `index` along `dim`; the dimension is gone.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2, 2], vec![1., 2., 3., 4.])?.into();
    /// assert_eq!(x.select(1, 0)?.tensor().to_vec(), [1., 3.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// An index past the end, or a dimension that the value does not have.
    pub fn select(&self, dim: usize, index: usize) -> Result<Self> {
        let entry = self.narrow(dim, index, 1)?;
        let mut shape = self.shape().to_vec();
        shape.remove(dim);
        entry.reshape(&shape)
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let example = |label, shape: &[usize], dim, start, len| {
        Example::new(label, vec![numbers(1, shape)], move |v| v[0].narrow(dim, start, len))
    };
    vec![
        example("rows", &[4, 3], 0, 1, 2),
        example("columns", &[4, 3], 1, 2, 1),
        example("middle", &[2, 5, 3], 1, 1, 3),
        example("channels", &[2, 4, 2, 3], 1, 1, 2),
        example("all", &[3], 0, 0, 3),
        example("none", &[3, 2], 0, 2, 0),
        example("empty", &[0, 3], 1, 1, 2),
        Example::new("overlapping", vec![numbers(1, &[2, 4])], |v| v[0].narrow(1, 0, 3)?.mul(&v[0].narrow(1, 1, 3)?)),
        Example::new("select", vec![numbers(1, &[2, 3, 4])], |v| v[0].select(1, 2)),
    ]
}
