//! Hugging Face transformers, ResNet.
//!
//! Source: transformers 4 and 5, `models/resnet/modeling_resnet.py`: `resnet.encoder.stages.S.layers.B.layer.C.convolution`.

use super::{join, rule};
use crate::dialect::{How, Rule, Table};

/// The rules of one convolution with its batch norm.
macro_rules! convolution {
    ($conv:literal, $bn:literal, $theirs:literal) => {
        [
            rule(concat!($conv, ".weight"), &[concat!($theirs, ".convolution.weight")], How::Copy),
            rule(concat!($bn, ".{*}"), &[concat!($theirs, ".normalization.{*}")], How::Copy),
        ]
    };
}

const STEM: [Rule; 2] = convolution!("conv1", "bn1", "resnet.embedder.embedder");
const BLOCK: [Rule; 2] =
    convolution!("layer{s}.{b}.conv{c}", "layer{s}.{b}.bn{c}", "resnet.encoder.stages.{s-1}.layers.{b}.layer.{c-1}");
const SHORTCUT: [Rule; 2] = convolution!(
    "layer{s}.{b}.downsample.0",
    "layer{s}.{b}.downsample.1",
    "resnet.encoder.stages.{s-1}.layers.{b}.shortcut"
);
const FC: [Rule; 1] = [rule("fc.{*}", &["classifier.1.{*}"], How::Copy)];

static RULES: [Rule; 7] = join(&[&STEM, &SHORTCUT, &BLOCK, &FC]);

pub(crate) static TABLE: Table = Table {
    name: "huggingface_resnet",
    about: "Hugging Face transformers, ResNet",
    signs: &[&["encoder.stages.{s}.layers.{b}.layer.{c}.convolution.weight", "embedder.embedder.convolution.weight"]],
    optional_prefix: "resnet.",
    rules: &RULES,
    ignored: &[("{*}num_batches_tracked", "counts training steps, which no computation uses")],
    preprocess: "imagenet",
    ..Table::EMPTY
};
