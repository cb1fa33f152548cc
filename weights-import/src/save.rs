//! Tensors to a safetensors file.

use crate::atomic::atomically;
use crate::{Dtype, Error, Result, dtype};
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
    let path = path.as_ref();
    let header = header(tensors, metadata, dtype)?;
    atomically(path, |out| {
        let mut write = |bytes: &[u8]| out.write_all(bytes).map_err(|e| Error::io("write", path, e));
        write(&(header.len() as u64).to_le_bytes())?;
        write(header.as_bytes())?;
        for (name, tensor) in tensors {
            write(&dtype::from_f32(name, dtype, &tensor.to_vec())?)?;
        }
        Ok(())
    })
}

/// The JSON header, filled up with spaces to a multiple of eight bytes.
fn header(tensors: &[(String, &Tensor)], metadata: &[(String, String)], dtype: Dtype) -> Result<String> {
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
    let mut names = BTreeSet::new();
    let mut start = 0usize;
    for (name, tensor) in tensors {
        if !names.insert(name) || name == "__metadata__" {
            return Err(Error::Argument(format!("two tensors are named {name}")));
        }
        let too_large = || Error::Argument(format!("tensor {name} is too large to save"));
        let bytes = dtype.bytes(tensor.numel()).ok_or_else(too_large)?;
        let end = start.checked_add(bytes).ok_or_else(too_large)?;
        let shape = serde_json::Value::from(tensor.shape());
        let name = quoted(name);
        parts.push(format!("{name}:{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{start},{end}]}}"));
        start = end;
    }
    let mut header = format!("{{{}}}", parts.join(","));
    let padding = header.len().next_multiple_of(8) - header.len();
    header.push_str(&" ".repeat(padding));
    Ok(header)
}
