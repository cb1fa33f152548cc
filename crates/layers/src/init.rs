//! The numbers a fresh layer begins with.

use crate::{Param, Result, Role};
use ukulele_autograd::{Error, Tensor};
use ukulele_kernels::random;

/// A source of initial weights. The same seed gives the same model.
#[derive(Debug, Clone)]
pub struct Init {
    /// `None` draws nothing.
    seed: Option<u64>,
    drawn: u64,
}

impl Init {
    /// A source with this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed: Some(seed), drawn: 0 }
    }

    /// Zeros, which cost nothing: for a network whose numbers come out of a file.
    pub fn zeros() -> Self {
        Self { seed: None, drawn: 0 }
    }

    fn draw(&mut self, shape: &[usize], fill: impl FnOnce(u64, &mut [f32])) -> Tensor {
        self.drawn += 1;
        let tensor = match self.seed {
            None => Tensor::zeros(shape),
            Some(seed) => Tensor::build(shape, |out| fill(random::key(&[seed, 0x1417, self.drawn]), out)),
        };
        tensor.expect("sizes of a layer fit in memory").channels_last()
    }

    /// Uniform on [-bound, bound).
    pub fn uniform(&mut self, shape: &[usize], bound: f64) -> Tensor {
        self.draw(shape, |key, out| random::fill_uniform(key, -bound, bound, out))
    }

    /// Normal with mean 0.
    pub fn normal(&mut self, shape: &[usize], deviation: f64) -> Tensor {
        self.draw(shape, |key, out| random::fill_normal(key, 0.0, deviation, out))
    }

    /// All equal.
    pub(crate) fn constant(size: usize, value: f32, role: Role) -> Param {
        Param::new(Tensor::full(&[size], value).expect("sizes of a layer fit in memory"), role)
    }
}

/// The one size that a one-dimensional parameter must have.
pub(crate) fn check_len(op: &'static str, param: &Param, len: usize) -> Result<()> {
    if param.value.numel() == len { Ok(()) } else { Err(Error::shapes(op, param.value.shape(), &[len])) }
}
