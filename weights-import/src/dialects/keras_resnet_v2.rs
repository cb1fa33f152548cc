//! Keras applications, ResNet-50, -101 and -152 V2: `conv2_block1_preact_bn`.
//!
//! Kernels are (H, W, in, out); the convolutions that no norm follows have biases. A stage's stride is in its last block, at
//! the 3x3. The stem's pool reads a map with zeros around it. Images are RGB of -1 to 1. Source: keras 3
//! `applications/resnet.py`, `resnet_v2.py` (batch norm eps 1.001e-5).

use super::{HWIO, join, rule};
use crate::dialect::{How, Knobs, Rule, Table};

/// The rules of one convolution.
macro_rules! convolution {
    ($ours:literal, $theirs:literal) => {
        [
            rule(concat!($ours, ".weight"), &[concat!($theirs, "/kernel")], HWIO),
            rule(concat!($ours, ".bias"), &[concat!($theirs, "/bias")], How::Copy),
        ]
    };
}

const STEM: [Rule; 2] = convolution!("stem.conv", "conv1_conv");
const FIRST: [Rule; 4] = norm!("stages.{s}.blocks.{b}.norm1", "conv{s+2}_block{b+1}_preact_bn");
const NORM: [Rule; 4] = norm!("stages.{s}.blocks.{b}.norm{c}", "conv{s+2}_block{b+1}_{c-1}_bn");
const SHORTCUT: [Rule; 2] = convolution!("stages.{s}.blocks.{b}.downsample.conv", "conv{s+2}_block{b+1}_0_conv");
const BLOCK: [Rule; 2] = convolution!("stages.{s}.blocks.{b}.conv{c}", "conv{s+2}_block{b+1}_{c}_conv");
const LAST: [Rule; 4] = norm!("norm", "post_bn");
const HEAD: [Rule; 2] = [
    rule("head.fc.weight", &["predictions/kernel"], How::Pixel),
    rule("head.fc.bias", &["predictions/bias"], How::Copy),
];

static RULES: [Rule; 20] = join(&[&STEM, &FIRST, &NORM, &BLOCK, &SHORTCUT, &LAST, &HEAD]);

pub(crate) static TABLE: Table = Table {
    name: "keras_resnet_v2",
    about: "Keras applications, ResNet V2",
    signs: &[&["conv{s}_block{b}_preact_bn/gamma", "conv2_block1_0_conv/kernel", "post_bn/moving_variance"]],
    optional_suffix: ":0",
    rules: &RULES,
    knobs: Knobs { bn_eps: 1.001e-5, stride_in_last_block: true, stem_pool_zeros: true, ..Knobs::STANDARD },
    preprocess: "inception_224",
    ..Table::EMPTY
};
