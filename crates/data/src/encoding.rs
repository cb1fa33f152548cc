//! A text as token ids, with the place of each token in the text.

use std::ops::Range;

/// A text, or a pair of texts, as tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids.
    pub ids: Vec<u32>,
    /// 0 for tokens of the first text, 1 for those of the second.
    pub types: Vec<u32>,
    /// Place of each token in its text: first code point and one past the last, as Python counts. (0, 0) for what was
    /// added.
    pub offsets: Vec<(usize, usize)>,
    /// Whether a token was added: `[CLS]`, `[SEP]`, padding.
    pub special: Vec<bool>,
    /// The number of the word in its text that a token is of. None for what was added.
    pub words: Vec<Option<u32>>,
    /// Whether a token is none of the padding.
    pub mask: Vec<bool>,
}

impl Encoding {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The offsets as byte ranges of `text`, the text that was encoded. Offsets past its end become its length.
    pub fn byte_ranges(&self, text: &str) -> Vec<Range<usize>> {
        let mut starts: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
        starts.push(text.len());
        let byte = |position: usize| starts.get(position).copied().unwrap_or(text.len());
        self.offsets.iter().map(|&(from, to)| byte(from)..byte(to)).collect()
    }

    pub(crate) fn push(&mut self, id: u32, offsets: (usize, usize), word: u32) {
        self.ids.push(id);
        self.types.push(0);
        self.offsets.push(offsets);
        self.special.push(false);
        self.words.push(Some(word));
        self.mask.push(true);
    }

    pub(crate) fn push_special(&mut self, id: u32, kind: u32) {
        self.ids.push(id);
        self.types.push(kind);
        self.offsets.push((0, 0));
        self.special.push(true);
        self.words.push(None);
        self.mask.push(true);
    }

    /// Tokens `from..to`.
    pub(crate) fn part(&self, from: usize, to: usize) -> Self {
        Self {
            ids: self.ids[from..to].to_vec(),
            types: self.types[from..to].to_vec(),
            offsets: self.offsets[from..to].to_vec(),
            special: self.special[from..to].to_vec(),
            words: self.words[from..to].to_vec(),
            mask: self.mask[from..to].to_vec(),
        }
    }

    /// With the tokens of a further text.
    pub(crate) fn followed_by(mut self, other: &Self) -> Self {
        if self.is_empty() {
            return other.clone();
        }
        self.ids.extend_from_slice(&other.ids);
        self.types.extend_from_slice(&other.types);
        self.offsets.extend_from_slice(&other.offsets);
        self.special.extend_from_slice(&other.special);
        self.words.extend_from_slice(&other.words);
        self.mask.extend_from_slice(&other.mask);
        self
    }

    /// Fills up to `length` tokens, at the left or the right end. Longer ones stay as they are.
    pub fn pad(&mut self, length: usize, id: u32, kind: u32, side: Side) {
        let missing = length.saturating_sub(self.len());
        let at = match side {
            Side::Left => 0,
            Side::Right => self.len(),
        };
        fill(&mut self.ids, at, missing, id);
        fill(&mut self.types, at, missing, kind);
        fill(&mut self.offsets, at, missing, (0, 0));
        fill(&mut self.special, at, missing, true);
        fill(&mut self.words, at, missing, None);
        fill(&mut self.mask, at, missing, false);
    }
}

fn fill<T: Clone>(list: &mut Vec<T>, at: usize, count: usize, value: T) {
    list.splice(at..at, std::iter::repeat_n(value, count));
}

/// An end of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Side {
    /// The first token.
    Left,
    /// The last token.
    #[default]
    Right,
}

/// Which text of a pair gives way when both are too long together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Truncation {
    /// The longer one first, down to the length of the shorter; then both.
    #[default]
    LongestFirst,
    /// Only the first.
    OnlyFirst,
    /// Only the second.
    OnlySecond,
}

impl Truncation {
    /// Lengths of two texts that together have at most `room` tokens. `None` if the text that must give way cannot
    /// (it would have to lose all of its tokens, or more).
    pub(crate) fn lengths(self, first: usize, second: usize, room: usize) -> Option<(usize, usize)> {
        let excess = (first + second).saturating_sub(room);
        if excess == 0 {
            return Some((first, second));
        }
        match self {
            Self::OnlyFirst => (first > excess).then(|| (first - excess, second)),
            Self::OnlySecond => (second > excess).then(|| (first, second - excess)),
            Self::LongestFirst => {
                let short = first.min(second);
                let mut lengths = (short, room.saturating_sub(short).max(short));
                if lengths.0 + lengths.1 > room {
                    lengths = (room / 2, room - room / 2);
                }
                Some(if first > second { (lengths.1, lengths.0) } else { lengths })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_pairs() {
        let long = Truncation::LongestFirst;
        assert_eq!(long.lengths(2, 4, 7), Some((2, 4)));
        assert_eq!(long.lengths(4, 4, 7), Some((3, 4)));
        assert_eq!(long.lengths(2, 8, 7), Some((2, 5)));
        assert_eq!(long.lengths(8, 2, 7), Some((5, 2)));
        assert_eq!(long.lengths(8, 4, 7), Some((4, 3)));
        assert_eq!(long.lengths(0, 8, 0), Some((0, 0)));
        assert_eq!(Truncation::OnlyFirst.lengths(5, 3, 6), Some((3, 3)));
        assert_eq!(Truncation::OnlyFirst.lengths(2, 8, 6), None);
        assert_eq!(Truncation::OnlySecond.lengths(2, 8, 6), Some((2, 4)));
    }

    #[test]
    fn byte_ranges_of_code_points() {
        let encoding = Encoding { offsets: vec![(0, 0), (0, 1), (1, 3), (3, 9)], ..Encoding::default() };
        assert_eq!(encoding.byte_ranges("éa中"), [0..0, 0..2, 2..6, 6..6]);
    }
}
