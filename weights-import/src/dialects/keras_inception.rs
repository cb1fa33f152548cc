//! Keras applications, Inception v3: `conv2d_17`, `batch_normalization_17`.
//!
//! The layers are numbered as they were made, from any number on; batch norms have no scale. Images are RGB of -1 to 1.
//! Average pools do not count the padding. Source: keras 3 `applications/inception_v3.py` (batch norm eps 1e-3).

use super::inception_v3::CONVOLUTIONS;
use super::{HWIO, TRANSPOSED, rule};
use crate::dialect::{How, Knobs, Mapping, Named, Table};
use crate::pattern::matches;

pub(crate) static TABLE: Table = Table {
    name: "keras_inception",
    about: "Keras applications, Inception v3",
    signs: &[&["conv2d_{n}/kernel", "batch_normalization_{n}/moving_variance"]],
    when: Some(|names| !map(names).is_empty()),
    optional_suffix: ":0",
    rules: &[rule("fc.weight", &["predictions/kernel"], TRANSPOSED), rule("fc.bias", &["predictions/bias"], How::Copy)],
    map: Some(map),
    knobs: Knobs { bn_eps: 1e-3, pool_counts_padding: false, ..Knobs::STANDARD },
    preprocess: "inception",
    ..Table::EMPTY
};

/// The number of a layer: 0 for the first, which has none.
fn number(layer: &str, kind: &str) -> Option<usize> {
    match layer.strip_prefix(kind)? {
        "" => Some(0),
        rest => rest.strip_prefix('_').filter(|_| matches("{n}", &rest[1..]).is_some())?.parse().ok(),
    }
}

fn map(names: &[Named<'_>]) -> Vec<Mapping> {
    let ours: Vec<&str> = CONVOLUTIONS.iter().map(|(ours, _)| *ours).collect();
    numbered(names, &ours)
}

/// The mappings of `ours`, convolutions with their norms in the order in which the source builds them, to as many
/// convolutions and norms that are numbered in that order; none where their number is another.
pub(super) fn numbered(names: &[Named<'_>], ours: &[impl AsRef<str>]) -> Vec<Mapping> {
    let layers = |kind: &str, ending: &str| {
        let layers = names.iter().filter_map(|(name, _)| name.strip_suffix(ending));
        let mut found: Vec<(usize, &str)> = layers.filter_map(|l| Some((number(l, kind)?, l))).collect();
        found.sort_unstable();
        found
    };
    let convolutions = layers("conv2d", "/kernel");
    let norms = layers("batch_normalization", "/moving_mean");
    if convolutions.len() != ours.len() || norms.len() != ours.len() {
        return Vec::new();
    }
    let pairs = ours.iter().zip(convolutions.iter().zip(&norms));
    pairs.flat_map(|(ours, ((_, conv), (_, norm)))| pair(names, ours.as_ref(), conv, norm)).collect()
}

/// The mappings of one convolution without bias and its norm, which may have no scale.
pub(super) fn pair(names: &[Named<'_>], ours: &str, convolution: &str, norm: &str) -> [Mapping; 5] {
    let one = |ending: &str, sources: Vec<String>, how| Mapping { target: format!("{ours}.{ending}"), sources, how };
    let gamma = format!("{norm}/gamma");
    let scale = match names.iter().any(|(name, _)| *name == gamma) {
        true => one("bn.weight", vec![gamma], How::Copy),
        false => one("bn.weight", Vec::new(), How::Fill(1.0)),
    };
    [
        one("conv.weight", vec![format!("{convolution}/kernel")], HWIO),
        scale,
        one("bn.bias", vec![format!("{norm}/beta")], How::Copy),
        one("bn.running_mean", vec![format!("{norm}/moving_mean")], How::Copy),
        one("bn.running_var", vec![format!("{norm}/moving_variance")], How::Copy),
    ]
}
