//! What can go wrong with a weights file.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Result of an import or a save.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate: what, where, and how to mend it.
#[derive(Debug)]
pub enum Error {
    /// The operating system refused.
    Io {
        /// What was tried, e.g. `open`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
    /// The bytes are no weights file that is read here.
    Format {
        /// The file.
        file: String,
        /// What it looks like, and what to do.
        message: String,
    },
    /// The file says it has a format, and then breaks its rules.
    Corrupt {
        /// The file.
        file: String,
        /// The format, e.g. `safetensors`.
        format: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The file has no tensor of this name.
    NoTensor {
        /// The file.
        file: String,
        /// The name asked for.
        name: String,
        /// Names in the file that are spelled nearly so.
        near: Vec<String>,
    },
    /// Values that cannot become the type asked for.
    Values {
        /// The tensor.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The naming of the tensors is known to no dialect.
    Dialect {
        /// The file.
        file: String,
        /// What was seen, and what would be known.
        message: String,
    },
    /// The weights belong to another architecture.
    Architecture {
        /// The file.
        file: String,
        /// What the weights look like.
        found: String,
        /// What the model is.
        expected: String,
    },
    /// A load did not bring what the caller asks of it.
    Incomplete {
        /// The file.
        file: String,
        /// What is missing, misshapen or left over.
        message: String,
    },
    /// An argument that a function of this crate does not take.
    Argument(String),
    /// A tensor operation failed.
    Tensor(ukulele_tensor::Error),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }

    pub(crate) fn corrupt(file: &str, format: &'static str, message: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_string(), format, message: message.into() }
    }

    pub(crate) fn format(file: &str, message: impl Into<String>) -> Self {
        Self::Format { file: file.to_string(), message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())?;
                match source.kind() {
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                        write!(f, " (nothing was changed: free some space and try again)")
                    }
                    ErrorKind::FileTooLarge => write!(f, " (nothing was changed: allow larger files and try again)"),
                    _ => Ok(()),
                }
            }
            Self::Format { file, message } => write!(f, "{file}: {message}"),
            Self::Corrupt { file, format, message } => {
                write!(f, "{file}: broken {format} file: {message}")
            }
            Self::NoTensor { file, name, near } => {
                write!(f, "{file}: no tensor named {name}")?;
                if !near.is_empty() {
                    write!(f, " (there is {})", near.join(", "))?;
                }
                Ok(())
            }
            Self::Values { name, message } => write!(f, "tensor {name}: {message}"),
            Self::Dialect { file, message } => write!(f, "{file}: {message}"),
            Self::Architecture { file, found, expected } => {
                write!(f, "{file}: these weights look like {found}, but the model is {expected}")
            }
            Self::Incomplete { file, message } => write!(f, "{file}: {message}"),
            Self::Argument(message) => f.write_str(message),
            Self::Tensor(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
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
