//! Pairs, truncation and decoding against the `tokenizers` package.

use serde_json::{Value, json};
use std::path::Path;
use ukulele_data::{Casing, EncodeOptions, TextBatches, Tokenizer, Truncation};

#[test]
fn pairs_equal_tokenizers() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let vocab = std::fs::read_to_string(here.join("../../assets/bert-tiny/vocab.txt")).unwrap();
    let tokenizer = Tokenizer::from_vocab(&vocab, Casing::Uncased).unwrap();
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(here.join("tests/pairs.json")).unwrap()).unwrap();
    let (mut compared, mut refused) = (0, 0);
    for case in golden["cases"].as_array().unwrap() {
        let length = case["length"].as_u64().map(|n| n as usize);
        let truncation = match case["strategy"].as_str() {
            Some("only_first") => Truncation::OnlyFirst,
            Some("only_second") => Truncation::OnlySecond,
            _ => Truncation::LongestFirst,
        };
        let first = case["first"].as_str().unwrap();
        let options = EncodeOptions { max_length: length, truncation, ..EncodeOptions::default() };
        let ours = tokenizer.encode_with(first, case["second"].as_str(), &options);
        if case["ids"].is_null() {
            assert!(ours.is_err(), "{case}");
            refused += 1;
            continue;
        }
        let ours = ours.unwrap().swap_remove(0);
        assert_eq!(json!(ours.ids), case["ids"], "{case}");
        assert_eq!(json!(ours.types), case["types"], "{case}");
        assert_eq!(json!(ours.offsets), case["offsets"], "{case}");
        assert_eq!(json!(ours.special.iter().map(|&s| u8::from(s)).collect::<Vec<_>>()), case["special"], "{case}");
        assert_eq!(tokenizer.decode(&ours.ids, true), case["text"], "{case}");
        assert_eq!(tokenizer.decode(&ours.ids, false), case["all"], "{case}");
        compared += 1;
    }
    assert!(compared > 300 && refused > 10, "{compared} {refused}");
}

#[test]
fn texts_that_are_cut_are_counted() {
    let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\na";
    let tokenizer = Tokenizer::from_vocab(vocab, Casing::Uncased).unwrap();
    let texts = ["a a a", "a a", "", "a a a a"].map(str::to_owned);
    let batches = TextBatches::encode(&tokenizer, &texts, &[0; 4], 4, 2, 1).unwrap();
    assert_eq!((batches.cut(), batches.len()), (2, 4));
    assert!(batches.by_length().all(|batch| batch.length <= 4));
}
