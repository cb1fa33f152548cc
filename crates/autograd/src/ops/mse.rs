//! L = mean((x − t)²); ∂L/∂x = 2·(x − t) / n, ∂L/∂t = −∂L/∂x.

use crate::gradcheck::{Example, numbers};
use crate::ops::elementwise::{affine, binary};
use crate::{Element, Error, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::elementwise::Binary;
use ukulele_kernels::reduce;

/// The mean squared error of x and t, which have one shape.
#[derive(Debug, Clone, Copy)]
pub struct Mse;

impl<T: Element> Op<T> for Mse {
    fn name(&self) -> &'static str {
        "mse"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::inputs(&[0, 1])
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        if inputs[0].shape() != inputs[1].shape() {
            return Err(Error::shapes("mse", inputs[0].shape(), inputs[1].shape()));
        }
        let error = binary("mse", Binary::Sub, inputs[0], inputs[1])?;
        let mean = reduce::sum_squares(error.dense_memory()) / error.numel() as f64;
        Ok(Tensor::scalar(T::from_f64(mean)))
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let error = binary("mse", Binary::Sub, kept.input(0)?, kept.input(1)?)?;
        let factor = 2.0 * grad.item()?.to_f64() / error.numel() as f64;
        for (i, factor) in [factor, -factor].into_iter().enumerate() {
            if slots.wants(i) {
                slots.add(i, affine(factor, 0.0, &error)?)?;
            }
        }
        Ok(())
    }
}

impl<T: Element> Value<T> {
    /// The mean squared error of `self` and `target`, which have one shape.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2], vec![1., 5.])?.into();
    /// let t: Value = Tensor::from_vec(&[2], vec![1., 3.])?.into();
    /// assert_eq!(x.mse(&t)?.tensor().item()?, 2.);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that differ.
    pub fn mse(&self, target: &Self) -> Result<Self> {
        Self::apply(Mse, &[self, target])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let example =
        |label, shape: &[usize]| Example::new(label, vec![numbers(1, shape), numbers(2, shape)], |v| v[0].mse(&v[1]));
    vec![example("matrix", &[3, 4]), example("image", &[1, 2, 2, 3]), example("scalar", &[])]
}
