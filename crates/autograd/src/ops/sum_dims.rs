//! y = Σx over some dimensions; ∂L/∂x = ∂L/∂y, stretched over them.

use crate::gradcheck::{Example, numbers};
use crate::ops::elementwise::sum_over;
use crate::{Element, Error, Keeps, Kept, Op, Result, Slots, Tensor, Value};

/// The sum over some dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumDims {
    /// The dimensions that are summed.
    pub dims: Vec<usize>,
    /// Whether they stay, with size 1.
    pub keep: bool,
}

impl<T: Element> Op<T> for SumDims {
    fn name(&self) -> &'static str {
        "sum_dims"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::NOTHING
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        let x = inputs[0];
        if let Some(dim) = self.dims.iter().find(|&&d| d >= x.rank()) {
            return Err(Error::shape("sum_dims", x.shape(), format!("more than {dim} dimensions")));
        }
        let sum = sum_over(x, &self.dims)?;
        if self.keep {
            return Ok(sum);
        }
        let stay = (0..x.rank()).filter(|d| !self.dims.contains(d));
        sum.reshape(&stay.map(|d| x.shape()[d]).collect::<Vec<_>>())
    }

    fn backward(&self, _: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let mut kept = slots.shape(0).to_vec();
        self.dims.iter().for_each(|&d| kept[d] = 1);
        let grad = if self.keep { grad } else { grad.reshape(&kept)? };
        slots.add(0, grad.expand(slots.shape(0))?)
    }
}

impl<T: Element> Value<T> {
    /// The sum over the dimensions `dims`, which stay with size 1 if `keep`, and are gone else.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2, 2], vec![1., 2., 3., 4.])?.into();
    /// assert_eq!(x.sum_dims(&[0], false)?.tensor().to_vec(), [4., 6.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// A dimension that the value does not have.
    pub fn sum_dims(&self, dims: &[usize], keep: bool) -> Result<Self> {
        Self::apply(SumDims { dims: dims.to_vec(), keep }, &[self])
    }

    /// The mean over the dimensions `dims`, which stay with size 1 if `keep`, and are gone else.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2, 2], vec![1., 2., 3., 4.])?.into();
    /// assert_eq!(x.mean_dims(&[1], true)?.tensor().to_vec(), [1.5, 3.5]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// A dimension that the value does not have.
    pub fn mean_dims(&self, dims: &[usize], keep: bool) -> Result<Self> {
        let sum = self.sum_dims(dims, keep)?;
        let summed = (0..self.shape().len()).filter(|d| dims.contains(d));
        let count: usize = summed.map(|d| self.shape()[d]).product();
        sum.scale(1.0 / count as f64)
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let example = |label, shape: &[usize], dims: &'static [usize], keep| {
        Example::new(label, vec![numbers(1, shape)], move |v| v[0].sum_dims(dims, keep))
    };
    vec![
        example("rows", &[3, 4], &[0], false),
        example("columns", &[3, 4], &[1], true),
        example("outside", &[2, 3, 4], &[0, 2], false),
        example("middle", &[2, 3, 4], &[1], true),
        example("pixels", &[2, 3, 2, 4], &[2, 3], false),
        example("channels", &[2, 3, 2, 4], &[1], true),
        example("none", &[2, 3], &[], false),
        example("all", &[2, 3], &[0, 1], false),
        example("sum of nothing", &[0, 3], &[0], false),
        Example::new("mean", vec![numbers(1, &[2, 3, 4])], |v| v[0].mean_dims(&[1, 2], false)),
    ]
}
