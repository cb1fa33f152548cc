//! The classes of a data set: names in a fixed order, which numbers them.

use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Names of the classes; the number of a class is its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
    numbers: BTreeMap<String, usize>,
}

impl Labels {
    /// From names in the order of their numbers, e.g. those saved with a model.
    ///
    /// # Errors
    /// Fewer than two names, an empty one, or one twice.
    pub fn new(names: Vec<String>) -> Result<Self> {
        let mut numbers = BTreeMap::new();
        for (i, name) in names.iter().enumerate() {
            if name.trim().is_empty() {
                return Err(Error::argument("labels", format!("class {i} has no name")));
            }
            if numbers.insert(name.clone(), i).is_some() {
                return Err(Error::argument("labels", format!("class `{name}` stands there twice")));
            }
        }
        match &names[..] {
            [] => Err(Error::argument("labels", "there are no classes; at least two are needed")),
            [only] => Err(Error::argument(
                "labels",
                format!("there is one class only, `{only}`; at least two are needed to tell apart"),
            )),
            _ => Ok(Self { names, numbers }),
        }
    }

    /// The distinct values of a label column, sorted: by number if all of them are whole numbers, else as text.
    ///
    /// # Errors
    /// As [`Labels::new`].
    pub fn from_values<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let unique: BTreeSet<&str> = values.into_iter().collect();
        let mut names: Vec<&str> = unique.into_iter().collect();
        let numbers: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
        if let Some(numbers) = numbers {
            let mut pairs: Vec<(i64, &str)> = numbers.into_iter().zip(names).collect();
            pairs.sort_unstable();
            names = pairs.into_iter().map(|(_, name)| name).collect();
        }
        Self::new(names.into_iter().map(str::to_owned).collect())
    }

    /// Number of classes, at least 2.
    #[expect(clippy::len_without_is_empty, reason = "there are always at least two classes")]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Names in the order of their numbers.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of a class.
    pub fn name(&self, number: usize) -> Option<&str> {
        self.names.get(number).map(String::as_str)
    }

    /// The number of a class.
    ///
    /// # Errors
    /// No such class; the message names it and the classes there are.
    pub fn number(&self, name: &str) -> Result<usize> {
        self.numbers.get(name).copied().ok_or_else(|| Error::argument("labels", self.unknown(name)))
    }

    /// What to say of a name that is no class.
    pub(crate) fn unknown(&self, name: &str) -> String {
        format!("`{name}` is none of the {} classes: {}", self.len(), listed(&self.names))
    }
}

/// Names in back quotes, the first twenty.
pub(crate) fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(20).map(|n| format!("`{n}`")).collect();
    let more = if names.len() > 20 { format!(" and {} more", names.len() - 20) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_numbered() {
        let labels = Labels::from_values(["dog", "cat", "dog"]).unwrap();
        assert_eq!(labels.names(), ["cat", "dog"]);
        assert_eq!(labels.number("dog"), Ok(1));
        assert_eq!(labels.name(2), None);
        let numbers = Labels::from_values(["10", "9", "-1"]).unwrap();
        assert_eq!(numbers.names(), ["-1", "9", "10"]);
    }

    #[test]
    fn bad_labels() {
        let message = |r: Result<Labels>| r.unwrap_err().to_string();
        assert!(message(Labels::from_values(["a", "a"])).contains("one class only, `a`"));
        assert!(message(Labels::from_values([])).contains("no classes"));
        assert!(message(Labels::new(vec!["a".into(), "a".into()])).contains("twice"));
        assert!(message(Labels::new(vec!["a".into(), " ".into()])).contains("no name"));
        let unseen = Labels::from_values(["a", "b"]).unwrap().number("c").unwrap_err().to_string();
        assert!(unseen.contains("`c`") && unseen.contains("`a`, `b`"), "{unseen}");
    }
}
