//! Changes behind checksums: in a member of a zip archive, in a block of a LevelDB table.

use flate2::Crc;
use flate2::read::DeflateDecoder;
use std::io::Read;

/// Changes a part of `bytes`, chosen by `pick`, and makes what vouches for it right; all of them where nothing does.
pub(crate) fn changed(bytes: &mut Vec<u8>, pick: usize, change: &mut dyn FnMut(&mut Vec<u8>)) {
    let done = match bytes.as_slice() {
        [b'P', b'K', 3, 4, ..] => zip(bytes, pick, change),
        [.., 0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb] => table(bytes, pick, change),
        _ => None,
    };
    if done.is_none() {
        change(bytes);
    }
}

fn number(bytes: &[u8], at: usize, size: usize) -> Option<usize> {
    Some(bytes.get(at..at + size)?.iter().rev().fold(0, |n, &byte| n << 8 | usize::from(byte)))
}

/// The archive with one member changed, all of them stored.
fn zip(bytes: &mut Vec<u8>, pick: usize, change: &mut dyn FnMut(&mut Vec<u8>)) -> Option<()> {
    let end = bytes.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let (count, mut at) = (number(bytes, end + 10, 2)?, number(bytes, end + 16, 4)?);
    let mut members = Vec::new();
    for _ in 0..count {
        let (method, packed) = (number(bytes, at + 10, 2)?, number(bytes, at + 20, 4)?);
        let (name, extra, comment) =
            (number(bytes, at + 28, 2)?, number(bytes, at + 30, 2)?, number(bytes, at + 32, 2)?);
        let local = number(bytes, at + 42, 4)?;
        let start = local + 30 + number(bytes, local + 26, 2)? + number(bytes, local + 28, 2)?;
        let mut data = bytes.get(start..start.checked_add(packed)?)?.to_vec();
        if method == 8 {
            let mut inflated = Vec::new();
            DeflateDecoder::new(data.as_slice()).read_to_end(&mut inflated).ok()?;
            data = inflated;
        }
        members.push((bytes.get(at + 46..at + 46 + name)?.to_vec(), data));
        at += 46 + name + extra + comment;
    }
    change(&mut members.get_mut(pick.checked_rem(count)?)?.1);
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in &members {
        let mut crc = Crc::new();
        crc.update(data);
        let mut about = vec![0u8; 14];
        about.extend(crc.sum().to_le_bytes());
        (0..2).for_each(|_| about.extend((data.len() as u32).to_le_bytes()));
        about.extend((name.len() as u16).to_le_bytes());
        about.extend([0, 0]);
        let local = file.len() as u32;
        about.splice(..6, *b"PK\x03\x04\x14\0");
        file.extend(&about);
        file.extend(name);
        file.extend(data);
        about.splice(..6, *b"PK\x01\x02\x14\0\x14\0");
        directory.extend(about);
        directory.extend([0; 10]);
        directory.extend(local.to_le_bytes());
        directory.extend(name);
    }
    let start = file.len() as u32;
    let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
    (0..2).for_each(|_| end.extend((count as u16).to_le_bytes()));
    end.extend((directory.len() as u32).to_le_bytes());
    end.extend(start.to_le_bytes());
    end.extend([0, 0]);
    *bytes = [file, directory, end].concat();
    Some(())
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// CRC-32C as LevelDB keeps it.
fn masked(bytes: &[u8]) -> u32 {
    let crc = !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    });
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The table with one block changed within its length, and the checksum of that block.
fn table(bytes: &mut [u8], pick: usize, change: &mut dyn FnMut(&mut Vec<u8>)) -> Option<()> {
    let mut at = bytes.len().checked_sub(48)?;
    let handle = |at: &mut usize| Some((varint(bytes, at)?, varint(bytes, at)?));
    let mut blocks = vec![handle(&mut at)?, handle(&mut at)?];
    let (start, length) = blocks[1];
    at = start;
    // Entries of the index: shared, unshared, length of the value; the value is the handle of a block.
    while at < start + length {
        let (_, unshared, size) = (varint(bytes, &mut at)?, varint(bytes, &mut at)?, varint(bytes, &mut at)?);
        if size == 0 {
            break;
        }
        let mut value = at + unshared;
        blocks.push((varint(bytes, &mut value)?, varint(bytes, &mut value)?));
        at += unshared + size;
    }
    let (start, length) = blocks[pick % blocks.len()];
    let mut block = bytes.get(start..start.checked_add(length)?.checked_add(1)?)?.to_vec();
    change(&mut block);
    block.resize(length + 1, 0);
    let crc = masked(&block).to_le_bytes();
    bytes[start..=start + length].copy_from_slice(&block);
    bytes.get_mut(start + length + 1..start + length + 5)?.copy_from_slice(&crc);
    Some(())
}
