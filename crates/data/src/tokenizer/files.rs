//! A tokenizer out of the folder of a checkpoint.

use super::Tokenizer;
use super::read::added_json;
use super::sentencepiece::SentencePiece;
use crate::error::{Error, Result, read, read_text};
use crate::tokenizer_files::{from_config, guess, json_object};
use crate::wordpiece::vocab_lines;
use serde_json::{Value, json};
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
            return Self::from_value(bert(&vocab_lines(&read_text(&path)?), &config), &path.display().to_string());
        }
        let wanted = "tokenizer.json, vocab.json with merges.txt, sentencepiece.bpe.model, spiece.model, vocab.txt";
        Err(Error::content(folder.display(), format!("holds none of {wanted}")))
    }
}

/// BERT's tokenizer.
fn bert(lines: &[String], config: &Value) -> Value {
    let normalizer = if config.is_null() { guess(lines).normalizer() } else { from_config(config) };
    let id = |token: &str| lines.iter().position(|line| line == token);
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].into_iter();
    let added: Vec<Value> =
        special.filter_map(|token| Some(added_json(id(token)? as u32, token, false, false, true))).collect();
    let vocab: Value = lines.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    json!({
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": normalizer.clean_text,
            "handle_chinese_chars": normalizer.handle_chinese_chars, "strip_accents": normalizer.strip_accents,
            "lowercase": normalizer.lowercase,
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": { "type": "BertProcessing", "sep": ["[SEP]", id("[SEP]")], "cls": ["[CLS]", id("[CLS]")] },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab,
        },
    })
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
