//! y = m·x, where m is 0 with probability `rate` and 1 / (1 − rate) else; ∂L/∂x = m·∂L/∂y.
//!
//! m is a function of a key and the place of the element: nothing is kept, backward computes it again.
//!
//! Source: Srivastava et al., "Dropout", 2014.

use crate::gradcheck::{Example, elementwise};
use crate::{Element, Error, Keeps, Kept, Op, Result, Slots, Tensor, Value};
use ukulele_kernels::elementwise;

/// Sets elements to zero at random and scales the others up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Dropout {
    /// The probability of being set to zero, in [0, 1).
    pub rate: f32,
    /// Which random numbers: the same key gives the same mask.
    pub key: u64,
}

impl Dropout {
    /// The rate, if it is one.
    pub(crate) fn checked(self, op: &'static str) -> Result<f64> {
        if (0.0..1.0).contains(&self.rate) {
            return Ok(f64::from(self.rate));
        }
        Err(Error::argument(op, format!("dropout rate {} is not in [0, 1)", self.rate)))
    }

    /// m·x. The place of an element is that in the channels-last order of an image, in row-major order else.
    fn masked<T: Element>(self, x: &Tensor<T>) -> Result<Tensor<T>> {
        let rate = self.checked("dropout")?;
        let x = x.channels_last();
        x.build_like(|y| elementwise::dropout(self.key, rate, x.dense_memory(), y))
    }
}

impl<T: Element> Op<T> for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::NOTHING
    }

    fn again_needs(&self, inputs: usize) -> Option<Keeps> {
        Some(Keeps::first(inputs))
    }

    fn again(&self, kept: &Kept<T>) -> Result<Tensor<T>> {
        self.masked(kept.input(0)?)
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        self.masked(inputs[0])
    }

    fn backward(&self, _: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        slots.add(0, self.masked(&grad)?)
    }
}

impl<T: Element> Value<T> {
    /// Each element is 0 with probability `rate`, or divided by 1 − `rate`, as the random numbers of `key` decide.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::ones(&[1000])?.into();
    /// let y = x.dropout(0.5, 42)?.tensor().to_vec();
    /// let kept = y.iter().filter(|&&y| y == 2.0).count();
    /// assert!(kept > 400 && kept < 600 && y.iter().all(|&y| y == 0.0 || y == 2.0));
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// A rate outside [0, 1).
    pub fn dropout(&self, rate: f64, key: u64) -> Result<Self> {
        Self::apply(Dropout { rate: rate as f32, key }, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    elementwise(|v| v[0].dropout(0.3, 5))
}
