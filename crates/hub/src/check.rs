//! By what a file is known to be the publisher's.

use md5::Md5;
use sha2::{Digest, Sha256};

/// What the publisher states of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The first digits of the sha256, which torch puts into the file's name.
    Sha256Prefix(&'static str),
    /// The md5, in Keras' source. It finds broken files, not forged ones.
    Md5(&'static str),
    /// The server states the sha256 with the file (`X-Linked-ETag` of Hugging Face); without, it is refused.
    Stated,
    /// Nothing is published: what came first is remembered in the cache.
    First,
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sha256Prefix(digits) => write!(f, "sha256 {digits}.."),
            Self::Md5(digits) => write!(f, "md5 {digits}"),
            Self::Stated => f.write_str("sha256 of the server"),
            Self::First => f.write_str("none published"),
        }
    }
}

/// The hashes of bytes as they come.
#[derive(Clone, Default)]
pub(crate) struct Hasher {
    sha256: Sha256,
    md5: Md5,
}

/// The hashes of a file, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hashes {
    pub(crate) sha256: String,
    pub(crate) md5: String,
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.md5.update(bytes);
    }

    pub(crate) fn finish(self) -> Hashes {
        Hashes { sha256: hexadecimal(&self.sha256.finalize()), md5: hexadecimal(&self.md5.finalize()) }
    }
}

impl Hashes {
    /// What is wrong with them: expected and found. `stated` is the sha256 that the server or the cache states.
    pub(crate) fn differ(&self, check: Check, stated: Option<&str>) -> Option<String> {
        let (kind, expected, found) = match (check, stated) {
            (Check::Sha256Prefix(digits), _) => ("sha256", digits, &self.sha256[..digits.len().min(64)]),
            (Check::Md5(digits), _) => ("md5", digits, self.md5.as_str()),
            (Check::Stated | Check::First, Some(stated)) => ("sha256", stated, self.sha256.as_str()),
            (Check::Stated | Check::First, None) => return None,
        };
        (expected != found).then(|| format!("its {kind} is {found}, {expected} was expected"))
    }
}
