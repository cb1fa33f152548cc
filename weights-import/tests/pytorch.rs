//! Files of PyTorch and NumPy, value for value.
#![allow(missing_docs)]

mod common;

use common::golden;

#[test]
fn pytorch_writes_them() {
    assert!(golden::check("pytorch") >= 21);
}

#[test]
fn numpy_writes_them() {
    assert!(golden::check("numpy") >= 22);
}
