//! What a load did: nothing happens silently.

use crate::{Error, Result, near};
use std::fmt;

/// A tensor whose shape in the file is not the model's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misshapen {
    /// Name in the model.
    pub name: String,
    /// Shape in the model.
    pub expected: Vec<usize>,
    /// Shape in the file.
    pub found: Vec<usize>,
}

/// The report of a load. Names are the model's, but for `unexpected` and `ignored`, which are the file's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The file.
    pub file: String,
    /// The dialect that was read.
    pub dialect: &'static str,
    /// Took their values from the file.
    pub loaded: Vec<String>,
    /// Not in the file; kept their values.
    pub missing: Vec<String>,
    /// In the file, but with another shape; kept their values.
    pub misshapen: Vec<Misshapen>,
    /// In the file, but in no place of the model.
    pub unexpected: Vec<String>,
    /// Not in the file; set to the value that their absence stands for.
    pub filled: Vec<(String, f32)>,
    /// Take their values from a tensor that the file shares between two names: name and source.
    pub tied: Vec<(String, String)>,
    /// In the file, and needed by no model: name and why.
    pub ignored: Vec<(String, String)>,
}

impl Report {
    /// Passes if everything the model has came from the file, but for names that start with one of `prefixes`.
    ///
    /// Tensors of the file that the model does not use are allowed: a head that is replaced leaves its old one over.
    ///
    /// # Errors
    /// Names the missing and misshapen tensors, with near names of the file.
    pub fn only_missing(self, prefixes: &[&str]) -> Result<Self> {
        let outside = |name: &str| !prefixes.iter().any(|prefix| name.starts_with(prefix));
        let mut wrong: Vec<String> = Vec::new();
        for m in self.misshapen.iter().filter(|m| outside(&m.name)) {
            wrong.push(format!("{} has shape {:?} in the file, {:?} in the model", m.name, m.found, m.expected));
        }
        for name in self.missing.iter().filter(|name| outside(name)) {
            let near = near::names(name, self.unexpected.iter().map(String::as_str));
            let hint = if near.is_empty() { String::new() } else { format!(" (unused there: {})", near.join(", ")) };
            wrong.push(format!("{name} is not in the file{hint}"));
        }
        if wrong.is_empty() {
            return Ok(self);
        }
        let allowed = match prefixes {
            [] => String::new(),
            prefixes => format!(" besides {}", prefixes.join(", ")),
        };
        let count = wrong.len();
        let tensors = if count == 1 { "tensor" } else { "tensors" };
        let message = format!("{count} {tensors}{allowed} did not load: {}", shortened(wrong, 5, "; "));
        Err(Error::Incomplete { file: self.file, message })
    }

    /// Passes if the model and the file have exactly the same tensors.
    ///
    /// # Errors
    /// As [`Report::only_missing`], and names tensors of the file that the model does not use.
    pub fn strict(self) -> Result<Self> {
        let report = self.only_missing(&[])?;
        match report.unexpected.len() {
            0 => Ok(report),
            count => {
                let names = shortened(report.unexpected, 5, ", ");
                let message = format!("{count} tensors of the file have no place in the model: {names}");
                Err(Error::Incomplete { file: report.file, message })
            }
        }
    }
}

/// The first few of a list, and how many more there are.
fn shortened(list: Vec<String>, count: usize, separator: &str) -> String {
    let more = list.len().saturating_sub(count);
    let mut text = list[..list.len() - more].join(separator);
    if more > 0 {
        text += &format!("{separator}and {more} more");
    }
    text
}

/// Short and for people: one line, then one for each kind of thing that a reader should know.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: loaded {} tensors ({} naming)", self.file, self.loaded.len(), self.dialect)?;
        let line = |f: &mut fmt::Formatter<'_>, what: &str, names: Vec<String>| match names.len() {
            0 => Ok(()),
            count => write!(f, "\n  {what:<11}{count}: {}", shortened(names, 4, ", ")),
        };
        line(f, "missing", self.missing.clone())?;
        let shapes = |m: &Misshapen| format!("{} (file {:?}, model {:?})", m.name, m.found, m.expected);
        line(f, "misshapen", self.misshapen.iter().map(shapes).collect())?;
        line(f, "unexpected", self.unexpected.clone())?;
        line(f, "filled", self.filled.iter().map(|(name, value)| format!("{name} = {value}")).collect())?;
        line(f, "tied", self.tied.iter().map(|(name, source)| format!("{name} to {source}")).collect())?;
        line(f, "ignored", self.ignored.iter().map(|(name, why)| format!("{name} ({why})")).collect())
    }
}
