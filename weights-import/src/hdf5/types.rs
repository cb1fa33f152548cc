//! Shapes and element types.

use super::{Fields, File};
use crate::{Dtype, Result};

/// HDF5's own limit of dimensions.
pub(super) const MOST_DIMS: usize = 32;

/// A data space. One without elements and dimensions is none.
#[derive(Debug, Clone, Default)]
pub(super) struct Space {
    pub(super) shape: Vec<usize>,
    /// Largest sizes; `None` is without limit.
    pub(super) most: Vec<Option<u64>>,
    pub(super) null: bool,
}

/// An element type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    Number {
        dtype: Dtype,
        big_endian: bool,
    },
    /// A text of so many bytes.
    Text(usize),
    /// A text in the global heap.
    LongText(usize),
    /// Two bytes without a meaning of their own: h5py's bfloat16.
    Pair,
    /// No tensor.
    Other(&'static str),
}

impl File<'_> {
    pub(super) fn space(&self, data: &[u8]) -> Result<Space> {
        let mut fields = Fields::new(self, data, "data space");
        let version = fields.version(&[1, 2])?;
        let (rank, flags) = (usize::from(fields.u8()?), fields.u8()?);
        let kind = fields.u8()?;
        if version == 1 {
            fields.take(4)?;
        }
        if rank > MOST_DIMS {
            return Err(fields.broken(format!("has {rank} dimensions")));
        }
        let mut space = Space { null: version == 2 && kind == 2, ..Space::default() };
        for _ in 0..rank {
            match usize::try_from(fields.length()?) {
                Ok(size) => space.shape.push(size),
                Err(_) => return Err(fields.broken("is too large for this machine")),
            }
        }
        let unlimited = u64::MAX >> (64 - 8 * self.head.lengths);
        for axis in 0..rank {
            let most = if flags & 1 != 0 { fields.length()? } else { space.shape[axis] as u64 };
            if most < space.shape[axis] as u64 {
                return Err(fields.broken("is larger than its own limit"));
            }
            space.most.push(Some(most).filter(|&most| most != unlimited));
        }
        Ok(space)
    }

    pub(super) fn datatype(&self, data: &[u8]) -> Result<(Type, usize)> {
        let mut fields = Fields::new(self, data, "data type");
        let found = fields.u8()?;
        let (class, version) = (found & 15, found >> 4);
        if !(1..=5).contains(&version) {
            return Err(fields.broken(format!("has the unknown version {version}")));
        }
        let (bits, size) = (fields.uint(3)?, fields.u32()? as usize);
        let number = |dtype| Type::Number { dtype, big_endian: bits & 1 != 0 };
        let kind = match class {
            0 => {
                let (offset, precision) = (fields.u16()?, fields.u16()?);
                let dtype = match (size, bits & 8 != 0) {
                    (1, false) => Some(Dtype::U8),
                    (1, true) => Some(Dtype::I8),
                    (2, false) => Some(Dtype::U16),
                    (2, true) => Some(Dtype::I16),
                    (4, false) => Some(Dtype::U32),
                    (4, true) => Some(Dtype::I32),
                    (8, false) => Some(Dtype::U64),
                    (8, true) => Some(Dtype::I64),
                    _ => None,
                };
                let whole = offset == 0 && usize::from(precision) == 8 * size;
                dtype.filter(|_| whole).map_or(Type::Other("holds integers of odd bits"), number)
            }
            1 => {
                let parts = [fields.u16()?, fields.u16()?];
                let [exponent, exponents, mantissa, mantissas] =
                    [fields.u8()?, fields.u8()?, fields.u8()?, fields.u8()?];
                let bias = fields.u32()?;
                let form = (exponent, exponents, mantissa, mantissas, bias);
                let dtype = match (size, form) {
                    (2, (10, 5, 0, 10, 15)) => Some(Dtype::F16),
                    (2, (7, 8, 0, 7, 127)) => Some(Dtype::Bf16),
                    (4, (23, 8, 0, 23, 127)) => Some(Dtype::F32),
                    (8, (52, 11, 0, 52, 1023)) => Some(Dtype::F64),
                    _ => None,
                };
                // All bits, the mantissa's first one implied, the sign first.
                let usual = parts == [0, 8 * size as u16] && bits & 0x70 == 0x20 && bits >> 8 == 8 * size as u64 - 1;
                dtype.filter(|_| usual).map_or(Type::Other("holds numbers of an unusual floating point form"), number)
            }
            3 => Type::Text(size),
            5 if size == 2 => Type::Pair,
            8 => self.booleans(bits & 0xffff, version, &mut fields)?,
            9 if bits & 15 == 1 => Type::LongText(size),
            2 => Type::Other("holds times, not numbers"),
            4 => Type::Other("holds bit fields, not numbers"),
            5 => Type::Other("holds opaque bytes, not numbers"),
            6 => Type::Other("holds records (a compound type), not numbers"),
            7 => Type::Other("holds references, not numbers"),
            9 => Type::Other("holds lists of varying length, not numbers"),
            10 => Type::Other("holds arrays as elements, not numbers"),
            11 => Type::Other("holds complex numbers, which are not read"),
            class => return Err(fields.broken(format!("is of the unknown class {class}"))),
        };
        let whole = match &kind {
            Type::Number { dtype, .. } => dtype.bits() == 8 * size,
            _ => size > 0,
        };
        match whole {
            true => Ok((kind, size)),
            false => Err(fields.broken(format!("has elements of {size} bytes"))),
        }
    }

    /// An enumeration over integers: of FALSE = 0 and TRUE = 1 it is h5py's bool, else it counts as its integers.
    fn booleans(&self, members: u64, version: u8, fields: &mut Fields<'_>) -> Result<Type> {
        // Integers take 8 bytes and 4 more.
        let base = fields.take(12)?;
        if base[0] & 15 != 0 {
            return Ok(Type::Other("holds an enumeration of other things than integers"));
        }
        let (base, size) = self.datatype(base)?;
        if members != 2 || size != 1 {
            return Ok(base);
        }
        let mut names = Vec::new();
        for _ in 0..members {
            let rest = fields.rest();
            let Some(len) = rest.iter().position(|&byte| byte == 0) else {
                return Err(fields.broken("has a name without an end"));
            };
            let len = len + 1;
            let whole = if version < 3 { len.next_multiple_of(8) } else { len };
            names.push(&fields.take(whole)?[..len - 1]);
        }
        let bool = names == [b"FALSE".as_slice(), b"TRUE"] && fields.take(2)? == [0, 1];
        Ok(if bool { Type::Number { dtype: Dtype::Bool, big_endian: false } } else { base })
    }
}
