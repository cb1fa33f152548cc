//! Tables: CSV and TSV files.

use crate::error::{Error, Result, read, utf8};
use crate::labels::listed;
use csv::{ErrorKind, ReaderBuilder, StringRecord};
use std::path::Path;

/// How a table is written. [`TableFormat::default`] finds out by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableFormat {
    /// The byte between fields; `None`: a tab for `.tsv` and `.tab`, else the most frequent of `,` `;` tab `|` in the
    /// first line.
    pub delimiter: Option<u8>,
    /// Whether the first line names the columns. Without, columns are called by number, from `0`.
    pub header: bool,
    /// Whether `"` encloses fields; `None`: yes, but in tab-separated files only if every field that begins with a quote
    /// ends with one too (texts that just begin with a quote are common there).
    pub quotes: Option<bool>,
}

impl Default for TableFormat {
    fn default() -> Self {
        Self { delimiter: None, header: true, quotes: None }
    }
}

/// A table of texts: rows of equal length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    source: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    lines: Vec<u64>,
}

impl Table {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, is not UTF-8, is empty, or has rows of unequal length. The message names file and line.
    pub fn open(path: impl AsRef<Path>, format: TableFormat) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(read(path)?, &path.display().to_string(), format)
    }

    /// Reads bytes; `source` is what errors call them, and its extension says which delimiter to expect.
    ///
    /// # Errors
    /// As [`Table::open`].
    pub fn parse(bytes: Vec<u8>, source: &str, format: TableFormat) -> Result<Self> {
        let text = utf8(bytes, source)?;
        if text.trim().is_empty() {
            return Err(Error::content(source, "is empty"));
        }
        let delimiter = format.delimiter.unwrap_or_else(|| guess_delimiter(&text, source));
        if !delimiter.is_ascii() || matches!(delimiter, b'"' | b'\n' | b'\r') {
            return Err(Error::argument("table", format!("byte {delimiter} cannot be a delimiter")));
        }
        let quotes = format.quotes.unwrap_or_else(|| delimiter != b'\t' || quotes_match(&text));
        let mut reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .quoting(quotes)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut table = Self { source: source.to_owned(), columns: vec![], rows: vec![], lines: vec![] };
        let mut record = StringRecord::new();
        let bytes = text.as_bytes();
        let (mut line, mut start) = (1, 0);
        while reader.read_record(&mut record).map_err(|e| broken(source, &e))? {
            // The reader's position may lie before line ends that it skips on the way to the record.
            let mut next = record.position().map_or(start, |p| p.byte() as usize).clamp(start, bytes.len());
            next += bytes[next..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            line += bytes[start..next].iter().filter(|&&b| b == b'\n').count() as u64;
            start = next;
            let fields: Vec<String> = record.iter().map(str::to_owned).collect();
            if table.columns.is_empty() {
                table.columns = match format.header {
                    true => fields.iter().map(|name| name.trim().to_owned()).collect(),
                    false => (0..fields.len()).map(|i| i.to_string()).collect(),
                };
                if format.header {
                    continue;
                }
            }
            if fields.len() != table.columns.len() {
                return Err(table.ragged(line, fields.len(), delimiter));
            }
            table.rows.push(fields);
            table.lines.push(line);
        }
        let rest = text.get(start..).unwrap_or("");
        if quotes && rest.trim_end().contains('\n') && rest.matches('"').count() % 2 == 1 {
            return Err(Error::at_line(source, line, "a quote is opened here and never closed"));
        }
        if table.rows.is_empty() {
            return Err(Error::content(source, "has a header and no rows"));
        }
        Ok(table)
    }

    fn ragged(&self, line: u64, fields: usize, delimiter: u8) -> Error {
        let message = format!(
            "{fields} fields, the table has {} columns ({}); fields that hold the delimiter {:?} need quotes",
            self.columns.len(),
            listed(&self.columns),
            char::from(delimiter)
        );
        Error::at_line(&self.source, line, message)
    }

    /// What errors call the table: its file.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The rows, without the header.
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// The line of the file where a row begins, from 1; 0 for a row that does not exist.
    pub fn line(&self, row: usize) -> u64 {
        self.lines.get(row).copied().unwrap_or(0)
    }

    /// The place of a column, by its name, or by its number if no column has that name.
    ///
    /// # Errors
    /// There is no such column, or two of that name; the message lists the columns there are.
    pub fn column(&self, name: &str) -> Result<usize> {
        let mut places = self.columns.iter().enumerate().filter(|(_, column)| *column == name).map(|(i, _)| i);
        let by_number = || name.parse().ok().filter(|&i| i < self.columns.len());
        match (places.next(), places.next()) {
            (Some(_), Some(_)) => Err(Error::content(&self.source, format!("has two columns `{name}`; rename one"))),
            (Some(place), None) => Ok(place),
            (None, _) => by_number().ok_or_else(|| {
                let message = format!("has no column `{name}`; it has {}", listed(&self.columns));
                Error::content(&self.source, message)
            }),
        }
    }

    /// All values of a column.
    ///
    /// # Errors
    /// As [`Table::column`].
    pub fn values(&self, name: &str) -> Result<Vec<&str>> {
        let column = self.column(name)?;
        Ok(self.rows.iter().map(|row| row[column].as_str()).collect())
    }
}

fn broken(source: &str, error: &csv::Error) -> Error {
    let line = match error.kind() {
        ErrorKind::Utf8 { pos, .. } | ErrorKind::UnequalLengths { pos, .. } => pos.as_ref().map(csv::Position::line),
        _ => None,
    };
    Error::Content { source: source.to_owned(), line, message: error.to_string() }
}

/// The delimiter by the name of the file, or by the first line.
fn guess_delimiter(text: &str, source: &str) -> u8 {
    let lower = source.to_ascii_lowercase();
    if lower.ends_with(".tsv") || lower.ends_with(".tab") {
        return b'\t';
    }
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    let mut quoted = false;
    let mut counts = [0usize; 4];
    let candidates = [b',', b';', b'\t', b'|'];
    for b in first.bytes() {
        quoted ^= b == b'"';
        if let Some(i) = candidates.iter().position(|&c| c == b && !quoted) {
            counts[i] += 1;
        }
    }
    let best = (0..4).rev().max_by_key(|&i| counts[i]).filter(|&i| counts[i] > 0);
    best.map_or(b',', |i| candidates[i])
}

/// Whether every tab-separated field that begins with a quote also ends with one.
fn quotes_match(text: &str) -> bool {
    text.lines().flat_map(|line| line.split('\t')).all(|field| {
        !field.starts_with('"') || (field.len() > 1 && field.ends_with('"') && field.matches('"').count() % 2 == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Table> {
        Table::parse(text.as_bytes().to_vec(), "t.csv", TableFormat::default())
    }

    fn message(text: &[u8]) -> String {
        Table::parse(text.to_vec(), "t.csv", TableFormat::default()).unwrap_err().to_string()
    }

    #[test]
    fn quotes_and_line_ends() {
        let table = parse("\u{feff}text, label\r\n\"a, \"\"b\"\"\nc\",1\r\nd,2\r\n").unwrap();
        assert_eq!(table.columns(), ["text", "label"]);
        assert_eq!(table.rows(), [["a, \"b\"\nc", "1"], ["d", "2"]]);
        assert_eq!((table.line(0), table.line(1), table.line(9)), (2, 4, 0));
        assert_eq!(table.values("label"), Ok(vec!["1", "2"]));
        assert_eq!(table.values("0").unwrap()[1], "d");
    }

    #[test]
    fn delimiters() {
        for text in ["a;b\n1,5;2", "a\tb\n1,5\t2", "a|b\n1,5|2"] {
            assert_eq!(parse(text).unwrap().rows(), [["1,5", "2"]], "{text}");
        }
        assert_eq!(parse("\"x;y;z\",b\n1,2").unwrap().columns(), ["x;y;z", "b"]);
        assert_eq!(parse("a\n1").unwrap().rows(), [["1"]]);
        let tsv = |text: &str| Table::parse(text.as_bytes().to_vec(), "t.TSV", TableFormat::default()).unwrap();
        assert_eq!(tsv("a\tb\n\"so\" he said\t1\nx\t2").rows()[0], ["\"so\" he said", "1"]);
        assert_eq!(tsv("a\tb\n\"x \"\"y\"\"\"\t1").rows()[0], ["x \"y\"", "1"]);
        let bare = TableFormat { header: false, ..TableFormat::default() };
        let table = Table::parse(b"x,y".to_vec(), "t", bare).unwrap();
        assert_eq!((table.columns(), table.values("1").unwrap()), (&["0".to_owned(), "1".to_owned()][..], vec!["y"]));
    }

    #[test]
    fn bad_tables() {
        assert!(message(b"").contains("t.csv: is empty"));
        assert!(message(b" \n\n").contains("is empty"));
        assert!(message(b"a,b\n").contains("no rows"));
        let ragged = message(b"a,b\n1,2\n\n3,4,5\n");
        assert!(ragged.contains("line 4") && ragged.contains("3 fields") && ragged.contains("`a`, `b`"), "{ragged}");
        let bytes = message(b"a,b\n1,\xFF\n");
        assert!(bytes.contains("line 2") && bytes.contains("byte 6 (0xFF)"), "{bytes}");
        assert!(message(b"\xFF\xFEa\0").contains("UTF-16"));
        assert!(message(b"a,b\n1,2\n3,\"never\n4,5\n").contains("line 3"));
        let missing = parse("a,b\n1,2").unwrap().column("text").unwrap_err().to_string();
        assert!(missing.contains("no column `text`") && missing.contains("`a`, `b`"), "{missing}");
        assert!(parse("a,a\n1,2").unwrap().column("a").unwrap_err().to_string().contains("two columns"));
        assert!(Table::open("/no/such.csv", TableFormat::default()).unwrap_err().to_string().contains("/no/such.csv"));
        assert!(Table::open("/", TableFormat::default()).unwrap_err().to_string().contains("folder"));
        let quote = TableFormat { delimiter: Some(b'"'), ..TableFormat::default() };
        assert!(Table::parse(b"a".to_vec(), "t", quote).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), header: bool, quotes: Option<bool>) {
            let _ = Table::parse(bytes, "t", TableFormat { delimiter: None, header, quotes });
        }

        #[test]
        fn never_panics_on_text(text in "[a,;\"\t\r\n|é]{0,80}", tsv: bool) {
            let _ = Table::parse(text.into_bytes(), if tsv { "t.tsv" } else { "t" }, TableFormat::default());
        }

        #[test]
        fn reads_what_csv_writes(rows in prop::collection::vec(prop::collection::vec("[a-c \",\n]{0,6}", 2), 1..8)) {
            let mut writer = csv::Writer::from_writer(vec![]);
            writer.write_record(["x", "y"]).unwrap();
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let table = Table::parse(writer.into_inner().unwrap(), "t.csv", TableFormat::default()).unwrap();
            prop_assert_eq!(table.rows(), rows);
        }
    }
}
