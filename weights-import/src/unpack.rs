//! Archives that hold a checkpoint of several files, as google-research distributes BERT.

use crate::zip::Archive;
use crate::{Error, Result, Source, atomic_write};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Unpacks all files of a zip archive into a folder, each under the last part of its name; their paths. Archives that could
/// be read in two ways, lead elsewhere or hold links are refused, and so are two files of one name.
///
/// # Errors
/// No archive, a broken or hostile one, or a folder that cannot be written to.
pub fn unpack(archive: impl AsRef<Path>, folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let source = Source::file(archive.as_ref())?;
    let archive = Archive::open(&source, "zip")?;
    let files: Vec<_> = archive.members().iter().filter(|member| !member.name.ends_with('/')).collect();
    let base = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let names: BTreeSet<String> = files.iter().map(|member| base(&member.name)).collect();
    if names.len() != files.len() {
        return Err(Error::format(source.name(), "holds files of the same name in several folders: unpack it by hand"));
    }
    let mut paths = Vec::new();
    for member in files {
        let path = folder.as_ref().join(base(&member.name));
        let bytes = archive.read(member)?;
        atomic_write(&path, |out| out.write_all(&bytes))?;
        paths.push(path);
    }
    Ok(paths)
}
