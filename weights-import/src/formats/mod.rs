//! The formats, one file each. To add one: implement [`Reader`] in a file of its own and list it in [`FORMATS`].

mod caffe;
mod foreign;
pub(crate) mod numpy;
mod pytorch;
mod safetensors;

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
    Format { name: "safetensors", probe: safetensors::probe, open: safetensors::open },
    Format { name: "PyTorch", probe: pytorch::probe_zip, open: pytorch::open_zip },
    Format { name: "PyTorch legacy", probe: pytorch::probe_legacy, open: pytorch::open_legacy },
    Format { name: "PyTorch tar", probe: pytorch::probe_tar, open: pytorch::open_tar },
    Format { name: "npy", probe: numpy::probe_npy, open: numpy::open_npy },
    Format { name: "npz", probe: numpy::probe_npz, open: numpy::open_npz },
    Format { name: "caffe", probe: caffe::probe, open: caffe::open },
];

/// Endings of files that [`crate::open`] takes for the weights of a folder.
pub(crate) const ENDINGS: &[&str] = &[".safetensors", ".pth", ".pt", ".bin", ".npz", ".npy", ".caffemodel"];

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
