//! Files written by TensorFlow, ONNX and PyTorch, bit for bit.
#![allow(missing_docs)]

mod common;

use common::golden::check;

#[test]
fn tf_checkpoints() {
    assert!(check("tf_checkpoint") >= 20);
}

#[test]
fn tf_graphs() {
    assert!(check("tf_graph") >= 20);
}

#[test]
fn onnx_models() {
    assert!(check("onnx") >= 20);
}
