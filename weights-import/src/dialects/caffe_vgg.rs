//! Caffe VGG of its authors: `conv1_1`, `fc6`.
//!
//! Kernels are (out, in, H, W) as ours; linear layers count channels first. Images are BGR of 0 to 255 less the means.
//! Source: `VGG_ILSVRC_16_layers_deploy.prototxt`.

use super::{rule, vgg};
use crate::dialect::{How, Mapping, Named, Table};

pub(crate) static TABLE: Table = Table {
    name: "caffe_vgg",
    about: "Caffe VGG of its authors",
    signs: &[&["conv1_1.0", "conv5_{c}.0", "conv3_{c}.0"]],
    rules: &[
        rule("classifier.0.weight", &["fc6.0"], How::Copy),
        rule("classifier.0.bias", &["fc6.1"], How::Copy),
        rule("classifier.3.weight", &["fc7.0"], How::Copy),
        rule("classifier.3.bias", &["fc7.1"], How::Copy),
        rule("classifier.6.weight", &["fc8.0"], How::Copy),
        rule("classifier.6.bias", &["fc8.1"], How::Copy),
    ],
    map: Some(map),
    leading_ones: true,
    preprocess: "caffe_bgr",
    ..Table::EMPTY
};

fn map(names: &[Named<'_>]) -> Vec<Mapping> {
    vgg::features(names, "conv{s}_{c}.0", "conv{s}_{c}.1", How::Copy)
}
