//! Images, text and tables to batches
#![forbid(unsafe_code)]
mod encoding;
mod error;
mod normalize;
mod trie;
mod unicode;
mod wordpiece;
pub use error::{Error, Result};
pub use normalize::Normalizer;
pub use encoding::{Encoding, Truncation};
pub use wordpiece::{Casing, Special, WordPiece};
