//! Zip archives, arrays and pickles made by hand.

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use std::io::Write;

#[derive(Clone)]
pub struct Member {
    pub name: Vec<u8>,
    /// The name in the local header.
    pub local: Vec<u8>,
    pub data: Vec<u8>,
    pub size: u32,
    pub method: u16,
    pub flags: u16,
    pub crc: u32,
    pub attributes: u32,
    pub extra: Vec<u8>,
    /// Where the directory says that it begins.
    pub start: Option<u32>,
}

pub fn member(name: &str, data: &[u8]) -> Member {
    let mut crc = Crc::new();
    crc.update(data);
    Member {
        name: name.into(),
        local: name.into(),
        data: data.to_vec(),
        size: data.len() as u32,
        method: 0,
        flags: 0,
        crc: crc.sum(),
        attributes: 0,
        extra: Vec::new(),
        start: None,
    }
}

pub fn deflated(name: &str, data: &[u8]) -> Member {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    Member { data: encoder.finish().unwrap(), method: 8, ..member(name, data) }
}

pub fn zip(members: &[Member]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for m in members {
        let start = m.start.unwrap_or(out.len() as u32);
        let sizes = [m.crc, m.data.len() as u32, m.size].map(u32::to_le_bytes).concat();
        let common = [&[20, 0][..], &m.flags.to_le_bytes(), &m.method.to_le_bytes(), &[0; 4], &sizes].concat();
        out.extend([b"PK\x03\x04", &common[..], &(m.local.len() as u16).to_le_bytes(), &[0, 0], &m.local].concat());
        out.extend(&m.data);
        directory.extend([b"PK\x01\x02\x14\x03", &common[..], &(m.name.len() as u16).to_le_bytes()].concat());
        directory.extend([&(m.extra.len() as u16).to_le_bytes()[..], &[0; 6], &m.attributes.to_le_bytes()].concat());
        directory.extend([&start.to_le_bytes()[..], &m.name, &m.extra].concat());
    }
    let count = (members.len() as u16).to_le_bytes();
    let place = [directory.len() as u32, out.len() as u32].map(u32::to_le_bytes).concat();
    out.extend(directory);
    out.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count, &place, &[0, 0]].concat());
    out
}

pub fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

pub fn array() -> Vec<u8> {
    npy("'<f4'", "(2,)", &[0, 0, 0x80, 0x3f, 0, 0, 0, 0x40])
}

/// A PyTorch zip with this pickle and a storage of three floats.
pub fn pytorch(pickle: &[u8]) -> Vec<u8> {
    zip(&[member("m/data.pkl", pickle), member("m/data/0", &[0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40])])
}

/// The old form of the same.
pub fn legacy(pickle: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    [&magic[..], pickle, b"\x80\x02]U\x010a.\x03\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40"].concat()
}

/// The opcodes of a tensor: storage type, number of elements, offset, sizes, strides.
pub fn tensor(kind: &str, count: &[u8], offset: &[u8], sizes: &[u8], strides: &[u8]) -> Vec<u8> {
    let id = [b"(U\x07storagectorch\n", kind.as_bytes(), b"\nU\x010U\x03cpu", count, b"tQ"].concat();
    [b"ctorch._utils\n_rebuild_tensor_v2\n(", &id[..], offset, sizes, strides, b"\x89NtR"].concat()
}

pub fn dict(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02}U\x01a", value, b"s."].concat()
}

/// The form of 2016: a tar with this pickle, in which the tensor of three floats is the persistent id 9.
pub fn tar(pickle: &[u8]) -> Vec<u8> {
    let storages = [
        b"\x80\x02K\x01.\x80\x02(K\x07U\x03cpuctorch\nFloatStorage\nt.\x03\0\0\0\0\0\0\0",
        &[0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40][..],
        b"\x80\x02].",
    ];
    let numbers = [1u64, 3, 1, 0].map(u64::to_le_bytes).concat(); // dimensions, size, stride, offset
    let tensors = [b"\x80\x02K\x01.\x80\x02(K\x09K\x07ctorch\nFloatTensor\nt.", &numbers[..]].concat();
    let members = [
        ("sys_info", b"\x80\x02}.".to_vec()),
        ("pickle", pickle.to_vec()),
        ("storages", storages.concat()),
        ("tensors", tensors),
    ];
    let mut out = Vec::new();
    for (name, data) in members {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..263].copy_from_slice(b"ustar\0");
        let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        out.extend(header);
        out.extend(data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}
