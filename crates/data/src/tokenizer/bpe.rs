//! Byte pair encoding: neighbours that were merged first in training are merged first.
//!
//! Source: Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units", 2016; over bytes:
//! the code of GPT-2.

use super::aligned::{Aligned, Slice};
use super::bytes;
use super::cache::{Cache, Token};
use super::vocab::Vocab;
use crate::error::{Error, Result};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Words of more symbols are merged with a heap.
const SHORT: usize = 48;

/// A part of a word: token and bytes.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    id: u32,
    length: u32,
}

/// What two neighbours become: (rank, token).
type Merge = (u32, u32);

/// Merges over a vocabulary.
#[derive(Debug, Clone)]
pub(crate) struct Bpe {
    /// Pairs in the order of their ranks.
    pub(crate) pairs: Vec<(u32, u32)>,
    /// Where the merges of each left token begin.
    first: Vec<u32>,
    /// (right token, rank, merged token), by left token, then in ascending order.
    merges: Vec<(u32, u32, u32)>,
    /// The token of each byte, if each has one.
    bytes: Option<Box<[u32; 256]>>,
    /// The tokens `<0x00>` to `<0xFF>`, for characters without token.
    fallback: Vec<Option<u32>>,
    pub(crate) options: Options,
    unknown: Option<u32>,
    cache: Cache,
}

/// The settings of a `tokenizer.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) unknown: Option<String>,
    pub(crate) fuse_unknown: bool,
    pub(crate) byte_fallback: bool,
    pub(crate) ignore_merges: bool,
    /// Before each symbol of a word but the first.
    pub(crate) prefix: String,
    /// Behind the last symbol of a word.
    pub(crate) suffix: String,
}

impl Bpe {
    /// From merges of tokens, the first in training first.
    pub(crate) fn new(source: &str, vocab: &Vocab, merges: &[(String, String)], options: Options) -> Result<Self> {
        let mut pairs = Vec::with_capacity(merges.len());
        let mut all = Vec::with_capacity(merges.len());
        for (rank, (left, right)) in merges.iter().enumerate() {
            let id = |token: &str| {
                vocab.id(token).ok_or_else(|| {
                    let message =
                        format!("merge {rank}, `{left} {right}`, needs the token `{token}`, which is not there");
                    Error::content(source, message)
                })
            };
            let merged = format!("{left}{}", right.strip_prefix(&options.prefix).unwrap_or(right));
            let (left, right, merged) = (id(left)?, id(right)?, id(&merged)?);
            pairs.push((left, right));
            all.push((left, right, rank as u32, merged));
        }
        // Of the same pair the last rank counts.
        all.sort_unstable_by_key(|&(left, right, rank, _)| (left, right, Reverse(rank)));
        all.dedup_by_key(|&mut (left, right, ..)| (left, right));
        let mut first = vec![0; vocab.tokens.len() + 1];
        for &(left, ..) in &all {
            first[left as usize + 1] += 1;
        }
        for at in 1..first.len() {
            first[at] += first[at - 1];
        }
        let merges = all.into_iter().map(|(_, right, rank, merged)| (right, rank, merged)).collect();
        let table: Option<Vec<u32>> = bytes::CHARS.iter().map(|c| vocab.id(c.encode_utf8(&mut [0; 4]))).collect();
        let table = table.filter(|_| options.prefix.is_empty() && options.suffix.is_empty());
        let unknown = match &options.unknown {
            Some(token) => Some(vocab.need(source, token)?),
            None => None,
        };
        let fallback = (0..256).map(|byte| vocab.id(&format!("<0x{byte:02X}>"))).collect();
        let bytes = table.and_then(|table| <Box<[u32; 256]>>::try_from(table).ok());
        Ok(Self { pairs, first, merges, bytes, fallback, options, unknown, cache: Cache::default() })
    }

    /// The tokens of a word, whose bytes are written in GPT-2's alphabet if `byte_level`.
    pub(crate) fn cut(
        &self,
        vocab: &Vocab,
        word: Slice<'_>,
        byte_level: bool,
        emit: &mut dyn FnMut(u32, (usize, usize)),
    ) {
        let span = |(id, from, to): Token, word: Slice<'_>, emit: &mut dyn FnMut(u32, (usize, usize))| {
            emit(id, word.span(from as usize, to as usize));
        };
        if !byte_level {
            let text = word.text;
            self.cache
                .tokens(text.as_bytes(), &mut |token| span(token, word, emit), |out| self.whole(vocab, text, out));
            return;
        }
        if let Some(table) = self.bytes.as_deref().filter(|_| !self.options.ignore_merges) {
            let raw = word.text.as_bytes();
            self.cache.tokens(raw, &mut |token| span(token, word, emit), |out| {
                let symbols = raw.iter().map(|&byte| Symbol { id: table[usize::from(byte)], length: 1 }).collect();
                self.merge(symbols, out);
            });
            return;
        }
        let mut mapped = Aligned::new(word);
        let changes: Vec<_> = word
            .text
            .chars()
            .flat_map(|c| {
                let mut buffer = [0; 4];
                let all = c.encode_utf8(&mut buffer).bytes().enumerate();
                all.map(|(i, byte)| (bytes::CHARS[usize::from(byte)], isize::from(i > 0))).collect::<Vec<_>>()
            })
            .collect();
        mapped.transform(changes, 0);
        let word = mapped.slice();
        let text = word.text;
        self.cache.tokens(text.as_bytes(), &mut |token| span(token, word, emit), |out| self.whole(vocab, text, out));
    }

    /// The tokens of a word, character by character at first.
    fn whole(&self, vocab: &Vocab, word: &str, out: &mut Vec<Token>) {
        let options = &self.options;
        if options.ignore_merges
            && let Some(id) = vocab.id(word)
        {
            out.push((id, 0, word.len() as u32));
            return;
        }
        let mut symbols = Vec::with_capacity(word.len());
        let mut unknown: Option<Symbol> = None;
        let mut name = String::new();
        for (at, c) in word.char_indices() {
            let length = c.len_utf8();
            name.clear();
            if at > 0 {
                name.push_str(&options.prefix);
            }
            name.push(c);
            if at + length == word.len() {
                name.push_str(&options.suffix);
            }
            if let Some(id) = vocab.id(&name) {
                symbols.extend(unknown.take());
                symbols.push(Symbol { id, length: length as u32 });
                continue;
            }
            if options.byte_fallback {
                let bytes: Option<Vec<u32>> = name.bytes().map(|byte| self.fallback[usize::from(byte)]).collect();
                if let Some(bytes) = bytes {
                    symbols.extend(bytes.into_iter().map(|id| Symbol { id, length: 1 }));
                    continue;
                }
            }
            let Some(id) = self.unknown else { continue };
            match &mut unknown {
                Some(before) if options.fuse_unknown => before.length += length as u32,
                _ => symbols.extend(unknown.replace(Symbol { id, length: length as u32 })),
            }
        }
        symbols.extend(unknown);
        self.merge(symbols, out);
    }

    /// What two tokens become.
    fn pair(&self, left: u32, right: u32) -> Option<Merge> {
        let (from, to) = (*self.first.get(left as usize)?, *self.first.get(left as usize + 1)?);
        let merges = &self.merges[from as usize..to as usize];
        let at = merges.binary_search_by_key(&right, |&(right, ..)| right).ok()?;
        Some((merges[at].1, merges[at].2))
    }

    fn merge(&self, symbols: Vec<Symbol>, out: &mut Vec<Token>) {
        let symbols = if symbols.len() <= SHORT { self.merge_short(symbols) } else { self.merge_long(symbols) };
        let mut at = 0;
        for Symbol { id, length } in symbols {
            out.push((id, at, at + length));
            at += length;
        }
    }

    /// The lowest rank is searched each time.
    fn merge_short(&self, mut symbols: Vec<Symbol>) -> Vec<Symbol> {
        const NONE: Merge = (u32::MAX, 0);
        let mut merges: Vec<Merge> =
            symbols.windows(2).map(|pair| self.pair(pair[0].id, pair[1].id).unwrap_or(NONE)).collect();
        loop {
            let mut best = (NONE, 0);
            for (at, &merge) in merges.iter().enumerate() {
                if merge.0 < best.0.0 {
                    best = (merge, at);
                }
            }
            let ((rank, id), at) = best;
            if rank == NONE.0 {
                return symbols;
            }
            symbols[at] = Symbol { id, length: symbols[at].length + symbols[at + 1].length };
            symbols.remove(at + 1);
            merges.remove(at);
            if at > 0 {
                merges[at - 1] = self.pair(symbols[at - 1].id, id).unwrap_or(NONE);
            }
            if let Some(next) = symbols.get(at + 1) {
                merges[at] = self.pair(id, next.id).unwrap_or(NONE);
            }
        }
    }

    /// Candidates wait in a heap; those that do not fit any more are passed over. n log n for n symbols.
    fn merge_long(&self, mut symbols: Vec<Symbol>) -> Vec<Symbol> {
        let count = symbols.len();
        let mut next: Vec<usize> = (1..=count).collect();
        let mut before: Vec<Option<usize>> = (0..count).map(|at| at.checked_sub(1)).collect();
        let mut heap = BinaryHeap::new();
        for (at, pair) in symbols.windows(2).enumerate() {
            if let Some((rank, id)) = self.pair(pair[0].id, pair[1].id) {
                heap.push(Reverse((rank, at, id)));
            }
        }
        while let Some(Reverse((rank, at, id))) = heap.pop() {
            let right = next[at];
            if symbols[at].length == 0
                || right >= count
                || self.pair(symbols[at].id, symbols[right].id) != Some((rank, id))
            {
                continue;
            }
            symbols[at] = Symbol { id, length: symbols[at].length + symbols[right].length };
            symbols[right].length = 0;
            next[at] = next[right];
            if let Some(before) = before.get_mut(next[at]) {
                *before = Some(at);
            }
            if let Some(left) = before[at]
                && let Some((rank, id)) = self.pair(symbols[left].id, id)
            {
                heap.push(Reverse((rank, left, id)));
            }
            if let Some(right) = symbols.get(next[at])
                && let Some((rank, id)) = self.pair(id, right.id)
            {
                heap.push(Reverse((rank, at, id)));
            }
        }
        symbols.into_iter().filter(|symbol| symbol.length > 0).collect()
    }
}
