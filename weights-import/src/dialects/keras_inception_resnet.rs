//! Keras applications, Inception-ResNet v2: `conv2d_17`, `batch_normalization_17`, and some with names, `block35_1_conv`.
//!
//! The layers without names are numbered as they were made, from any number on; batch norms have no scale. Average pools do
//! not count the padding. Images are RGB of -1 to 1. Source: keras 3 `applications/inception_resnet_v2.py` (batch norm eps
//! 1e-3).

use super::keras_inception::{numbered, pair};
use super::{HWIO, TRANSPOSED, join, rule};
use crate::dialect::{How, Knobs, Mapping, Named, Rule, Table};

/// The rules of the convolution at the end of a residual block, which has a bias.
macro_rules! last {
    ($ours:literal, $theirs:literal) => {
        [
            rule(concat!($ours, ".conv2d.weight"), &[concat!($theirs, "/kernel")], HWIO),
            rule(concat!($ours, ".conv2d.bias"), &[concat!($theirs, "/bias")], How::Copy),
        ]
    };
}

const BLOCK_35: [Rule; 2] = last!("repeat.{b}", "block35_{b+1}_conv");
const BLOCK_17: [Rule; 2] = last!("repeat_1.{b}", "block17_{b+1}_conv");
const BLOCK_8: [Rule; 2] = last!("repeat_2.{b}", "block8_{b+1}_conv");
const BLOCK_8_LAST: [Rule; 2] = last!("block8", "block8_10_conv");
const HEAD: [Rule; 2] = [
    rule("classif.weight", &["predictions/kernel"], TRANSPOSED),
    rule("classif.bias", &["predictions/bias"], How::Copy),
];

static RULES: [Rule; 10] = join(&[&BLOCK_35, &BLOCK_17, &BLOCK_8, &BLOCK_8_LAST, &HEAD]);

pub(crate) static TABLE: Table = Table {
    name: "keras_inception_resnet",
    about: "Keras applications, Inception-ResNet v2",
    signs: &[&["block35_{b}_conv/kernel", "block8_10_conv/kernel", "conv_7b_bn/moving_variance"]],
    when: Some(|names| !map(names).is_empty()),
    optional_suffix: ":0",
    rules: &RULES,
    map: Some(map),
    knobs: Knobs { bn_eps: 1e-3, pool_counts_padding: false, ..Knobs::STANDARD },
    preprocess: "inception",
    ..Table::EMPTY
};

/// Our names of the convolutions that Keras numbers, in its order.
fn convolutions() -> Vec<String> {
    let mut all: Vec<String> =
        ["conv2d_1a", "conv2d_2a", "conv2d_2b", "conv2d_3b", "conv2d_4a"].map(str::to_owned).to_vec();
    let mut block = |name: &str, parts: &[&str]| all.extend(parts.iter().map(|part| format!("{name}.{part}")));
    block("mixed_5b", &["branch0", "branch1.0", "branch1.1", "branch2.0", "branch2.1", "branch2.2", "branch3.1"]);
    for b in 0..10 {
        let parts = ["branch0", "branch1.0", "branch1.1", "branch2.0", "branch2.1", "branch2.2"];
        block(&format!("repeat.{b}"), &parts);
    }
    block("mixed_6a", &["branch0", "branch1.0", "branch1.1", "branch1.2"]);
    let two = ["branch0", "branch1.0", "branch1.1", "branch1.2"];
    (0..20).for_each(|b| block(&format!("repeat_1.{b}"), &two));
    let parts = ["branch0.0", "branch0.1", "branch1.0", "branch1.1", "branch2.0", "branch2.1", "branch2.2"];
    block("mixed_7a", &parts);
    (0..9).for_each(|b| block(&format!("repeat_2.{b}"), &two));
    block("block8", &two);
    all
}

fn map(names: &[Named<'_>]) -> Vec<Mapping> {
    let mut mappings = numbered(names, &convolutions());
    if !mappings.is_empty() {
        mappings.extend(pair(names, "conv2d_7b", "conv_7b", "conv_7b_bn"));
    }
    mappings
}
