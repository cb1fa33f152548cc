//! NumPy: one array (`.npy`), or a zip of arrays (`.npz`).
//!
//! An array is `\x93NUMPY`, a version, the length of a header, a header that is a literal of Python
//! (`{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`), and the numbers. A lone array is named after its file
//! without the ending; those of an archive after their members without `.npy`. Source: `numpy/lib/_format_impl.py`.

use crate::zip::{self, Archive, Method};
use crate::{Dtype, Entry, Error, Raw, Reader, Result, Source};
use std::collections::{BTreeMap, BTreeSet};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Longest header that is read; NumPy's own limit is 10,000 bytes.
const LONGEST_HEADER: u64 = 1 << 16;

/// NumPy's own limit of dimensions.
const MOST_DIMS: usize = 64;

/// A deflated array may take this many times its packed bytes in memory, and [`SPARE`] more: as it is, and as the widest
/// numbers that it is given as.
const RATIO: u64 = 16;
const SPARE: u64 = 60 << 20;

/// NumPy's kinds and sizes of elements.
pub(crate) const DTYPES: &[(&str, Dtype)] = &[
    ("b1", Dtype::Bool),
    ("u1", Dtype::U8),
    ("i1", Dtype::I8),
    ("u2", Dtype::U16),
    ("i2", Dtype::I16),
    ("u4", Dtype::U32),
    ("i4", Dtype::I32),
    ("u8", Dtype::U64),
    ("i8", Dtype::I64),
    ("f2", Dtype::F16),
    ("f4", Dtype::F32),
    ("f8", Dtype::F64),
    ("c8", Dtype::Other { name: "C64", bits: 64 }),
    ("c16", Dtype::Other { name: "C128", bits: 128 }),
];

pub(super) fn probe_npy(head: &[u8], _: &Source) -> bool {
    head.starts_with(MAGIC)
}

pub(super) fn probe_npz(head: &[u8], source: &Source) -> bool {
    let names = zip::names(head, source);
    !names.is_empty() && names.iter().all(|name| name.ends_with(".npy"))
}

/// What the header of an array says.
#[derive(Debug)]
struct Array {
    dtype: Dtype,
    big_endian: bool,
    /// The first axis moves fastest.
    fortran: bool,
    shape: Vec<usize>,
    /// First byte of the numbers.
    start: u64,
}

#[derive(Debug)]
struct Numpy {
    format: &'static str,
    source: Source,
    archive: Option<Archive>,
    entries: Vec<Entry>,
    /// With the number of its member, in an archive.
    arrays: Vec<(Array, usize)>,
    metadata: BTreeMap<String, String>,
}

pub(super) fn open_npy(source: Source) -> Result<Box<dyn Reader>> {
    let file = source.file_name();
    let name = match file.strip_suffix(".npy").unwrap_or(file) {
        "" => "array",
        stem => stem,
    };
    let head = source.head(LONGEST_HEADER)?;
    let array = array(&head, source.len()).map_err(|e| e.at(source.name(), "npy"))?;
    let entries = vec![Entry { name: name.to_string(), shape: array.shape.clone(), dtype: array.dtype }];
    let arrays = vec![(array, 0)];
    Ok(Box::new(Numpy { format: "npy", source, archive: None, entries, arrays, metadata: BTreeMap::new() }))
}

pub(super) fn open_npz(source: Source) -> Result<Box<dyn Reader>> {
    let archive = Archive::open(&source, "npz")?;
    let (mut entries, mut arrays, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (number, member) in archive.members().iter().enumerate() {
        let Some(name) = member.name.strip_suffix(".npy") else {
            let words = format!("holds {}, which is no array", member.name);
            return Err(Error::corrupt(source.name(), "npz", words));
        };
        // Most headers are short: the rest is read only if this one is long.
        let mut head = archive.head(member, 256)?;
        if header_end(&head).is_none_or(|end| end > head.len() as u64) {
            head = archive.head(member, LONGEST_HEADER)?;
        }
        let array = array(&head, member.size).map_err(|e| e.at(&format!("{}/{name}", source.name()), "npz"))?;
        if member.method == Method::Deflated
            && widest(&array) > member.packed.saturating_mul(RATIO).saturating_add(SPARE)
        {
            return Err(Error::corrupt(source.name(), "npz", zip::bomb(name, member.packed, member.size)));
        }
        if !names.insert(name) {
            return Err(Error::corrupt(source.name(), "npz", format!("two arrays are named {name}")));
        }
        entries.push(Entry { name: name.to_string(), shape: array.shape.clone(), dtype: array.dtype });
        arrays.push((array, number));
    }
    Ok(Box::new(Numpy { format: "npz", source, archive: Some(archive), entries, arrays, metadata: BTreeMap::new() }))
}

/// Why an array is not read.
enum Fault {
    Broken(String),
    Refused(String),
}

impl Fault {
    fn at(self, file: &str, format: &'static str) -> Error {
        match self {
            Self::Broken(message) => Error::corrupt(file, format, message),
            Self::Refused(message) => Error::format(file, message),
        }
    }
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self::Broken(message)
    }
}

/// First byte behind the header.
fn header_end(head: &[u8]) -> Option<u64> {
    match *head.get(6..12)? {
        [1, 0, a, b, ..] => Some(10 + u64::from(u16::from_le_bytes([a, b]))),
        [2 | 3, 0, a, b, c, d] => Some(12 + u64::from(u32::from_le_bytes([a, b, c, d]))),
        _ => None,
    }
}

/// The array that starts so and has `len` bytes in all.
fn array(head: &[u8], len: u64) -> std::result::Result<Array, Fault> {
    if !head.starts_with(MAGIC) {
        return Err(Fault::Broken("does not start with the signature of an array".into()));
    }
    let end = header_end(head).ok_or_else(|| "is of an unknown version, or cut".to_string())?;
    let start = if head.get(6) == Some(&1) { 10 } else { 12 };
    if end > len || end > LONGEST_HEADER {
        return Err(Fault::Broken(format!("its header ends at byte {end} of {len} (is the download complete?)")));
    }
    let text = head.get(start..end as usize).ok_or_else(|| "its header is cut".to_string())?;
    let text = std::str::from_utf8(text).map_err(|_| "its header is not UTF-8".to_string())?;
    let Header { descr, fortran, shape } = Literal { rest: text }.header()?;
    let (order, kind) = descr.split_at_checked(1).unwrap_or_default();
    let found = DTYPES.iter().find(|(theirs, _)| *theirs == kind).map(|&(_, ours)| ours);
    let dtype = match (order, found) {
        ("<" | ">", Some(dtype)) => dtype,
        ("|", Some(dtype)) if dtype.bits() == 8 => dtype,
        _ if descr.trim_start_matches(['|', '<', '>', '=']).starts_with('O') => {
            let words = "holds Python objects, which can run code when they are read (CVE-2019-6446): refused; \
                         save numbers";
            return Err(Fault::Refused(words.into()));
        }
        _ => return Err(Fault::Refused(format!("holds elements of the type {descr:?}, which are not read"))),
    };
    let count = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let bytes = count.and_then(|count| dtype.bytes(count));
    if bytes.map(|bytes| bytes as u64) != Some(len - end) {
        return Err(Fault::Broken(format!("has {} bytes of numbers, which does not fit {dtype}{shape:?}", len - end)));
    }
    Ok(Array { dtype, big_endian: order == ">", fortran, shape, start: end })
}

/// Bytes of an array in memory: its own, and those of the numbers that [`crate::Weights`] gives.
fn widest(array: &Array) -> u64 {
    let count = array.shape.iter().product::<usize>() as u64;
    let given = if array.dtype.is_float() { 4 } else { 8 };
    count.saturating_mul(given + array.dtype.bits() as u64 / 8)
}

struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
}

/// The few literals of Python that a header has.
struct Literal<'t> {
    rest: &'t str,
}

impl<'t> Literal<'t> {
    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start_matches([' ', '\n']);
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, token: &str) -> std::result::Result<(), Fault> {
        match self.take(token) {
            true => Ok(()),
            false => {
                let near: String = self.rest.chars().take(20).collect();
                Err(Fault::Broken(format!("its header needs {token:?} where it has {near:?}")))
            }
        }
    }

    fn header(&mut self) -> std::result::Result<Header, Fault> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.need("{")?;
        while !self.take("}") {
            let key = self.string()?;
            self.need(":")?;
            let twice = match key {
                "descr" if self.take("[") => {
                    return Err(Fault::Refused("holds records of several fields, which are not read".into()));
                }
                "descr" => descr.replace(self.string()?.to_string()).is_some(),
                "fortran_order" if self.take("True") => fortran.replace(true).is_some(),
                "fortran_order" => {
                    self.need("False")?;
                    fortran.replace(false).is_some()
                }
                "shape" => shape.replace(self.shape()?).is_some(),
                _ => return Err(Fault::Broken(format!("its header has the unknown key {key:?}"))),
            };
            if twice {
                return Err(Fault::Broken(format!("its header has two keys {key:?}")));
            }
            if !self.take(",") {
                self.need("}")?;
                break;
            }
        }
        match (descr, fortran, shape) {
            (Some(descr), Some(fortran), Some(shape)) if self.rest.trim().is_empty() => {
                Ok(Header { descr, fortran, shape })
            }
            _ => Err(Fault::Broken("its header is not {'descr', 'fortran_order', 'shape'} alone".into())),
        }
    }

    fn string(&mut self) -> std::result::Result<&'t str, Fault> {
        let quote = if self.take("\"") { '"' } else { '\'' };
        if quote == '\'' {
            self.need("'")?;
        }
        match self.rest.split_once(quote) {
            Some((text, rest)) if !text.contains('\\') => {
                self.rest = rest;
                Ok(text)
            }
            _ => Err(Fault::Broken("its header has a text without end".into())),
        }
    }

    /// `()`, `(3,)`, `(2, 3)`; Python 2 wrote `(2L, 3L)`.
    fn shape(&mut self) -> std::result::Result<Vec<usize>, Fault> {
        let mut shape = Vec::new();
        self.need("(")?;
        while !self.take(")") {
            self.take("");
            let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = self.rest.split_at(digits);
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            let size = number.parse().map_err(|_| format!("its shape has {number:?} where a size should be"))?;
            shape.push(size);
            if shape.len() > MOST_DIMS {
                return Err(Fault::Broken(format!("has more than {MOST_DIMS} dimensions")));
            }
            // One size needs its comma: (3) is a number.
            if !self.take(",") {
                if shape.len() == 1 {
                    return Err(Fault::Broken("its shape is a number, not a tuple".into()));
                }
                self.need(")")?;
                break;
            }
        }
        Ok(shape)
    }
}

/// From the order in which the first axis moves fastest to that in which the last does.
fn row_major(bytes: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = size;
    for &dim in shape {
        strides.push(stride);
        stride *= dim;
    }
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    while out.len() < bytes.len() {
        out.extend_from_slice(bytes.get(at..at + size).unwrap_or(&[0; 16][..size.min(16)]));
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
    out
}

impl Reader for Numpy {
    fn format(&self) -> &'static str {
        self.format
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, index: usize) -> Result<Raw> {
        let Some((array, number)) = self.arrays.get(index) else {
            return Err(Error::Argument(format!("no tensor number {index} in {}", self.source.name())));
        };
        let size = array.dtype.bits() / 8;
        let len = array.shape.iter().product::<usize>() * size;
        let mut bytes = match self.archive.as_ref().and_then(|archive| Some((archive, archive.members().get(*number)?)))
        {
            Some((archive, member)) => {
                let mut all = archive.read(member)?;
                drop(all.drain(..all.len().min(array.start as usize)));
                all
            }
            None => self.source.read(array.start, len as u64)?,
        };
        if array.fortran && array.shape.len() > 1 {
            bytes = row_major(&bytes, &array.shape, size);
        }
        if array.big_endian {
            // A complex number is two.
            let part = if matches!(array.dtype, Dtype::Other { .. }) { size / 2 } else { size };
            bytes.chunks_exact_mut(part).for_each(<[u8]>::reverse);
        }
        Ok(Raw { dtype: array.dtype, shape: array.shape.clone(), bytes })
    }

    fn place(&self, index: usize) -> Option<(&Source, u64)> {
        let (array, _) = self.arrays.get(index)?;
        let plain = (!array.fortran || array.shape.len() < 2) && (!array.big_endian || array.dtype.bits() == 8);
        // Those of an archive are compared with their checksum when they are read.
        (plain && self.archive.is_none()).then_some((&self.source, array.start))
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}
