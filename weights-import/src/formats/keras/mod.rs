//! Keras, and HDF5 files of other programs: `.h5` of Keras 1 and 2 ([`layers`]), `.weights.h5` and `.keras` of Keras 3
//! ([`variables`]), and any HDF5 file, of which each data set of numbers is a tensor by its path.
//!
//! What is in no list of the file follows by its path, optimiser states included. Data sets that hold no numbers are
//! `skipped.<path>` in the metadata, with the reason. A `.keras` archive is checked as a whole when it is opened.

mod config;
mod layers;
mod variables;

use super::catalogue::Catalogue;
use crate::hdf5::{self, Dataset, File, Head, Kind, Tree};
use crate::zip::{self, Archive, Method};
use crate::{Entry, Error, Raw, Reader, Result, Source};
use std::collections::BTreeMap;

const ARCHIVE: &str = "keras";
const WEIGHTS: &str = "model.weights.h5";
const CONFIG: &str = "config.json";
const METADATA: &str = "metadata.json";

/// Most that a packed member may unpack to: this many times the archive's bytes, and [`SPARE`] more.
const RATIO: u64 = 4;
const SPARE: u64 = 8 << 20;

pub(super) fn probe(head: &[u8], _: &Source) -> bool {
    hdf5::start(head).is_some()
}

pub(super) fn probe_zip(head: &[u8], source: &Source) -> bool {
    let names = zip::names(head, source);
    let has = |name: &str| names.iter().any(|n| n == name);
    has(CONFIG) && (has(WEIGHTS) || has("model.weights.npz"))
}

#[derive(Debug)]
struct Keras {
    format: &'static str,
    head: Head,
    entries: Vec<Entry>,
    datasets: Vec<Dataset>,
    /// The data set of each entry.
    which: Vec<usize>,
    metadata: BTreeMap<String, String>,
}

pub(super) fn open(source: Source) -> Result<Box<dyn Reader>> {
    let head = Head::open(&source, source.len(), 0)?;
    let catalogue = Catalogue::new(source.name(), "HDF5", source.len());
    read(head, catalogue, None)
}

pub(super) fn open_zip(source: Source) -> Result<Box<dyn Reader>> {
    let archive = Archive::open(&source, ARCHIVE)?;
    let Some(member) = archive.find(WEIGHTS) else {
        let words = format!("is a Keras archive without {WEIGHTS}: save it from Keras with the weights as h5");
        return Err(Error::format(source.name(), words));
    };
    let most = source.len().saturating_mul(RATIO).saturating_add(SPARE);
    let names = [WEIGHTS, CONFIG, METADATA];
    if let Some(large) = names.iter().filter_map(|name| archive.find(name)).find(|member| member.size > most) {
        let words = format!("member {} claims to unpack to {} bytes: refused", large.name, large.size);
        return Err(Error::corrupt(source.name(), ARCHIVE, words));
    }
    archive.check(member)?;
    let resident = if member.method == Method::Stored { 0 } else { member.size };
    let mut catalogue = Catalogue::new(source.name(), ARCHIVE, source.len());
    let text = |name: &str| -> Result<Option<String>> {
        let Some(member) = archive.find(name) else { return Ok(None) };
        match String::from_utf8(archive.read(member)?) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Error::corrupt(source.name(), ARCHIVE, format!("member {name} is no text"))),
        }
    };
    for (key, value) in text(METADATA)?.and_then(|text| config::texts(&text).ok()).into_iter().flatten() {
        catalogue.say(key, value)?;
    }
    let config = text(CONFIG)?;
    let layers = match config.as_deref().map(config::layers) {
        Some(Ok(layers)) => layers,
        Some(Err(why)) => {
            catalogue.say(format!("skipped.{CONFIG}"), why)?;
            Vec::new()
        }
        None => Vec::new(),
    };
    if let Some(config) = config {
        catalogue.say("model_config".into(), config)?;
    }
    let head = Head::open(&archive.source(member)?, source.len(), resident)?;
    read(head, catalogue, Some(layers))
}

/// Names and order of the tensors of a file; of an archive, with the layers of its configuration.
fn read(head: Head, catalogue: Catalogue, archive: Option<Vec<config::Layer>>) -> Result<Box<dyn Reader>> {
    let file = head.file();
    let tree = file.tree()?;
    let mut listing = Listing { file: &file, tree: &tree, catalogue, which: Vec::new(), listed: BTreeMap::new() };
    let root = file.object(head.root)?;
    let format = if let Some(layers) = archive {
        variables::list(&mut listing, &layers)?;
        ARCHIVE
    } else if layers::list(&mut listing, &root)? {
        "keras_h5"
    } else if variables::list(&mut listing, &[])? {
        ARCHIVE
    } else {
        "hdf5"
    };
    listing.others()?;
    let Listing { catalogue, which, .. } = listing;
    file.afford_all(which.iter().filter_map(|&number| tree.datasets.get(number)))?;
    let Catalogue { entries, metadata, .. } = catalogue;
    Ok(Box::new(Keras { format, entries, datasets: tree.datasets, which, metadata, head: head.clone() }))
}

/// What is listed so far.
struct Listing<'f> {
    file: &'f File<'f>,
    tree: &'f Tree,
    catalogue: Catalogue,
    which: Vec<usize>,
    /// Numbers of the nodes that are listed.
    listed: BTreeMap<usize, ()>,
}

impl Listing<'_> {
    /// Lists the data set of node number `node` as `name`.
    fn add(&mut self, name: String, node: usize) -> Result<()> {
        match self.tree.nodes.get(node).map(|node| node.kind) {
            Some(Kind::Dataset(number)) => {
                let dataset = &self.tree.datasets[number];
                self.catalogue.entry(name, dataset.shape.clone(), dataset.dtype)?;
                self.which.push(number);
                self.listed.insert(node, ());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// All that is not listed yet, by its path.
    fn others(&mut self) -> Result<()> {
        let tree = self.tree;
        for (number, node) in tree.nodes.iter().enumerate() {
            match node.kind {
                Kind::Dataset(_) if !self.listed.contains_key(&number) => self.add(node.path.clone(), number)?,
                Kind::Other(why) => self.catalogue.skip(&node.path, &tree.lacks[why])?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Reader for Keras {
    fn format(&self) -> &'static str {
        self.format
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, index: usize) -> Result<Raw> {
        let Some(dataset) = self.which.get(index).and_then(|&number| self.datasets.get(number)) else {
            return Err(Error::Argument(format!("no tensor number {index} in {}", self.head.source().name())));
        };
        let bytes = self.head.file().values(dataset)?;
        Ok(Raw { dtype: dataset.dtype, shape: dataset.shape.clone(), bytes })
    }

    fn place(&self, index: usize) -> Option<(&Source, u64)> {
        let dataset = self.datasets.get(*self.which.get(index)?)?;
        Some((self.head.source(), dataset.place()?))
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}
