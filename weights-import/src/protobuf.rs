//! The wire format of protocol buffers, read from a source without loading it.
//!
//! A message is a row of fields: a tag (number and kind) and a value. Values with a length are given as spans of the
//! source; what lies inside is read by whoever knows its meaning, so nesting is as deep as the reader's own code.
//! Source: <https://protobuf.dev/programming-guides/encoding>.

use crate::{Error, Result, Source};
use std::ops::Range;

/// Bytes read at once.
const WINDOW: u64 = 1 << 12;

/// A field's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Varint(u64),
    Fixed64(Range<u64>),
    Span(Range<u64>),
    Fixed32(Range<u64>),
}

/// A source with the last window that was read.
pub(crate) struct Wire<'s> {
    source: &'s Source,
    format: &'static str,
    window: Vec<u8>,
    start: u64,
}

impl<'s> Wire<'s> {
    pub(crate) fn new(source: &'s Source, format: &'static str) -> Self {
        Self { source, format, window: Vec::new(), start: 0 }
    }

    /// The source it reads.
    pub(crate) fn source(&self) -> &'s Source {
        self.source
    }

    pub(crate) fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(Error::corrupt(self.source.name(), self.format, message))
    }

    fn byte(&mut self, at: u64) -> Result<u8> {
        let inside = at.checked_sub(self.start).and_then(|i| self.window.get(usize::try_from(i).ok()?));
        if let Some(&byte) = inside {
            return Ok(byte);
        }
        self.window = self.source.read(at, WINDOW.min(self.source.len().saturating_sub(at)))?;
        self.start = at;
        match self.window.first() {
            Some(&byte) => Ok(byte),
            None => self.fail(format!("ends at byte {at}, within a number")),
        }
    }

    /// The number at the start of `message`, which is moved past it.
    pub(crate) fn varint(&mut self, message: &mut Range<u64>) -> Result<u64> {
        let start = message.start;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            if message.start >= message.end {
                return self.fail(format!("a number at byte {start} has no end"));
            }
            let byte = self.byte(message.start)?;
            message.start += 1;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        self.fail(format!("a number at byte {start} has more than 64 bits"))
    }

    /// The next field of `message`, which is moved past it; `None` at its end.
    pub(crate) fn field(&mut self, message: &mut Range<u64>) -> Result<Option<(u32, Value)>> {
        if message.start >= message.end {
            return Ok(None);
        }
        let at = message.start;
        let tag = self.varint(message)?;
        let number = match u32::try_from(tag >> 3) {
            Ok(number) if (1..1 << 29).contains(&number) => number,
            _ => return self.fail(format!("a field at byte {at} has the number {}", tag >> 3)),
        };
        let value = match tag & 7 {
            0 => Value::Varint(self.varint(message)?),
            1 => Value::Fixed64(self.span(message, 8)?),
            2 => {
                let len = self.varint(message)?;
                Value::Span(self.span(message, len)?)
            }
            5 => Value::Fixed32(self.span(message, 4)?),
            kind => return self.fail(format!("a field at byte {at} is of the unknown kind {kind}")),
        };
        Ok(Some((number, value)))
    }

    /// The next `len` bytes of `message`, which is moved past them.
    pub(crate) fn span(&mut self, message: &mut Range<u64>, len: u64) -> Result<Range<u64>> {
        let left = message.end - message.start;
        if len > left {
            return self.fail(format!(
                "a field at byte {} claims {len} bytes, but {left} are left (is the download complete?)",
                message.start
            ));
        }
        let span = message.start..message.start + len;
        message.start = span.end;
        Ok(span)
    }

    /// The bytes of a span.
    pub(crate) fn bytes(&self, span: &Range<u64>) -> Result<Vec<u8>> {
        let inside = |at: u64| usize::try_from(at.checked_sub(self.start)?).ok();
        match inside(span.start).zip(inside(span.end)).and_then(|(from, to)| self.window.get(from..to)) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => self.source.read(span.start, span.end - span.start),
        }
    }

    /// A short text; `what` stands in the error.
    pub(crate) fn text(&self, span: &Range<u64>, longest: u64, what: &str) -> Result<String> {
        let len = span.end - span.start;
        if len > longest {
            return self.fail(format!("a {what} at byte {} has {len} bytes, more than {longest}", span.start));
        }
        String::from_utf8(self.bytes(span)?)
            .or_else(|_| self.fail(format!("a {what} at byte {} is not UTF-8", span.start)))
    }

    /// The 32-bit float of a span of four bytes.
    pub(crate) fn float(&self, span: &Range<u64>) -> Result<f32> {
        match self.bytes(span)?.as_slice() {
            &[a, b, c, d] => Ok(f32::from_le_bytes([a, b, c, d])),
            _ => self.fail(format!("a float at byte {} does not have four bytes", span.start)),
        }
    }
}
