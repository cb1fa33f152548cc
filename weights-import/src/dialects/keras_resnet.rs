//! Keras applications, ResNet-50, -101 and -152 (v1): `conv2_block1_1_conv`.
//!
//! Kernels are (H, W, in, out); convolutions have biases; the stride is at the first 1x1. Images are BGR of 0 to 255 less the
//! means. Source: keras 3 `applications/resnet.py` (batch norm eps 1.001e-5).

use super::{HWIO, TRANSPOSED, join, rule};
use crate::dialect::{How, Knobs, Rule, Table};

/// The rules of one convolution with its batch norm. Its bias is taken into the running mean, which is the same.
macro_rules! convolution {
    ($conv:literal, $bn:literal, $theirs:literal, $their_bn:literal) => {
        [
            rule(concat!($conv, ".weight"), &[concat!($theirs, "/kernel")], HWIO),
            rule(concat!($bn, ".weight"), &[concat!($their_bn, "/gamma")], How::Copy),
            rule(concat!($bn, ".bias"), &[concat!($their_bn, "/beta")], How::Copy),
            rule(
                concat!($bn, ".running_mean"),
                &[concat!($their_bn, "/moving_mean"), concat!($theirs, "/bias")],
                How::Minus,
            ),
            rule(concat!($bn, ".running_mean"), &[concat!($their_bn, "/moving_mean")], How::Copy),
            rule(concat!($bn, ".running_var"), &[concat!($their_bn, "/moving_variance")], How::Copy),
        ]
    };
}

const STEM: [Rule; 6] = convolution!("conv1", "bn1", "conv1_conv", "conv1_bn");
const BLOCK: [Rule; 6] = convolution!(
    "layer{s}.{b}.conv{c}",
    "layer{s}.{b}.bn{c}",
    "conv{s+1}_block{b+1}_{c}_conv",
    "conv{s+1}_block{b+1}_{c}_bn"
);
const SHORTCUT: [Rule; 6] = convolution!(
    "layer{s}.{b}.downsample.0",
    "layer{s}.{b}.downsample.1",
    "conv{s+1}_block{b+1}_0_conv",
    "conv{s+1}_block{b+1}_0_bn"
);
const FC: [Rule; 4] = [
    rule("fc.weight", &["predictions/kernel"], TRANSPOSED),
    rule("fc.bias", &["predictions/bias"], How::Copy),
    rule("fc.weight", &["probs/kernel"], TRANSPOSED),
    rule("fc.bias", &["probs/bias"], How::Copy),
];

static RULES: [Rule; 22] = join(&[&STEM, &SHORTCUT, &BLOCK, &FC]);

pub(crate) static TABLE: Table = Table {
    name: "keras_resnet",
    about: "Keras applications, ResNet (v1)",
    signs: &[&["conv{s}_block{b}_1_conv/kernel", "conv{s}_block{b}_1_bn/moving_variance", "conv2_block1_0_bn/gamma"]],
    optional_suffix: ":0",
    rules: &RULES,
    knobs: Knobs { bn_eps: 1.001e-5, stride_on_1x1: true, ..Knobs::STANDARD },
    preprocess: "keras_bgr",
    ..Table::EMPTY
};
