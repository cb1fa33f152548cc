//! The one trait between files and the rest: a format implements [`Reader`] over a [`Source`] and nothing else.

use crate::{Dtype, Error, Result};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// One tensor of a file, as its index tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name in the file. Formats without names make them up and say how.
    pub name: String,
    /// Its dimensions, in the file's order of axes.
    pub shape: Vec<usize>,
    /// Its element type.
    pub dtype: Dtype,
}

impl Entry {
    /// Number of elements. Readers reject shapes whose product overflows.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The bytes of one tensor: little-endian, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// `numel * dtype.bits() / 8` bytes.
    pub bytes: Vec<u8>,
}

/// A weights file whose index has been read.
///
/// An implementation reads the index when it is made and a tensor's bytes only in [`Reader::read`]. It never allocates
/// more than a fixed multiple of the bytes that the file still has, whatever lengths the file claims, and every
/// mistake of the file is an error.
pub trait Reader: Debug + Send + Sync {
    /// Name of the format, e.g. `safetensors`.
    fn format(&self) -> &'static str;
    /// The tensors in the file's order, with unique names and checked shapes.
    fn entries(&self) -> &[Entry];
    /// Bytes of tensor number `index` of [`Reader::entries`].
    fn read(&self, index: usize) -> Result<Raw>;
    /// What the file says besides tensors.
    fn metadata(&self) -> &BTreeMap<String, String>;
}

/// The bytes behind a reader: an open file or memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    name: String,
    len: u64,
    bytes: Bytes,
}

#[derive(Debug, Clone)]
enum Bytes {
    Memory(Arc<Vec<u8>>),
    File(Arc<Mutex<File>>, PathBuf),
}

impl Source {
    /// Bytes in memory; `name` stands in error messages.
    pub fn memory(bytes: Vec<u8>, name: &str) -> Self {
        Self { name: name.to_string(), len: bytes.len() as u64, bytes: Bytes::Memory(Arc::new(bytes)) }
    }

    /// An open file.
    pub fn file(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let about = file.metadata().map_err(|e| Error::io("open", path, e))?;
        if !about.is_file() {
            return Err(Error::format(&path.display().to_string(), "is not a regular file"));
        }
        Ok(Self {
            name: path.display().to_string(),
            len: about.len(),
            bytes: Bytes::File(Arc::new(Mutex::new(file)), path.to_path_buf()),
        })
    }

    /// The name for error messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `len` bytes from `offset`; asking past the end is an error before anything is allocated.
    pub fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        let end = offset.checked_add(len).filter(|&end| end <= self.len);
        let (Some(_), Ok(start), Ok(count)) = (end, usize::try_from(offset), usize::try_from(len)) else {
            let message = format!("ends at byte {}, before the {len} bytes from byte {offset}", self.len);
            return Err(Error::format(&self.name, message));
        };
        match &self.bytes {
            Bytes::Memory(bytes) => Ok(bytes[start..start + count].to_vec()),
            Bytes::File(file, path) => {
                let mut bytes = vec![0; count];
                let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                file.seek(SeekFrom::Start(offset))
                    .and_then(|_| file.read_exact(&mut bytes))
                    .map_err(|e| Error::io("read", path, e))?;
                Ok(bytes)
            }
        }
    }

    /// The first `len` bytes, or all if there are fewer.
    pub fn head(&self, len: u64) -> Result<Vec<u8>> {
        self.read(0, len.min(self.len))
    }
}
