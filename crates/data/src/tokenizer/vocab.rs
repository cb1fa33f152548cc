//! Tokens and their ids.

use crate::error::{Error, Result};
use std::collections::HashMap;

/// Ids above this are taken for a mistake, not for a vocabulary.
pub(crate) const MAX_ID: u64 = 4_000_000;

/// Tokens by id and ids by token. An id that is not used has an empty token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vocab {
    pub(crate) tokens: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Vocab {
    /// Takes a token with its id.
    pub(crate) fn insert(&mut self, source: &str, token: &str, id: u64) -> Result<u32> {
        if id > MAX_ID {
            return Err(Error::content(source, format!("token `{token}` has the id {id}; 0 to {MAX_ID} are read")));
        }
        let at = id as usize;
        if self.tokens.len() <= at {
            self.tokens.resize(at + 1, String::new());
        }
        let before = &mut self.tokens[at];
        if !before.is_empty() && before != token {
            return Err(Error::content(source, format!("tokens `{before}` and `{token}` both have the id {id}")));
        }
        token.clone_into(before);
        self.ids.insert(token.to_owned(), id as u32);
        Ok(id as u32)
    }

    /// The id of a token.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// The id of a token that must be there.
    pub(crate) fn need(&self, source: &str, token: &str) -> Result<u32> {
        self.id(token).ok_or_else(|| {
            Error::content(source, format!("has no token `{token}` among its {} tokens", self.ids.len()))
        })
    }

    /// The token of an id.
    pub(crate) fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(String::as_str).filter(|token| !token.is_empty())
    }

    /// Tokens and ids, in the order of the tokens' bytes.
    pub(crate) fn sorted(&self) -> Vec<(&[u8], u32)> {
        let mut all: Vec<(&[u8], u32)> = self.ids.iter().map(|(token, &id)| (token.as_bytes(), id)).collect();
        all.sort_unstable();
        all
    }
}
