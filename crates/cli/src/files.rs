//! Files that are written whole or not at all.

use crate::errors::{Failure, Result};
use serde_json::Value as Json;
use std::path::Path;

/// Writes a file: to a temporary one beside it, renamed when it is whole. What is no ordinary file (`/dev/stdout`) is
/// written as it is.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir()) {
        return std::fs::write(path, bytes).map_err(|e| Failure::io("write", path, &e));
    }
    weights_import::atomic_write(path, |out| out.write_all(bytes))?;
    Ok(())
}

/// Writes a JSON file.
pub(crate) fn write_json(path: &Path, value: &Json) -> Result<()> {
    write(path, format!("{value:#}\n").as_bytes())
}

fn probe(folder: &Path) -> Result<()> {
    let file = folder.join(format!(".uke-{}", std::process::id()));
    let written = std::fs::write(&file, b"").map_err(|e| Failure::io("write to", folder, &e));
    let _ = std::fs::remove_file(&file);
    written
}

/// Fails now if this file could not be written afterwards: its folder must be there and take files.
pub(crate) fn check_file(path: Option<&Path>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    if path.is_dir() {
        return Err(Failure::run(format!("cannot write {}: it is a folder; name a file", path.display())));
    }
    if path.metadata().is_ok_and(|m| !m.is_file()) {
        return Ok(());
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Failure::run(format!("cannot write {}: there is no folder {}", path.display(), folder.display())));
    }
    probe(folder)
}
