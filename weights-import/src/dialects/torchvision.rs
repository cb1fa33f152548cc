//! torchvision and timm: the names our models have themselves.
//!
//! Source: torchvision 0.2x `models/resnet.py`.

use crate::dialect::{How, Knobs, Rule, Table};

pub(crate) static TABLE: Table = Table {
    name: "torchvision",
    about: "torchvision, and timm where it follows torchvision",
    signs: &[&["layer{s}.{b}.conv{c}.weight", "layer{s}.{b}.bn{c}.running_var"]],
    optional_prefix: "",
    rules: &[Rule { target: "{*}", sources: &["{*}"], how: How::Copy }],
    ignored: &[("{*}num_batches_tracked", "counts training steps, which no computation uses")],
    tied: &[],
    leading_ones: false,
    knobs: Knobs::STANDARD,
    preprocess: "imagenet",
    tune: None,
};
