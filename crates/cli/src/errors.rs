//! How a command ends when it does not end well.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

/// Result of a command.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// The end of a command that did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something is wrong with the data, the weights or the machine: exit code 1.
    Run(String),
    /// Something is wrong with the command line: exit code 2.
    Usage(String),
    /// Ctrl-C; the text says what was saved: exit code 130.
    Interrupted(String),
    /// Whoever reads our output stopped before its end (`uke pull --list | head`): then we are done as well, exit code 0.
    NobodyReads,
}

impl Failure {
    /// An error of exit code 1.
    pub(crate) fn run(message: impl Into<String>) -> Self {
        Self::Run(message.into())
    }

    /// An error of exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// The operating system refused something about a file.
    pub(crate) fn io(action: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::Run(format!("cannot {action} {}: {error}", path.display()))
    }

    /// The code the process exits with.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Run(_) => 1,
            Self::Usage(_) => 2,
            Self::Interrupted(_) => 130,
            Self::NobodyReads => 0,
        })
    }
}

impl fmt::Display for Failure {
    /// One line, or none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, text) = match self {
            Self::Run(text) | Self::Usage(text) => ("error: ", text),
            Self::Interrupted(text) => ("interrupted: ", text),
            Self::NobodyReads => return Ok(()),
        };
        let line: Vec<&str> = text.lines().map(str::trim).collect();
        write!(f, "{before}{}", printable(&line.join(" ")))
    }
}

/// Text with words of a file in it, without what could command a terminal. Line ends stay.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Run(error.to_string())
    }
}
