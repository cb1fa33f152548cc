//! Unicode's normal forms, with what each character of the result replaces.
//!
//! Characters, classes and compositions come from the crate `unicode-normalization`. What Unicode gave a decomposition
//! after the version of the `tokenizers` package stays whole here as it does there. Source: UAX #15.

use super::aligned::Change;
use super::classes::WHOLE;
use crate::normalize::decompose;
use crate::unicode::{REORDERED, holds};
use unicode_normalization::char::{canonical_combining_class, compose, decompose_compatible};

/// A normal form of Unicode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Canonical decomposition.
    Nfd,
    /// Compatibility decomposition.
    Nfkd,
    /// Canonical decomposition and composition.
    Nfc,
    /// Compatibility decomposition, canonical composition.
    Nfkc,
}

impl Form {
    /// The characters of the normal form.
    pub(crate) fn changes(self, text: &str) -> Vec<Change> {
        let compatible = matches!(self, Self::Nfkd | Self::Nfkc);
        let parts = decomposed(text, compatible);
        match self {
            Self::Nfd | Self::Nfkd => parts.into_iter().map(|(c, _, change)| (c, change)).collect(),
            Self::Nfc | Self::Nfkc => composed(&parts),
        }
    }
}

/// Characters with their combining class and change, in canonical order.
fn decomposed(text: &str, compatible: bool) -> Vec<(char, u8, isize)> {
    let mut parts: Vec<(char, u8, isize)> = Vec::with_capacity(text.len());
    for c in text.chars() {
        let mut change = 0;
        let part = |c: char| {
            parts.push((c, class(c), change));
            change = 1;
        };
        if compatible { compatibly(c, part) } else { decompose(c, part) }
    }
    for marks in parts.chunk_by_mut(|a, b| a.1 != 0 && b.1 != 0) {
        if marks.len() > 1 {
            marks.sort_by_key(|&(_, class, _)| class);
        }
    }
    parts
}

fn composed(parts: &[(char, u8, isize)]) -> Vec<Change> {
    let mut out: Vec<Change> = Vec::with_capacity(parts.len());
    // The place in `out` of the last starter, and the class of what came after it and stayed.
    let (mut starter, mut last): (Option<usize>, Option<u8>) = (None, None);
    for &(c, class, change) in parts {
        if let Some(at) = starter
            && last.is_none_or(|last| last < class)
            && let Some(both) = join(out[at].0, c)
        {
            out[at] = (both, out[at].1 + change - 1);
            continue;
        }
        if class == 0 {
            starter = Some(out.len());
            last = None;
        } else if starter.is_some() {
            last = Some(class);
        }
        out.push((c, change));
    }
    out
}

fn class(c: char) -> u8 {
    if c >= '\u{300}' && holds(REORDERED, c) { canonical_combining_class(c) } else { 0 }
}

fn compatibly(c: char, mut part: impl FnMut(char)) {
    if c.is_ascii() || holds(WHOLE, c) { part(c) } else { decompose_compatible(c, part) }
}

fn join(a: char, b: char) -> Option<char> {
    compose(a, b).filter(|&both| !holds(WHOLE, both))
}
