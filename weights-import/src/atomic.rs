//! Files that are whole or not there.

use crate::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Writes a file so that at any moment, even after a crash, `path` holds what it held before or all of the new.
///
/// `write` fills a temporary file in the same folder, which is synced to disk and then takes the name. On any error the
/// temporary file is removed and `path` is untouched. Where `path` is a device or a pipe, it is written to directly.
///
/// # Errors
/// Those of `write`, and of the file system: no such folder, no permission, disk full.
///
/// ```
/// let path = std::env::temp_dir().join(format!("atomic-doc-{}.txt", std::process::id()));
/// weights_import::atomic_write(&path, |out| out.write_all(b"whole"))?;
/// assert_eq!(std::fs::read(&path)?, b"whole");
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn atomic_write(path: impl AsRef<Path>, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let path = path.as_ref();
    atomically(path, |out| write(out).map_err(|e| Error::io("write", path, e)))
}

/// [`atomic_write`] for writers with errors of their own.
pub(crate) fn atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let Some(name) = path.file_name() else {
        return Err(Error::Argument(format!("{} does not name a file", path.display())));
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // A link keeps being one: what it points to is replaced.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| folder.join(name));
    if target.is_dir() {
        return Err(Error::Argument(format!("{} is a folder, not a file", path.display())));
    }
    if std::fs::metadata(&target).is_ok_and(|about| !about.is_file()) {
        let file = OpenOptions::new().write(true).open(&target).map_err(|e| Error::io("open", path, e))?;
        return buffered(file, path, write).map(drop);
    }
    let folder = target.parent().unwrap_or(folder);
    let (file, mut temporary) = create(folder, &target)?;
    let written = fill(file, &temporary, path, write)
        .and_then(|()| std::fs::rename(&temporary.path, &target).map_err(|e| Error::io("replace", path, e)));
    written.map(|()| {
        temporary.renamed = true;
        // The new name is on disk only after the folder is. Where folders cannot be synced, the file still is whole.
        let _ = File::open(folder).and_then(|f| f.sync_all());
    })
}

/// Removes the file when dropped, also on a panic of the writer.
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn create(folder: &Path, target: &Path) -> Result<(File, Temporary)> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".{name}.{}-{number}.tmp", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, Temporary { path, renamed: false })),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("write into", folder, e)),
        }
    }
}

fn fill(
    file: File,
    temporary: &Temporary,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    if let Ok(old) = std::fs::metadata(path) {
        let _ = std::fs::set_permissions(&temporary.path, old.permissions());
    }
    let file = buffered(file, path, write)?;
    file.sync_all().map_err(|e| Error::io("write", path, e))
}

fn buffered(file: File, path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<File> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write(&mut out)?;
    out.into_inner().map_err(|e| Error::io("write", path, e.into_error()))
}
