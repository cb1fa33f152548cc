//! Checkpoints before 2017: one table, under the empty key the names and shapes, and in the other rows the values of a
//! tensor or of a slice of one. A file `NAME-00000-of-00002` has a part of the tensors, the others are beside it.
//!
//! Source: `tensorflow/core/util/saved_tensor_slice.proto`.

use super::super::catalogue::{Catalogue, LONGEST_NAME, size};
use super::super::tensor_proto::Values;
use super::checkpoint::FORMAT;
use super::slice::{Slice, Stitch};
use super::{dtype, shape, values};
use crate::leveldb::Table;
use crate::protobuf::{Value, Wire};
use crate::{Dtype, Entry, Error, Links, Raw, Reader, Result, Source};
use std::collections::BTreeMap;
use std::ops::Range;

/// Most files of one checkpoint.
const MOST_SHARDS: u64 = 10_000;

/// Where the `TensorProto` of a slice lies: in which table, in which of its blocks.
#[derive(Debug)]
struct Part {
    table: usize,
    block: usize,
    message: Range<u64>,
    place: Vec<Range<usize>>,
}

#[derive(Debug)]
struct Older {
    source: Source,
    tables: Vec<Table>,
    entries: Vec<Entry>,
    parts: Vec<Vec<Part>>,
    metadata: BTreeMap<String, String>,
}

/// `NAME-00000-of-00002`: the name, and how many there are.
fn sharded(name: &str) -> Option<(&str, u64)> {
    let (rest, count) = name.rsplit_once("-of-")?;
    let (name, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    (digits(number) && digits(count)).then_some((name, count.parse().ok()?))
}

pub(super) fn open(source: Source, table: Table) -> Result<Box<dyn Reader>> {
    let mut size = source.len();
    let tables = match sharded(source.file_name()) {
        Some((name, count @ 2..=MOST_SHARDS)) => {
            let mut tables = Vec::new();
            for shard in 0..count {
                let file = format!("{name}-{shard:05}-of-{count:05}");
                let file = match file == source.file_name() {
                    true => source.clone(),
                    false => source.sibling(&file, Links::Refuse)?,
                };
                size = size.saturating_add(file.len());
                tables.push(Table::open(file, FORMAT)?);
            }
            tables
        }
        _ => vec![table],
    };
    let mut list = Catalogue::new(source.name(), FORMAT, size);
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let mut tensors: Vec<(String, Vec<usize>, u64)> = Vec::new();
    let mut found: Vec<Vec<Part>> = Vec::new();
    for (number, table) in tables.iter().enumerate() {
        table.rows(false, &mut |key, wire, block, mut value| {
            while let Some((field, value)) = wire.field(&mut value)? {
                match (field, value, key.is_empty()) {
                    (1, Value::Span(mut meta), true) => {
                        while let Some((field, value)) = wire.field(&mut meta)? {
                            let (1, Value::Span(span)) = (field, value) else { continue };
                            let (name, shape, dtype) = tensor(wire, span)?;
                            if let Some(&index) = known.get(&name) {
                                if (&tensors[index].1, tensors[index].2) != (&shape, dtype) || tables.len() == 1 {
                                    return list.fail(format!("tensor {name} is listed twice"));
                                }
                                continue;
                            }
                            list.spend(400 + 3 * name.len() as u64)?;
                            known.insert(name.clone(), tensors.len());
                            tensors.push((name, shape, dtype));
                            found.push(Vec::new());
                        }
                    }
                    (2, Value::Span(span), false) => {
                        let (name, slice, message) = saved(wire, span)?;
                        let Some(&index) = known.get(&name) else {
                            return list.fail(format!("has values of tensor {name}, which is not listed"));
                        };
                        let Some(place) = slice.within(&tensors[index].1) else {
                            return list.fail(format!("a slice of tensor {name} does not lie within its shape"));
                        };
                        list.spend(200 + 16 * place.len() as u64)?;
                        found[index].push(Part { table: number, block, message, place });
                    }
                    _ => {}
                }
            }
            Ok(true)
        })?;
    }
    let mut parts = Vec::new();
    for ((name, shape, number), found) in tensors.into_iter().zip(found) {
        match dtype(number) {
            Ok(dtype) => {
                check(&name, &shape, dtype, &found, &list)?;
                list.entry(name, shape, dtype)?;
                parts.push(found);
            }
            Err(why) => list.skip(&name, &why)?,
        }
    }
    list.say("version".to_string(), "1")?;
    let Catalogue { entries, metadata, .. } = list;
    Ok(Box::new(Older { source, tables, entries, parts, metadata }))
}

/// `SavedSliceMeta`: name 1, shape 2, type 3. (The slices, 4, are seen where their values are.)
fn tensor(wire: &mut Wire<'_>, mut message: Range<u64>) -> Result<(String, Vec<usize>, u64)> {
    let mut found = (String::new(), Vec::new(), 0);
    while let Some((field, value)) = wire.field(&mut message)? {
        match (field, value) {
            (1, Value::Span(span)) => found.0 = wire.text(&span, LONGEST_NAME, "name")?,
            (2, Value::Span(span)) => found.1 = shape(wire, span)?,
            (3, Value::Varint(number)) => found.2 = number,
            _ => {}
        }
    }
    Ok(found)
}

/// `SavedSlice`: name 1, slice 2, data 3.
fn saved(wire: &mut Wire<'_>, mut message: Range<u64>) -> Result<(String, Slice, Range<u64>)> {
    let (mut name, mut slice, mut data) = (String::new(), 0..0, 0..0);
    while let Some((field, value)) = wire.field(&mut message)? {
        match (field, value) {
            (1, Value::Span(span)) => name = wire.text(&span, LONGEST_NAME, "name")?,
            (2, Value::Span(span)) => slice = span,
            (3, Value::Span(span)) => data = span,
            _ => {}
        }
    }
    Ok((name, Slice::read(wire, slice)?, data))
}

/// The parts together have as many elements as the shape, and each of them may have so many in its bytes.
fn check(name: &str, shape: &[usize], dtype: Dtype, parts: &[Part], list: &Catalogue) -> Result<()> {
    let Some((count, _)) = size(shape, dtype) else {
        return list.fail(format!("tensor {name} has the shape {shape:?}, which is too large"));
    };
    let mut total = 0usize;
    for part in parts {
        let elements = part.place.iter().map(|range| range.len()).product::<usize>();
        let bytes = part.message.end - part.message.start;
        if elements as u64 > bytes {
            return list.fail(format!("tensor {name} claims {elements} elements in {bytes} bytes"));
        }
        total = total.saturating_add(elements);
    }
    match total == count {
        true => Ok(()),
        false => list.fail(format!("tensor {name} has the shape {shape:?}, but values for {total} elements")),
    }
}

impl Older {
    fn part(&self, dtype: Dtype, part: &Part) -> Result<Vec<u8>> {
        let Some(table) = self.tables.get(part.table) else { return Ok(Vec::new()) };
        let block = table.block(part.block)?;
        let mut wire = Wire::new(&block, FORMAT);
        let values: Values = values(&mut wire, part.message.clone(), dtype)?;
        values.read(&mut wire, dtype)
    }
}

impl Reader for Older {
    fn format(&self) -> &'static str {
        FORMAT
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, index: usize) -> Result<Raw> {
        let Some((entry, parts)) = self.entries.get(index).zip(self.parts.get(index)) else {
            return Err(Error::Argument(format!("no tensor number {index} in {}", self.source.name())));
        };
        let Entry { name, shape, dtype } = entry;
        let broken = |what: &str| Error::corrupt(self.source.name(), FORMAT, format!("tensor {name} {what}"));
        let bytes = match parts.as_slice() {
            [whole] => {
                let bytes = self.part(*dtype, whole)?;
                if Some(bytes.len()) != dtype.bytes(entry.numel()) {
                    return Err(broken("has too few or too many values"));
                }
                bytes
            }
            parts => {
                let mut whole = Stitch::new(shape, entry.numel(), dtype.bits() / 8);
                for part in parts {
                    if !whole.put(&part.place, &self.part(*dtype, part)?) {
                        return Err(broken("has slices that overlap, or with too few or too many values"));
                    }
                }
                whole.finish().ok_or_else(|| broken("has elements without a value"))?
            }
        };
        Ok(Raw { dtype: *dtype, shape: shape.clone(), bytes })
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}
