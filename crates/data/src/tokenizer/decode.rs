//! Tokens back to text: the decoders of a `tokenizer.json`.

use super::bytes;

/// One step of decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decode {
    /// Pieces joined, blanks between words; with `cleanup` none before punctuation.
    WordPiece { prefix: String, cleanup: bool },
    /// GPT-2's alphabet to bytes.
    ByteLevel,
    /// Marks to blanks; none at the start if `prefix`.
    Metaspace { mark: char, prefix: bool },
    /// Suffixes of words to blanks.
    Bpe { suffix: String },
    /// Characters to others.
    Replace { pattern: String, content: String },
    /// `<0xC3>` to bytes.
    ByteFallback,
    /// All to one.
    Fuse,
    /// At most so many of a character off both ends of each token.
    Strip { content: char, start: usize, stop: usize },
}

/// The text of tokens.
pub(crate) fn decode(steps: &[Decode], mut tokens: Vec<String>) -> String {
    if steps.is_empty() {
        return tokens.join(" ");
    }
    for step in steps {
        tokens = step.apply(tokens);
    }
    tokens.concat()
}

impl Decode {
    fn apply(&self, mut tokens: Vec<String>) -> Vec<String> {
        match self {
            Self::WordPiece { prefix, cleanup: clean } => {
                for (i, token) in tokens.iter_mut().enumerate() {
                    if i > 0 {
                        *token = match token.strip_prefix(prefix.as_str()) {
                            Some(piece) => piece.to_owned(),
                            None => format!(" {token}"),
                        };
                    }
                    if *clean {
                        *token = cleanup(token);
                    }
                }
                tokens
            }
            Self::ByteLevel => {
                let mut all = vec![];
                for token in &tokens {
                    match token.chars().map(bytes::byte).collect::<Option<Vec<u8>>>() {
                        Some(bytes) => all.extend(bytes),
                        None => all.extend(token.as_bytes()),
                    }
                }
                vec![String::from_utf8_lossy(&all).into_owned()]
            }
            Self::Metaspace { mark, prefix } => {
                for (i, token) in tokens.iter_mut().enumerate() {
                    *token = token.replace(*mark, if i == 0 && *prefix { "" } else { " " });
                }
                tokens
            }
            Self::Bpe { suffix } => {
                let last = tokens.len().saturating_sub(1);
                for (i, token) in tokens.iter_mut().enumerate().filter(|_| !suffix.is_empty()) {
                    *token = token.replace(suffix.as_str(), if i == last { "" } else { " " });
                }
                tokens
            }
            Self::Replace { pattern, content } => {
                if !pattern.is_empty() {
                    tokens.iter_mut().for_each(|token| *token = token.replace(pattern.as_str(), content));
                }
                tokens
            }
            Self::ByteFallback => fallback(tokens),
            Self::Fuse => vec![tokens.concat()],
            Self::Strip { content, start, stop } => {
                for token in &mut tokens {
                    let mut rest = token.as_str();
                    for _ in 0..*start {
                        let Some(next) = rest.strip_prefix(*content) else { break };
                        rest = next;
                    }
                    for _ in 0..*stop {
                        let Some(next) = rest.strip_suffix(*content) else { break };
                        rest = next;
                    }
                    *token = rest.to_owned();
                }
                tokens
            }
        }
    }
}

/// What BERT's decoder takes out of English text.
fn cleanup(token: &str) -> String {
    const BLANKS: [(&str, &str); 11] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" do not", " don't"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    BLANKS.iter().fold(token.to_owned(), |token, (from, to)| token.replace(from, to))
}

fn fallback(tokens: Vec<String>) -> Vec<String> {
    let mut out = vec![];
    let mut bytes: Vec<u8> = vec![];
    let finish = |bytes: &mut Vec<u8>, out: &mut Vec<String>| {
        match std::str::from_utf8(bytes) {
            Ok("") => {}
            Ok(text) => out.push(text.to_owned()),
            Err(_) => out.extend(bytes.iter().map(|_| "\u{fffd}".to_owned())),
        }
        bytes.clear();
    };
    for token in tokens {
        let hex = token.strip_prefix("<0x").and_then(|t| t.strip_suffix('>')).filter(|hex| hex.len() == 2);
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => bytes.push(byte),
            None => {
                finish(&mut bytes, &mut out);
                out.push(token);
            }
        }
    }
    finish(&mut bytes, &mut out);
    out
}
