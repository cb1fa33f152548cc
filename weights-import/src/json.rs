//! A strict scanner for JSON whose form is known: nothing is built but what is asked for, so that a hostile text cannot
//! blow up in memory, and duplicate keys are seen.

/// Deepest nesting of values that are skipped.
const DEEPEST: usize = 32;

/// A message that says what is wrong and at which byte.
pub(crate) type Result<T> = std::result::Result<T, String>;

pub(crate) struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn fail<T>(&self, what: &str) -> Result<T> {
        Err(format!("{what} at byte {} of the JSON header", self.at))
    }

    /// The next byte that is no white space, not consumed.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.peek() != Some(byte) {
            return self.fail(&format!("'{}' expected", byte as char));
        }
        self.at += 1;
        Ok(())
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.peek().is_some() { self.fail("text after the end") } else { Ok(()) }
    }

    pub(crate) fn string(&mut self) -> Result<String> {
        self.expect(b'"')?;
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        loop {
            match bytes.get(self.at) {
                None => return self.fail("a string without an end"),
                Some(b'"') => break,
                Some(0..=0x1f) => return self.fail("a control character in a string"),
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        if !escaped {
            return Ok(self.text[start..self.at - 1].to_string());
        }
        serde_json::from_str(&self.text[start - 1..self.at]).or_else(|_| self.fail("a wrong escape in a string"))
    }

    /// A whole number that is not negative.
    pub(crate) fn integer(&mut self) -> Result<u64> {
        self.peek();
        let rest = &self.text[self.at..];
        let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
        let wrong = digits.is_empty() || (digits.len() > 1 && digits.starts_with('0'));
        let follows = rest[digits.len()..].starts_with(['.', 'e', 'E']);
        match digits.parse() {
            Ok(number) if !wrong && !follows => {
                self.at += digits.len();
                Ok(number)
            }
            _ => self.fail("a whole number of at most 64 bits expected"),
        }
    }

    /// A number of any kind; it is finite.
    pub(crate) fn number(&mut self) -> Result<f64> {
        let token = self.raw()?;
        token.parse().ok().filter(|number: &f64| number.is_finite()).map_or_else(|| self.fail("a number expected"), Ok)
    }

    /// The text of one value of any kind, which is passed over.
    pub(crate) fn raw(&mut self) -> Result<&'t str> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    pub(crate) fn array(&mut self, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.expect(b'[')?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.expect(b']'),
            }
        }
    }

    pub(crate) fn object(&mut self, mut member: impl FnMut(&mut Self, String) -> Result<()>) -> Result<()> {
        self.expect(b'{')?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':')?;
            member(self, key)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.expect(b'}'),
            }
        }
    }

    /// Passes over one value of any kind.
    pub(crate) fn skip(&mut self) -> Result<()> {
        self.skip_within(DEEPEST)
    }

    fn skip_within(&mut self, depth: usize) -> Result<()> {
        if depth == 0 {
            return self.fail("values nested too deeply");
        }
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'[') => self.array(|s| s.skip_within(depth - 1)),
            Some(b'{') => self.object(|s, _| s.skip_within(depth - 1)),
            _ => {
                let rest = &self.text[self.at..];
                let token = &rest[..rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(rest.len())];
                let number = || token.parse::<f64>().is_ok_and(f64::is_finite);
                if !matches!(token, "true" | "false" | "null") && !number() {
                    return self.fail("a value expected");
                }
                self.at += token.len();
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_what_it_knows() {
        let mut keys = Vec::new();
        let mut scanner = Scanner::new(r#" {"a" : [1, 23], "b\n\u00e4":{"x":[true,null,-1.5e3,{}]} , "c":"\"}"} "#);
        scanner
            .object(|s, key| {
                keys.push(key.clone());
                if key == "a" {
                    let mut numbers = Vec::new();
                    s.array(|s| s.integer().map(|n| numbers.push(n)))?;
                    assert_eq!(numbers, [1, 23]);
                    return Ok(());
                }
                s.skip()
            })
            .unwrap();
        scanner.end().unwrap();
        assert_eq!(keys, ["a", "b\nä", "c"]);
    }

    #[test]
    fn rejects_what_is_no_json() {
        for text in [
            "{",
            "{\"a\"}",
            "{\"a\":1,}",
            "{\"a\":tru}",
            "{\"a\":[1 2]}",
            "{\"a\":\"",
            "{\"a\\",
            "{1:2}",
            "{\"a\":\"\\q\"}",
        ] {
            let mut scanner = Scanner::new(text);
            assert!(scanner.object(|s, _| s.skip()).and_then(|()| scanner.end()).is_err(), "{text}");
        }
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Scanner::new(&deep).skip().is_err());
        for text in ["-1", "1.5", "01", "18446744073709551616", "1e3", ""] {
            assert!(Scanner::new(text).integer().is_err(), "{text}");
        }
    }
}
