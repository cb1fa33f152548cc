//! PyTorch's `torch.save`: the zip of 1.6 and later, the row of pickles before it, the tar of 2016 and 2017.
//!
//! All three are a pickle that describes objects, and storages (rows of numbers) beside it. A tensor is a view of a
//! storage: offset, sizes and strides, counted in elements; several tensors may share one. Names are the path to a tensor
//! through dictionaries and lists, joined with `.`; short texts and numbers on the way are metadata. Source: PyTorch's
//! `torch/serialization.py`, `torch/_utils.py`.

mod archive;
mod legacy;
mod tar;

use crate::pickle::{Budget, Known, Node, Pickle, Value};
use crate::{Dtype, Entry, Error, Raw, Reader, Result, Source};
use std::collections::{BTreeMap, BTreeSet};

pub(super) use archive::{open as open_zip, probe as probe_zip};
pub(super) use legacy::{open as open_legacy, probe as probe_legacy};
pub(super) use tar::{open as open_tar, probe as probe_tar};

const FORMAT: &str = "pytorch";

/// Deepest nesting of dictionaries and lists.
const DEEPEST: usize = 32;

/// PyTorch's own limit of dimensions.
const MOST_DIMS: usize = 64;

/// Longest text that becomes metadata, and most numbers of a list that does.
const LONGEST_TEXT: usize = 256;
const LONGEST_LIST: usize = 16;

/// Bytes that a tensor may have beyond those of its storage (an expanded one repeats them).
const EXPANSION: u64 = 128 << 10;

/// All tensors together may have this many times the bytes of the file, and [`SPARE`] more: they may share storages.
const SHARED: u64 = 32;
const SPARE: u64 = 64 << 20;

/// A row of numbers in the file.
#[derive(Debug, Clone, Copy)]
struct Storage {
    start: u64,
    len: u64,
    /// `None` where the tensor says it.
    dtype: Option<Dtype>,
}

/// What a tensor sees of a storage.
#[derive(Debug)]
struct View {
    /// Its first byte in the file.
    start: u64,
    /// Strides in elements, unless it is row-major in one piece.
    strides: Option<Vec<usize>>,
}

#[derive(Debug)]
struct Pytorch {
    source: Source,
    big_endian: bool,
    entries: Vec<Entry>,
    views: Vec<View>,
    metadata: BTreeMap<String, String>,
}

fn broken<T>(source: &Source, message: impl Into<String>) -> Result<T> {
    Err(Error::corrupt(source.name(), FORMAT, message))
}

/// Finds the tensors of an object.
struct Walk<'w> {
    source: &'w Source,
    pickle: &'w Pickle,
    /// Reads a storage by the id that the pickle has for it; only the tar has whole tensors outside.
    storages: &'w dyn Fn(Value) -> Result<Storage>,
    tensors: &'w dyn Fn(Value) -> Option<Tensor>,
    budget: &'w mut Budget,
    names: BTreeSet<String>,
    entries: Vec<Entry>,
    views: Vec<View>,
    metadata: BTreeMap<String, String>,
    /// Bytes that the tensors may still have.
    left: u64,
}

/// A tensor before it is checked.
#[derive(Debug, Clone)]
struct Tensor {
    storage: Storage,
    dtype: Option<Dtype>,
    offset: i64,
    sizes: Vec<i64>,
    strides: Vec<i64>,
}

impl Walk<'_> {
    fn spend(&mut self, bytes: usize) -> Result<()> {
        match self.budget.spend(bytes) {
            Some(()) => Ok(()),
            None => broken(self.source, "more tensors and values than a file of this size can have"),
        }
    }

    fn value(&mut self, path: &str, value: Value, depth: usize) -> Result<()> {
        let pickle = self.pickle;
        self.spend(64)?;
        if depth > DEEPEST {
            return broken(self.source, format!("{path:?} is nested deeper than {DEEPEST} levels"));
        }
        let join = |key: &str| if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
        match pickle.node(value) {
            None => self.say(path, value),
            Some(Node::Text(_)) => self.say(path, value),
            Some(Node::Dict(pairs)) => {
                for (number, &(key, item)) in pairs.iter().enumerate() {
                    let key = match self.scalar(key) {
                        Some(key) => key,
                        None => format!("#{number}"),
                    };
                    self.spend(path.len() + key.len())?;
                    self.value(&join(&key), item, depth + 1)?;
                }
                Ok(())
            }
            Some(Node::List(items) | Node::Tuple(items)) => {
                let plain: Option<Vec<String>> =
                    items.iter().take(LONGEST_LIST + 1).map(|&item| self.scalar(item)).collect();
                match plain {
                    Some(texts) if texts.len() <= LONGEST_LIST => self.note(path, format!("[{}]", texts.join(", "))),
                    _ => {
                        for (number, &item) in items.iter().enumerate() {
                            if pickle.node(item).is_some_and(|node| !matches!(node, Node::Text(_))) {
                                self.spend(path.len() + 20)?;
                                self.value(&join(&number.to_string()), item, depth + 1)?;
                            }
                        }
                        Ok(())
                    }
                }
            }
            Some(Node::Call(..) | Node::Persistent(_)) => {
                if let Some(tensor) = self.tensor(value, depth)? {
                    self.add(if path.is_empty() { "tensor" } else { path }, tensor)?;
                }
                Ok(())
            }
            Some(Node::Bytes(_) | Node::Long(_) | Node::Global(_) | Node::Opaque) => Ok(()),
        }
    }

    /// A short text or number as text.
    fn scalar(&self, value: Value) -> Option<String> {
        match value {
            Value::None => Some("none".into()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(value.to_string()),
            Value::Node(_) => self.pickle.text(value).map(str::to_string),
        }
    }

    fn say(&mut self, path: &str, value: Value) -> Result<()> {
        match self.scalar(value) {
            Some(text) if value != Value::None => self.note(path, text),
            _ => Ok(()),
        }
    }

    fn note(&mut self, path: &str, text: String) -> Result<()> {
        if text.len() <= LONGEST_TEXT && !path.is_empty() {
            self.spend(100 + path.len() + text.len())?;
            self.metadata.insert(path.to_string(), text);
        }
        Ok(())
    }

    /// The tensor that a call of PyTorch's functions would make.
    fn tensor(&self, value: Value, depth: usize) -> Result<Option<Tensor>> {
        let fail = |message: &str| broken(self.source, message);
        let (known, arguments) = match self.pickle.node(value) {
            Some(&Node::Call(known, arguments)) => (known, arguments),
            Some(&Node::Persistent(id)) => return Ok((self.tensors)(id)),
            _ => return fail("a parameter is no tensor"),
        };
        let items = self.pickle.items(arguments).unwrap_or(&[]);
        let (known, items) = match (known, items) {
            _ if depth > DEEPEST => return fail("a tensor is nested too deep"),
            (Known::Parameter, &[inner, ..]) => return self.tensor(inner, depth + 1),
            (Known::FromType, &[function, _, inner, ..]) => match self.pickle.node(function) {
                Some(&Node::Global(known)) => (known, self.pickle.items(inner).unwrap_or(&[])),
                _ => return fail("a tensor is made by what is no function"),
            },
            whole => whole,
        };
        let (&[storage, offset, sizes, strides, ..], Known::Tensor | Known::TensorV3) = (items, known) else {
            return fail("a tensor without storage, offset, sizes and strides");
        };
        let Some(&Node::Persistent(id)) = self.pickle.node(storage) else {
            return fail("a tensor's storage is no storage");
        };
        let (dtype, marks) = match known {
            Known::TensorV3 => match items.get(6).and_then(|&value| self.pickle.node(value)) {
                Some(&Node::Global(Known::Type(dtype))) => (Some(dtype), items.get(7)),
                _ => return fail("a tensor without element type"),
            },
            _ => (None, items.get(6)),
        };
        // Bits that say that the numbers are conjugated or negated when read.
        let marks = marks.and_then(|&value| self.pickle.node(value));
        if matches!(marks, Some(Node::Dict(pairs)) if pairs.iter().any(|&(_, value)| value == Value::Bool(true))) {
            let words =
                "holds a lazy conjugate or negative, which is not read: save what resolve_conj().resolve_neg() gives";
            return Err(Error::format(self.source.name(), words));
        }
        let numbers = |value: Value| {
            let numbers = self.pickle.items(value)?.iter().take(MOST_DIMS + 1);
            numbers.map(|&n| if let Value::Int(n) = n { Some(n) } else { None }).collect::<Option<Vec<i64>>>()
        };
        let (Value::Int(offset), Some(sizes), Some(strides)) = (offset, numbers(sizes), numbers(strides)) else {
            return fail("a tensor's offset, sizes and strides are not whole numbers");
        };
        Ok(Some(Tensor { storage: (self.storages)(id)?, dtype, offset, sizes, strides }))
    }

    /// Checks a tensor against its storage and puts it on the list.
    fn add(&mut self, name: &str, tensor: Tensor) -> Result<()> {
        self.spend(400 + 3 * name.len() + 16 * tensor.sizes.len())?;
        let view = view(&tensor).map_err(|e| {
            let Tensor { offset, sizes, strides, .. } = &tensor;
            let text = format!("tensor {name} (offset {offset}, sizes {sizes:?}, strides {strides:?}): {e}");
            Error::corrupt(self.source.name(), FORMAT, text)
        })?;
        if !self.names.insert(name.to_string()) {
            return broken(self.source, format!("two tensors are named {name}"));
        }
        let (dtype, shape, view) = view;
        let len = shape.iter().product::<usize>() * dtype.bits() / 8;
        let Some(left) = self.left.checked_sub(len as u64) else {
            let words =
                format!("{name} and the tensors before it share storages, and have too many bytes for this file");
            return broken(self.source, words + ": save them as copies");
        };
        self.left = left;
        self.entries.push(Entry { name: name.to_string(), shape, dtype });
        self.views.push(view);
        Ok(())
    }
}

fn view(tensor: &Tensor) -> std::result::Result<(Dtype, Vec<usize>, View), String> {
    let Tensor { storage, dtype, offset, sizes, strides } = tensor;
    let dtype = dtype.or(storage.dtype).ok_or("has no element type")?;
    let unsigned = |numbers: &[i64]| numbers.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<usize>>>();
    let (Some(shape), Some(strides), Ok(offset)) = (unsigned(sizes), unsigned(strides), u64::try_from(*offset)) else {
        return Err("a negative number".into());
    };
    if shape.len() != strides.len() || shape.len() > MOST_DIMS {
        return Err("not as many strides as sizes, or too many".into());
    }
    let count = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let len = count.and_then(|count| dtype.bytes(count)).ok_or("is too large for this machine")? as u64;
    if shape.contains(&0) {
        return Ok((dtype, shape, View { start: storage.start, strides: None }));
    }
    let last = shape
        .iter()
        .zip(&strides)
        .try_fold(offset, |at, (&size, &stride)| at.checked_add(((size - 1) as u64).checked_mul(stride as u64)?));
    let size = (dtype.bits() / 8) as u64;
    let end = last.and_then(|last| last.checked_add(1)?.checked_mul(size));
    if end.is_none_or(|end| end > storage.len) {
        return Err(format!("reaches beyond its storage of {} bytes", storage.len));
    }
    if len > storage.len.saturating_add(EXPANSION) {
        return Err(format!("repeats a storage of {} bytes to {len}: save it contiguous", storage.len));
    }
    let mut expected = 1;
    let row_major = shape.iter().zip(&strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == expected;
        expected *= size;
        fits
    });
    let strides = if row_major { None } else { Some(strides) };
    Ok((dtype, shape, View { start: storage.start + offset * size, strides }))
}

/// The reader of the tensors in an object.
fn reader(
    source: &Source,
    pickle: &Pickle,
    budget: &mut Budget,
    storages: &dyn Fn(Value) -> Result<Storage>,
    tensors: &dyn Fn(Value) -> Option<Tensor>,
    big_endian: bool,
) -> Result<Box<dyn Reader>> {
    let mut walk = Walk {
        source,
        pickle,
        storages,
        tensors,
        budget,
        names: BTreeSet::new(),
        entries: Vec::new(),
        views: Vec::new(),
        metadata: BTreeMap::new(),
        left: source.len().saturating_mul(SHARED).saturating_add(SPARE),
    };
    walk.value("", pickle.root, 0)?;
    let Walk { entries, views, metadata, .. } = walk;
    if entries.is_empty() {
        return Err(Error::format(source.name(), "is a PyTorch file without any tensor"));
    }
    Ok(Box::new(Pytorch { source: source.clone(), big_endian, entries, views, metadata }))
}

/// `('storage', type, key, location, number of elements, [view])`: type, key, number and view.
fn storage_id(source: &Source, pickle: &Pickle, id: Value) -> Result<(Option<Dtype>, String, u64, Value)> {
    let items = pickle.items(id).unwrap_or(&[]);
    if items.first().is_some_and(|&word| pickle.text(word) == Some("module")) {
        let advice = "save its state_dict: torch.save(model.state_dict(), path)";
        let words = format!("is a whole pickled model with its source code, which is no weights: {advice}");
        return Err(Error::format(source.name(), words));
    }
    let (word, kind, key, count, view) = match *items {
        [word, kind, key, _, count] => (word, kind, key, count, Value::None),
        [word, kind, key, _, count, view] => (word, kind, key, count, view),
        _ => return broken(source, "a storage's id has other than five or six parts"),
    };
    match (pickle.text(word), pickle.node(kind), key_text(pickle, key), count) {
        (Some("storage"), Some(&Node::Global(Known::Storage(dtype))), Some(key), Value::Int(count)) if count >= 0 => {
            Ok((dtype, key, count as u64, view))
        }
        _ => broken(source, "a storage's id is not one of ('storage', type, key, location, size)"),
    }
}

/// Keys are texts, or numbers in old files.
fn key_text(pickle: &Pickle, key: Value) -> Option<String> {
    match key {
        Value::Int(number) => Some(number.to_string()),
        _ => pickle.text(key).map(str::to_string),
    }
}

/// Bytes of `count` elements; storages without type count bytes.
fn storage_len(source: &Source, dtype: Option<Dtype>, count: u64) -> Result<u64> {
    match count.checked_mul(dtype.map_or(1, |dtype| dtype.bits() as u64 / 8)) {
        Some(len) => Ok(len),
        None => broken(source, format!("a storage of {count} elements is too large")),
    }
}

impl Reader for Pytorch {
    fn format(&self) -> &'static str {
        FORMAT
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, index: usize) -> Result<Raw> {
        let Some((entry, view)) = self.entries.get(index).zip(self.views.get(index)) else {
            return Err(Error::Argument(format!("no tensor number {index} in {}", self.source.name())));
        };
        let size = entry.dtype.bits() / 8;
        let len = (entry.numel() * size) as u64;
        let mut bytes = match &view.strides {
            None => self.source.read(view.start, len)?,
            Some(strides) => {
                let last: usize = entry.shape.iter().zip(strides).map(|(&size, &stride)| (size - 1) * stride).sum();
                let span = self.source.read(view.start, ((last + 1) * size) as u64)?;
                gather(&span, &entry.shape, strides, size)
            }
        };
        if self.big_endian {
            let part = match entry.dtype {
                // A complex number is two.
                Dtype::Other { name: "C32" | "C64" | "C128", .. } => size / 2,
                _ => size,
            };
            bytes.chunks_exact_mut(part).for_each(<[u8]>::reverse);
        }
        Ok(Raw { dtype: entry.dtype, shape: entry.shape.clone(), bytes })
    }

    fn place(&self, index: usize) -> Option<(&Source, u64)> {
        let (entry, view) = self.entries.get(index).zip(self.views.get(index))?;
        let plain = view.strides.is_none() && (!self.big_endian || entry.dtype.bits() == 8);
        plain.then_some((&self.source, view.start))
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

/// The elements of a strided view in row-major order. No size is 0.
fn gather(span: &[u8], shape: &[usize], strides: &[usize], size: usize) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let mut bytes = Vec::with_capacity(count * size);
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    for _ in 0..count {
        bytes.extend_from_slice(span.get(at * size..(at + 1) * size).unwrap_or(&[]));
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= shape[axis] * strides[axis];
            index[axis] = 0;
        }
    }
    bytes
}
