//! Caffe GoogLeNet (BVLC): `conv1/7x7_s2`, `inception_3a/1x1`.
//!
//! Its convolutions have biases and no batch norm: a batch norm that only adds the bias does the same (scale 1, mean 0,
//! variance 1 - eps). Its 5x5 branches are 5x5, torchvision's are 3x3. Images are BGR of 0 to 255 less the means.
//! Source: BVLC/caffe `models/bvlc_googlenet/deploy.prototxt`.

use super::{join, rule};
use crate::dialect::{How, Knobs, Rule, Table};

const EPS: f32 = 1e-3;

/// The rules of one convolution.
macro_rules! convolution {
    ($ours:literal, $caffe:literal) => {
        [
            rule(concat!($ours, ".conv.weight"), &[concat!($caffe, ".0")], How::Copy),
            rule(concat!($ours, ".bn.bias"), &[concat!($caffe, ".1")], How::Copy),
        ]
    };
}

const STEM_1: [Rule; 2] = convolution!("conv1", "conv1/7x7_s2");
const STEM_2: [Rule; 2] = convolution!("conv2", "conv2/3x3_reduce");
const STEM_3: [Rule; 2] = convolution!("conv3", "conv2/3x3");
const BRANCH_1: [Rule; 2] = convolution!("inception{s}{c:a}.branch1", "inception_{s}{c:a}/1x1");
const BRANCH_2A: [Rule; 2] = convolution!("inception{s}{c:a}.branch2.0", "inception_{s}{c:a}/3x3_reduce");
const BRANCH_2B: [Rule; 2] = convolution!("inception{s}{c:a}.branch2.1", "inception_{s}{c:a}/3x3");
const BRANCH_3A: [Rule; 2] = convolution!("inception{s}{c:a}.branch3.0", "inception_{s}{c:a}/5x5_reduce");
const BRANCH_3B: [Rule; 2] = convolution!("inception{s}{c:a}.branch3.1", "inception_{s}{c:a}/5x5");
const BRANCH_4: [Rule; 2] = convolution!("inception{s}{c:a}.branch4.1", "inception_{s}{c:a}/pool_proj");
const AUX: [Rule; 8] = [
    rule("aux{n}.conv.conv.weight", &["loss{n}/conv.0"], How::Copy),
    rule("aux{n}.conv.bn.bias", &["loss{n}/conv.1"], How::Copy),
    rule("aux{n}.fc1.weight", &["loss{n}/fc.0"], How::Copy),
    rule("aux{n}.fc1.bias", &["loss{n}/fc.1"], How::Copy),
    rule("aux{n}.fc2.weight", &["loss{n}/classifier.0"], How::Copy),
    rule("aux{n}.fc2.bias", &["loss{n}/classifier.1"], How::Copy),
    rule("fc.weight", &["loss3/classifier.0"], How::Copy),
    rule("fc.bias", &["loss3/classifier.1"], How::Copy),
];
const FILLED: [Rule; 3] = [
    rule("{*}.bn.weight", &[], How::Fill(1.0)),
    rule("{*}.bn.running_mean", &[], How::Fill(0.0)),
    rule("{*}.bn.running_var", &[], How::Fill(1.0 - EPS)),
];

static RULES: [Rule; 29] = join(&[
    &STEM_1, &STEM_2, &STEM_3, &BRANCH_1, &BRANCH_2A, &BRANCH_2B, &BRANCH_3A, &BRANCH_3B, &BRANCH_4, &AUX, &FILLED,
]);

pub(crate) static TABLE: Table = Table {
    name: "caffe_googlenet",
    about: "Caffe GoogLeNet (BVLC)",
    signs: &[&["conv1/7x7_s2.0", "inception_3a/5x5_reduce.0"]],
    rules: &RULES,
    leading_ones: true,
    knobs: Knobs { bn_eps: 1e-3, ..Knobs::STANDARD },
    preprocess: "caffe_bgr",
    ..Table::EMPTY
};
