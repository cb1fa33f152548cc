//! Tokenizers out of files: what is read, and what is refused. And texts of any kind: no panic, places in the text.

use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::LazyLock;
use ukulele_data::{Casing, EncodeOptions, Normalizer, Tokenizer};

const VOCAB: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##b\n##a\n!\n中\né\n";

/// A fresh folder with these files.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    for (file, text) in files {
        std::fs::write(path.join(file), text).unwrap();
    }
    path
}

fn whole() -> Value {
    let vocab: Value = VOCAB.lines().enumerate().map(|(i, token)| (token.to_owned(), json!(i))).collect();
    json!({
        "added_tokens": [{ "id": 4, "content": "[MASK]", "special": true, "normalized": false }],
        "normalizer": { "type": "BertNormalizer", "lowercase": false, "strip_accents": null },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "model": { "type": "WordPiece", "unk_token": "[UNK]", "max_input_chars_per_word": 3, "vocab": vocab },
    })
}

fn normalizer(tokenizer: &Tokenizer) -> Normalizer {
    let json = &tokenizer.to_json()["normalizer"];
    let [clean_text, handle_chinese_chars, strip_accents, lowercase] =
        ["clean_text", "handle_chinese_chars", "strip_accents", "lowercase"].map(|name| json[name].as_bool().unwrap());
    Normalizer { clean_text, handle_chinese_chars, strip_accents, lowercase }
}

#[test]
fn settings_of_a_folder() {
    let normalizer = |path| normalizer(&Tokenizer::from_files(path).unwrap());
    assert_eq!(normalizer(folder("bare", &[("vocab.txt", VOCAB)])), Normalizer::UNCASED);
    let assets = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../assets/bert-tiny");
    assert_eq!(normalizer(assets), Normalizer::UNCASED);
    assert_eq!(normalizer(folder("real", &[("vocab.txt", &format!("{VOCAB}ℝ\n"))])), Normalizer::UNCASED);
    assert_eq!(normalizer(folder("upper", &[("vocab.txt", &format!("{VOCAB}Xy\n"))])), Normalizer::CASED);
    let config = r#"{"do_lower_case": false, "tokenize_chinese_chars": false}"#;
    let set = normalizer(folder("config", &[("vocab.txt", VOCAB), ("tokenizer_config.json", config)]));
    assert_eq!(set, Normalizer { handle_chinese_chars: false, ..Normalizer::CASED });
    let json = Tokenizer::from_files(folder("whole", &[("tokenizer.json", &whole().to_string())])).unwrap();
    assert_eq!(json.tokenize("abb A abba [MASK]").ids, [5, 7, 7, 1, 1, 4]);
    assert_eq!((json.id("##b"), json.token(7), json.id("x"), json.token(99)), (Some(7), Some("##b"), None, None));
}

#[test]
fn saved_and_read_again() {
    let tokenizer = Tokenizer::from_vocab(VOCAB, Casing::Cased).unwrap();
    let files =
        [("vocab.txt", &tokenizer.vocab_text().unwrap()[..]), ("tokenizer_config.json", r#"{"do_lower_case": false}"#)];
    let again = Tokenizer::from_files(folder("saved", &files)).unwrap();
    assert_eq!((again.vocab_text().unwrap(), normalizer(&again)), (VOCAB.to_owned(), Normalizer::CASED));
    let windows = Tokenizer::from_vocab(&VOCAB.replace('\n', "\r\n"), Casing::Cased).unwrap();
    assert_eq!(windows.vocab_text().unwrap(), VOCAB);
    let folder = folder("whole-again", &[]);
    tokenizer.save(&folder).unwrap();
    let again = Tokenizer::from_files(&folder).unwrap();
    assert_eq!((again.vocab_text().unwrap(), normalizer(&again)), (VOCAB.to_owned(), Normalizer::CASED));
}

#[test]
fn refused() {
    let message = |text: &str| Tokenizer::from_tokenizer_json(text, "t.json").unwrap_err().to_string();
    assert!(message("{").contains("t.json, line 1"));
    assert!(message("[]").contains("not a JSON object"));
    let with = |path: &str, value: Value| {
        let mut json = whole();
        *json.pointer_mut(path).unwrap() = value;
        message(&json.to_string())
    };
    assert!(with("/model/type", json!("CharLevel")).contains("CharLevel"));
    assert!(with("/model/vocab", json!([])).contains("vocab"));
    assert!(with("/model/vocab/a", json!(-1)).contains("`a`"));
    assert!(with("/model/vocab/a", json!(u64::MAX)).contains("`a`"));
    assert!(with("/model/vocab/a", json!(6)).contains("both have the id 6"));
    assert!(with("/model/unk_token", json!("<unk>")).contains("<unk>"));
    assert!(with("/normalizer/type", json!("NFX")).contains("NFX"));
    assert!(with("/pre_tokenizer/type", json!("Odd")).contains("pre-tokenizer"));
    assert!(with("/added_tokens/0/content", json!("")).contains("content"));
    let missing = Tokenizer::from_vocab("a\nb\n[PAD]\n[UNK]\n[CLS]", Casing::Cased).unwrap_err().to_string();
    assert!(missing.contains("[SEP]") && missing.contains("5 tokens"), "{missing}");
    let none = Tokenizer::from_files(folder("none", &[])).unwrap_err().to_string();
    assert!(none.contains("holds none of tokenizer.json"), "{none}");
    let tokenizer = Tokenizer::from_vocab(VOCAB, Casing::Cased).unwrap();
    let one = EncodeOptions { max_length: Some(1), ..EncodeOptions::default() };
    println!("{}", tokenizer.encode_with("a", None, &one).unwrap_err());
    assert!(tokenizer.encode_with("a", None, &one).unwrap_err().to_string().contains("no room"));
}

static TOKENIZERS: LazyLock<[Tokenizer; 2]> =
    LazyLock::new(|| [Casing::Uncased, Casing::Cased].map(|casing| Tokenizer::from_vocab(VOCAB, casing).unwrap()));

proptest! {
    #[test]
    fn any_text(text in "(\\PC|[ab!é中\u{301}\u{200b}\\[MASK\\]\t\0 ]|\\p{Mn}){0,60}") {
        for tokenizer in TOKENIZERS.iter() {
            let encoding = tokenizer.encode(&text);
            let characters = text.chars().count();
            prop_assert!(encoding.offsets.iter().all(|&(from, to)| from <= to && to <= characters));
            prop_assert!(encoding.ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
            for range in encoding.byte_ranges(&text) {
                prop_assert!(text.get(range).is_some());
            }
            tokenizer.decode(&encoding.ids, true);
        }
    }

    #[test]
    fn any_vocabulary(lines in prop::collection::vec("\\PC{0,4}", 0..30), text in "\\PC{0,40}") {
        if let Ok(tokenizer) = Tokenizer::from_vocab(&format!("{VOCAB}{}", lines.join("\n")), Casing::Uncased) {
            tokenizer.encode(&text);
        }
    }

    #[test]
    fn any_json(text in "\\PC{0,40}", at in 0usize..600, cut in 0usize..600) {
        let _ = Tokenizer::from_tokenizer_json(&text, "t");
        let whole = whole().to_string();
        let cut = cut.min(whole.len());
        let broken = format!("{}{text}{}", whole.get(..at.min(cut)).unwrap_or(""), whole.get(cut..).unwrap_or(""));
        let _ = Tokenizer::from_tokenizer_json(&broken, "t");
    }
}
