//! SentencePiece's `.model` files, which are protocol buffers. Source: `sentencepiece_model.proto`.

use super::base64;
use super::read::added_json;
use crate::error::{Error, Result};
use serde_json::{Value, json};

/// What of a model matters here.
#[derive(Debug, Default)]
pub(crate) struct SentencePiece {
    /// Piece, score and kind, in the order of ids.
    pieces: Vec<(String, f32, u64)>,
    charsmap: Vec<u8>,
    /// 1: unigram.
    kind: u64,
    unknown: u64,
}

/// Kinds of pieces that are found as they are written.
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;

/// The value of a field.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl Field<'_> {
    fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Bytes(_) => 0,
        }
    }
}

/// The fields of a message, with their numbers; an error is a place.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut out = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            out |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(out);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let end = self.at.checked_add(usize::try_from(length).ok()?)?;
        let bytes = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Field::Number(self.varint()?),
            1 => Field::Number(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Number(u64::from(u32::from_le_bytes(self.take(4)?.try_into().ok()?))),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

/// Calls `each` with every field of a message.
fn fields<'a>(bytes: &'a [u8], source: &str, mut each: impl FnMut(u64, Field<'a>) -> Result<()>) -> Result<()> {
    let mut fields = Fields { bytes, at: 0 };
    while fields.at < bytes.len() {
        let start = fields.at;
        let Some((number, value)) = fields.field() else {
            let message = format!("is no SentencePiece model: the field at byte {start} of a message is broken");
            return Err(Error::content(source, message));
        };
        each(number, value)?;
    }
    Ok(())
}

impl SentencePiece {
    /// From the bytes of a `.model` file.
    pub(crate) fn read(bytes: &[u8], source: &str) -> Result<Self> {
        let mut out = Self { kind: 1, ..Self::default() };
        fields(bytes, source, |number, value| match (number, value) {
            (1, Field::Bytes(piece)) => {
                let (mut text, mut score, mut kind) = (String::new(), 0.0, 1);
                fields(piece, source, |number, value| {
                    match (number, value) {
                        (1, Field::Bytes(bytes)) => {
                            text = String::from_utf8(bytes.to_vec())
                                .map_err(|_| Error::content(source, "has a piece that is not UTF-8"))?;
                        }
                        (2, value) => score = f32::from_bits(value.number() as u32),
                        (3, value) => kind = value.number(),
                        _ => {}
                    }
                    Ok(())
                })?;
                if !score.is_finite() {
                    return Err(Error::content(source, format!("its piece {text:?} has the score {score}")));
                }
                out.pieces.push((text, score, kind));
                Ok(())
            }
            (2, Field::Bytes(trainer)) => fields(trainer, source, |number, value| {
                match number {
                    3 => out.kind = value.number(),
                    40 => out.unknown = value.number(),
                    _ => {}
                }
                Ok(())
            }),
            (3, Field::Bytes(normalizer)) => fields(normalizer, source, |number, value| {
                if let (2, Field::Bytes(bytes)) = (number, value) {
                    out.charsmap = bytes.to_vec();
                }
                Ok(())
            }),
            _ => Ok(()),
        })?;
        match out.kind {
            1 if out.pieces.len() > 3 => Ok(out),
            1 => Err(Error::content(source, format!("has {} pieces; more than 3 are wanted", out.pieces.len()))),
            kind => Err(Error::content(source, format!("is of kind {kind}; only unigram models (1) are read"))),
        }
    }

    /// As `transformers` converts it: ALBERT's if it has `[CLS]`, else XLM-R's, whose ids are moved.
    pub(crate) fn tokenizer_json(&self, config: &Value, source: &str) -> Result<Value> {
        let albert = self.pieces.iter().any(|(piece, ..)| piece == "[CLS]");
        let class = config["tokenizer_class"].as_str().unwrap_or("");
        let own = if albert { "AlbertTokenizer" } else { "XLMRobertaTokenizer" };
        if !class.is_empty() && class.trim_end_matches("Fast") != own {
            let message =
                format!("belongs to a {class}, only Albert and XLMRoberta are read; save it as tokenizer.json");
            return Err(Error::content(source, message));
        }
        let replace =
            |pattern: Value, content: &str| json!({ "type": "Replace", "pattern": pattern, "content": content });
        let charsmap = (!self.charsmap.is_empty())
            .then(|| json!({ "type": "Precompiled", "precompiled_charsmap": base64::encode(&self.charsmap) }));
        let mut vocab: Vec<(&str, f64)> = vec![];
        let mut normals = vec![];
        let special: &[&str] = if albert {
            normals.extend([replace(json!({ "String": "``" }), "\""), replace(json!({ "String": "''" }), "\"")]);
            if !config["keep_accents"].as_bool().unwrap_or(false) {
                normals.extend([json!({ "type": "NFKD" }), json!({ "type": "StripAccents" })]);
            }
            if config["do_lower_case"].as_bool().unwrap_or(true) {
                normals.push(json!({ "type": "Lowercase" }));
            }
            normals.extend(charsmap);
            normals.push(replace(json!({ "Regex": " {2,}" }), " "));
            vocab.extend(self.pieces.iter().map(|(piece, score, _)| (piece.as_str(), albert_score(piece, *score))));
            &["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
        } else {
            normals.extend(charsmap);
            normals.push(json!({ "type": "Strip", "strip_left": false, "strip_right": true }));
            normals.push(replace(json!({ "Regex": " {2,}" }), "\u{2581}"));
            vocab.extend(["<s>", "<pad>", "</s>", "<unk>"].map(|token| (token, 0.0)));
            vocab.extend(self.pieces[3..].iter().map(|(piece, score, _)| (piece.as_str(), f64::from(*score))));
            vocab.push(("<mask>", 0.0));
            &["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        };
        let id = |token: &str| vocab.iter().rposition(|&(piece, _)| piece == token);
        let mut added = vec![];
        for token in special {
            let Some(id) = id(token) else {
                return Err(Error::content(source, format!("has no piece `{token}`")));
            };
            added.push(added_json(id as u32, token, token.to_lowercase().contains("mask"), false, true));
        }
        for (piece, _, kind) in &self.pieces {
            if matches!(*kind, CONTROL | USER_DEFINED)
                && !special.contains(&piece.as_str())
                && let Some(id) = id(piece)
            {
                added.push(added_json(id as u32, piece, false, false, *kind == CONTROL));
            }
        }
        let (cls, sep) = if albert { ("[CLS]", "[SEP]") } else { ("<s>", "</s>") };
        let text = |id: &str, kind: u32| json!({ "Sequence": { "id": id, "type_id": kind } });
        let token = |id: &str, kind: u32| json!({ "SpecialToken": { "id": id, "type_id": kind } });
        let second = u32::from(albert);
        let single = vec![token(cls, 0), text("A", 0), token(sep, 0)];
        let mut pair = single.clone();
        if !albert {
            pair.push(token(sep, 0));
        }
        pair.extend([text("B", second), token(sep, second)]);
        let ids = |token: &str| json!({ "id": token, "ids": [id(token)], "tokens": [token] });
        let metaspace =
            json!({ "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true });
        Ok(json!({
            "added_tokens": added,
            "normalizer": { "type": "Sequence", "normalizers": normals },
            "pre_tokenizer": metaspace,
            "post_processor": {
                "type": "TemplateProcessing", "single": single, "pair": pair,
                "special_tokens": { cls: ids(cls), sep: ids(sep) },
            },
            "decoder": metaspace,
            "model": {
                "type": "Unigram", "unk_id": if albert { self.unknown } else { 3 },
                "vocab": vocab.iter().map(|(piece, score)| json!([piece, score])).collect::<Vec<_>>(),
            },
        }))
    }
}

/// ALBERT takes 100 off the score of a piece that ends with a digit and a comma.
fn albert_score(piece: &str, score: f32) -> f64 {
    let mut chars = piece.chars().rev();
    let number = chars.next() == Some(',') && chars.next().is_some_and(|c| c.is_ascii_digit());
    f64::from(score) - if number { 100.0 } else { 0.0 }
}
