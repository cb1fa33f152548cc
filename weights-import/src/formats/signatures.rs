//! Signatures of files that people take for weights that are read here, and what to do with each.

use crate::Source;

/// First byte, the bytes there, and what is said.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (0, b"PK\x05\x06", "is a zip archive without members (did the download or the packing fail?)"),
    (0, b"Rar!\x1a\x07", "is a RAR archive: unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it first"),
    (0, b"\xfd7zXZ\0", "is compressed by xz: unpack it first (unxz)"),
    (0, b"BZh", "is compressed by bzip2: unpack it first (bunzip2)"),
    (0, b"\x28\xb5\x2f\xfd", "is compressed by zstd: unpack it first (unzstd)"),
    (
        0,
        b"\x12\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        "looks like MXNet parameters (.params), which are not read: export the model to ONNX",
    ),
    (
        0,
        b"MATLAB 5.0 MAT-file",
        "is a MATLAB file (.mat, as MatConvNet writes), which is not read: load it with scipy.io.loadmat and save its \
         arrays with numpy.savez",
    ),
    (
        0,
        b"MATLAB 7.3 MAT-file",
        "is a MATLAB file (.mat, version 7.3), which is not read: load it with h5py and save its arrays with numpy.savez",
    ),
    (0, b"ftrt", TENSORRT),
    (0, b"ptrt", TENSORRT),
    (4, b"TFL3", "looks like a TensorFlow Lite model, which is not read: take the model that it was converted from"),
    (4, b"ORTM", "is a model in ONNX Runtime's own format: open the .onnx that it was made from"),
    (4, b"ET12", "is an ExecuTorch program (.pte), compiled code: open the weights that it was exported from"),
    (0, b"tjgg", GGML),
    (0, b"fmgg", GGML),
    (0, b"lmgg", GGML),
    (
        0,
        b"7767517\n",
        "is the network of an ncnn model (.param), without weights, and its .bin is not read: open its original",
    ),
    (0, b"\x89PNG", "is an image, not weights"),
    (0, b"\xff\xd8\xff", "is an image, not weights"),
];

const TENSORRT: &str =
    "is a TensorRT engine, compiled for one kind of GPU: open the model that it was built from (.onnx, .pth)";

const GGML: &str = "is a GGML file of before GGUF: convert it with llama.cpp's convert_llama_ggml_to_gguf.py";

/// What is said of a file that starts so, if it is one of these.
pub(super) fn words(head: &[u8], source: &Source) -> Option<&'static str> {
    let starts = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|head| head.starts_with(magic));
    let name = source.file_name();
    if let Some((.., words)) = SIGNATURES.iter().find(|(at, magic, _)| starts(*at, magic)) {
        return Some(words);
    }
    if is_msgpack(head) {
        return Some(
            "looks like Flax's msgpack, which is not read: load it with flax.serialization.msgpack_restore and save it \
             with safetensors.flax.save_file",
        );
    }
    // Three small numbers of a version, without a signature.
    if name.ends_with(".weights") && matches!(head, [0, 0, 0, 0, 1 | 2, 0, 0, 0, 0..=9, 0, 0, 0, ..]) {
        return Some(
            "looks like Darknet weights (YOLO), numbers without names or shapes: convert them with their .cfg",
        );
    }
    // A protocol buffer that starts with its version.
    if name.ends_with(".mlmodel") && head.first() == Some(&8) {
        return Some("looks like a Core ML model, which is not read: open the model that it was converted from");
    }
    None
}

/// A map whose first key is a text of three or more letters.
fn is_msgpack(head: &[u8]) -> bool {
    let rest = match head {
        [0x81..=0x8f, rest @ ..] | [0xde, _, _, rest @ ..] => rest,
        _ => return false,
    };
    match rest {
        [len @ 0xa3..=0xbf, rest @ ..] => {
            let key = rest.get(..usize::from(len - 0xa0));
            key.is_some_and(|key| key.iter().all(|b| b.is_ascii_alphanumeric() || b"_./-".contains(b)))
        }
        _ => false,
    }
}
