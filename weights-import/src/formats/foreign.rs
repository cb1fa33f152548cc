//! Files that are recognised but not read: each gets its own words.

use super::{keras, numpy, pytorch, safetensors, signatures};
use crate::pickle::{Budget, Pickle};
use crate::{Error, Source, zip};

const NO_WEIGHTS: &str = "is JSON, not weights (a configuration?): name the weights file itself";

/// Keys of JSON that is read, in small letters: the index of sharded weights, TensorFlow.js.
const READ_JSON: &[&str] = &["\"weight_map\"", "\"weightsmanifest\"", "\"modeltopology\"", "\"graph-model\""];

/// What the file looks like and what to do, if it is one of these.
pub(super) fn recognise(head: &[u8], source: &Source) -> Option<String> {
    let starts = |magic: &[u8]| head.starts_with(magic);
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();

    let what = if head.is_empty() {
        "is empty (did the download fail?)".to_string()
    } else if safetensors::probe(head, source) {
        // Its first bytes are a length: 640 begins as a pickle does, 35,615 as gzip.
        return None;
    } else if text.starts_with("version https://git-lfs") {
        "is a Git-LFS pointer, not the weights: run `git lfs pull`, or download the file itself".to_string()
    } else if text.starts_with("<!doctype html") || text.starts_with("<html") {
        "is a web page (HTML), not weights: the download answered with an error or login page".to_string()
    } else if text.starts_with("<?xml") || text.starts_with("<error>") {
        "is XML, not weights: probably the error message of a download".to_string()
    } else if [pytorch::probe_zip, pytorch::probe_legacy, numpy::probe_npz, keras::probe_zip]
        .iter()
        .any(|probe| probe(head, source))
    {
        return None;
    } else if starts(b"PK\x03\x04") {
        zip(head, source)
    } else if matches!(head, [0x80, 2..=5, ..]) {
        pickle(source)
    } else if let Some(words) = signatures::words(head, source) {
        words.to_string()
    } else if starts(b"\x1f\x8b") {
        "is gzip-compressed: unpack it first (gunzip)".to_string()
    } else if head.get(257..262) == Some(b"ustar") && !pytorch::probe_tar(head, source) {
        "is a tar archive: unpack it first".to_string()
    } else if text.starts_with('{') {
        return (!READ_JSON.iter().any(|key| text.contains(key))).then(|| NO_WEIGHTS.to_string());
    } else if text.starts_with("name:") || text.starts_with("layer {") || text.starts_with("layers {") {
        "is a Caffe network definition (prototxt): the weights are in the .caffemodel beside it".to_string()
    } else if text.starts_with("model_checkpoint_path:") {
        "is the list of a folder's TensorFlow checkpoints: open one of them, e.g. model.ckpt-1000.index".to_string()
    } else if let (Some(prefix), true) = (source.file_name().strip_suffix(".meta"), starts(b"\x0a")) {
        format!("describes the graph of a TensorFlow checkpoint, without its values: open {prefix}.index")
    } else if let Some((prefix, _)) = source.file_name().rsplit_once(".data-").filter(|(_, shard)| is_shard(shard)) {
        format!("holds the values of a TensorFlow checkpoint without their names: open {prefix}.index")
    } else {
        return None;
    };
    Some(what)
}

/// Words for a pickle, with what it would have called.
fn pickle(source: &Source) -> String {
    let what = "looks like a Python pickle that is no PyTorch file, and pickles can run any code";
    match Pickle::read(source, 0, "pickle", &mut Budget::of(source)) {
        Err(Error::Format { message, .. }) => format!("{what}: this one {message}"),
        _ => format!("{what}: convert it to safetensors"),
    }
}

/// Words for a zip, by the names of its members.
fn zip(head: &[u8], source: &Source) -> String {
    let names = zip::names(head, source);
    let any = |ending: &str| names.iter().any(|name| name.ends_with(ending));
    if any("metadata.json") || any("config.json") || any(".weights.h5") {
        "looks like a Keras 3 archive (.keras), but has no model.weights.h5 (is the download complete?)".to_string()
    } else if matches!(head, [_, _, _, _, 0..=63, 0, flags, ..] if flags & 1 == 1) {
        "is an encrypted zip archive: unpack it with its password first".to_string()
    } else {
        match names.first() {
            Some(name) if !name.is_empty() => {
                format!("is a zip archive that starts with {name:?}: unpack it first if the weights are inside")
            }
            _ => "looks like a broken zip archive".to_string(),
        }
    }
}

/// `00000-of-00001`
fn is_shard(text: &str) -> bool {
    text.split_once("-of-").is_some_and(|(number, count)| [number, count].iter().all(|n| n.parse::<u32>().is_ok()))
}
