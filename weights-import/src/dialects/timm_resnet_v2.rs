//! timm, ResNet V2: `stages.0.blocks.0.norm1`, the names our model has itself.
//!
//! Those of batch norms; the Big Transfer networks (`_bit`) have group norms and other convolutions. Images are RGB of -1 to
//! 1. Source: timm 1.0 `models/resnetv2.py`.

use super::rule;
use crate::dialect::{How, Table};

pub(crate) static TABLE: Table = Table {
    name: "timm_resnet_v2",
    about: "timm, ResNet V2",
    signs: &[&["stages.{s}.blocks.{b}.conv{c}.weight", "stages.0.blocks.0.norm1.running_var", "norm.running_var"]],
    rules: &[rule("{*}", &["{*}"], How::Copy)],
    ignored: &[("{*}num_batches_tracked", "counts training steps, which no computation uses")],
    preprocess: "inception_224",
    ..Table::EMPTY
};
