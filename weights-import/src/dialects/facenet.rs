//! facenet-pytorch, Inception-ResNet v1: the names our model has itself.
//!
//! Batch norms have an eps of 1e-3. Images are faces of 160x160, RGB less 127.5, by 128. Source: facenet-pytorch 2.6
//! `models/inception_resnet_v1.py`.

use super::rule;
use crate::dialect::{How, Knobs, Table};

pub(crate) static TABLE: Table = Table {
    name: "facenet",
    about: "facenet-pytorch, Inception-ResNet v1",
    signs: &[&["conv2d_4b.conv.weight", "repeat_3.0.conv2d.weight", "last_bn.running_var"]],
    rules: &[rule("{*}", &["{*}"], How::Copy)],
    ignored: &[("{*}num_batches_tracked", "counts training steps, which no computation uses")],
    knobs: Knobs { bn_eps: 1e-3, ..Knobs::STANDARD },
    preprocess: "facenet",
    ..Table::EMPTY
};
