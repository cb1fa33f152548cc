//! A text under normalisation, with the place in the original that each of its bytes comes from.
//!
//! Places move as in the `tokenizers` package: a character that replaces another has its place, one that is put in has
//! that of the character before it.

/// Bytes of the original: first, and one past the last.
pub(crate) type Span = (usize, usize);

/// A changed text and where its bytes come from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Aligned {
    pub(crate) text: String,
    /// One span for each byte; none at all if the text still is the original from byte `start` on.
    spans: Vec<Span>,
    start: usize,
}

/// A part of a text, changed or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice<'a> {
    pub(crate) text: &'a str,
    spans: &'a [Span],
    start: usize,
}

/// A character of the new text: 0 replaces the next of the old, -n replaces it and removes n further, 1 is put in.
pub(crate) type Change = (char, isize);

impl Aligned {
    /// The original.
    pub(crate) fn new(slice: Slice<'_>) -> Self {
        Self { text: slice.text.to_owned(), spans: slice.spans.to_vec(), start: slice.start }
    }

    /// All of it.
    pub(crate) fn slice(&self) -> Slice<'_> {
        Slice { text: &self.text, spans: &self.spans, start: self.start }
    }

    /// The span of each byte.
    fn spans(&mut self) -> Vec<Span> {
        if !self.spans.is_empty() || self.text.is_empty() {
            return std::mem::take(&mut self.spans);
        }
        identity(&self.text, self.start)
    }

    /// The text made of these characters; the first `removed` of the old are removed before.
    pub(crate) fn transform(&mut self, changes: impl IntoIterator<Item = Change>, removed: usize) {
        if self.text.is_empty() {
            return;
        }
        let old = self.spans();
        let mut chars = self.text.chars();
        let mut at: usize = chars.by_ref().take(removed).map(char::len_utf8).sum();
        let mut text = String::with_capacity(self.text.len());
        let mut spans = Vec::with_capacity(old.len());
        let last = old.len() - 1;
        for (c, change) in changes {
            let span = match change {
                1.. if at == 0 => (self.start, self.start),
                1.. => old[(at - 1).min(last)],
                _ => old[at.min(last)],
            };
            if change <= 0 {
                let taken = change.unsigned_abs().saturating_add(1);
                at += chars.by_ref().take(taken).map(char::len_utf8).sum::<usize>();
            }
            text.push(c);
            spans.resize(spans.len() + c.len_utf8(), span);
        }
        self.text = text;
        self.spans = spans;
    }

    /// Keeps the characters that `keep` says.
    pub(crate) fn filter(&mut self, keep: impl Fn(char) -> bool) {
        if self.text.chars().all(&keep) {
            return;
        }
        let old = self.spans();
        let mut spans = Vec::with_capacity(old.len());
        let mut text = String::with_capacity(self.text.len());
        for (at, c) in self.text.char_indices().filter(|&(_, c)| keep(c)) {
            text.push(c);
            spans.extend_from_slice(&old[at..at + c.len_utf8()]);
        }
        self.text = text;
        self.spans = spans;
    }

    /// Puts `content` in the place of each of these byte ranges, which are ascending.
    pub(crate) fn replace(&mut self, ranges: &[(usize, usize)], content: &str) {
        if ranges.is_empty() {
            return;
        }
        let old = self.spans();
        let (mut text, mut spans) = (String::with_capacity(self.text.len()), Vec::with_capacity(old.len()));
        let mut at = 0;
        for &(from, to) in ranges {
            text.push_str(&self.text[at..from]);
            spans.extend_from_slice(&old[at..from]);
            text.push_str(content);
            let span = if to == 0 { (self.start, self.start) } else { old[to - 1] };
            spans.resize(text.len(), span);
            at = to;
        }
        text.push_str(&self.text[at..]);
        spans.extend_from_slice(&old[at..]);
        self.text = text;
        self.spans = spans;
    }

    /// Puts `content` before a text that is not empty; it has the place of the first character.
    pub(crate) fn prepend(&mut self, content: &str) {
        if self.text.is_empty() {
            return;
        }
        let mut spans = self.spans();
        spans.splice(0..0, std::iter::repeat_n(spans[0], content.len()));
        self.text.insert_str(0, content);
        self.spans = spans;
    }

    /// Keeps the bytes `from..to`.
    pub(crate) fn keep(&mut self, from: usize, to: usize) {
        if (from, to) == (0, self.text.len()) {
            return;
        }
        let spans = self.spans();
        self.spans = spans[from..to].to_vec();
        self.text = self.text[from..to].to_owned();
    }
}

impl<'a> Slice<'a> {
    /// The whole of an original.
    pub(crate) fn whole(text: &'a str) -> Self {
        Self { text, spans: &[], start: 0 }
    }

    /// Bytes `from..to` of this part, at the borders of characters.
    pub(crate) fn part(&self, from: usize, to: usize) -> Slice<'a> {
        let spans = if self.spans.is_empty() { self.spans } else { &self.spans[from..to] };
        let start = match spans.first() {
            Some(first) => first.0,
            None => self.start + from,
        };
        Slice { text: &self.text[from..to], spans, start }
    }

    /// Where the part starts in the original.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// The span of bytes `from..to` (not empty, in this part); whole characters of the original.
    pub(crate) fn span(&self, from: usize, to: usize) -> Span {
        if let (Some(first), Some(last)) = (self.spans.get(from), self.spans.get(to.wrapping_sub(1))) {
            return (first.0, last.1);
        }
        let (mut from, mut to) = (from, to);
        while !self.text.is_char_boundary(from) {
            from -= 1;
        }
        while !self.text.is_char_boundary(to) {
            to += 1;
        }
        (self.start + from, self.start + to)
    }
}

/// Each character of a text its own place.
fn identity(text: &str, start: usize) -> Vec<Span> {
    let mut spans = Vec::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let length = c.len_utf8();
        spans.resize(at + length, (start + at, start + at + length));
    }
    spans
}
