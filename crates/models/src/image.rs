//! What the models of images have in common.

use crate::ImageLogits;
use ukulele_layers::{
    BatchNorm2d, Conv2d, Conv2dOptions, Error, Init, Linear, Param, Pass, Pool2d, Result, Role, Tensor, Value, module,
};

/// Of a network that has no group of this number before its head.
pub(crate) fn no_group<T>(model: &'static str, at: usize) -> Result<T> {
    Err(Error::argument(model, format!("no group {at} of layers before the head")))
}

/// Checks that x is (N, C, H, W) with at least `least` pixels in both directions.
pub(crate) fn check_image(model: &'static str, x: &Value, least: usize) -> Result<()> {
    let [_, _, h, w] = x.dims::<4>(model, "images (N, C, H, W)")?;
    if h >= least && w >= least {
        return Ok(());
    }
    Err(Error::argument(model, format!("an image of {h}x{w} pixels is too small; at least {least}x{least} are needed")))
}

/// From images normalised as torchvision's (mean .485, .456, .406, deviation .229, .224, .225) to the range [-1, 1] that
/// the Inceptions of TensorFlow were trained on.
pub(crate) fn to_unit_range(x: &Value) -> Result<Value> {
    let scale = [0.229, 0.224, 0.225].map(|deviation| (deviation / 0.5_f64) as f32);
    let shift = [0.485, 0.456, 0.406].map(|mean| ((mean - 0.5) / 0.5_f64) as f32);
    let per_channel = |v: [f32; 3]| Ok::<Value, Error>(Tensor::from_vec(&[1, 3, 1, 1], v.to_vec())?.into());
    x.mul(&per_channel(scale)?)?.add(&per_channel(shift)?)
}

/// A convolution without bias, its norm, and ReLU.
#[derive(Debug, Clone)]
pub struct BasicConv2d {
    /// The convolution.
    pub conv: Conv2d,
    /// Its norm.
    pub bn: BatchNorm2d,
}

module!(BasicConv2d { conv, bn });

impl BasicConv2d {
    /// Fresh, with weights of this deviation.
    pub(crate) fn new(
        inputs: usize,
        outputs: usize,
        kernel: [usize; 2],
        stride: usize,
        padding: [usize; 2],
        fresh: &mut Fresh,
    ) -> Self {
        let [v, h] = padding;
        let weight = fresh.init.normal(&[outputs, inputs, kernel[0], kernel[1]], fresh.deviation);
        let options = Conv2dOptions { stride: [stride; 2], padding: [v, v, h, h], ..Default::default() };
        let conv = Conv2d { weight: Param::new(weight, Role::Weight), bias: None, options };
        Self { conv, bn: BatchNorm2d::new(outputs, fresh.bn_eps) }
    }

    pub(crate) fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let y = self.bn.forward_relu(&self.conv.forward(x, pass)?, pass)?;
        Ok(pass.tap(self, y))
    }
}

/// How fresh layers of an Inception begin.
pub(crate) struct Fresh<'a> {
    pub(crate) init: &'a mut Init,
    /// Of weights. torchvision cuts the normal distribution off at ±2, which is 20 deviations or more away.
    pub(crate) deviation: f64,
    pub(crate) bn_eps: f64,
}

impl Fresh<'_> {
    /// A dense layer with such weights; the bias begins as torch's.
    pub(crate) fn linear(&mut self, inputs: usize, outputs: usize, deviation: f64) -> Linear {
        let mut linear = Linear::new(inputs, outputs, self.init);
        linear.weight.value = self.init.normal(&[outputs, inputs], deviation);
        linear
    }
}

/// One convolution after the other.
pub(crate) fn chain(x: &Value, convs: &[&BasicConv2d], pass: &mut Pass) -> Result<Value> {
    convs.iter().try_fold(x.clone(), |x, conv| conv.forward(&x, pass))
}

/// Windows of 3×3 at every pixel.
pub(crate) const POOL_3X3: Pool2d =
    Pool2d { kernel: [3; 2], stride: [1; 2], padding: [1; 4], ceil_mode: false, count_include_pad: true };

/// Windows of 3×3 at every second pixel, without padding.
pub(crate) const POOL_3X3_HALF: Pool2d = Pool2d { stride: [2; 2], padding: [0; 4], ..POOL_3X3 };

impl ImageLogits {
    /// L = cross entropy of the logits + w · Σ that of the auxiliary logits.
    ///
    /// # Errors
    /// Another number of labels than images, or a label that is no class.
    pub fn cross_entropy(&self, labels: &[i64]) -> Result<Value> {
        let mut loss = self.logits.cross_entropy(labels)?;
        for aux in &self.aux {
            loss = loss.add(&aux.cross_entropy(labels)?.scale(self.aux_weight)?)?;
        }
        Ok(loss)
    }
}
