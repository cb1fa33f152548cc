//! TensorFlow.js: models of its own converter value for value, and models that are wrong.
#![allow(missing_docs)]

mod common;

use common::Folder;
use std::collections::BTreeMap;
use weights_import::{Error, Source, from_source, open};

#[test]
fn every_value_of_the_package() {
    assert!(common::golden::check("tfjs") >= 20);
}

fn source(name: &str, model: &str, files: &[(&str, &[u8])]) -> Source {
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec())).collect();
    Source::memory_with(model.as_bytes().to_vec(), name, files)
}

fn one(path: &str, weights: &str) -> String {
    format!(r#"{{"modelTopology":null,"weightsManifest":[{{"paths":["{path}"],"weights":[{weights}]}}]}}"#)
}

fn float(name: &str, shape: &str) -> String {
    format!(r#"{{"name":"{name}","shape":{shape},"dtype":"float32"}}"#)
}

fn quantised(dtype: &str, quantisation: &str) -> String {
    format!(r#"{{"name":"x","shape":[2],"dtype":"{dtype}","quantization":{quantisation}}}"#)
}

#[test]
fn computes_as_javascript_does() {
    // In single precision, 255 * 0.1 + 0.2 would be another number.
    let model = one("a", &quantised("float32", r#"{"dtype":"uint8","scale":0.1,"min":0.2}"#));
    let weights = from_source(source("model.json", &model, &[("a", &[0, 255])])).unwrap();
    assert_eq!(weights.get("x").unwrap().to_vec(), [0.2, (255.0 * 0.1f64 + 0.2) as f32]);
    // Halves go up, also below zero.
    let model = one("a", &quantised("int32", r#"{"dtype":"uint8","scale":1,"min":-1.5}"#));
    let weights = from_source(source("model.json", &model, &[("a", &[0, 2])])).unwrap();
    assert_eq!(weights.get_i64("x").unwrap().1, [-1, 1]);
    let model = one("a", &quantised("int32", r#"{"dtype":"uint8","scale":1e300,"min":0}"#));
    let weights = from_source(source("model.json", &model, &[("a", &[0, 2])])).unwrap();
    assert!(weights.get("x").unwrap_err().to_string().contains("too large for I32"));
}

#[test]
fn says_what_is_wrong() {
    let good = float("x", "[2]");
    let affine = |fields: &str| quantised("float32", &format!("{{{fields}}}"));
    let twice = one("a", &good).replace("\"weightsManifest\"", "\"weightsManifest\":[],\"weightsManifest\"");
    for (model, words) in [
        (one("../a", &good), "names a file outside of its folder, \"../a\": refused"),
        (one("/etc/passwd", &good), "outside of its folder"),
        (one("b", &good), "needs the file b beside it"),
        (one("a\",\"a", &good), "names the shard a twice"),
        (one("a", &float("x", "[1]")), "its weights take 4 bytes, but the shards have 8"),
        (one("a", &float("x", "[3]")), "weight x of the shape [3] begins at byte 0 of its shards, which have 8"),
        (one("a", &float("x", "[4294967296,4294967296]")), "which have 8"),
        (one("a", &float("x", "[4611686018427387904]")), "which have 8"),
        (one("a", &float("x", "[-1]")), "whole number"),
        (one("a", &format!("{},{}", float("x", "[1]"), float("x", "[1]"))), "two weights are named x"),
        (one("a", &good.replace("float32", "float8")), "weight x has the unknown dtype float8"),
        (one("a", &good.replace("float32", "string")), "weight x holds texts"),
        (one("a", &good.replace("\"name\":\"x\",", "")), "a weight has no name"),
        (one("a", r#"{"name":"x","name":"x"}"#), "two fields are named name"),
        (one("a", r#"{"name":"x","shape":[2]}"#), "weight x has no dtype"),
        (one("a", r#"{"name":"x","dtype":"int32"}"#), "weight x has no shape"),
        (one("a", &affine(r#""dtype":"uint8","scale":1"#)), "has no scale or no min"),
        (one("a", &affine(r#""dtype":"uint8","scale":1e999,"min":0"#)), "a value expected"),
        (one("a", &affine(r#""dtype":"uint8","scale":"1","min":0"#)), "a number expected"),
        (one("a", &affine(r#""dtype":"uint4","scale":1,"min":0"#)), "unknown dtype uint4"),
        (one("a", &quantised("int32", r#"{"dtype":"float16"}"#)), "is quantised, but of I32"),
        (one("a", &good).replace("\"paths\"", "\"path\""), "a group has no paths"),
        (r#"{"modelTopology":{}}"#.into(), "there is no weightsManifest"),
        (twice, "there are two of weightsManifest"),
        (one("a", &good) + "x", "text after the end"),
    ] {
        let error = from_source(source("model.json", &model, &[("a", &[0; 8])])).unwrap_err();
        assert!(matches!(error, Error::Corrupt { format: "tfjs", .. } | Error::Format { .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.starts_with("model.json: ") && error.contains(words), "{words}: {error}");
    }
}

#[test]
fn modules_are_read_strictly() {
    let model = "module.exports={modelTopology:null,weightsManifest:[{paths:['a'],weights:[{name:'x',shape:[1e0],\
                 dtype:\"float32\"}]}]};";
    let open = |shard: &str| from_source(source("model.min.js", model, &[("a.min.js", shard.as_bytes())]));
    let read = |shard: &str| open(shard).and_then(|weights| weights.get("x"));
    for shard in ["module.exports=\"AACAPw==\";", "export default 'AACAPw=='", "x();exports = \"AACAPw==\",1"] {
        assert_eq!(read(shard).unwrap().to_vec(), [1.0], "{shard}");
    }
    for (shard, words) in [
        ("AACAPw==", "exports no string of base64"),
        ("exports=AACAPw==", "exports no string of base64"),
        ("exports=\"AACAPw==", "has no end"),
        ("exports=\"AACAPw=\"", "no whole number of groups"),
        ("exports=\"AACAPw\"", "no whole number of groups"),
        ("exports=\"AACAP===\"", "wrong base64 at byte 14"),
        ("exports=\"AACA\"", "shards, which have 3"),
        ("exports=\"\"", "shards, which have 0"),
        ("exports=\"AACAPwAA\"", "but the shards have 6"),
        ("exports=\"AACAPx==\"", "wrong base64 at byte 13"),
        ("exports=\"AA-APw==\"", "wrong base64 at byte 11"),
        ("exports=\"A=CAPw==\"", "wrong base64 at byte 10"),
        ("exports=\"AA\\nAPw==\"", "groups of four"),
    ] {
        let error = read(shard).unwrap_err().to_string();
        assert!(error.contains(words), "{shard}: {error}");
    }
    let error = from_source(source("model.js", "exports={modelTopology:[", &[])).unwrap_err().to_string();
    assert!(error.contains("the exported object has no end"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_shard_that_is_a_link_is_refused() {
    let folder = Folder::new("tfjs-link");
    folder.file("secret", &[0; 8]);
    std::os::unix::fs::symlink("secret", folder.0.join("a")).unwrap();
    let path = folder.file("model.json", one("a", &float("x", "[2]")).as_bytes());
    let error = open(&path).unwrap_err().to_string();
    assert!(error.contains("names a, which is a symbolic link: refused"), "{error}");
    std::fs::remove_file(folder.0.join("a")).unwrap();
    folder.file("a", &[0; 8]);
    for path in [&path, &folder.0] {
        assert_eq!(open(path).unwrap().get("x").unwrap().to_vec(), [0.0; 2]);
    }
}
