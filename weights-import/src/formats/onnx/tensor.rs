//! `TensorProto`: element type, shape, and where the values are.

use super::super::catalogue::{Catalogue, LONGEST_NAME, MOST_DIMS, size};
use super::super::tensor_proto::Values;
use super::FORMAT;
use super::quantised::Scale;
use crate::protobuf::{Value, Wire};
use crate::{Dtype, Error, Links, Result, Source};
use std::ops::Range;

/// A tensor as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) dtype: Dtype,
    pub(super) data: Data,
    /// How its integers become floats.
    pub(super) scale: Option<Box<Scale>>,
}

#[derive(Debug, Clone)]
pub(super) enum Data {
    Here(Values),
    /// In a file beside the model.
    Beside {
        file: String,
        offset: u64,
    },
}

/// An element type, or why it is not read.
pub(super) fn dtype(number: u64) -> std::result::Result<Dtype, String> {
    Ok(match number {
        1 => Dtype::F32,
        2 => Dtype::U8,
        3 => Dtype::I8,
        4 => Dtype::U16,
        5 => Dtype::I16,
        6 => Dtype::I32,
        7 => Dtype::I64,
        9 => Dtype::Bool,
        10 => Dtype::F16,
        11 => Dtype::F64,
        12 => Dtype::U32,
        13 => Dtype::U64,
        14 => Dtype::Other { name: "C64", bits: 64 },
        15 => Dtype::Other { name: "C128", bits: 128 },
        16 => Dtype::Bf16,
        17 => Dtype::Other { name: "F8_E4M3", bits: 8 },
        18 => Dtype::Other { name: "F8_E4M3FNUZ", bits: 8 },
        19 => Dtype::Other { name: "F8_E5M2", bits: 8 },
        20 => Dtype::Other { name: "F8_E5M2FNUZ", bits: 8 },
        24 => Dtype::Other { name: "F8_E8M0", bits: 8 },
        8 => return Err("strings".to_string()),
        21 | 22 => return Err("integers of 4 bits".to_string()),
        23 => return Err("floats of 4 bits".to_string()),
        25 | 26 => return Err("integers of 2 bits".to_string()),
        other => return Err(format!("of the unknown type {other}")),
    })
}

/// The field of a type's numbers, where they are listed.
fn list(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::F32 | Dtype::Other { bits: 64, .. } => 4,
        Dtype::F64 | Dtype::Other { bits: 128, .. } => 10,
        Dtype::I64 => 7,
        Dtype::U32 | Dtype::U64 => 11,
        _ => 5,
    }
}

/// Reads a tensor's message; `name` stands for its own where it is the output of a node. `None` if it is not read.
pub(super) fn read(
    wire: &mut Wire<'_>,
    message: Range<u64>,
    name: Option<String>,
    catalogue: &mut Catalogue,
) -> Result<Option<Stored>> {
    let (mut own, mut shape, mut kind, mut beside) = (String::new(), Vec::new(), 0, false);
    let mut file = (None, 0, None);
    let mut fields = message.clone();
    while let Some((field, value)) = wire.field(&mut fields)? {
        match (field, value) {
            (1, Value::Varint(size)) => dim(wire, size, &mut shape)?,
            (1, Value::Span(mut packed)) => {
                while packed.start < packed.end {
                    let size = wire.varint(&mut packed)?;
                    dim(wire, size, &mut shape)?;
                }
            }
            (2, Value::Varint(number)) => kind = number,
            (3, Value::Span(_)) => return wire.fail("a tensor is stored in segments, which are not read"),
            (8, Value::Span(span)) => own = wire.text(&span, LONGEST_NAME, "name")?,
            (13, Value::Span(span)) => external(wire, span, &mut file)?,
            (14, Value::Varint(place)) => beside = place == 1,
            _ => {}
        }
    }
    let name = name.unwrap_or(own);
    let dtype = match dtype(kind) {
        Ok(dtype) => dtype,
        Err(why) => return catalogue.skip(&name, &why).map(|()| None),
    };
    let Some((count, bytes)) = size(&shape, dtype) else {
        return wire.fail(format!("tensor {name} has the shape {shape:?}, which is too large"));
    };
    let data = if beside {
        let (Some(file), offset, length) = file else {
            return wire.fail(format!("tensor {name} is in another file, but which is not said"));
        };
        let found = wire.source().sibling(&file, Links::Refuse)?;
        let fits = offset.checked_add(bytes as u64).is_some_and(|end| end <= found.len());
        if !fits || length.is_some_and(|length| length != bytes as u64) {
            let claim = length.unwrap_or(bytes as u64);
            return wire.fail(format!(
                "tensor {name}, {dtype}{shape:?}, is said to be {claim} bytes from byte {offset} of {file}, which has {}",
                found.len()
            ));
        }
        Data::Beside { file, offset }
    } else {
        let values = Values::find(wire, message, 9, list(dtype))?;
        if !values.may_be(dtype, count, bytes) {
            return wire.fail(format!("tensor {name} claims {dtype}{shape:?}, but has not so many values"));
        }
        Data::Here(values)
    };
    catalogue.spend(400 + 3 * name.len() as u64)?;
    Ok(Some(Stored { name, shape, dtype, data, scale: None }))
}

fn dim(wire: &Wire<'_>, size: u64, shape: &mut Vec<usize>) -> Result<()> {
    match usize::try_from(size).ok().filter(|&size| isize::try_from(size).is_ok()) {
        Some(size) if shape.len() < MOST_DIMS => shape.push(size),
        Some(_) => return wire.fail(format!("a tensor has more than {MOST_DIMS} dimensions")),
        None => return wire.fail(format!("a dimension of the size {}", size as i64)),
    }
    Ok(())
}

/// `StringStringEntryProto`: key 1, value 2. Keys are `location`, `offset`, `length`, `checksum`.
fn external(wire: &mut Wire<'_>, mut message: Range<u64>, file: &mut (Option<String>, u64, Option<u64>)) -> Result<()> {
    let (mut key, mut text) = (String::new(), String::new());
    while let Some((field, value)) = wire.field(&mut message)? {
        match (field, value) {
            (1, Value::Span(span)) => key = wire.text(&span, 64, "key of an external tensor")?,
            (2, Value::Span(span)) => text = wire.text(&span, LONGEST_NAME, "place of an external tensor")?,
            _ => {}
        }
    }
    let number = || text.parse::<u64>().or_else(|_| wire.fail(format!("an external tensor's {key} is {text:?}")));
    match key.as_str() {
        "location" => file.0 = Some(text),
        "offset" => file.1 = number()?,
        "length" => file.2 = Some(number()?),
        _ => {}
    }
    Ok(())
}

impl Stored {
    fn size(&self) -> Option<(usize, usize)> {
        size(&self.shape, self.dtype)
    }

    /// The bytes as they are stored; `name` stands in errors.
    pub(super) fn bytes(&self, source: &Source, name: &str) -> Result<Vec<u8>> {
        let wanted = self.size().map_or(usize::MAX, |(_, bytes)| bytes);
        let bytes = match &self.data {
            Data::Here(values) => values.read(&mut Wire::new(source, FORMAT), self.dtype)?,
            Data::Beside { file, offset } => source.sibling(file, Links::Refuse)?.read(*offset, wanted as u64)?,
        };
        match bytes.len() == wanted {
            true => Ok(bytes),
            false => {
                let message = format!("tensor {name} has {} bytes of values, expected {wanted}", bytes.len());
                Err(Error::corrupt(source.name(), FORMAT, message))
            }
        }
    }

    pub(super) fn place(&self) -> Option<u64> {
        match &self.data {
            Data::Here(values) => values.place(self.dtype),
            Data::Beside { .. } => None,
        }
    }
}
