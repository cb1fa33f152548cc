//! The index of weights in several files: `model.safetensors.index.json` and its like.
//!
//! `{"metadata": {..}, "weight_map": {"<tensor>": "<file beside the index>", ..}}`. Each file is opened as the format it
//! has. All tensors of all files are listed, file by file in order of name; that each is where the index says, is
//! checked. Metadata are those of the index and of the files.

use crate::json::{self, Scanner};
use crate::{Entry, Error, Links, Raw, Reader, Result, Source};
use std::collections::BTreeMap;

const FORMAT: &str = "index of weights";

/// Most files of an index: real models have some hundreds.
const MOST_FILES: usize = 10_000;

/// How the name of an index ends, after what its files are named.
pub(crate) const ENDING: &str = ".index.json";

pub(super) fn probe(head: &[u8], _: &Source) -> bool {
    let text = String::from_utf8_lossy(head);
    text.trim_start().starts_with('{') && text.contains("\"weight_map\"")
}

#[derive(Debug)]
struct Sharded {
    name: String,
    files: Vec<Box<dyn Reader>>,
    entries: Vec<Entry>,
    /// The file of each entry, and its number there.
    places: Vec<(usize, usize)>,
    metadata: BTreeMap<String, String>,
}

/// What the index says.
#[derive(Default)]
struct Index {
    /// Names of files, each with the number of its first mention.
    files: BTreeMap<String, usize>,
    /// Names of tensors with their file's number.
    tensors: Vec<(String, usize)>,
    metadata: BTreeMap<String, String>,
}

pub(super) fn open(source: Source) -> Result<Box<dyn Reader>> {
    let broken = |message: String| Error::corrupt(source.name(), FORMAT, message);
    let text = String::from_utf8(source.head(source.len())?).map_err(|e| broken(e.to_string()))?;
    let Index { files, mut tensors, mut metadata } = index(&text).map_err(broken)?;
    drop(text);
    tensors.sort_unstable();
    if let Some(twice) = tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(broken(format!("two entries of weight_map are named {}", twice[0].0)));
    }
    if tensors.is_empty() {
        return Err(broken("its weight_map lists no tensors".into()));
    }

    let mut readers = Vec::new();
    let (mut entries, mut places) = (Vec::new(), Vec::new());
    for name in files.keys() {
        if name.contains('/') {
            return Err(broken(format!("names a file in another folder, {name:?}: refused")));
        }
        let file = source.sibling(name, Links::Follow)?;
        if probe(&file.head(super::HEAD)?, &file) {
            return Err(broken(format!("names {name}, which is itself an index: refused")));
        }
        let reader = super::open(file)?;
        places.extend((0..reader.entries().len()).map(|number| (readers.len(), number)));
        entries.extend_from_slice(reader.entries());
        for (key, value) in reader.metadata() {
            metadata.entry(key.clone()).or_insert_with(|| value.clone());
        }
        readers.push(reader);
    }

    // By mention: the file's place in the order of names, and its name.
    let mut mentioned = vec![(0, ""); files.len()];
    files.iter().enumerate().for_each(|(place, (name, &mention))| mentioned[mention] = (place, name));
    let name_of = |place: usize| files.keys().nth(place).map_or("", String::as_str);
    let mut found: Vec<(&str, usize)> = entries.iter().zip(&places).map(|(e, p)| (e.name.as_str(), p.0)).collect();
    found.sort_unstable();
    if let Some(twice) = found.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let (name, first, second) = (twice[0].0, name_of(twice[0].1), name_of(twice[1].1));
        return Err(broken(format!("tensor {name} is in {first} and in {second}")));
    }
    for (tensor, mention) in &tensors {
        let (place, file) = mentioned[*mention];
        match found.binary_search_by_key(&tensor.as_str(), |(name, _)| name) {
            Ok(at) if found[at].1 == place => {}
            Ok(at) => {
                let other = name_of(found[at].1);
                return Err(broken(format!("says that tensor {tensor} is in {file}, but it is in {other}")));
            }
            Err(_) => {
                return Err(broken(format!(
                    "says that tensor {tensor} is in {file}, which has none of this name (are the files those of \
                     one model?)"
                )));
            }
        }
    }
    Ok(Box::new(Sharded { name: source.name().to_string(), files: readers, entries, places, metadata }))
}

fn index(text: &str) -> json::Result<Index> {
    let mut index = Index::default();
    let (mut maps, mut abouts) = (0, 0);
    let mut scanner = Scanner::new(text);
    scanner.object(|s, key| match key.as_str() {
        "weight_map" => {
            maps += 1;
            s.object(|s, tensor| {
                let name = s.string()?;
                let next = index.files.len();
                let number = match index.files.get(&name) {
                    Some(&number) => number,
                    None if next == MOST_FILES => return Err(format!("more than {MOST_FILES} files")),
                    None => {
                        index.files.insert(name, next);
                        next
                    }
                };
                index.tensors.push((tensor, number));
                Ok(())
            })
        }
        "metadata" => {
            abouts += 1;
            s.object(|s, key| {
                let value = match s.peek() {
                    Some(b'"') => s.string()?,
                    Some(b'{' | b'[') => return s.skip(),
                    _ => s.raw()?.to_string(),
                };
                match index.metadata.insert(key.clone(), value) {
                    None => Ok(()),
                    Some(_) => Err(format!("two entries of metadata are named {key}")),
                }
            })
        }
        _ => s.skip(),
    })?;
    scanner.end()?;
    match (maps, abouts) {
        (1, 0 | 1) => Ok(index),
        _ => Err("one weight_map and at most one metadata expected".to_string()),
    }
}

impl Reader for Sharded {
    /// That of the files.
    fn format(&self) -> &'static str {
        self.files.first().map_or(FORMAT, |file| file.format())
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, index: usize) -> Result<Raw> {
        match self.places.get(index).and_then(|&(file, number)| Some((self.files.get(file)?, number))) {
            Some((file, number)) => file.read(number),
            None => Err(Error::Argument(format!("no tensor number {index} in {}", self.name))),
        }
    }

    fn place(&self, index: usize) -> Option<(&Source, u64)> {
        let &(file, number) = self.places.get(index)?;
        self.files.get(file)?.place(number)
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}
