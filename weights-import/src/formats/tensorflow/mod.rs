//! What TensorFlow's files have in common: element types, shapes, slices, `TensorProto`.
//!
//! Source: `tensorflow/core/framework/{types,tensor,tensor_shape,tensor_slice}.proto`.

pub(super) mod checkpoint;
mod checkpoint_v1;
pub(super) mod graph;
mod slice;

use super::catalogue::MOST_DIMS;
use super::tensor_proto::Values;
use crate::protobuf::{Value, Wire};
use crate::{Dtype, Result};
use std::ops::Range;

/// An element type of `DataType`, or why it is not read.
fn dtype(number: u64) -> std::result::Result<Dtype, String> {
    Ok(match number {
        1 => Dtype::F32,
        2 => Dtype::F64,
        3 => Dtype::I32,
        4 => Dtype::U8,
        5 => Dtype::I16,
        6 => Dtype::I8,
        8 => Dtype::Other { name: "C64", bits: 64 },
        9 => Dtype::I64,
        10 => Dtype::Bool,
        11 => Dtype::Other { name: "QINT8", bits: 8 },
        12 => Dtype::Other { name: "QUINT8", bits: 8 },
        13 => Dtype::Other { name: "QINT32", bits: 32 },
        14 => Dtype::Bf16,
        15 => Dtype::Other { name: "QINT16", bits: 16 },
        16 => Dtype::Other { name: "QUINT16", bits: 16 },
        17 => Dtype::U16,
        18 => Dtype::Other { name: "C128", bits: 128 },
        19 => Dtype::F16,
        22 => Dtype::U32,
        23 => Dtype::U64,
        24 => Dtype::Other { name: "F8_E5M2", bits: 8 },
        25 => Dtype::Other { name: "F8_E4M3", bits: 8 },
        7 => return Err("strings".to_string()),
        20 => return Err("a resource".to_string()),
        21 => return Err("a variant".to_string()),
        other => return Err(format!("of the unknown type {other}")),
    })
}

/// The values of a `TensorProto`.
fn values(wire: &mut Wire<'_>, message: Range<u64>, dtype: Dtype) -> Result<Values> {
    let list = match dtype {
        Dtype::F32 => 5,
        Dtype::F64 => 6,
        Dtype::I64 => 10,
        Dtype::Bool => 11,
        Dtype::F16 | Dtype::Bf16 => 13,
        Dtype::U32 => 16,
        Dtype::U64 => 17,
        Dtype::Other { name: "C64", .. } => 9,
        Dtype::Other { name: "C128", .. } => 12,
        _ => 7,
    };
    Values::find(wire, message, 4, list)
}

/// `TensorShapeProto`: dim 2 { size 1 }.
fn shape(wire: &mut Wire<'_>, mut message: Range<u64>) -> Result<Vec<usize>> {
    let mut shape = Vec::new();
    while let Some((field, value)) = wire.field(&mut message)? {
        match (field, value) {
            (2, Value::Span(mut dim)) => {
                let mut size = 0;
                while let Some((field, value)) = wire.field(&mut dim)? {
                    if let (1, Value::Varint(number)) = (field, value) {
                        size = number;
                    }
                }
                match usize::try_from(size).ok().filter(|&size| isize::try_from(size).is_ok()) {
                    Some(size) => shape.push(size),
                    None => return wire.fail(format!("a dimension of the size {}", size as i64)),
                }
            }
            (3, Value::Varint(1)) => return wire.fail("a tensor of unknown rank"),
            _ => {}
        }
        if shape.len() > MOST_DIMS {
            return wire.fail(format!("a tensor has more than {MOST_DIMS} dimensions"));
        }
    }
    Ok(shape)
}
