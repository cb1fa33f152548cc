//! Files written by a format's own package, compared bit for bit with what that package says of them.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::Path;
use weights_import::{Weights, open};

/// The sha256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Opens every file that `tests/import/FOLDER/expected.json` lists and compares it tensor by tensor; how many files.
///
/// `[{"file": "name", "format": "pytorch", "tensors": [{"name", "shape", "dtype", "sha256"}]}]`, where the sha256 is that
/// of the values, little-endian in their dtype, row-major, and dtypes have the names of safetensors. The order of tensors
/// is that of the file. A file may carry `"metadata": {...}`, of which every pair must be there. One that is `"large": true`
/// need not be there: its generator writes it.
pub fn check(folder: &str) -> usize {
    let folder = Path::new("../tests/import").join(folder);
    let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let files: Vec<Value> = serde_json::from_str(&text).unwrap();
    let there = |file: &&Value| file["large"] != true || folder.join(file["file"].as_str().unwrap()).is_file();
    let files: Vec<&Value> = files.iter().filter(there).collect();
    for file in &files {
        let name = file["file"].as_str().unwrap();
        let weights = open(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(weights.format(), file["format"].as_str().unwrap(), "{name}");
        same(&weights, &file["tensors"], name);
        for (key, value) in file["metadata"].as_object().into_iter().flatten() {
            let found = weights.metadata().get(key).map(String::as_str);
            assert_eq!(found, value.as_str(), "{name}: metadata {key}");
        }
    }
    files.len()
}

/// The tensors of `weights` are those that `expected` lists.
pub fn same(weights: &Weights, expected: &Value, file: &str) {
    let expected = expected.as_array().unwrap();
    let names: Vec<&str> = weights.entries().iter().map(|e| e.name.as_str()).collect();
    let wanted: Vec<&str> = expected.iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, wanted, "{file}");
    for tensor in expected {
        let name = tensor["name"].as_str().unwrap();
        let raw = weights.raw(name).unwrap_or_else(|error| panic!("{file}: {name}: {error}"));
        assert_eq!(raw.dtype.to_string(), tensor["dtype"].as_str().unwrap(), "{file}: {name}");
        let shape: Vec<u64> = raw.shape.iter().map(|&n| n as u64).collect();
        assert_eq!(Value::from(shape), tensor["shape"], "{file}: {name}");
        assert_eq!(sha256(&raw.bytes), tensor["sha256"].as_str().unwrap(), "{file}: {name}: values differ");
    }
}
