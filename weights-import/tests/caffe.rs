//! Caffe models: all forms, every way to write a blob.
#![allow(missing_docs)]

mod common;

use common::{Field, blob, caffe_seed, floats, layer, message};
use weights_import::{Dtype, from_bytes};

#[test]
fn reads_every_kind_of_blob() {
    let weights = from_bytes(message(&caffe_seed()), "net").unwrap();
    assert_eq!(weights.format(), "caffe");
    let found: Vec<_> = weights.entries().iter().map(|e| (e.name.as_str(), e.shape.as_slice(), e.dtype)).collect();
    let expected: [(&str, &[usize], Dtype); 4] = [
        ("conv.0", &[2, 1, 1, 2], Dtype::F32),
        ("conv.1", &[2], Dtype::F32),
        ("bn.0", &[3], Dtype::F32),
        ("ip.0", &[1, 1, 1, 2], Dtype::F64),
    ];
    assert_eq!(found, expected);
    assert_eq!(weights.get("conv.0").unwrap().to_vec(), [1., 2., 3., 4.]);
    assert_eq!(weights.get("conv.1").unwrap().to_vec(), [5., 6.]);
    assert_eq!(weights.get("bn.0").unwrap().to_vec(), [7., 8., 9.]);
    assert_eq!(weights.get("ip.0").unwrap().to_vec(), [1.5, -2.5]);
    let said: Vec<_> = weights.metadata().iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        said,
        [
            "bn.eps=0.001",
            "bn.type=BatchNorm",
            "conv.kernel_size=3",
            "conv.pad=1",
            "conv.stride=2",
            "conv.type=Convolution",
            "ip.type=14"
        ]
    );
}

#[test]
fn every_value_of_protobuf() {
    assert!(common::golden::check("caffe") >= 20);
}

#[test]
fn a_legacy_dimension_wins_over_the_shape() {
    let mut both = blob(&[4], &[1., 2., 3., 4.]);
    both.extend([Field::Varint(1, 1), Field::Varint(2, 1), Field::Varint(3, 2), Field::Varint(4, 2)]);
    let weights = from_bytes(message(&[layer("a", "X", &[both])]), "net").unwrap();
    assert_eq!(weights.entries()[0].shape, [1, 1, 2, 2]);
}

#[test]
fn values_in_several_pieces_are_joined() {
    let pieces = vec![
        Field::Bytes(5, floats(&[1., 2.])),
        Field::Fixed32(5, 3f32.to_le_bytes()),
        Field::Bytes(6, floats(&[9.; 4])), // diff: gradients, of no use
        Field::Fixed32(5, 4f32.to_le_bytes()),
        Field::Message(7, vec![Field::Bytes(1, vec![4])]),
    ];
    let weights = from_bytes(message(&[layer("a", "X", &[pieces])]), "net").unwrap();
    assert_eq!(weights.get("a.0").unwrap().to_vec(), [1., 2., 3., 4.]);
}

#[test]
fn says_what_is_wrong() {
    let one = |b: Vec<Field>| message(&[layer("a", "X", &[b])]);
    let many: Vec<u64> = vec![1; 33];
    for (file, words) in [
        (one(blob(&[3], &[1., 2.])), "blob a.0 has the shape [3], but 2 values"),
        (one(blob(&[], &[])), "blob a.0 has the shape [], but 0 values"),
        (one(vec![Field::Varint(10, 3), Field::Bytes(12, vec![0; 4])]), "raw data of the unknown type 3"),
        (one(vec![Field::Varint(10, 2), Field::Bytes(12, vec![0; 3])]), "3 bytes of values are no multiple of 2"),
        (one(blob(&[1 << 32, 1 << 32], &[1.])), "but 1 values"),
        (one(blob(&[u64::MAX], &[1.])), "but 1 values"),
        (one(blob(&many, &[1.])), "more than 32 dimensions"),
        (one(vec![Field::Bytes(5, vec![0; 6])]), "6 bytes of values are no multiple of 4"),
        (message(&[layer("a", "X", &[blob(&[1], &[1.])]), layer("a", "X", &[blob(&[1], &[1.])])]), "blob named a.0"),
        (message(&[layer("a", "X", &[])]), "no layer has weights"),
        (message(&[layer(&"n".repeat(257), "X", &[blob(&[1], &[1.])])]), "looks"),
    ] {
        let error = from_bytes(file, "net").unwrap_err().to_string();
        let unknown = words == "looks" && error.contains("is no weights file known here");
        assert!(error.contains(words) || unknown, "{words}: {error}");
    }
}
