//! Values put together along one dimension; each gets its part of the gradient.

use crate::gradcheck::{Example, numbers};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};

/// The inputs one after the other along `dim`, in the memory order of the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concat {
    /// The dimension.
    pub dim: usize,
    /// The number of inputs.
    pub parts: usize,
}

/// Inputs up to which the output is put together again in backward: branches of a block, which mostly are cheap themselves.
const MOST: usize = 8;

impl<T: Element> Op<T> for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        // For `again`.
        if self.parts <= MOST { Keeps::inputs(&(0..self.parts).collect::<Vec<_>>()) } else { Keeps::NOTHING }
    }

    fn is_cheap(&self) -> bool {
        self.parts <= MOST
    }

    fn again(&self, kept: &Kept<T>) -> Result<Tensor<T>> {
        let inputs = (0..self.parts).map(|i| kept.input(i)).collect::<Result<Vec<_>>>()?;
        Tensor::concat(&inputs, self.dim)
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        Tensor::concat(inputs, self.dim)
    }

    fn backward(&self, _: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let mut start = 0;
        for i in 0..self.parts {
            let len = slots.shape(i)[self.dim];
            slots.add(i, grad.narrow(self.dim, start, len)?)?;
            start += len;
        }
        Ok(())
    }
}

impl<T: Element> Value<T> {
    /// The values one after the other along `dim`.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[1, 2], vec![1., 2.])?.into();
    /// assert_eq!(Value::concat(&[&x, &x], 1)?.tensor().to_vec(), [1., 2., 1., 2.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// No values, a dimension they do not have, or shapes that differ in another dimension.
    pub fn concat(values: &[&Self], dim: usize) -> Result<Self> {
        Self::apply(Concat { dim, parts: values.len() }, values)
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let example = |label, shapes: &[&[usize]], dim| {
        let inputs = shapes.iter().zip(1..).map(|(shape, seed)| numbers(seed, shape)).collect();
        Example::new(label, inputs, move |v| Value::concat(&v.iter().collect::<Vec<_>>(), dim))
    };
    vec![
        example("rows", &[&[2, 3], &[1, 3]], 0),
        example("columns", &[&[2, 3], &[2, 1], &[2, 2]], 1),
        example("channels", &[&[2, 1, 2, 3], &[2, 3, 2, 3]], 1),
        example("one", &[&[2, 2]], 0),
        example("an empty one", &[&[2, 2], &[2, 0]], 1),
        Example::new("twice the same", vec![numbers(1, &[2, 2])], |v| Value::concat(&[&v[0], &v[0]], 0)),
        Example::new("channels last first", vec![numbers(1, &[1, 2, 3, 2]), numbers(2, &[1, 2, 3, 2])], |v| {
            let weight = Value::from(numbers::<T>(3, &[2, 2, 1, 1]));
            Value::concat(&[&v[0].conv2d(&weight, None, &Default::default())?, &v[1]], 1)
        }),
    ]
}
