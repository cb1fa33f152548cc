//! Broken tokenizer files: errors, never a panic, a hang or more memory than the file pays for.

use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;
use ukulele_data::{EncodeOptions, Padding, Side, Tokenizer, Truncation};

const TEXT: &str = "Ab \u{301}c don't  中 🙂 <m> \u{1100}\u{1161} x1";

/// Small tokenizers of each kind.
fn whole() -> Vec<Value> {
    let bytes: Vec<char> = (0x21..=0x7Eu32).chain(0xA1..=0xAC).chain(0xAE..=0x143).filter_map(char::from_u32).collect();
    let mut vocab: serde_json::Map<String, Value> =
        bytes.iter().enumerate().map(|(id, c)| (c.to_string(), json!(id))).collect();
    vocab.extend([("ab".to_owned(), json!(300)), ("Ġc".to_owned(), json!(301)), ("don".to_owned(), json!(302))]);
    vocab.extend([("do".to_owned(), json!(303)), ("<s>".to_owned(), json!(304)), ("</s>".to_owned(), json!(305))]);
    let added = json!([
        { "id": 310, "content": "<m>", "special": true, "lstrip": true, "rstrip": true, "normalized": false },
        { "id": 311, "content": "X1", "special": false, "single_word": true, "normalized": true },
    ]);
    // A charsmap of one replacement: "A" to "bc". Units: root, then "A" at 0 ^ 65, its value at 66 ^ 0.
    let mut units = [0u32; 256];
    units[65] = 65 | (65 ^ 66) << 10 | 1 << 8;
    units[66] = 1 << 31;
    let mut blob = 1024u32.to_le_bytes().to_vec();
    blob.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    blob.extend(b"bc\0");
    let meta = json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first" });
    vec![
        json!({
            "added_tokens": added, "normalizer": { "type": "Sequence", "normalizers": [{ "type": "NFC" }, { "type": "Lowercase" }] },
            "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": true },
            "post_processor": { "type": "RobertaProcessing", "cls": ["<s>", 304], "sep": ["</s>", 305] },
            "decoder": { "type": "ByteLevel" },
            "model": { "type": "BPE", "vocab": vocab, "merges": ["a b", ["Ġ", "c"], "d o", "do n"] },
        }),
        json!({
            "added_tokens": added,
            "normalizer": { "type": "Sequence", "normalizers": [
                { "type": "Precompiled", "precompiled_charsmap": base64(&blob) }, { "type": "NFKD" }, { "type": "StripAccents" },
                { "type": "Replace", "pattern": { "Regex": " {2,}" }, "content": " " }, { "type": "Strip", "strip_right": true },
            ] },
            "pre_tokenizer": { "type": "Sequence", "pretokenizers": [{ "type": "WhitespaceSplit" }, meta] },
            "post_processor": {
                "type": "TemplateProcessing", "single": [{ "SpecialToken": { "id": "s", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
                "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
                "special_tokens": { "s": { "id": "s", "ids": [1], "tokens": ["s"] } },
            },
            "decoder": { "type": "Sequence", "decoders": [meta, { "type": "ByteFallback" }, { "type": "Fuse" }] },
            "model": { "type": "Unigram", "unk_id": 0, "byte_fallback": false,
                "vocab": [["<unk>", 0.0], ["s", -1.5], ["▁", -2.0], ["▁b", -2.5], ["bc", -3.0], ["c", -4.0], ["do", -5.0]] },
        }),
        json!({
            "added_tokens": added, "normalizer": { "type": "BertNormalizer" }, "pre_tokenizer": { "type": "BertPreTokenizer" },
            "post_processor": { "type": "BertProcessing", "cls": ["[CLS]", 1], "sep": ["[SEP]", 2] },
            "decoder": { "type": "WordPiece" },
            "model": { "type": "WordPiece", "vocab": { "[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "ab": 3, "d": 4, "##on": 5, "c": 6 } },
        }),
    ]
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let bits = format!("{bits}{}", "0".repeat((6 - bits.len() % 6) % 6));
    let digit = |at: usize| char::from(DIGITS[usize::from_str_radix(&bits[at..at + 6], 2).unwrap()]);
    let text: String = (0..bits.len()).step_by(6).map(digit).collect();
    format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4))
}

/// Uses whatever was read: true if it was.
fn use_it(json: &str, text: &str) -> bool {
    let Ok(tokenizer) = Tokenizer::from_tokenizer_json(json, "t") else { return false };
    let characters = text.chars().count();
    let encoding = tokenizer.encode(text);
    assert!(encoding.offsets.iter().all(|&(from, to)| from <= characters && to <= characters), "{json} {text:?}");
    tokenizer.decode(&encoding.ids, false);
    for (max_length, side) in
        [(Some(4), Side::Left), (Some(7), Side::Right), (Some(0), Side::Right), (None, Side::Left)]
    {
        for truncation in [Truncation::LongestFirst, Truncation::OnlyFirst, Truncation::OnlySecond] {
            let options = EncodeOptions { max_length, truncation, side, stride: 1 };
            if let Ok(parts) = tokenizer.encode_with(text, Some("b c"), &options) {
                assert!(parts.iter().take(1).all(|part| max_length.is_none_or(|most| part.len() <= most)));
                let mut inputs = [parts];
                Padding { multiple_of: 8, ..Padding::longest(u32::MAX) }.apply(&mut inputs);
            }
        }
    }
    let again = tokenizer.to_json().to_string();
    Tokenizer::from_tokenizer_json(&again, "again").unwrap_or_else(|e| panic!("{e}: {json}"));
    true
}

#[test]
fn cut_and_flipped() {
    let (mut tried, mut read) = (0, 0);
    for json in whole() {
        let text = json.to_string();
        assert!(use_it(&text, TEXT));
        let mut seed = 1u64;
        let mut random = |n: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % n
        };
        for _ in 0..6000 {
            let mut bytes = text.clone().into_bytes();
            match random(4) {
                0 => bytes.truncate(random(bytes.len())),
                1 => {
                    let at = random(bytes.len());
                    bytes[at] = b" {}[]\",:0123456789-eE\\Atrnu"[random(27)];
                }
                2 => {
                    let (from, to) = (random(bytes.len()), random(bytes.len()));
                    let part = bytes[from.min(to)..(from.min(to) + 30).min(bytes.len())].to_vec();
                    bytes.splice(to..to, part);
                }
                _ => {
                    let at = random(bytes.len());
                    bytes.drain(at..(at + 1 + random(12)).min(bytes.len()));
                }
            }
            tried += 1;
            read += usize::from(use_it(&String::from_utf8_lossy(&bytes), TEXT));
        }
    }
    println!("{tried} tried, {read} could be read");
    assert!(tried == 18_000 && read > 1000);
}

#[test]
fn refused() {
    let error = |json: &Value| Tokenizer::from_tokenizer_json(&json.to_string(), "t.json").unwrap_err().to_string();
    let with = |which: usize, path: &str, value: Value| {
        let mut json = whole().swap_remove(which);
        *json.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
        error(&json)
    };
    assert!(with(0, "/model/vocab/ab", json!(u64::MAX)).contains("`ab`"));
    assert!(with(0, "/model/vocab/ab", json!(301)).contains("both have the id 301"));
    assert!(with(0, "/model/merges/0", json!("a q7")).contains("`q7`"));
    assert!(with(0, "/model/merges/0", json!(["a", "c"])).contains("`ac`"));
    assert!(with(0, "/model/merges/0", json!(7)).contains("merge 0"));
    assert!(with(0, "/added_tokens/0/id", json!(300)).contains("both have the id 300"));
    assert!(with(0, "/added_tokens/0/content", json!("")).contains("content"));
    assert!(with(0, "/post_processor/cls", json!(["<s>"])).contains("`cls`"));
    assert!(with(0, "/pre_tokenizer/type", json!("Split")).contains("Split"));
    assert!(with(0, "/model/type", json!("WordLevel")).contains("WordLevel"));
    assert!(with(1, "/model/unk_id", json!(7)).contains("`unk_id`"));
    assert!(with(1, "/model/vocab/1", json!(["a"])).contains("piece 1"));
    assert!(with(1, "/normalizer/normalizers/0/precompiled_charsmap", json!("A*==")).contains("Base64"));
    assert!(with(1, "/normalizer/normalizers/0/precompiled_charsmap", json!("/////w==")).contains("array"));
    assert!(with(1, "/normalizer/normalizers/3/pattern/Regex", json!("(a|b)*")).contains("(a|b)*"));
    assert!(with(1, "/post_processor/single/0/SpecialToken/id", json!("q")).contains("`q`"));
    let twice = json!([{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }]);
    assert!(with(1, "/post_processor/single", twice).contains("each text once"));
    assert!(with(2, "/model/vocab", json!({ "a": 0 })).contains("[UNK]"));
    let many = json!({ "type": "Sequence", "pretokenizers": vec![json!({ "type": "WhitespaceSplit" }); 100_000] });
    assert!(with(1, "/pre_tokenizer", many).contains("more than 64 steps"));
    let long = json!({ "type": "Replace", "pattern": { "String": "a" }, "content": "a".repeat(100) });
    let long = json!({ "type": "Sequence", "normalizers": vec![long; 8] });
    assert!(with(1, "/normalizer", long).contains("times as long"));
    let deep = format!(
        "{}{}",
        r#"{"normalizer":"#.to_owned() + &r#"{"type":"Sequence","normalizers":["#.repeat(100_000),
        "]}".repeat(100_000)
    );
    assert!(Tokenizer::from_tokenizer_json(&deep, "t").is_err());
}

#[test]
fn long_words_take_little_time() {
    let json = whole();
    for json in &json {
        let tokenizer = Tokenizer::from_tokenizer_json(&json.to_string(), "t").unwrap();
        for text in [
            "ab".repeat(200_000),
            "don".repeat(100_000),
            " ".repeat(300_000),
            "'".repeat(300_000),
            "e\u{301}".repeat(100_000),
        ] {
            let encoding = tokenizer.tokenize(&text);
            assert!(!encoding.is_empty() || text.trim().is_empty());
        }
    }
}

/// A field of a protocol buffer.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = [bytes.len() as u8 & 127 | 128, (bytes.len() >> 7) as u8 & 127 | 128, (bytes.len() >> 14) as u8];
    [&[number << 3 | 2][..], &length, bytes].concat()
}

#[test]
fn models_of_sentencepiece() {
    let pieces = ["<unk>", "<s>", "</s>", "▁", "▁a", "b", "ab"];
    let mut model: Vec<u8> = vec![];
    for (i, piece) in pieces.iter().enumerate() {
        let score = (-(i as f32)).to_le_bytes();
        model.extend(field(
            1,
            &[&field(1, piece.as_bytes())[..], &[2 << 3 | 5], &score, &[3 << 3, if i < 3 { 3 } else { 1 }]].concat(),
        ));
    }
    model.extend(field(2, &[3 << 3, 1]));
    model.extend(field(3, &field(2, &[4, 0, 0, 0, 0, 0, 0, 0, b'x', 0])));
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("sentencepiece");
    std::fs::create_dir_all(&folder).unwrap();
    let open = |bytes: &[u8]| {
        std::fs::write(folder.join("sentencepiece.bpe.model"), bytes).unwrap();
        Tokenizer::from_files(&folder)
    };
    let tokenizer = open(&model).unwrap();
    assert_eq!(tokenizer.encode("ab <mask>").ids, [0, 4, 7, 8, 2]);
    let mut read = 0;
    for at in 0..model.len() {
        let _ = open(&model[..at]);
        for bit in 0..8 {
            let mut flipped = model.clone();
            flipped[at] ^= 1 << bit;
            if let Ok(tokenizer) = open(&flipped) {
                read += 1;
                tokenizer.encode(TEXT);
            }
        }
    }
    println!("{} tried, {read} could be read", model.len() * 9);
    assert!(read > 100);
    assert!(open(&[]).unwrap_err().to_string().contains("0 pieces"));
    assert!(open(&[0xFF; 30]).unwrap_err().to_string().contains("byte 0"));
}

proptest! {
    #[test]
    fn any_text(text in "(\\PC|[abcdonAX1'<m>\u{301}\u{200b}\t\0 ▁]|\\p{Mn}|  ){0,60}") {
        for json in whole() {
            prop_assert!(use_it(&json.to_string(), &text));
        }
    }

    #[test]
    fn any_charsmap(blob in prop::collection::vec(any::<u32>(), 0..80), text in "\\PC{0,20}") {
        let bytes: Vec<u8> = blob.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let mut small = (bytes.len() as u32 / 2).to_le_bytes().to_vec();
        small.extend(&bytes);
        for blob in [bytes, small] {
            let mut json = whole().swap_remove(1);
            json["normalizer"]["normalizers"][0]["precompiled_charsmap"] = json!(base64(&blob));
            use_it(&json.to_string(), &text);
        }
    }
}
