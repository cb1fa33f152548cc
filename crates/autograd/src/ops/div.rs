//! y = a / b; ∂L/∂a = ∂L/∂y / b, ∂L/∂b = −∂L/∂y·y / b, each summed over the dimensions in which it was stretched.

use crate::gradcheck::{Example, broadcasting};
use crate::ops::elementwise::{add_broadcast, affine, binary};
use crate::{Element, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::elementwise::Binary;

/// y = a / b, elementwise; the shapes broadcast.
#[derive(Debug, Clone, Copy)]
pub struct Div;

impl<T: Element> Op<T> for Div {
    fn name(&self) -> &'static str {
        "div"
    }

    fn keeps(&self, wants: &[bool]) -> Keeps {
        if wants[1] { Keeps::OUTPUT.and_inputs(&[1]) } else { Keeps::inputs(&[1]) }
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        binary("div", Binary::Div, inputs[0], inputs[1])
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let over_b = binary("div", Binary::Div, &grad, kept.input(1)?)?;
        add_broadcast(slots, 1, || {
            let product = binary("div", Binary::Mul, &over_b, kept.output()?)?;
            affine(-1.0, 0.0, &product)
        })?;
        add_broadcast(slots, 0, || Ok(over_b))
    }
}

impl<T: Element> Value<T> {
    /// a / b, elementwise. Shapes broadcast: dimensions are aligned at the end, and a 1 stretches.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let a: Value = Tensor::from_vec(&[2, 2], vec![2., 4., 6., 8.])?.into();
    /// let b: Value = Tensor::from_vec(&[2], vec![1., 2.])?.into();
    /// assert_eq!(a.div(&b)?.tensor().to_vec(), [2., 2., 6., 4.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn div(&self, other: &Self) -> Result<Self> {
        Self::apply(Div, &[self, other])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    broadcasting(|a, b| a.div(&b.square()?.add_scalar(0.5)?))
}
