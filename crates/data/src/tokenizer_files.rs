//! A tokenizer out of the files that come with a checkpoint: `tokenizer.json`, or `vocab.txt` and
//! `tokenizer_config.json`.

use crate::error::{Error, Result, read_text};
use crate::normalize::Normalizer;
use crate::wordpiece::{Casing, WordPiece, vocab_lines};
use serde_json::{Value, json};
use std::path::Path;

/// Ids above this are taken for a mistake, not for a vocabulary.
const MAX_ID: u64 = 4_000_000;

impl WordPiece {
    /// From the folder of a checkpoint: its `tokenizer.json` if there is one; else `vocab.txt`, with the settings of
    /// `tokenizer_config.json`. Without settings, a vocabulary that has no upper case letters is taken for uncased.
    ///
    /// # Errors
    /// Neither file is there, one is broken, or it wants something that this tokenizer does not do.
    pub fn from_files(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let (whole, vocab) = (folder.join("tokenizer.json"), folder.join("vocab.txt"));
        if whole.is_file() {
            return Self::from_tokenizer_json(&read_text(&whole)?, &whole.display().to_string());
        }
        if !vocab.is_file() {
            return Err(Error::content(folder.display(), "holds neither tokenizer.json nor vocab.txt"));
        }
        let config = folder.join("tokenizer_config.json");
        let config = if config.is_file() {
            let source = config.display().to_string();
            Some(json_object(&read_text(&config)?, &source)?)
        } else {
            None
        };
        let tokens = vocab_lines(&read_text(&vocab)?);
        let normalizer = match &config {
            Some(config) => from_config(config),
            None => guess(&tokens).normalizer(),
        };
        Self::new(&vocab.display().to_string(), tokens, normalizer, 100, &[])
    }

    /// From the text of a `tokenizer.json`; errors call it `source`.
    ///
    /// # Errors
    /// It is broken, or wants something else than BERT's normalisation and WordPiece.
    pub fn from_tokenizer_json(text: &str, source: &str) -> Result<Self> {
        let json = json_object(text, source)?;
        let wrong = |message: String| Error::content(source, message);
        let model = &json["model"];
        let kind = model["type"].as_str().unwrap_or("WordPiece");
        let Some(vocab) = model["vocab"].as_object().filter(|_| kind == "WordPiece") else {
            return Err(wrong(format!("its model is {kind}; only WordPiece with a `vocab` is read")));
        };
        let prefix = model["continuing_subword_prefix"].as_str().unwrap_or("##");
        let unknown = model["unk_token"].as_str().unwrap_or("[UNK]");
        if (prefix, unknown) != ("##", "[UNK]") {
            let message = format!("prefix `{prefix}` and unknown token `{unknown}`; only `##` and `[UNK]` are read");
            return Err(wrong(message));
        }
        let mut tokens = vec![];
        let mut place = |token: &str, id: &Value| {
            let Some(id) = id.as_u64().filter(|&id| id <= MAX_ID) else {
                return Err(wrong(format!("token `{token}` has the id {id}; 0 to {MAX_ID} are read")));
            };
            let id = id as usize;
            if tokens.len() <= id {
                tokens.resize(id + 1, String::new());
            }
            if !tokens[id].is_empty() && tokens[id] != token {
                return Err(wrong(format!("tokens `{}` and `{token}` both have the id {id}", tokens[id])));
            }
            tokens[id] = token.to_owned();
            Ok(())
        };
        for (token, id) in vocab {
            place(token, id)?;
        }
        let mut added = vec![];
        for entry in json["added_tokens"].as_array().into_iter().flatten() {
            let token = entry["content"].as_str().unwrap_or("");
            if token.is_empty() {
                return Err(wrong("has an added token without `content`".into()));
            }
            for flag in ["single_word", "lstrip", "rstrip", "normalized"] {
                if entry[flag] == Value::Bool(true) {
                    return Err(wrong(format!("added token `{token}` is `{flag}`, which is not supported")));
                }
            }
            place(token, &entry["id"])?;
            added.push(token.to_owned());
        }
        let normalizer = &json["normalizer"];
        let kind = normalizer["type"].as_str().unwrap_or("none");
        if kind != "BertNormalizer" {
            return Err(wrong(format!("its normalizer is {kind}; only BertNormalizer is read")));
        }
        let pre = json["pre_tokenizer"]["type"].as_str().unwrap_or("none");
        if pre != "BertPreTokenizer" {
            return Err(wrong(format!("its pre-tokenizer is {pre}; only BertPreTokenizer is read")));
        }
        let longest = model["max_input_chars_per_word"].as_u64().unwrap_or(100);
        let normalizer = settings(normalizer, ["clean_text", "handle_chinese_chars", "strip_accents", "lowercase"]);
        Self::new(source, tokens, normalizer, usize::try_from(longest).unwrap_or(100), &added)
    }

    /// The vocabulary as the text of a `vocab.txt`.
    pub fn vocab_text(&self) -> String {
        self.tokens.iter().flat_map(|token| [token.as_str(), "\n"]).collect()
    }

    /// The settings as a `tokenizer_config.json`, which transformers reads as well.
    pub fn config_json(&self) -> Value {
        json!({
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": self.normalizer.lowercase,
            "strip_accents": self.normalizer.strip_accents,
            "tokenize_chinese_chars": self.normalizer.handle_chinese_chars,
            "clean_text": self.normalizer.clean_text,
            "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]",
        })
    }
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

pub(crate) fn from_config(config: &Value) -> Normalizer {
    settings(config, ["clean_text", "tokenize_chinese_chars", "strip_accents", "do_lower_case"])
}

/// Uncased, if lower case leaves every token as it is, but those in brackets. (Uncased vocabularies do hold capital
/// letters that have no lower case, such as ℝ.)
pub(crate) fn guess(tokens: &[String]) -> Casing {
    let upper = |token: &String| !token.starts_with('[') && token.chars().any(|c| !c.to_lowercase().eq([c]));
    if tokens.iter().any(upper) { Casing::Cased } else { Casing::Uncased }
}
