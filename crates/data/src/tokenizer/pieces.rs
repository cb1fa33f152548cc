//! WordPiece over any vocabulary and prefix: the longest piece first.

use super::vocab::Vocab;
use crate::trie::{Place, Trie};

/// A vocabulary of pieces.
#[derive(Debug, Clone)]
pub(crate) struct Pieces {
    trie: Trie,
    /// Where the pieces inside of a word begin: behind the prefix.
    inside: Option<Place>,
    pub(crate) prefix: String,
    pub(crate) unknown: u32,
    pub(crate) longest_word: usize,
}

impl Pieces {
    /// From a vocabulary and what begins the pieces inside of words.
    pub(crate) fn new(vocab: &Vocab, prefix: &str, unknown: u32, longest_word: usize) -> Self {
        let trie = Trie::new(&vocab.sorted());
        let inside = trie.descend(Trie::ROOT, prefix.as_bytes());
        Self { trie, inside, prefix: prefix.to_owned(), unknown, longest_word }
    }

    /// The pieces of a word, or one unknown token: id, first byte and one past the last in the word.
    pub(crate) fn cut(&self, word: &str, mut emit: impl FnMut(u32, usize, usize)) {
        let bytes = word.as_bytes();
        let mut found = vec![];
        let (mut at, mut place) = (0, Some(Trie::ROOT));
        let fits = bytes.len() <= self.longest_word || word.chars().count() <= self.longest_word;
        while at < bytes.len() && fits {
            let longest = place.and_then(|place| self.trie.longest(place, &bytes[at..]));
            let Some((id, length)) = longest else { break };
            found.push((id, at, at + length));
            at += length;
            place = self.inside;
        }
        if at < bytes.len() {
            return emit(self.unknown, 0, bytes.len());
        }
        found.into_iter().for_each(|(id, from, to)| emit(id, from, to));
    }
}
