//! Pieces of a variable that was partitioned: a `TensorSliceProto`, the key under which a table has it, and how the
//! pieces become one tensor.

use crate::Result;
use crate::protobuf::{Value, Wire};
use std::ops::Range;

/// A box within a tensor: for each dimension where it starts, and how long it is (`None`: all of it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice(Vec<(usize, Option<usize>)>);

impl Slice {
    /// `TensorSliceProto`: extent 1 { start 1, length 2 }.
    pub(super) fn read(wire: &mut Wire<'_>, mut message: Range<u64>) -> Result<Self> {
        let mut extents = Vec::new();
        while let Some((field, value)) = wire.field(&mut message)? {
            let (1, Value::Span(mut extent)) = (field, value) else { continue };
            let (mut start, mut length) = (0, None);
            while let Some((field, value)) = wire.field(&mut extent)? {
                match (field, value) {
                    (1, Value::Varint(number)) => start = number,
                    (2, Value::Varint(number)) => length = Some(number),
                    _ => {}
                }
            }
            // The writers say "all" with a length of -1, too.
            let length = length.filter(|&length| length != u64::MAX);
            let (Ok(start), Ok(length)) = (usize::try_from(start), length.map(usize::try_from).transpose()) else {
                return wire.fail("a slice is too large for this machine");
            };
            if extents.len() == super::MOST_DIMS {
                return wire.fail(format!("a slice has more than {} dimensions", super::MOST_DIMS));
            }
            extents.push((start, length));
        }
        Ok(Self(extents))
    }

    /// The box in numbers, if it lies within a tensor of this shape.
    pub(super) fn within(&self, shape: &[usize]) -> Option<Vec<Range<usize>>> {
        if self.0.len() != shape.len() {
            return None;
        }
        self.0
            .iter()
            .zip(shape)
            .map(|(&(start, length), &size)| {
                let end = match length {
                    Some(length) => start.checked_add(length)?,
                    None => size,
                };
                (start <= end && end <= size).then_some(start..end)
            })
            .collect()
    }

    /// The key of this slice of the tensor `name`, in TensorFlow's `OrderedCode`: a 0, the name with its 0s and 255s
    /// escaped and ended by 0 1, the number of dimensions, and each start and length.
    pub(super) fn key(&self, name: &str) -> Vec<u8> {
        let mut key = vec![0];
        for &byte in name.as_bytes() {
            match byte {
                0 => key.extend([0, 0xff]),
                0xff => key.extend([0xff, 0]),
                _ => key.push(byte),
            }
        }
        key.extend([0, 1]);
        match self.0.len() as u8 {
            0 => key.push(0),
            dims => key.extend([1, dims]),
        }
        for &(start, length) in &self.0 {
            signed(start as i64, &mut key);
            signed(length.map_or(-1, |length| length as i64), &mut key);
        }
        key
    }
}

/// A number whose first bits say how many bytes it takes, of seven bits each; those of negative ones are inverted.
fn signed(value: i64, key: &mut Vec<u8>) {
    let bits = 64 - (if value < 0 { !value } else { value }).leading_zeros() as usize;
    let len = bits / 7 + 1;
    let sign = if value < 0 { 0xff } else { 0 };
    let mut bytes = [sign; 10];
    bytes[2..].copy_from_slice(&value.to_be_bytes());
    let from = bytes.len() - len;
    let header: u16 = if len >= 10 { 0xffc0 } else { !(0xffff >> len) };
    bytes[from] ^= (header >> 8) as u8;
    if len > 1 {
        bytes[from + 1] ^= header as u8;
    }
    key.extend_from_slice(&bytes[from..]);
}

/// A tensor that is put together from boxes.
pub(super) struct Stitch {
    shape: Vec<usize>,
    size: usize,
    bytes: Vec<u8>,
    filled: Vec<bool>,
}

impl Stitch {
    /// `count` elements of `size` bytes.
    pub(super) fn new(shape: &[usize], count: usize, size: usize) -> Self {
        Self { shape: shape.to_vec(), size, bytes: vec![0; count * size], filled: vec![false; count] }
    }

    /// Puts a box where it belongs; whether its bytes have its size and nothing was there.
    #[must_use]
    pub(super) fn put(&mut self, place: &[Range<usize>], bytes: &[u8]) -> bool {
        let count: usize = place.iter().map(|range| range.len()).product();
        if bytes.len() != count * self.size || count == 0 {
            return bytes.len() == count * self.size;
        }
        let row = place.last().map_or(1, |range| range.len());
        for (number, source) in bytes.chunks_exact(row * self.size).enumerate() {
            // The row's index in each dimension, from the last but one up, and with it where the row starts.
            let (mut rest, mut start, mut stride) = (number, 0, 1);
            for (axis, range) in place.iter().enumerate().rev() {
                let index = if axis + 1 == place.len() {
                    0
                } else {
                    let index = rest % range.len();
                    rest /= range.len();
                    index
                };
                start += (range.start + index) * stride;
                stride *= self.shape[axis];
            }
            let filled = &mut self.filled[start..start + row];
            if filled.contains(&true) {
                return false;
            }
            filled.fill(true);
            self.bytes[start * self.size..(start + row) * self.size].copy_from_slice(source);
        }
        true
    }

    /// The bytes, if every element was put.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        (!self.filled.contains(&false)).then_some(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_keys() {
        let code = |value| {
            let mut key = Vec::new();
            signed(value, &mut key);
            key
        };
        assert_eq!(code(0), [0x80]);
        assert_eq!(code(63), [0xbf]);
        assert_eq!(code(64), [0xc0, 64]);
        assert_eq!(code(-1), [0x7f]);
        assert_eq!(code(-64), [0x40]);
        assert_eq!(code(-65), [0x3f, 0xbf]);
        assert_eq!(code(8191), [0xdf, 0xff]);
        assert_eq!(code(8192), [0xe0, 0x20, 0]);
        assert_eq!(code(1 << 55), [0xff, 0x80, 0x80, 0, 0, 0, 0, 0, 0]);
        assert_eq!(code(i64::MAX).len(), 10);
        // Codes are in the order of the numbers.
        let numbers = [i64::MIN, -(1 << 40), -8193, -65, -64, -1, 0, 1, 63, 64, 8191, 8192, 1 << 20, 1 << 48, i64::MAX];
        assert!(numbers.windows(2).all(|pair| code(pair[0]) < code(pair[1])));
    }

    #[test]
    fn boxes_become_a_tensor() {
        let mut whole = Stitch::new(&[2, 3], 6, 1);
        assert!(whole.put(&[0..2, 0..1], &[0, 3]));
        assert!(whole.put(&[1..2, 1..3], &[4, 5]));
        assert!(!whole.put(&[1..2, 1..3], &[4]));
        assert!(whole.put(&[0..0, 0..3], &[]));
        assert!(whole.put(&[0..1, 1..3], &[1, 2]));
        assert_eq!(whole.finish().unwrap(), [0, 1, 2, 3, 4, 5]);

        let mut whole = Stitch::new(&[1, 4], 4, 2);
        assert!(whole.put(&[0..1, 1..3], &[1, 2, 3, 4]));
        assert!(!whole.put(&[0..1, 2..4], &[0; 4]));
        assert!(whole.finish().is_none());
        let mut scalar = Stitch::new(&[], 1, 2);
        assert!(scalar.put(&[], &[7, 8]));
        assert_eq!(scalar.finish().unwrap(), [7, 8]);
    }
}
