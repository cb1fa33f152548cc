//! What is done to a text before it is split: the normalizers of a `tokenizer.json`.

use super::aligned::Aligned;
use super::charsmap::Charsmap;
use super::classes::MARKS;
use super::compose::Form;
use crate::normalize::{Normalizer, is_chinese};
use crate::unicode::{CONTROL, NONSPACING, holds};

/// One step of normalisation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Normal {
    Bert(Normalizer),
    Unicode(Form),
    Lowercase,
    StripAccents,
    Strip { left: bool, right: bool },
    Replace { pattern: Pattern, content: String },
    Prepend(String),
    Charsmap(Charsmap),
}

/// What is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// These characters.
    Text(String),
    /// Runs of at least so many blanks.
    Blanks(usize),
    /// Runs of at least so much white space.
    Spaces(usize),
}

impl Pattern {
    /// Of a regular expression: runs of blanks or white space are understood.
    pub(crate) fn of_regex(regex: &str) -> Option<Self> {
        Some(match regex {
            " +" => Self::Blanks(1),
            " {2,}" | "  +" => Self::Blanks(2),
            r"\s+" => Self::Spaces(1),
            r"\s{2,}" => Self::Spaces(2),
            _ => return None,
        })
    }

    /// Where the pattern is in a text.
    fn ranges(&self, text: &str) -> Vec<(usize, usize)> {
        match self {
            Self::Text(what) if what.is_empty() => vec![],
            Self::Text(what) => text.match_indices(what.as_str()).map(|(at, _)| (at, at + what.len())).collect(),
            Self::Blanks(least) => runs(text, *least, |c| c == ' '),
            Self::Spaces(least) => runs(text, *least, char::is_whitespace),
        }
    }
}

/// Runs of at least `least` characters of a kind.
fn runs(text: &str, least: usize, kind: impl Fn(char) -> bool) -> Vec<(usize, usize)> {
    let mut out = vec![];
    let (mut start, mut count) = (0, 0);
    for (at, c) in text.char_indices().chain([(text.len(), 'x')]) {
        if kind(c) {
            if count == 0 {
                start = at;
            }
            count += 1;
        } else {
            if count >= least {
                out.push((start, at));
            }
            count = 0;
        }
    }
    out
}

impl Normal {
    /// Does this step.
    pub(crate) fn apply(&self, text: &mut Aligned) {
        match self {
            Self::Bert(options) => bert(*options, text),
            Self::Unicode(form) => unicode(*form, text),
            Self::Lowercase => lowercase(text),
            Self::StripAccents => text.filter(|c| c.is_ascii() || !holds(MARKS, c)),
            Self::Strip { left, right } => strip(*left, *right, text),
            Self::Replace { pattern, content } => text.replace(&pattern.ranges(&text.text), content),
            Self::Prepend(content) => text.prepend(content),
            Self::Charsmap(map) => map.apply(text),
        }
    }
}

fn unicode(form: Form, text: &mut Aligned) {
    if !text.text.is_ascii() {
        text.transform(form.changes(&text.text), 0);
    }
}

fn lowercase(text: &mut Aligned) {
    if text.text.is_ascii() {
        text.text.make_ascii_lowercase();
        return;
    }
    let changes: Vec<_> =
        text.text.chars().flat_map(|c| c.to_lowercase().enumerate().map(|(i, c)| (c, isize::from(i > 0)))).collect();
    text.transform(changes, 0);
}

fn strip(left: bool, right: bool, text: &mut Aligned) {
    let all = &text.text;
    let from = if left { all.len() - all.trim_start().len() } else { 0 };
    let to = if right { all.trim_end().len().max(from) } else { all.len() };
    text.keep(from, to);
}

fn bert(options: Normalizer, text: &mut Aligned) {
    if options.clean_text {
        text.filter(|c| !holds(CONTROL, c));
        if text.text.chars().any(|c| c != ' ' && c.is_whitespace()) {
            let changes: Vec<_> = text.text.chars().map(|c| (if c.is_whitespace() { ' ' } else { c }, 0)).collect();
            text.transform(changes, 0);
        }
    }
    if options.handle_chinese_chars && text.text.chars().any(is_chinese) {
        let mut changes = Vec::with_capacity(text.text.len());
        for c in text.text.chars() {
            if is_chinese(c) {
                changes.extend([(' ', 0), (c, 1), (' ', 1)]);
            } else {
                changes.push((c, 0));
            }
        }
        text.transform(changes, 0);
    }
    if options.strip_accents {
        unicode(Form::Nfd, text);
        text.filter(|c| !holds(NONSPACING, c));
    }
    if options.lowercase {
        lowercase(text);
    }
}
