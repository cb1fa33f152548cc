//! A tokenizer out of the text of a `tokenizer.json`.

use super::added::{Added, AddedTokens};
use super::bpe::{Bpe, Options};
use super::files::json_object;
use super::pieces::Pieces;
use super::steps::{self, Section};
use super::unigram::Unigram;
use super::vocab::{MAX_ID, Vocab};
use super::{Model, Tokenizer, blanks};
use crate::error::{Error, Result};
use serde_json::{Value, json};

impl Tokenizer {
    /// From the text of a `tokenizer.json`; errors call it `source`.
    ///
    /// # Errors
    /// It is broken, or wants something that is not supported.
    pub fn from_tokenizer_json(text: &str, source: &str) -> Result<Self> {
        Self::from_value(json_object(text, source)?, source)
    }

    pub(crate) fn from_value(json: Value, source: &str) -> Result<Self> {
        let section = |what: &'static str, name: &str| Section { source, what, json: &json[name] };
        let normals = steps::normals(section("normalizer", "normalizer"))?;
        let splits = steps::splits(section("pre-tokenizer", "pre_tokenizer"))?;
        let post = steps::post(section("post-processor", "post_processor"))?;
        let decoders = steps::decoders(section("decoder", "decoder"))?;
        let (vocab, model) = model(&json["model"], source)?;
        let added = AddedTokens::new(added(&json["added_tokens"], &vocab, source)?, &normals);
        let blanks =
            if post.trims.is_empty() { vec![] } else { vocab.tokens.iter().map(|token| blanks(token)).collect() };
        let names = ["normalizer", "pre_tokenizer", "post_processor", "decoder"];
        let sections = names.into_iter().map(|name| (name.to_owned(), json[name].clone())).collect();
        Ok(Self { vocab, added, normals, splits, model, post, decoders, blanks, sections })
    }
}

/// Vocabulary and model.
fn model(json: &Value, source: &str) -> Result<(Vocab, Model)> {
    let wrong = |message: String| Error::content(source, message);
    let kind = match json["type"].as_str() {
        Some(kind) => kind,
        None if json["merges"].is_array() => "BPE",
        None if json["vocab"].is_array() => "Unigram",
        None => "WordPiece",
    };
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let flag = |name: &str| json[name].as_bool().unwrap_or(false);
    let mut vocab = Vocab::default();
    if kind == "Unigram" {
        let Some(pieces) = json["vocab"].as_array() else {
            return Err(wrong("its Unigram has no list `vocab`".into()));
        };
        let mut scores = Vec::with_capacity(pieces.len());
        for (id, piece) in pieces.iter().enumerate() {
            let (Some(token), Some(score)) = (piece[0].as_str(), piece[1].as_f64()) else {
                return Err(wrong(format!("its piece {id} is {piece}; a token and its score are wanted")));
            };
            vocab.insert(source, token, id as u64)?;
            scores.push(score);
        }
        let unknown = json["unk_id"].as_u64().filter(|&id| id < scores.len() as u64);
        let Some(unknown) = unknown else {
            let message = format!("its `unk_id` is {}; an id below {} is wanted", json["unk_id"], scores.len());
            return Err(wrong(message));
        };
        let model = Unigram::new(&vocab, scores, unknown as u32, flag("byte_fallback"));
        return Ok((vocab, Model::Unigram(model)));
    }
    if !matches!(kind, "WordPiece" | "BPE") {
        return Err(wrong(format!("its model is {kind}; WordPiece, BPE and Unigram are read")));
    }
    let Some(tokens) = json["vocab"].as_object() else {
        return Err(wrong(format!("its {kind} has no object `vocab`")));
    };
    for (token, id) in tokens {
        let Some(number) = id.as_u64() else {
            return Err(wrong(format!("token `{token}` has the id {id}; 0 to {MAX_ID} are read")));
        };
        vocab.insert(source, token, number)?;
    }
    if kind == "WordPiece" {
        let unknown = vocab.need(source, json["unk_token"].as_str().unwrap_or("[UNK]"))?;
        let longest = json["max_input_chars_per_word"].as_u64().unwrap_or(100);
        let prefix = json["continuing_subword_prefix"].as_str().unwrap_or("##");
        let model = Pieces::new(&vocab, prefix, unknown, usize::try_from(longest).unwrap_or(usize::MAX));
        return Ok((vocab, Model::WordPiece(model)));
    }
    if json["dropout"].as_f64().is_some_and(|dropout| dropout > 0.0) {
        return Err(wrong("its BPE drops merges at random (`dropout`), which is not supported; set it to null".into()));
    }
    let mut merges = vec![];
    for (rank, merge) in json["merges"].as_array().into_iter().flatten().enumerate() {
        let pair = match merge.as_str() {
            Some(text) => text.split_once(' '),
            None => merge[0].as_str().zip(merge[1].as_str()),
        };
        let Some((left, right)) = pair else {
            return Err(wrong(format!("its merge {rank} is {merge}; two tokens are wanted")));
        };
        merges.push((left.to_owned(), right.to_owned()));
    }
    let options = Options {
        unknown: text("unk_token"),
        fuse_unknown: flag("fuse_unk"),
        byte_fallback: flag("byte_fallback"),
        ignore_merges: flag("ignore_merges"),
        prefix: text("continuing_subword_prefix").unwrap_or_default(),
        suffix: text("end_of_word_suffix").unwrap_or_default(),
    };
    let model = Bpe::new(source, &vocab, &merges, options)?;
    Ok((vocab, Model::Bpe(model)))
}

/// Added tokens; a token of the vocabulary keeps its id.
fn added(json: &Value, vocab: &Vocab, source: &str) -> Result<Vec<Added>> {
    let mut out: Vec<Added> = vec![];
    let mut by_id = std::collections::BTreeMap::new();
    for entry in json.as_array().into_iter().flatten() {
        let content = entry["content"].as_str().unwrap_or("");
        if content.is_empty() {
            return Err(Error::content(source, "has an added token without `content`"));
        }
        let Some(id) =
            vocab.id(content).or_else(|| entry["id"].as_u64().filter(|&id| id <= MAX_ID).map(|id| id as u32))
        else {
            let message = format!("added token `{content}` has the id {}; 0 to {MAX_ID} are read", entry["id"]);
            return Err(Error::content(source, message));
        };
        let other = vocab.token(id).or_else(|| by_id.get(&id).copied()).filter(|&other| other != content);
        if let Some(other) = other {
            return Err(Error::content(source, format!("tokens `{other}` and `{content}` both have the id {id}")));
        }
        by_id.insert(id, content);
        let flag = |name: &str| entry[name].as_bool().unwrap_or(false);
        let special = flag("special");
        out.push(Added {
            id,
            content: content.to_owned(),
            single_word: flag("single_word"),
            left: flag("lstrip"),
            right: flag("rstrip"),
            normalized: entry["normalized"].as_bool().unwrap_or(!special),
            special,
        });
    }
    Ok(out)
}

/// An entry of `added_tokens`.
pub(crate) fn added_json(id: u32, content: &str, left: bool, normalized: bool, special: bool) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": left, "rstrip": false,
        "normalized": normalized, "special": special,
    })
}
