//! What can go wrong with a fetch.

use std::fmt;
use std::path::{Path, PathBuf};

/// Result of a fetch.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate: what, where, and how to mend it.
#[derive(Debug)]
pub enum Error {
    /// No model of this name is in the table.
    Unknown {
        /// The name asked for.
        name: String,
        /// Names that are spelled nearly so.
        near: Vec<String>,
    },
    /// The network may not be used, and the file is not in the cache.
    Offline {
        /// Where the file would be.
        path: PathBuf,
        /// Where it comes from.
        url: String,
    },
    /// The server or the network failed; what came is kept, and the next fetch goes on from there.
    Network {
        /// What was asked for.
        url: String,
        /// What happened.
        message: String,
    },
    /// What came is not what the publisher states. It was thrown away.
    Wrong {
        /// Where it came from.
        url: String,
        /// What differs.
        message: String,
    },
    /// The caller asked to stop; what came is kept.
    Interrupted {
        /// Where the part is.
        partial: PathBuf,
        /// Its bytes.
        bytes: u64,
    },
    /// The operating system refused.
    Io {
        /// What was tried, e.g. `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
    /// A setting that cannot be used.
    Setting(String),
    /// An archive that was fetched cannot be unpacked.
    Archive(weights_import::Error),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn network(url: &str, message: impl Into<String>) -> Self {
        Self::Network { url: url.to_owned(), message: message.into() }
    }

    pub(crate) fn wrong(url: &str, message: impl Into<String>) -> Self {
        Self::Wrong { url: url.to_owned(), message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, near } => {
                write!(f, "no weights named {name} are known")?;
                if near.is_empty() { Ok(()) } else { write!(f, " (there is {})", near.join(", ")) }
            }
            Self::Offline { path, url } => write!(
                f,
                "{} is not in the cache, and the network is not to be used: fetch {url} elsewhere and give it with --from",
                path.display()
            ),
            Self::Network { url, message } => write!(f, "{url}: {message}; try again: what came is kept"),
            Self::Wrong { url, message } => write!(f, "{url}: {message}; nothing of it was kept"),
            Self::Interrupted { partial, bytes } => {
                write!(f, "stopped after {bytes} bytes, kept in {}: the next fetch goes on there", partial.display())
            }
            Self::Io { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())?;
                match source.kind() {
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                        write!(f, " (free some space and try again: what came is kept)")
                    }
                    _ => Ok(()),
                }
            }
            Self::Setting(message) => f.write_str(message),
            Self::Archive(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}
