//! TF-slim, VGG: `vgg_16/conv1/conv1_1`, linear layers as convolutions.
//!
//! Images are RGB of 0 to 255 less the means. Source: tensorflow/models `slim/nets/vgg.py`.

use super::{HWIO, rule, vgg};
use crate::dialect::{How, Mapping, Named, Table};

pub(crate) static TABLE: Table = Table {
    name: "slim_vgg",
    about: "TF-slim, VGG",
    signs: &[&["conv1/conv1_1/weights", "conv5/conv5_{c}/weights"]],
    rules: &[
        rule("classifier.0.weight", &["fc6/weights"], How::Flatten(&[3, 2, 0, 1])),
        rule("classifier.0.bias", &["fc6/biases"], How::Copy),
        rule("classifier.3.weight", &["fc7/weights"], How::Flatten(&[3, 2, 0, 1])),
        rule("classifier.3.bias", &["fc7/biases"], How::Copy),
        rule("classifier.6.weight", &["fc8/weights"], How::Flatten(&[3, 2, 0, 1])),
        rule("classifier.6.bias", &["fc8/biases"], How::Copy),
    ],
    map: Some(map),
    ignored: super::SLIM_IGNORED,
    preprocess: "vgg_rgb",
    ..Table::EMPTY
};

fn map(names: &[Named<'_>]) -> Vec<Mapping> {
    vgg::features(names, "conv{s}/conv{s}_{c}/weights", "conv{s}/conv{s}_{c}/biases", HWIO)
}
