//! The table files of LevelDB, in which TensorFlow keeps its checkpoints: rows of key and value in order of keys.
//!
//! Blocks, each behind it a byte for the compression and a masked CRC-32C; an index block that says where they are; a
//! footer that says where the index is. Within a block a key gives only what differs from the one before.
//! Source: <https://github.com/google/leveldb/blob/main/doc/table_format.md>.

use crate::protobuf::Wire;
use crate::{Error, Result, Source, crc32c, snappy};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
const FOOTER: u64 = 48;
/// Compression and checksum, behind every block.
const TRAILER: u64 = 5;

/// Longest key, in bytes: names of tensors and the bounds of a slice.
const LONGEST_KEY: usize = 8 << 10;

/// Bytes of decompressed blocks that are kept: this many times the file, as much as large blocks can have.
const KEPT: u64 = snappy::MOST_OF_LARGE as u64;

/// Whether the file ends as a table does.
pub(crate) fn is_table(source: &Source) -> bool {
    source.len() >= FOOTER && source.read(source.len() - 8, 8).is_ok_and(|end| end == MAGIC.to_le_bytes())
}

/// Takes a row: its key, a wire over its block, the number of the block, and the span of the value in it. Says whether to
/// go on.
pub(crate) type Each<'e> = dyn FnMut(&[u8], &mut Wire<'_>, usize, Range<u64>) -> Result<bool> + 'e;

/// A table whose index has been read.
#[derive(Debug)]
pub(crate) struct Table {
    source: Source,
    format: &'static str,
    blocks: Vec<Range<u64>>,
    /// Blocks that were verified, and the bytes of memory that they may still take.
    kept: Mutex<(BTreeMap<usize, Source>, u64)>,
}

impl Table {
    pub(crate) fn open(source: Source, format: &'static str) -> Result<Self> {
        if !is_table(&source) {
            let message = "does not end as a table does (is the download complete?)";
            return Err(Error::corrupt(source.name(), format, message));
        }
        let mut wire = Wire::new(&source, format);
        let start = source.len() - FOOTER;
        let mut footer = start..source.len() - 8;
        handle(&mut wire, &mut footer, start)?; // of the block with filters
        let index = handle(&mut wire, &mut footer, start)?;
        let index = block(&source, format, &index, true)?;
        let (mut blocks, mut end) = (Vec::new(), 0);
        Keys::default().rows(&index, format, 0, &mut |_, wire, _, mut value| {
            let block = handle(wire, &mut value, start)?;
            if block.start < end {
                return wire.fail(format!("the block at byte {} overlaps the one before it", block.start));
            }
            end = block.end;
            blocks.push(block);
            Ok(true)
        })?;
        let kept = Mutex::new((BTreeMap::new(), source.len().saturating_mul(KEPT)));
        Ok(Self { source, format, blocks, kept })
    }

    /// Calls `each` with every row until it says no. Without `checked`, only blocks that are compressed are read whole and have their checksum verified.
    pub(crate) fn rows(&self, checked: bool, each: &mut Each<'_>) -> Result<()> {
        let mut keys = Keys::default();
        for (number, span) in self.blocks.iter().enumerate() {
            let block = block(&self.source, self.format, span, checked)?;
            if !keys.rows(&block, self.format, number, each)? {
                break;
            }
        }
        Ok(())
    }

    /// A block as a source of its own, its checksum verified: once, or every tensor in it would cost as much as all.
    pub(crate) fn block(&self, number: usize) -> Result<Source> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = kept().0.get(&number) {
            return Ok(block.clone());
        }
        let Some(span) = self.blocks.get(number) else {
            return Err(Error::Argument(format!("no block number {number} in {}", self.source.name())));
        };
        let mut block = block(&self.source, self.format, span, true)?;
        let mut taken = block.len();
        if self.source.read(span.end, 1)? == [0] {
            // Not compressed: it stays in the file.
            block = self.source.window(span.start, taken, self.source.name())?;
            taken = 0;
        }
        let (blocks, left) = &mut *kept();
        if let Some(rest) = left.checked_sub(taken) {
            *left = rest;
            blocks.insert(number, block.clone());
        }
        Ok(block)
    }
}

/// Offset and size of a block, of which the trailer must end before `limit`.
fn handle(wire: &mut Wire<'_>, at: &mut Range<u64>, limit: u64) -> Result<Range<u64>> {
    let (offset, size) = (wire.varint(at)?, wire.varint(at)?);
    match offset.checked_add(size).filter(|end| end.checked_add(TRAILER).is_some_and(|end| end <= limit)) {
        Some(end) => Ok(offset..end),
        None => wire.fail(format!("a block of {size} bytes at byte {offset} ends after the file's {limit}")),
    }
}

fn block(source: &Source, format: &'static str, span: &Range<u64>, checked: bool) -> Result<Source> {
    let broken = |what: &str| Error::corrupt(source.name(), format, format!("block at byte {}: {what}", span.start));
    let len = span.end - span.start;
    let kind = source.read(span.end, 1)?;
    if !checked && kind == [0] {
        return source.window(span.start, len, source.name());
    }
    let mut bytes = source.read(span.start, len + TRAILER)?;
    let crc = bytes.split_off(bytes.len() - 4);
    if crc32c::masked(&bytes).to_le_bytes() != *crc {
        return Err(broken("its checksum does not fit: download the file again"));
    }
    let bytes = match bytes.pop() {
        Some(0) => bytes,
        Some(1) => snappy::decompress(&bytes).map_err(broken)?,
        _ => return Err(broken("is compressed in an unknown way")),
    };
    Ok(Source::memory(bytes, source.name()))
}

/// The key of the last row.
#[derive(Default)]
struct Keys {
    key: Vec<u8>,
    any: bool,
}

impl Keys {
    /// Calls `each` with the rows of a block until it says no. Keys must rise from row to row and from block to block,
    /// so they are unique.
    fn rows(&mut self, block: &Source, format: &'static str, number: usize, each: &mut Each<'_>) -> Result<bool> {
        let mut wire = Wire::new(block, format);
        let count = match block.len().checked_sub(4).map(|at| block.read(at, 4)).transpose()?.as_deref() {
            Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
            _ => return wire.fail("a block without an end"),
        };
        let Some(end) = (block.len() - 4).checked_sub(4 * u64::from(count)) else {
            return wire.fail(format!("a block of {} bytes claims {count} points of restart", block.len()));
        };
        let mut rest = 0..end;
        // The first row of a block shares nothing.
        let mut known = 0;
        while rest.start < rest.end {
            let at = rest.start;
            let shared = usize::try_from(wire.varint(&mut rest)?).ok().filter(|&shared| shared <= known);
            let fresh = usize::try_from(wire.varint(&mut rest)?).ok();
            let value = wire.varint(&mut rest)?;
            let (Some(shared), Some(fresh)) = (shared, fresh.filter(|&fresh| fresh <= LONGEST_KEY)) else {
                return wire.fail(format!("the key of a row at byte {at} of a block is too long"));
            };
            if shared + fresh > LONGEST_KEY {
                return wire.fail(format!("the key of a row at byte {at} of a block is too long"));
            }
            let fresh = wire.span(&mut rest, fresh as u64)?;
            let fresh = wire.bytes(&fresh)?;
            if self.any && self.key[shared..] >= fresh[..] {
                return wire.fail(format!("the rows of a block are not in order at byte {at}"));
            }
            self.key.truncate(shared);
            self.key.extend_from_slice(&fresh);
            (self.any, known) = (true, self.key.len());
            let value = wire.span(&mut rest, value)?;
            if !each(&self.key, &mut wire, number, value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
