//! TF-slim, ResNet v2: `resnet_v2_50/block1/unit_1/bottleneck_v2/preact`.
//!
//! The stride is at the 3x3 of a stage's last unit; the stem's pooling pads as TensorFlow's SAME does. Class 0 of 1,001 is
//! the background. Images are RGB of -1 to 1. Source: tensorflow/models `slim/nets/resnet_v2.py` (batch norm eps 1e-5).

use super::{HWIO, join, rule};
use crate::dialect::{How, Knobs, Rule, Table};

/// The rules of one convolution.
macro_rules! convolution {
    ($ours:literal, $theirs:literal) => {
        [
            rule(concat!($ours, ".weight"), &[concat!($theirs, "/weights")], HWIO),
            rule(concat!($ours, ".bias"), &[concat!($theirs, "/biases")], How::Copy),
        ]
    };
}

const STEM: [Rule; 2] = convolution!("stem.conv", "conv1");
const FIRST: [Rule; 4] = norm!("stages.{s}.blocks.{b}.norm1", "block{s+1}/unit_{b+1}/bottleneck_v2/preact");
const NORM: [Rule; 4] =
    norm!("stages.{s}.blocks.{b}.norm{c}", "block{s+1}/unit_{b+1}/bottleneck_v2/conv{c-1}/BatchNorm");
const SHORTCUT: [Rule; 2] =
    convolution!("stages.{s}.blocks.{b}.downsample.conv", "block{s+1}/unit_{b+1}/bottleneck_v2/shortcut");
const BLOCK: [Rule; 2] = convolution!("stages.{s}.blocks.{b}.conv{c}", "block{s+1}/unit_{b+1}/bottleneck_v2/conv{c}");
const LAST: [Rule; 4] = norm!("norm", "postnorm");
const HEAD: [Rule; 2] = convolution!("head.fc", "logits");

static RULES: [Rule; 20] = join(&[&STEM, &FIRST, &NORM, &SHORTCUT, &BLOCK, &LAST, &HEAD]);

pub(crate) static TABLE: Table = Table {
    name: "slim_resnet_v2",
    about: "TF-slim, ResNet v2",
    signs: &[&["block{s}/unit_{b}/bottleneck_v2/conv1/weights", "block1/unit_1/bottleneck_v2/shortcut/weights"]],
    rules: &RULES,
    ignored: super::SLIM_IGNORED,
    knobs: Knobs { stride_in_last_block: true, same_padding: true, class_offset: 1, ..Knobs::STANDARD },
    preprocess: "inception",
    ..Table::EMPTY
};
