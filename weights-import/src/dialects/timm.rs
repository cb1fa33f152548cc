//! timm, where it differs from torchvision: the stems of three convolutions (ResNet-C, -D) with pooled shortcuts, and
//! VGG's classifier as convolutions.
//!
//! Source: timm 1.0 `models/resnet.py`, `models/vgg.py`. What timm names as torchvision does is read as torchvision.

use super::rule;
use crate::dialect::{How, Table};

pub(crate) static TABLE: Table = Table {
    name: "timm",
    about: "timm, where it differs from torchvision",
    signs: &[&["features.0.weight", "pre_logits.fc1.weight"], &["conv1.0.weight", "layer{s}.{b}.conv{c}.weight"]],
    rules: &[
        rule("classifier.0.weight", &["pre_logits.fc1.weight"], How::Flatten(&[0, 1, 2, 3])),
        rule("classifier.3.weight", &["pre_logits.fc2.weight"], How::Flatten(&[0, 1, 2, 3])),
        rule("classifier.0.bias", &["pre_logits.fc1.bias"], How::Copy),
        rule("classifier.3.bias", &["pre_logits.fc2.bias"], How::Copy),
        rule("classifier.6.weight", &["head.fc.weight"], How::Copy),
        rule("classifier.6.bias", &["head.fc.bias"], How::Copy),
        rule("{*}", &["{*}"], How::Copy),
    ],
    ignored: &[("{*}num_batches_tracked", "counts training steps, which no computation uses")],
    preprocess: "imagenet",
    ..Table::EMPTY
};
