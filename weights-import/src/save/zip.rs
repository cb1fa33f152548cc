//! Zip archives of stored members.

use crate::{Error, Result};
use flate2::Crc;
use std::io::Write;
use std::path::Path;

const MANY: u64 = 0xffff_ffff;

/// Writes members, then the directory. Numbers too large for the old fields go into zip64 ones.
pub(super) struct Zip<'w> {
    out: &'w mut dyn Write,
    path: &'w Path,
    at: u64,
    directory: Vec<u8>,
    count: u64,
}

impl<'w> Zip<'w> {
    pub(super) fn new(out: &'w mut dyn Write, path: &'w Path) -> Self {
        Self { out, path, at: 0, directory: Vec::new(), count: 0 }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|e| Error::io("write", self.path, e))
    }

    /// A member of these parts one after the other, whose first byte is at a multiple of `align`.
    pub(super) fn member(&mut self, name: &str, parts: &[&[u8]], align: u64) -> Result<()> {
        let Ok(named) = u16::try_from(name.len()) else {
            return Err(Error::Argument(format!("the name {name} is too long for a zip archive")));
        };
        let mut crc = Crc::new();
        parts.iter().for_each(|part| crc.update(part));
        let size: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let start = self.at;
        let short = |number: u64| (number.min(MANY) as u32).to_le_bytes();
        let wide = |numbers: &[u64]| -> Vec<u8> {
            let large: Vec<u8> = numbers.iter().filter(|&&n| n >= MANY).flat_map(|n| n.to_le_bytes()).collect();
            if large.is_empty() { large } else { [&[1, 0, large.len() as u8, 0][..], &large].concat() }
        };
        // Version 4.5 (which has zip64), UTF-8 names, stored, midnight of 1 January 1980.
        let common = [&[45, 0, 0, 8, 0, 0, 0, 0, 33, 0][..], &crc.sum().to_le_bytes(), &short(size), &short(size)];
        let common = [&common.concat()[..], &named.to_le_bytes()].concat();

        let mut extra = wide(&[size, size]);
        let begin = start + 30 + u64::from(named) + extra.len() as u64;
        if !begin.is_multiple_of(align) {
            // A field that says nothing fills up; it has four bytes of its own.
            let fill = ((begin + 4).next_multiple_of(align) - begin - 4) as u16;
            extra.extend([b"FB", &fill.to_le_bytes()[..], &vec![b'Z'; fill.into()]].concat());
        }
        self.write(
            &[b"PK\x03\x04", &common[..], &(extra.len() as u16).to_le_bytes(), name.as_bytes(), &extra].concat(),
        )?;
        for part in parts {
            self.write(part)?;
        }

        let extra = wide(&[size, size, start]);
        let rest = [&(extra.len() as u16).to_le_bytes()[..], &[0; 10], &short(start), name.as_bytes(), &extra].concat();
        self.directory.extend([b"PK\x01\x02\x2d\x00", &common[..], &rest].concat());
        self.count += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        let (start, directory) = (self.at, std::mem::take(&mut self.directory));
        let (size, count) = (directory.len() as u64, self.count);
        self.write(&directory)?;
        let end = self.at;
        if count >= 0xffff || size >= MANY || start >= MANY {
            let numbers = [count, count, size, start].map(u64::to_le_bytes).concat();
            self.write(&[b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0", &numbers[..]].concat())?;
            self.write(&[b"PK\x06\x07\0\0\0\0", &end.to_le_bytes()[..], &[1, 0, 0, 0]].concat())?;
        }
        let count = (count.min(0xffff) as u16).to_le_bytes();
        let place = [size, start].map(|number| (number.min(MANY) as u32).to_le_bytes()).concat();
        self.write(&[b"PK\x05\x06\0\0\0\0", &count[..], &count, &place, &[0, 0]].concat())
    }
}
