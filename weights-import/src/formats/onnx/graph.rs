//! The graph: its initialisers, and what its nodes say of them.

use super::super::catalogue::{Catalogue, LONGEST_NAME, size};
use super::names::{Use, path, role};
use super::quantised::Scale;
use super::tensor::{self, Stored};
use crate::Result;
use crate::protobuf::{Value, Wire};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Most inputs of a node that are looked at.
const MOST_INPUTS: usize = 16;

/// Most inputs and outputs of the graph that are told.
const MOST_TOLD: usize = 16;

/// What a graph holds.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) tensors: Vec<Stored>,
    /// What the first node that consumes a tensor uses it for.
    pub(super) uses: Vec<Option<Use>>,
    /// The tensors by all their names.
    known: BTreeMap<String, usize>,
}

pub(super) fn read(wire: &mut Wire<'_>, graph: Range<u64>, list: &mut Catalogue) -> Result<Graph> {
    let mut found = Graph::default();
    let mut fields = graph.clone();
    while let Some((field, value)) = wire.field(&mut fields)? {
        match (field, value) {
            (5, Value::Span(span)) => {
                if let Some(tensor) = tensor::read(wire, span, None, list)? {
                    found.add(tensor, list)?;
                }
            }
            (15, Value::Span(_)) => {
                return wire.fail("has sparse initialisers, which are not read: export the model with dense ones");
            }
            _ => {}
        }
    }
    // Nodes, inputs and outputs need the initialisers, which come later in the file.
    let (mut subgraphs, mut told, mut skipped) = (0u64, [0; 2], BTreeSet::new());
    let mut fields = graph;
    while let Some((field, value)) = wire.field(&mut fields)? {
        match (field, value) {
            (1, Value::Span(span)) => subgraphs += found.node(wire, span, list, &mut skipped)?,
            (11, Value::Span(span)) => found.end(wire, span, "input", &mut told[0], list)?,
            (12, Value::Span(span)) => found.end(wire, span, "output", &mut told[1], list)?,
            _ => {}
        }
    }
    if subgraphs > 0 {
        list.say("subgraphs".to_string(), format!("{subgraphs}, whose tensors are not read"))?;
    }
    Ok(found)
}

/// The attributes that matter here.
#[derive(Default)]
struct Attributes {
    trans_b: bool,
    axis: Option<i64>,
    blocks: bool,
    value: Option<Range<u64>>,
    subgraphs: u64,
}

impl Graph {
    fn add(&mut self, tensor: Stored, list: &Catalogue) -> Result<()> {
        if self.known.insert(tensor.name.clone(), self.tensors.len()).is_some() {
            return list.fail(format!("two tensors are named {}", tensor.name));
        }
        self.tensors.push(tensor);
        self.uses.push(None);
        Ok(())
    }

    /// Another name of a tensor, as far as nodes are concerned.
    fn alias(&mut self, name: Option<&String>, index: usize, list: &mut Catalogue) -> Result<()> {
        if let Some(name) = name {
            list.spend(128 + name.len() as u64)?;
            self.known.entry(name.clone()).or_insert(index);
        }
        Ok(())
    }

    /// `NodeProto`: input 1, output 2, name 3, operator 4, attribute 5. How many graphs are within it.
    fn node(
        &mut self,
        wire: &mut Wire<'_>,
        node: Range<u64>,
        list: &mut Catalogue,
        skipped: &mut BTreeSet<String>,
    ) -> Result<u64> {
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        let (mut name, mut operator) = (String::new(), String::new());
        let mut attributes = Attributes::default();
        let mut fields = node;
        while let Some((field, value)) = wire.field(&mut fields)? {
            match (field, value) {
                (1, Value::Span(span)) if inputs.len() < MOST_INPUTS => {
                    inputs.push(wire.text(&span, LONGEST_NAME, "name")?);
                }
                (2, Value::Span(span)) if outputs.is_empty() => outputs.push(wire.text(&span, LONGEST_NAME, "name")?),
                (3, Value::Span(span)) => name = wire.text(&span, LONGEST_NAME, "name")?,
                (4, Value::Span(span)) => operator = wire.text(&span, LONGEST_NAME, "name")?,
                (5, Value::Span(span)) => attribute(wire, span, &mut attributes)?,
                _ => {}
            }
        }
        let output = outputs.first();
        let inputs: Vec<Option<usize>> = inputs.iter().map(|input| self.known.get(input).copied()).collect();
        let input = |number: usize| inputs.get(number).copied().flatten();
        match (operator.as_str(), input(0)) {
            ("Constant", _) => {
                if let (Some(value), Some(output)) = (attributes.value.clone(), output)
                    && let Some(tensor) = tensor::read(wire, value, Some(output.clone()), list)?
                {
                    self.add(tensor, list)?;
                }
            }
            // Exporters keep equal tensors once, and tell the other names so.
            ("Identity", Some(index)) => {
                if let (Some(output), Some(tensor)) = (output, self.tensors.get(index)) {
                    let tensor = Stored { name: output.clone(), ..tensor.clone() };
                    let bytes = size(&tensor.shape, tensor.dtype).map_or(u64::MAX, |(_, bytes)| bytes as u64);
                    list.spend(bytes.saturating_add(400 + 3 * output.len() as u64))?;
                    self.add(tensor, list)?;
                }
            }
            ("QuantizeLinear", Some(index)) => self.alias(output, index, list)?,
            ("DequantizeLinear", Some(index)) => {
                let scale = input(1).and_then(|index| self.tensors.get(index));
                let zero = input(2).and_then(|index| self.tensors.get(index));
                let known = inputs.len() < 3 || zero.is_some();
                if let (Some(weight), Some(scale), true) = (self.tensors.get(index), scale, known) {
                    let axis = attributes.axis.unwrap_or(1);
                    let found = match Scale::new(weight, scale, zero, axis) {
                        _ if attributes.blocks => None,
                        Ok(found) => found,
                        Err(why) => return list.fail(format!("tensor {} {why}", weight.name)),
                    };
                    if found.is_none() && !weight.dtype.is_float() && skipped.insert(weight.name.clone()) {
                        let why = format!("{} with scales of the shape {:?}", weight.dtype, scale.shape);
                        list.say(format!("quantised.{}", weight.name), why)?;
                    }
                    let weight = &mut self.tensors[index];
                    if weight.scale.is_none() {
                        list.spend(600)?;
                        weight.scale = found.map(Box::new);
                    }
                }
                self.alias(output, index, list)?;
            }
            _ => {
                for (number, index) in inputs.iter().enumerate() {
                    let &Some(index) = index else { continue };
                    if let (Some(role), Some(None)) = (role(&operator, number), self.uses.get(index)) {
                        let transposed = operator == "MatMul" || (operator == "Gemm" && !attributes.trans_b);
                        let path = path(&name);
                        list.spend(100 + path.len() as u64)?;
                        self.uses[index] = Some(Use { path, role, transposed });
                    }
                }
            }
        }
        Ok(attributes.subgraphs)
    }

    /// An input or output of the graph, `ValueInfoProto`: name 1, type 2 { tensor 1 { element 1, shape 2 { dim 1 } } }.
    fn end(
        &self,
        wire: &mut Wire<'_>,
        mut info: Range<u64>,
        kind: &str,
        told: &mut usize,
        list: &mut Catalogue,
    ) -> Result<()> {
        let (mut name, mut dtype, mut shape) = (String::new(), None, 0..0);
        while let Some((field, value)) = wire.field(&mut info)? {
            match (field, value) {
                (1, Value::Span(span)) => name = wire.text(&span, LONGEST_NAME, "name")?,
                (2, Value::Span(mut kind)) => {
                    let Some((1, Value::Span(mut tensor))) = wire.field(&mut kind)? else { continue };
                    while let Some((field, value)) = wire.field(&mut tensor)? {
                        match (field, value) {
                            (1, Value::Varint(number)) => dtype = tensor::dtype(number).ok(),
                            (2, Value::Span(span)) => shape = span,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        // Old files list their initialisers as inputs, too.
        let Some(dtype) = dtype.filter(|_| *told < MOST_TOLD && !self.known.contains_key(&name)) else { return Ok(()) };
        *told += 1;
        let mut dims = Vec::new();
        while let Some((field, value)) = wire.field(&mut shape)? {
            let (1, Value::Span(mut dim)) = (field, value) else { continue };
            let mut size = "?".to_string();
            if let Some((1, Value::Varint(number))) = wire.field(&mut dim)? {
                size = number.to_string();
            }
            dims.push(size);
            if dims.len() > super::super::catalogue::MOST_DIMS {
                return Ok(());
            }
        }
        list.say(format!("{kind}.{name}"), format!("{dtype}[{}]", dims.join(", ")))
    }
}

/// `AttributeProto`: name 1, integer 3, tensor 5, graph 6, graphs 11.
fn attribute(wire: &mut Wire<'_>, mut message: Range<u64>, found: &mut Attributes) -> Result<()> {
    let (mut name, mut integer) = (Vec::new(), None);
    while let Some((field, value)) = wire.field(&mut message)? {
        match (field, value) {
            (1, Value::Span(span)) if span.end - span.start < 16 => name = wire.bytes(&span)?,
            (3, Value::Varint(number)) => integer = Some(number as i64),
            (5, Value::Span(span)) => found.value = Some(span),
            (6 | 11, Value::Span(_)) => found.subgraphs += 1,
            _ => {}
        }
    }
    match (name.as_slice(), integer) {
        (b"transB", Some(number)) => found.trans_b = number != 0,
        (b"axis", number) => found.axis = number,
        (b"block_size", Some(number)) => found.blocks = number != 0,
        _ => {}
    }
    Ok(())
}
