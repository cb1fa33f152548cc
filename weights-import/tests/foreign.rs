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
        (zip("package/data/table.csv"), "unpack it first"),
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

/// A pipe has no end, and opening one waits.
#[cfg(unix)]
#[test]
fn pipes_are_refused_at_once() {
    let folder = Folder::new("pipes");
    let pipe = folder.0.join("model.safetensors");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [pipe.as_path(), std::path::Path::new("/dev/zero")] {
        let error = open(path).unwrap_err().to_string();
        assert!(error.contains("is not a regular file"), "{error}");
    }
    let index = r#"{"weight_map":{"a":"model.safetensors"}}"#;
    let error = open(folder.file("model.safetensors.index.json", index.as_bytes())).unwrap_err().to_string();
    assert!(error.contains("model.safetensors: is not a regular file"), "{error}");
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

/// The files that people take for weights that are read here, and what each of them is told.
#[test]
fn what_people_confuse_with_weights() {
    use common::archives::{Member, dict, legacy, member, pytorch, tensor};
    let msgpack = b"\x81\xa6params\x81\xa5Dense\x81\xa6kernel\xc7".to_vec();
    let mlmodel = b"\x08\x04\x12\x10\x0a\x0e\x0a\x05image\x1a\x05\x22\x03\x08\xe0\x01".to_vec();
    let darknet = [0u32, 2, 5, 32_013_312, 0].map(u32::to_le_bytes).concat();
    let encrypted = common::archives::zip(&[Member { flags: 1, ..member("weights/a.bin", b"secret") }]);
    let locked = common::archives::zip(&[Member { flags: 1, ..member("m/data.pkl", b"secret") }]);
    let qint8 = tensor("QInt8Storage", b"K\x03", b"K\0", b"K\x03\x85", b"K\x01\x85");
    let other = |text: &str| dict(format!("c{text}\n)R").as_bytes());
    for (name, bytes, words) in [
        ("m.zip", b"PK\x05\x06".iter().copied().chain([0; 18]).collect(), "is a zip archive without members"),
        ("m.rar", b"Rar!\x1a\x07\x01\0".to_vec(), "is a RAR archive: unpack it first"),
        ("m.7z", b"7z\xbc\xaf\x27\x1c\0\x04".to_vec(), "is a 7z archive: unpack it first"),
        ("m.pth.xz", b"\xfd7zXZ\0\0\x04".to_vec(), "unxz"),
        ("m.pth.bz2", b"BZh91AY&SY".to_vec(), "bunzip2"),
        ("m.pth.zst", b"\x28\xb5\x2f\xfd\x04\x88".to_vec(), "unzstd"),
        ("m.zip", encrypted, "is an encrypted zip archive: unpack it with its password first"),
        ("m.pth", locked, "m/data.pkl is encrypted"),
        ("m.params", [&[0x12u8, 1, 0, 0, 0, 0, 0, 0][..], &[0; 8], &[1; 8]].concat(), "MXNet parameters"),
        ("m.mat", b"MATLAB 5.0 MAT-file, Platform: GLNXA64".to_vec(), "scipy.io.loadmat"),
        ("m.mat", b"MATLAB 7.3 MAT-file, Platform: GLNXA64".to_vec(), "load it with h5py"),
        ("m.engine", b"ftrt\0\0\0\0".to_vec(), "is a TensorRT engine"),
        ("m.plan", b"ptrt\0\0\0\0".to_vec(), "is a TensorRT engine"),
        ("m.tflite", b"\x1c\0\0\0TFL3".to_vec(), "TensorFlow Lite"),
        ("m.pte", b"\x38\0\0\0ET12".to_vec(), "ExecuTorch"),
        ("m.bin", b"tjgg\x03\0\0\0".to_vec(), "convert_llama_ggml_to_gguf.py"),
        ("m.param", b"7767517\n3 3\n".to_vec(), "ncnn"),
        ("flax_model.msgpack", msgpack, "flax.serialization.msgpack_restore"),
        ("m.mlmodel", mlmodel, "Core ML"),
        ("yolo.weights", darknet, "Darknet"),
        ("m.pkl", b"\x80\x03cposix\nsystem\nX\x02\0\0\0id\x85R.".to_vec(), "this one wants to call posix.system"),
        ("m.pkl", b"\x80\x04\x95\x05\0\0\0\0\0\0\0}\x94.".to_vec(), "that is no PyTorch file"),
        ("m.pth", pytorch(&other("models.yolo\nModel")), "wants to call models.yolo.Model"),
        ("m.pth", legacy(&other("models.yolo\nModel")), "save its state_dict"),
        ("m.pth", pytorch(&dict(&qint8)), "holds quantised numbers (torch.QInt8Storage), which are not read"),
        ("m.pth", pytorch(&other("torch._utils\n_rebuild_qtensor")), "quantised"),
        ("m.pth", pytorch(&other("torch\nqint8")), "holds quantised numbers (torch.qint8)"),
        (
            "m.safetensors",
            common::safetensors(r#"{"a":{"dtype":"F3","shape":[8],"data_offsets":[0,3]}}"#, &[0; 3]),
            "unknown element type F3 (newer than this program?): write the file anew as F16",
        ),
    ] {
        let error = from_bytes(bytes, name).unwrap_err();
        assert!(matches!(error, Error::Format { .. } | Error::Corrupt { .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.starts_with(name) && error.contains(words), "{name}: {words}: {error}");
    }
}

/// Files of which the index is read, with numbers that are not: what is said when they are asked for.
#[test]
fn numbers_that_are_not_converted() {
    use common::{Field, gguf, message};
    for dtype in ["F8_E4M3", "F8_E5M2", "C64"] {
        let size = if dtype == "C64" { 8 } else { 1 };
        let header = format!(r#"{{"a":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,{size}]}}}}"#);
        let weights = from_bytes(common::safetensors(&header, &vec![0; size]), "m").unwrap();
        let error = weights.get("a").unwrap_err().to_string();
        assert!(
            error.contains(&format!("tensor a: holds {dtype}, which is not converted: write the file anew")),
            "{error}"
        );
    }
    for (kind, name, bytes) in [(16, "IQ2_XXS", 66), (19, "IQ1_S", 50), (23, "IQ4_XS", 136), (10, "Q2_K", 84)] {
        let tensor = gguf::Tensor { name: b"a", dims: &[256], kind, offset: 0 };
        let weights = from_bytes(gguf::file(&[], &[tensor], &vec![0; bytes]), "m").unwrap();
        let error = weights.get("a").unwrap_err().to_string();
        assert!(
            error.contains(&format!("is quantised as {name}, which is not read; convert the file to F16")),
            "{error}"
        );
    }
    let unknown = gguf::Tensor { name: b"a", dims: &[256], kind: 99, offset: 0 };
    let error = from_bytes(gguf::file(&[], &[unknown], &[0; 64]), "m").unwrap_err().to_string();
    assert!(error.contains("has the unknown type 99") && error.contains("llama-quantize"), "{error}");
    // ONNX's integers of 4 bits, beside a tensor that is read and alone.
    let tensor = |name: &str, kind: u64, bytes: usize| {
        let fields = vec![
            Field::Varint(1, 2),
            Field::Varint(2, kind),
            Field::Bytes(8, name.into()),
            Field::Bytes(9, vec![0; bytes]),
        ];
        Field::Message(5, fields)
    };
    let model = |graph: Vec<Field>| message(&[Field::Varint(1, 10), Field::Message(7, graph)]);
    let weights = from_bytes(model(vec![tensor("a", 22, 1), tensor("b", 1, 8)]), "m").unwrap();
    let error = weights.raw("a").unwrap_err().to_string();
    assert!(
        error.contains("tensor a: is in the file, but not read (integers of 4 bits): write the file anew"),
        "{error}"
    );
    let findings = weights_import::examine_names(&weights, None);
    assert!(findings.iter().any(|f| f.kind == "unread" && f.message.starts_with("1 tensors are not read, e.g. a: ")));
    let error = from_bytes(model(vec![tensor("a", 22, 1)]), "m").unwrap_err().to_string();
    assert!(error.contains("has no tensors that are read; a holds integers of 4 bits"), "{error}");
}
