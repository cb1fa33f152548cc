//! Caffe `.caffemodel`: a binary `NetParameter` with the blobs of each layer.
//!
//! Read are the current form (`layer`, field 100), the one before it (`layers`, field 2), and the first, whose layers lie
//! within those of the second. Tensors are named `<layer>.<number of the blob>`, e.g. `conv_1.0`; the layers' settings are
//! metadata, e.g. `conv_1.type`, `conv_1.stride`. Values are floats, doubles, or the raw bytes that NVIDIA's branch writes
//! (also of half precision). Source: Caffe's `src/caffe/proto/caffe.proto`, `blob.cpp` (a legacy dimension wins over
//! `shape`).

use crate::protobuf::{Value, Wire};
use crate::{Dtype, Entry, Error, Raw, Reader, Result, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

const FORMAT: &str = "caffe";

/// Longest name of a layer, in bytes.
const LONGEST_NAME: u64 = 256;

/// Most dimensions of a blob (Caffe's own limit).
const MOST_DIMS: usize = 32;

/// A run of numbers in the file: packed, or each behind its own tag.
#[derive(Debug, Clone)]
struct Run {
    start: u64,
    count: u64,
    stride: u64,
}

#[derive(Debug)]
struct Caffe {
    source: Source,
    entries: Vec<Entry>,
    runs: Vec<Vec<Run>>,
    metadata: BTreeMap<String, String>,
}

/// Field numbers of the forms of a layer. Field 0 does not exist: the old forms have no such settings.
struct Form {
    name: u32,
    kind: u32,
    blobs: u32,
    convolution: u32,
    pooling: u32,
    batch_norm: u32,
    /// Settings in the layer itself.
    own: &'static [(u32, &'static str)],
}

const CURRENT: Form = Form { name: 1, kind: 2, blobs: 7, convolution: 106, pooling: 121, batch_norm: 139, own: &[] };
const OLD: Form = Form { name: 4, kind: 5, blobs: 6, convolution: 10, pooling: 19, batch_norm: 0, own: &[] };
const OLDEST: Form = Form { name: 1, kind: 2, blobs: 50, convolution: 0, pooling: 0, batch_norm: 0, own: OLDEST_OWN };

/// Where a layer of the old form has one of the oldest.
const OLDEST_WITHIN: u32 = 1;

/// Settings that become metadata: field number and key.
const CONVOLUTION: &[(u32, &str)] = &[
    (2, "bias_term"),
    (3, "pad"),
    (4, "kernel_size"),
    (5, "group"),
    (6, "stride"),
    (9, "pad_h"),
    (10, "pad_w"),
    (11, "kernel_h"),
    (12, "kernel_w"),
    (13, "stride_h"),
    (14, "stride_w"),
    (18, "dilation"),
];
const POOLING: &[(u32, &str)] =
    &[(1, "pool"), (2, "kernel_size"), (3, "stride"), (4, "pad"), (12, "global_pooling"), (13, "round_mode")];
const BATCH_NORM: &[(u32, &str)] = &[(3, "eps")];
const OLDEST_OWN: &[(u32, &str)] =
    &[(4, "bias_term"), (7, "pad"), (8, "kernel_size"), (9, "group"), (10, "stride"), (11, "pool")];

/// There is no signature: the first fields must be those of a network, its name a line of text, and the first layer must
/// have a name.
pub(super) fn probe(head: &[u8], source: &Source) -> bool {
    if !matches!(head, [0x0a | 0x12, ..] | [0xa2, 0x06, ..]) {
        return false;
    }
    let mut wire = Wire::new(source, FORMAT);
    let mut net = 0..source.len();
    for _ in 0..64 {
        let (form, mut layer) = match wire.field(&mut net) {
            Ok(Some((100, Value::Span(layer)))) => (&CURRENT, layer),
            Ok(Some((2, Value::Span(layer)))) => (&OLD, layer),
            Ok(Some((1, Value::Span(name)))) => match wire.text(&name, LONGEST_NAME, "name") {
                // Within a message, which a graph of TensorFlow has here, there are bytes that are no text.
                Ok(name) if !name.contains(char::is_control) => continue,
                _ => return false,
            },
            // input, input_shape, input_dim, force_backward, state, debug_info
            Ok(Some((3..=8, _))) => continue,
            _ => return false,
        };
        // A layer of either form starts with its name, or has it soon.
        for _ in 0..16 {
            match wire.field(&mut layer) {
                Ok(Some((field, Value::Span(span)))) if field == form.name => {
                    return wire.text(&span, LONGEST_NAME, "name").is_ok();
                }
                Ok(Some((OLDEST_WITHIN, Value::Span(_)))) if form.name != 1 => return true,
                Ok(Some(_)) => {}
                _ => break,
            }
        }
    }
    false
}

pub(super) fn open(source: Source) -> Result<Box<dyn Reader>> {
    // What the index may take in memory: real networks need far less.
    let budget = source.len().saturating_mul(4).saturating_add(1 << 20);
    let mut index = Index { budget, ..Index::default() };
    let mut wire = Wire::new(&source, FORMAT);
    let mut net = 0..source.len();
    while let Some((field, value)) = wire.field(&mut net)? {
        match (field, value) {
            (100, Value::Span(layer)) => index.layer(&mut wire, layer, &CURRENT)?,
            (2, Value::Span(layer)) => index.layer(&mut wire, layer, &OLD)?,
            _ => {}
        }
    }
    if index.entries.is_empty() {
        return wire.fail("no layer has weights (is it a network definition?)");
    }
    let Index { entries, runs, metadata, .. } = index;
    Ok(Box::new(Caffe { entries, runs, metadata, source }))
}

#[derive(Default)]
struct Index {
    entries: Vec<Entry>,
    runs: Vec<Vec<Run>>,
    metadata: BTreeMap<String, String>,
    names: BTreeSet<String>,
    budget: u64,
}

impl Index {
    fn spend(&mut self, wire: &Wire<'_>, bytes: usize) -> Result<()> {
        match self.budget.checked_sub(bytes as u64) {
            Some(left) => self.budget = left,
            None => return wire.fail("more layers, blobs and settings than a file of this size can have"),
        }
        Ok(())
    }

    fn layer(&mut self, wire: &mut Wire<'_>, layer: Range<u64>, form: &Form) -> Result<()> {
        let (mut name, mut oldest) = (None, None);
        let mut said = Vec::new();
        if !form.own.is_empty() {
            settings(wire, layer.clone(), form.own, &mut said)?;
        }
        let mut fields = layer.clone();
        while let Some((field, value)) = wire.field(&mut fields)? {
            match value {
                Value::Span(span) if field == form.name => name = Some(wire.text(&span, LONGEST_NAME, "name")?),
                Value::Span(span) if field == form.kind => said.push(("type", wire.text(&span, LONGEST_NAME, "type")?)),
                Value::Varint(kind) if field == form.kind => said.push(("type", kind.to_string())),
                Value::Span(span) if field == OLDEST_WITHIN && form.name != 1 => oldest = Some(span),
                Value::Span(span) if field == form.convolution => settings(wire, span, CONVOLUTION, &mut said)?,
                Value::Span(span) if field == form.pooling => settings(wire, span, POOLING, &mut said)?,
                Value::Span(span) if field == form.batch_norm => settings(wire, span, BATCH_NORM, &mut said)?,
                _ => {}
            }
        }
        if let Some(oldest) = oldest {
            return self.layer(wire, oldest, &OLDEST);
        }
        let name = name.unwrap_or_default();
        for (key, value) in said {
            let key = format!("{name}.{key}");
            self.spend(wire, 128 + key.len())?;
            self.metadata.insert(key, value);
        }
        let mut fields = layer;
        let mut number = 0;
        while let Some((field, value)) = wire.field(&mut fields)? {
            if let (true, Value::Span(span)) = (field == form.blobs, value) {
                self.blob(wire, span, format!("{name}.{number}"))?;
                number += 1;
            }
        }
        Ok(())
    }

    fn blob(&mut self, wire: &mut Wire<'_>, mut blob: Range<u64>, name: String) -> Result<()> {
        let mut legacy: Option<[u64; 4]> = None;
        let mut shape = Vec::new();
        let (mut floats, mut doubles, mut raw, mut raw_kind) = (Vec::new(), Vec::new(), None, None);
        while let Some((field, value)) = wire.field(&mut blob)? {
            match (field, value) {
                (1..=4, Value::Varint(size)) => legacy.get_or_insert([0; 4])[field as usize - 1] = size,
                (5, Value::Span(span)) => {
                    packed(&mut floats, span, 4).or_else(|e| wire.fail(format!("{name}: {e}")))?
                }
                (5, Value::Fixed32(span)) => single(&mut floats, span.start, 5),
                (8, Value::Span(span)) => {
                    packed(&mut doubles, span, 8).or_else(|e| wire.fail(format!("{name}: {e}")))?
                }
                (8, Value::Fixed64(span)) => single(&mut doubles, span.start, 9),
                (10, Value::Varint(kind)) => raw_kind = Some(kind),
                (12, Value::Span(span)) => raw = Some(span),
                (7, Value::Span(span)) => dims(wire, span, &mut shape, &name)?,
                _ => {}
            }
        }
        if let Some(legacy) = legacy {
            shape = legacy.to_vec();
        }
        let (dtype, runs) = match (raw, raw_kind) {
            (Some(raw), kind) => {
                let dtype = match kind {
                    None | Some(0) => Dtype::F64,
                    Some(1) => Dtype::F32,
                    Some(2) => Dtype::F16,
                    Some(other) => return wire.fail(format!("blob {name} has raw data of the unknown type {other}")),
                };
                let mut runs = Vec::new();
                packed(&mut runs, raw, dtype.bits() as u64 / 8).or_else(|e| wire.fail(format!("{name}: {e}")))?;
                (dtype, runs)
            }
            (None, _) if doubles.is_empty() => (Dtype::F32, floats),
            (None, _) => (Dtype::F64, doubles),
        };
        let count: u64 = runs.iter().map(|run: &Run| run.count).sum();
        let expected = shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size));
        if expected != Some(count) {
            return wire.fail(format!("blob {name} has the shape {shape:?}, but {count} values"));
        }
        self.spend(wire, 400 + 3 * name.len() + 24 * runs.len())?;
        if !self.names.insert(name.clone()) {
            return wire.fail(format!("two layers have a blob named {name}"));
        }
        let sizes = shape.iter().map(|&size| usize::try_from(size)).collect::<std::result::Result<Vec<_>, _>>();
        let Ok(shape) = sizes else { return wire.fail(format!("blob {name} is too large for this machine")) };
        self.entries.push(Entry { name, shape, dtype });
        self.runs.push(runs);
        Ok(())
    }
}

fn settings(
    wire: &mut Wire<'_>,
    mut span: Range<u64>,
    keys: &[(u32, &'static str)],
    said: &mut Vec<(&'static str, String)>,
) -> Result<()> {
    while let Some((field, value)) = wire.field(&mut span)? {
        let Some((_, key)) = keys.iter().find(|(number, _)| *number == field) else { continue };
        let value = match value {
            Value::Varint(mode) if *key == "round_mode" => if mode == 0 { "ceil" } else { "floor" }.to_string(),
            Value::Varint(number) => number.to_string(),
            Value::Fixed32(span) => wire.float(&span)?.to_string(),
            // Packed: the first stands for all.
            Value::Span(mut packed) if packed.start < packed.end => wire.varint(&mut packed)?.to_string(),
            _ => continue,
        };
        if !said.iter().any(|(known, _)| known == key) {
            said.push((key, value));
        }
    }
    Ok(())
}

/// `BlobShape`: dim 1, packed or not.
fn dims(wire: &mut Wire<'_>, mut span: Range<u64>, shape: &mut Vec<u64>, name: &str) -> Result<()> {
    while let Some((field, value)) = wire.field(&mut span)? {
        match (field, value) {
            (1, Value::Varint(size)) => shape.push(size),
            (1, Value::Span(mut packed)) => {
                while packed.start < packed.end && shape.len() <= MOST_DIMS {
                    shape.push(wire.varint(&mut packed)?);
                }
            }
            _ => {}
        }
        if shape.len() > MOST_DIMS {
            return wire.fail(format!("blob {name} has more than {MOST_DIMS} dimensions"));
        }
    }
    Ok(())
}

fn packed(runs: &mut Vec<Run>, span: Range<u64>, size: u64) -> std::result::Result<(), String> {
    let len = span.end - span.start;
    if !len.is_multiple_of(size) {
        return Err(format!("{len} bytes of values are no multiple of {size}"));
    }
    if len > 0 {
        runs.push(Run { start: span.start, count: len / size, stride: size });
    }
    Ok(())
}

/// One number behind a tag of one byte: joins the run before it if it follows it.
fn single(runs: &mut Vec<Run>, start: u64, stride: u64) {
    match runs.last_mut() {
        Some(run) if run.stride == stride && run.start + run.count * stride == start => run.count += 1,
        _ => runs.push(Run { start, count: 1, stride }),
    }
}

impl Reader for Caffe {
    fn format(&self) -> &'static str {
        FORMAT
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, index: usize) -> Result<Raw> {
        let Some((entry, runs)) = self.entries.get(index).zip(self.runs.get(index)) else {
            return Err(Error::Argument(format!("no tensor number {index} in {}", self.source.name())));
        };
        let size = entry.dtype.bits() / 8;
        let mut bytes = Vec::with_capacity(entry.numel() * size);
        for run in runs {
            let span = (run.count - 1) * run.stride + size as u64;
            let read = self.source.read(run.start, span)?;
            if run.stride == size as u64 {
                bytes.extend_from_slice(&read);
            } else {
                read.chunks(run.stride as usize).for_each(|number| bytes.extend_from_slice(&number[..size]));
            }
        }
        Ok(Raw { dtype: entry.dtype, shape: entry.shape.clone(), bytes })
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}
