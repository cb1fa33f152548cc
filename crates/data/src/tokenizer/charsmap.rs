//! SentencePiece's normalisation: a table of replacements, which a `.model` file and a `tokenizer.json` hold compiled.
//!
//! A little-endian u32 that says how many bytes of double array follow, the double array over bytes (Darts-clone, units of
//! 32 bits), then the replacements, each ended by a zero byte. A value of the array is the place of a replacement.

use super::aligned::{Aligned, Change};
use crate::error::{Error, Result};
use unicode_segmentation::UnicodeSegmentation;

/// Replacements of the beginnings of characters' bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Charsmap {
    units: Vec<u32>,
    replacements: String,
}

impl Charsmap {
    /// From the compiled table.
    pub(crate) fn new(source: &str, blob: &[u8]) -> Result<Self> {
        let wrong = |message: &str| Error::content(source, format!("its precompiled charsmap {message}"));
        let Some((size, rest)) = blob.split_first_chunk::<4>() else {
            return Err(wrong("is shorter than the 4 bytes of its length"));
        };
        let size = u32::from_le_bytes(*size) as usize & !3;
        let Some((array, replacements)) = rest.split_at_checked(size) else {
            return Err(wrong(&format!("says {size} bytes of array, {} are there", rest.len())));
        };
        let units =
            array.chunks_exact(4).map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]])).collect();
        let Ok(replacements) = String::from_utf8(replacements.to_vec()) else {
            return Err(wrong("has replacements that are not UTF-8"));
        };
        Ok(Self { units, replacements })
    }

    /// The replacement of the shortest beginning of `text` that has one.
    fn replacement(&self, text: &str) -> Option<&str> {
        let unit = |at: u32| self.units.get(at as usize).copied();
        let offset = |unit: u32| (unit >> 10) << ((unit & (1 << 9)) >> 6);
        let mut at = offset(unit(0)?);
        for &byte in text.as_bytes() {
            at ^= u32::from(byte);
            let here = unit(at)?;
            if byte == 0 || here & (1 << 31 | 0xFF) != u32::from(byte) {
                return None;
            }
            at ^= offset(here);
            if here >> 8 & 1 == 1 {
                let start = (unit(at)? & !(1 << 31)) as usize;
                let rest = self.replacements.get(start..)?;
                return rest.split('\0').next();
            }
        }
        None
    }

    /// Replaces in a text: clusters of up to 5 bytes, and the characters of those that have no replacement.
    pub(crate) fn apply(&self, text: &mut Aligned) {
        let mut changes: Vec<Change> = Vec::with_capacity(text.text.len());
        let mut modified = false;
        let mut replace = |part: &str, changes: &mut Vec<Change>| {
            let Some(new) = self.replacement(part) else { return false };
            modified = true;
            let (before, old) = (changes.len(), part.chars().count());
            changes.extend(new.chars().enumerate().map(|(i, c)| (c, isize::from(i >= old))));
            let count = changes.len() - before;
            if count < old
                && let Some(last) = changes.last_mut()
            {
                last.1 -= (old - count) as isize;
            }
            true
        };
        for cluster in text.text.graphemes(true) {
            if cluster.len() < 6 && replace(cluster, &mut changes) {
                continue;
            }
            for (at, c) in cluster.char_indices() {
                if !replace(&cluster[at..at + c.len_utf8()], &mut changes) {
                    changes.push((c, 0));
                }
            }
        }
        if modified {
            text.transform(changes, 0);
        }
    }
}
