//! open_nsfw's ResNet, brought from Caffe to TensorFlow and exported to ONNX by tf2onnx: `..._branch2a/BiasAdd_weights_fused_bn`.
//!
//! Batch norms are folded into the convolutions before them, so y = conv(x) + b. The same by a batch norm: scale 1, shift b,
//! mean 0, and a variance of 1 - eps. The 3x3 convolutions lost their names; the exporter numbers them in the order of the
//! graph (`Conv__450`). Images are those of [`super::caffe_resnet`]; so are stride and pool.

use super::{caffe_resnet, join, rule};
use crate::dialect::{How, Knobs, Mapping, Named, Rule, Table};

const EPS: f64 = Knobs::STANDARD.bn_eps;

/// The rules of one convolution with the norm that was folded into it.
macro_rules! folded {
    ($conv:literal, $bn:literal, $theirs:literal) => {
        [
            rule(concat!($conv, ".weight"), &[concat!("conv_stage", $theirs, "/BiasAdd_weights_fused_bn")], How::Copy),
            rule(concat!($bn, ".bias"), &[concat!("conv_stage", $theirs, "/BiasAdd_bias_fused_bn")], How::Copy),
        ]
    };
}

const A: [Rule; 2] = folded!("layer{s}.{b}.conv1", "layer{s}.{b}.bn1", "{s-1}_block{b}_branch2a");
const C: [Rule; 2] = folded!("layer{s}.{b}.conv3", "layer{s}.{b}.bn3", "{s-1}_block{b}_branch2c");
const SHORTCUT: [Rule; 2] =
    folded!("layer{s}.{b}.downsample.0", "layer{s}.{b}.downsample.1", "{s-1}_block{b}_proj_shortcut");
const REST: [Rule; 6] = [
    rule("fc.weight", &["fc_nsfw/MatMul/ReadVariableOp:0"], super::TRANSPOSED),
    rule("fc.bias", &["fc_nsfw/BiasAdd/ReadVariableOp:0"], How::Copy),
    rule("{*}bn{n}.weight", &[], How::Fill(1.0)),
    rule("{*}downsample.1.weight", &[], How::Fill(1.0)),
    rule("{*}.running_mean", &[], How::Fill(0.0)),
    rule("{*}.running_var", &[], How::Fill((1.0 - EPS) as f32)),
];

static RULES: [Rule; 12] = join(&[&A, &C, &SHORTCUT, &REST]);

pub(crate) static TABLE: Table = Table {
    name: "caffe_resnet_onnx",
    about: "open_nsfw, exported to ONNX with its batch norms folded",
    signs: &[&[
        "conv_stage{s}_block{b}_branch2a/BiasAdd_weights_fused_bn",
        "conv_stage0_block0_proj_shortcut/BiasAdd_weights_fused_bn",
        "Conv__{n}_weights_fused_bn",
    ]],
    rules: &RULES,
    map: Some(map),
    ignored: &[("new_shape__{n}", "is a shape of the graph"), ("const_fold_opt__{n}", "is a shape of the graph")],
    knobs: caffe_resnet::TABLE.knobs,
    preprocess: caffe_resnet::TABLE.preprocess,
    ..Table::EMPTY
};

/// The convolutions without names, by their numbers: the stem, then the 3x3 of each block.
fn map(names: &[Named<'_>]) -> Vec<Mapping> {
    let mut numbers: Vec<u32> = names
        .iter()
        .filter_map(|(name, _)| name.strip_prefix("Conv__")?.strip_suffix("_weights_fused_bn")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let mut blocks: Vec<(u16, u16)> = names
        .iter()
        .filter_map(|(name, _)| {
            let place = name.strip_prefix("conv_stage")?.strip_suffix("_branch2a/BiasAdd_weights_fused_bn")?;
            let (stage, block) = place.split_once("_block")?;
            Some((stage.parse().ok()?, block.parse().ok()?))
        })
        .collect();
    blocks.sort_unstable();
    let ours = blocks
        .iter()
        .map(|(s, b)| (format!("layer{}.{b}.conv2", u32::from(*s) + 1), format!("layer{}.{b}.bn2", u32::from(*s) + 1)));
    std::iter::once(("conv1".to_string(), "bn1".to_string()))
        .chain(ours)
        .zip(numbers)
        .flat_map(|((conv, bn), number)| {
            [(format!("{conv}.weight"), "weights"), (format!("{bn}.bias"), "bias")].map(|(target, what)| Mapping {
                target,
                sources: vec![format!("Conv__{number}_{what}_fused_bn")],
                how: How::Copy,
            })
        })
        .collect()
}
