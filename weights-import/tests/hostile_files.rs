//! Weights in several files, of which any lies: those of the formats' own packages.
#![allow(missing_docs)]

mod common;

use common::Files;
use common::hostile::{mutations_of, tried};

/// Each file cut at every byte and with every bit flipped, then changes in any of them; `opens` says of a file's number
/// whether those that were cut may open.
fn attack(seed: &Files, cases: u64, salt: u64, opens: &dyn Fn(usize) -> bool) {
    assert!(seed.poke(), "{}", seed.files[0].0);
    for file in 0..seed.files.len() {
        let bytes = &seed.files[file].1;
        let with = |bytes: Vec<u8>| {
            let mut changed = seed.clone();
            changed.files[file].1 = bytes;
            changed.poke()
        };
        for end in 0..bytes.len() {
            assert!(!with(bytes[..end].to_vec()) || opens(file), "{} cut to {end}", seed.files[file].0);
        }
        for bit in 0..8 * bytes.len().min(4096) {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            with(bytes);
        }
    }
    let bytes: Vec<Vec<u8>> = seed.files.iter().map(|(_, bytes)| bytes.clone()).collect();
    mutations_of(&bytes, cases, salt, &mut |bytes| {
        let mut changed = seed.clone();
        changed.files.iter_mut().zip(bytes).for_each(|(file, bytes)| file.1.clone_from(bytes));
        changed.poke()
    });
}

#[test]
fn external_data_of_onnx() {
    let read = |names: &[&str]| Files::read("../tests/import/onnx", "", names);
    // The last field of a model says little.
    let model = |file: usize| file == 0;
    attack(&read(&["external.onnx", "external.bin"]), 50_000, 60, &model);
    let each = ["external_each.onnx", "layer.0.weight", "layer.1.weight", "layer.2.weight"];
    attack(&read(&each), 50_000, 61, &model);
    tried(105_000);
}

/// The older form in two files, and the newer with its values in two.
#[test]
fn checkpoints_of_tensorflow() {
    let read = |names: &[&str]| Files::read("../tests/import/tf_checkpoint", "", names);
    let older = ["older_sharded.ckpt-00000-of-00002", "older_sharded.ckpt-00001-of-00002"];
    let newer = ["sharded.ckpt.index", "sharded.ckpt.data-00000-of-00002", "sharded.ckpt.data-00001-of-00002"];
    attack(&read(&older), 50_000, 62, &|_| false);
    attack(&read(&newer), 50_000, 63, &|_| false);
    tried(105_000);
}
