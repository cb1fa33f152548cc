//! ONNX: a `ModelProto` whose graph has initialisers, and nodes that tell what they are for.
//!
//! Read are initialisers and the tensors of `Constant` nodes, with their values in the message or in files beside it.
//! Integers that a `DequantizeLinear` node turns into floats are read as those floats. Names that the exporter lost are
//! made from the node that consumes the tensor (`names.rs`); `renamed.<name>` in the metadata has the old one, and
//! `layout.<name>` is `in,out` where a matrix is the transposed of a linear layer's.
//! Source: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>.

mod graph;
mod names;
mod quantised;
mod tensor;

use super::catalogue::Catalogue;
use crate::protobuf::{Value, Wire};
use crate::{Entry, Error, Raw, Reader, Result, Source};
use std::collections::BTreeMap;
use std::ops::Range;
use tensor::Stored;

const FORMAT: &str = "onnx";

/// There is no signature: a version and a graph must be among the first fields, all of them those of a model, and the
/// graph's own first field must be one of a graph.
pub(super) fn probe(_: &[u8], source: &Source) -> bool {
    let mut wire = Wire::new(source, FORMAT);
    let mut model = 0..source.len();
    let mut version = false;
    for _ in 0..64 {
        let at = model.start;
        match wire.field(&mut model) {
            Ok(Some((1, Value::Varint(1..=1000)))) => version = true,
            Ok(Some((5, Value::Varint(_)))) => {}
            Ok(Some((7, Value::Span(mut graph)))) => {
                let first = wire.field(&mut graph);
                return version && matches!(first, Ok(Some((1 | 2 | 5 | 8 | 10..=16, Value::Span(_))) | None));
            }
            Ok(Some((2..=4 | 6 | 8 | 14 | 20 | 25 | 26, Value::Span(_)))) => {}
            // A graph that was cut is still of this format.
            Err(_) => return version && source.read(at, 1).is_ok_and(|tag| tag == [7 << 3 | 2]),
            _ => return false,
        }
    }
    false
}

#[derive(Debug)]
struct Onnx {
    source: Source,
    entries: Vec<Entry>,
    stored: Vec<Stored>,
    metadata: BTreeMap<String, String>,
}

pub(super) fn open(source: Source) -> Result<Box<dyn Reader>> {
    let mut wire = Wire::new(&source, FORMAT);
    let mut list = Catalogue::new(source.name(), FORMAT, source.len());
    let mut graph: Option<Range<u64>> = None;
    let mut functions = 0u64;
    let mut model = 0..source.len();
    while let Some((field, value)) = wire.field(&mut model)? {
        match (field, value) {
            (1, Value::Varint(version)) => list.say("ir_version".to_string(), version.to_string())?,
            (2, Value::Span(span)) => list.say("producer".to_string(), wire.text(&span, 256, "producer's name")?)?,
            (7, Value::Span(span)) if graph.is_none() => graph = Some(span),
            (7, Value::Span(_)) => return wire.fail("has two graphs"),
            (8, Value::Span(span)) => opset(&mut wire, span, &mut list)?,
            (25, Value::Span(_)) => functions += 1,
            _ => {}
        }
    }
    if functions > 0 {
        list.say("functions".to_string(), format!("{functions}, whose tensors are not read"))?;
    }
    let Some(graph) = graph else { return wire.fail("has no graph (is the download complete?)") };
    let graph = graph::read(&mut wire, graph, &mut list)?;
    let stored = names::list(graph, &mut list)?;
    if stored.is_empty() {
        let skipped = list.metadata.iter().find_map(|(key, why)| Some((key.strip_prefix("skipped.")?, why)));
        return wire.fail(match skipped {
            Some((name, why)) => {
                format!("its graph has no tensors that are read; {name} holds {why}: export it as F32 or F16")
            }
            None => "its graph has no tensors".to_string(),
        });
    }
    let Catalogue { entries, metadata, .. } = list;
    Ok(Box::new(Onnx { entries, stored, metadata, source }))
}

/// `OperatorSetIdProto`: domain 1, version 2.
fn opset(wire: &mut Wire<'_>, mut message: Range<u64>, list: &mut Catalogue) -> Result<()> {
    let (mut domain, mut version) = (String::new(), 0);
    while let Some((field, value)) = wire.field(&mut message)? {
        match (field, value) {
            (1, Value::Span(span)) => domain = wire.text(&span, 256, "domain")?,
            (2, Value::Varint(number)) => version = number,
            _ => {}
        }
    }
    let key = if domain.is_empty() { "opset".to_string() } else { format!("opset.{domain}") };
    list.say(key, version.to_string())
}

impl Reader for Onnx {
    fn format(&self) -> &'static str {
        FORMAT
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, index: usize) -> Result<Raw> {
        let Some((entry, stored)) = self.entries.get(index).zip(self.stored.get(index)) else {
            return Err(Error::Argument(format!("no tensor number {index} in {}", self.source.name())));
        };
        let mut bytes = stored.bytes(&self.source, &entry.name)?;
        if let Some(scale) = &stored.scale {
            bytes = scale.apply(&self.source, &entry.name, stored, &bytes)?;
        }
        Ok(Raw { dtype: entry.dtype, shape: entry.shape.clone(), bytes })
    }

    fn place(&self, index: usize) -> Option<(&Source, u64)> {
        let stored = self.stored.get(index).filter(|stored| stored.scale.is_none())?;
        stored.place().map(|start| (&self.source, start))
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}
