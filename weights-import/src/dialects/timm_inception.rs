//! timm, Inception v4 and Inception-ResNet v2: the names our models have themselves.
//!
//! Average pools do not count the padding, batch norms have an eps of 1e-3, images are RGB of -1 to 1. Source: timm 1.0
//! `models/inception_v4.py`, `inception_resnet_v2.py`.

use super::rule;
use crate::dialect::{How, Knobs, Table};

pub(crate) static TABLE: Table = Table {
    name: "timm_inception",
    about: "timm, Inception v4 and Inception-ResNet v2",
    signs: &[
        &["features.0.conv.weight", "features.21.branch1_1a.conv.weight"],
        &["mixed_5b.branch0.conv.weight", "repeat_2.0.conv2d.weight"],
    ],
    rules: &[rule("{*}", &["{*}"], How::Copy)],
    ignored: &[("{*}num_batches_tracked", "counts training steps, which no computation uses")],
    knobs: Knobs { bn_eps: 1e-3, pool_counts_padding: false, ..Knobs::STANDARD },
    preprocess: "inception",
    ..Table::EMPTY
};
