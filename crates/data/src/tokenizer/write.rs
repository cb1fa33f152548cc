//! A tokenizer as a `tokenizer.json`, which the packages `tokenizers` and `transformers` read.

use super::normal::Normal;
use super::{Model, Tokenizer};
use crate::error::{Error, Result};
use serde_json::{Value, json};
use std::path::Path;

impl Tokenizer {
    /// The content of a `tokenizer.json`.
    pub fn to_json(&self) -> Value {
        let vocab = || -> Value {
            let tokens = self.vocab.sorted().into_iter();
            tokens.map(|(token, id)| (String::from_utf8_lossy(token).into_owned(), json!(id))).collect()
        };
        let token = |id: u32| self.vocab.token(id).unwrap_or("");
        let model = match &self.model {
            Model::WordPiece(model) => json!({
                "type": "WordPiece", "unk_token": token(model.unknown), "continuing_subword_prefix": model.prefix,
                "max_input_chars_per_word": model.longest_word, "vocab": vocab(),
            }),
            Model::Bpe(model) => {
                let some = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
                let options = &model.options;
                let merges: Vec<_> = model.pairs.iter().map(|&(left, right)| [token(left), token(right)]).collect();
                json!({
                    "type": "BPE", "dropout": null, "unk_token": options.unknown,
                    "continuing_subword_prefix": some(&options.prefix), "end_of_word_suffix": some(&options.suffix),
                    "fuse_unk": options.fuse_unknown, "byte_fallback": options.byte_fallback,
                    "ignore_merges": options.ignore_merges, "vocab": vocab(), "merges": merges,
                })
            }
            Model::Unigram(model) => {
                let pieces: Vec<_> = self.vocab.tokens.iter().zip(&model.scores).map(|(t, s)| json!([t, s])).collect();
                json!({
                    "type": "Unigram", "unk_id": model.unknown, "byte_fallback": model.byte_fallback, "vocab": pieces,
                })
            }
        };
        let mut added: Vec<_> = self.added.all.iter().collect();
        added.sort_by_key(|added| added.id);
        let added: Vec<_> = added
            .into_iter()
            .map(|added| {
                json!({
                    "id": added.id, "content": added.content, "single_word": added.single_word, "lstrip": added.left,
                    "rstrip": added.right, "normalized": added.normalized, "special": added.special,
                })
            })
            .collect();
        let section = |name: &str| self.sections[name].clone();
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": section("normalizer"), "pre_tokenizer": section("pre_tokenizer"),
            "post_processor": section("post_processor"), "decoder": section("decoder"), "model": model,
        })
    }

    /// The vocabulary as the text of a `vocab.txt`, one token a line, if the model is WordPiece.
    pub fn vocab_text(&self) -> Option<String> {
        matches!(self.model, Model::WordPiece(_))
            .then(|| self.vocab.tokens.iter().flat_map(|token| [token.as_str(), "\n"]).collect())
    }

    /// The content of a `tokenizer_config.json` beside it: what transformers builds from it, and how long a sequence may be.
    pub fn config_json(&self, max_length: usize) -> Value {
        let mut config = json!({ "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_length });
        if let (Model::WordPiece(_), [Normal::Bert(normalizer)]) = (&self.model, &self.normals[..]) {
            config["tokenizer_class"] = "BertTokenizer".into();
            config["do_lower_case"] = normalizer.lowercase.into();
            config["strip_accents"] = normalizer.strip_accents.into();
            config["tokenize_chinese_chars"] = normalizer.handle_chinese_chars.into();
            config["clean_text"] = normalizer.clean_text.into();
        }
        let special = [
            ("pad_token", ["[PAD]", "<pad>"]),
            ("unk_token", ["[UNK]", "<unk>"]),
            ("cls_token", ["[CLS]", "<s>"]),
            ("sep_token", ["[SEP]", "</s>"]),
            ("mask_token", ["[MASK]", "<mask>"]),
        ];
        for (key, names) in special {
            if let Some(name) = names.into_iter().find(|name| self.id(name).is_some()) {
                config[key] = name.into();
            }
        }
        config
    }

    /// Writes `tokenizer.json`, and `vocab.txt` of a WordPiece, into a folder that is there.
    ///
    /// # Errors
    /// The system refuses.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<()> {
        let write = |name: &str, text: String| {
            let path = folder.as_ref().join(name);
            std::fs::write(&path, text).map_err(|e| Error::io(&path, &e))
        };
        write("tokenizer.json", self.to_json().to_string())?;
        self.vocab_text().map_or(Ok(()), |text| write("vocab.txt", text))
    }
}
