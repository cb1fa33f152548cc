//! Tensors to files: safetensors, npz, PyTorch.
//!
//! Each format is written from raw tensors, an [`Entry`] and bytes that are asked for one tensor after the other, so that
//! any element type is kept and in memory there is one tensor at a time; and from [`Tensor`]s, which are rounded.

mod npz;
mod pytorch;
mod zip;

pub use npz::{save_npy, save_npz, write_npz};
pub use pytorch::{save_pytorch, write_pytorch};

use crate::atomic::atomically;
use crate::{Dtype, Entry, Error, Result, dtype};
use std::collections::BTreeSet;
use std::path::Path;
use ukulele_tensor::Tensor;

/// Writes tensors as a safetensors file, atomically (see [`crate::atomic_write`]).
///
/// Values are in row-major order whatever the tensor's memory layout, rounded to `dtype` (`F32`, `F16` or `BF16`).
/// `metadata` becomes the file's `__metadata__`; `("format", "pt")` is what Hugging Face's loader looks for and is
/// added if absent. The same arguments give the same bytes. In memory there is one tensor at a time.
///
/// # Errors
/// Two tensors of one name, values too large for `dtype`, another `dtype`, or a file system that refuses; the file at
/// `path` is then as it was.
pub fn save_safetensors(
    path: impl AsRef<Path>,
    tensors: &[(String, &Tensor)],
    metadata: &[(String, String)],
    dtype: Dtype,
) -> Result<()> {
    let (entries, bytes) = rounded(tensors, dtype);
    write_safetensors(path, &entries, metadata, bytes)
}

/// [`save_safetensors`] for raw tensors of any element type: `bytes` gives those of entry number `index`, little-endian
/// and row-major, and is asked once for each, in order.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("write-safetensors-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let (from, to) = (folder.join("from.safetensors"), folder.join("to.safetensors"));
/// # let ones = ukulele_tensor::Tensor::from_vec(&[2], vec![1., 1.])?;
/// # weights_import::save_safetensors(&from, &[("x".into(), &ones)], &[], weights_import::Dtype::Bf16)?;
/// let weights = weights_import::open(&from)?; // of any format
/// let entries = weights.entries();
/// weights_import::write_safetensors(&to, entries, &[], |index| Ok(weights.raw(&entries[index].name)?.bytes))?;
/// # assert_eq!(weights_import::open(&to)?.raw("x")?, weights.raw("x")?);
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`save_safetensors`]; those of `bytes`; and a number of bytes that does not fit the entry.
pub fn write_safetensors(
    path: impl AsRef<Path>,
    entries: &[Entry],
    metadata: &[(String, String)],
    mut bytes: impl FnMut(usize) -> Result<Vec<u8>>,
) -> Result<()> {
    let path = path.as_ref();
    let lens = lens(entries)?;
    let header = header(entries, &lens, metadata)?;
    atomically(path, |out| {
        let mut write = |bytes: &[u8]| out.write_all(bytes).map_err(|e| Error::io("write", path, e));
        write(&(header.len() as u64).to_le_bytes())?;
        write(header.as_bytes())?;
        for (index, entry) in entries.iter().enumerate() {
            write(&given(entry, lens[index], bytes(index)?)?)?;
        }
        Ok(())
    })
}

/// The first `len` bytes of a safetensors file, a multiple of eight, filled up with spaces: for one whose tensors are written
/// before it is known how many rows they have. The bytes of the entries must then follow, without gaps.
///
/// ```
/// use weights_import::{Dtype, Entry, from_bytes, safetensors_head};
/// let entries = ["a", "b"].map(|name| Entry { name: name.into(), shape: vec![2], dtype: Dtype::U8 });
/// let file = [safetensors_head(&entries, &[], 400)?, vec![1, 2, 3, 4]].concat();
/// let weights = from_bytes(file, "x")?;
/// assert_eq!(weights.raw("b")?.bytes, [3, 4]);
/// assert_eq!(weights.place("b").map(|bytes| bytes.read(1, 1)).transpose()?, Some(vec![4]));
/// assert!(safetensors_head(&entries, &[], 100).is_err());
/// # Ok::<(), weights_import::Error>(())
/// ```
///
/// # Errors
/// As [`write_safetensors`]; a header that does not fit.
pub fn safetensors_head(entries: &[Entry], metadata: &[(String, String)], len: usize) -> Result<Vec<u8>> {
    let header = header(entries, &lens(entries)?, metadata)?;
    let Some(room) = len.checked_sub(8).filter(|&room| header.len() <= room && room.is_multiple_of(8)) else {
        let needed = (8 + header.len()).next_multiple_of(8);
        return Err(Error::Argument(format!(
            "a header of {len} bytes: it takes {needed}, or more that are a multiple of 8"
        )));
    };
    let mut head = (room as u64).to_le_bytes().to_vec();
    head.extend(header.bytes());
    head.resize(len, b' ');
    Ok(head)
}

/// The entries of tensors that are rounded to `dtype` when their turn comes.
fn rounded<'t>(
    tensors: &'t [(String, &Tensor)],
    dtype: Dtype,
) -> (Vec<Entry>, impl FnMut(usize) -> Result<Vec<u8>> + 't) {
    let entry =
        |(name, tensor): &(String, &Tensor)| Entry { name: name.clone(), shape: tensor.shape().to_vec(), dtype };
    let entries = tensors.iter().map(entry).collect();
    (entries, move |index| {
        let (name, tensor) = &tensors[index];
        dtype::from_f32(name, dtype, &tensor.to_vec())
    })
}

/// The bytes of each entry; their names are unique.
fn lens(entries: &[Entry]) -> Result<Vec<usize>> {
    let mut names = BTreeSet::new();
    let mut lens = Vec::with_capacity(entries.len());
    for Entry { name, shape, dtype } in entries {
        if !names.insert(name) {
            return Err(Error::Argument(format!("two tensors are named {name}")));
        }
        let count = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        match count.and_then(|count| dtype.bytes(count)) {
            Some(len) => lens.push(len),
            None => return Err(Error::Argument(format!("tensor {name} is too large to save"))),
        }
    }
    Ok(lens)
}

/// `bytes`, if they are as many as the entry has.
fn given(entry: &Entry, len: usize, bytes: Vec<u8>) -> Result<Vec<u8>> {
    if bytes.len() == len {
        return Ok(bytes);
    }
    let Entry { name, shape, dtype } = entry;
    Err(Error::Argument(format!("tensor {name} has {} bytes, which does not fit {dtype}{shape:?}", bytes.len())))
}

/// The JSON header, filled up with spaces to a multiple of eight bytes.
fn header(entries: &[Entry], lens: &[usize], metadata: &[(String, String)]) -> Result<String> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut keys = BTreeSet::new();
    let mut said = Vec::new();
    if !metadata.iter().any(|(key, _)| key == "format") {
        said.push(format!("{}:{}", quoted("format"), quoted("pt")));
    }
    for (key, value) in metadata {
        if !keys.insert(key) {
            return Err(Error::Argument(format!("two entries of the metadata are named {key}")));
        }
        said.push(format!("{}:{}", quoted(key), quoted(value)));
    }
    let mut parts = vec![format!("\"__metadata__\":{{{}}}", said.join(","))];
    let mut start = 0usize;
    for (Entry { name, shape, dtype }, len) in entries.iter().zip(lens) {
        if name == "__metadata__" {
            return Err(Error::Argument("no tensor of a safetensors file can be named __metadata__".to_string()));
        }
        if matches!(dtype, Dtype::Other { name: "C32" | "C128", .. }) {
            return Err(Error::Argument(format!("tensor {name} is {dtype}, which safetensors does not have")));
        }
        let Some(end) = start.checked_add(*len) else {
            return Err(Error::Argument(format!("tensor {name} is too large to save")));
        };
        let shape = serde_json::Value::from(shape.as_slice());
        let name = quoted(name);
        parts.push(format!("{name}:{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{start},{end}]}}"));
        start = end;
    }
    let mut header = format!("{{{}}}", parts.join(","));
    let padding = header.len().next_multiple_of(8) - header.len();
    header.push_str(&" ".repeat(padding));
    Ok(header)
}
