//! How a normalised text is split into words: the pre-tokenizers of a `tokenizer.json`.

use super::aligned::{Aligned, Slice};
use super::classes::{LETTERS, NUMBERS, WORD};
use crate::unicode::{PUNCTUATION, holds};
use std::sync::LazyLock;

/// One step of splitting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Split {
    /// At white space, and each punctuation mark alone.
    Bert,
    /// At white space.
    Blanks,
    /// Words, and runs of what is neither word nor white space.
    Whitespace,
    /// Each punctuation mark alone.
    Punctuation,
    /// Numbers apart, or each digit alone.
    Digits { alone: bool },
    /// GPT-2's words, each with the blank before it.
    ByteLevel { prefix: bool, regex: bool },
    /// Blanks as `mark`, which begins each word.
    Metaspace { mark: char, prefix: Prefix, split: bool },
}

/// Whether a mark is put before a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefix {
    Never,
    /// At the start of the original only.
    First,
    Always,
}

/// Calls `emit` with each word that these steps leave, none of which is empty.
pub(crate) fn split(steps: &[Split], text: Slice<'_>, emit: &mut dyn FnMut(Slice<'_>)) {
    let Some((step, rest)) = steps.split_first() else {
        if !text.text.is_empty() {
            emit(text);
        }
        return;
    };
    let mut next = |from: usize, to: usize| {
        if from < to {
            split(rest, text.part(from, to), emit);
        }
    };
    match *step {
        Split::Bert => pieces(
            text.text,
            |c| match c {
                _ if c.is_whitespace() => Kind::Gap,
                _ if holds(PUNCTUATION, c) => Kind::Alone,
                _ => Kind::Run(0),
            },
            &mut next,
        ),
        Split::Blanks => {
            pieces(text.text, |c| if c.is_whitespace() { Kind::Gap } else { Kind::Run(0) }, &mut next);
        }
        Split::Whitespace => pieces(
            text.text,
            |c| match c {
                _ if c.is_whitespace() => Kind::Gap,
                _ => Kind::Run(u8::from(class(c) & class::WORD == 0)),
            },
            &mut next,
        ),
        Split::Punctuation => {
            pieces(text.text, |c| if holds(PUNCTUATION, c) { Kind::Alone } else { Kind::Run(0) }, &mut next);
        }
        Split::Digits { alone } => pieces(
            text.text,
            |c| match class(c) & class::NUMBER {
                0 => Kind::Run(0),
                _ if alone => Kind::Alone,
                _ => Kind::Run(1),
            },
            &mut next,
        ),
        Split::ByteLevel { prefix, regex } => {
            let prefixed;
            let text = if prefix && !text.text.starts_with(' ') && !text.text.is_empty() {
                prefixed = with_prefix(text, " ");
                prefixed.slice()
            } else {
                text
            };
            let mut next = |from: usize, to: usize| split(rest, text.part(from, to), emit);
            if regex {
                gpt2(text.text, &mut next)
            } else if !text.text.is_empty() {
                next(0, text.text.len())
            }
        }
        Split::Metaspace { mark, prefix, split: cut } => {
            let mut marked = Aligned::new(text);
            let mut buffer = [0; 4];
            let content = mark.encode_utf8(&mut buffer);
            let blanks: Vec<_> = text.text.match_indices(' ').map(|(at, _)| (at, at + 1)).collect();
            marked.replace(&blanks, content);
            let wanted = match prefix {
                Prefix::Never => false,
                Prefix::First => text.start() == 0,
                Prefix::Always => true,
            };
            if wanted && !marked.text.starts_with(mark) {
                marked.prepend(content);
            }
            let text = marked.slice();
            let mut start = 0;
            let mut next = |from: usize, to: usize| {
                if from < to {
                    split(rest, text.part(from, to), emit);
                }
            };
            for (at, _) in text.text.match_indices(mark).filter(|_| cut) {
                next(start, at);
                start = at;
            }
            next(start, text.text.len());
        }
    }
}

fn with_prefix(text: Slice<'_>, prefix: &str) -> Aligned {
    let mut all = Aligned::new(text);
    all.prepend(prefix);
    all
}

/// How a character is split.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Left out.
    Gap,
    /// A word of its own.
    Alone,
    /// A word with its neighbours of the same number.
    Run(u8),
}

fn pieces(text: &str, kind: impl Fn(char) -> Kind, next: &mut impl FnMut(usize, usize)) {
    let (mut start, mut before) = (0, Kind::Gap);
    for (at, c) in text.char_indices() {
        let here = kind(c);
        if here != before || here == Kind::Alone {
            if before != Kind::Gap {
                next(start, at);
            }
            start = at;
        }
        before = here;
    }
    if before != Kind::Gap {
        next(start, text.len());
    }
}

/// Classes of characters.
pub(crate) mod class {
    pub(crate) const LETTER: u8 = 1;
    pub(crate) const NUMBER: u8 = 2;
    pub(crate) const SPACE: u8 = 4;
    pub(crate) const WORD: u8 = 8;
}

fn classify(c: char) -> u8 {
    (u8::from(holds(LETTERS, c)) * class::LETTER)
        | (u8::from(holds(NUMBERS, c)) * class::NUMBER)
        | (u8::from(c.is_whitespace()) * class::SPACE)
        | (u8::from(holds(WORD, c)) * class::WORD)
}

/// The classes of the first 65,536 characters.
static CLASSES: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..0x1_0000).map(|c| char::from_u32(c).map_or(0, classify)).collect());

/// The class of a character: a letter, a number, white space, part of words.
pub(crate) fn class(c: char) -> u8 {
    CLASSES.get(c as usize).copied().unwrap_or_else(|| classify(c))
}

/// GPT-2's words:
/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
fn gpt2(text: &str, next: &mut impl FnMut(usize, usize)) {
    const PARTS: u8 = class::LETTER | class::NUMBER | class::SPACE;
    let bytes = text.as_bytes();
    let kind = |at: usize| match bytes.get(at) {
        Some(_) => text[at..].chars().next().map(|c| (class(c) & PARTS, c.len_utf8())),
        None => None,
    };
    let classes = &*CLASSES;
    let mut start = 0;
    while let Some((first, width)) = kind(start) {
        let mut at = start + width;
        if bytes[start] == b'\'' {
            let short = ["s", "t", "re", "ve", "m", "ll", "d"].iter().find(|s| bytes[at..].starts_with(s.as_bytes()));
            if let Some(short) = short {
                next(start, at + short.len());
                start = at + short.len();
                continue;
            }
        }
        let mut run = first;
        if bytes[start] == b' '
            && let Some((second, width)) = kind(at)
            && second != class::SPACE
        {
            (run, at) = (second, at + width);
        }
        // The start of the last character of the run.
        let mut last = start;
        while let Some(&byte) = bytes.get(at) {
            let (here, width) =
                if byte < 128 { (classes[usize::from(byte)] & PARTS, 1) } else { kind(at).unwrap_or((0, 1)) };
            if here != run {
                break;
            }
            (last, at) = (at, at + width);
        }
        // White space leaves its last to the word behind it.
        if run == class::SPACE && at < bytes.len() && last > start {
            at = last;
        }
        next(start, at);
        start = at;
    }
}

/// Where GPT-2's words end, for tests.
#[cfg(test)]
pub(crate) fn gpt2_words(text: &str) -> Vec<&str> {
    let mut words = vec![];
    gpt2(text, &mut |from, to| words.push(&text[from..to]));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_gpt2() {
        assert_eq!(gpt2_words("I'll don't 'tis  x"), ["I", "'ll", " don", "'t", " '", "tis", " ", " x"]);
        assert_eq!(gpt2_words("a1 ½! \n\n b  "), ["a", "1", " ½", "!", " \n\n", " b", "  "]);
        assert_eq!(gpt2_words("\tx \u{a0}y"), ["\t", "x", " ", "\u{a0}", "y"]);
        assert_eq!(gpt2_words(""), [""; 0]);
    }
}
