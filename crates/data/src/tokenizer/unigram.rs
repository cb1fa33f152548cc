//! Unigram: the most likely way to cut a text into pieces that have probabilities.
//!
//! Source: Kudo, "Subword regularization", 2018; the code of SentencePiece. Viterbi over bytes: the best sum of scores
//! (logarithms) that ends at each place. A character without piece costs 10 more than the rarest piece, and neighbours of
//! that kind become one unknown token.

use super::aligned::Slice;
use super::cache::{Cache, Token};
use super::vocab::Vocab;
use crate::trie::Trie;

/// What an unknown character costs beyond the lowest score.
const PENALTY: f64 = 10.0;

/// Pieces with scores.
#[derive(Debug, Clone)]
pub(crate) struct Unigram {
    /// The score of each id.
    pub(crate) scores: Vec<f64>,
    /// The tokens `<0x00>` to `<0xFF>`, if unknown characters become bytes.
    fallback: Option<Vec<u32>>,
    pub(crate) byte_fallback: bool,
    pub(crate) unknown: u32,
    lowest: f64,
    trie: Trie,
    cache: Cache,
}

/// The best way to a place: score, where its last piece starts, and which that is.
#[derive(Debug, Clone, Copy)]
struct Way {
    score: f64,
    start: u32,
    id: u32,
}

/// No way leads here.
const NOWHERE: Way = Way { score: 0.0, start: u32::MAX, id: 0 };

impl Unigram {
    /// From the score of each token of the vocabulary.
    pub(crate) fn new(vocab: &Vocab, scores: Vec<f64>, unknown: u32, byte_fallback: bool) -> Self {
        let trie = Trie::new(&vocab.sorted());
        let fallback = (0..256).map(|byte| vocab.id(&format!("<0x{byte:02X}>"))).collect::<Option<_>>();
        let lowest = scores.iter().copied().fold(f64::INFINITY, f64::min);
        let fallback = fallback.filter(|_| byte_fallback);
        Self { scores, fallback, byte_fallback, unknown, lowest, trie, cache: Cache::default() }
    }

    /// The tokens of a text.
    pub(crate) fn cut(&self, text: Slice<'_>, emit: &mut dyn FnMut(u32, (usize, usize))) {
        let word = text.text;
        let mut span = |(id, from, to): Token| emit(id, text.span(from as usize, to as usize));
        self.cache.tokens(word.as_bytes(), &mut span, |out| self.viterbi(word, out));
    }

    fn viterbi(&self, text: &str, out: &mut Vec<Token>) {
        let bytes = text.as_bytes();
        let mut ways = vec![NOWHERE; bytes.len() + 1];
        let reach = |way: &mut Way, score: f64, start: usize, id: u32| {
            if way.start == u32::MAX || score > way.score {
                *way = Way { score, start: start as u32, id };
            }
        };
        for (start, c) in text.char_indices() {
            let here = ways[start].score;
            let single = start + c.len_utf8();
            let mut has_single = false;
            let mut place = Some(Trie::ROOT);
            for (at, &byte) in bytes.iter().enumerate().skip(start) {
                place = place.and_then(|place| self.trie.child(place, byte));
                let Some(place) = place else { break };
                if let Some(id) = self.trie.token(place) {
                    reach(&mut ways[at + 1], self.scores[id as usize] + here, start, id);
                    has_single |= at + 1 == single;
                }
            }
            if !has_single {
                reach(&mut ways[single], self.lowest - PENALTY + here, start, self.unknown);
            }
        }
        let mut end = bytes.len();
        let mut pieces: Vec<(u32, usize, usize)> = vec![];
        while end > 0 {
            let Way { start, id, .. } = ways[end];
            let start = start as usize;
            match pieces.last_mut().filter(|(before, ..)| (*before, id) == (self.unknown, self.unknown)) {
                Some(unknown) => unknown.1 = start,
                None => pieces.push((id, start, end)),
            }
            end = start;
        }
        for &(id, from, to) in pieces.iter().rev() {
            let id = if id == self.unknown { self.whole(&bytes[from..to]) } else { Some(id) };
            let (from32, to32) = (from as u32, to as u32);
            match (id, &self.fallback) {
                (Some(id), _) => out.push((id, from32, to32)),
                (None, Some(table)) => {
                    out.extend(bytes[from..to].iter().map(|&byte| (table[usize::from(byte)], from32, to32)));
                }
                (None, None) => out.push((self.unknown, from32, to32)),
            }
        }
    }

    /// The token that is all of these bytes.
    fn whole(&self, bytes: &[u8]) -> Option<u32> {
        self.trie.descend(Trie::ROOT, bytes).and_then(|place| self.trie.token(place))
    }
}
