//! What packs a chunk: deflate, shuffle, Fletcher's checksum.

use super::{Fields, File};
use crate::{Error, Result};
use flate2::bufread::ZlibDecoder;
use std::io::Read;

/// HDF5's own limit of filters.
const MOST: u8 = 32;

/// One step of packing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    Deflate,
    /// The first bytes of all elements of so many bytes, then the second bytes ...
    Shuffle(usize),
    Fletcher32,
}

/// Those that are known by name.
const NAMES: &[(u16, &str)] = &[
    (4, "szip"),
    (5, "nbit"),
    (6, "scaleoffset"),
    (307, "bzip2"),
    (32000, "lzf"),
    (32001, "blosc"),
    (32004, "lz4"),
    (32008, "bitshuffle"),
    (32013, "zfp"),
    (32015, "zstd"),
    (32026, "blosc2"),
];

impl File<'_> {
    pub(super) fn filters(&self, data: &[u8], path: &str) -> Result<Vec<Filter>> {
        let mut fields = Fields::new(self, data, "filter list");
        let (version, count) = (fields.version(&[1, 2])?, fields.u8()?);
        if count > MOST {
            return Err(fields.broken(format!("has {count} filters")));
        }
        if version == 1 {
            fields.take(6)?;
        }
        let mut filters = Vec::new();
        for _ in 0..count {
            let id = fields.u16()?;
            let name = if version == 1 || id >= 256 { usize::from(fields.u16()?) } else { 0 };
            let (_flags, values) = (fields.u16()?, usize::from(fields.u16()?));
            fields.take(if version == 1 { name.next_multiple_of(8) } else { name })?;
            let first = fields.take(4 * values)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
            if version == 1 && values % 2 == 1 {
                fields.take(4)?;
            }
            filters.push(match (id, first) {
                (1, _) => Filter::Deflate,
                (2, Some(size)) if size > 0 => Filter::Shuffle(size as usize),
                (3, _) => Filter::Fletcher32,
                (2, _) => return Err(fields.broken("has a shuffle without a size")),
                _ => {
                    let name =
                        NAMES.iter().find(|(known, _)| *known == id).map_or("an unknown filter", |(_, name)| name);
                    let words = format!(
                        "{path} is packed with {name} (filter {id}), which is not read: repack it (h5repack -f GZIP=6)"
                    );
                    return Err(self.refused(words));
                }
            });
        }
        Ok(filters)
    }

    /// Unpacks a chunk of `len` bytes. `mask` says which filters were left out.
    pub(super) fn unpack(&self, mut bytes: Vec<u8>, filters: &[Filter], mask: u32, len: usize) -> Result<Vec<u8>> {
        for (number, filter) in filters.iter().enumerate().rev() {
            if mask >> number & 1 != 0 {
                continue;
            }
            bytes = match filter {
                // Checksums and a further deflate may lie within.
                Filter::Deflate => self.inflate(&bytes, len.saturating_mul(2).saturating_add(1024))?,
                Filter::Shuffle(size) => unshuffle(&bytes, *size),
                Filter::Fletcher32 => self.checked(bytes)?,
            };
        }
        match bytes.len() == len {
            true => Ok(bytes),
            false => Err(self.broken(format!("a chunk has {} bytes, expected {len}", bytes.len()))),
        }
    }

    fn inflate(&self, bytes: &[u8], most: usize) -> Result<Vec<u8>> {
        let fail = |error: std::io::Error| -> Error { self.broken(format!("a chunk cannot be unpacked: {error}")) };
        let mut unpacked = Vec::new();
        ZlibDecoder::new(bytes).take(most as u64 + 1).read_to_end(&mut unpacked).map_err(fail)?;
        match unpacked.len() > most {
            true => Err(self.broken("a chunk unpacks to more than it may hold")),
            false => Ok(unpacked),
        }
    }

    fn checked(&self, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
        let Some((data, said)) = bytes.split_last_chunk::<4>() else {
            return Err(self.broken("a chunk is too short for its checksum"));
        };
        // Old versions swapped the bytes of both halves.
        let [a, b, c, d] = *said;
        if fletcher32(data) != u32::from_le_bytes([a, b, c, d]) && fletcher32(data) != u32::from_le_bytes([b, a, d, c])
        {
            return Err(self.broken("the checksum of a chunk is wrong: its bytes changed"));
        }
        bytes.truncate(bytes.len() - 4);
        Ok(bytes)
    }
}

fn unshuffle(bytes: &[u8], size: usize) -> Vec<u8> {
    let count = bytes.len() / size;
    let mut out = bytes.to_vec();
    if size > 1 && count > 1 {
        for (part, row) in bytes.chunks_exact(count).take(size).enumerate() {
            row.iter().zip(out.iter_mut().skip(part).step_by(size)).for_each(|(&byte, place)| *place = byte);
        }
    }
    out
}

/// Fletcher's checksum over pairs of bytes, the first the higher; sums modulo 65535.
fn fletcher32(bytes: &[u8]) -> u32 {
    let (mut first, mut second) = (0u32, 0u32);
    let fold = |sum: u32| (sum & 0xffff) + (sum >> 16);
    // So many sums stay within 32 bits.
    for block in bytes.chunks(720) {
        for pair in block.chunks(2) {
            first += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&byte| u32::from(byte));
            second += first;
        }
        (first, second) = (fold(first), fold(second));
    }
    fold(second) << 16 | fold(first)
}
