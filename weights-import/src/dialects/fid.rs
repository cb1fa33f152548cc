//! The Inception v3 that the Frechet inception distance is measured with: TensorFlow's of 2015, in torchvision's names.
//!
//! 1,008 classes, no auxiliary head; average pools do not count the padding, and the last block pools by maximum.
//! Source: pytorch-fid `inception.py`.

use super::rule;
use crate::dialect::{How, Knobs, Table};

pub(crate) static TABLE: Table = Table {
    name: "fid",
    about: "Inception v3 of the Frechet inception distance",
    signs: &[&["Mixed_7c.branch_pool.conv.weight", "Conv2d_1a_3x3.conv.weight", "fc.weight"]],
    when: Some(|names| names.iter().any(|(name, shape)| *name == "fc.weight" && **shape == [1008, 2048])),
    rules: &[rule("{*}", &["{*}"], How::Copy)],
    ignored: &[("{*}num_batches_tracked", "counts training steps, which no computation uses")],
    knobs: Knobs { bn_eps: 1e-3, pool_counts_padding: false, last_pool_max: true, class_offset: 1, ..Knobs::STANDARD },
    preprocess: "inception",
    ..Table::EMPTY
};
