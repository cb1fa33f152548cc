//! PyTorch's zip.

use super::zip::Zip;
use super::{given, lens, rounded};
use crate::atomic::atomically;
use crate::pickle::TYPES;
use crate::{Dtype, Entry, Error, Result};
use std::path::Path;
use ukulele_tensor::Tensor;

/// Where PyTorch lets storages begin.
const ALIGN: u64 = 64;

/// Writes tensors as a PyTorch file (`.pth`), an `OrderedDict` as `state_dict()` gives it, atomically (see
/// [`crate::atomic_write`]); `torch.load(path, weights_only=True)` reads it.
///
/// Values are in row-major order, rounded to `dtype` (`F32`, `F16` or `BF16`). The same arguments give the same bytes.
///
/// # Errors
/// As [`crate::save_safetensors`].
pub fn save_pytorch(path: impl AsRef<Path>, tensors: &[(String, &Tensor)], dtype: Dtype) -> Result<()> {
    let (entries, bytes) = rounded(tensors, dtype);
    write_pytorch(path, &entries, bytes)
}

/// [`save_pytorch`] for raw tensors of any element type that PyTorch has; see [`crate::write_safetensors`].
///
/// # Errors
/// As [`save_pytorch`]; those of `bytes`; and a number of bytes that does not fit the entry.
pub fn write_pytorch(
    path: impl AsRef<Path>,
    entries: &[Entry],
    mut bytes: impl FnMut(usize) -> Result<Vec<u8>>,
) -> Result<()> {
    let path = path.as_ref();
    let lens = lens(entries)?;
    let pickle = pickle(entries, &lens)?;
    atomically(path, |out| {
        let mut zip = Zip::new(out, path);
        zip.member("archive/data.pkl", &[&pickle], ALIGN)?;
        zip.member("archive/.format_version", &[b"1"], ALIGN)?;
        zip.member("archive/.storage_alignment", &[ALIGN.to_string().as_bytes()], ALIGN)?;
        zip.member("archive/byteorder", &[b"little"], ALIGN)?;
        for (index, entry) in entries.iter().enumerate() {
            zip.member(&format!("archive/data/{index}"), &[&given(entry, lens[index], bytes(index)?)?], ALIGN)?;
        }
        zip.member("archive/version", &[b"3\n"], ALIGN)?;
        zip.finish()
    })
}

/// `OrderedDict([(name, tensor), ...])` in protocol 2; the storage of a tensor has its number as key.
fn pickle(entries: &[Entry], lens: &[usize]) -> Result<Vec<u8>> {
    let mut out = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    for (index, (Entry { name, shape, dtype }, &len)) in entries.iter().zip(lens).enumerate() {
        let Some((storage, element, _)) = TYPES.iter().find(|(.., ours)| ours == dtype) else {
            return Err(Error::Argument(format!("tensor {name} is {dtype}, which PyTorch does not have")));
        };
        text(&mut out, name)?;
        // Types that came late have storages of bytes, and the tensor says the type.
        let late = storage.is_empty();
        out.extend(if late {
            &b"ctorch._utils\n_rebuild_tensor_v3\n(("[..]
        } else {
            b"ctorch._utils\n_rebuild_tensor_v2\n(("
        });
        text(&mut out, "storage")?;
        match late {
            true => out.extend(b"ctorch.storage\nUntypedStorage\n"),
            false => out.extend(format!("ctorch\n{storage}\n").as_bytes()),
        }
        text(&mut out, &index.to_string())?;
        text(&mut out, "cpu")?;
        integer(&mut out, if late { len } else { shape.iter().product() });
        out.extend(b"tQK\0(");
        shape.iter().for_each(|&size| integer(&mut out, size));
        out.extend(b"t(");
        for axis in 0..shape.len() {
            // A size of 0 counts as 1, as in PyTorch.
            integer(&mut out, shape.iter().skip(axis + 1).fold(1usize, |n, &size| n.saturating_mul(size.max(1))));
        }
        out.extend(b"t\x89ccollections\nOrderedDict\n)R");
        if late {
            out.extend(format!("ctorch\n{element}\n").as_bytes());
        }
        out.extend(b"tR");
    }
    out.extend(b"u.");
    Ok(out)
}

fn text(out: &mut Vec<u8>, text: &str) -> Result<()> {
    let Ok(len) = u32::try_from(text.len()) else { return Err(Error::Argument("a name is too long".to_string())) };
    out.push(b'X');
    out.extend(len.to_le_bytes());
    out.extend(text.as_bytes());
    Ok(())
}

fn integer(out: &mut Vec<u8>, number: usize) {
    match (u8::try_from(number), i32::try_from(number)) {
        (Ok(byte), _) => out.extend([b'K', byte]),
        (_, Ok(short)) => {
            out.push(b'J');
            out.extend(short.to_le_bytes());
        }
        // With a byte for the sign where the highest bit is set.
        _ => {
            let sign = u8::from(number as u64 >> 63 == 1);
            out.extend([0x8a, 8 + sign]);
            out.extend((number as u64).to_le_bytes());
            out.extend(vec![0; sign.into()]);
        }
    }
}
