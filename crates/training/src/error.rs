//! What can go wrong in training.

use std::fmt;
use std::path::{Path, PathBuf};

/// Result of a training operation.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate: what, where, and how to mend it.
#[derive(Debug)]
pub enum Error {
    /// An operation of the model failed.
    Tensor(ukulele_tensor::Error),
    /// Weights could not be read or written.
    Weights(weights_import::Error),
    /// The operating system refused.
    Io {
        /// What was tried, e.g. `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
    /// A gradient or statistic that no parameter can be moved by. Nothing was changed.
    Gradient {
        /// The parameter.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// The loss is no number any more.
    Diverged {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step, counted from 1 over all epochs.
        step: usize,
        /// The learning rate of that step.
        rate: f64,
        /// What was seen.
        message: String,
    },
    /// A piece of a checkpoint is missing or broken.
    Checkpoint {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and how to mend it.
        message: String,
    },
    /// A batch could not be made; the error of whoever makes them.
    Data(Box<dyn std::error::Error + Send + Sync>),
    /// What frozen layers say can neither be written to a [`crate::FeatureCache`] nor be held in memory. They can still run in
    /// each step.
    NoRoom(String),
    /// An argument that a function of this crate does not take.
    Argument(String),
}

impl Error {
    /// An error of whoever makes the batches.
    pub fn data(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Data(error.into())
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }

    pub(crate) fn checkpoint(path: &Path, message: impl Into<String>) -> Self {
        Self::Checkpoint { path: path.to_path_buf(), message: message.into() }
    }

    pub(crate) fn gradient(name: &str, message: impl Into<String>) -> Self {
        Self::Gradient { name: name.to_owned(), message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor(error) => error.fmt(f),
            Self::Weights(error) => error.fmt(f),
            Self::Io { action, path, source } => write!(f, "cannot {action} {}: {source}", path.display()),
            Self::Gradient { name, message } => write!(f, "gradient of {name}: {message}"),
            Self::Diverged { epoch, step, rate, message } => write!(
                f,
                "training diverged in step {step} (epoch {epoch}, learning rate {rate:.2e}): {message}; try a smaller \
                 learning rate, a longer warm-up, or clipping of gradients"
            ),
            Self::Checkpoint { path, message } => write!(f, "{}: {message}", path.display()),
            Self::Data(error) => error.fmt(f),
            Self::NoRoom(message) | Self::Argument(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Tensor(error) => Some(error),
            Self::Weights(error) => Some(error),
            Self::Io { source, .. } => Some(source),
            Self::Data(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<ukulele_tensor::Error> for Error {
    fn from(error: ukulele_tensor::Error) -> Self {
        Self::Tensor(error)
    }
}

impl From<weights_import::Error> for Error {
    fn from(error: weights_import::Error) -> Self {
        Self::Weights(error)
    }
}
