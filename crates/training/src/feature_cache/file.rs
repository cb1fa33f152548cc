//! A file of features: safetensors, the numbers first, written as they come, then the lists, and at last the header.

use super::content::{Content, widened};
use super::{DataKey, LAYOUT};
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use weights_import::{Dtype, NewFile, Source};

/// Bytes before the numbers. The header takes some 600 of them.
const HEAD: usize = 1000;

/// Bytes that are read at a time.
const STRETCH: u64 = 1 << 20;

/// A file that has no name yet.
#[derive(Debug)]
pub(super) struct Draft {
    file: NewFile,
    path: PathBuf,
    /// The numbers that are in it.
    len: usize,
    sum: Sha256,
}

impl Draft {
    /// Of a file that will be at `path`.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let draft = Self { file: NewFile::create(path)?, path: path.to_path_buf(), len: 0, sum: Sha256::new() };
        draft.write(&[0; HEAD])?;
        Ok(draft)
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        self.file.file().write_all(bytes).map_err(|e| Error::io("write", &self.path, e))
    }

    /// Adds numbers.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.write(bytes)?;
        self.sum.update(bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// The bytes of all numbers.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The numbers, as long as the file is held.
    fn numbers(&self) -> Result<Source> {
        Ok(self.file.source()?.window(HEAD as u64, self.len as u64, &self.path.display().to_string())?)
    }

    /// Another, of the same numbers as f32.
    pub(super) fn widened(&self) -> Result<Self> {
        let mut wide = Self::create(&self.path)?;
        stretches(&self.numbers()?, &mut |bytes| wide.add(&widened(bytes)))?;
        Ok(wide)
    }

    /// The numbers in memory, if they are what was written: a disk that failed is not believed.
    pub(super) fn read_back(&self) -> Result<Vec<u8>> {
        let bytes = self.numbers()?.read(0, self.len as u64)?;
        match Sha256::digest(&bytes) == self.sum.clone().finalize() {
            true => Ok(bytes),
            false => Err(Error::data(format!("{} holds other numbers than were written to it", self.path.display()))),
        }
    }

    /// Makes it a file of this key, of which the numbers are here and the rest in `content`.
    pub(super) fn finish<N>(&mut self, key: &str, content: &Content<N>) -> Result<Source> {
        content.lists().iter().try_for_each(|(_, list)| self.write(list))?;
        let said = [("layout", LAYOUT), ("key", key), ("sha256", &hash(key, content, self.sum.clone()))];
        let said = said.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let head = weights_import::safetensors_head(&content.entries(), &said, HEAD)?;
        self.file.file().seek(SeekFrom::Start(0)).map_err(|e| Error::io("write", &self.path, e))?;
        self.write(&head)?;
        self.file.commit()?;
        self.numbers()
    }
}

/// The content of a file, if it is what its name says. Of its numbers only a stretch at a time is in memory.
pub(super) fn open(path: &Path, key: &str, count: usize) -> std::result::Result<Content, String> {
    let text = |error: weights_import::Error| error.to_string();
    let file = weights_import::open(path).map_err(text)?;
    let said = |name: &str| file.metadata().get(name).map(String::as_str).unwrap_or_default();
    if file.format() != "safetensors" || said("layout") != LAYOUT || said("key") != key {
        return Err("holds no features of this trunk and data".to_owned());
    }
    let (Some(features), Some(numbers)) = (file.entry("features"), file.place("features")) else {
        return Err("holds no features".to_owned());
    };
    let wrong = || {
        let shape = &features.shape;
        format!("holds features {shape:?} where there are {count} inputs, or other types than it should")
    };
    let list = |name: &str| match file.entry(name) {
        Some(entry) if entry.dtype != Dtype::I64 || entry.shape != [count] => Err(wrong()),
        there => there.map(|_| file.get_i64(name).map(|(_, list)| list)).transpose().map_err(text),
    };
    let size = |n: i64| usize::try_from(n).ok().filter(|&n| n > 0);
    let lengths = match list("lengths")? {
        Some(all) => Some(all.into_iter().map(size).collect::<Option<Vec<_>>>().ok_or_else(wrong)?),
        None => None,
    };
    let rows = match &lengths {
        Some(all) => all.iter().try_fold(0usize, |sum, &n| sum.checked_add(n)),
        None => Some(count),
    };
    let kind = matches!(features.dtype, Dtype::F16 | Dtype::F32) && features.shape.len() >= 2;
    if !kind || features.shape.contains(&0) || rows != Some(features.shape[0]) {
        return Err(wrong());
    }
    let (dtype, shape) = (features.dtype, features.shape.clone());
    let content = Content { dtype, shape, numbers, lengths, labels: list("labels")?.ok_or_else(wrong)? };
    let mut sum = Sha256::new();
    let mut add = |bytes: &[u8]| {
        sum.update(bytes);
        Ok(())
    };
    stretches(&content.numbers, &mut add).map_err(|error| error.to_string())?;
    if said("sha256") != hash(key, &content, sum) {
        return Err("is damaged: its content is not that of its hash".to_owned());
    }
    Ok(content)
}

/// The sha256 of key and content; `numbers` is that of the numbers.
fn hash<N>(key: &str, content: &Content<N>, numbers: Sha256) -> String {
    let mut hash = DataKey::new(key, 0);
    hash.add(format!("{} {:?}", content.dtype, content.shape).as_bytes());
    hash.add(&numbers.finalize());
    content.lists().iter().for_each(|(_, list)| hash.add(list));
    hash.to_string()
}

/// Gives all that is there, piece by piece, each of whole numbers.
fn stretches(source: &Source, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut piece = vec![0; STRETCH.min(source.len()) as usize];
    for start in (0..source.len()).step_by(STRETCH as usize) {
        let len = (source.len() - start).min(STRETCH) as usize;
        source.read_into(start, &mut piece[..len])?;
        each(&piece[..len])?;
    }
    Ok(())
}
