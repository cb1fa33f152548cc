//! The dimensions in another order; the gradient takes the way back.

use crate::gradcheck::{Example, numbers};
use crate::{Element, Error, Keeps, Kept, Op, Result, Slots, Tensor, Value, Work};

/// Dimension i of the output is dimension `order[i]` of the input. A view: nothing is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permute {
    /// Where the dimensions of the output come from.
    pub order: Vec<usize>,
}

impl<T: Element> Op<T> for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn work(&self, _: &[&[usize]], _: &[bool]) -> Work {
        Work::view("permute")
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::NOTHING
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        inputs[0].permute(&self.order)
    }

    fn backward(&self, _: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let mut back = vec![0; self.order.len()];
        for (i, &d) in self.order.iter().enumerate() {
            back[d] = i;
        }
        slots.add(0, grad.permute(&back)?)
    }
}

impl<T: Element> Value<T> {
    /// The dimensions in another order: dimension i of the result is dimension `order[i]` of `self`.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::zeros(&[2, 3, 4])?.into();
    /// assert_eq!(x.permute(&[2, 0, 1])?.shape(), [4, 2, 3]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `order` is not a permutation of the dimensions.
    pub fn permute(&self, order: &[usize]) -> Result<Self> {
        Self::apply(Permute { order: order.to_vec() }, &[self])
    }

    /// Two dimensions exchanged.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2, 2], vec![1., 2., 3., 4.])?.into();
    /// assert_eq!(x.transpose(0, 1)?.tensor().to_vec(), [1., 3., 2., 4.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// A dimension that the value does not have.
    pub fn transpose(&self, a: usize, b: usize) -> Result<Self> {
        let mut order: Vec<usize> = (0..self.shape().len()).collect();
        if a.max(b) >= order.len() {
            return Err(Error::shape("transpose", self.shape(), format!("dimensions {a} and {b}")));
        }
        order.swap(a, b);
        self.permute(&order)
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let example = |label, shape: &[usize], order: &'static [usize]| {
        Example::new(label, vec![numbers(1, shape)], move |v| v[0].permute(order))
    };
    vec![
        example("matrix", &[2, 3], &[1, 0]),
        example("cycle", &[2, 3, 4], &[2, 0, 1]),
        example("scalar", &[], &[]),
        example("empty", &[0, 3], &[1, 0]),
        Example::new("transpose", vec![numbers(1, &[2, 3, 4])], |v| v[0].transpose(2, 1)),
    ]
}
