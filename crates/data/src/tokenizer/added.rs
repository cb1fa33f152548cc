//! Tokens that are found in a text as they are written: special ones, and what users added.

use super::aligned::{Aligned, Slice};
use super::normal::Normal;
use super::pretokens::class;
use crate::trie::Trie;
use std::collections::BTreeMap;

/// A token that is found in texts before they are cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) id: u32,
    pub(crate) content: String,
    /// Only where neither a letter nor a digit stands beside it.
    pub(crate) single_word: bool,
    /// White space before it belongs to it.
    pub(crate) left: bool,
    /// White space behind it belongs to it.
    pub(crate) right: bool,
    /// It is looked for after normalisation, and normalised itself.
    pub(crate) normalized: bool,
    /// It can be left out of decoded text.
    pub(crate) special: bool,
}

/// All added tokens.
#[derive(Debug, Clone)]
pub(crate) struct AddedTokens {
    pub(crate) all: Vec<Added>,
    by_id: BTreeMap<u32, usize>,
    raw: Finder,
    normalized: Finder,
}

/// What a text is cut into.
pub(crate) enum Part<'a> {
    Text(Slice<'a>),
    Token(u32, Slice<'a>),
}

/// Finds the longest of some tokens at the first place that has one.
#[derive(Debug, Clone)]
struct Finder {
    trie: Trie,
    /// The first bytes of the tokens.
    first: Box<[bool; 256]>,
    any: bool,
}

impl Finder {
    /// From contents with the place of each in the list.
    fn new(contents: BTreeMap<String, u32>) -> Self {
        let contents: Vec<(&[u8], u32)> =
            contents.iter().filter(|(c, _)| !c.is_empty()).map(|(c, &at)| (c.as_bytes(), at)).collect();
        let mut first = Box::new([false; 256]);
        contents.iter().for_each(|(content, _)| first[usize::from(content[0])] = true);
        Self { trie: Trie::new(&contents), first, any: !contents.is_empty() }
    }

    /// The first token from byte `from` on: number, first byte, one past the last.
    fn find(&self, text: &[u8], from: usize) -> Option<(u32, usize, usize)> {
        let mut at = from;
        while let Some(step) = text.get(at..)?.iter().position(|&byte| self.first[usize::from(byte)]) {
            at += step;
            if let Some((token, length)) = self.trie.longest(Trie::ROOT, &text[at..]) {
                return Some((token, at, at + length));
            }
            at += 1;
        }
        None
    }
}

impl AddedTokens {
    /// From tokens in the order of the file, and the normalisation of texts.
    pub(crate) fn new(all: Vec<Added>, normals: &[Normal]) -> Self {
        let (mut raw, mut normalized) = (BTreeMap::new(), BTreeMap::new());
        // Special tokens come first, and of equal contents the first counts.
        let order = (0..all.len()).filter(|&i| all[i].special).chain((0..all.len()).filter(|&i| !all[i].special));
        for at in order {
            let added = &all[at];
            if added.normalized {
                let mut content = Aligned::new(Slice::whole(&added.content));
                normals.iter().for_each(|normal| normal.apply(&mut content));
                normalized.entry(content.text).or_insert(at as u32);
            } else {
                raw.entry(added.content.clone()).or_insert(at as u32);
            }
        }
        let by_id = all.iter().enumerate().map(|(at, added)| (added.id, at)).collect();
        Self { all, by_id, raw: Finder::new(raw), normalized: Finder::new(normalized) }
    }

    /// The added token of an id.
    pub(crate) fn get(&self, id: u32) -> Option<&Added> {
        self.by_id.get(&id).map(|&at| &self.all[at])
    }

    /// Whether any is looked for after normalisation.
    pub(crate) fn any_normalized(&self) -> bool {
        self.normalized.any
    }

    /// Cuts a text at the tokens that are looked for before, or after normalisation.
    pub(crate) fn split<'a>(&self, normalized: bool, text: Slice<'a>, mut emit: impl FnMut(Part<'a>)) {
        let finder = if normalized { &self.normalized } else { &self.raw };
        let all = text.text;
        let text_part = |from: usize, to: usize, emit: &mut dyn FnMut(Part<'a>)| {
            if from < to {
                emit(Part::Text(text.part(from, to)));
            }
        };
        let (mut done, mut at) = (0, 0);
        while let Some((number, from, to)) =
            Some(all).filter(|_| finder.any).and_then(|all| finder.find(all.as_bytes(), at))
        {
            at = to;
            let added = &self.all[number as usize];
            let is_word = |c: Option<char>| c.is_some_and(|c| class(c) & class::WORD != 0);
            if added.single_word && (is_word(all[..from].chars().next_back()) || is_word(all[to..].chars().next())) {
                continue;
            }
            let from = if added.left { all[..from].trim_end().len() } else { from }.max(done);
            let to = if added.right { all.len() - all[to..].trim_start().len() } else { to };
            if from >= to {
                continue;
            }
            text_part(done, from, &mut emit);
            emit(Part::Token(added.id, text.part(from, to)));
            done = to;
        }
        text_part(done, all.len(), &mut emit);
    }
}
