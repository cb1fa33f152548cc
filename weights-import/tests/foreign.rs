//! Files that are something else each get their own words.
#![allow(missing_docs)]

mod common;

use common::Folder;
use weights_import::{Error, from_bytes, open};

fn zip(member: &str) -> Vec<u8> {
    let mut file = b"PK\x03\x04".to_vec();
    file.resize(26, 0);
    file.extend((member.len() as u16).to_le_bytes());
    file.extend([0, 0]);
    file.extend(member.as_bytes());
    file.extend([0; 64]);
    file
}

#[test]
fn each_has_its_own_words() {
    let tar = [vec![b'a'; 257], b"ustar\0".to_vec(), vec![0; 249]].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n".to_vec(), "git lfs pull"),
        (b"\n <!DOCTYPE HTML><html>404".to_vec(), "is a web page (HTML)"),
        (b"\xef\xbb\xbf<html lang=en>".to_vec(), "is a web page (HTML)"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied".to_vec(), "is XML"),
        (zip("readme.txt"), "unpack it first"),
        (zip("metadata.json"), "Keras 3 archive (.keras), but has no model.weights.h5"),
        (b"PK\x03\x04".to_vec(), "broken zip"),
        (b"\x80\x04\x95abc".to_vec(), "Python pickle"),
        (b"\x1f\x8b\x08".to_vec(), "gunzip"),
        (tar, "tar archive"),
        (b"\x1c\0\0\0TFL3".to_vec(), "TensorFlow Lite"),
        (b"\x1c\0\0\0ORTM".to_vec(), "ONNX Runtime's own format"),
        (b"model_checkpoint_path: \"model.ckpt-9\"".to_vec(), "list of a folder's TensorFlow checkpoints"),
        (br#"{"hidden_size":128}"#.to_vec(), "is JSON, not weights"),
        (b"name: \"net\"\nlayer {\n}".to_vec(), "prototxt"),
        (b"\x89PNG\r\n".to_vec(), "is an image"),
        (b"hello, these are no weights".to_vec(), "starts with 68 65 6c 6c 6f"),
        (vec![0; 64], "no weights file known here (tfjs, safetensors, "),
    ];
    for (bytes, words) in cases {
        let error = from_bytes(bytes, "model.safetensors").unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.starts_with("model.safetensors: ") && error.contains(words), "{words}: {error}");
    }
}

#[test]
fn beginnings_of_what_is_read() {
    for bytes in [b"\x89HDF\r\n\x1a\n\0\0\0\0\0\0\0\0".to_vec(), [vec![0; 512], b"\x89HDF\r\n\x1a\n".to_vec()].concat()]
    {
        let error = from_bytes(bytes, "model.h5").unwrap_err();
        assert!(matches!(error, Error::Corrupt { format: "HDF5", .. }), "{error:?}");
    }
}

#[test]
fn paths_that_are_no_file() {
    let folder = Folder::new("paths");
    let error = open(folder.0.join("none.safetensors")).unwrap_err();
    assert!(matches!(&error, Error::Io { action: "open", .. }), "{error:?}");
    assert!(error.to_string().contains("none.safetensors"));
    assert!(open(&folder.0).unwrap_err().to_string().contains("holds no model.safetensors"));

    let file = common::safetensors("{}", &[]);
    folder.file("b.caffemodel", &file);
    assert!(open(&folder.0).is_ok());
    folder.file("a.safetensors", &file);
    let error = open(&folder.0).unwrap_err().to_string();
    assert!(error.contains("holds 2 weights files (a.safetensors, b.caffemodel): name one"), "{error}");
    folder.file("model.safetensors", &file);
    assert!(open(&folder.0).unwrap().source().ends_with("model.safetensors"));
    std::fs::remove_file(folder.0.join("model.safetensors")).unwrap();
    folder.file("pytorch_model.bin", &file);
    assert!(open(&folder.0).unwrap().source().ends_with("pytorch_model.bin"));
    std::fs::remove_file(folder.0.join("pytorch_model.bin")).unwrap();
    // An index goes before the files; it must be one.
    folder.file("model.safetensors.index.json", b"{}");
    let error = open(&folder.0).unwrap_err().to_string();
    assert!(error.contains("index.json: is JSON, not weights"), "{error}");
    folder.file("other.safetensors.index.json", b"{}");
    let error = open(&folder.0).unwrap_err().to_string();
    assert!(error.contains("holds 2 weights files (model.safetensors.index.json, other"), "{error}");
}

#[test]
fn the_configuration_beside_the_file() {
    let folder = Folder::new("config");
    folder.file("model.safetensors", &common::safetensors("{}", &[]));
    let weights = open(&folder.0).unwrap();
    assert!(weights.config().unwrap().is_none());
    folder.file("config.json", br#"{"hidden_size": 128}"#);
    assert_eq!(weights.config().unwrap().unwrap()["hidden_size"], 128);
    for (text, words) in [("[1]", "not an object"), ("{", "is not JSON"), ("", "is not JSON")] {
        folder.file("config.json", text.as_bytes());
        assert!(weights.config().unwrap_err().to_string().contains(words));
    }
    folder.file("config.json", &vec![b' '; (1 << 20) + 1]);
    assert!(weights.config().unwrap_err().to_string().contains("too large"));
}
