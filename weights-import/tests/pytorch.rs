//! Files of PyTorch and NumPy, value for value.
#![allow(missing_docs)]

mod common;

use common::golden;
use weights_import::{Dtype, Entry, open};

#[test]
fn pytorch_writes_them() {
    assert!(golden::check("pytorch") >= 21);
}

#[test]
fn numpy_writes_them() {
    assert!(golden::check("numpy") >= 22);
}

/// Tensors that lie in the file as in memory are read without a copy on the way: to the same values.
#[test]
fn in_place_or_not() {
    let mut floats = 0;
    for folder in ["pytorch", "numpy"] {
        for item in std::fs::read_dir(format!("../tests/import/{folder}")).unwrap() {
            let Ok(weights) = open(item.unwrap().path()) else { continue };
            // One array has more dimensions than a Tensor.
            let fits = |entry: &&Entry| entry.dtype == Dtype::F32 && entry.shape.len() <= 6;
            for entry in weights.entries().iter().filter(fits) {
                let tensor = weights.get(&entry.name).unwrap();
                let bytes: Vec<u8> = tensor.to_vec().iter().flat_map(|v| v.to_le_bytes()).collect();
                assert_eq!(bytes, weights.raw(&entry.name).unwrap().bytes, "{} {}", weights.source(), entry.name);
                floats += 1;
            }
        }
    }
    assert!(floats > 80, "{floats}");
}
