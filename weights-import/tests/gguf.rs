//! GGUF: files of its own package value for value, and files that are wrong.
#![allow(missing_docs)]

mod common;

use common::gguf::{F32, Q4_K, Tensor, file};
use weights_import::{Dtype, Error, from_bytes};

#[test]
fn every_value_of_the_package() {
    assert!(common::golden::check("gguf") >= 20);
}

fn error(bytes: Vec<u8>) -> String {
    let error = from_bytes(bytes, "x.gguf").unwrap_err();
    assert!(matches!(error, Error::Corrupt { format: "gguf", .. }), "{error:?}");
    error.to_string()
}

fn one(dims: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    file(&[], &[Tensor { name: b"a", dims, kind, offset }], &[0; 64])
}

#[test]
fn reads_what_is_right() {
    let weights = from_bytes(one(&[3, 2], F32, 32), "x").unwrap();
    assert_eq!((weights.format(), weights.entries()[0].shape.as_slice()), ("gguf", [2, 3].as_slice()));
    assert_eq!(weights.get("a").unwrap().to_vec(), [0.0; 6]);
}

#[test]
fn says_what_is_wrong() {
    let version = |version: u32| [b"GGUF".to_vec(), version.to_le_bytes().to_vec(), vec![0; 16]].concat();
    let a = Tensor { name: b"a", dims: &[2], kind: F32, offset: 0 };
    let text =
        |len: u64, text: &[u8]| [8u32.to_le_bytes().to_vec(), len.to_le_bytes().to_vec(), text.to_vec()].concat();
    let number = |kind: u32, value: u32| [kind.to_le_bytes(), value.to_le_bytes()].concat();
    let nested = [9u32.to_le_bytes().to_vec(), [[9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]; 9].concat()].concat();
    for (bytes, words) in [
        (version(1), "version 1 is not read"),
        (version(4), "version 4 is unknown"),
        (version(3 << 24 | 1), "version 50331649 is unknown"),
        (one(&[2], 4, 0), "tensor a has the unknown type 4"),
        (one(&[255], Q4_K, 0), "rows of 255, which is no multiple of 256 (Q4_K)"),
        (one(&[2], F32, 4), "begins at byte 4, which is not aligned to 32"),
        (one(&[17], F32, 0), "takes the bytes 0 to 68 of the data"),
        (one(&[2], F32, 64), "takes the bytes 64 to 72 of the data"),
        (one(&[2], F32, u64::MAX - 31), "but the file ends before"),
        (file(&[], &[a, a], &[0; 64]), "two tensors are named a"),
        (file(&[], &[a, Tensor { name: b"b", ..a }], &[0; 64]), "overlap"),
        (file(&[], &[Tensor { name: b"\xff", ..a }], &[0; 64]), "is not UTF-8"),
        (file(&[("k", text(2, b"ab")), ("k", text(0, b""))], &[a], &[0; 64]), "two values have the key k"),
        (file(&[("k", text(99, b"ab"))], &[], &[]), "claims 99 bytes"),
        (file(&[("k", number(13, 0))], &[], &[]), "the unknown type 13"),
        (file(&[("k", vec![7, 0, 0, 0, 2])], &[], &[]), "a truth value before byte"),
        (file(&[("k", nested)], &[], &[]), "nested too deeply"),
        (file(&[("general.alignment", number(4, 0))], &[a], &[0; 64]), "its alignment is 0"),
        (file(&[("general.alignment", number(4, 12))], &[a], &[0; 64]), "its alignment is 12"),
        (file(&[("general.alignment", text(2, b"32"))], &[a], &[0; 64]), "its alignment is 32"),
    ] {
        let error = error(bytes);
        assert!(error.starts_with("x.gguf: broken gguf file: ") && error.contains(words), "{words}: {error}");
    }
}

/// Counts and dimensions that no memory holds; the attack made the reader allocate products that wrapped around.
#[test]
fn cve_2024_21802_counts_and_dimensions_that_overflow() {
    let counts = |tensors: u64, pairs: u64| {
        let head = [b"GGUF".to_vec(), 3u32.to_le_bytes().to_vec()].concat();
        [head, tensors.to_le_bytes().to_vec(), pairs.to_le_bytes().to_vec(), vec![0; 64]].concat()
    };
    assert!(error(counts(u64::MAX / 24 + 2, 0)).contains("tensors at byte 8, but only"));
    assert!(error(counts(0, u64::MAX)).contains("key-value pairs at byte 16, but only"));
    let ranks = Tensor { name: b"a", dims: &[1; 9], kind: F32, offset: 0 };
    assert!(error(file(&[], &[ranks], &[0; 64])).contains("claims 9 dimensions"));
    let mut many = file(&[], &[Tensor { dims: &[2], ..ranks }], &[0; 64]);
    many[33..37].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(error(many).contains("claims 4294967295 dimensions"));
    for dims in
        [&[1 << 32, 1 << 32][..], &[u64::MAX, u64::MAX], &[1 << 62, 4], &[u64::MAX], &[1 << 61], &[1 << 63, 2, 0]]
    {
        assert!(error(one(dims, F32, 0)).contains("is too large"), "{dims:?}");
    }
    let mut array = [9u32.to_le_bytes(), 12u32.to_le_bytes()].concat();
    array.extend((u64::MAX / 8 + 2).to_le_bytes());
    assert!(error(file(&[("k", array)], &[], &[])).contains("items at byte"));
}

#[test]
fn a_quantisation_that_is_not_read_is_listed() {
    let weights =
        from_bytes(file(&[], &[Tensor { name: b"a", dims: &[32], kind: 6, offset: 0 }], &[0; 22]), "x").unwrap();
    assert_eq!(weights.entries()[0].dtype, Dtype::Other { name: "Q5_0", bits: 6 });
    let error = weights.get("a").unwrap_err().to_string();
    assert!(error.contains("tensor a: is quantised as Q5_0") && error.contains("llama-quantize"), "{error}");
}
