//! What is written as npz, PyTorch or safetensors is read back, bit for bit, by us and by the formats' own packages.
#![allow(missing_docs)]

mod common;

use common::{Folder, Random, tensor};
use std::path::Path;
use weights_import::{Dtype, Entry, Error, Result, open};
use weights_import::{save_npz, save_pytorch, write_npz, write_pytorch, write_safetensors};

const fn other(name: &'static str, bits: u16) -> Dtype {
    Dtype::Other { name, bits }
}

/// The types that all three formats have.
const COMMON: [Dtype; 13] = [
    Dtype::Bool,
    Dtype::U8,
    Dtype::I8,
    Dtype::U16,
    Dtype::I16,
    Dtype::U32,
    Dtype::I32,
    Dtype::U64,
    Dtype::I64,
    Dtype::F16,
    Dtype::F32,
    Dtype::F64,
    other("C64", 64),
];
const SHAPES: &[&[usize]] =
    &[&[], &[0], &[1], &[300], &[2, 0, 3], &[3, 5], &[2, 3, 4], &[2, 3, 4, 5], &[1, 2, 1, 3, 2], &[1, 1, 2, 1, 2, 2]];

fn entries(more: &[Dtype]) -> Vec<Entry> {
    let dtypes = COMMON.iter().chain(more);
    let every = dtypes.flat_map(|&dtype| SHAPES.iter().map(move |shape| (dtype, shape.to_vec())));
    every.map(|(dtype, shape)| Entry { name: format!("{dtype}/ä{shape:?}'\""), shape, dtype }).collect()
}

fn bytes(entry: &Entry, index: usize) -> Vec<u8> {
    let mut random = Random(index as u64);
    let mask = if entry.dtype == Dtype::Bool { 1 } else { 0xff };
    (0..entry.dtype.bytes(entry.numel()).unwrap()).map(|_| random.next() as u8 & mask).collect()
}

type Write = fn(&Path, &[Entry], &mut dyn FnMut(usize) -> Result<Vec<u8>>) -> Result<()>;

/// Format, ending, writer, and the types that it has besides.
fn writers() -> [(&'static str, &'static str, Write, Vec<Dtype>); 3] {
    let eights = ["F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0"].map(|name| other(name, 8));
    let torch = [&[Dtype::Bf16, other("C128", 128), other("C32", 32)][..], &eights].concat();
    let safetensors = [&[Dtype::Bf16][..], &eights].concat();
    [
        ("npz", "npz", |path, entries, bytes| write_npz(path, entries, bytes), vec![other("C128", 128)]),
        ("pytorch", "pth", |path, entries, bytes| write_pytorch(path, entries, bytes), torch),
        ("safetensors", "st", |path, entries, bytes| write_safetensors(path, entries, &[], bytes), safetensors),
    ]
}

#[test]
fn every_type_and_shape_comes_back() {
    let folder = Folder::new("writers");
    for (format, ending, write, more) in writers() {
        let entries = entries(&more);
        let path = folder.0.join(format!("all.{ending}"));
        let mut next = 0;
        let mut give = |index: usize| {
            assert_eq!(index, next, "in order, once");
            next += 1;
            Ok(bytes(&entries[index], index))
        };
        write(&path, &entries, &mut give).unwrap();
        assert_eq!(next, entries.len());
        let weights = open(&path).unwrap();
        assert_eq!((weights.format(), weights.entries()), (format, entries.as_slice()));
        for (index, entry) in entries.iter().enumerate() {
            assert_eq!(weights.raw(&entry.name).unwrap().bytes, bytes(entry, index), "{}", entry.name);
        }
        let first = std::fs::read(&path).unwrap();
        write(&path, &entries, &mut |index| Ok(bytes(&entries[index], index))).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first, "the same arguments give the same bytes");
    }
    assert_eq!(folder.names(), ["all.npz", "all.pth", "all.st"]);
}

#[test]
fn tensors_are_rounded() {
    let folder = Folder::new("rounded");
    let x = tensor(&[2, 3, 4, 5], 1);
    let list = [("x".to_string(), &x.channels_last())];
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        let path = folder.0.join("x");
        save_pytorch(&path, &list, dtype).unwrap();
        let read = open(&path).unwrap();
        let expected = read.get("x").unwrap().to_vec();
        assert!(expected.iter().zip(x.to_vec()).all(|(a, b)| (a - b).abs() <= b.abs() / 128.0));
        assert_eq!(expected == x.to_vec(), dtype == Dtype::F32);
        let saved = save_npz(&path, &list, dtype);
        if dtype == Dtype::Bf16 {
            assert!(saved.unwrap_err().to_string().contains("NumPy does not have"));
        } else {
            saved.unwrap();
            assert_eq!(open(&path).unwrap().get("x").unwrap().to_vec(), expected);
        }
    }
}

#[test]
fn what_cannot_be_written() {
    let folder = Folder::new("unwritten");
    let entry = |name: &str, shape: &[usize], dtype: Dtype| Entry { name: name.into(), shape: shape.to_vec(), dtype };
    for (format, ending, write, _) in writers() {
        let path = folder.file(&format!("x.{ending}"), b"old");
        let cases = [
            (vec![entry("a", &[2], Dtype::U8); 2], "two tensors are named a"),
            (vec![entry("a", &[3], Dtype::U8)], "tensor a has 2 bytes, which does not fit U8[3]"),
            (vec![entry("a", &[usize::MAX, 2], Dtype::U8)], "too large to save"),
        ];
        for (entries, words) in cases {
            let error = write(&path, &entries, &mut |_| Ok(vec![1; 2])).unwrap_err().to_string();
            assert!(error.contains(words), "{format}: {error}");
        }
        let error = write(&path, &[entry("a", &[2], Dtype::U8)], &mut |_| Err(Error::Argument("no".into())));
        assert_eq!(error.unwrap_err().to_string(), "no");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
    }
    let path = folder.0.join("y");
    let error = write_npz(&path, &[entry("../a", &[2], Dtype::U8)], |_| Ok(vec![1; 2])).unwrap_err().to_string();
    assert!(error.contains("leads out of the archive"), "{error}");
    let error = write_pytorch(&path, &[entry("a", &[2], other("F6_E2M3", 6))], |_| Ok(vec![1; 2])).unwrap_err();
    assert!(error.to_string().contains("too large to save"), "{error}"); // not whole bytes
    let error = write_pytorch(&path, &[entry("a", &[4], other("F4", 4))], |_| Ok(vec![1; 2])).unwrap_err();
    assert!(error.to_string().contains("PyTorch does not have"), "{error}");
    assert_eq!(folder.names(), ["x.npz", "x.pth", "x.st"]);
}

#[test]
fn storages_begin_where_pytorch_wants_them() {
    let folder = Folder::new("aligned");
    let path = folder.0.join("x.pth");
    let entries = entries(&[]);
    write_pytorch(&path, &entries, |index| Ok(bytes(&entries[index], index))).unwrap();
    let file = std::fs::read(&path).unwrap();
    let mut members = 0;
    for (at, _) in file.windows(4).enumerate().filter(|(_, window)| window == b"PK\x03\x04") {
        let len = |from: usize| usize::from(file[at + from]) | usize::from(file[at + from + 1]) << 8;
        assert_eq!((at + 30 + len(26) + len(28)) % 64, 0);
        members += 1;
    }
    assert_eq!(members, entries.len() + 5);
}

/// More members than the old fields can count.
#[test]
fn an_archive_of_many_members() {
    let folder = Folder::new("many");
    let path = folder.0.join("x.npz");
    let entry = |i: usize| Entry { name: i.to_string(), shape: vec![], dtype: Dtype::U32 };
    let entries: Vec<Entry> = (0..66_000).map(entry).collect();
    write_npz(&path, &entries, |index| Ok((index as u32).to_le_bytes().to_vec())).unwrap();
    let weights = open(&path).unwrap();
    assert_eq!(weights.entries().len(), 66_000);
    assert_eq!(weights.get_i64("65999").unwrap().1, [65_999]);
}

/// torch, NumPy and safetensors read the same:
///
///     JUDGES_PYTHON=$(scripts/judges | tail -n 1) cargo test --release -p weights-import --features judges --test writers
#[cfg(feature = "judges")]
#[test]
fn their_own_packages_read_them() {
    let folder = Folder::new("judged");
    let mut files = Vec::new();
    for (format, ending, write, more) in writers() {
        let entries = entries(&more);
        let name = format!("all.{ending}");
        write(&folder.0.join(&name), &entries, &mut |index| Ok(bytes(&entries[index], index))).unwrap();
        let about = |(index, entry): (usize, &Entry)| {
            let sha256 = common::golden::sha256(&bytes(entry, index));
            let dtype = entry.dtype.to_string();
            serde_json::json!({"name": entry.name, "shape": entry.shape, "dtype": dtype, "sha256": sha256})
        };
        let tensors: Vec<serde_json::Value> = entries.iter().enumerate().map(about).collect();
        files.push(serde_json::json!({"file": name, "format": format, "tensors": tensors}));
    }
    folder.file("expected.json", serde_json::Value::from(files).to_string().as_bytes());
    let python = std::env::var("JUDGES_PYTHON").expect("JUDGES_PYTHON=$(scripts/judges | tail -n 1)");
    let script = "../tests/import/pytorch/roundtrip.py";
    let output = std::process::Command::new(python).arg(script).arg(&folder.0).output().unwrap();
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
}
