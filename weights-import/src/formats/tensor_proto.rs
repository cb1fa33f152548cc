//! The values of a `TensorProto`, ONNX's and TensorFlow's: raw bytes, or a list of numbers whose field depends on the
//! type. Small integers and the bits of half floats are in lists of 32-bit numbers.

use crate::protobuf::{Value, Wire};
use crate::{Dtype, Result};
use std::ops::Range;

/// Where the values of a tensor are in its message.
#[derive(Debug, Clone)]
pub(super) struct Values {
    message: Range<u64>,
    raw: Option<Range<u64>>,
    list: u32,
    /// The bytes of the list: there are at most so many numbers in it.
    pub(super) most: u64,
    /// The list, if it lies in one piece.
    piece: Option<Range<u64>>,
}

impl Values {
    /// Looks for the fields `raw` and `list` in `message`; nothing is read but tags.
    pub(super) fn find(wire: &mut Wire<'_>, message: Range<u64>, raw: u32, list: u32) -> Result<Self> {
        let mut found = Self { message: message.clone(), raw: None, list, most: 0, piece: None };
        let mut pieces = 0u64;
        let mut fields = message;
        while let Some((field, value)) = wire.field(&mut fields)? {
            match value {
                Value::Span(span) if field == raw && span.start < span.end => found.raw = Some(span),
                Value::Span(span) | Value::Fixed32(span) | Value::Fixed64(span) if field == list => {
                    found.most += span.end - span.start;
                    pieces += 1;
                    found.piece = Some(span).filter(|_| pieces == 1);
                }
                Value::Varint(_) if field == list => {
                    found.most += 1;
                    pieces += 2;
                    found.piece = None;
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Number of raw bytes, `None` if the values are listed.
    pub(super) fn raw(&self) -> Option<u64> {
        self.raw.as_ref().map(|span| span.end - span.start)
    }

    /// Whether `bytes` bytes of this type can be here.
    pub(super) fn may_be(&self, dtype: Dtype, count: usize, bytes: usize) -> bool {
        match (self.raw(), fixed(dtype)) {
            (Some(raw), _) => raw == bytes as u64,
            (None, Some(_)) => self.most == bytes as u64,
            (None, None) => self.most >= count as u64,
        }
    }

    /// Where the bytes lie, if they lie in one piece as they are.
    pub(super) fn place(&self, dtype: Dtype) -> Option<u64> {
        let listed = || self.piece.as_ref().filter(|_| fixed(dtype).is_some());
        self.raw.as_ref().or_else(listed).map(|span| span.start)
    }

    /// The values, little-endian in their type; as many as there are.
    pub(super) fn read(&self, wire: &mut Wire<'_>, dtype: Dtype) -> Result<Vec<u8>> {
        if let Some(raw) = &self.raw {
            return wire.bytes(raw);
        }
        if let (Some(piece), Some(_)) = (&self.piece, fixed(dtype)) {
            return wire.bytes(piece);
        }
        // A number takes at least a byte of the list.
        let element = if fixed(dtype).is_some() { 1 } else { dtype.bits() / 8 };
        let mut bytes = Vec::with_capacity((self.most as usize).saturating_mul(element));
        let mut fields = self.message.clone();
        while let Some((field, value)) = wire.field(&mut fields)? {
            if field != self.list {
                continue;
            }
            match (fixed(dtype), value) {
                (Some(_), Value::Span(span)) => bytes.extend(wire.bytes(&span)?),
                (Some(4), Value::Fixed32(span)) | (Some(8), Value::Fixed64(span)) => bytes.extend(wire.bytes(&span)?),
                (None, Value::Varint(number)) => push(wire, dtype, number, &mut bytes)?,
                (None, Value::Span(mut packed)) => {
                    while packed.start < packed.end {
                        let number = wire.varint(&mut packed)?;
                        push(wire, dtype, number, &mut bytes)?;
                    }
                }
                _ => return wire.fail(format!("a list of {dtype} at byte {} holds other numbers", self.message.start)),
            }
        }
        Ok(bytes)
    }
}

/// Bytes of the numbers of a list, `None` if they are of variable length.
fn fixed(dtype: Dtype) -> Option<usize> {
    match dtype {
        Dtype::F32 | Dtype::Other { bits: 64, .. } => Some(4),
        Dtype::F64 | Dtype::Other { bits: 128, .. } => Some(8),
        _ => None,
    }
}

/// A number of variable length as the element that it stands for. Negative ones are written with 64 bits.
fn push(wire: &Wire<'_>, dtype: Dtype, number: u64, bytes: &mut Vec<u8>) -> Result<()> {
    let signed = number as i64;
    let fits = match dtype {
        Dtype::Bool => number <= 1,
        Dtype::U8 => number <= 0xff,
        Dtype::U16 | Dtype::F16 | Dtype::Bf16 => number <= 0xffff,
        Dtype::U32 => number <= 0xffff_ffff,
        Dtype::I8 => i8::try_from(signed).is_ok(),
        Dtype::I16 => i16::try_from(signed).is_ok(),
        Dtype::I32 => i32::try_from(signed).is_ok() || number <= 0xffff_ffff,
        Dtype::Other { bits: 8, .. } => i8::try_from(signed).is_ok() || number <= 0xff,
        _ => true,
    };
    if !fits {
        return wire.fail(format!("a list of {dtype} holds {signed}"));
    }
    bytes.extend_from_slice(&number.to_le_bytes()[..(dtype.bits() / 8).min(8)]);
    Ok(())
}
