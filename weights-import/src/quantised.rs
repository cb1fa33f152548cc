//! Quantisations of large models, which keep one matrix as several tensors. They are known by name only to say what they are.

use crate::Weights;
use std::collections::BTreeSet;

/// Endings that tensors of one layer have, and who writes them.
const SCHEMES: &[(&[&str], &str)] = &[
    (&["qweight", "qzeros", "scales", "g_idx"], "GPTQ"),
    (&["qweight", "qzeros", "scales"], "AWQ or GPTQ"),
    (&["weight", "weight.absmax", "weight.quant_map"], "bitsandbytes, 4 bits"),
    (&["weight", "SCB"], "bitsandbytes, 8 bits"),
    (&["weight_packed", "weight_scale"], "compressed-tensors"),
    (&["weight", "weight_scale_inv"], "FP8 in blocks"),
];

/// What is said of a file that has such a layer.
pub(crate) fn words(weights: &Weights) -> Option<String> {
    let names: BTreeSet<&str> = weights.entries().iter().map(|entry| entry.name.as_str()).collect();
    SCHEMES.iter().find_map(|(endings, scheme)| {
        let last = endings[endings.len() - 1];
        let layer = names
            .iter()
            .filter_map(|name| name.strip_suffix(last)?.strip_suffix('.'))
            .find(|layer| endings.iter().all(|ending| names.contains(format!("{layer}.{ending}").as_str())))?;
        Some(format!(
            "{layer} is quantised ({scheme}: {}), which is not read; take the file that it was quantised from",
            endings.join(", ")
        ))
    })
}
