//! The same elements under another shape; the gradient takes the way back.

use crate::gradcheck::{Example, numbers};
use crate::{Element, Error, Keeps, Kept, Op, Result, Slots, Tensor, Value, Work};

/// The same elements, in row-major order, under another shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reshape {
    /// The shape of the output.
    pub shape: Vec<usize>,
}

impl<T: Element> Op<T> for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn work(&self, _: &[&[usize]], _: &[bool]) -> Work {
        Work::view("reshape")
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::NOTHING
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        inputs[0].reshape(&self.shape)
    }

    fn backward(&self, _: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        slots.add(0, grad.reshape(slots.shape(0))?)
    }
}

impl<T: Element> Value<T> {
    /// The same elements, in row-major order, under another shape.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2, 2], vec![1., 2., 3., 4.])?.into();
    /// assert_eq!(x.reshape(&[4])?.shape(), [4]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// The number of elements differs.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        Self::apply(Reshape { shape: shape.to_vec() }, &[self])
    }

    /// The dimensions from `from` on as one: (N, C, H, W) from 1 on becomes (N, C·H·W), in this order whatever the memory.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::zeros(&[2, 3, 4, 5])?.into();
    /// assert_eq!(x.flatten(1)?.shape(), [2, 60]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// A dimension that the value does not have.
    pub fn flatten(&self, from: usize) -> Result<Self> {
        if from >= self.shape().len() {
            return Err(Error::shape("flatten", self.shape(), format!("more than {from} dimensions")));
        }
        let (lead, rest) = self.shape().split_at(from);
        self.reshape(&[lead, &[rest.iter().product()]].concat())
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let example = |label, from: &[usize], to: &'static [usize]| {
        Example::new(label, vec![numbers(1, from)], move |v| v[0].reshape(to))
    };
    vec![
        example("matrix", &[2, 6], &[3, 4]),
        example("scalar", &[], &[1, 1]),
        example("empty", &[0, 3], &[2, 0]),
        Example::new("image", vec![numbers(1, &[2, 3, 2, 2])], |v| v[0].flatten(1)),
        Example::new("transposed", vec![numbers(1, &[3, 4])], |v| v[0].transpose(0, 1)?.reshape(&[2, 6])),
    ]
}
