//! safetensors: a u64 length, a JSON header of that length, and the tensors one after the other.
//!
//! Source: <https://github.com/huggingface/safetensors#format>. The length is compared with the file before anything is
//! allocated; names are unique; the tensors' bytes follow each other without gap or overlap up to the end of the file.

use crate::json::{self, Scanner};
use crate::{Dtype, Entry, Error, Raw, Reader, Result, Source};
use std::collections::{BTreeMap, BTreeSet};

const FORMAT: &str = "safetensors";

/// The format's own limit of the header.
const LARGEST_HEADER: u64 = 100_000_000;

/// The format's names of element types.
const DTYPES: &[(&str, Dtype)] = &[
    ("F32", Dtype::F32),
    ("F16", Dtype::F16),
    ("BF16", Dtype::Bf16),
    ("F64", Dtype::F64),
    ("I64", Dtype::I64),
    ("I32", Dtype::I32),
    ("I16", Dtype::I16),
    ("I8", Dtype::I8),
    ("U64", Dtype::U64),
    ("U32", Dtype::U32),
    ("U16", Dtype::U16),
    ("U8", Dtype::U8),
    ("BOOL", Dtype::Bool),
    ("F8_E5M2", Dtype::Other { name: "F8_E5M2", bits: 8 }),
    ("F8_E4M3", Dtype::Other { name: "F8_E4M3", bits: 8 }),
    ("F8_E8M0", Dtype::Other { name: "F8_E8M0", bits: 8 }),
    ("F8_E4M3FNUZ", Dtype::Other { name: "F8_E4M3FNUZ", bits: 8 }),
    ("F8_E5M2FNUZ", Dtype::Other { name: "F8_E5M2FNUZ", bits: 8 }),
    ("C64", Dtype::Other { name: "C64", bits: 64 }),
    ("F4", Dtype::Other { name: "F4", bits: 4 }),
    ("F6_E2M3", Dtype::Other { name: "F6_E2M3", bits: 6 }),
    ("F6_E3M2", Dtype::Other { name: "F6_E3M2", bits: 6 }),
];

/// The length, then an object. (A length that is too large is a broken file, not another format.)
pub(super) fn probe(head: &[u8], _: &Source) -> bool {
    matches!(head, [_, _, _, _, _, _, _, _, b'{', b'"' | b'}' | b' ' | b'\n' | b'\r' | b'\t', ..])
}

#[derive(Debug)]
struct Safetensors {
    source: Source,
    entries: Vec<Entry>,
    /// First byte of each tensor in the file.
    starts: Vec<u64>,
    metadata: BTreeMap<String, String>,
}

/// What the header says.
#[derive(Default)]
struct Header {
    tensors: Vec<(String, Tensor)>,
    metadata: BTreeMap<String, String>,
}

#[derive(Clone)]
struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    span: [usize; 2],
}

pub(super) fn open(source: Source) -> Result<Box<dyn Reader>> {
    let broken = |message: String| Error::corrupt(source.name(), FORMAT, message);
    let mut length = [0; 8];
    length.copy_from_slice(&source.read(0, 8)?);
    let length = u64::from_le_bytes(length);
    let left = source.len() - 8;
    if length > LARGEST_HEADER {
        return Err(broken(format!("its header claims {length} bytes, the limit is {LARGEST_HEADER}")));
    }
    if length > left {
        return Err(broken(format!(
            "its header claims {length} bytes, but only {left} follow (is the download complete?)"
        )));
    }
    let text = String::from_utf8(source.read(8, length)?).map_err(|e| broken(format!("header: {e}")))?;
    let header = header(&text).map_err(broken)?;

    let mut spans: Vec<&(String, Tensor)> = header.tensors.iter().collect();
    spans.sort_by_key(|(_, t)| t.span);
    let mut end = 0;
    for (name, t) in spans {
        let [from, to] = t.span;
        let count = t.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let bytes = count.and_then(|count| t.dtype.bytes(count));
        if from != end {
            return Err(broken(format!(
                "tensor {name} begins at byte {from} of the data, the one before it ends at {end}"
            )));
        }
        if to < from || bytes != Some(to - from) {
            let claim = format!("{}{:?}", t.dtype, t.shape);
            return Err(broken(format!("tensor {name} takes the bytes {from} to {to}, which does not fit {claim}")));
        }
        end = to;
    }
    if end as u64 != left - length {
        return Err(broken(format!("its tensors take {end} bytes, but {} follow the header", left - length)));
    }

    let starts = header.tensors.iter().map(|(_, t)| 8 + length + t.span[0] as u64).collect();
    let entries = header.tensors.into_iter().map(|(name, t)| Entry { name, shape: t.shape, dtype: t.dtype }).collect();
    Ok(Box::new(Safetensors { entries, starts, metadata: header.metadata, source }))
}

fn header(text: &str) -> json::Result<Header> {
    let mut found = Header::default();
    let mut names = BTreeSet::new();
    let mut scanner = Scanner::new(text);
    scanner.object(|s, name| {
        if !names.insert(name.clone()) {
            return Err(format!("two entries are named {name}"));
        }
        if name == "__metadata__" {
            return s.object(|s, key| {
                let value = s.string()?;
                match found.metadata.insert(key.clone(), value) {
                    None => Ok(()),
                    Some(_) => Err(format!("two entries of __metadata__ are named {key}")),
                }
            });
        }
        let tensor = tensor(s).map_err(|e| format!("tensor {name}: {e}"))?;
        found.tensors.push((name, tensor));
        Ok(())
    })?;
    scanner.end()?;
    Ok(found)
}

/// `{"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}`
fn tensor(s: &mut Scanner<'_>) -> json::Result<Tensor> {
    let (mut dtype, mut shape, mut span) = (None, None, None);
    s.object(|s, key| {
        let twice = match key.as_str() {
            "dtype" => {
                let name = s.string()?;
                let found = DTYPES.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
                dtype.replace(found.ok_or_else(|| unknown(&name))?).is_some()
            }
            "shape" => shape.replace(sizes(s)?).is_some(),
            "data_offsets" => span.replace(sizes(s)?).is_some(),
            _ => return s.skip(),
        };
        if twice { Err(format!("two fields are named {key}")) } else { Ok(()) }
    })?;
    let span: Vec<usize> = span.ok_or("has no data_offsets")?;
    let [start, end] = span[..] else { return Err("data_offsets are not two numbers".to_string()) };
    let shape: Vec<usize> = shape.ok_or("has no shape")?;
    Ok(Tensor { dtype: dtype.ok_or("has no dtype")?, shape, span: [start, end] })
}

fn unknown(dtype: &str) -> String {
    format!("unknown element type {dtype} (newer than this program?): write the file anew as F16 or F32")
}

fn sizes(s: &mut Scanner<'_>) -> json::Result<Vec<usize>> {
    let mut sizes = Vec::new();
    s.array(|s| {
        sizes.push(usize::try_from(s.integer()?).map_err(|_| "a size too large for this machine".to_string())?);
        Ok(())
    })?;
    Ok(sizes)
}

impl Reader for Safetensors {
    fn format(&self) -> &'static str {
        FORMAT
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, index: usize) -> Result<Raw> {
        let Some((entry, &start)) = self.entries.get(index).zip(self.starts.get(index)) else {
            return Err(Error::Argument(format!("no tensor number {index} in {}", self.source.name())));
        };
        let too_large = || Error::corrupt(self.source.name(), FORMAT, format!("{} is too large", entry.name));
        let bytes = entry.dtype.bytes(entry.numel()).ok_or_else(too_large)?;
        Ok(Raw { dtype: entry.dtype, shape: entry.shape.clone(), bytes: self.source.read(start, bytes as u64)? })
    }

    fn place(&self, index: usize) -> Option<(&Source, u64)> {
        self.starts.get(index).map(|&start| (&self.source, start))
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}
