//! TF-slim, ResNet v1: `resnet_v1_50/block1/unit_1/bottleneck_v1/conv1`.
//!
//! The stride is at the 3x3 of a stage's last unit; the stem's pooling pads as TensorFlow's SAME does where the size is
//! even: only below and at the right. Class 0 of 1,001 is the background. Source: tensorflow/models `slim/nets/resnet_v1.py`.

use super::{HWIO, join, rule};
use crate::dialect::{How, Knobs, Rule, Table};

/// The rules of one convolution with its batch norm.
macro_rules! convolution {
    ($conv:literal, $bn:literal, $theirs:literal) => {
        [
            rule(concat!($conv, ".weight"), &[concat!($theirs, "/weights")], HWIO),
            rule(concat!($bn, ".weight"), &[concat!($theirs, "/BatchNorm/gamma")], How::Copy),
            rule(concat!($bn, ".bias"), &[concat!($theirs, "/BatchNorm/beta")], How::Copy),
            rule(concat!($bn, ".running_mean"), &[concat!($theirs, "/BatchNorm/moving_mean")], How::Copy),
            rule(concat!($bn, ".running_var"), &[concat!($theirs, "/BatchNorm/moving_variance")], How::Copy),
        ]
    };
}

const STEM: [Rule; 5] = convolution!("conv1", "bn1", "conv1");
const BLOCK: [Rule; 5] =
    convolution!("layer{s}.{b}.conv{c}", "layer{s}.{b}.bn{c}", "block{s}/unit_{b+1}/bottleneck_v1/conv{c}");
const SHORTCUT: [Rule; 5] = convolution!(
    "layer{s}.{b}.downsample.0",
    "layer{s}.{b}.downsample.1",
    "block{s}/unit_{b+1}/bottleneck_v1/shortcut"
);
const FC: [Rule; 2] = [
    rule("fc.weight", &["logits/weights"], How::Flatten(&[3, 2, 0, 1])),
    rule("fc.bias", &["logits/biases"], How::Copy),
];

static RULES: [Rule; 17] = join(&[&STEM, &SHORTCUT, &BLOCK, &FC]);

pub(crate) static TABLE: Table = Table {
    name: "slim_resnet",
    about: "TF-slim, ResNet v1",
    signs: &[&["block{s}/unit_{b}/bottleneck_v1/conv1/weights", "block1/unit_1/bottleneck_v1/shortcut/weights"]],
    rules: &RULES,
    ignored: super::SLIM_IGNORED,
    knobs: Knobs { stride_in_last_block: true, stem_pool_padding: [0, 1, 0, 1], class_offset: 1, ..Knobs::STANDARD },
    preprocess: "vgg_rgb",
    ..Table::EMPTY
};
