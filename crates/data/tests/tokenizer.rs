//! WordPiece against the `tokenizers` package: ids and places of 5,495 lines, both casings.

use flate2::read::GzDecoder;
use serde_json::Value;
use std::path::{Path, PathBuf};
use ukulele_data::{Casing, Encoding, Tokenizer};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn json_gz(name: &str) -> Value {
    let path = root().join("tests/data/tokenizer").join(name);
    serde_json::from_reader(GzDecoder::new(std::fs::File::open(path).unwrap())).unwrap()
}

/// `[id, gap, length, ...]` as ids and offsets.
fn expected(row: &Value) -> (Vec<u32>, Vec<(usize, usize)>) {
    let numbers: Vec<i64> = row.as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect();
    let mut end = 0;
    let tokens = numbers.chunks(3).map(|token| {
        let start = end + token[1];
        end = start + token[2];
        (token[0] as u32, (start as usize, end as usize))
    });
    tokens.unzip()
}

fn check(casing: Casing, name: &str) {
    let vocab = std::fs::read_to_string(root().join("assets/bert-tiny/vocab.txt")).unwrap();
    let tokenizer = Tokenizer::from_vocab(&vocab, casing).unwrap();
    let (lines, golden) = (json_gz("lines.json.gz"), json_gz("golden.json.gz"));
    let (lines, rows) = (lines.as_array().unwrap(), golden[name].as_array().unwrap());
    assert!(lines.len() >= 5000 && lines.len() == rows.len());
    let mut wrong = vec![];
    for (line, row) in lines.iter().zip(rows) {
        let line = line.as_str().unwrap();
        let Encoding { ids, offsets, .. } = tokenizer.tokenize(line);
        let theirs = expected(row);
        if (&ids, &offsets) != (&theirs.0, &theirs.1) {
            wrong.push(format!("{line:?}\n  ours   {ids:?} {offsets:?}\n  theirs {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} lines differ, e.g. {}", wrong.len(), lines.len(), wrong[0]);
}

#[test]
fn uncased_equals_tokenizers() {
    check(Casing::Uncased, "uncased");
}

#[test]
fn cased_equals_tokenizers() {
    check(Casing::Cased, "cased");
}
