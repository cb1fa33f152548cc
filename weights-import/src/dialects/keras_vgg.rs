//! Keras applications, VGG-16 and -19: `block1_conv1`, `fc1`.
//!
//! Kernels are (H, W, in, out); the first linear layer's rows count height, width, channels. Images are BGR of 0 to 255
//! less the means. Source: keras 3 `applications/vgg16.py`.

use super::{HWIO, TRANSPOSED, rule, vgg};
use crate::dialect::{How, Mapping, Named, Table};

pub(crate) static TABLE: Table = Table {
    name: "keras_vgg",
    about: "Keras applications, VGG",
    signs: &[&["block1_conv1/kernel", "block5_conv{c}/kernel"]],
    optional_suffix: ":0",
    rules: &[
        rule("classifier.0.bias", &["fc1/bias"], How::Copy),
        rule("classifier.3.weight", &["fc2/kernel"], TRANSPOSED),
        rule("classifier.3.bias", &["fc2/bias"], How::Copy),
        rule("classifier.6.weight", &["predictions/kernel"], TRANSPOSED),
        rule("classifier.6.bias", &["predictions/bias"], How::Copy),
    ],
    map: Some(map),
    preprocess: "keras_bgr",
    ..Table::EMPTY
};

fn map(names: &[Named<'_>]) -> Vec<Mapping> {
    let mut mappings = vgg::features(names, "block{s}_conv{c}/kernel", "block{s}_conv{c}/bias", HWIO);
    // As many channels as the last convolution gives.
    let last = names.iter().rev().find(|(name, _)| name.starts_with("block5_conv") && name.ends_with("/kernel"));
    if let Some(&(_, &[.., channels])) = last {
        mappings.push(Mapping {
            target: "classifier.0.weight".to_string(),
            sources: vec!["fc1/kernel".to_string()],
            how: How::FlattenedHwc(channels),
        });
    }
    mappings
}
