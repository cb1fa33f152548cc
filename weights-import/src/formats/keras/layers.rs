//! Keras 1 and 2 (and 3, asked for the old format): a group for each layer. The attribute `layer_names` tells the order of
//! the layers, `weight_names` of a layer's group the order and names of its weights; long lists are cut into `layer_names0`,
//! `layer_names1` ... All that is within `model_weights` if the model is there, too: its configuration is then an attribute
//! of the root. Source: keras 3.15 `legacy/saving/legacy_h5_format.py`.

use super::Listing;
use crate::hdf5::{Object, Texts};
use crate::{Error, Result};
use std::collections::BTreeMap;

const LAYERS: &str = "layer_names";
const WEIGHTS: &str = "weight_names";
const MODEL: &str = "model_weights";
const OPTIMISER: &str = "optimizer_weights";
/// Weights of no layer.
const TOP: &str = "top_level_model_weights";

/// Attributes that become metadata.
const SAID: &[&str] = &["backend", "keras_version", "model_config", "training_config"];

/// Lists the weights of all layers, and of the optimiser; false if the file is not of this kind.
pub(super) fn list(listing: &mut Listing<'_>, root: &Object) -> Result<bool> {
    let nodes = &listing.tree.nodes;
    let by_path: BTreeMap<&str, usize> = nodes.iter().enumerate().map(|(i, node)| (node.path.as_str(), i)).collect();
    let wanted = |name: &str| name.starts_with(LAYERS) || SAID.contains(&name);
    let outer = listing.file.texts(root, &wanted)?;
    let inner = match by_path.get(MODEL) {
        Some(&node) => listing.file.texts(&listing.file.object(nodes[node].address)?, &wanted)?,
        None => Texts::new(),
    };
    let (names, prefix) = match (joined(&inner, LAYERS), joined(&outer, LAYERS)) {
        (Some(names), _) => (names, format!("{MODEL}/")),
        (None, Some(names)) => (names, String::new()),
        (None, None) => return Ok(false),
    };
    for key in SAID {
        if let Some([text]) = outer.get(*key).or_else(|| inner.get(*key)).map(Vec::as_slice) {
            listing.catalogue.say((*key).to_string(), text.as_str())?;
        }
    }

    let broken = |message: String| -> Error { listing.file.broken(message) };
    let group = |path: &str| by_path.get(path).map(|&node| &nodes[node]);
    // Of each layer the weights, as name and node.
    let mut all: Vec<(&str, Vec<(String, usize)>)> = Vec::new();
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    let weights = |path: &str| -> Result<Option<Vec<(String, usize)>>> {
        let Some(node) = group(path) else { return Ok(None) };
        let texts = listing.file.texts(&listing.file.object(node.address)?, &|name| name.starts_with(WEIGHTS))?;
        let mut weights = Vec::new();
        for name in joined(&texts, WEIGHTS).unwrap_or_default() {
            listing.file.charge((path.len() + 2 * name.len()) as u64 + 128)?;
            match by_path.get(format!("{path}/{name}").as_str()) {
                Some(&node) => weights.push((name, node)),
                None => return Err(broken(format!("the weight {name} that {path} names is not there"))),
            }
        }
        Ok(Some(weights))
    };
    for layer in names.iter().map(String::as_str).chain([TOP]) {
        match weights(&format!("{prefix}{layer}"))? {
            Some(weights) => {
                weights.iter().for_each(|(name, _)| *count.entry(name.clone()).or_default() += 1);
                all.push((layer, weights));
            }
            None if layer == TOP => {}
            None => return Err(broken(format!("the layer {layer} that it names is not there"))),
        }
    }
    let optimiser = weights(OPTIMISER)?;
    for (layer, weights) in all {
        for (name, node) in weights {
            // Layers of nested models may have equal names.
            let twice = count.get(&name).is_some_and(|&count| count > 1);
            listing.add(if twice { format!("{layer}/{name}") } else { name }, node)?;
        }
    }
    for (name, node) in optimiser.into_iter().flatten() {
        listing.add(format!("{OPTIMISER}/{name}"), node)?;
    }
    Ok(true)
}

/// The list of an attribute, which may be cut into several.
fn joined(texts: &Texts, name: &str) -> Option<Vec<String>> {
    if let Some(list) = texts.get(name) {
        return Some(list.clone());
    }
    let parts = (0..).map_while(|part: usize| texts.get(&format!("{name}{part}")));
    let list: Vec<String> = parts.flatten().cloned().collect();
    (!list.is_empty()).then_some(list)
}
