//! WordPiece: BERT's tokenizer. Words are cut into the longest pieces of a vocabulary, from left to right.
//!
//! The result equals that of the `tokenizers` package, token for token and place for place, for both casings. A word
//! of more than 100 characters, or one that cannot be cut, is one `[UNK]`. Special tokens (`[CLS]`, ...) written in the
//! text are found before normalisation, case and all. Source: Schuster and Nakajima, "Japanese and Korean voice
//! search", 2012; the code of BERT.

use crate::encoding::{Encoding, Truncation};
use crate::error::{Error, Result};
use crate::normalize::{Normalizer, Splitter, Word};
use crate::trie::{Place, Trie};
use std::collections::BTreeMap;

/// How a vocabulary treats letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Casing {
    /// Lower case without accents.
    Uncased,
    /// Case and accents stay.
    Cased,
}

impl Casing {
    /// The normalisation of this casing.
    pub fn normalizer(self) -> Normalizer {
        match self {
            Self::Uncased => Normalizer::UNCASED,
            Self::Cased => Normalizer::CASED,
        }
    }
}

/// The ids of BERT's special tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Special {
    /// `[PAD]`, which fills short sequences.
    pub pad: u32,
    /// `[UNK]`, a word that has no pieces.
    pub unk: u32,
    /// `[CLS]`, the first token of every input.
    pub cls: u32,
    /// `[SEP]`, after each text.
    pub sep: u32,
    /// `[MASK]`, if the vocabulary has it.
    pub mask: Option<u32>,
}

/// BERT's tokenizer over a vocabulary.
#[derive(Debug, Clone)]
pub struct WordPiece {
    pub(crate) tokens: Vec<String>,
    pub(crate) normalizer: Normalizer,
    pub(crate) longest_word: usize,
    /// Tokens that are found in the text as they are written, longest first.
    added: Vec<(String, u32)>,
    special: Special,
    trie: Trie,
    /// Where the pieces inside of a word begin: behind `##`.
    inside: Option<Place>,
}

impl WordPiece {
    /// From the text of a `vocab.txt`: one token a line, its id the number of the line from 0.
    ///
    /// # Errors
    /// `[PAD]`, `[UNK]`, `[CLS]` or `[SEP]` is missing.
    pub fn from_vocab(vocab: &str, casing: Casing) -> Result<Self> {
        Self::new("vocabulary", vocab_lines(vocab), casing.normalizer(), 100, &[])
    }

    /// From tokens in the order of their ids. An empty token stands for an id that is not used.
    pub(crate) fn new(
        source: &str,
        tokens: Vec<String>,
        normalizer: Normalizer,
        longest_word: usize,
        added: &[String],
    ) -> Result<Self> {
        if u32::try_from(tokens.len()).is_err() {
            return Err(Error::content(source, "has more tokens than an id of 32 bits can number"));
        }
        let by_name: BTreeMap<&[u8], u32> =
            tokens.iter().zip(0..).filter(|(t, _)| !t.is_empty()).map(|(t, i)| (t.as_bytes(), i)).collect();
        let find = |name: &str| by_name.get(name.as_bytes()).copied();
        let need = |name: &str| {
            find(name).ok_or_else(|| {
                let message = format!("has no {name} among its {} tokens; BERT vocabularies have one", tokens.len());
                Error::content(source, message)
            })
        };
        let special = Special {
            pad: need("[PAD]")?,
            unk: need("[UNK]")?,
            cls: need("[CLS]")?,
            sep: need("[SEP]")?,
            mask: find("[MASK]"),
        };
        let names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].into_iter().chain(added.iter().map(String::as_str));
        let mut found: Vec<(String, u32)> = names.filter_map(|n| Some((n.to_owned(), find(n)?))).collect();
        found.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then(a.0.cmp(&b.0)));
        found.dedup();
        let trie = Trie::new(&by_name.into_iter().collect::<Vec<_>>());
        let inside = trie.descend(Trie::ROOT, b"##");
        Ok(Self { tokens, normalizer, longest_word, added: found, special, trie, inside })
    }

    /// The special tokens.
    pub fn special(&self) -> Special {
        self.special
    }

    /// The normalisation of texts.
    pub fn normalizer(&self) -> Normalizer {
        self.normalizer
    }

    /// Number of ids.
    pub fn vocab_size(&self) -> usize {
        self.tokens.len()
    }

    /// The token of an id.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(String::as_str)
    }

    /// The id of a token, `##` included where it is a piece inside of a word.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.trie.descend(Trie::ROOT, token.as_bytes()).and_then(|place| self.trie.token(place))
    }

    /// The tokens of a text, without `[CLS]` and `[SEP]`.
    pub fn tokenize(&self, text: &str) -> Encoding {
        let mut out = Encoding::default();
        let mut splitter = Splitter::new(self.normalizer);
        let (mut rest, mut position, mut word) = (text, 0, 0);
        loop {
            let (before, added) = self.next_added(rest);
            position = splitter.split(before, position, |piece| {
                self.pieces(&piece, word, &mut out);
                word += 1;
            });
            let Some((name, id)) = added else { return out };
            let end = position + name.chars().count();
            out.push(*id, (position, end), word);
            (position, word) = (end, word + 1);
            rest = &rest[before.len() + name.len()..];
        }
    }

    /// What stands before the first added token in a text, and that token.
    fn next_added<'t>(&self, text: &'t str) -> (&'t str, Option<&(String, u32)>) {
        let bytes = text.as_bytes();
        let begins = |b: u8| self.added.iter().any(|(name, _)| name.as_bytes()[0] == b);
        let mut at = 0;
        let bracket_only = self.added.iter().all(|(name, _)| name.starts_with('['));
        while at < bytes.len() {
            let next = if bracket_only {
                bytes[at..].iter().position(|&b| b == b'[')
            } else {
                bytes[at..].iter().position(|&b| begins(b))
            };
            let Some(step) = next else { break };
            at += step;
            if let Some(found) = self.added.iter().find(|(name, _)| bytes[at..].starts_with(name.as_bytes())) {
                return (&text[..at], Some(found));
            }
            at += 1;
        }
        (text, None)
    }

    /// Cuts a word into the longest pieces.
    fn pieces(&self, word: &Word<'_>, number: u32, out: &mut Encoding) {
        let bytes = word.text.as_bytes();
        let unknown = (self.special.unk, word.span(0, bytes.len()));
        if bytes.len() > self.longest_word && word.text.chars().count() > self.longest_word {
            out.push(unknown.0, unknown.1, number);
            return;
        }
        let before = out.len();
        let (mut at, mut place) = (0, Some(Trie::ROOT));
        while at < bytes.len() {
            match place.and_then(|place| self.trie.longest(place, &bytes[at..])) {
                Some((id, length)) => {
                    out.push(id, word.span(at, at + length), number);
                    at += length;
                    place = self.inside;
                }
                None => {
                    out.truncate(before);
                    out.push(unknown.0, unknown.1, number);
                    return;
                }
            }
        }
    }

    /// `[CLS] text [SEP]`.
    pub fn encode(&self, text: &str) -> Encoding {
        self.join(self.tokenize(text), None)
    }

    /// `[CLS] first [SEP] second [SEP]`; the second has type 1.
    pub fn encode_pair(&self, first: &str, second: &str) -> Encoding {
        self.join(self.tokenize(first), Some(self.tokenize(second)))
    }

    /// `[CLS] text [SEP]` of at most `max_length` tokens; the end of a longer text is cut off.
    ///
    /// # Errors
    /// There is no room for `[CLS]` and `[SEP]`.
    pub fn encode_truncated(&self, text: &str, max_length: usize) -> Result<Encoding> {
        let room = room(max_length, 2)?;
        let mut tokens = self.tokenize(text);
        tokens.truncate(room);
        Ok(self.join(tokens, None))
    }

    /// `[CLS] first [SEP] second [SEP]` of at most `max_length` tokens.
    ///
    /// # Errors
    /// There is no room for `[CLS]`, `[SEP]`, `[SEP]`, or the text that is to give way is too short.
    pub fn encode_pair_truncated(
        &self,
        first: &str,
        second: &str,
        max_length: usize,
        truncation: Truncation,
    ) -> Result<Encoding> {
        let room = room(max_length, 3)?;
        let (mut a, mut b) = (self.tokenize(first), self.tokenize(second));
        let Some((keep_a, keep_b)) = truncation.lengths(a.len(), b.len(), room) else {
            let message = format!(
                "texts of {} and {} tokens do not fit into {max_length} by {truncation:?}: that text is too short to \
                 give way; use LongestFirst",
                a.len(),
                b.len()
            );
            return Err(Error::argument("encode_pair", message));
        };
        a.truncate(keep_a);
        b.truncate(keep_b);
        Ok(self.join(a, Some(b)))
    }

    fn join(&self, first: Encoding, second: Option<Encoding>) -> Encoding {
        let mut out = Encoding::default();
        out.push_special(self.special.cls, 0);
        out.append(first, 0);
        out.push_special(self.special.sep, 0);
        if let Some(mut second) = second {
            second.push_special(self.special.sep, 0);
            out.append(second, 1);
        }
        out
    }

    /// Text of ids: pieces joined, a blank between words, none before punctuation that follows a word. Ids that the
    /// vocabulary does not have are left out; so are special tokens, if `skip_special`.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let is_special = |id: u32| self.added.iter().any(|&(_, added)| added == id);
        let mut out = String::new();
        let mut first = true;
        for &id in ids {
            let Some(token) = self.token(id).filter(|_| !(skip_special && is_special(id))) else { continue };
            match token.strip_prefix("##").filter(|_| !first) {
                Some(piece) => out.push_str(piece),
                None => {
                    if !first && !matches!(token, "." | "?" | "!" | "," | "n't" | "'m" | "'s" | "'ve" | "'re") {
                        out.push(' ');
                    }
                    out.push_str(token);
                }
            }
            first = false;
        }
        out
    }
}

fn room(max_length: usize, added: usize) -> Result<usize> {
    max_length.checked_sub(added).ok_or_else(|| {
        Error::argument("encode", format!("a length of {max_length} has no room for the {added} special tokens"))
    })
}

/// The lines of a `vocab.txt`.
pub(crate) fn vocab_lines(vocab: &str) -> Vec<String> {
    let mut lines: Vec<String> =
        vocab.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned()).collect();
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}
