//! Normalizer, pre-tokenizer, post-processor and decoder out of a `tokenizer.json`.

use super::base64;
use super::charsmap::Charsmap;
use super::compose::Form;
use super::decode::Decode;
use super::files::settings;
use super::normal::{Normal, Pattern};
use super::post::{Piece, Post};
use super::pretokens::{Prefix, Split};
use crate::error::{Error, Result};
use serde_json::Value;

/// More steps of a kind than this are taken for a mistake.
const MOST_STEPS: usize = 64;

/// How many times longer replacements may make a text, all steps together.
const MOST_GROWTH: usize = 4096;

/// Part of a file, and the name of that file for errors.
#[derive(Clone, Copy)]
pub(crate) struct Section<'a> {
    pub(crate) source: &'a str,
    pub(crate) what: &'static str,
    pub(crate) json: &'a Value,
}

impl<'a> Section<'a> {
    fn kind(&self) -> &'a str {
        self.json["type"].as_str().unwrap_or("without type")
    }

    fn wrong(&self, message: &str) -> Error {
        Error::content(self.source, format!("its {} {message}", self.what))
    }

    fn unknown<T>(&self) -> Result<T> {
        Err(self.wrong(&format!("is {}, which is not supported", self.kind())))
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        self.json[name].as_bool().unwrap_or(default)
    }

    fn text(&self, name: &str) -> Result<&'a str> {
        self.json[name].as_str().ok_or_else(|| self.wrong(&format!("{} has no text `{name}`", self.kind())))
    }

    fn character(&self, name: &str) -> Result<char> {
        let text = self.text(name)?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(c),
            _ => Err(self.wrong(&format!("{} has a `{name}` of {text:?}; one character is wanted", self.kind()))),
        }
    }

    fn with(&self, json: &'a Value) -> Self {
        Self { json, ..*self }
    }

    /// The steps of a sequence, else this one; none of null.
    fn each(&self, list: &str, step: &mut dyn FnMut(Self) -> Result<()>) -> Result<()> {
        let mut count = 0;
        self.walk(list, &mut |one| {
            count += 1;
            if count > MOST_STEPS {
                return Err(self.wrong(&format!("has more than {MOST_STEPS} steps")));
            }
            step(one)
        })
    }

    fn walk(&self, list: &str, step: &mut dyn FnMut(Self) -> Result<()>) -> Result<()> {
        if self.json.is_null() {
            return Ok(());
        }
        if self.kind() != "Sequence" {
            return step(*self);
        }
        let steps = self.json[list].as_array().ok_or_else(|| self.wrong(&format!("Sequence has no list `{list}`")))?;
        steps.iter().try_for_each(|json| self.with(json).walk(list, step))
    }
}

/// The steps of normalisation.
pub(crate) fn normals(section: Section<'_>) -> Result<Vec<Normal>> {
    let mut out = vec![];
    section.each("normalizers", &mut |step| {
        out.push(match step.kind() {
            "BertNormalizer" => {
                let names = ["clean_text", "handle_chinese_chars", "strip_accents", "lowercase"];
                Normal::Bert(settings(step.json, names))
            }
            "NFC" => Normal::Unicode(Form::Nfc),
            "NFD" => Normal::Unicode(Form::Nfd),
            "NFKC" => Normal::Unicode(Form::Nfkc),
            "NFKD" => Normal::Unicode(Form::Nfkd),
            "Lowercase" => Normal::Lowercase,
            "StripAccents" => Normal::StripAccents,
            "Strip" => Normal::Strip { left: step.flag("strip_left", true), right: step.flag("strip_right", true) },
            "Replace" => {
                let content = step.text("content")?.to_owned();
                let pattern = &step.json["pattern"];
                let pattern = match (pattern["String"].as_str(), pattern["Regex"].as_str()) {
                    (Some(text), _) => Some(Pattern::Text(text.to_owned())),
                    (None, Some(regex)) => Pattern::of_regex(regex),
                    (None, None) => None,
                };
                let Some(pattern) = pattern else {
                    let wanted = "a text, or a regular expression that is a run of blanks such as ` {2,}`";
                    return Err(step.wrong(&format!("replaces {}; {wanted} is read", step.json["pattern"])));
                };
                Normal::Replace { pattern, content }
            }
            "Prepend" => Normal::Prepend(step.text("prepend")?.to_owned()),
            "Precompiled" => {
                let text = step.text("precompiled_charsmap")?;
                let Some(blob) = base64::decode(text) else {
                    return Err(step.wrong("has a precompiled charsmap that is not Base64"));
                };
                Normal::Charsmap(Charsmap::new(step.source, &blob)?)
            }
            _ => return step.unknown(),
        });
        Ok(())
    })?;
    let growth = out.iter().try_fold(1usize, |all, step| all.checked_mul(step.growth())).filter(|&g| g <= MOST_GROWTH);
    match growth {
        Some(_) => Ok(out),
        None => Err(section.wrong(&format!("can make a text more than {MOST_GROWTH} times as long"))),
    }
}

/// The steps of splitting.
pub(crate) fn splits(section: Section<'_>) -> Result<Vec<Split>> {
    let mut out = vec![];
    section.each("pretokenizers", &mut |step| {
        if matches!(out.last(), Some(Split::ByteLevel { .. })) {
            return Err(step.wrong("has a step behind ByteLevel, which must be the last"));
        }
        out.push(match step.kind() {
            "BertPreTokenizer" => Split::Bert,
            "WhitespaceSplit" => Split::Gaps,
            "Whitespace" => Split::Whitespace,
            "Punctuation" if matches!(step.json["behavior"].as_str(), None | Some("Isolated")) => Split::Punctuation,
            "Digits" => Split::Digits { alone: step.flag("individual_digits", false) },
            "ByteLevel" => {
                Split::ByteLevel { prefix: step.flag("add_prefix_space", true), regex: step.flag("use_regex", true) }
            }
            "Metaspace" => Split::Metaspace {
                mark: step.character("replacement")?,
                prefix: prefix(step)?,
                split: step.flag("split", true),
            },
            _ => return step.unknown(),
        });
        Ok(())
    })?;
    Ok(out)
}

/// Metaspace's prefix, whose older name is `add_prefix_space`.
fn prefix(step: Section<'_>) -> Result<Prefix> {
    match (step.json["prepend_scheme"].as_str(), step.json["add_prefix_space"].as_bool()) {
        (Some("always"), _) | (None, Some(true) | None) => Ok(Prefix::Always),
        (Some("first"), _) => Ok(Prefix::First),
        (Some("never"), _) | (None, Some(false)) => Ok(Prefix::Never),
        (Some(other), _) => Err(step.wrong(&format!("Metaspace has the prepend_scheme {other:?}"))),
    }
}

/// What is put around texts.
pub(crate) fn post(section: Section<'_>) -> Result<Post> {
    let mut out = Post::default();
    let mut template = false;
    section.each("processors", &mut |step| {
        if step.kind() != "ByteLevel" && std::mem::replace(&mut template, true) {
            return Err(step.wrong("puts special tokens around texts twice"));
        }
        let special = |name: &str, kind: u32| match (step.json[name][0].as_str(), step.json[name][1].as_u64()) {
            (Some(_), Some(id)) if id <= super::vocab::MAX_ID => Ok(Piece::Special { ids: vec![id as u32], kind }),
            _ => Err(step.wrong(&format!("has a `{name}` of {}; a token and its id are wanted", step.json[name]))),
        };
        let text = |second: bool, kind: u32| Piece::Text { second, kind };
        match step.kind() {
            "ByteLevel" => {}
            "BertProcessing" => {
                out.single = vec![special("cls", 0)?, text(false, 0), special("sep", 0)?];
                out.pair = out.single.clone();
                out.pair.extend([text(true, 1), special("sep", 1)?]);
            }
            "RobertaProcessing" => {
                out.single = vec![special("cls", 0)?, text(false, 0), special("sep", 0)?];
                out.pair = out.single.clone();
                out.pair.extend([special("sep", 0)?, text(true, 0), special("sep", 0)?]);
                out.untyped = true;
            }
            "TemplateProcessing" => {
                out.single = pieces(step, "single", false)?;
                out.pair = pieces(step, "pair", true)?;
            }
            _ => return step.unknown(),
        }
        if matches!(step.kind(), "ByteLevel" | "RobertaProcessing") && step.flag("trim_offsets", true) {
            out.trims.push(step.flag("add_prefix_space", true));
        }
        Ok(())
    })?;
    Ok(out)
}

fn pieces(step: Section<'_>, name: &str, pair: bool) -> Result<Vec<Piece>> {
    let wrong = |what: &dyn std::fmt::Display| step.wrong(&format!("has a template `{name}` {what}"));
    let list = step.json[name].as_array().ok_or_else(|| wrong(&"that is no list"))?;
    let mut out = vec![];
    for json in list {
        let (text, special) = (&json["Sequence"], &json["SpecialToken"]);
        let kind = if text.is_object() { &text["type_id"] } else { &special["type_id"] };
        let Some(kind) = kind.as_u64().and_then(|kind| u32::try_from(kind).ok()) else {
            return Err(wrong(&format!("with the piece {json}, which has no type_id")));
        };
        let piece = match (text["id"].as_str(), special["id"].as_str()) {
            (Some("A"), _) => Piece::Text { second: false, kind },
            (Some("B"), _) => Piece::Text { second: true, kind },
            (_, Some(token)) => {
                let ids = step.json["special_tokens"][token]["ids"].as_array();
                let ids: Option<Vec<u32>> = ids.and_then(|ids| {
                    ids.iter()
                        .map(|id| id.as_u64().filter(|&id| id <= super::vocab::MAX_ID).map(|id| id as u32))
                        .collect()
                });
                let Some(ids) = ids else {
                    return Err(wrong(&format!("with `{token}`, which special_tokens gives no ids")));
                };
                Piece::Special { ids, kind }
            }
            _ => return Err(wrong(&format!("with the piece {json}, which is neither text nor special token"))),
        };
        out.push(piece);
    }
    let count =
        |which: bool| out.iter().filter(|p| matches!(p, Piece::Text { second, .. } if *second == which)).count();
    if (count(false), count(true)) != (1, usize::from(pair)) {
        return Err(wrong(&"that does not hold each text once"));
    }
    Ok(out)
}

/// The steps of decoding.
pub(crate) fn decoders(section: Section<'_>) -> Result<Vec<Decode>> {
    let mut out = vec![];
    section.each("decoders", &mut |step| {
        let count = |name: &str| step.json[name].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        out.push(match step.kind() {
            "WordPiece" => Decode::WordPiece {
                prefix: step.json["prefix"].as_str().unwrap_or("##").to_owned(),
                cleanup: step.flag("cleanup", true),
            },
            "ByteLevel" => Decode::ByteLevel,
            "Metaspace" => {
                Decode::Metaspace { mark: step.character("replacement")?, prefix: prefix(step)? != Prefix::Never }
            }
            "BPEDecoder" => Decode::Bpe { suffix: step.json["suffix"].as_str().unwrap_or("</w>").to_owned() },
            "Replace" => {
                let Some(pattern) = step.json["pattern"]["String"].as_str() else {
                    return Err(step.wrong(&format!("replaces {}; only a text is read", step.json["pattern"])));
                };
                Decode::Replace { pattern: pattern.to_owned(), content: step.text("content")?.to_owned() }
            }
            "ByteFallback" => Decode::ByteFallback,
            "Fuse" => Decode::Fuse,
            "Strip" => {
                Decode::Strip { content: step.character("content")?, start: count("start"), stop: count("stop") }
            }
            _ => return step.unknown(),
        });
        Ok(())
    })?;
    Ok(out)
}
