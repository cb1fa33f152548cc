//! The tar of 2016 and 2017, with the members `sys_info`, `pickle`, `storages` and `tensors`.
//!
//! `storages`: a count; per storage a pickle `(key, location, type)`, the number of elements (i64) and their bytes; then a
//! pickled list of pieces `(key, key of the whole, offset, size)`. `tensors`: a count; per tensor a pickle
//! `(key, key of the storage, type)`, the number of dimensions (i32 and four bytes), sizes, strides and the offset (i64).
//! In `pickle`, a persistent id is the key of a tensor. Numbers are little-endian.

use super::{FORMAT, MOST_DIMS, Storage, Tensor, broken, key_text, reader, storage_len};
use crate::pickle::{Budget, Known, Node, Pickle, Value};
use crate::{Reader, Result, Source};
use std::collections::BTreeMap;

const MEMBERS: [&str; 4] = ["sys_info", "pickle", "storages", "tensors"];

/// Most members of the archive.
const MOST_MEMBERS: usize = 64;

pub(in crate::formats) fn probe(head: &[u8], source: &Source) -> bool {
    head.get(257..262) == Some(b"ustar") && members(source).is_ok_and(|found| found.len() == MEMBERS.len())
}

pub(in crate::formats) fn open(source: Source) -> Result<Box<dyn Reader>> {
    let members = members(&source)?;
    let member = |name: &str| match members.get(name) {
        Some(&(start, len)) => source.window(start, len, &format!("{}/{name}", source.name())),
        None => broken(&source, format!("has no member {name}")),
    };
    let mut budget = Budget::of(&source);
    let offset = members.get("storages").map_or(0, |&(start, _)| start);
    let storages = storages(&source, &member("storages")?, offset, &mut budget)?;
    let tensors = tensors(&source, &member("tensors")?, &storages, &mut budget)?;
    let data = member("pickle")?;
    let pickle = Pickle::read(&data, 0, FORMAT, &mut budget)?;
    if pickle.end != data.len() {
        return broken(&source, "its pickle is followed by something");
    }
    if let Some(id) =
        pickle.nodes.iter().find_map(|node| if let Node::Persistent(id) = node { Some(*id) } else { None })
        && pickle.items(id).is_some()
    {
        return broken(&source, "holds a whole model, which is code and no weights: save its state_dict");
    }
    let missing = pickle.nodes.iter().any(|node| {
        matches!(node, &Node::Persistent(id) if key_text(&pickle, id).is_none_or(|key| !tensors.contains_key(&key)))
    });
    if missing {
        return broken(&source, "its pickle names a tensor that is not there");
    }
    let tensor = |id: Value| tensors.get(&key_text(&pickle, id)?).cloned();
    let none = |_| broken(&source, "a storage where a tensor should be");
    reader(&source, &pickle, &mut budget, &none, &tensor, false)
}

/// First byte and length of the members that matter.
fn members(source: &Source) -> Result<BTreeMap<String, (u64, u64)>> {
    let mut found = BTreeMap::new();
    let mut at = 0;
    for _ in 0..MOST_MEMBERS {
        let header = source.read(at, 512)?;
        if header.iter().all(|&byte| byte == 0) {
            return Ok(found);
        }
        let field = |from: usize, len: usize| {
            let bytes = header.get(from..from + len).unwrap_or(&[]);
            String::from_utf8_lossy(bytes.split(|&byte| byte == 0).next().unwrap_or(&[])).trim().to_string()
        };
        let octal = |text: String| u64::from_str_radix(&text, 8).ok();
        let sum: u64 =
            header.iter().enumerate().map(|(i, &byte)| if (148..156).contains(&i) { 32 } else { byte.into() }).sum();
        if octal(field(148, 8)) != Some(sum) {
            return broken(source, format!("tar: the header at byte {at} has a wrong checksum"));
        }
        let Some(len) = octal(field(124, 12)) else {
            return broken(source, format!("tar: the header at byte {at} has no size"));
        };
        let start = at + 512;
        let next = len.checked_next_multiple_of(512).and_then(|padded| start.checked_add(padded));
        let Some(next) = next.filter(|&next| next <= source.len()) else {
            return broken(source, format!("tar: a member of {len} bytes at byte {start} is longer than the file"));
        };
        let name = field(0, 100);
        let name = name.strip_prefix("./").unwrap_or(&name).to_string();
        let regular = matches!(header.get(156), Some(0 | b'0'));
        if MEMBERS.contains(&name.as_str()) {
            if !regular || found.insert(name.clone(), (start, len)).is_some() {
                return broken(source, format!("tar: {name} is there twice, or is no regular file"));
            }
        } else if !matches!(header.get(156), Some(b'x' | b'g' | b'5')) {
            return broken(source, format!("tar: holds {name:?}, which PyTorch did not write"));
        }
        at = next;
    }
    broken(source, "tar: too many members")
}

/// A row of pickles and numbers.
struct Row<'s> {
    source: &'s Source,
    at: u64,
    budget: &'s mut Budget,
}

impl Row<'_> {
    fn pickle(&mut self) -> Result<Pickle> {
        let pickle = Pickle::read(self.source, self.at, FORMAT, self.budget)?;
        self.at = pickle.end;
        Ok(pickle)
    }

    fn count(&mut self) -> Result<i64> {
        match self.pickle()?.root {
            Value::Int(count) => Ok(count),
            _ => broken(self.source, "begins with no count"),
        }
    }

    fn number(&mut self) -> Result<i64> {
        let mut bytes = [0; 8];
        self.source.read_into(self.at, &mut bytes)?;
        self.at += 8;
        Ok(i64::from_le_bytes(bytes))
    }

    fn numbers(&mut self, count: usize) -> Result<Vec<i64>> {
        (0..count).map(|_| self.number()).collect()
    }

    fn spend(&mut self, bytes: usize) -> Result<()> {
        match self.budget.spend(bytes) {
            Some(()) => Ok(()),
            None => broken(self.source, "more storages and tensors than a file of this size can have"),
        }
    }
}

/// `offset` is the first byte of `member` in the whole file.
fn storages(source: &Source, member: &Source, offset: u64, budget: &mut Budget) -> Result<BTreeMap<String, Storage>> {
    let mut row = Row { source: member, at: 0, budget };
    let mut found = BTreeMap::new();
    for _ in 0..row.count()? {
        row.spend(200)?;
        let about = row.pickle()?;
        let (key, dtype) = match about.items(about.root) {
            Some(&[key, _, kind]) => match (key_text(&about, key), about.node(kind)) {
                (Some(key), Some(&Node::Global(Known::Storage(Some(dtype))))) => (key, dtype),
                _ => return broken(source, "a storage without key or type"),
            },
            _ => return broken(source, "a storage is not (key, location, type)"),
        };
        let Ok(count) = u64::try_from(row.number()?) else { return broken(source, "a storage of negative size") };
        let len = storage_len(source, Some(dtype), count)?;
        if len > member.len() - row.at {
            return broken(source, format!("storage {key} has {len} bytes, but {} follow", member.len() - row.at));
        }
        let storage = Storage { start: offset + row.at, len, dtype: Some(dtype) };
        row.at += len;
        if found.insert(key.clone(), storage).is_some() {
            return broken(source, format!("storage {key} is there twice"));
        }
    }
    let pieces = row.pickle()?;
    for &piece in pieces.items(pieces.root).unwrap_or(&[]) {
        let Some(&[key, whole, Value::Int(from), Value::Int(size)]) = pieces.items(piece) else {
            return broken(source, "a piece of a storage is not (key, whole, offset, size)");
        };
        let whole = key_text(&pieces, whole).and_then(|whole| found.get(&whole).copied());
        let (Some(key), Some(whole)) = (key_text(&pieces, key), whole) else {
            return broken(source, "a piece of a storage that is not there");
        };
        let (Ok(from), Ok(size)) = (u64::try_from(from), u64::try_from(size)) else {
            return broken(source, format!("the piece {key} of a storage has a negative place"));
        };
        let (from, len) = (storage_len(source, whole.dtype, from)?, storage_len(source, whole.dtype, size)?);
        row.spend(200)?;
        if from.checked_add(len).is_none_or(|end| end > whole.len) {
            return broken(source, format!("the piece {key} reaches beyond its storage"));
        }
        if found.insert(key.clone(), Storage { start: whole.start + from, len, dtype: whole.dtype }).is_some() {
            return broken(source, format!("storage {key} is there twice"));
        }
    }
    match row.at == member.len() {
        true => Ok(found),
        false => broken(source, "its storages are followed by something"),
    }
}

fn tensors(
    source: &Source,
    member: &Source,
    storages: &BTreeMap<String, Storage>,
    budget: &mut Budget,
) -> Result<BTreeMap<String, Tensor>> {
    let mut row = Row { source: member, at: 0, budget };
    let mut found = BTreeMap::new();
    for _ in 0..row.count()? {
        let about = row.pickle()?;
        let (key, storage) = match about.items(about.root) {
            Some(&[key, storage, _]) => (key_text(&about, key), key_text(&about, storage)),
            _ => return broken(source, "a tensor is not (key, storage, type)"),
        };
        let (Some(key), Some(&storage)) = (key, storage.and_then(|storage| storages.get(&storage))) else {
            return broken(source, "a tensor without key or storage");
        };
        // Four bytes count; the four behind them mean nothing.
        let dims = row.number()? as i32;
        let Some(dims) = usize::try_from(dims).ok().filter(|&dims| dims <= MOST_DIMS) else {
            return broken(source, format!("tensor {key} has {dims} dimensions"));
        };
        row.spend(300 + 16 * dims)?;
        let (sizes, strides, offset) = (row.numbers(dims)?, row.numbers(dims)?, row.number()?);
        if found.insert(key.clone(), Tensor { storage, dtype: None, offset, sizes, strides }).is_some() {
            return broken(source, format!("tensor {key} is there twice"));
        }
    }
    match row.at == member.len() {
        true => Ok(found),
        false => broken(source, "its tensors are followed by something"),
    }
}
