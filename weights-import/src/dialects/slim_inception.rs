//! TF-slim, Inception v3: `InceptionV3/Mixed_5b/Branch_0/Conv2d_0a_1x1`.
//!
//! Batch norms have no scale. Class 0 of 1,001 is the background. Images are RGB of -1 to 1. Source: tensorflow/models
//! `slim/nets/inception_v3.py`.

use super::inception_v3::CONVOLUTIONS;
use super::{HWIO, rule};
use crate::dialect::{How, Knobs, Mapping, Named, Table};

pub(crate) static TABLE: Table = Table {
    name: "slim_inception",
    about: "TF-slim, Inception v3",
    signs: &[&["Mixed_5c/Branch_1/Conv_1_0c_5x5/weights", "Conv2d_1a_3x3/BatchNorm/beta"]],
    rules: &[
        rule("fc.weight", &["Logits/Conv2d_1c_1x1/weights"], How::Flatten(&[3, 2, 0, 1])),
        rule("fc.bias", &["Logits/Conv2d_1c_1x1/biases"], How::Copy),
        rule("AuxLogits.fc.weight", &["AuxLogits/Conv2d_2b_1x1/weights"], How::Flatten(&[3, 2, 0, 1])),
        rule("AuxLogits.fc.bias", &["AuxLogits/Conv2d_2b_1x1/biases"], How::Copy),
    ],
    map: Some(map),
    ignored: super::SLIM_IGNORED,
    knobs: Knobs { bn_eps: 1e-3, pool_counts_padding: false, class_offset: 1, ..Knobs::STANDARD },
    preprocess: "inception",
    ..Table::EMPTY
};

fn map(names: &[Named<'_>]) -> Vec<Mapping> {
    let gammas = names.iter().any(|(name, _)| name.ends_with("/BatchNorm/gamma"));
    let aux = [("AuxLogits.conv0", "AuxLogits/Conv2d_1b_1x1"), ("AuxLogits.conv1", "AuxLogits/Conv2d_2a_5x5")];
    let convolutions = CONVOLUTIONS.iter().chain(&aux);
    let map = |(ours, theirs): &(&str, &str)| {
        let one = |ending: &str, source: &str, how| Mapping {
            target: format!("{ours}.{ending}"),
            sources: vec![format!("{theirs}/{source}")],
            how,
        };
        let scale = match gammas {
            true => one("bn.weight", "BatchNorm/gamma", How::Copy),
            false => Mapping { sources: Vec::new(), ..one("bn.weight", "", How::Fill(1.0)) },
        };
        [
            one("conv.weight", "weights", HWIO),
            scale,
            one("bn.bias", "BatchNorm/beta", How::Copy),
            one("bn.running_mean", "BatchNorm/moving_mean", How::Copy),
            one("bn.running_var", "BatchNorm/moving_variance", How::Copy),
        ]
    };
    convolutions.flat_map(map).collect()
}
