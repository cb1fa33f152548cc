//! The formats, one file each. To add one: implement [`Reader`] in a file of its own and list it in [`FORMATS`].

mod caffe;
mod foreign;
mod gguf;
mod javascript;
mod safetensors;
pub(crate) mod sharded;
mod tfjs;

use crate::{Error, Reader, Result, Source};

/// Bytes from the start of a file that a format is recognised by.
const HEAD: u64 = 4096;

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
    Format { name: "gguf", probe: gguf::probe, open: gguf::open },
    Format { name: "sharded safetensors", probe: sharded::probe, open: sharded::open },
    Format { name: "caffe", probe: caffe::probe, open: caffe::open },
];

/// Endings of files that [`crate::open`] takes for the weights of a folder.
pub(crate) const ENDINGS: &[&str] = &[".safetensors", ".caffemodel", ".gguf"];

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
