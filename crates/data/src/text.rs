//! Labelled texts.

use crate::error::{Error, Result};
use crate::labels::Labels;
use crate::table::Table;

/// Texts, each with its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextDataset {
    /// The texts.
    pub texts: Vec<String>,
    /// The class of each text.
    pub labels: Vec<usize>,
    /// Names of the classes.
    pub names: Labels,
}

impl TextDataset {
    /// From two columns of a table; the classes are the values of the label column.
    ///
    /// # Errors
    /// A column is missing, a label is empty, or there are not two classes at least.
    pub fn from_table(table: &Table, text: &str, label: &str) -> Result<Self> {
        let names = Labels::from_values(table.values(label)?.into_iter().map(str::trim).filter(|v| !v.is_empty()));
        let names = names.map_err(|e| Error::content(table.source(), format!("column `{label}`: {e}")))?;
        Self::with_labels(table, text, label, &names)
    }

    /// As [`TextDataset::from_table`], with the classes of the training data: for validation and evaluation.
    ///
    /// # Errors
    /// A column is missing, or a label is none of the classes; the message names its line.
    pub fn with_labels(table: &Table, text: &str, label: &str, names: &Labels) -> Result<Self> {
        let texts = table.values(text)?.into_iter().map(str::to_owned).collect();
        let labels = numbers(table, label, names)?;
        Ok(Self { texts, labels, names: names.clone() })
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are no texts.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// These samples, in this order.
    ///
    /// # Errors
    /// A number that is no sample.
    pub fn subset(&self, samples: &[usize]) -> Result<Self> {
        check(samples, self.len())?;
        Ok(Self {
            texts: samples.iter().map(|&i| self.texts[i].clone()).collect(),
            labels: samples.iter().map(|&i| self.labels[i]).collect(),
            names: self.names.clone(),
        })
    }
}

/// The classes in a column, by number; errors name the line.
pub(crate) fn numbers(table: &Table, label: &str, names: &Labels) -> Result<Vec<usize>> {
    let number = |(row, value): (usize, &str)| {
        let value = value.trim();
        let at = |message| Error::at_line(table.source(), table.line(row), message);
        if value.is_empty() {
            return Err(at(format!("column `{label}` is empty; give the row a label or remove it")));
        }
        names.number(value).map_err(|_| at(format!("column `{label}`: {}", names.unknown(value))))
    };
    table.values(label)?.into_iter().enumerate().map(number).collect()
}

/// Whether all of these are samples.
pub(crate) fn check(samples: &[usize], count: usize) -> Result<()> {
    match samples.iter().find(|&&i| i >= count) {
        Some(i) => Err(Error::argument("subset", format!("sample {i} does not exist, there are {count}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::TableFormat;

    fn table(text: &str) -> Table {
        Table::parse(text.as_bytes().to_vec(), "t.csv", TableFormat::default()).unwrap()
    }

    #[test]
    fn texts_and_classes() {
        let data = TextDataset::from_table(&table("text,label\nso,b\nno,a \nja,b"), "text", "label").unwrap();
        assert_eq!(
            (data.labels.as_slice(), data.names.names()),
            (&[1, 0, 1][..], &["a".to_owned(), "b".to_owned()][..])
        );
        let part = data.subset(&[2, 0]).unwrap();
        assert_eq!((part.texts, part.labels), (vec!["ja".to_owned(), "so".to_owned()], vec![1, 1]));
        assert!(data.subset(&[3]).is_err());
    }

    #[test]
    fn bad_labels() {
        let message = |text: &str| TextDataset::from_table(&table(text), "text", "label").unwrap_err().to_string();
        assert!(message("text,label\nso,b\nno,b").contains("one class only, `b`"));
        let empty = message("text,label\nso,b\nno,a\nja,");
        assert!(empty.contains("t.csv, line 4") && empty.contains("is empty"), "{empty}");
        assert!(message("text,class\nso,b\nno,a").contains("no column `label`; it has `text`, `class`"));
        let names = Labels::from_values(["a", "b"]).unwrap();
        let unseen = TextDataset::with_labels(&table("text,label\nso,b\nno,c"), "text", "label", &names);
        let unseen = unseen.unwrap_err().to_string();
        assert!(unseen.contains("line 3") && unseen.contains("`c`") && unseen.contains("`a`, `b`"), "{unseen}");
    }
}
