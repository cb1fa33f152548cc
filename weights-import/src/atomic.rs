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

/// A file that takes its name when it is whole: [`atomic_write`] for what is written over a long time, and read afterwards. Until
/// [`NewFile::commit`] it has a name of its own in the same folder, `.<name>.<process>-<number>.tmp`, is locked, and is removed when
/// dropped. A process that is killed leaves it: [`NewFile::sweep`].
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
                    // What nobody holds locked was left behind.
                    let _ = file.try_lock();
                    let (file, path) = (Arc::new(Shared::new(file)), path.to_path_buf());
                    return Ok(Self { file, path, target, temporary, renamed: false });
                }
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io("write into", folder, e)),
            }
        }
    }

    /// Removes from a folder what processes that were killed have left of files whose names `wanted` takes. Returns how many there
    /// were.
    pub fn sweep(folder: impl AsRef<Path>, wanted: impl Fn(&str) -> bool) -> usize {
        let left = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let parts = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp")?.rsplit_once('.'));
            let own = parts.is_some_and(|(name, ids)| {
                wanted(name) && ids.split_once('-').is_some_and(|(process, count)| number(process) && number(count))
            });
            let regular = || std::fs::symlink_metadata(path).is_ok_and(|about| about.is_file());
            own && regular() && File::open(path).is_ok_and(|file| file.try_lock().is_ok())
        };
        let paths = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        paths.filter(|path| left(path) && std::fs::remove_file(path).is_ok()).count()
    }

    /// The file, to write to. What has been read from it by [`NewFile::source`] may have moved its position: write first.
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
        if self.renamed {
            return Ok(());
        }
        self.file().sync_all().map_err(|e| Error::io("write", &self.path, e))?;
        std::fs::rename(&self.temporary, &self.target).map_err(|e| Error::io("replace", &self.path, e))?;
        self.renamed = true;
        let _ = self.file().unlock();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_killed_have_left_is_swept_away() -> std::io::Result<()> {
        let folder = std::env::temp_dir().join(format!("ukulele-sweep-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let new = NewFile::create(folder.join("a.bin")).map_err(std::io::Error::other)?;
        let others = [".a.bin.7-x.tmp", ".a.bin.tmp", "a.bin.7-0.tmp", ".b.bin.7-0.tmp"];
        for name in [".a.bin.7-0.tmp", ".a.bin.812-33.tmp"].iter().chain(&others) {
            std::fs::write(folder.join(name), "left")?;
        }
        let sweep = || NewFile::sweep(&folder, |name| name == "a.bin");
        assert_eq!((sweep(), sweep()), (2, 0));
        assert!(others.iter().all(|name| folder.join(name).exists()) && new.temporary.exists());
        // A panic, too, leaves nothing; a killed process's lock is gone with it.
        let left = new.temporary.clone();
        let _ = new.file().unlock();
        assert_eq!((sweep(), left.exists()), (1, false));
        std::fs::remove_dir_all(folder)
    }
}
