//! What can go wrong with data: what, in which file and line, and how to mend it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Result of reading or preparing data.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of reading or preparing data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The operating system refused: no such file, no permission, and so on.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
    /// Content that is not what it should be.
    Content {
        /// The file, or another name of the source (`<bytes>`).
        source: String,
        /// Line in the file, counted from 1, where there are lines.
        line: Option<u64>,
        /// What is wrong, and how to mend it.
        message: String,
    },
    /// An argument that does not fit: sizes, names, options.
    Argument {
        /// What was asked for, e.g. `split`.
        what: &'static str,
        /// What is wrong, and how to mend it.
        message: String,
    },
    /// A tensor could not be made.
    Tensor(ukulele_tensor::Error),
}

impl Error {
    /// An error of the operating system about `path`.
    pub fn io(path: impl AsRef<Path>, error: &std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_path_buf(), message: error.to_string() }
    }

    /// Wrong content of a source without lines.
    pub fn content(source: impl fmt::Display, message: impl Into<String>) -> Self {
        Self::Content { source: source.to_string(), line: None, message: message.into() }
    }

    /// Wrong content at a line.
    pub fn at_line(source: impl fmt::Display, line: u64, message: impl Into<String>) -> Self {
        Self::Content { source: source.to_string(), line: Some(line), message: message.into() }
    }

    /// An argument that does not fit.
    pub fn argument(what: &'static str, message: impl Into<String>) -> Self {
        Self::Argument { what, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, message } => write!(f, "{}: {message}", path.display()),
            Self::Content { source, line: None, message } => write!(f, "{source}: {message}"),
            Self::Content { source, line: Some(line), message } => write!(f, "{source}, line {line}: {message}"),
            Self::Argument { what, message } => write!(f, "{what}: {message}"),
            Self::Tensor(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Tensor(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ukulele_tensor::Error> for Error {
    fn from(error: ukulele_tensor::Error) -> Self {
        Self::Tensor(error)
    }
}

/// Reads a whole file; the error names it.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    if path.is_dir() {
        return Err(Error::content(path.display(), "is a folder, a file is wanted"));
    }
    std::fs::read(path).map_err(|e| Error::io(path, &e))
}

/// Reads a whole UTF-8 file; the error names file, line and byte.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    utf8(read(path)?, &path.display().to_string())
}

/// Bytes as UTF-8 text without its byte order mark; the error names source, line and byte.
pub(crate) fn utf8(bytes: Vec<u8>, source: &str) -> Result<String> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(Error::content(source, "is UTF-16; save it as UTF-8"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.as_bytes();
            let line = bytes[..at].iter().filter(|&&b| b == b'\n').count() as u64 + 1;
            let message = format!("byte {at} (0x{:02X}) is not UTF-8; save the file as UTF-8", bytes[at]);
            Err(Error::at_line(source, line, message))
        }
    }
}
