//! Caffe ResNets with the layer names of Yahoo's CaffeOnSpark models (open_nsfw).
//!
//! A convolution is followed by `BatchNorm` (blobs: sum of means, sum of variances, their weight) and `Scale` (gamma,
//! beta). The convolutions have biases; as the next layer subtracts its mean, a bias b is the same as a mean less b:
//! `running_mean = mean / weight - b`, exactly, in evaluation as in training. The stride of a stage is at the first
//! 1x1 convolution, the stem's max pooling has no padding and rounds up.
//! Source: `deploy.prototxt` beside the weights; Caffe's `batch_norm_layer.cpp` (eps 1e-5), `pooling_layer.cpp`.

use super::{join, rule};
use crate::dialect::{How, Knobs, Rule, Table};
use crate::{Error, Result, Weights};

/// The rules of one convolution with its batch norm.
macro_rules! convolution {
    ($conv:literal, $bn:literal, $caffe:literal) => {
        [
            rule(concat!($conv, ".weight"), &[concat!("conv_", $caffe, ".0")], How::Copy),
            rule(concat!($bn, ".weight"), &[concat!("scale_", $caffe, ".0")], How::Copy),
            rule(concat!($bn, ".bias"), &[concat!("scale_", $caffe, ".1")], How::Copy),
            rule(
                concat!($bn, ".running_mean"),
                &[concat!("bn_", $caffe, ".0"), concat!("bn_", $caffe, ".2"), concat!("conv_", $caffe, ".1")],
                How::RatioMinus,
            ),
            rule(
                concat!($bn, ".running_mean"),
                &[concat!("bn_", $caffe, ".0"), concat!("bn_", $caffe, ".2")],
                How::Ratio,
            ),
            rule(
                concat!($bn, ".running_var"),
                &[concat!("bn_", $caffe, ".1"), concat!("bn_", $caffe, ".2")],
                How::Ratio,
            ),
        ]
    };
}

const STEM: [Rule; 6] = convolution!("conv1", "bn1", "1");
const A: [Rule; 6] = convolution!("layer{s}.{b}.conv1", "layer{s}.{b}.bn1", "stage{s-1}_block{b}_branch2a");
const B: [Rule; 6] = convolution!("layer{s}.{b}.conv2", "layer{s}.{b}.bn2", "stage{s-1}_block{b}_branch2b");
const C: [Rule; 6] = convolution!("layer{s}.{b}.conv3", "layer{s}.{b}.bn3", "stage{s-1}_block{b}_branch2c");
const SHORTCUT: [Rule; 6] =
    convolution!("layer{s}.{b}.downsample.0", "layer{s}.{b}.downsample.1", "stage{s-1}_block{b}_proj_shortcut");
const FC: [Rule; 2] = [rule("fc.weight", &["fc_nsfw.0"], How::Copy), rule("fc.bias", &["fc_nsfw.1"], How::Copy)];

static RULES: [Rule; 32] = join(&[&STEM, &A, &B, &C, &SHORTCUT, &FC]);

pub(crate) static TABLE: Table = Table {
    name: "caffe_resnet",
    about: "Caffe ResNets of Yahoo (open_nsfw)",
    signs: &[&[
        "conv_stage{s}_block{b}_branch2a.0",
        "bn_stage{s}_block{b}_branch2a.2",
        "scale_stage{s}_block{b}_branch2a.0",
    ]],
    rules: &RULES,
    leading_ones: true,
    knobs: Knobs { stride_on_1x1: true, stem_pool_padding: [0; 4], stem_pool_ceil: true, ..Knobs::STANDARD },
    preprocess: "caffe_bgr",
    tune: Some(tune),
    ..Table::EMPTY
};

/// Reads eps, stride and padding from the layers' settings that the file carries.
fn tune(weights: &Weights, knobs: &mut Knobs) -> Result<()> {
    let said = weights.metadata();
    let number = |key: &str| said.get(key).and_then(|value| value.parse::<f64>().ok());
    let mut eps = None;
    for (key, value) in said.iter().filter(|(key, _)| key.starts_with("bn_") && key.ends_with(".eps")) {
        if *eps.get_or_insert(value) != value {
            let message = format!("batch norms with different eps ({key} is {value}); one for all is supported");
            return Err(Error::Dialect { file: weights.source().to_string(), message });
        }
    }
    if let Some(eps) = eps.and_then(|eps| eps.parse().ok()) {
        knobs.bn_eps = eps;
    }
    let stride = |branch: &str| number(&format!("conv_stage1_block0_branch2{branch}.stride"));
    if let (Some(a), Some(b)) = (stride("a"), stride("b")) {
        knobs.stride_on_1x1 = a > b;
    }
    if let Some(pad) = number("pool1.pad") {
        knobs.stem_pool_padding = [pad as usize; 4];
    }
    if let Some(mode) = said.get("pool1.round_mode") {
        knobs.stem_pool_ceil = mode == "ceil";
    }
    Ok(())
}
