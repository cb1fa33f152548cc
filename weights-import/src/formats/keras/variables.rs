//! Keras 3: the variables of the layer at `<path>` are `<path>/vars/0`, `<path>/vars/1` ..., without names. Where the
//! class of the layer is known they get the names that Keras 2 gave them, `<layer>/kernel:0`; the others keep their path.
//! An archive's configuration tells class and name. Without one (`.weights.h5`) the folder tells the class, and an attribute
//! of `vars` the name, which then is `layer.<path>` in the metadata, too. Source: keras 3.15 `saving/saving_lib.py`.

use super::Listing;
use super::config::{self, Layer};
use crate::Result;
use crate::hdf5::Kind;
use std::collections::BTreeMap;

/// Lists the variables of the layers, in their order, then all others; false if there are no variables.
pub(super) fn list(listing: &mut Listing<'_>, layers: &[Layer]) -> Result<bool> {
    let nodes = &listing.tree.nodes;
    // The folders of variables: the numbers and nodes of each.
    let mut folders: BTreeMap<&str, Vec<(u64, usize)>> = BTreeMap::new();
    let mut names = Vec::new();
    for (node, about) in nodes.iter().enumerate() {
        let Some((folder, last)) = about.path.rsplit_once('/') else { continue };
        let vars = |folder: &str| folder == "vars" || folder.ends_with("/vars");
        match (about.kind, last.parse()) {
            (Kind::Dataset(_), Ok(number)) if vars(folder) => folders.entry(folder).or_default().push((number, node)),
            (Kind::Group, _) if last == "vars" => names.push((folder, about.address)),
            _ => {}
        }
    }
    if folders.is_empty() {
        return Ok(false);
    }
    folders.values_mut().for_each(|variables| variables.sort_unstable());
    let mut told = Vec::new();
    if layers.is_empty() {
        let mut named = Vec::new();
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for (path, address) in
            names.into_iter().filter(|(path, _)| folders.contains_key(format!("{path}/vars").as_str()))
        {
            let texts = listing.file.texts(&listing.file.object(address)?, &|name| name == "name")?;
            if let Some([name]) = texts.get("name").map(Vec::as_slice) {
                listing.catalogue.say(format!("layer.{path}"), name.as_str())?;
                *count.entry(name.clone()).or_default() += 1;
                named.push((path, name.clone()));
            }
        }
        // Layers of nested models may have equal names.
        for (path, name) in named.into_iter().filter(|(_, name)| count.get(name) == Some(&1)) {
            let number = folders.get(format!("{path}/vars").as_str()).map_or(0, Vec::len);
            told.extend(config::by_folder(path, name, number));
        }
    }
    let layers = if layers.is_empty() { &told } else { layers };
    // Before Keras 3 the lists of layers had another name.
    let usual: BTreeMap<String, &str> =
        folders.keys().map(|&folder| (folder.replace("_layer_checkpoint_dependencies", "layers"), folder)).collect();
    for layer in layers {
        let Some(folder) = usual.get(format!("{}/vars", layer.path).as_str()) else { continue };
        let Some(variables) = folders.get(folder).filter(|all| all.len() == layer.variables.len()) else { continue };
        for (&(_, node), variable) in variables.iter().zip(&layer.variables) {
            listing.add(format!("{}/{variable}:0", layer.name), node)?;
        }
    }
    for (folder, variables) in &folders {
        for &(number, node) in variables {
            if !listing.listed.contains_key(&node) {
                listing.add(format!("{folder}/{number}"), node)?;
            }
        }
    }
    Ok(true)
}
