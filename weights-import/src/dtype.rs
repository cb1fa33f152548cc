//! Element types of files, and their conversion to `f32`.

use crate::{Error, Result};
use half::{bf16, f16};
use std::fmt;

/// The type of a tensor's elements in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dtype {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 32 bits.
    I32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 64 bits.
    I64,
    /// IEEE half precision.
    F16,
    /// The upper half of an `f32`.
    Bf16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// A type that is listed but not converted (8-bit floats, complex numbers ...).
    Other {
        /// Its name in the file.
        name: &'static str,
        /// Bits of one element.
        bits: u16,
    },
}

impl Dtype {
    /// Bits of one element.
    pub fn bits(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 8,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 16,
            Self::U32 | Self::I32 | Self::F32 => 32,
            Self::U64 | Self::I64 | Self::F64 => 64,
            Self::Other { bits, .. } => bits as usize,
        }
    }

    /// Bytes of `count` elements, `None` if that is more than memory can address or no whole number of bytes.
    pub fn bytes(self, count: usize) -> Option<usize> {
        let bits = count.checked_mul(self.bits())?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// Whether elements are floating point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }
}

/// The short names of the safetensors format: `F32`, `BF16`, `I64` ...
impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bool => "BOOL",
            Self::U8 => "U8",
            Self::I8 => "I8",
            Self::U16 => "U16",
            Self::I16 => "I16",
            Self::U32 => "U32",
            Self::I32 => "I32",
            Self::U64 => "U64",
            Self::I64 => "I64",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::F32 => "F32",
            Self::F64 => "F64",
            Self::Other { name, .. } => name,
        })
    }
}

fn numbers<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes
        .chunks_exact(N)
        .map(|chunk| {
            let mut element = [0; N];
            element.copy_from_slice(chunk);
            read(element)
        })
        .collect()
}

/// The elements as `f32`. Floats are rounded to the nearest; what would overflow to infinity is an error, and so is an
/// integer that `f32` cannot hold exactly.
pub(crate) fn to_f32(name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>> {
    let values = |message: String| Error::Values { name: name.to_string(), message };
    match dtype {
        Dtype::F32 if cfg!(target_endian = "little") => {
            let mut floats = vec![0.0f32; bytes.len() / 4];
            bytemuck::cast_slice_mut(&mut floats).copy_from_slice(&bytes[..4 * (bytes.len() / 4)]);
            Ok(floats)
        }
        Dtype::F32 => Ok(numbers(bytes, f32::from_le_bytes)),
        Dtype::F16 => Ok(numbers(bytes, |b| f16::from_le_bytes(b).to_f32())),
        Dtype::Bf16 => Ok(numbers(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        Dtype::Bool | Dtype::U8 => Ok(bytes.iter().map(|&b| f32::from(b)).collect()),
        Dtype::I8 => Ok(bytes.iter().map(|&b| f32::from(b as i8)).collect()),
        Dtype::U16 => Ok(numbers(bytes, |b| f32::from(u16::from_le_bytes(b)))),
        Dtype::I16 => Ok(numbers(bytes, |b| f32::from(i16::from_le_bytes(b)))),
        Dtype::F64 => bytes
            .chunks_exact(8)
            .enumerate()
            .map(|(i, chunk)| {
                let wide = numbers(chunk, f64::from_le_bytes)[0];
                let narrow = wide as f32;
                if narrow.is_infinite() && wide.is_finite() {
                    return Err(values(format!("element {i} is {wide}, which is too large for F32")));
                }
                Ok(narrow)
            })
            .collect(),
        Dtype::U64 => numbers(bytes, u64::from_le_bytes)
            .into_iter()
            .enumerate()
            .map(|(i, v)| exact(v as f32, v as i128).ok_or_else(|| values(inexact(i, v as i128))))
            .collect(),
        _ => to_i64(name, dtype, bytes)?
            .into_iter()
            .enumerate()
            .map(|(i, v)| exact(v as f32, v as i128).ok_or_else(|| values(inexact(i, v as i128))))
            .collect(),
    }
}

fn exact(float: f32, integer: i128) -> Option<f32> {
    (float as i128 == integer).then_some(float)
}

fn inexact(index: usize, value: i128) -> String {
    format!("element {index} is {value}, which F32 cannot hold exactly; read it as integers (get_i64)")
}

/// The elements as `i64`; an error for floats and for what `i64` cannot hold.
pub(crate) fn to_i64(name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Vec<i64>> {
    let values = |message: String| Error::Values { name: name.to_string(), message };
    Ok(match dtype {
        Dtype::Bool | Dtype::U8 => bytes.iter().map(|&b| b as i64).collect(),
        Dtype::I8 => bytes.iter().map(|&b| b as i8 as i64).collect(),
        Dtype::U16 => numbers(bytes, |b| u16::from_le_bytes(b) as i64),
        Dtype::I16 => numbers(bytes, |b| i16::from_le_bytes(b) as i64),
        Dtype::U32 => numbers(bytes, |b| u32::from_le_bytes(b) as i64),
        Dtype::I32 => numbers(bytes, |b| i32::from_le_bytes(b) as i64),
        Dtype::I64 => numbers(bytes, i64::from_le_bytes),
        Dtype::U64 => numbers(bytes, u64::from_le_bytes)
            .into_iter()
            .enumerate()
            .map(|(i, v)| {
                i64::try_from(v).map_err(|_| values(format!("element {i} is {v}, which is too large for I64")))
            })
            .collect::<Result<_>>()?,
        Dtype::F16 | Dtype::Bf16 | Dtype::F32 | Dtype::F64 => {
            return Err(values(format!("holds {dtype}, not integers; read it with get")));
        }
        Dtype::Other { name, .. } => {
            return Err(values(format!("holds {name}, which is not converted: write the file anew as F16 or F32")));
        }
    })
}

/// `values` as little-endian bytes of a floating point type, rounded to the nearest (ties to even).
pub(crate) fn from_f32(name: &str, dtype: Dtype, values: &[f32]) -> Result<Vec<u8>> {
    let too_large = |index: usize| Error::Values {
        name: name.to_string(),
        message: format!("element {index} is {}, which is too large for {dtype}; save as F32", values[index]),
    };
    let check = |index: usize, finite: bool| match values[index].is_finite() && !finite {
        true => Err(too_large(index)),
        false => Ok(()),
    };
    let mut bytes = Vec::with_capacity(values.len() * dtype.bits() / 8);
    match dtype {
        Dtype::F32 if cfg!(target_endian = "little") => bytes.extend_from_slice(bytemuck::cast_slice(values)),
        Dtype::F32 => values.iter().for_each(|v| bytes.extend(v.to_le_bytes())),
        Dtype::F16 => {
            for (i, &v) in values.iter().enumerate() {
                let narrow = f16::from_f32(v);
                check(i, narrow.is_finite())?;
                bytes.extend(narrow.to_le_bytes());
            }
        }
        Dtype::Bf16 => {
            for (i, &v) in values.iter().enumerate() {
                let narrow = bf16::from_f32(v);
                check(i, narrow.is_finite())?;
                bytes.extend(narrow.to_le_bytes());
            }
        }
        _ => return Err(Error::Argument(format!("weights are saved as F32, F16 or BF16, not as {dtype}"))),
    }
    Ok(bytes)
}
