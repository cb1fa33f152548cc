//! TensorFlow checkpoints: `PREFIX.index`, a table of what there is, and the values in `PREFIX.data-00000-of-00001` ...
//!
//! Names are those of the file. Variables that were partitioned are put together; values are compared with their
//! checksums when they are read; strings are left out and noted in the metadata. The older form, one table with the
//! values in it, is in `checkpoint_v1.rs`.
//! Source: `tensorflow/core/protobuf/tensor_bundle.proto`, `tensorflow/core/util/tensor_bundle/tensor_bundle.h`.

use super::super::catalogue::{Catalogue, LONGEST_NAME, size};
use super::slice::{Slice, Stitch};
use super::{checkpoint_v1, dtype, shape};
use crate::leveldb::{Table, is_table};
use crate::protobuf::{Value, Wire};
use crate::{Dtype, Entry, Error, Links, Raw, Reader, Result, Source, crc32c};
use std::collections::BTreeMap;
use std::ops::Range;

pub(super) const FORMAT: &str = "tf_checkpoint";

/// Most files of values.
const MOST_SHARDS: u64 = 10_000;

pub(in super::super) fn probe(_: &[u8], source: &Source) -> bool {
    is_table(source)
}

/// Both forms have a header under the empty key: the newer one with the number of shards, the older one with a list.
pub(in super::super) fn open(source: Source) -> Result<Box<dyn Reader>> {
    let table = Table::open(source.clone(), FORMAT)?;
    let mut header = None;
    table.rows(false, &mut |key, wire, _, mut value| {
        if key.is_empty() {
            header = wire.field(&mut value)?;
        }
        Ok(false)
    })?;
    match header {
        Some((1..=3, Value::Varint(_)) | (3, Value::Span(_))) => newer(source, &table),
        Some((1, Value::Span(_))) => checkpoint_v1::open(source, table),
        _ => Err(Error::format(source.name(), "is a LevelDB table, but no TensorFlow checkpoint")),
    }
}

/// Where a tensor, or a slice of one, lies in a file of values.
#[derive(Debug, Clone, Default)]
struct Piece {
    shard: u64,
    offset: u64,
    size: u64,
    crc: u32,
}

#[derive(Debug)]
enum Data {
    Whole(Piece),
    Slices(Vec<(Vec<Range<usize>>, Piece)>),
}

#[derive(Debug)]
struct Checkpoint {
    source: Source,
    shards: Vec<Source>,
    big_endian: bool,
    entries: Vec<Entry>,
    data: Vec<Data>,
    metadata: BTreeMap<String, String>,
}

/// `BundleEntryProto`.
struct Found {
    dtype: u64,
    shape: Vec<usize>,
    piece: Piece,
    slices: Vec<Slice>,
}

fn newer(source: Source, table: &Table) -> Result<Box<dyn Reader>> {
    let (mut shards, mut big_endian) = (Vec::new(), false);
    let mut list = Catalogue::new(source.name(), FORMAT, source.len());
    let mut found = Vec::new();
    let mut slices = BTreeMap::new();
    let mut claimed = 0u64;
    table.rows(true, &mut |key, wire, _, value| {
        if key.is_empty() {
            let (count, big) = header(wire, value)?;
            (shards, big_endian) = (open_shards(&source, count)?, big);
            let all = shards.iter().fold(source.len(), |all, shard| all.saturating_add(shard.len()));
            list = Catalogue::new(source.name(), FORMAT, all);
            return Ok(true);
        }
        let entry = entry(wire, value, &mut list)?;
        let piece = &entry.piece;
        let shard = usize::try_from(piece.shard).ok().and_then(|shard| shards.get(shard));
        let end = piece.offset.checked_add(piece.size);
        if entry.slices.is_empty() && shard.zip(end).is_none_or(|(shard, end)| end > shard.len()) {
            return list.fail(format!(
                "{} claims {} bytes from byte {} of file {} of {}, which do not exist (is the download complete?)",
                String::from_utf8_lossy(key).escape_debug(),
                piece.size,
                piece.offset,
                piece.shard,
                shards.len()
            ));
        }
        claimed = claimed.saturating_add(piece.size);
        // Keys of slices start with a 0.
        if key.starts_with(&[0]) {
            list.spend(200 + key.len() as u64)?;
            slices.insert(key.to_vec(), entry.piece);
            return Ok(true);
        }
        match std::str::from_utf8(key) {
            Ok(name) if name.len() as u64 <= LONGEST_NAME => {
                list.spend(200 + name.len() as u64)?;
                found.push((name.to_string(), entry));
                Ok(true)
            }
            _ => list.fail(format!("a tensor's name is not UTF-8, or has more than {LONGEST_NAME} bytes")),
        }
    })?;
    let all: u64 = shards.iter().map(Source::len).sum();
    if claimed > all {
        return list.fail(format!("its tensors claim {claimed} bytes, but its files have {all}"));
    }
    let mut data = Vec::new();
    for (name, entry) in found {
        let dtype = match dtype(entry.dtype) {
            Ok(dtype) => dtype,
            Err(why) => {
                list.skip(&name, &why)?;
                continue;
            }
        };
        data.push(place(&name, dtype, &entry, &slices, &list)?);
        list.entry(name, entry.shape, dtype)?;
    }
    list.say("version".to_string(), "2")?;
    let Catalogue { entries, metadata, .. } = list;
    Ok(Box::new(Checkpoint { source, shards, big_endian, entries, data, metadata }))
}

/// `BundleHeaderProto`: number of shards 1, endianness 2.
fn header(wire: &mut Wire<'_>, mut value: Range<u64>) -> Result<(u64, bool)> {
    let (mut shards, mut big_endian) = (0, false);
    while let Some((field, value)) = wire.field(&mut value)? {
        match (field, value) {
            (1, Value::Varint(count @ 0..=MOST_SHARDS)) => shards = count,
            (1, Value::Varint(count)) => return wire.fail(format!("claims {} files of values", count as i64)),
            (2, Value::Varint(order @ 0..=1)) => big_endian = order == 1,
            (2, Value::Varint(order)) => return wire.fail(format!("has the unknown byte order {order}")),
            _ => {}
        }
    }
    Ok((shards, big_endian))
}

/// The files of values. Links are followed: what is read is compared with the checksum that the index has of it.
fn open_shards(source: &Source, count: u64) -> Result<Vec<Source>> {
    let Some(prefix) = source.file_name().strip_suffix(".index") else {
        let message = "is the index of a TensorFlow checkpoint: name it PREFIX.index, so that the values beside it \
                       (PREFIX.data-00000-of-00001) are found";
        return Err(Error::format(source.name(), message));
    };
    (0..count).map(|shard| source.sibling(&format!("{prefix}.data-{shard:05}-of-{count:05}"), Links::Follow)).collect()
}

fn entry(wire: &mut Wire<'_>, mut value: Range<u64>, list: &mut Catalogue) -> Result<Found> {
    let mut found = Found { dtype: 0, shape: Vec::new(), piece: Piece::default(), slices: Vec::new() };
    while let Some((field, value)) = wire.field(&mut value)? {
        match (field, value) {
            (1, Value::Varint(number)) => found.dtype = number,
            (2, Value::Span(span)) => found.shape = shape(wire, span)?,
            (3, Value::Varint(shard)) => found.piece.shard = shard,
            (4, Value::Varint(offset)) => found.piece.offset = offset,
            (5, Value::Varint(size)) => found.piece.size = size,
            (6, Value::Fixed32(span)) => found.piece.crc = wire.float(&span)?.to_bits(),
            (7, Value::Span(span)) => {
                list.spend(128 + 24 * (span.end - span.start))?;
                found.slices.push(Slice::read(wire, span)?);
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Compares what the index says of a tensor's type and shape with the bytes that it points at.
fn place(name: &str, dtype: Dtype, entry: &Found, slices: &BTreeMap<Vec<u8>, Piece>, list: &Catalogue) -> Result<Data> {
    let shape = &entry.shape;
    let Some((count, bytes)) = size(shape, dtype) else {
        return list.fail(format!("tensor {name} has the shape {shape:?}, which is too large"));
    };
    if entry.slices.is_empty() {
        return match entry.piece.size == bytes as u64 {
            true => Ok(Data::Whole(entry.piece.clone())),
            false => list.fail(format!("tensor {name}, {dtype}{shape:?}, takes {} bytes", entry.piece.size)),
        };
    }
    let (mut pieces, mut total) = (Vec::new(), 0usize);
    for slice in &entry.slices {
        let Some(place) = slice.within(shape) else {
            return list.fail(format!("a slice of tensor {name} does not lie within its shape {shape:?}"));
        };
        let Some(piece) = slices.get(&slice.key(name)) else {
            return list.fail(format!("a slice of tensor {name} is not in the index"));
        };
        let part = place.iter().map(|range| range.len()).product::<usize>();
        if dtype.bytes(part).map(|bytes| bytes as u64) != Some(piece.size) {
            return list.fail(format!("a slice of tensor {name}, {dtype}, {place:?}, takes {} bytes", piece.size));
        }
        total = total.saturating_add(part);
        pieces.push((place, piece.clone()));
    }
    match total == count {
        true => Ok(Data::Slices(pieces)),
        false => {
            list.fail(format!("the slices of tensor {name} have {total} elements, its shape {shape:?} has {count}"))
        }
    }
}

impl Checkpoint {
    fn piece(&self, name: &str, dtype: Dtype, piece: &Piece) -> Result<Vec<u8>> {
        let shard = usize::try_from(piece.shard).ok().and_then(|shard| self.shards.get(shard));
        let Some(shard) = shard else {
            return Err(Error::corrupt(self.source.name(), FORMAT, format!("no file {} of values", piece.shard)));
        };
        let mut bytes = shard.read(piece.offset, piece.size)?;
        if crc32c::masked(&bytes) != piece.crc {
            let message = format!("tensor {name} does not fit its checksum: download the file again");
            return Err(Error::corrupt(shard.name(), FORMAT, message));
        }
        if self.big_endian {
            let unit = match dtype {
                Dtype::Other { name: "C64" | "C128", bits } => usize::from(bits) / 16,
                dtype => dtype.bits() / 8,
            };
            bytes.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
        }
        Ok(bytes)
    }
}

impl Reader for Checkpoint {
    fn format(&self) -> &'static str {
        FORMAT
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, index: usize) -> Result<Raw> {
        let Some((Entry { name, shape, dtype }, data)) = self.entries.get(index).zip(self.data.get(index)) else {
            return Err(Error::Argument(format!("no tensor number {index} in {}", self.source.name())));
        };
        let bytes = match data {
            Data::Whole(piece) => self.piece(name, *dtype, piece)?,
            Data::Slices(pieces) => {
                let mut whole = Stitch::new(shape, self.entries[index].numel(), dtype.bits() / 8);
                let mut fits = true;
                for (place, piece) in pieces {
                    fits &= whole.put(place, &self.piece(name, *dtype, piece)?);
                }
                whole.finish().filter(|_| fits).ok_or_else(|| {
                    Error::corrupt(self.source.name(), FORMAT, format!("the slices of tensor {name} overlap"))
                })?
            }
        };
        Ok(Raw { dtype: *dtype, shape: shape.clone(), bytes })
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}
