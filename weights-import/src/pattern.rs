//! Patterns of tensor names, the alphabet in which dialects are written.
//!
//! Text stands for itself; `{s}` (any small letter) is a number, `{s+1}` and `{s-1}` that number and an offset, `{s:a}` and
//! `{s-1:a}` the same as a letter (a is 0), `{*}` is any text, also none. What was captured from one pattern fills the holes of another:
//! `layer{s}.{b}.conv1.weight` and `conv_stage{s-1}_block{b}_branch2a.0` name the same tensor.

/// What the holes of a pattern stood for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Captures<'t> {
    numbers: Vec<(char, i64)>,
    text: &'t str,
}

impl Captures<'_> {
    fn number(&self, letter: char) -> Option<i64> {
        self.numbers.iter().find(|(l, _)| *l == letter).map(|(_, number)| *number)
    }

    /// Notes the number of a letter; `false` if it had another.
    fn agree(&mut self, letter: char, number: i64) -> bool {
        match self.number(letter) {
            Some(known) => known == number,
            None => {
                self.numbers.push((letter, number));
                true
            }
        }
    }
}

enum Part<'p> {
    Text(&'p str),
    Number(char, i64),
    Letter(char, i64),
    Any,
}

/// The first part of a pattern, and the rest.
fn split(pattern: &str) -> Option<(Part<'_>, &str)> {
    let Some(hole) = pattern.strip_prefix('{') else {
        let end = pattern.find('{').unwrap_or(pattern.len());
        return (end > 0).then(|| (Part::Text(&pattern[..end]), &pattern[end..]));
    };
    let (inside, rest) = hole.split_once('}')?;
    let mut letters = inside.chars();
    match letters.next()? {
        '*' => Some((Part::Any, rest)),
        letter => {
            let (offset, spelled) = match letters.as_str().strip_suffix(":a") {
                Some(offset) => (offset, true),
                None => (letters.as_str(), false),
            };
            let offset = if offset.is_empty() { 0 } else { offset.parse().ok()? };
            Some((if spelled { Part::Letter(letter, offset) } else { Part::Number(letter, offset) }, rest))
        }
    }
}

/// What the holes stand for if `text` has the form of `pattern`.
pub(crate) fn matches<'t>(pattern: &str, text: &'t str) -> Option<Captures<'t>> {
    let mut captures = Captures::default();
    walk(pattern, text, &mut captures).then_some(captures)
}

fn walk<'t>(pattern: &str, text: &'t str, captures: &mut Captures<'t>) -> bool {
    if pattern.is_empty() {
        return text.is_empty();
    }
    let Some((part, rest)) = split(pattern) else { return false };
    match part {
        Part::Text(expected) => text.strip_prefix(expected).is_some_and(|t| walk(rest, t, captures)),
        Part::Number(letter, offset) => {
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let digits = &text[..end];
            if end == 0 || end > 9 || (end > 1 && digits.starts_with('0')) {
                return false;
            }
            let number = digits.parse::<i64>().unwrap_or(0) - offset;
            captures.agree(letter, number) && walk(rest, &text[end..], captures)
        }
        Part::Letter(letter, offset) => match text.as_bytes().first() {
            Some(&spelled @ b'a'..=b'z') => {
                captures.agree(letter, i64::from(spelled - b'a') - offset) && walk(rest, &text[1..], captures)
            }
            _ => false,
        },
        Part::Any => {
            let before = captures.numbers.len();
            (0..=text.len()).filter(|&i| text.is_char_boundary(i)).any(|i| {
                captures.numbers.truncate(before);
                captures.text = &text[..i];
                walk(rest, &text[i..], captures)
            })
        }
    }
}

/// `pattern` with its holes filled; `None` if a number would be negative or was not captured.
pub(crate) fn fill(pattern: &str, captures: &Captures<'_>) -> Option<String> {
    let mut filled = String::new();
    let mut pattern = pattern;
    while !pattern.is_empty() {
        let (part, rest) = split(pattern)?;
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Any => filled.push_str(captures.text),
            Part::Number(letter, offset) => {
                let number = captures.number(letter)? + offset;
                filled.push_str(&u64::try_from(number).ok()?.to_string());
            }
            Part::Letter(letter, offset) => {
                let number = u8::try_from(captures.number(letter)? + offset).ok().filter(|n| *n < 26)?;
                filled.push(char::from(b'a' + number));
            }
        }
        pattern = rest;
    }
    Some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translate(from: &str, to: &str, text: &str) -> Option<String> {
        fill(to, &matches(from, text)?)
    }

    #[test]
    fn translates_both_ways() {
        let (ours, caffe) = ("layer{s}.{b}.conv1.weight", "conv_stage{s-1}_block{b}_branch2a.0");
        assert_eq!(translate(ours, caffe, "layer2.13.conv1.weight").as_deref(), Some("conv_stage1_block13_branch2a.0"));
        assert_eq!(translate(caffe, ours, "conv_stage1_block13_branch2a.0").as_deref(), Some("layer2.13.conv1.weight"));
        assert_eq!(translate(ours, caffe, "layer0.0.conv1.weight"), None);
        assert_eq!(translate(ours, caffe, "layer2.13.conv1.weights"), None);
        assert_eq!(translate(ours, caffe, "layer02.13.conv1.weight"), None);
        assert_eq!(translate(ours, caffe, "layer.13.conv1.weight"), None);
    }

    #[test]
    fn any_text_and_repeated_numbers() {
        assert_eq!(translate("{*}.gamma", "{*}.weight", "a.gamma.gamma").as_deref(), Some("a.gamma.weight"));
        assert_eq!(translate("{*}", "x.{*}", "").as_deref(), Some("x."));
        assert_eq!(translate("{*}b{n}", "{*}|{n}", "äb1b2").as_deref(), Some("äb1|2"));
        assert!(matches("{a}.{a}", "3.3").is_some());
        assert!(matches("{a}.{a}", "3.4").is_none());
        assert!(matches("{a}", "99999999999999999999").is_none());
    }

    #[test]
    fn numbers_as_letters() {
        let (ours, caffe) = ("layer{s}.{b}.conv{c}.weight", "res{s+1}{b:a}_branch2{c-1:a}.0");
        assert_eq!(translate(ours, caffe, "layer2.3.conv1.weight").as_deref(), Some("res3d_branch2a.0"));
        assert_eq!(translate(caffe, ours, "res3d_branch2c.0").as_deref(), Some("layer2.3.conv3.weight"));
        assert_eq!(translate(ours, caffe, "layer2.26.conv1.weight"), None);
        assert_eq!(translate(caffe, ours, "res3B_branch2c.0"), None);
    }
}
