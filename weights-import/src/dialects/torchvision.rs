//! torchvision and timm: the names our models have themselves.
//!
//! Source: torchvision 0.2x `models/resnet.py`, `vgg.py`, `inception.py`, `googlenet.py`. The Inceptions' batch norms have an
//! eps of 1e-3.

use super::rule;
use crate::dialect::{How, Knobs, Table};
use crate::{Result, Weights};

pub(crate) static TABLE: Table = Table {
    name: "torchvision",
    about: "torchvision, and timm where it follows torchvision",
    signs: &[
        &["layer{s}.{b}.conv{c}.weight", "layer{s}.{b}.bn{c}.running_var"],
        &["features.0.weight", "classifier.{n}.weight"],
        &["Conv2d_1a_3x3.conv.weight", "Mixed_5b.branch1x1.bn.running_var"],
        &["inception3a.branch1.conv.weight", "inception3a.branch1.bn.running_var"],
    ],
    rules: &[rule("{*}", &["{*}"], How::Copy)],
    ignored: &[("{*}num_batches_tracked", "counts training steps, which no computation uses")],
    preprocess: "imagenet",
    tune: Some(tune),
    ..Table::EMPTY
};

fn tune(weights: &Weights, knobs: &mut Knobs) -> Result<()> {
    let inception =
        |name: &str| name.ends_with("Mixed_5b.branch1x1.bn.weight") || name.ends_with("inception3a.branch1.bn.weight");
    if weights.entries().iter().any(|e| inception(&e.name)) {
        knobs.bn_eps = 1e-3;
    }
    Ok(())
}
