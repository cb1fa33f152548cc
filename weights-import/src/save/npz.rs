//! NumPy's archive of arrays.

use super::zip::Zip;
use super::{given, lens, rounded};
use crate::atomic::{atomic_write, atomically};
use crate::formats::numpy::DTYPES;
use crate::zip::plain;
use crate::{Dtype, Entry, Error, Result};
use std::path::Path;
use ukulele_tensor::Tensor;

/// Writes tensors as an npz archive, uncompressed, atomically (see [`crate::atomic_write`]).
///
/// Values are in row-major order, rounded to `dtype` (`F32` or `F16`; NumPy has no `BF16`). The same arguments give the
/// same bytes.
///
/// # Errors
/// As [`crate::save_safetensors`], and names that lead out of an archive.
pub fn save_npz(path: impl AsRef<Path>, tensors: &[(String, &Tensor)], dtype: Dtype) -> Result<()> {
    let (entries, bytes) = rounded(tensors, dtype);
    write_npz(path, &entries, bytes)
}

/// [`save_npz`] for raw tensors of any element type that NumPy has; see [`crate::write_safetensors`].
///
/// # Errors
/// As [`save_npz`]; those of `bytes`; and a number of bytes that does not fit the entry.
pub fn write_npz(
    path: impl AsRef<Path>,
    entries: &[Entry],
    mut bytes: impl FnMut(usize) -> Result<Vec<u8>>,
) -> Result<()> {
    let path = path.as_ref();
    let lens = lens(entries)?;
    let headers = entries.iter().map(header).collect::<Result<Vec<_>>>()?;
    atomically(path, |out| {
        let mut zip = Zip::new(out, path);
        for (index, entry) in entries.iter().enumerate() {
            let data = given(entry, lens[index], bytes(index)?)?;
            zip.member(&format!("{}.npy", entry.name), &[&headers[index], &data], 1)?;
        }
        zip.finish()
    })
}

/// Writes one tensor as an `.npy` file of `f32`, atomically.
///
/// # Errors
/// The file cannot be written.
pub fn save_npy(path: impl AsRef<Path>, tensor: &Tensor) -> Result<()> {
    let entry = Entry { name: "values".into(), shape: tensor.shape().to_vec(), dtype: Dtype::F32 };
    let header = header(&entry)?;
    let values: Vec<u8> = tensor.to_vec().into_iter().flat_map(f32::to_le_bytes).collect();
    atomic_write(path, |out| {
        out.write_all(&header)?;
        out.write_all(&values)
    })
}

/// What precedes the numbers, filled up to a multiple of 64 bytes.
fn header(entry: &Entry) -> Result<Vec<u8>> {
    let Entry { name, shape, dtype } = entry;
    plain(format!("{name}.npy").as_bytes()).map_err(|e| Error::Argument(format!("a tensor {e}")))?;
    let Some((kind, _)) = DTYPES.iter().find(|(_, ours)| ours == dtype) else {
        return Err(Error::Argument(format!("tensor {name} is {dtype}, which NumPy does not have; save it as F32")));
    };
    let order = if dtype.bits() == 8 { '|' } else { '<' };
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if sizes.len() == 1 { "," } else { "" };
    let text =
        format!("{{'descr': '{order}{kind}', 'fortran_order': False, 'shape': ({}{comma}), }}", sizes.join(", "));
    let len = (10 + text.len() + 1).next_multiple_of(64) - 10;
    match u16::try_from(len) {
        Ok(short) => {
            Ok([b"\x93NUMPY\x01\0", &short.to_le_bytes()[..], format!("{text:<0$}\n", len - 1).as_bytes()].concat())
        }
        Err(_) => Err(Error::Argument(format!("tensor {name} has too many dimensions"))),
    }
}
