//! The standard output. Nothing else may write to it: `println!` panics where it cannot.

use crate::errors::{Failure, Result};
use std::fmt;
use std::io::{ErrorKind, Write};

/// Writes a line, as by [`say!`].
pub(crate) fn line(text: fmt::Arguments<'_>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::NobodyReads,
        _ => Failure::run(format!("cannot write to the standard output: {error}")),
    })
}

/// Writes a line to the standard output, formatted as by `println!`: a `Result`.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::output::line(format_args!($($text)*))
    };
}
pub(crate) use say;
