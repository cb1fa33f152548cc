//! Frozen TensorFlow graphs: a `GraphDef` whose `Const` nodes hold the weights, named as the nodes.
//!
//! A `SavedModel` is recognised and refused: its weights are a checkpoint in the folder `variables`.
//! Source: `tensorflow/core/framework/{graph,node_def,attr_value,tensor}.proto`.

use super::super::catalogue::{Catalogue, LONGEST_NAME, size};
use super::super::tensor_proto::Values;
use super::{dtype, shape, values};
use crate::protobuf::{Value, Wire};
use crate::{Entry, Error, Raw, Reader, Result, Source};
use std::collections::BTreeMap;
use std::ops::Range;

const FORMAT: &str = "tf_graph";

/// A list that is shorter than its tensor stands for equal elements. What is made of one may be as large as the file, or
/// this many bytes; of all, as large as [`ALL_REPEATED`] times the file, or as many times this many bytes.
const REPEATED: u64 = 1 << 18;
const ALL_REPEATED: u64 = 32;

/// There is no signature: the fields are those of a graph, and the first node has a name and an operation.
pub(in super::super) fn probe(head: &[u8], source: &Source) -> bool {
    if is_saved_model(head, source) {
        return true;
    }
    let mut wire = Wire::new(source, FORMAT);
    let mut graph = 0..source.len();
    let mut node = false;
    for _ in 0..16 {
        match wire.field(&mut graph) {
            Ok(Some((1, Value::Span(span)))) => {
                if !is_node(&mut wire, span) {
                    return false;
                }
                node = true;
            }
            // library, version, versions, debug_info
            Ok(Some((2 | 4 | 5, Value::Span(_)) | (3, Value::Varint(_)))) => {}
            Ok(Some(_)) => return false,
            // A broken file is still of this format.
            Ok(None) | Err(_) => break,
        }
    }
    node
}

/// Name 1 and operation 2, then inputs, a device and attributes.
fn is_node(wire: &mut Wire<'_>, mut node: Range<u64>) -> bool {
    let mut seen = [false; 2];
    for _ in 0..16 {
        match wire.field(&mut node) {
            Ok(Some((field @ 1..=2, Value::Span(span)))) => {
                let Ok(text) = wire.text(&span, LONGEST_NAME, "name") else { return false };
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.\\-/>:^".contains(&b);
                if text.is_empty() || !text.bytes().all(plain) {
                    return false;
                }
                seen[field as usize - 1] = true;
            }
            Ok(Some((3..=7, Value::Span(_)))) => {}
            Ok(Some(_)) | Err(_) => return false,
            Ok(None) => break,
        }
    }
    seen == [true; 2]
}

/// Schema version 1 and a `MetaGraphDef` 2, of which the first field is a message.
fn is_saved_model(head: &[u8], source: &Source) -> bool {
    let [0x08, 1, 0x12, ..] = head else { return false };
    let mut wire = Wire::new(source, FORMAT);
    let mut model = 2..source.len();
    match wire.field(&mut model) {
        Ok(Some((2, Value::Span(mut graph)))) => {
            let about = wire.field(&mut graph);
            let rest = wire.field(&mut graph);
            matches!(about, Ok(Some((1, Value::Span(_))))) && matches!(rest, Ok(Some((2, Value::Span(_)))))
        }
        _ => false,
    }
}

#[derive(Debug)]
struct Graph {
    source: Source,
    entries: Vec<Entry>,
    values: Vec<Values>,
    metadata: BTreeMap<String, String>,
}

pub(in super::super) fn open(source: Source) -> Result<Box<dyn Reader>> {
    if is_saved_model(&source.head(3)?, &source) {
        let message = "is the graph of a SavedModel, its weights are in the folder variables/ beside it: \
                       open the SavedModel's folder, or variables/variables.index";
        return Err(Error::format(source.name(), message));
    }
    let mut wire = Wire::new(&source, FORMAT);
    let mut list = Catalogue::new(source.name(), FORMAT, source.len());
    let mut found = Vec::new();
    let mut functions = 0u64;
    let mut repeated = source.len().saturating_add(REPEATED).saturating_mul(ALL_REPEATED);
    let mut graph = 0..source.len();
    while let Some((field, value)) = wire.field(&mut graph)? {
        match (field, value) {
            (1, Value::Span(span)) => node(&mut wire, span, &mut list, &mut found, &mut repeated)?,
            (2, Value::Span(mut library)) => {
                while let Some((field, _)) = wire.field(&mut library)? {
                    functions += u64::from(field == 1);
                }
            }
            (4, Value::Span(mut versions)) => {
                while let Some((field, value)) = wire.field(&mut versions)? {
                    if let (1, Value::Varint(producer)) = (field, value) {
                        list.say("producer".to_string(), producer.to_string())?;
                    }
                }
            }
            _ => {}
        }
    }
    if found.is_empty() {
        return wire.fail("no node holds weights (are its variables in a checkpoint beside it?)");
    }
    if functions > 0 {
        list.say("functions".to_string(), format!("{functions}, whose constants are not read"))?;
    }
    let Catalogue { entries, metadata, .. } = list;
    Ok(Box::new(Graph { entries, values: found, metadata, source }))
}

/// `NodeDef`: name 1, operation 2, attributes 5. `repeated`: the bytes that may still be made of short lists.
fn node(
    wire: &mut Wire<'_>,
    node: Range<u64>,
    list: &mut Catalogue,
    found: &mut Vec<Values>,
    repeated: &mut u64,
) -> Result<()> {
    let (mut name, mut constant, mut tensor) = (0..0, false, None);
    let mut fields = node;
    while let Some((field, value)) = wire.field(&mut fields)? {
        match (field, value) {
            (1, Value::Span(span)) => name = span,
            (2, Value::Span(span)) => constant = span.end - span.start == 5 && wire.bytes(&span)? == b"Const",
            (5, Value::Span(span)) if tensor.is_none() => tensor = attribute(wire, span)?,
            _ => {}
        }
    }
    let (true, Some(tensor)) = (constant, tensor) else { return Ok(()) };
    let name = wire.text(&name, LONGEST_NAME, "name")?;
    let (mut kind, mut sizes) = (0, Vec::new());
    let mut fields = tensor.clone();
    while let Some((field, value)) = wire.field(&mut fields)? {
        match (field, value) {
            (1, Value::Varint(number)) => kind = number,
            (2, Value::Span(span)) => sizes = shape(wire, span)?,
            _ => {}
        }
    }
    let dtype = match dtype(kind) {
        Ok(dtype) => dtype,
        Err(why) => return list.skip(&name, &why),
    };
    let values = values(wire, tensor, dtype)?;
    let Some((count, bytes)) = size(&sizes, dtype) else {
        return list.fail(format!("tensor {name} has the shape {sizes:?}, which is too large"));
    };
    if !values.may_be(dtype, count, bytes) {
        let listed = values.raw().is_none() && bytes as u64 <= wire.source().len().saturating_add(REPEATED);
        *repeated = match repeated.checked_sub(bytes as u64).filter(|_| listed) {
            Some(left) => left,
            None => return list.fail(format!("tensor {name} claims {dtype}{sizes:?}, but has not so many values")),
        };
    }
    list.entry(name, sizes, dtype)?;
    found.push(values);
    Ok(())
}

/// The tensor 8 of the attribute `value`: key 1, value 2.
fn attribute(wire: &mut Wire<'_>, mut message: Range<u64>) -> Result<Option<Range<u64>>> {
    let (mut named, mut found) = (false, None);
    while let Some((field, value)) = wire.field(&mut message)? {
        match (field, value) {
            (1, Value::Span(span)) => named = span.end - span.start == 5 && wire.bytes(&span)? == b"value",
            (2, Value::Span(mut value)) => {
                while let Some((field, value)) = wire.field(&mut value)? {
                    if let (8, Value::Span(span)) = (field, value) {
                        found = Some(span);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(found.filter(|_| named))
}

/// A list that is too short goes on with its last element, an empty one with zeros.
fn repeat(mut bytes: Vec<u8>, size: usize, wanted: usize) -> Option<Vec<u8>> {
    if bytes.len() > wanted || size == 0 || !bytes.len().is_multiple_of(size) {
        return None;
    }
    let last = bytes.chunks_exact(size).last().map_or_else(|| vec![0; size], <[u8]>::to_vec);
    bytes.reserve_exact(wanted - bytes.len());
    while bytes.len() < wanted {
        bytes.extend_from_slice(&last);
    }
    Some(bytes)
}

impl Reader for Graph {
    fn format(&self) -> &'static str {
        FORMAT
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, index: usize) -> Result<Raw> {
        let Some((entry, values)) = self.entries.get(index).zip(self.values.get(index)) else {
            return Err(Error::Argument(format!("no tensor number {index} in {}", self.source.name())));
        };
        let Entry { name, shape, dtype } = entry;
        let bytes = values.read(&mut Wire::new(&self.source, FORMAT), *dtype)?;
        let wanted = dtype.bytes(entry.numel());
        match wanted.and_then(|wanted| repeat(bytes, dtype.bits() / 8, wanted)) {
            Some(bytes) => Ok(Raw { dtype: *dtype, shape: shape.clone(), bytes }),
            None => {
                let message = format!("tensor {name} has more values than its shape {shape:?}");
                Err(Error::corrupt(self.source.name(), FORMAT, message))
            }
        }
    }

    fn place(&self, index: usize) -> Option<(&Source, u64)> {
        let (entry, values) = self.entries.get(index).zip(self.values.get(index))?;
        let bytes = entry.dtype.bytes(entry.numel())?;
        let whole = values.may_be(entry.dtype, entry.numel(), bytes);
        values.place(entry.dtype).filter(|_| whole).map(|start| (&self.source, start))
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}
