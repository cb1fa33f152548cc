//! Files that are recognised but not read: each gets its own words.

use crate::Source;

const CONVERT: &str = "is not read yet: convert it to safetensors";

const NO_WEIGHTS: &str = "is JSON, not weights (a configuration?): name the weights file itself";

/// Keys of JSON that is read, in small letters: the index of sharded weights, TensorFlow.js.
const READ_JSON: &[&str] = &["\"weight_map\"", "\"weightsmanifest\"", "\"modeltopology\"", "\"graph-model\""];

/// What the file looks like and what to do, if it is one of these.
pub(super) fn recognise(head: &[u8], source: &Source) -> Option<String> {
    let starts = |magic: &[u8]| head.starts_with(magic);
    let holds = |text: &str| head.windows(text.len()).any(|w| w == text.as_bytes());
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();

    let what = if head.is_empty() {
        "is empty (did the download fail?)".to_string()
    } else if text.starts_with("version https://git-lfs") {
        "is a Git-LFS pointer, not the weights: run `git lfs pull`, or download the file itself".to_string()
    } else if text.starts_with("<!doctype html") || text.starts_with("<html") {
        "is a web page (HTML), not weights: the download answered with an error or login page".to_string()
    } else if text.starts_with("<?xml") || text.starts_with("<error>") {
        "is XML, not weights: probably the error message of a download".to_string()
    } else if starts(b"PK\x03\x04") {
        zip(head)
    } else if starts(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e") {
        format!("looks like an old PyTorch file (before 1.6); this format {CONVERT}")
    } else if matches!(head, [0x80, 2..=5, ..]) {
        format!("looks like a Python pickle; this format {CONVERT}")
    } else if [0, 512, 1024, 2048].iter().any(|&at| head.get(at..).is_some_and(|h| h.starts_with(b"\x89HDF\r\n\x1a\n")))
    {
        format!("looks like HDF5 (Keras .h5); this format {CONVERT}")
    } else if starts(b"\x93NUMPY") {
        format!("looks like a NumPy array; this format {CONVERT}")
    } else if starts(b"\x1f\x8b") {
        "is gzip-compressed: unpack it first (gunzip)".to_string()
    } else if head.get(257..262) == Some(b"ustar") {
        format!("is a tar archive: unpack it first; if it is a PyTorch file of 2016, that format {CONVERT}")
    } else if head.get(4..8) == Some(b"TFL3") {
        format!("looks like a TensorFlow Lite model; this format {CONVERT}")
    } else if matches!(head, [0x08, 1..=31, 0x12 | 0x1a | 0x22 | 0x28 | 0x3a, ..]) {
        format!("looks like ONNX; this format {CONVERT}")
    } else if ends_as_table(source) {
        format!("looks like the index of a TensorFlow checkpoint; this format {CONVERT}")
    } else if text.starts_with('{') {
        return (!READ_JSON.iter().any(|key| text.contains(key))).then(|| NO_WEIGHTS.to_string());
    } else if text.starts_with("name:") || text.starts_with("layer {") || text.starts_with("layers {") {
        "is a Caffe network definition (prototxt): the weights are in the .caffemodel beside it".to_string()
    } else if starts(b"\x89PNG") || starts(b"\xff\xd8\xff") {
        "is an image, not weights".to_string()
    } else if holds("tensorflow") && starts(b"\x0a") {
        format!("looks like a TensorFlow graph; this format {CONVERT}")
    } else {
        return None;
    };
    Some(what)
}

/// Words for a zip, by the name of its first member.
fn zip(head: &[u8]) -> String {
    let len = head.get(26..28).map_or(0, |b| usize::from(b[0]) | usize::from(b[1]) << 8);
    let name = String::from_utf8_lossy(head.get(30..30 + len).unwrap_or(&[])).into_owned();
    if name.ends_with("data.pkl")
        || name.contains("/data/")
        || name.ends_with("/byteorder")
        || name.ends_with("/version")
    {
        format!("looks like a PyTorch zip (.pth, .pt, .bin); this format {CONVERT}")
    } else if name.contains("/code/") || name.ends_with("constants.pkl") {
        "looks like a TorchScript archive, a program rather than weights: save its state_dict as safetensors"
            .to_string()
    } else if name.ends_with(".npy") {
        format!("looks like a NumPy archive (.npz); this format {CONVERT}")
    } else if name.ends_with("metadata.json") || name.ends_with("config.json") || name.ends_with(".weights.h5") {
        format!("looks like a Keras 3 archive (.keras); this format {CONVERT}")
    } else if name.is_empty() {
        "looks like a broken zip archive".to_string()
    } else {
        format!("is a zip archive that starts with {name:?}: unpack it first if the weights are inside")
    }
}

/// LevelDB tables have their magic number at the end.
fn ends_as_table(source: &Source) -> bool {
    let magic = 0xdb47_7524_8b80_fb57u64.to_le_bytes();
    source.len() >= 48 && source.read(source.len() - 8, 8).is_ok_and(|end| end == magic)
}
