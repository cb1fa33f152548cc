//! y = max(x, 0); ∂L/∂x = ∂L/∂y where y > 0, else 0.

use crate::gradcheck::{Example, elementwise};
use crate::ops::elementwise::{unary, unary_backward};
use crate::{Data, Element, Keeps, Kept, Op, Result, Short, Slots, Value};
use ukulele_kernels::elementwise::{self, Unary};

/// max(x, 0), elementwise.
#[derive(Debug, Clone, Copy)]
pub struct Relu;

impl<T: Element> Op<T> for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::OUTPUT
    }

    fn again_needs(&self, inputs: usize) -> Option<Keeps> {
        Some(Keeps::first(inputs))
    }

    fn again_data(&self, kept: Kept<T>) -> Result<Data<T>> {
        relu(kept.input_data(0)?)
    }

    fn forward_data(&mut self, inputs: &[&Data<T>], _: bool) -> Result<Data<T>> {
        relu(inputs[0])
    }

    fn backward_data(&self, kept: Kept<T>, grad: Data<T>, slots: &mut Slots<T>) -> Result<()> {
        match kept.output_data()? {
            Data::Full(output) => slots.add(0, unary_backward(Unary::Relu, output, &grad.into_tensor())?),
            Data::Short(output) => {
                let grad = grad.into_short()?;
                let dx = Short::build(output.shape(), |dx| {
                    elementwise::relu_backward_mixed(output.numbers(), grad.numbers(), dx);
                });
                slots.add(0, dx?)
            }
        }
    }
}

/// max(x, 0), lying as x does.
fn relu<T: Element>(x: &Data<T>) -> Result<Data<T>> {
    Ok(match x {
        Data::Full(x) => unary(Unary::Relu, x)?.into(),
        Data::Short(x) => Short::build(x.shape(), |y| elementwise::relu_mixed(x.numbers(), y))?.into(),
    })
}

impl<T: Element> Value<T> {
    /// max(x, 0), elementwise.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[2], vec![-1., 2.])?.into();
    /// assert_eq!(x.relu()?.tensor().to_vec(), [0., 2.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// None.
    pub fn relu(&self) -> Result<Self> {
        Self::apply(Relu, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    elementwise(|v| v[0].relu())
}
