//! Caffe ResNets of their authors: `res2a_branch2a`, `bn2a_branch2a`, `scale2a_branch2a`; `res3b1`, `res4b22` in the
//! deeper ones.
//!
//! Batch norms are three blobs (sum of means, sum of variances, their weight) and a layer for scale and shift; only the
//! first convolution has a bias. The stride is at the first 1x1; the stem's pooling has no padding and rounds up.
//! Source: KaimingHe/deep-residual-networks `ResNet-50-deploy.prototxt`.

use super::{join, rule};
use crate::dialect::{How, Knobs, Rule, Table};

/// The rules of one convolution with its batch norm.
macro_rules! convolution {
    ($conv:literal, $bn:literal, $caffe:literal, $suffix:literal) => {
        [
            rule(concat!($conv, ".weight"), &[concat!($caffe, $suffix, ".0")], How::Copy),
            rule(concat!($bn, ".weight"), &[concat!("scale", $suffix, ".0")], How::Copy),
            rule(concat!($bn, ".bias"), &[concat!("scale", $suffix, ".1")], How::Copy),
            rule(
                concat!($bn, ".running_mean"),
                &[concat!("bn", $suffix, ".0"), concat!("bn", $suffix, ".2"), concat!($caffe, $suffix, ".1")],
                How::RatioMinus,
            ),
            rule(
                concat!($bn, ".running_mean"),
                &[concat!("bn", $suffix, ".0"), concat!("bn", $suffix, ".2")],
                How::Ratio,
            ),
            rule(
                concat!($bn, ".running_var"),
                &[concat!("bn", $suffix, ".1"), concat!("bn", $suffix, ".2")],
                How::Ratio,
            ),
        ]
    };
}

const STEM: [Rule; 6] = [
    rule("conv1.weight", &["conv1.0"], How::Copy),
    rule("bn1.weight", &["scale_conv1.0"], How::Copy),
    rule("bn1.bias", &["scale_conv1.1"], How::Copy),
    rule("bn1.running_mean", &["bn_conv1.0", "bn_conv1.2", "conv1.1"], How::RatioMinus),
    rule("bn1.running_mean", &["bn_conv1.0", "bn_conv1.2"], How::Ratio),
    rule("bn1.running_var", &["bn_conv1.1", "bn_conv1.2"], How::Ratio),
];
const BLOCK: [Rule; 6] = convolution!("layer{s}.{b}.conv{c}", "layer{s}.{b}.bn{c}", "res", "{s+1}{b:a}_branch2{c-1:a}");
const DEEP: [Rule; 6] = convolution!("layer{s}.{b}.conv{c}", "layer{s}.{b}.bn{c}", "res", "{s+1}b{b}_branch2{c-1:a}");
const SHORTCUT: [Rule; 6] =
    convolution!("layer{s}.{b}.downsample.0", "layer{s}.{b}.downsample.1", "res", "{s+1}{b:a}_branch1");
const FC: [Rule; 2] = [rule("fc.weight", &["fc1000.0"], How::Copy), rule("fc.bias", &["fc1000.1"], How::Copy)];

static RULES: [Rule; 26] = join(&[&STEM, &SHORTCUT, &BLOCK, &DEEP, &FC]);

pub(crate) static TABLE: Table = Table {
    name: "caffe_msra",
    about: "Caffe ResNets of their authors",
    signs: &[&["res{s}{b:a}_branch2a.0", "bn{s}{b:a}_branch2a.2", "scale{s}{b:a}_branch2a.0"]],
    rules: &RULES,
    leading_ones: true,
    knobs: Knobs { stride_on_1x1: true, stem_pool_padding: [0; 4], stem_pool_ceil: true, ..Knobs::STANDARD },
    preprocess: "caffe_bgr",
    ..Table::EMPTY
};
