//! Tables of LevelDB, the files of TensorFlow's checkpoints.

use super::varint;

pub const SHARD: &str = "m.data-00000-of-00001";

pub fn masked_crc(bytes: &[u8]) -> u32 {
    let crc = !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    });
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

pub fn block(rows: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in rows {
        out.extend(
            [varint(0), varint(key.len() as u64), varint(value.len() as u64), key.clone(), value.clone()].concat(),
        );
    }
    out.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    out
}

/// A table of these blocks as they are, each with the right checksum; `kind` 1 says that they are compressed.
pub fn table(blocks: &[(Vec<u8>, Vec<u8>)], kind: u8) -> Vec<u8> {
    let mut file = Vec::new();
    let put = |block: &[u8], kind: u8, file: &mut Vec<u8>| {
        let handle = [varint(file.len() as u64), varint(block.len() as u64)].concat();
        let from = file.len();
        file.extend(block);
        file.push(kind);
        file.extend(masked_crc(&file[from..]).to_le_bytes());
        handle
    };
    let index: Vec<_> = blocks.iter().map(|(key, block)| (key.clone(), put(block, kind, &mut file))).collect();
    let mut footer = put(&block(&[]), 0, &mut file);
    footer.extend(put(&block(&index), 0, &mut file));
    footer.resize(40, 0);
    file.extend(footer);
    file.extend(0xdb47_7524_8b80_fb57u64.to_le_bytes());
    file
}

/// A table of one block.
pub fn one_block(block: Vec<u8>) -> Vec<u8> {
    table(&[(vec![0xff], block)], 0)
}

/// A table of one block that is compressed.
pub fn packed(block: Vec<u8>) -> Vec<u8> {
    table(&[(vec![0xff], block)], 1)
}
