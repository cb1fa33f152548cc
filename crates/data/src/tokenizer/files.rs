//! A tokenizer out of the folder of a checkpoint.

use super::Tokenizer;
use super::read::added_json;
use super::sentencepiece::SentencePiece;
use crate::error::{Error, Result, read, read_text};
use crate::normalize::{Casing, Normalizer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

impl Tokenizer {
    /// From the folder of a checkpoint, by the first of these that is there: `tokenizer.json`; `vocab.json` and
    /// `merges.txt` (RoBERTa, GPT-2); `sentencepiece.bpe.model` (XLM-R); `spiece.model` (ALBERT); `vocab.txt` (BERT).
    /// Settings of `tokenizer_config.json` are obeyed with all but the first.
    ///
    /// # Errors
    /// None is there, one is broken, or it wants something that is not supported.
    pub fn from_files(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let path = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        if let Some(path) = path("tokenizer.json") {
            return Self::from_tokenizer_json(&read_text(&path)?, &path.display().to_string());
        }
        let config = match path("tokenizer_config.json") {
            Some(path) => json_object(&read_text(&path)?, &path.display().to_string())?,
            None => Value::Null,
        };
        if let (Some(vocab), Some(merges)) = (path("vocab.json"), path("merges.txt")) {
            let source = vocab.display().to_string();
            let vocab = json_object(&read_text(&vocab)?, &source)?;
            return Self::from_value(byte_level(&vocab, &read_text(&merges)?, &config), &source);
        }
        for name in ["sentencepiece.bpe.model", "spiece.model"] {
            if let Some(path) = path(name) {
                let source = path.display().to_string();
                let model = SentencePiece::read(&read(&path)?, &source)?;
                return Self::from_value(model.tokenizer_json(&config, &source)?, &source);
            }
        }
        if let Some(path) = path("vocab.txt") {
            let text = read_text(&path)?;
            let lines = vocab_lines(&text);
            let normalizer = if config.is_null() { guess(&lines).normalizer() } else { from_config(&config) };
            return Self::bert(&lines, normalizer, &path.display().to_string());
        }
        let wanted = "tokenizer.json, vocab.json with merges.txt, sentencepiece.bpe.model, spiece.model, vocab.txt";
        Err(Error::content(folder.display(), format!("holds none of {wanted}")))
    }

    /// BERT's, from the text of a `vocab.txt`: one token a line, its id the number of the line from 0.
    ///
    /// # Errors
    /// `[PAD]`, `[UNK]`, `[CLS]` or `[SEP]` is missing.
    pub fn from_vocab(vocab: &str, casing: Casing) -> Result<Self> {
        Self::bert(&vocab_lines(vocab), casing.normalizer(), "vocabulary")
    }

    /// BERT's, from tokens in the order of their ids. An empty token stands for an id that is not used.
    fn bert(lines: &[&str], normalizer: Normalizer, source: &str) -> Result<Self> {
        let ids: BTreeMap<&str, usize> =
            lines.iter().copied().zip(0..).filter(|(token, _)| !token.is_empty()).collect();
        if let Some(name) = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].into_iter().find(|name| !ids.contains_key(name)) {
            let message = format!("has no {name} among its {} tokens; BERT vocabularies have one", lines.len());
            return Err(Error::content(source, message));
        }
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].into_iter();
        let added: Vec<Value> =
            special.filter_map(|token| Some(added_json(*ids.get(token)? as u32, token, false, false, true))).collect();
        let around = |token: &str| json!([token, ids[token]]);
        let json = json!({
            "added_tokens": added,
            "normalizer": {
                "type": "BertNormalizer", "clean_text": normalizer.clean_text,
                "handle_chinese_chars": normalizer.handle_chinese_chars, "strip_accents": normalizer.strip_accents,
                "lowercase": normalizer.lowercase,
            },
            "pre_tokenizer": { "type": "BertPreTokenizer" },
            "post_processor": { "type": "BertProcessing", "sep": around("[SEP]"), "cls": around("[CLS]") },
            "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
            "model": {
                "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": ids,
            },
        });
        Self::from_value(json, source)
    }
}

/// The lines of a `vocab.txt`.
fn vocab_lines(vocab: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = vocab.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
}

pub(crate) fn json_object(text: &str, source: &str) -> Result<Value> {
    let value: Value = serde_json::from_str(text)
        .map_err(|e| Error::at_line(source, e.line() as u64, format!("is broken JSON: {e}")))?;
    if value.is_object() { Ok(value) } else { Err(Error::content(source, "is not a JSON object")) }
}

/// Switches by these names: clean, Chinese, accents (as lower case where not given), lower case.
pub(crate) fn settings(json: &Value, names: [&str; 4]) -> Normalizer {
    let [clean_text, handle_chinese_chars, strip_accents, lowercase] = names.map(|name| json[name].as_bool());
    let lowercase = lowercase.unwrap_or(true);
    Normalizer {
        clean_text: clean_text.unwrap_or(true),
        handle_chinese_chars: handle_chinese_chars.unwrap_or(true),
        strip_accents: strip_accents.unwrap_or(lowercase),
        lowercase,
    }
}

fn from_config(config: &Value) -> Normalizer {
    settings(config, ["clean_text", "tokenize_chinese_chars", "strip_accents", "do_lower_case"])
}

/// Uncased, if lower case leaves every token as it is, but those in brackets. (Uncased vocabularies do hold capital
/// letters that have no lower case, such as ℝ.)
fn guess(tokens: &[&str]) -> Casing {
    let upper = |token: &&str| !token.starts_with('[') && token.chars().any(|c| !c.to_lowercase().eq([c]));
    if tokens.iter().any(upper) { Casing::Cased } else { Casing::Uncased }
}

/// RoBERTa's tokenizer if the vocabulary has `<s>` and `</s>`, else GPT-2's.
fn byte_level(vocab: &Value, merges: &str, config: &Value) -> Value {
    let lines = merges.lines().filter(|line| !line.starts_with("#version") && !line.is_empty());
    let prefix = config["add_prefix_space"].as_bool().unwrap_or(false);
    let special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"].into_iter();
    let added: Vec<Value> = special
        .filter_map(|token| Some(added_json(vocab[token].as_u64()? as u32, token, token == "<mask>", false, true)))
        .collect();
    let roberta = !vocab["<s>"].is_null() && !vocab["</s>"].is_null();
    let post = if roberta {
        json!({
            "type": "RobertaProcessing", "sep": ["</s>", vocab["</s>"]], "cls": ["<s>", vocab["<s>"]],
            "trim_offsets": true, "add_prefix_space": prefix,
        })
    } else {
        json!({ "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": false, "use_regex": true })
    };
    json!({
        "added_tokens": added,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": true },
        "post_processor": post,
        "decoder": { "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "vocab": vocab, "merges": lines.collect::<Vec<_>>() },
    })
}
