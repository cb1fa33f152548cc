//! JavaScript modules that export a value: an object, or bytes in base64. Nothing is run: the value is what stands
//! behind the first `exports =` or `export default`, if it is a literal.

use crate::json;
use crate::{Error, Result, Source};

const FORMAT: &str = "tfjs";

/// Bytes of a module before and after its value, at most: the frame that a packager writes around it.
const FRAME: u64 = 4096;

/// Where the exported literal begins.
pub(super) fn exported(text: &str) -> Option<usize> {
    text.match_indices("export").find_map(|(at, _)| {
        let rest = &text[at..];
        let value = match rest.strip_prefix("exports") {
            Some(rest) => rest.trim_start().strip_prefix('=')?,
            None => rest.strip_prefix("export default")?,
        };
        let value = value.trim_start();
        value.starts_with(['{', '[', '"', '\'']).then(|| text.len() - value.len())
    })
}

/// The object or array at the start of `js` as JSON: names in quotes, `!0` and `!1` as they are meant, and whole numbers
/// without exponent.
pub(super) fn to_json(js: &str) -> json::Result<String> {
    let mut out = String::new();
    let (mut rest, mut depth) = (js, 0usize);
    while let Some(first) = rest.chars().next() {
        let word = |is: fn(char) -> bool| rest.find(|c| !is(c)).unwrap_or(rest.len());
        let len = match first {
            '{' | '[' => {
                depth += 1;
                out.push(first);
                1
            }
            '}' | ']' => {
                out.push(first);
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Ok(out);
                }
                1
            }
            '"' | '\'' => string(rest, first, &mut out)?,
            '!' if rest.starts_with("!0") || rest.starts_with("!1") => {
                out.push_str(if rest.starts_with("!0") { "true" } else { "false" });
                2
            }
            '0'..='9' | '.' | '-' => {
                let len = word(|c| matches!(c, '0'..='9' | '.' | '-' | '+' | 'e' | 'E'));
                let number = &rest[..len];
                match number.parse::<f64>() {
                    Ok(value) if number.contains(['e', 'E']) && value.fract() == 0.0 && value.abs() < 1e15 => {
                        out.push_str(&(value as i64).to_string());
                    }
                    _ => out.push_str(number),
                }
                len
            }
            'a'..='z' | 'A'..='Z' | '_' | '$' => {
                let len = word(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
                match &rest[..len] {
                    known @ ("true" | "false" | "null") => out.push_str(known),
                    name => {
                        out.push('"');
                        out.push_str(name);
                        out.push('"');
                    }
                }
                len
            }
            other => {
                out.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[len..];
    }
    Err("the exported object has no end".to_string())
}

/// The string at the start of `js` as one of JSON; its length in `js`.
fn string(js: &str, quote: char, out: &mut String) -> json::Result<usize> {
    out.push('"');
    let mut escaped = false;
    for (at, c) in js.char_indices().skip(1) {
        match c {
            '\'' if escaped => {
                out.pop();
                out.push(c);
                escaped = false;
            }
            _ if escaped => {
                out.push(c);
                escaped = false;
            }
            _ if c == quote => {
                out.push('"');
                return Ok(at + 1);
            }
            '"' => out.push_str("\\\""),
            _ => {
                escaped = c == '\\';
                out.push(c);
            }
        }
    }
    Err("a string of the exported object has no end".to_string())
}

/// Bytes in base64 (the usual alphabet, padded) as the one string that a module exports.
#[derive(Debug)]
pub(super) struct Base64 {
    source: Source,
    /// First digit.
    start: u64,
    digits: u64,
    padding: u64,
}

impl Base64 {
    /// Finds the string's two ends; the digits between them are read when they are needed.
    pub(super) fn open(source: Source) -> Result<Self> {
        let broken = |message: &str| Err(Error::corrupt(source.name(), FORMAT, message));
        let head = source.head(FRAME)?;
        // A string that is longer than the head may be cut within a character only if it is not base64.
        let text = match std::str::from_utf8(&head) {
            Ok(text) => text,
            Err(e) => std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or_default(),
        };
        let Some((at, quote)) = exported(text).map(|at| (at, head[at])).filter(|(_, quote)| b"\"'".contains(quote))
        else {
            return broken("is a shard that exports no string of base64");
        };
        let start = at as u64 + 1;
        let tail = start.max(source.len().saturating_sub(FRAME));
        let Some(after) = source.read(tail, source.len() - tail)?.iter().position(|&b| b == quote) else {
            return broken("is a shard whose string has no end (is the download complete?)");
        };
        let digits = tail + after as u64 - start;
        if !digits.is_multiple_of(4) {
            return broken("is a shard whose base64 has no whole number of groups of four digits");
        }
        let last = source.read(start + digits.saturating_sub(2), digits.min(2))?;
        let padding = last.iter().rev().take_while(|&&b| b == b'=').count() as u64;
        Ok(Self { source, start, digits, padding })
    }

    pub(super) fn len(&self) -> u64 {
        self.digits / 4 * 3 - self.padding
    }

    /// Fills `bytes` from `offset`.
    pub(super) fn read_into(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = offset.checked_add(bytes.len() as u64).filter(|&end| end <= self.len());
        let fail = |at: u64| {
            Err(Error::corrupt(self.source.name(), FORMAT, format!("is a shard with wrong base64 at byte {at}")))
        };
        let Some(end) = end else { return fail(self.start + self.digits) };
        let (first, last) = (offset / 3, end.div_ceil(3));
        let digits = self.source.read(self.start + 4 * first, 4 * (last - first))?;
        let mut skip = (offset % 3) as usize;
        let mut filled = 0;
        for (group, number) in digits.chunks_exact(4).zip(first..) {
            let padding = if number + 1 == self.digits / 4 { self.padding as usize } else { 0 };
            let mut bits = 0u32;
            for (i, &digit) in group.iter().enumerate() {
                let value = match digit {
                    b'=' if i >= 4 - padding => 0,
                    _ => match value(digit) {
                        Some(value) if i < 4 - padding => value,
                        _ => return fail(self.start + 4 * number + i as u64),
                    },
                };
                bits = bits << 6 | value;
            }
            let [_, three @ ..] = bits.to_be_bytes();
            let (kept, dropped) = three.split_at(3 - padding);
            if dropped.iter().any(|&b| b != 0) {
                return fail(self.start + 4 * number);
            }
            let from = &kept[skip.min(kept.len())..];
            let count = from.len().min(bytes.len() - filled);
            bytes[filled..filled + count].copy_from_slice(&from[..count]);
            filled += count;
            skip = 0;
        }
        Ok(())
    }
}

fn value(digit: u8) -> Option<u32> {
    Some(
        match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        }
        .into(),
    )
}
