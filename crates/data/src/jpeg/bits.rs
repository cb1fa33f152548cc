//! Bits and Huffman codes of a scan.

use super::{Result, breaks_off};

/// Codes of up to this many bits are looked up at once.
const QUICK: u32 = 9;

/// A table of Huffman codes (T.81, annex C and F.2.2.3).
pub(super) struct Table {
    /// For the next 9 bits: length · 256 + symbol, or 0 if the code is longer.
    quick: Vec<u16>,
    /// For each length: one past the last code, at the left of 16 bits, and what leads from a code to its symbol.
    ends: [(u32, i32); 17],
    symbols: Vec<u8>,
}

impl Table {
    /// From how many codes there are of each length, 1 to 16, and their symbols in order.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self> {
        let mut table = Self { quick: vec![0; 1 << QUICK], ends: [(0, 0); 17], symbols: symbols.to_vec() };
        let (mut code, mut next) = (0u32, 0usize);
        for (length, &count) in (1u32..).zip(counts) {
            let first = code;
            table.ends[length as usize].1 = next as i32 - first as i32;
            code += u32::from(count);
            if code > 1 << length {
                return Err("a table of codes holds more codes than there can be".to_owned());
            }
            if length <= QUICK {
                for (code, &symbol) in (first..code).zip(&symbols[next..]) {
                    let shift = QUICK - length;
                    let range = (code << shift) as usize..((code + 1) << shift) as usize;
                    table.quick[range].fill((length << 8) as u16 | u16::from(symbol));
                }
            }
            next += usize::from(count);
            table.ends[length as usize].0 = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }
}

/// The bits of a scan: a zero byte after FF is dropped, and a marker ends them.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte.
    pub(super) at: usize,
    /// The next bits, from the left; zeros follow what there is.
    buffer: u64,
    have: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, buffer: 0, have: 0 }
    }

    fn fill(&mut self) {
        while self.have <= 56 {
            let (byte, length) = match self.bytes[self.at..] {
                [0xff, 0, ..] => (0xff, 2),
                [0xff, ..] | [] => return,
                [byte, ..] => (byte, 1),
            };
            self.at += length;
            self.buffer |= u64::from(byte) << (56 - self.have);
            self.have += 8;
        }
    }

    fn skip(&mut self, count: u32) -> Result<()> {
        if count > self.have {
            return Err(breaks_off(&format!(
                "in a scan, {} bytes before the end of the file",
                self.bytes.len() - self.at
            )));
        }
        self.buffer <<= count;
        self.have -= count;
        Ok(())
    }

    /// The next `count` bits, at most 16.
    pub(super) fn take(&mut self, count: u32) -> Result<u32> {
        if count == 0 {
            return Ok(0);
        }
        if self.have < count {
            self.fill();
        }
        let bits = (self.buffer >> (64 - count)) as u32;
        self.skip(count)?;
        Ok(bits)
    }

    /// A number of `size` bits, the upper half of which are the positive ones (T.81, F.2.2.1: EXTEND).
    pub(super) fn number(&mut self, size: u32) -> Result<i32> {
        let bits = self.take(size)? as i32;
        Ok(if size > 0 && bits < 1 << (size - 1) { bits - (1 << size) + 1 } else { bits })
    }

    /// The symbol of the next code.
    pub(super) fn symbol(&mut self, table: &Table) -> Result<u8> {
        if self.have < 16 {
            self.fill();
        }
        let quick = table.quick[(self.buffer >> (64 - QUICK)) as usize];
        if quick != 0 {
            self.skip(u32::from(quick >> 8))?;
            return Ok(quick as u8);
        }
        let next = (self.buffer >> 48) as u32;
        for length in QUICK + 1..=16 {
            let (end, offset) = table.ends[length as usize];
            if next < end {
                self.skip(length)?;
                return Ok(table.symbols[((next >> (16 - length)) as i32 + offset) as usize]);
            }
        }
        if self.have < 16 {
            return self.skip(17).map(|()| 0);
        }
        Err("a scan holds a code that is in no table".to_owned())
    }

    /// Drops the bits up to the next marker, which must be this restart, and goes behind it.
    pub(super) fn restart(&mut self, number: usize) -> Result<()> {
        (self.buffer, self.have) = (0, 0);
        let marker = super::next_marker(self.bytes, &mut self.at);
        match marker {
            Some(found) if usize::from(found) == 0xd0 + number % 8 => Ok(()),
            Some(found) => Err(format!("a scan has marker FF{found:02X} where restart {} is due", number % 8)),
            None => Err(breaks_off("before a restart")),
        }
    }
}
