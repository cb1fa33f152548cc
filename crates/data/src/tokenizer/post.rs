//! What is put around texts, and how long ones are cut into parts: the post-processors of a `tokenizer.json`.

use crate::encoding::{Encoding, Side, Truncation};
use crate::error::{Error, Result};

/// More parts than this of one input are taken for a mistake.
const MOST_PARTS: usize = 1 << 20;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The first text or the second, with its type.
    Text { second: bool, kind: u32 },
    /// Special tokens, with their type.
    Special { ids: Vec<u32>, kind: u32 },
}

/// What is put around one text and around two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Post {
    pub(crate) single: Vec<Piece>,
    pub(crate) pair: Vec<Piece>,
    /// For each trimming of blanks off the offsets, whether a blank was put before texts.
    pub(crate) trims: Vec<bool>,
    /// All types are 0.
    pub(crate) untyped: bool,
}

impl Default for Post {
    fn default() -> Self {
        let text = |second: bool| Piece::Text { second, kind: u32::from(second) };
        Self { single: vec![text(false)], pair: vec![text(false), text(true)], trims: vec![], untyped: false }
    }
}

/// A text as tokens, with the blanks at both ends of each if offsets are trimmed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens {
    pub(crate) encoding: Encoding,
    pub(crate) blanks: Vec<(u32, u32)>,
}

impl Tokens {
    /// Tokens `from..to`.
    fn part(&self, from: usize, to: usize) -> Self {
        let blanks = self.blanks.get(from..to).unwrap_or_default().to_vec();
        Self { encoding: self.encoding.part(from, to), blanks }
    }

    /// Cuts into parts of at most `longest` tokens, `stride` of which come again in the next; the first is what is kept.
    fn parts(self, longest: usize, stride: usize, side: Side) -> Vec<Self> {
        let count = self.encoding.len();
        if longest >= count {
            return vec![self];
        }
        if longest == 0 {
            return vec![Self::default(), self];
        }
        let step = longest.saturating_sub(stride).max(1);
        let mut parts = vec![];
        match side {
            Side::Right => {
                for from in (0..count).step_by(step) {
                    let to = (from + longest).min(count);
                    parts.push(self.part(from, to));
                    if to == count {
                        break;
                    }
                }
            }
            Side::Left => {
                for to in (1..=count).rev().step_by(step) {
                    let from = to.saturating_sub(longest);
                    parts.push(self.part(from, to));
                    if from == 0 {
                        break;
                    }
                }
            }
        }
        parts
    }

    /// Takes the blanks off the offsets. The one blank that was put before the text stays where it never was.
    pub(crate) fn trim(&mut self, prefixed: bool) {
        for (i, (offsets, &(leading, trailing))) in self.encoding.offsets.iter_mut().zip(&self.blanks).enumerate() {
            let kept = leading == 1 && prefixed && (i == 0 || offsets.0 == 0);
            let (leading, trailing) = (if kept { 0 } else { leading as usize }, trailing as usize);
            offsets.0 = (offsets.0 + leading).min(offsets.1);
            if offsets.1 >= trailing {
                offsets.1 = (offsets.1 - trailing).max(offsets.0);
            }
        }
    }
}

impl Post {
    /// How many special tokens are added.
    pub(crate) fn added(&self, pair: bool) -> usize {
        let pieces = if pair { &self.pair } else { &self.single };
        pieces.iter().map(|piece| if let Piece::Special { ids, .. } = piece { ids.len() } else { 0 }).sum()
    }

    /// Cuts one or two texts to `room` tokens together and puts special tokens around: what is kept, then what is over.
    pub(crate) fn apply(
        &self,
        first: Tokens,
        second: Option<Tokens>,
        max_length: Option<usize>,
        truncation: Truncation,
        stride: usize,
        side: Side,
    ) -> Result<Vec<Encoding>> {
        let pieces = if second.is_some() { &self.pair } else { &self.single };
        let mut texts = match (max_length, second) {
            (None, None) => vec![vec![first]],
            (None, Some(second)) => vec![vec![first], vec![second]],
            (Some(max_length), second) => {
                let added = self.added(second.is_some());
                let Some(room) = max_length.checked_sub(added) else {
                    let message = format!("a length of {max_length} has no room for the {added} special tokens");
                    return Err(Error::argument("encode", message));
                };
                let counts = (first.encoding.len(), second.as_ref().map_or(0, |s| s.encoding.len()));
                let by = if second.is_some() || truncation == Truncation::OnlySecond {
                    truncation
                } else {
                    Truncation::LongestFirst
                };
                let lengths = match &second {
                    None if truncation != Truncation::OnlySecond || counts.0 <= room => Some((counts.0.min(room), 0)),
                    None => None,
                    Some(_) => by.lengths(counts.0, counts.1, room),
                };
                let Some((keep, keep_second)) = lengths else {
                    let message = format!(
                        "texts of {} and {} tokens do not fit into {max_length} by {truncation:?}: that text is too \
                         short to give way; use LongestFirst",
                        counts.0, counts.1
                    );
                    return Err(Error::argument("encode", message));
                };
                for (count, keep) in [(counts.0, keep), (counts.1, keep_second)] {
                    if count > keep && keep > 0 && stride >= keep {
                        let message = format!("a stride of {stride} leaves nothing new in parts of {keep} tokens");
                        return Err(Error::argument("encode", message));
                    }
                }
                let mut texts = vec![first.parts(keep, stride, side)];
                texts.extend(second.map(|second| second.parts(keep_second, stride, side)));
                texts
            }
        };
        if texts
            .iter()
            .map(Vec::len)
            .try_fold(1, |all: usize, n| all.checked_mul(n).filter(|&n| n <= MOST_PARTS))
            .is_none()
        {
            let message = format!("the parts of both texts combine to more than {MOST_PARTS}; use a smaller stride");
            return Err(Error::argument("encode", message));
        }
        for tokens in texts.iter_mut().flatten() {
            self.trims.iter().for_each(|&prefixed| tokens.trim(prefixed));
        }
        let mut all: Vec<Encoding> = vec![Encoding::default()];
        let mut seen = [false; 2];
        for piece in pieces {
            let parts = match piece {
                Piece::Special { ids, kind } => {
                    all.iter_mut().for_each(|encoding| ids.iter().for_each(|&id| encoding.push_special(id, *kind)));
                    continue;
                }
                Piece::Text { second, kind } => {
                    let which = usize::from(*second);
                    let Some(parts) = texts.get_mut(which).filter(|_| !seen[which]) else { continue };
                    seen[which] = true;
                    for (i, tokens) in parts.iter_mut().enumerate() {
                        let kind = match i {
                            _ if self.untyped => 0,
                            0 => *kind,
                            _ => u32::from(*second),
                        };
                        tokens.encoding.types.fill(kind);
                    }
                    std::mem::take(parts)
                }
            };
            all = join(all, &parts);
        }
        Ok(all)
    }
}

/// Each of the first with each of the second; what was kept of both comes first, then what goes with what is over.
fn join(all: Vec<Encoding>, parts: &[Tokens]) -> Vec<Encoding> {
    let Some((kept, over)) = parts.split_first() else { return all };
    if over.is_empty() {
        return all.into_iter().map(|encoding| encoding.followed_by(&kept.encoding)).collect();
    }
    let Some((first, rest)) = all.split_first() else { return all };
    let mut out = vec![first.clone().followed_by(&kept.encoding)];
    for before in rest {
        out.extend(parts.iter().map(|part| before.clone().followed_by(&part.encoding)));
    }
    out.extend(over.iter().map(|part| first.clone().followed_by(&part.encoding)));
    out
}
