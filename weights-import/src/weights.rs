//! An opened weights file.

use crate::{Dtype, Entry, Error, Raw, Reader, Result, Source, dtype, formats, near};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use ukulele_tensor::Tensor;

/// Largest `config.json` that is read, in bytes.
const LARGEST_CONFIG: u64 = 1 << 20;

/// A weights file: its index in memory, its tensors read when asked for.
#[derive(Debug)]
pub struct Weights {
    reader: Box<dyn Reader>,
    names: BTreeMap<String, usize>,
    source: String,
    folder: Option<PathBuf>,
}

/// Opens a weights file, or a folder that holds `model.safetensors`, `pytorch_model.bin`, a TensorFlow SavedModel, the index
/// of sharded weights, or exactly one weights file. Of sharded weights, name the index (`model.safetensors.index.json`).
/// A TensorFlow checkpoint may also be named by its prefix: `bert_model.ckpt` for `bert_model.ckpt.index`.
///
/// The format is found from the content; the ending of the name does not matter. Only the index is read.
///
/// # Errors
/// The file cannot be read, has another format (the error says which and what to do), or is broken.
pub fn open(path: impl AsRef<Path>) -> Result<Weights> {
    let path = path.as_ref();
    let file = match path.is_dir() {
        true => in_folder(path)?,
        false if path.exists() => path.to_path_buf(),
        false => checkpoint(path),
    };
    let source = Source::file(&file)?;
    let name = source.name().to_string();
    Ok(Weights::new(formats::open(source)?, name, file.parent().map(Path::to_path_buf)))
}

/// Opens the bytes of a weights file; `name` stands in error messages.
///
/// # Errors
/// As [`open`].
pub fn from_bytes(bytes: Vec<u8>, name: &str) -> Result<Weights> {
    from_source(Source::memory(bytes, name))
}

/// Opens a source, e.g. of a file and those beside it in memory ([`Source::memory_with`]).
///
/// # Errors
/// As [`open`].
pub fn from_source(source: Source) -> Result<Weights> {
    let name = source.name().to_string();
    Ok(Weights::new(formats::open(source)?, name, None))
}

/// TensorFlow's checkpoints are named by what the names of their files have in common: `bert_model.ckpt`.
fn checkpoint(prefix: &Path) -> PathBuf {
    let mut index = prefix.as_os_str().to_os_string();
    index.push(".index");
    let index = PathBuf::from(index);
    if index.is_file() { index } else { prefix.to_path_buf() }
}

/// The weights file of a folder: one of the usual names, or the one index of files, or the one file, or TensorFlow.js's
/// `model.json`.
fn in_folder(folder: &Path) -> Result<PathBuf> {
    // TensorFlow's SavedModel has a graph, and beside it a folder with the weights.
    for usual in ["model.safetensors", "pytorch_model.bin", "variables/variables.index"] {
        let usual = folder.join(usual);
        if usual.is_file() {
            return Ok(usual);
        }
    }
    let (mut files, mut indices) = (Vec::new(), Vec::new());
    for item in std::fs::read_dir(folder).map_err(|e| Error::io("read", folder, e))? {
        let path = item.map_err(|e| Error::io("read", folder, e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let weights = name.strip_suffix(formats::sharded::ENDING).unwrap_or(&name);
        if path.is_file() && formats::ENDINGS.iter().any(|ending| weights.ends_with(ending)) {
            if weights == name { files.push(path) } else { indices.push(path) }
        }
    }
    let mut found = if indices.is_empty() { files } else { indices };
    let tfjs = folder.join("model.json");
    if found.is_empty() && tfjs.is_file() {
        return Ok(tfjs);
    }
    found.sort();
    let folder_name = folder.display().to_string();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            let endings = formats::ENDINGS.join(", ");
            Err(Error::format(
                &folder_name,
                format!("holds no model.safetensors and no other weights file ({endings})"),
            ))
        }
        several => {
            let names: Vec<_> = several.iter().map(|p| p.file_name().unwrap_or_default().to_string_lossy()).collect();
            Err(Error::format(
                &folder_name,
                format!("holds {} weights files ({}): name one of them", names.len(), names.join(", ")),
            ))
        }
    }
}

impl Weights {
    fn new(reader: Box<dyn Reader>, source: String, folder: Option<PathBuf>) -> Self {
        let names = reader.entries().iter().enumerate().map(|(i, e)| (e.name.clone(), i)).collect();
        Self { reader, names, source, folder }
    }

    /// Weights from a reader of one's own, e.g. for a format that this crate does not know.
    pub fn from_reader(reader: Box<dyn Reader>, name: &str) -> Self {
        Self::new(reader, name.to_string(), None)
    }

    /// Name of the format, e.g. `safetensors`.
    pub fn format(&self) -> &'static str {
        self.reader.format()
    }

    /// The file (or name) these weights come from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// All tensors in the file's order.
    pub fn entries(&self) -> &[Entry] {
        self.reader.entries()
    }

    /// The index entry of a name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.names.get(name).map(|&i| &self.entries()[i])
    }

    /// Reads a tensor as `f32`, row-major.
    ///
    /// `F16` and `BF16` widen exactly, `F64` is rounded, integers convert if `f32` holds each exactly.
    ///
    /// # Errors
    /// No such tensor (with near names), values that `f32` cannot hold, or a file that cannot be read.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        if let Some(tensor) = self.in_place(name)? {
            return Ok(tensor);
        }
        let raw = self.raw(name)?;
        let values = dtype::to_f32(name, raw.dtype, &raw.bytes)?;
        Ok(Tensor::from_vec(&raw.shape, values)?)
    }

    /// A tensor of `F32` that lies in the file as it will in memory: without a copy on the way.
    fn in_place(&self, name: &str) -> Result<Option<Tensor>> {
        let Some(&index) = self.names.get(name) else { return Ok(None) };
        let entry = &self.entries()[index];
        let Some((source, start)) = self.reader.place(index) else { return Ok(None) };
        let Some(len) = entry.dtype.bytes(entry.numel()).filter(|_| entry.dtype == Dtype::F32) else { return Ok(None) };
        if cfg!(target_endian = "big") || start.checked_add(len as u64).is_none_or(|end| end > source.len()) {
            return Ok(None);
        }
        let mut read = Ok(());
        let tensor = Tensor::build(&entry.shape, |values| {
            read = source.read_into(start, bytemuck::cast_slice_mut(values));
        })?;
        read.map(|()| Some(tensor))
    }

    /// Reads a tensor of integers: its shape and values, row-major.
    ///
    /// # Errors
    /// As [`Weights::get`], and for floating point tensors.
    pub fn get_i64(&self, name: &str) -> Result<(Vec<usize>, Vec<i64>)> {
        let raw = self.raw(name)?;
        let values = dtype::to_i64(name, raw.dtype, &raw.bytes)?;
        Ok((raw.shape, values))
    }

    /// Reads a tensor's bytes as they are: little-endian, row-major, in the file's element type.
    ///
    /// # Errors
    /// No such tensor (with near names), or a file that cannot be read.
    pub fn raw(&self, name: &str) -> Result<Raw> {
        match self.names.get(name) {
            Some(&index) => self.reader.read(index),
            None if let Some(why) = self.metadata().get(&format!("skipped.{name}")) => Err(Error::Values {
                name: name.to_string(),
                message: format!("is in the file, but not read ({why}): write the file anew as F32 or F16"),
            }),
            None => Err(Error::NoTensor {
                file: self.source.clone(),
                name: name.to_string(),
                near: near::names(name, self.names.keys().map(String::as_str)),
            }),
        }
    }

    /// Where a tensor's bytes lie, for tensors of which only a part is wanted at a time; `None` if there is no such tensor, or the
    /// format does not keep its bytes in one piece, little-endian and row-major.
    pub fn place(&self, name: &str) -> Option<Source> {
        let &index = self.names.get(name)?;
        let entry = &self.entries()[index];
        let (source, start) = self.reader.place(index)?;
        source.window(start, entry.dtype.bytes(entry.numel())? as u64, &self.source).ok()
    }

    /// What the file says besides its tensors: safetensors' `__metadata__`; for Caffe the layers' settings as
    /// `<layer>.type`, `<layer>.stride` ...; for PyTorch short texts and numbers beside the tensors, e.g. `epoch`; for
    /// ONNX and TensorFlow `skipped.<name>` of what is not read and why, for ONNX `renamed.<name>`, `layout.<name>`,
    /// `opset`, `input.<name>` ...; GGUF's values under their keys; for TensorFlow.js `class_name`, `layers` and
    /// `modelTopology`; for Keras `keras_version`, `backend`, `model_config` and `training_config`, and `layer.<path>`, the
    /// name of the layer in a folder of a `.weights.h5`. `quantised.<name>` names the quantisation of a tensor that is given
    /// dequantised.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        self.reader.metadata()
    }

    /// The `config.json` (google-research: `bert_config.json`) beside the file; `None` if there is none.
    ///
    /// # Errors
    /// It is larger than 1 MiB, or not a JSON object.
    pub fn config(&self) -> Result<Option<serde_json::Value>> {
        let beside = |name: &str| self.folder.as_ref().map(|f| f.join(name)).filter(|p| p.is_file());
        let Some(path) = beside("config.json").or_else(|| beside("bert_config.json")) else {
            return Ok(None);
        };
        let name = path.display().to_string();
        let file = Source::file(&path)?;
        if file.len() > LARGEST_CONFIG {
            return Err(Error::format(&name, format!("is too large for a configuration ({} bytes)", file.len())));
        }
        match serde_json::from_slice::<serde_json::Value>(&file.head(LARGEST_CONFIG)?) {
            Ok(value) if value.is_object() => Ok(Some(value)),
            Ok(_) => Err(Error::format(&name, "is JSON, but not an object")),
            Err(e) => Err(Error::format(&name, format!("is not JSON: {e}"))),
        }
    }

    /// Number of elements of all floating point tensors.
    pub fn parameters(&self) -> usize {
        self.entries().iter().filter(|e| e.dtype.is_float()).map(Entry::numel).sum()
    }

    /// The element types in the file with their number of tensors.
    pub fn dtypes(&self) -> BTreeMap<Dtype, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.entries() {
            *counts.entry(entry.dtype).or_insert(0) += 1;
        }
        counts
    }
}
