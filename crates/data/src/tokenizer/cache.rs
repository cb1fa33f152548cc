//! What words were cut into, so that a word that comes again is looked up.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Mutex;

/// A token of a word: id, first byte and one past the last in the word.
pub(crate) type Token = (u32, u32, u32);

/// Longer words are rarely met twice.
const LONGEST: usize = 64;
/// Words of one shard.
const WORDS: usize = 4096;
const SHARDS: usize = 16;

type Shard = HashMap<Box<[u8]>, Box<[Token]>>;

/// Words and their tokens, in shards so that threads seldom wait.
#[derive(Debug)]
pub(crate) struct Cache {
    shards: Vec<Mutex<Shard>>,
    hasher: std::hash::RandomState,
}

impl Default for Cache {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: std::hash::RandomState::new() }
    }
}

impl Clone for Cache {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Cache {
    /// Calls `emit` with the tokens of a word, which `cut` finds if they are not known.
    pub(crate) fn tokens(&self, word: &[u8], emit: &mut dyn FnMut(Token), cut: impl FnOnce(&mut Vec<Token>)) {
        if word.len() > LONGEST {
            let mut tokens = vec![];
            cut(&mut tokens);
            tokens.into_iter().for_each(emit);
            return;
        }
        let shard = &self.shards[self.hasher.hash_one(word) as usize % SHARDS];
        if let Ok(known) = shard.try_lock()
            && let Some(tokens) = known.get(word)
        {
            tokens.iter().copied().for_each(emit);
            return;
        }
        let mut tokens = vec![];
        cut(&mut tokens);
        tokens.iter().copied().for_each(emit);
        if let Ok(mut known) = shard.try_lock()
            && known.len() < WORDS
        {
            known.insert(word.into(), tokens.into());
        }
    }
}
