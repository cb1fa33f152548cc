//! The zip: `NAME/data.pkl`, a member `NAME/data/KEY` for each storage, maybe `NAME/byteorder`.

use super::{FORMAT, Storage, broken, reader, storage_id, storage_len};
use crate::pickle::{Budget, Pickle, Value};
use crate::zip::{self, Archive, Member, Method};
use crate::{Error, Reader, Result, Source};

pub(in crate::formats) fn probe(head: &[u8], source: &Source) -> bool {
    zip::names(head, source).iter().any(|name| {
        let inner = name.split_once('/').map_or(name.as_str(), |(_, inner)| inner);
        matches!(inner, "data.pkl" | "constants.pkl" | "version" | "byteorder" | "archive_format")
            || inner.strip_prefix("data/").is_some_and(|key| key.bytes().all(|b| b.is_ascii_digit()))
            || inner.starts_with("code/")
    })
}

pub(in crate::formats) fn open(source: Source) -> Result<Box<dyn Reader>> {
    let archive = Archive::open(&source, FORMAT)?;
    let names = || archive.members().iter().map(|m| m.name.as_str());
    if names().any(|name| name.ends_with("/constants.pkl") || name.contains("/code/")) {
        let advice = "save its weights: torch.save(torch.jit.load(path).state_dict(), path)";
        let words = format!("is a TorchScript archive, a program rather than weights; {advice}");
        return Err(Error::format(source.name(), words));
    }
    if names().any(|name| name.ends_with("archive_format") || name.ends_with("serialized_exported_program.json")) {
        let advice = "save its weights: torch.save(torch.export.load(path).state_dict, path)";
        let words = format!("is a program of torch.export (.pt2) rather than weights; {advice}");
        return Err(Error::format(source.name(), words));
    }
    let roots: Vec<&str> = names().filter_map(|name| name.strip_suffix("/data.pkl")).collect();
    let [root] = roots[..] else {
        return broken(&source, format!("has {} members named data.pkl, not one", roots.len()));
    };
    let big_endian = match archive.find(&format!("{root}/byteorder")) {
        None => false,
        Some(member) => match archive.head(member, 8)?.as_slice() {
            b"little" => false,
            b"big" => true,
            other => return broken(&source, format!("its byte order is {:?}", String::from_utf8_lossy(other))),
        },
    };
    let Some(member) = archive.find(&format!("{root}/data.pkl")) else { return broken(&source, "has no data.pkl") };
    check(&archive, member)?;
    let data = archive.source(member)?;
    let mut budget = Budget::of(&source);
    let pickle = Pickle::read(&data, 0, FORMAT, &mut budget)?;
    if pickle.end != data.len() {
        return broken(&source, "its data.pkl holds more than one pickle");
    }
    let storages = |id: Value| {
        let (dtype, key, count, view) = storage_id(&source, &pickle, id)?;
        let Some(member) = archive.find(&format!("{root}/data/{key}")) else {
            return broken(&source, format!("has no storage {key:?}"));
        };
        let len = storage_len(&source, dtype, count)?;
        match archive.place(member) {
            Some(start) if member.size == len && view == Value::None => Ok(Storage { start, len, dtype }),
            None => broken(&source, format!("storage {key} is compressed, as PyTorch never does: unpack and zip -0")),
            _ => broken(&source, format!("storage {key} has {} bytes, not {len}", member.size)),
        }
    };
    reader(&source, &pickle, &mut budget, &storages, &|_| None, big_endian)
}

/// PyTorch can be told to leave checksums out (`set_crc32_options`), and writes 0. Those of storages are not compared, so
/// that opening does not read them.
fn check(archive: &Archive, member: &Member) -> Result<()> {
    if member.method == Method::Stored && member.crc == 0 { Ok(()) } else { archive.check(member) }
}
