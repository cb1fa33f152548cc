//! The ResNet of MLPerf Tiny as Keras saves it: `conv2d`, `conv2d_1`, ..., `batch_normalization`, `dense`.
//!
//! Layers have no names of their own, only numbers in the order in which they were made: the stem, then of each stage's block
//! the first 3x3, the second, and (from the second stage on) the shortcut's 1x1, which has no batch norm. Kernels are
//! (H, W, in, out). Source: `image_classification.py` of MLPerf Tiny; Keras' batch norms have an eps of 1e-3. The images there
//! are RGB of 0 to 255.

use super::{HWIO, TRANSPOSED};
use crate::dialect::{How, Knobs, Mapping, Named, Table};

pub(crate) static TABLE: Table = Table {
    name: "keras_cifar_resnet",
    about: "MLPerf Tiny's ResNet in Keras",
    signs: &[&["conv2d_{n}/kernel", "batch_normalization_{n}/moving_variance", "conv2d/kernel", "dense/kernel"]],
    when: Some(|names| !map(names).is_empty()),
    optional_suffix: ":0",
    map: Some(map),
    knobs: Knobs { bn_eps: 1e-3, conv_bias: true, same_padding: true, ..Knobs::STANDARD },
    ..Table::EMPTY
};

/// Our names of the convolutions in Keras' order, with those of their norms.
const LAYERS: [(&str, Option<&str>); 9] = [
    ("conv1", Some("bn1")),
    ("layer1.0.conv1", Some("layer1.0.bn1")),
    ("layer1.0.conv2", Some("layer1.0.bn2")),
    ("layer2.0.conv1", Some("layer2.0.bn1")),
    ("layer2.0.conv2", Some("layer2.0.bn2")),
    ("layer2.0.shortcut.0", None),
    ("layer3.0.conv1", Some("layer3.0.bn1")),
    ("layer3.0.conv2", Some("layer3.0.bn2")),
    ("layer3.0.shortcut.0", None),
];

/// The name of layer number `n` of a kind.
fn numbered(kind: &str, n: usize) -> String {
    if n == 0 { kind.to_string() } else { format!("{kind}_{n}") }
}

fn map(names: &[Named<'_>]) -> Vec<Mapping> {
    let shape = |name: &str| names.iter().find(|(n, _)| *n == name).map(|(_, shape)| *shape);
    let kernels = names.iter().filter(|(name, _)| name.starts_with("conv2d") && name.ends_with("/kernel")).count();
    // Width: the first kernel's channels out; each stage doubles it.
    let Some(&[3, 3, _, width]) = shape("conv2d/kernel") else { return Vec::new() };
    let mut mappings = Vec::new();
    let mut norms = 0;
    for (n, (conv, norm)) in LAYERS.iter().enumerate() {
        let stage = conv.strip_prefix("layer").and_then(|rest| rest[..1].parse::<u32>().ok()).unwrap_or(1);
        let (theirs, kernel) = (numbered("conv2d", n), if norm.is_some() { 3 } else { 1 });
        match shape(&format!("{theirs}/kernel")) {
            Some(&[h, w, _, out]) if h == kernel && w == kernel && Some(out) == width.checked_shl(stage - 1) => {}
            _ => return Vec::new(),
        }
        let mut one =
            |target: String, source: String, how| mappings.push(Mapping { target, sources: vec![source], how });
        one(format!("{conv}.weight"), format!("{theirs}/kernel"), HWIO);
        one(format!("{conv}.bias"), format!("{theirs}/bias"), How::Copy);
        if let Some(norm) = norm {
            let theirs = numbered("batch_normalization", norms);
            norms += 1;
            let pairs = [
                ("weight", "gamma"),
                ("bias", "beta"),
                ("running_mean", "moving_mean"),
                ("running_var", "moving_variance"),
            ];
            for (ours, name) in pairs {
                one(format!("{norm}.{ours}"), format!("{theirs}/{name}"), How::Copy);
            }
        }
    }
    if kernels != LAYERS.len() {
        return Vec::new();
    }
    mappings.push(Mapping { target: "linear.weight".into(), sources: vec!["dense/kernel".into()], how: TRANSPOSED });
    mappings.push(Mapping { target: "linear.bias".into(), sources: vec!["dense/bias".into()], how: How::Copy });
    mappings
}
