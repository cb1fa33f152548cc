//! Reading the measures of a network out of the configuration that was saved with it.

use serde_json::Value as Json;
use ukulele_layers::{Error, Result};

/// The entries of a configuration, each within its range.
pub(crate) struct Reader<'a>(pub(crate) &'a Json);

impl Reader<'_> {
    /// The error of an entry where `what` belongs.
    pub(crate) fn wrong(&self, key: &str, what: &str) -> Error {
        Error::argument("config.json", format!("`{key}` is {}; {what} belongs there", self.0[key]))
    }

    fn whole(value: &Json) -> Option<usize> {
        value.as_u64().filter(|n| (1..=1 << 16).contains(n)).and_then(|n| usize::try_from(n).ok())
    }

    /// A list of at most 64 whole numbers.
    pub(crate) fn sizes(list: &Json) -> Option<Vec<usize>> {
        list.as_array().filter(|list| list.len() <= 64)?.iter().map(Self::whole).collect()
    }

    /// The same, with zeros.
    pub(crate) fn from_zero(list: &Json) -> Option<Vec<usize>> {
        let list = list.as_array().filter(|list| list.len() <= 64)?;
        list.iter().map(|value| if value.as_u64() == Some(0) { Some(0) } else { Self::whole(value) }).collect()
    }

    pub(crate) fn size(&self, key: &str) -> Result<usize> {
        Self::whole(&self.0[key]).ok_or_else(|| self.wrong(key, "a whole number from 1 to 65,536"))
    }

    pub(crate) fn flag(&self, key: &str) -> Result<bool> {
        self.0[key].as_bool().ok_or_else(|| self.wrong(key, "true or false"))
    }

    /// A number of [0, 1).
    pub(crate) fn fraction(&self, key: &str) -> Result<f64> {
        let number = self.0[key].as_f64().filter(|x| (0.0..1.0).contains(x));
        number.ok_or_else(|| self.wrong(key, "a number from 0 to below 1"))
    }

    /// A number that is finite and not negative.
    pub(crate) fn factor(&self, key: &str) -> Result<f64> {
        let number = self.0[key].as_f64().filter(|x| (0.0..=1e6).contains(x));
        number.ok_or_else(|| self.wrong(key, "a number of at least 0"))
    }
}
