//! Folders that are replaced as a whole, and fingerprints of what is in them.

use super::{CONFIG, WEIGHTS};
use crate::{Error, Result};
use serde_json::Value as Json;
use std::fs;
use std::path::{Path, PathBuf};
use ukulele_layers::Tensor;

/// Where new files lie until all are written.
const ASIDE: &str = ".saving";

/// Largest text file of a checkpoint, in bytes.
const LARGEST: u64 = 1 << 26;

/// Whether a checkpoint can be written to `folder`: to be asked before a training, not after. The folder need not exist
/// and is not left behind.
///
/// # Errors
/// A file of that name, no permission, or a folder that holds a model which this library did not save.
pub fn check_writable(folder: impl AsRef<Path>) -> Result<()> {
    let folder = folder.as_ref();
    refuse_foreign(folder)?;
    let made = Made::folder(folder)?;
    let aside = folder.join(ASIDE);
    let probed = fs::create_dir_all(&aside).map_err(|e| Error::io("write into", folder, e));
    let removed = probed.and_then(|()| fs::remove_dir_all(&aside).map_err(|e| Error::io("write into", folder, e)));
    made.remove();
    removed
}

/// Has `write` fill a folder aside, and renames the files it wrote into `folder` in the order of `names`. Of these names,
/// those it did not write are removed from `folder`. On an error nothing is left of it.
pub(super) fn replace(folder: &Path, names: &[&str], write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    refuse_foreign(folder)?;
    let made = Made::folder(folder)?;
    let aside = folder.join(ASIDE);
    let done = fill(&aside, write).and_then(|()| {
        for name in names {
            let (new, old) = (aside.join(name), folder.join(name));
            if new.exists() {
                fs::rename(&new, &old).map_err(|e| Error::io("replace", &old, e))?;
            } else if old.exists() {
                fs::remove_file(&old).map_err(|e| Error::io("remove", &old, e))?;
            }
        }
        Ok(())
    });
    let _ = fs::remove_dir_all(&aside);
    if done.is_err() {
        made.remove();
    } else {
        // The new names are on disk only after the folder is. Where folders cannot be synced, the files still are whole.
        let _ = fs::File::open(folder).and_then(|f| f.sync_all());
    }
    done
}

fn fill(aside: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if aside.exists() {
        fs::remove_dir_all(aside).map_err(|e| Error::io("remove", aside, e))?;
    }
    fs::create_dir(aside).map_err(|e| Error::io("create", aside, e))?;
    write(aside)
}

/// The folders that did not exist before, deepest first.
struct Made(Vec<PathBuf>);

impl Made {
    /// Creates `folder` and what is missing above it.
    fn folder(folder: &Path) -> Result<Self> {
        if folder.exists() && !folder.is_dir() {
            return Err(Error::checkpoint(folder, "is a file; a checkpoint is a folder"));
        }
        let missing = folder.ancestors().take_while(|f| !f.as_os_str().is_empty() && !f.exists());
        let made = Self(missing.map(Path::to_path_buf).collect());
        fs::create_dir_all(folder).map_err(|e| {
            made.remove();
            Error::io("create", folder, e)
        })?;
        Ok(made)
    }

    /// Removes them again, as far as they are empty.
    fn remove(&self) {
        for folder in &self.0 {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Refuses to replace a model that somebody else made.
fn refuse_foreign(folder: &Path) -> Result<()> {
    let config = folder.join(CONFIG);
    let ours = config.exists() && read_json(&config).is_ok_and(|config| config["ukulele"].is_object());
    match [CONFIG, WEIGHTS].into_iter().find(|name| folder.join(name).exists()) {
        Some(name) if !ours => {
            let message = format!(
                "holds a {name} that was not saved by ukulele; choose another folder, so that it is not overwritten"
            );
            Err(Error::checkpoint(folder, message))
        }
        _ => Ok(()),
    }
}

pub(super) fn read_text(path: &Path) -> Result<String> {
    let length = fs::metadata(path).map_err(|e| Error::io("read", path, e))?.len();
    if length > LARGEST {
        return Err(Error::checkpoint(path, format!("is too large ({length} bytes)")));
    }
    let bytes = fs::read(path).map_err(|e| Error::io("read", path, e))?;
    String::from_utf8(bytes)
        .map_err(|e| Error::checkpoint(path, format!("is not UTF-8 from byte {} on", e.utf8_error().valid_up_to())))
}

pub(super) fn read_json(path: &Path) -> Result<Json> {
    parse_json(path, &read_text(path)?)
}

pub(super) fn parse_json(path: &Path, text: &str) -> Result<Json> {
    match serde_json::from_str::<Json>(text) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err(Error::checkpoint(path, "is JSON, but not an object")),
        Err(e) => Err(Error::checkpoint(path, format!("is not JSON: {e}"))),
    }
}

/// FNV-1a of numbers.
struct Hash(u64);

impl Hash {
    const NEW: Self = Self(0xcbf2_9ce4_8422_2325);

    fn add(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn text(&self) -> String {
        format!("{:016x}", self.0)
    }
}

/// The fingerprint of a text file.
pub(super) fn fingerprint(text: &str) -> String {
    let mut hash = Hash::NEW;
    text.bytes().for_each(|byte| hash.add(byte.into()));
    hash.text()
}

/// The fingerprint of named tensors.
pub(super) fn fingerprint_of(state: &[(String, Tensor)]) -> String {
    let mut hash = Hash::NEW;
    for (name, tensor) in state {
        name.bytes().for_each(|byte| hash.add(byte.into()));
        tensor.shape().iter().for_each(|&size| hash.add(size as u64));
        tensor.to_vec().iter().for_each(|value| hash.add(value.to_bits().into()));
    }
    hash.text()
}
