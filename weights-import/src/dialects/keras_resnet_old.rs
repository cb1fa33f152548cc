//! Keras applications, ResNet-50 of the first generation: `res2a_branch2a`, `bn2a_branch2a`.
//!
//! As `keras_resnet`, with other names and a batch norm eps of 1e-3. Source: keras-applications 1.0 `resnet50.py`.

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

const STEM: [Rule; 6] = convolution!("conv1", "bn1", "conv1", "bn_conv1");
const BLOCK: [Rule; 6] = convolution!(
    "layer{s}.{b}.conv{c}",
    "layer{s}.{b}.bn{c}",
    "res{s+1}{b:a}_branch2{c-1:a}",
    "bn{s+1}{b:a}_branch2{c-1:a}"
);
const SHORTCUT: [Rule; 6] = convolution!(
    "layer{s}.{b}.downsample.0",
    "layer{s}.{b}.downsample.1",
    "res{s+1}{b:a}_branch1",
    "bn{s+1}{b:a}_branch1"
);
const FC: [Rule; 2] = [rule("fc.weight", &["fc1000/kernel"], TRANSPOSED), rule("fc.bias", &["fc1000/bias"], How::Copy)];

static RULES: [Rule; 20] = join(&[&STEM, &SHORTCUT, &BLOCK, &FC]);

pub(crate) static TABLE: Table = Table {
    name: "keras_resnet_old",
    about: "Keras applications, ResNet-50 of the first generation",
    signs: &[&["res{s}{b:a}_branch2a/kernel", "bn{s}{b:a}_branch2a/moving_variance"]],
    optional_suffix: ":0",
    rules: &RULES,
    knobs: Knobs { bn_eps: 1e-3, stride_on_1x1: true, ..Knobs::STANDARD },
    preprocess: "keras_bgr",
    ..Table::EMPTY
};
