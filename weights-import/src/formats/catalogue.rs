//! What the index of a file lists, kept within a fixed multiple of the file's size.

use crate::{Dtype, Entry, Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Most dimensions of a tensor.
pub(super) const MOST_DIMS: usize = 32;

/// Longest name of a tensor, in bytes.
pub(super) const LONGEST_NAME: u64 = 4096;

#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) entries: Vec<Entry>,
    pub(super) metadata: BTreeMap<String, String>,
    names: BTreeSet<String>,
    file: String,
    format: &'static str,
    budget: u64,
}

impl Catalogue {
    /// For a file of `size` bytes, with those beside it.
    pub(super) fn new(file: &str, format: &'static str, size: u64) -> Self {
        Self {
            entries: Vec::new(),
            metadata: BTreeMap::new(),
            names: BTreeSet::new(),
            file: file.to_string(),
            format,
            budget: size.saturating_mul(4).saturating_add(1 << 20),
        }
    }

    pub(super) fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(Error::corrupt(&self.file, self.format, message))
    }

    /// Counts what the index takes in memory: real files need far less.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<()> {
        match self.budget.checked_sub(bytes) {
            Some(left) => self.budget = left,
            None => return self.fail("more tensors and names than a file of this size can have"),
        }
        Ok(())
    }

    pub(super) fn entry(&mut self, name: String, shape: Vec<usize>, dtype: Dtype) -> Result<()> {
        self.spend(400 + 3 * name.len() as u64 + 8 * shape.len() as u64)?;
        if !self.names.insert(name.clone()) {
            return self.fail(format!("two tensors are named {name}"));
        }
        self.entries.push(Entry { name, shape, dtype });
        Ok(())
    }

    pub(super) fn say(&mut self, key: String, value: impl Into<String>) -> Result<()> {
        let value = value.into();
        self.spend(128 + (key.len() + value.len()) as u64)?;
        self.metadata.insert(key, value);
        Ok(())
    }

    /// Notes a tensor that is there and not read.
    pub(super) fn skip(&mut self, name: &str, why: &str) -> Result<()> {
        self.say(format!("skipped.{name}"), why)
    }
}

/// Number of elements, and of bytes, if they can be counted.
pub(super) fn size(shape: &[usize], dtype: Dtype) -> Option<(usize, usize)> {
    let count = shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n))?;
    Some((count, dtype.bytes(count)?))
}
