//! VGG of Keras exported to ONNX by tf2onnx: `block1_conv1_1/convolution/ReadVariableOp:0`.
//!
//! The exporter turns kernels to (out, in, H, W) and folds biases to `Squeeze:0` (Keras 3) or leaves them as
//! `BiasAdd/ReadVariableOp:0`. The layers after the last convolution are whatever was put there, so that no classifier is
//! mapped. Images are those of the program around it.

use super::vgg;
use crate::dialect::{How, Mapping, Named, Table};

pub(crate) static TABLE: Table = Table {
    name: "keras_vgg_onnx",
    about: "VGG of Keras, exported to ONNX",
    signs: &[
        &["block1_conv1_1/convolution/ReadVariableOp", "block5_conv{c}_1/convolution/ReadVariableOp"],
        &["block1_conv1/Conv2D/ReadVariableOp", "block5_conv{c}/Conv2D/ReadVariableOp"],
    ],
    optional_suffix: ":0",
    map: Some(map),
    ..Table::EMPTY
};

fn map(names: &[Named<'_>]) -> Vec<Mapping> {
    let forms = [
        ("block{s}_conv{c}_1/convolution/ReadVariableOp", "block{s}_conv{c}_1/Squeeze"),
        ("block{s}_conv{c}/Conv2D/ReadVariableOp", "block{s}_conv{c}/BiasAdd/ReadVariableOp"),
    ];
    forms.iter().flat_map(|(weight, bias)| vgg::features(names, weight, bias, How::Copy)).collect()
}
