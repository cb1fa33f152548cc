//! Tensors to several safetensors files and their index.

use crate::{Dtype, Error, Result, atomic_write, save_safetensors};
use std::fs;
use std::path::{Path, PathBuf};
use ukulele_tensor::Tensor;

/// Writes tensors as safetensors files of at most `largest` bytes of values each, with an index, under the names that
/// Hugging Face gives them: for `model.safetensors` these are `model-00001-of-00003.safetensors` ... and
/// `model.safetensors.index.json`. A tensor that is larger has a file of its own. Tensors that fit into one file are
/// saved as `path` itself, as [`save_safetensors`] does. Returns the file to open: the index, or `path`.
///
/// All files are written under temporary names and synced before the first takes its name, and the index comes last; a
/// `path` or an index that was there is removed. After a crash there are the old weights, or the new ones, or (if both
/// are sharded) files without an index: never a mixture.
///
/// # Errors
/// As [`save_safetensors`], and if `path` does not end in `.safetensors`; what was there is then as it was.
pub fn save_safetensors_sharded(
    path: impl AsRef<Path>,
    tensors: &[(String, &Tensor)],
    metadata: &[(String, String)],
    dtype: Dtype,
    largest: usize,
) -> Result<PathBuf> {
    let path = path.as_ref();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(stem) = name.strip_suffix(".safetensors").filter(|stem| !stem.is_empty()) else {
        return Err(Error::Argument(format!("{} is to end in .safetensors", path.display())));
    };
    let index = path.with_file_name(format!("{name}.index.json"));
    let (groups, total) = groups(tensors, dtype, largest)?;
    if groups.len() <= 1 {
        save_safetensors(path, tensors, metadata, dtype)?;
        remove(&index)?;
        return Ok(path.to_path_buf());
    }
    let mut names: Vec<&String> = tensors.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::Argument(format!("two tensors are named {}", twice[0])));
    }

    let mut files = Temporary(Vec::new());
    let mut map = serde_json::Map::new();
    for (number, group) in groups.iter().enumerate() {
        let file = format!("{stem}-{:05}-of-{:05}.safetensors", number + 1, groups.len());
        let temporary = path.with_file_name(format!(".{file}.{}.tmp", std::process::id()));
        files.0.push((temporary.clone(), path.with_file_name(&file)));
        save_safetensors(&temporary, group, metadata, dtype)?;
        map.extend(group.iter().map(|(tensor, _)| (tensor.clone(), file.as_str().into())));
    }
    let said = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": map });
    remove(&index)?;
    for (temporary, file) in &files.0 {
        fs::rename(temporary, file).map_err(|e| Error::io("replace", file, e))?;
    }
    atomic_write(&index, |out| out.write_all(format!("{said:#}\n").as_bytes()))?;
    remove(path)?;
    Ok(index)
}

type Group<'t> = Vec<(String, &'t Tensor)>;

/// Tensors in their order, as many as fit into each file; and the bytes of all.
fn groups<'t>(tensors: &[(String, &'t Tensor)], dtype: Dtype, largest: usize) -> Result<(Vec<Group<'t>>, usize)> {
    let mut groups: Vec<Group<'t>> = Vec::new();
    let (mut filled, mut total) = (0usize, 0usize);
    for (name, tensor) in tensors {
        let bytes = dtype.bytes(tensor.numel()).filter(|&bytes| total.checked_add(bytes).is_some());
        let Some(bytes) = bytes else { return Err(Error::Argument(format!("tensor {name} is too large to save"))) };
        total += bytes;
        match groups.last_mut() {
            Some(group) if filled + bytes <= largest => {
                filled += bytes;
                group.push((name.clone(), tensor));
            }
            _ => {
                filled = bytes;
                groups.push(vec![(name.clone(), tensor)]);
            }
        }
    }
    Ok((groups, total))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Temporary files with the names they are to have. Those that still are there are removed when dropped.
struct Temporary(Vec<(PathBuf, PathBuf)>);

impl Drop for Temporary {
    fn drop(&mut self) {
        self.0.iter().for_each(|(temporary, _)| drop(fs::remove_file(temporary)));
    }
}
