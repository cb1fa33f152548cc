//! Values put together along one dimension; each gets its part of the gradient.

use crate::gradcheck::{Example, numbers};
use crate::{Data, Element, Keeps, Kept, Op, Result, Short, Slots, Tensor, Value};

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

    fn again_data(&self, kept: Kept<T>) -> Result<Data<T>> {
        self.together(&kept.all_data()?)
    }

    fn forward_data(&mut self, inputs: &[&Data<T>], _: bool) -> Result<Data<T>> {
        self.together(inputs)
    }

    fn backward_data(&self, _: Kept<T>, grad: Data<T>, slots: &mut Slots<T>) -> Result<()> {
        let pairs = if (0..self.parts).all(|i| slots.is_short(i)) { self.pairs(&grad) } else { None };
        let mut start = 0;
        for i in 0..self.parts {
            let len = slots.shape(i)[self.dim];
            match &pairs {
                Some(pairs) => {
                    let (start, len) = if self.dim == 1 { (start / 2, len / 2) } else { (start, len) };
                    slots.add(i, Short::of_pairs(&pairs.narrow(self.dim, start, len)?)?)?;
                }
                None => slots.add(i, grad.tensor().narrow(self.dim, start, len)?)?,
            }
            start += len;
        }
        Ok(())
    }
}

impl Concat {
    /// As pairs where all lie as bf16 and have even channels.
    fn together<T: Element>(&self, inputs: &[&Data<T>]) -> Result<Data<T>> {
        // What does not fit is told of the values, not of their pairs.
        if let Some(pairs) = inputs.iter().map(|input| self.pairs(input)).collect::<Option<Vec<_>>>()
            && let Ok(whole) = Tensor::concat(&pairs.iter().collect::<Vec<_>>(), self.dim)
        {
            return Ok(Short::of_pairs(&whole)?.into());
        }
        let tensors: Vec<_> = inputs.iter().map(|input| input.tensor()).collect();
        Ok(Tensor::concat(&tensors.iter().collect::<Vec<_>>(), self.dim)?.into())
    }

    fn pairs<T: Element>(&self, data: &Data<T>) -> Option<Tensor> {
        if let Data::Short(short) = data { short.pairs() } else { None }
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
