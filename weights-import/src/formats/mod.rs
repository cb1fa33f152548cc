//! The formats, one file each. To add one: implement [`Reader`] in a file of its own and list it in [`FORMATS`].

mod caffe;
mod catalogue;
mod foreign;
mod gguf;
mod javascript;
mod keras;
pub(crate) mod numpy;
mod onnx;
mod pytorch;
mod safetensors;
pub(crate) mod sharded;
mod signatures;
mod tensor_proto;
mod tensorflow;
mod tfjs;

use crate::{Error, Reader, Result, Source};

/// Bytes from the start of a file that a format is recognised by.
pub(crate) const HEAD: u64 = 4096;

/// A format that is read.
struct Format {
    name: &'static str,
    /// Whether a file that starts so is of this format. The source is there for formats without a signature.
    probe: fn(&[u8], &Source) -> bool,
    open: fn(Source) -> Result<Box<dyn Reader>>,
}

/// In the order of trying: those with a clear signature first.
const FORMATS: &[Format] = &[
    // Before safetensors: `exports={"` would be the length and start of a header.
    Format { name: "tfjs", probe: tfjs::probe, open: tfjs::open },
    Format { name: "safetensors", probe: safetensors::probe, open: safetensors::open },
    Format { name: "PyTorch", probe: pytorch::probe_zip, open: pytorch::open_zip },
    Format { name: "PyTorch legacy", probe: pytorch::probe_legacy, open: pytorch::open_legacy },
    Format { name: "PyTorch tar", probe: pytorch::probe_tar, open: pytorch::open_tar },
    Format { name: "npy", probe: numpy::probe_npy, open: numpy::open_npy },
    Format { name: "npz", probe: numpy::probe_npz, open: numpy::open_npz },
    Format { name: "tf_checkpoint", probe: tensorflow::checkpoint::probe, open: tensorflow::checkpoint::open },
    Format { name: "onnx", probe: onnx::probe, open: onnx::open },
    Format { name: "tf_graph", probe: tensorflow::graph::probe, open: tensorflow::graph::open },
    Format { name: "gguf", probe: gguf::probe, open: gguf::open },
    Format { name: "HDF5", probe: keras::probe, open: keras::open },
    Format { name: "keras", probe: keras::probe_zip, open: keras::open_zip },
    Format { name: "sharded safetensors", probe: sharded::probe, open: sharded::open },
    Format { name: "caffe", probe: caffe::probe, open: caffe::open },
];

/// Endings of files that [`crate::open`] takes for the weights of a folder.
pub(crate) const ENDINGS: &[&str] = &[
    ".safetensors",
    ".pth",
    ".pt",
    ".bin",
    ".npz",
    ".npy",
    ".caffemodel",
    ".gguf",
    ".onnx",
    ".index",
    ".ckpt",
    ".pb",
    ".h5",
    ".hdf5",
    ".keras",
];

/// Finds the format by content and reads the index.
pub(crate) fn open(source: Source) -> Result<Box<dyn Reader>> {
    let head = source.head(HEAD)?;
    if let Some(words) = foreign::recognise(&head, &source) {
        return Err(Error::format(source.name(), words));
    }
    match FORMATS.iter().find(|format| (format.probe)(&head, &source)) {
        Some(format) => (format.open)(source),
        None => {
            let known: Vec<&str> = FORMATS.iter().map(|f| f.name).collect();
            let start: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
            Err(Error::format(
                source.name(),
                format!("is no weights file known here ({}); it starts with {}", known.join(", "), start.join(" ")),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn taken_by(source: &Source) -> Vec<&'static str> {
        let head = source.head(HEAD).unwrap();
        FORMATS.iter().filter(|format| (format.probe)(&head, source)).map(|format| format.name).collect()
    }

    /// Protocol buffers have no signature, so no probe may take what is another's.
    #[test]
    fn one_probe_takes_a_file() {
        let mut files = 0;
        for folder in ["onnx", "tf_checkpoint", "tf_graph", "hdf5"] {
            let folder = Path::new("../tests/import").join(folder);
            let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
            let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
            for file in expected.as_array().unwrap() {
                let path = folder.join(file["file"].as_str().unwrap());
                if path.is_file() {
                    let source = Source::file(&path).unwrap();
                    let format = match file["format"].as_str().unwrap() {
                        _ if path.extension().is_some_and(|ending| ending == "h5") => "HDF5",
                        format => format,
                    };
                    assert_eq!(taken_by(&source), [format], "{}", path.display());
                    files += 1;
                }
            }
        }
        assert!(files > 90, "{files}");
        let saved = Source::file(Path::new("../tests/import/tf_checkpoint/saved_model/saved_model.pb")).unwrap();
        assert_eq!(taken_by(&saved), ["tf_graph"]);
        // Networks of Caffe: a name, then layers of the current form; and two of the form before it without a name.
        let current = b"\x0a\x03net\xa2\x06\x0f\x0a\x01a\x12\x01X\x3a\x07\x2a\x05\0\0\x80\x3f\0".to_vec();
        let older = b"\x12\x05\x22\x01a\x28\x04\x12\x05\x22\x01b\x28\x0e".to_vec();
        for bytes in [current, older] {
            assert_eq!(taken_by(&Source::memory(bytes, "net")), ["caffe"]);
        }
    }
}
