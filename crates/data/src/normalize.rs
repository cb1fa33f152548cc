//! BERT's normalisation and splitting into words, with the place in the text that each byte of a word comes from.
//!
//! The order is that of the `tokenizers` package: clean (controls out, white space to blanks), blanks around Chinese
//! characters, accents off (canonical decomposition, then nonspacing marks out), lower case; then a split at white space,
//! and each punctuation mark alone.

use crate::unicode::{CONTROL, NONSPACING, PUNCTUATION, REORDERED, holds};
use unicode_normalization::char::{canonical_combining_class, decompose_canonical};

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

/// What BERT's normalisation does to a text before it is split into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Normalizer {
    /// Remove control characters, make all white space blanks.
    pub clean_text: bool,
    /// Make each Chinese character a word of its own.
    pub handle_chinese_chars: bool,
    /// Remove accents: decompose, then drop nonspacing marks.
    pub strip_accents: bool,
    /// To lower case, character by character.
    pub lowercase: bool,
}

impl Normalizer {
    /// As `bert-base-uncased` has it: lower case without accents.
    pub const UNCASED: Self =
        Self { clean_text: true, handle_chinese_chars: true, strip_accents: true, lowercase: true };
    /// As `bert-base-cased` has it: case and accents stay.
    pub const CASED: Self =
        Self { clean_text: true, handle_chinese_chars: true, strip_accents: false, lowercase: false };

    /// The normalised text: its words, separated by one blank.
    pub fn normalize(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        Splitter::new(*self).split(text, 0, |word| {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(word.text);
        });
        out
    }
}

/// Where a piece of a word stands in the text: first code point, and one past the last.
pub(crate) type Span = (usize, usize);

/// A word, and where each of its bytes comes from.
pub(crate) struct Word<'a> {
    pub(crate) text: &'a str,
    source: Source<'a>,
}

enum Source<'a> {
    /// Byte i of the word is code point `start + i` of the text.
    Run(usize),
    /// One span for each byte.
    Bytes(&'a [Span]),
}

impl Word<'_> {
    /// The span in the text of bytes `from..to` of the word (not empty).
    pub(crate) fn span(&self, from: usize, to: usize) -> Span {
        match self.source {
            Source::Run(start) => (start + from, start + to),
            Source::Bytes(spans) => (spans[from].0, spans[to - 1].1),
        }
    }
}

/// Class of an ASCII character.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Space,
    Punctuation,
    Removed,
}

/// Splits texts into normalised words, reusing its buffers.
pub(crate) struct Splitter {
    options: Normalizer,
    ascii: [Class; 128],
    chars: Vec<(char, Span)>,
    parts: Vec<(char, u8, bool)>,
    word: String,
    spans: Vec<Span>,
}

impl Splitter {
    pub(crate) fn new(options: Normalizer) -> Self {
        let ascii = std::array::from_fn(|i| {
            let c = char::from(i as u8);
            match c {
                _ if options.clean_text && holds(CONTROL, c) => Class::Removed,
                _ if c.is_whitespace() => Class::Space,
                _ if holds(PUNCTUATION, c) => Class::Punctuation,
                _ => Class::Letter,
            }
        });
        Self { options, ascii, chars: vec![], parts: vec![], word: String::new(), spans: vec![] }
    }

    /// Calls `emit` with each word of `text`, whose first character is code point `first` of the whole.
    /// Returns the code point after the last.
    pub(crate) fn split(&mut self, text: &str, first: usize, mut emit: impl FnMut(Word<'_>)) -> usize {
        let bytes = text.as_bytes();
        let (mut at, mut position) = (0, first);
        while at < bytes.len() {
            // Neither composition nor reordering reaches over these four blanks, so chunks between them stand alone.
            let mut plain = true;
            let mut end = at;
            while end < bytes.len() && !matches!(bytes[end], b' ' | b'\t' | b'\n' | b'\r') {
                plain &= bytes[end] < 128 && self.ascii[usize::from(bytes[end])] != Class::Removed;
                end += 1;
            }
            let chunk = &text[at..end];
            if plain {
                self.split_ascii(chunk, position, &mut emit);
                position += chunk.len();
            } else {
                position = self.split_any(chunk, position, &mut emit);
            }
            if end < bytes.len() {
                position += 1;
            }
            at = end + 1;
        }
        position
    }

    /// ASCII without anything to remove: every byte stays one byte.
    fn split_ascii(&mut self, chunk: &str, first: usize, emit: &mut impl FnMut(Word<'_>)) {
        let lower;
        let chunk = if self.options.lowercase && chunk.bytes().any(|b| b.is_ascii_uppercase()) {
            self.word.clear();
            self.word.push_str(chunk);
            self.word.make_ascii_lowercase();
            lower = std::mem::take(&mut self.word);
            &lower[..]
        } else {
            lower = String::new();
            chunk
        };
        let mut send = |from: usize, to: usize| {
            if from < to {
                emit(Word { text: &chunk[from..to], source: Source::Run(first + from) });
            }
        };
        let mut start = 0;
        for (i, b) in chunk.bytes().enumerate() {
            match self.ascii[usize::from(b)] {
                Class::Letter => continue,
                Class::Punctuation => {
                    send(start, i);
                    send(i, i + 1);
                }
                Class::Space | Class::Removed => send(start, i),
            }
            start = i + 1;
        }
        send(start, chunk.len());
        self.word = lower;
    }

    /// Any text; returns the code point after its last.
    fn split_any(&mut self, chunk: &str, first: usize, emit: &mut impl FnMut(Word<'_>)) -> usize {
        let end = self.clean(chunk, first);
        if self.options.strip_accents {
            self.strip_accents();
        }
        self.word.clear();
        self.spans.clear();
        let chars = std::mem::take(&mut self.chars);
        for &(c, span) in &chars {
            if self.options.lowercase && !c.is_ascii() {
                c.to_lowercase().for_each(|c| self.letter(c, span, emit));
            } else {
                let c = if self.options.lowercase { c.to_ascii_lowercase() } else { c };
                self.letter(c, span, emit);
            }
        }
        self.finish_word(emit);
        self.chars = chars;
        end
    }

    /// Fills `chars` with what cleaning leaves, blanks put around Chinese characters.
    fn clean(&mut self, chunk: &str, first: usize) -> usize {
        self.chars.clear();
        let mut position = first;
        for c in chunk.chars() {
            let span = (position, position + 1);
            position += 1;
            if self.options.clean_text && holds(CONTROL, c) {
                continue;
            }
            if self.options.handle_chinese_chars && is_chinese(c) {
                self.chars.extend([(' ', span), (c, span), (' ', span)]);
            } else {
                self.chars.push((c, span));
            }
        }
        position
    }

    /// Canonical decomposition and ordering of `chars`, then nonspacing marks out.
    ///
    /// Places follow the order of the text even where ordering swaps two marks: the n-th character that leads a
    /// decomposition takes the place of the n-th character of the text, as in the `tokenizers` package.
    fn strip_accents(&mut self) {
        self.parts.clear();
        for &(c, _) in &self.chars {
            if c.is_ascii() {
                self.parts.push((c, 0, true));
                continue;
            }
            let mut leads = true;
            decompose(c, |part| {
                let class = if holds(REORDERED, part) { canonical_combining_class(part) } else { 0 };
                self.parts.push((part, class, leads));
                leads = false;
            });
        }
        for marks in self.parts.chunk_by_mut(|a, b| a.1 != 0 && b.1 != 0) {
            if marks.len() > 1 {
                marks.sort_by_key(|&(_, class, _)| class);
            }
        }
        let spans: Vec<Span> = self.chars.iter().map(|&(_, span)| span).collect();
        self.chars.clear();
        let mut taken = 0;
        for &(c, _, leads) in &self.parts {
            taken += usize::from(leads);
            if !holds(NONSPACING, c) {
                self.chars.push((c, spans[taken.saturating_sub(1)]));
            }
        }
    }

    fn letter(&mut self, c: char, span: Span, emit: &mut impl FnMut(Word<'_>)) {
        if c.is_whitespace() {
            self.finish_word(emit);
        } else if holds(PUNCTUATION, c) {
            self.finish_word(emit);
            self.push(c, span);
            self.finish_word(emit);
        } else {
            self.push(c, span);
        }
    }

    fn push(&mut self, c: char, span: Span) {
        self.word.push(c);
        self.spans.extend(std::iter::repeat_n(span, c.len_utf8()));
    }

    fn finish_word(&mut self, emit: &mut impl FnMut(Word<'_>)) {
        if !self.word.is_empty() {
            emit(Word { text: &self.word, source: Source::Bytes(&self.spans) });
            self.word.clear();
            self.spans.clear();
        }
    }
}

/// The blocks that BERT calls Chinese: CJK Unified Ideographs, their extensions A to E, and compatibility forms.
pub(crate) fn is_chinese(c: char) -> bool {
    matches!(u32::from(c), 0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x20000..=0x2A6DF | 0x2A700..=0x2B73F | 0x2B740..=0x2B81F
        | 0x2B920..=0x2CEAF | 0xF900..=0xFAFF | 0x2F800..=0x2FA1F)
}

/// Canonical decomposition as of Unicode 12, the version of the `tokenizers` package: what was added since stays whole.
pub(crate) fn decompose(c: char, mut part: impl FnMut(char)) {
    match u32::from(c) {
        0x105C9..=0x105E4 | 0x11383..=0x113C8 | 0x11938 | 0x16121..=0x16128 | 0x16D68..=0x16D6A => part(c),
        _ => decompose_canonical(c, part),
    }
}
