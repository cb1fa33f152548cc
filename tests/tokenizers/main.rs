//! Tokenizers against the `tokenizers` package, live: `judge.py` trains vocabularies as BERT, RoBERTa, GPT-2, XLM-R and
//! ALBERT have them and writes what it makes of 100,000 lines of many scripts; ours must give the same ids, offsets and
//! words, the same parts of pairs that are cut and filled, and the same decoded text, and what it saves must do so there.
//!
//!     export JUDGES_PYTHON=$(scripts/judges | tail -n 1)
//!     cargo test --release --features judges --test tokenizers -- --nocapture
//!
//! `JUDGED_TOKENIZERS=FOLDER` uses what `judge.py make FOLDER` made before.
#![cfg(feature = "judges")]

use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use ukulele::data::{EncodeOptions, Encoding, Padding, Side, Tokenizer, Truncation};

/// What stands for no word, and for an input that the original refuses.
const NONE: u32 = u32::MAX;

fn judge(mode: &str, folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var("JUDGES_PYTHON").map(PathBuf::from);
    let python = python.unwrap_or_else(|_| root.join(".cache/judges/bin/python"));
    let status = Command::new(&python).arg(root.join("tests/tokenizers/judge.py")).arg(mode).arg(folder).status();
    let status = status.unwrap_or_else(|e| panic!("{}: {e}; run scripts/judges", python.display()));
    assert!(status.success(), "judge.py {mode} failed");
}

/// Reads little-endian numbers and texts.
struct Bytes {
    all: Vec<u8>,
    at: usize,
}

impl Bytes {
    fn open(path: &Path) -> Self {
        Self { all: std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())), at: 0 }
    }

    fn number(&mut self) -> u32 {
        self.at += 4;
        u32::from_le_bytes(self.all[self.at - 4..self.at].try_into().unwrap())
    }

    fn numbers(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.number()).collect()
    }

    fn texts(mut self) -> Vec<String> {
        let mut out = vec![];
        while self.at < self.all.len() {
            let length = self.number() as usize;
            self.at += length;
            out.push(String::from_utf8(self.all[self.at - length..self.at].to_vec()).unwrap());
        }
        out
    }

    fn end(&self) {
        assert_eq!(self.at, self.all.len(), "more was written than read");
    }
}

/// An encoding as the judge writes it: id, offsets, word; of pairs also type, special and mask.
fn rows(encoding: &Encoding, pair: bool) -> Vec<u32> {
    let mut out = vec![];
    for i in 0..encoding.len() {
        let (from, to) = encoding.offsets[i];
        out.extend([encoding.ids[i], from as u32, to as u32, encoding.words[i].unwrap_or(NONE)]);
        if pair {
            out.extend([encoding.types[i], u32::from(encoding.special[i]), u32::from(encoding.mask[i])]);
        }
    }
    out
}

fn lines_agree(folder: &Path, name: &str, tokenizer: &Tokenizer, lines: &[&str]) -> usize {
    let inputs: Vec<(&str, Option<&str>)> = lines.iter().map(|&line| (line, None)).collect();
    let start = Instant::now();
    let encodings = tokenizer.encode_batch(&inputs, &EncodeOptions::default()).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let mut theirs = Bytes::open(&folder.join(format!("{name}.rows")));
    let mut wrong = vec![];
    for (line, parts) in lines.iter().zip(&encodings) {
        let count = theirs.number() as usize;
        let expected = theirs.numbers(count * 4);
        let ours = rows(&parts[0], false);
        if ours != expected {
            let at = ours.chunks(4).zip(expected.chunks(4)).position(|(a, b)| a != b).unwrap_or(ours.len().min(count));
            let show = |rows: &[u32]| {
                let near = rows.chunks(4).skip(at.saturating_sub(1)).take(4);
                near.map(|r| format!("{:?} {:?}", tokenizer.token(r[0]).unwrap_or("?"), r))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            wrong.push(format!("{line:?}\n  ours   {}\n  theirs {}", show(&ours), show(&expected)));
        }
    }
    theirs.end();
    println!("{name}: {} lines, {:.0} a second", lines.len(), lines.len() as f64 / seconds);
    let few: Vec<&str> = wrong.iter().take(5).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{name}: {} of {} lines differ:\n{}", wrong.len(), lines.len(), few.join("\n"));
    let decoded = Bytes::open(&folder.join(format!("{name}.decoded"))).texts();
    assert!(decoded.len() >= 3000);
    for (i, (expected, parts)) in decoded.iter().zip(&encodings).enumerate() {
        assert_eq!(&tokenizer.decode(&parts[0].ids, i % 2 == 0), expected, "{name}: {:?} decoded", lines[i]);
    }
    lines.len()
}

fn side(json: &Json) -> Side {
    if json == "left" { Side::Left } else { Side::Right }
}

/// Groups of inputs, each cut and filled in its way.
fn pairs_agree(folder: &Path, name: &str, tokenizer: &Tokenizer, groups: &Json, texts: &[String]) -> usize {
    let mut theirs = Bytes::open(&folder.join(format!("{name}.pairs")));
    let mut count = 0;
    for group in groups.as_array().unwrap() {
        let number = |json: &Json| json.as_u64().map(|n| n as usize);
        let text = |json: &Json| number(json).map(|n| texts[n].as_str());
        let options = EncodeOptions {
            max_length: number(&group["length"]),
            truncation: match group["strategy"].as_str().unwrap() {
                "only_first" => Truncation::OnlyFirst,
                "only_second" => Truncation::OnlySecond,
                _ => Truncation::LongestFirst,
            },
            side: side(&group["side"]),
            stride: number(&group["stride"]).unwrap(),
        };
        let inputs = group["texts"].as_array().unwrap();
        let encode = |input: &Json| tokenizer.encode_with(text(&input[0]).unwrap(), text(&input[1]), &options);
        let mut ours: Vec<Vec<Encoding>> = inputs.iter().map(|input| encode(input).unwrap_or_default()).collect();
        let pad = &group["pad"];
        if pad.is_object() {
            let multiple_of = number(&pad["multiple"]).unwrap();
            Padding { length: number(&pad["length"]), multiple_of, side: side(&pad["side"]), id: 1, kind: 3 }
                .apply(&mut ours);
        }
        for (parts, input) in ours.iter().zip(inputs) {
            let expected = theirs.number();
            let expected = if expected == NONE { 0 } else { expected };
            assert_eq!(parts.len(), expected as usize, "{name}: parts of {input} by {options:?}");
            for part in parts {
                let length = theirs.number() as usize;
                assert_eq!(rows(part, true), theirs.numbers(length * 7), "{name}: {input} by {options:?}, {pad}");
            }
            count += 1;
        }
    }
    theirs.end();
    count
}

#[test]
fn equal_to_the_original() {
    let made = std::env::var_os("JUDGED_TOKENIZERS").map(PathBuf::from);
    let folder = made.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tokenizers"));
    if made.is_none() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        judge("make", &folder);
    }
    let lines = Bytes::open(&folder.join("lines")).texts();
    let few = Bytes::open(&folder.join("few")).texts();
    let index: Json = serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    let (mut count, mut pairs) = (0, 0);
    for entry in index.as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let path = folder.join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap();
        let tokenizer =
            Tokenizer::from_tokenizer_json(&text, &path.display().to_string()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(tokenizer.vocab_size() as u64, entry["size"].as_u64().unwrap(), "{name}");
        let step = entry["step"].as_u64().unwrap() as usize;
        let part: Vec<&str> = lines.iter().step_by(step).map(String::as_str).collect();
        count += lines_agree(&folder, name, &tokenizer, &part);
        pairs += pairs_agree(&folder, name, &tokenizer, &entry["groups"], &few);
        let saved = folder.join(format!("{name}.saved"));
        std::fs::create_dir_all(&saved).unwrap();
        tokenizer.save(&saved).unwrap();
        let again = Tokenizer::from_files(&saved).unwrap();
        assert_eq!(again.encode(&few[7]), tokenizer.encode(&few[7]), "{name}");
    }
    judge("check", &folder);
    println!("{count} encodings of {} lines and {pairs} pairs are equal", lines.len());
    assert!(lines.len() >= 100_000 && pairs >= 5_000);
    if made.is_none() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
