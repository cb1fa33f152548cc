//! What the dialects of VGG share: where a convolution of a stage stands in torchvision's `features`.

use crate::dialect::{How, Mapping, Named};
use crate::pattern::{fill, matches};

/// Maps convolutions named by stage and place, e.g. `block{s}_conv{c}/kernel`, to `features.N`; both count from 1.
///
/// `features` has a layer for each convolution, its ReLU (and batch norm), and one for the pooling after each stage.
pub(super) fn features(names: &[Named<'_>], weight: &str, bias: &str, how: How) -> Vec<Mapping> {
    let last_in = |stage: usize| {
        let found = (1..=16).take_while(|place| {
            let wanted = named(weight, stage, *place);
            names.iter().any(|(name, _)| *name == wanted)
        });
        found.count()
    };
    let mut mappings = Vec::new();
    let mut number = 0;
    for stage in 1..=5 {
        for place in 1..=last_in(stage) {
            let map = |ending: &str, pattern: &str, how| Mapping {
                target: format!("features.{number}.{ending}"),
                sources: vec![named(pattern, stage, place)],
                how,
            };
            mappings.push(map("weight", weight, how));
            mappings.push(map("bias", bias, How::Copy));
            number += 2;
        }
        number += 1;
    }
    mappings
}

fn named(pattern: &str, stage: usize, place: usize) -> String {
    let numbers = format!("{stage} {place}");
    matches("{s} {c}", &numbers).and_then(|captures| fill(pattern, &captures)).unwrap_or_default()
}
