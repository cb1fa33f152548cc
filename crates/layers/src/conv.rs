//! Two-dimensional convolution.

use crate::{Conv2dOptions, Init, Param, Pass, Result, Role, Value, module};

/// `y[n, o, i, j] = b[o] + Σ x[n, c, i·s + k·d − p, j·s + l·d − p] · W[o, c, k, l]`: (N, C, H, W) to (N, O, H', W').
#[derive(Debug, Clone)]
pub struct Conv2d {
    /// W, [out, in / groups, kernel height, kernel width], in channels-last memory.
    pub weight: Param,
    /// b, `[out]`.
    pub bias: Option<Param>,
    /// Stride, padding per side, dilation, groups.
    pub options: Conv2dOptions,
}

module!(Conv2d { weight, bias });

impl Conv2d {
    /// A convolution without bias. W is normal with deviation √(2 / (out·kernel area)), as torchvision's ResNets begin
    /// (He et al. 2015, fan-out).
    pub fn new(inputs: usize, outputs: usize, kernel: usize, options: Conv2dOptions, init: &mut Init) -> Self {
        let deviation = (2.0 / (outputs * kernel * kernel).max(1) as f64).sqrt();
        let shape = [outputs, inputs / options.groups.max(1), kernel, kernel];
        Self { weight: Param::new(init.normal(&shape, deviation), Role::Weight), bias: None, options }
    }

    /// The same with a bias of zeros.
    #[must_use]
    pub fn with_bias(mut self) -> Self {
        self.bias = Some(Init::constant(self.weight.value.shape()[0], 0.0, Role::Bias));
        self
    }

    /// (N, C, H, W) to (N, O, H', W').
    ///
    /// # Errors
    /// Another number of channels, or an image smaller than the kernel.
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        self.forward_with(x, &self.options, pass)
    }

    /// The same with other options, for padding that depends on the size of the image.
    ///
    /// # Errors
    /// As [`Conv2d::forward`].
    pub fn forward_with(&self, x: &Value, options: &Conv2dOptions, pass: &mut Pass) -> Result<Value> {
        let weight = pass.param(&self.weight);
        let bias = self.bias.as_ref().map(|b| pass.param(b));
        let y = x.conv2d_in(pass.precision(), &weight, bias.as_ref(), options)?;
        Ok(pass.tap(self, y))
    }
}
