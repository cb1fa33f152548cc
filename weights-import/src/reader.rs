//! The one trait between files and the rest: a format implements [`Reader`] over a [`Source`] and nothing else.

use crate::{Dtype, Error, Result, dtype};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

impl Raw {
    /// The elements as `f32`, row-major; `name` stands in errors. See [`crate::Weights::get`].
    ///
    /// # Errors
    /// Values that `f32` cannot hold.
    pub fn to_f32(&self, name: &str) -> Result<Vec<f32>> {
        dtype::to_f32(name, self.dtype, &self.bytes)
    }

    /// The same with floating point elements rounded to `F32`, `F16` or `BF16`; integers stay.
    ///
    /// # Errors
    /// Values too large for `dtype`, or another `dtype`.
    pub fn rounded(self, name: &str, dtype: Dtype) -> Result<Self> {
        if !self.dtype.is_float() || self.dtype == dtype {
            return Ok(self);
        }
        Ok(Self { dtype, bytes: dtype::from_f32(name, dtype, &self.to_f32(name)?)?, shape: self.shape })
    }
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
    /// Where the bytes of a tensor lie, if they lie in one piece, little-endian and row-major: they are then read
    /// straight to where they are wanted. A reader that has nothing to say leaves this out.
    fn place(&self, index: usize) -> Option<(&Source, u64)> {
        let _ = index;
        None
    }
    /// What the file says besides tensors.
    fn metadata(&self) -> &BTreeMap<String, String>;
}

/// The bytes behind a reader: an open file or memory, or a piece of one. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    name: String,
    start: u64,
    len: u64,
    bytes: Bytes,
}

#[derive(Debug, Clone)]
enum Bytes {
    /// The file itself, and the files beside it.
    Memory(Arc<Vec<u8>>, Arc<BTreeMap<String, Arc<Vec<u8>>>>),
    File(Arc<Shared>, PathBuf),
}

/// An open file, and whose turn it is where reading moves its position.
#[derive(Debug)]
pub(crate) struct Shared(pub(crate) File, #[cfg(not(unix))] std::sync::Mutex<()>);

impl Shared {
    pub(crate) fn new(file: File) -> Self {
        Self(
            file,
            #[cfg(not(unix))]
            std::sync::Mutex::new(()),
        )
    }
}

/// Whether [`Source::sibling`] follows symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// For files whose own format vouches for them (hub caches link to their blobs).
    Follow,
    /// For raw bytes, where a link could bring any file of the machine into a tensor. Only if the file itself was reached by
    /// a link too, and both lead into the same folder, as in hub caches, is it followed.
    Refuse,
}

/// Fills `bytes` from this place of the file. Where the system can, threads do not wait for each other.
fn read_at(file: &Shared, start: u64, bytes: &mut [u8]) -> std::io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(&file.0, bytes, start);
    #[cfg(not(unix))]
    {
        let _turn = file.1.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut file = &file.0;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(start))?;
        std::io::Read::read_exact(&mut file, bytes)
    }
}

/// Whether both are links, to files of one folder.
fn linked_alike(file: &Path, sibling: &Path) -> bool {
    let folder = |path: &Path| Some(path.canonicalize().ok()?.parent()?.to_path_buf());
    file.is_symlink() && sibling.is_file() && folder(file).is_some_and(|home| folder(sibling) == Some(home))
}

impl Source {
    /// Bytes in memory; `name` stands in error messages.
    pub fn memory(bytes: Vec<u8>, name: &str) -> Self {
        Self::memory_with(bytes, name, BTreeMap::new())
    }

    /// Bytes in memory, with the files that lie beside them by name.
    pub fn memory_with(bytes: Vec<u8>, name: &str, siblings: BTreeMap<String, Vec<u8>>) -> Self {
        let siblings = siblings.into_iter().map(|(name, bytes)| (name, Arc::new(bytes))).collect();
        let len = bytes.len() as u64;
        Self { name: name.to_string(), start: 0, len, bytes: Bytes::Memory(Arc::new(bytes), Arc::new(siblings)) }
    }

    /// An open file.
    pub fn file(path: &Path) -> Result<Self> {
        let fail = |e| Error::io("open", path, e);
        // Opening a pipe would wait for someone to write.
        if !std::fs::metadata(path).map_err(fail)?.is_file() {
            return Err(Error::format(&path.display().to_string(), "is not a regular file"));
        }
        let file = File::open(path).map_err(fail)?;
        Self::shared(Arc::new(Shared::new(file)), path)
    }

    /// What is in this file by now.
    pub(crate) fn shared(file: Arc<Shared>, path: &Path) -> Result<Self> {
        let len = file.0.metadata().map_err(|e| Error::io("open", path, e))?.len();
        Ok(Self { name: path.display().to_string(), start: 0, len, bytes: Bytes::File(file, path.to_path_buf()) })
    }

    /// The piece of `len` bytes from `offset`, as a source of its own (a file within an archive).
    pub fn window(&self, offset: u64, len: u64, name: &str) -> Result<Self> {
        self.check(offset, len)?;
        Ok(Self { name: name.to_string(), start: self.start + offset, len, bytes: self.bytes.clone() })
    }

    /// A file beside this one, which this one names: `model-00001-of-00002.safetensors`, `data/weights.bin`.
    ///
    /// # Errors
    /// The name leads out of the folder (`..`, an absolute path, a link where links are refused), or there is no such
    /// file.
    pub fn sibling(&self, name: &str, links: Links) -> Result<Self> {
        let plain = !name.is_empty() && !name.contains(['\\', '\0', ':']);
        if !plain || name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Error::format(&self.name, format!("names a file outside of its folder, {name:?}: refused")));
        }
        match &self.bytes {
            Bytes::Memory(_, siblings) => match siblings.get(name) {
                Some(bytes) => Ok(Self {
                    name: name.to_string(),
                    start: 0,
                    len: bytes.len() as u64,
                    bytes: Bytes::Memory(bytes.clone(), siblings.clone()),
                }),
                None => Err(Error::format(&self.name, format!("needs the file {name} beside it"))),
            },
            Bytes::File(_, path) => {
                let mut sibling = path.parent().map(Path::to_path_buf).unwrap_or_default();
                for part in name.split('/') {
                    sibling.push(part);
                    if links == Links::Refuse && sibling.is_symlink() && !linked_alike(path, &sibling) {
                        let message =
                            format!("names {name}, which is a symbolic link: refused; put a copy in its place");
                        return Err(Error::format(&self.name, message));
                    }
                }
                match sibling.exists() {
                    true => Self::file(&sibling),
                    false => Err(Error::format(&self.name, format!("needs the file {name} beside it"))),
                }
            }
        }
    }

    /// The file's own name without its folder.
    pub fn file_name(&self) -> &str {
        self.name.rsplit(['/', std::path::MAIN_SEPARATOR]).next().unwrap_or(&self.name)
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

    fn check(&self, offset: u64, len: u64) -> Result<()> {
        match offset.checked_add(len).filter(|&end| end <= self.len) {
            Some(_) if usize::try_from(self.start + offset + len).is_ok() => Ok(()),
            _ => {
                let message = format!("ends at byte {}, before the {len} bytes from byte {offset}", self.len);
                Err(Error::format(&self.name, message))
            }
        }
    }

    /// `len` bytes from `offset`; asking past the end is an error before anything is allocated.
    pub fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        self.check(offset, len)?;
        let mut bytes = vec![0; len as usize];
        self.read_into(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `bytes` from `offset`.
    pub fn read_into(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.check(offset, bytes.len() as u64)?;
        let start = self.start + offset;
        match &self.bytes {
            Bytes::Memory(all, _) => bytes.copy_from_slice(&all[start as usize..start as usize + bytes.len()]),
            Bytes::File(file, path) => {
                read_at(file, start, bytes).map_err(|e| Error::io("read", path, e))?;
            }
        }
        Ok(())
    }

    /// The first `len` bytes, or all if there are fewer.
    pub fn head(&self, len: u64) -> Result<Vec<u8>> {
        self.read(0, len.min(self.len))
    }
}
