//! Files that are whole or not there.

use crate::reader::Shared;
use crate::{Error, Result, Source};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    let target = target(path)?;
    if std::fs::metadata(&target).is_ok_and(|about| !about.is_file()) {
        let file = OpenOptions::new().write(true).open(&target).map_err(|e| Error::io("open", path, e))?;
        return buffered(&file, path, write);
    }
    let mut new = NewFile::create(path)?;
    buffered(new.file(), path, write)?;
    new.commit()
}

/// What is replaced: a link keeps being one, and what it points to is.
fn target(path: &Path) -> Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(Error::Argument(format!("{} does not name a file", path.display())));
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| folder.join(name));
    if target.is_dir() {
        return Err(Error::Argument(format!("{} is a folder, not a file", path.display())));
    }
    Ok(target)
}

/// A file that takes its name when it is whole: [`atomic_write`] for what is written over a long time, anywhere in it, and read
/// meanwhile. Until [`NewFile::commit`] it has a name of its own in the same folder, `.<name>.<process>-<number>.tmp`, and is
/// removed when dropped; a process that is killed leaves it.
///
/// ```
/// use std::io::Write;
/// let path = std::env::temp_dir().join(format!("new-file-doc-{}.txt", std::process::id()));
/// let mut new = weights_import::NewFile::create(&path)?;
/// new.file().write_all(b"whole")?;
/// assert!(!path.exists());
/// new.commit()?;
/// assert_eq!(std::fs::read(&path)?, b"whole");
/// assert_eq!(new.source()?.read(0, 5)?, b"whole"); // also when the name is gone
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct NewFile {
    file: Arc<Shared>,
    path: PathBuf,
    target: PathBuf,
    temporary: PathBuf,
    renamed: bool,
}

impl NewFile {
    /// Beside the file at `path`, which may be there and stays as it is, with its permissions.
    ///
    /// # Errors
    /// `path` names no file, or the file system refuses.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let path = path.as_ref();
        let target = target(path)?;
        let folder = target.parent().unwrap_or(Path::new("."));
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let temporary = folder.join(format!(".{name}.{}-{number}.tmp", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).open(&temporary) {
                Ok(file) => {
                    if let Ok(old) = std::fs::metadata(path) {
                        let _ = std::fs::set_permissions(&temporary, old.permissions());
                    }
                    let (file, path) = (Arc::new(Shared::new(file)), path.to_path_buf());
                    return Ok(Self { file, path, target, temporary, renamed: false });
                }
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io("write into", folder, e)),
            }
        }
    }

    /// The file, to write to.
    pub fn file(&self) -> &File {
        &self.file.0
    }

    /// What is in the file by now. It can be read as long as it is held, whatever becomes of the file's name.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn source(&self) -> Result<Source> {
        Source::shared(self.file.clone(), &self.path)
    }

    /// Syncs the file to disk, and gives it its name.
    ///
    /// # Errors
    /// The file system refuses; what had the name is as it was.
    pub fn commit(&mut self) -> Result<()> {
        self.file().sync_all().map_err(|e| Error::io("write", &self.path, e))?;
        std::fs::rename(&self.temporary, &self.target).map_err(|e| Error::io("replace", &self.path, e))?;
        self.renamed = true;
        // The new name is on disk only after the folder is. Where folders cannot be synced, the file still is whole.
        let _ = File::open(self.target.parent().unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Drop for NewFile {
    /// Also on a panic of the writer.
    fn drop(&mut self) {
        if !self.renamed {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

fn buffered(file: &File, path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write(&mut out)?;
    out.flush().map_err(|e| Error::io("write", path, e))
}
