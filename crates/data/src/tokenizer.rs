//! Tokenizers of BERT and its relatives: what a `tokenizer.json` describes.
//!
//! A text is cut at added tokens, normalised, split into words, the words are cut into tokens by a model (WordPiece, byte
//! pair encoding or unigram), and special tokens are put around. Ids, offsets and words equal those of the `tokenizers`
//! package. What a file wants and this does not do is an error when it is read, never another result.

mod added;
mod aligned;
mod base64;
mod bpe;
mod bytes;
mod cache;
mod charsmap;
mod classes;
mod compose;
mod decode;
mod files;
mod normal;
mod pieces;
mod post;
mod pretokens;
mod read;
mod sentencepiece;
mod steps;
mod unigram;
mod vocab;
mod write;

use crate::encoding::{Encoding, Side, Truncation};
use crate::error::Result;
use crate::normalize::Splitter;
use added::{AddedTokens, Part};
use aligned::{Aligned, Slice};
use bpe::Bpe;
use decode::Decode;
use normal::Normal;
use pieces::Pieces;
use post::{Post, Tokens};
use pretokens::Split;
use rayon::prelude::*;
use serde_json::Value;
use unigram::Unigram;
use vocab::Vocab;

/// A tokenizer: texts to ids and back.
///
/// ```
/// use ukulele_data::{EncodeOptions, Tokenizer};
///
/// let json = r#"{
///     "normalizer": { "type": "Lowercase" },
///     "pre_tokenizer": { "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always" },
///     "decoder": { "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always" },
///     "model": { "type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["▁so", -2], ["▁", -3], ["good", -4]] }
/// }"#;
/// let tokenizer = Tokenizer::from_tokenizer_json(json, "tokenizer.json")?;
/// let encoding = tokenizer.encode("So good");
/// assert_eq!(encoding.ids, [1, 2, 3]);
/// assert_eq!(encoding.offsets, [(0, 2), (2, 3), (3, 7)]);
/// assert_eq!(encoding.words, [Some(0), Some(1), Some(1)]);
/// assert_eq!(tokenizer.decode(&encoding.ids, true), "so good");
///
/// let options = EncodeOptions { max_length: Some(2), stride: 1, ..EncodeOptions::default() };
/// let parts = tokenizer.encode_with("so good", None, &options)?;
/// assert_eq!(parts.iter().map(|part| &part.ids[..]).collect::<Vec<_>>(), [[1, 2], [2, 3]]);
/// # Ok::<(), ukulele_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tokenizer {
    vocab: Vocab,
    added: AddedTokens,
    normals: Vec<Normal>,
    splits: Vec<Split>,
    model: Model,
    post: Post,
    decoders: Vec<Decode>,
    /// The blanks at both ends of each token of the vocabulary, if offsets are trimmed.
    blanks: Vec<(u32, u32)>,
    /// Normalizer, pre-tokenizer, post-processor and decoder, as they were read.
    sections: Value,
}

/// How words become tokens.
#[derive(Debug, Clone)]
enum Model {
    WordPiece(Pieces),
    Bpe(Bpe),
    Unigram(Unigram),
}

/// How texts are cut to a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncodeOptions {
    /// Most tokens, special ones included. None: whatever the text has.
    pub max_length: Option<usize>,
    /// Which text of a pair gives way.
    pub truncation: Truncation,
    /// The end that is cut off.
    pub side: Side,
    /// How many tokens of a part come again in the next part of a text that is cut.
    pub stride: usize,
}

/// How encodings become equally long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// The length; none: of the longest.
    pub length: Option<usize>,
    /// The length is made a multiple of this; 0 and 1: any.
    pub multiple_of: usize,
    /// The end that is filled.
    pub side: Side,
    /// The token that fills.
    pub id: u32,
    /// Its type.
    pub kind: u32,
}

impl Padding {
    /// To the longest, at the right, with this token.
    pub fn longest(id: u32) -> Self {
        Self { length: None, multiple_of: 1, side: Side::Right, id, kind: 0 }
    }

    /// Fills inputs and their parts, as [`Tokenizer::encode_batch`] gives them. The longest is looked for among the first
    /// parts.
    pub fn apply(&self, inputs: &mut [Vec<Encoding>]) {
        let longest = inputs.iter().filter_map(|parts| parts.first()).map(Encoding::len).max().unwrap_or(0);
        let length = self.length.unwrap_or(longest);
        let length = length.checked_next_multiple_of(self.multiple_of.max(1)).unwrap_or(length);
        for encoding in inputs.iter_mut().flatten() {
            encoding.pad(length, self.id, self.kind, self.side);
        }
    }
}

impl Tokenizer {
    /// Number of ids, added tokens included.
    pub fn vocab_size(&self) -> usize {
        let added = self.added.all.iter().map(|added| added.id as usize + 1).max().unwrap_or(0);
        self.vocab.tokens.len().max(added)
    }

    /// The token of an id.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.added.get(id).map(|added| added.content.as_str()).or_else(|| self.vocab.token(id))
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        let added = self.added.all.iter().find(|added| added.content == token);
        added.map(|added| added.id).or_else(|| self.vocab.id(token))
    }

    /// The id that fills short inputs: of `[PAD]`, `<pad>`, else of `<|endoftext|>`.
    pub fn pad_id(&self) -> Option<u32> {
        ["[PAD]", "<pad>", "<|endoftext|>"].iter().find_map(|token| self.id(token))
    }

    /// The tokens of a text without special tokens around. Of a text of 4 GiB or more only the first 4 GiB are taken.
    pub fn tokenize(&self, text: &str) -> Encoding {
        let mut tokens = self.tokens(text);
        self.post.trims.iter().for_each(|&prefixed| tokens.trim(prefixed));
        tokens.encoding
    }

    /// A text with special tokens around, uncut.
    pub fn encode(&self, text: &str) -> Encoding {
        self.uncut(text, None)
    }

    /// Two texts with special tokens around, uncut.
    pub fn encode_pair(&self, first: &str, second: &str) -> Encoding {
        self.uncut(first, Some(second))
    }

    fn uncut(&self, first: &str, second: Option<&str>) -> Encoding {
        let parts = self.encode_with(first, second, &EncodeOptions::default());
        parts.ok().and_then(|parts| parts.into_iter().next()).unwrap_or_default()
    }

    /// One text or two, cut to a length: what is kept, then the parts that are over, each with special tokens around.
    ///
    /// # Errors
    /// There is no room for special tokens, the text that is to give way is too short, or parts would hold nothing new.
    pub fn encode_with(&self, first: &str, second: Option<&str>, options: &EncodeOptions) -> Result<Vec<Encoding>> {
        let (first, second) = (self.tokens(first), second.map(|second| self.tokens(second)));
        self.post.apply(first, second, options.max_length, options.truncation, options.stride, options.side)
    }

    /// Many inputs at once, on all threads, in their order.
    ///
    /// # Errors
    /// As [`Tokenizer::encode_with`].
    pub fn encode_batch(&self, inputs: &[(&str, Option<&str>)], options: &EncodeOptions) -> Result<Vec<Vec<Encoding>>> {
        inputs.par_iter().with_min_len(16).map(|&(first, second)| self.encode_with(first, second, options)).collect()
    }

    /// Text of ids. Ids that are not there are left out; so are special tokens, if `skip_special`.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let special = |id: u32| self.added.get(id).is_some_and(|added| added.special);
        let tokens = ids.iter().filter(|&&id| !(skip_special && special(id)));
        decode::decode(&self.decoders, tokens.filter_map(|&id| self.token(id)).map(str::to_owned).collect())
    }

    fn tokens(&self, text: &str) -> Tokens {
        let mut end = text.len().min(u32::MAX as usize);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &text[..end];
        if let (Model::WordPiece(model), [Normal::Bert(options)], [Split::Bert]) =
            (&self.model, &self.normals[..], &self.splits[..])
            && !self.added.any_normalized()
            && self.post.trims.is_empty()
        {
            return self.bert_tokens(model, Splitter::new(*options), text);
        }
        let mut out = Tokens::default();
        let mut word = 0;
        self.added.split(false, Slice::whole(text), |part| match part {
            Part::Token(id, at) => self.push_added(id, at, &mut word, &mut out),
            Part::Text(part) => {
                let changed;
                let part = if self.normals.is_empty() {
                    part
                } else {
                    let mut text = Aligned::new(part);
                    self.normals.iter().for_each(|normal| normal.apply(&mut text));
                    changed = text;
                    changed.slice()
                };
                self.added.split(true, part, |part| match part {
                    Part::Token(id, at) => self.push_added(id, at, &mut word, &mut out),
                    Part::Text(part) => pretokens::split(&self.splits, part, &mut |piece| {
                        self.cut(piece, word, &mut out);
                        word += 1;
                    }),
                });
            }
        });
        to_code_points(text, &mut out.encoding);
        out
    }

    /// BERT's own way, without a table of places.
    fn bert_tokens(&self, model: &Pieces, mut splitter: Splitter, text: &str) -> Tokens {
        let mut out = Encoding::default();
        let (mut position, mut number) = (0, 0);
        self.added.split(false, Slice::whole(text), |part| match part {
            Part::Token(id, at) => {
                let end = position + at.text.chars().count();
                out.push(id, (position, end), number);
                (position, number) = (end, number + 1);
            }
            Part::Text(part) => {
                position = splitter.split(part.text, position, |word| {
                    model.cut(word.text, |id, from, to| out.push(id, word.span(from, to), number));
                    number += 1;
                });
            }
        });
        Tokens { encoding: out, blanks: vec![] }
    }

    fn push_added(&self, id: u32, at: Slice<'_>, word: &mut u32, out: &mut Tokens) {
        out.encoding.push(id, at.span(0, at.text.len()), *word);
        *word += 1;
        if !self.post.trims.is_empty() {
            out.blanks.push(blanks(at.text));
        }
    }

    /// Cuts a word by the model.
    fn cut(&self, piece: Slice<'_>, word: u32, out: &mut Tokens) {
        let trimmed = !self.post.trims.is_empty();
        let mut emit = |id: u32, span: (usize, usize)| {
            out.encoding.push(id, span, word);
            if trimmed {
                out.blanks.push(self.blanks.get(id as usize).copied().unwrap_or_default());
            }
        };
        match &self.model {
            Model::WordPiece(model) => model.cut(piece.text, |id, from, to| emit(id, piece.span(from, to))),
            Model::Unigram(model) => model.cut(piece, &mut emit),
            Model::Bpe(model) => {
                let byte_level = matches!(self.splits.last(), Some(Split::ByteLevel { .. }));
                model.cut(&self.vocab, piece, byte_level, &mut emit);
            }
        }
    }
}

/// How many blanks, of texts or of GPT-2's alphabet, a token begins and ends with.
fn blanks(token: &str) -> (u32, u32) {
    let blank = |c: &char| *c == bytes::CHARS[usize::from(b' ')] || c.is_whitespace();
    (token.chars().take_while(blank).count() as u32, token.chars().rev().take_while(blank).count() as u32)
}

/// Offsets in bytes of a text to offsets in code points.
fn to_code_points(text: &str, encoding: &mut Encoding) {
    if text.is_ascii() {
        return;
    }
    let mut points = Vec::with_capacity(text.len() + 1);
    let mut before = 0u32;
    for &byte in text.as_bytes() {
        let begins = byte & 0xC0 != 0x80;
        points.push(if begins { before } else { before - 1 });
        before += u32::from(begins);
    }
    points.push(before);
    for offsets in &mut encoding.offsets {
        *offsets = (points[offsets.0] as usize, points[offsets.1] as usize);
    }
}
