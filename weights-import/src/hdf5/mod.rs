//! HDF5, read from its own bytes: groups, attributes and data sets of numbers, as Keras, h5py and HDF5 2.0 write them.
//!
//! A file is a graph of objects by address. Every structure read is charged to a budget that grows with the file, so that
//! neither a loop nor a length that lies costs more than the file is worth. Read is what lies in the file itself: links and
//! data that lead out of it are refused ([`group`] for links, [`dataset`] for data). Source: the HDF5 File Format
//! Specification 3.0 and, for layout version 5, files of HDF5 2.0.

mod attribute;
mod btree;
mod chunks;
mod dataset;
mod filters;
mod group;
mod heap;
mod object;
mod read;
mod types;

pub(crate) use attribute::Texts;
pub(crate) use dataset::Dataset;
pub(crate) use group::{Kind, Tree};
pub(crate) use object::Object;

use crate::{Error, Result, Source};
use std::cell::Cell;

/// Stands in errors.
const FORMAT: &str = "HDF5";

pub(crate) const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";

/// What any structure costs besides its bytes.
const COST: u64 = 32;

/// Where the file begins behind a block of its user: 0, 512, 1024, 2048 ...
pub(crate) fn start(head: &[u8]) -> Option<usize> {
    let starts = std::iter::once(0).chain((9..).map(|power| 1usize << power));
    starts.take_while(|&at| at < head.len()).find(|&at| head[at..].starts_with(SIGNATURE))
}

/// What the first block of a file says.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// The file from its first block on: addresses count from there.
    source: Source,
    /// Bytes of an address and of a length.
    offsets: usize,
    lengths: usize,
    /// Address of the root group.
    pub(crate) root: u64,
    /// Bytes that the file has on the disk: those of the archive, for a member.
    size: u64,
    /// Bytes that stay in memory.
    resident: u64,
}

impl Head {
    /// `size` is what the file costs on the disk, `resident` what of it is in memory already.
    pub(crate) fn open(source: &Source, size: u64, resident: u64) -> Result<Self> {
        let at = start(&source.head(crate::formats::HEAD)?).unwrap_or(0) as u64;
        let name = source.name().to_string();
        let window = source.window(at, source.len() - at, &name)?;
        let mut head = Self { source: window, offsets: 8, lengths: 8, root: 0, size, resident };
        let fixed = head.file().bytes(0, 16)?;
        let old = match fixed[8] {
            0 | 1 => true,
            2 | 3 => false,
            version => return Err(head.file().broken(format!("its first block has the unknown version {version}"))),
        };
        (head.offsets, head.lengths) =
            if old { (fixed[13].into(), fixed[14].into()) } else { (fixed[9].into(), fixed[10].into()) };
        if [head.offsets, head.lengths].iter().any(|size| !matches!(size, 2 | 4 | 8)) {
            let words = format!("has addresses of {} bytes and lengths of {}", head.offsets, head.lengths);
            return Err(head.file().broken(words));
        }
        let file = head.file();
        let (first, rest) = match (old, fixed[8]) {
            (true, 0) => (24, 4 * head.offsets + 2 * head.offsets),
            (true, _) => (28, 4 * head.offsets + 2 * head.offsets),
            (false, _) => (12, 4 * head.offsets),
        };
        let bytes = file.bytes(first as u64, rest as u64)?;
        if !old {
            file.sum(&file.bytes(0, (first + rest + 4) as u64)?, "first block", 0)?;
        }
        // Old: base, free space, end, driver, then the root's entry (name, header). New: base, extension, end, root.
        let mut fields = Fields::new(&file, &bytes, "first block");
        let (_base, _second, end) = (fields.address()?, fields.address()?, fields.address()?);
        let third = fields.address()?;
        let root = match old {
            true => {
                fields.address()?;
                fields.address()?
            }
            false => third,
        };
        match end {
            Some(end) if end > source.len() => {
                let words = format!("has {} bytes of {end} (is the download complete?)", source.len());
                return Err(file.broken(words));
            }
            _ => {}
        }
        let Some(root) = root else { return Err(file.broken("has no root group")) };
        head.root = root;
        Ok(head)
    }

    /// What addresses count in.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// The file with a fresh budget.
    pub(crate) fn file(&self) -> File<'_> {
        File { head: self, left: Cell::new(self.size.saturating_mul(4).saturating_add(1 << 20)) }
    }
}

/// An open file, and what may still be read of it.
pub(crate) struct File<'h> {
    head: &'h Head,
    left: Cell<u64>,
}

impl File<'_> {
    fn name(&self) -> &str {
        self.head.source.name()
    }

    pub(crate) fn broken(&self, message: impl Into<String>) -> Error {
        Error::corrupt(self.name(), FORMAT, message)
    }

    pub(crate) fn refused(&self, message: impl Into<String>) -> Error {
        Error::format(self.name(), message)
    }

    /// Pays for `bytes` of memory or work.
    pub(crate) fn charge(&self, bytes: u64) -> Result<()> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.broken("refers to more than a file of its size can have (is it a loop?)")),
        }
    }

    fn check(&self, at: u64, len: u64) -> Result<()> {
        let end = self.head.source.len();
        match at.checked_add(len) {
            Some(last) if last <= end => Ok(()),
            _ => Err(self.broken(format!("refers to {len} bytes from byte {at}, but ends at {end}"))),
        }
    }

    /// Bytes of a structure.
    fn bytes(&self, at: u64, len: u64) -> Result<Vec<u8>> {
        self.check(at, len)?;
        self.charge(len.saturating_add(COST))?;
        self.head.source.read(at, len)
    }

    /// Bytes of a structure that starts with `signature`, without it.
    fn signed(&self, at: u64, signature: &[u8; 4], len: u64) -> Result<Vec<u8>> {
        let mut bytes = self.bytes(at, len.max(4))?;
        if !bytes.starts_with(signature) {
            return Err(self.broken(format!("has no {} at byte {at}", String::from_utf8_lossy(signature))));
        }
        drop(bytes.drain(..4));
        Ok(bytes)
    }

    /// Bytes of a structure that starts with `signature`, without it, and is `len` long before its checksum.
    fn sealed(&self, at: u64, signature: &[u8; 4], len: u64) -> Result<Vec<u8>> {
        let mut bytes = self.bytes(at, len.max(4).saturating_add(4))?;
        if !bytes.starts_with(signature) {
            return Err(self.broken(format!("has no {} at byte {at}", String::from_utf8_lossy(signature))));
        }
        self.sum(&bytes, &String::from_utf8_lossy(signature), at)?;
        bytes.truncate(bytes.len() - 4);
        drop(bytes.drain(..4));
        Ok(bytes)
    }

    /// Compares the last four bytes with the checksum of those before.
    fn sum(&self, bytes: &[u8], what: &str, at: u64) -> Result<()> {
        let (data, said) = bytes.split_at(bytes.len().saturating_sub(4));
        match lookup3(data).to_le_bytes() == said {
            true => Ok(()),
            false => Err(self.broken(format!("the checksum of the {what} at byte {at} is wrong: its bytes changed"))),
        }
    }
}

/// Reads one field after the other.
struct Fields<'b> {
    file: &'b File<'b>,
    bytes: &'b [u8],
    at: usize,
    what: &'static str,
}

impl<'b> Fields<'b> {
    fn new(file: &'b File<'b>, bytes: &'b [u8], what: &'static str) -> Self {
        Self { file, bytes, at: 0, what }
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8]> {
        match self.bytes.get(self.at..).and_then(|rest| rest.get(..len)) {
            Some(bytes) => {
                self.at += len;
                Ok(bytes)
            }
            None => Err(self.broken("ends too early")),
        }
    }

    fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn broken(&self, message: impl std::fmt::Display) -> Error {
        self.file.broken(format!("a {} {message}", self.what))
    }

    /// A number of up to eight bytes.
    fn uint(&mut self, len: usize) -> Result<u64> {
        Ok(self.take(len)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16> {
        Ok(self.uint(2)? as u16)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(self.uint(4)? as u32)
    }

    /// An address; all ones is none.
    fn address(&mut self) -> Result<Option<u64>> {
        let size = self.file.head.offsets;
        Ok(Some(self.uint(size)?).filter(|&address| address != u64::MAX >> (64 - 8 * size)))
    }

    fn there(&mut self) -> Result<u64> {
        match self.address()? {
            Some(address) => Ok(address),
            None => Err(self.broken("has no address where it needs one")),
        }
    }

    fn length(&mut self) -> Result<u64> {
        self.uint(self.file.head.lengths)
    }

    /// A version, which must be one of `known`.
    fn version(&mut self, known: &[u8]) -> Result<u8> {
        let version = self.u8()?;
        match known.contains(&version) {
            true => Ok(version),
            false => Err(self.broken(format!("has the unknown version {version}"))),
        }
    }
}

/// Bytes that hold the numbers up to `limit`.
fn width(limit: u64) -> usize {
    limit.checked_ilog2().unwrap_or(0) as usize / 8 + 1
}

/// Bob Jenkins' hash `lookup3` (`hashlittle` from 0), the checksum of all newer structures.
fn lookup3(bytes: &[u8]) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(bytes.len() as u32);
    let (mut a, mut b, mut c) = (start, start, start);
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0u32, |word, &byte| word << 8 | u32::from(byte));
    let mut rest = bytes;
    while rest.len() > 12 {
        a = a.wrapping_add(word(&rest[..4]));
        b = b.wrapping_add(word(&rest[4..8]));
        c = c.wrapping_add(word(&rest[8..12]));
        for rotations in [[4, 6, 8], [16, 19, 4]] {
            for by in rotations {
                a = a.wrapping_sub(c) ^ c.rotate_left(by);
                c = c.wrapping_add(b);
                (a, b, c) = (b, c, a);
            }
        }
        rest = &rest[12..];
    }
    if rest.is_empty() {
        return c;
    }
    let mut last = [0; 12];
    last[..rest.len()].copy_from_slice(rest);
    a = a.wrapping_add(word(&last[..4]));
    b = b.wrapping_add(word(&last[4..8]));
    c = c.wrapping_add(word(&last[8..]));
    for by in [14, 11, 25, 16, 4, 14, 24] {
        c = (c ^ b).wrapping_sub(b.rotate_left(by));
        (a, b, c) = (b, c, a);
    }
    // Seven turns leave the names one turn on.
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums() {
        // Values of lookup3.c's own driver.
        assert_eq!(lookup3(b""), 0xdead_beef);
        assert_eq!(lookup3(b"Four score and seven years ago"), 0x1777_0551);
    }

    #[test]
    fn widths() {
        assert_eq!([0, 1, 255, 256, 4096, 1 << 16, u64::MAX].map(width), [1, 1, 1, 2, 2, 3, 8]);
    }
}
