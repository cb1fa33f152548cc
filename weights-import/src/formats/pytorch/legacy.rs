//! The row of pickles: magic number, protocol, the writer's system, the object, the keys of the storages; then the
//! storages in this order, each a number of elements (i64) and their bytes, always little-endian.

use super::{FORMAT, Storage, broken, key_text, reader, storage_id, storage_len};
use crate::pickle::{Budget, Node, Pickle, Value};
use crate::{Dtype, Reader, Result, Source};
use std::collections::BTreeMap;

/// The magic number, pickled with protocol 2.
const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

pub(in crate::formats) fn probe(head: &[u8], _: &Source) -> bool {
    // Later protocols put a frame before it.
    head.starts_with(MAGIC) || (head.starts_with(b"\x80") && head.get(..32).is_some_and(|h| holds(h, &MAGIC[2..])))
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

pub(in crate::formats) fn open(source: Source) -> Result<Box<dyn Reader>> {
    let mut budget = Budget::of(&source);
    let mut read = |at: u64| Pickle::read(&source, at, FORMAT, &mut budget);
    let magic = read(0)?;
    if !matches!(magic.node(magic.root), Some(Node::Long(bytes)) if *bytes == MAGIC[4..]) {
        return broken(&source, "its first pickle is not the magic number");
    }
    let protocol = read(magic.end)?;
    if protocol.root != Value::Int(1001) {
        return broken(&source, "is not of protocol 1001");
    }
    let system = read(protocol.end)?;
    let pickle = read(system.end)?;
    let keys = read(pickle.end)?;

    // What the object says of each storage.
    let mut said: BTreeMap<String, (Option<Dtype>, u64)> = BTreeMap::new();
    for node in &pickle.nodes {
        let &Node::Persistent(id) = node else { continue };
        let (dtype, key, count, _) = storage_id(&source, &pickle, id)?;
        if budget.spend(100 + key.len()).is_none() {
            return broken(&source, "more storages than a file of this size can have");
        }
        if said.insert(key.clone(), (dtype, count)).is_some_and(|before| before != (dtype, count)) {
            return broken(&source, format!("storage {key} has two types or sizes"));
        }
    }
    let mut found: BTreeMap<String, Storage> = BTreeMap::new();
    let mut at = keys.end;
    for &key in keys.items(keys.root).unwrap_or(&[]) {
        let key = key_text(&keys, key);
        let Some((key, &(dtype, count))) = key.and_then(|key| said.get_key_value(&key)) else {
            return broken(&source, "lists a storage that no tensor has");
        };
        let mut claim = [0; 8];
        source.read_into(at, &mut claim)?;
        if i64::from_le_bytes(claim) != count as i64 {
            let claim = i64::from_le_bytes(claim);
            return broken(&source, format!("storage {key} has {claim} elements where its tensors expect {count}"));
        }
        let storage = Storage { start: at + 8, len: storage_len(&source, dtype, count)?, dtype };
        if storage.len > source.len() - storage.start {
            let left = source.len() - storage.start;
            let len = storage.len;
            return broken(
                &source,
                format!("storage {key} has {len} bytes, but {left} follow (is the download whole?)"),
            );
        }
        at = storage.start + storage.len;
        if found.insert(key.clone(), storage).is_some() {
            return broken(&source, format!("storage {key} is there twice"));
        }
    }
    if at != source.len() {
        return broken(&source, format!("{} bytes follow its last storage", source.len() - at));
    }
    let storages = |id: Value| {
        let (_, key, _, view) = storage_id(&source, &pickle, id)?;
        let Some(&storage) = found.get(&key) else { return broken(&source, format!("has no storage {key:?}")) };
        let Storage { start, len, dtype } = storage;
        // `(key, offset, size)` of a storage that is a piece of this one.
        let Some(view) = pickle.items(view) else { return Ok(storage) };
        let &[_, Value::Int(offset), Value::Int(size)] = view else {
            return broken(&source, format!("a piece of storage {key} is not (key, offset, size)"));
        };
        let (Ok(offset), Ok(size)) = (u64::try_from(offset), u64::try_from(size)) else {
            return broken(&source, format!("a piece of storage {key} has a negative place"));
        };
        let (offset, size) = (storage_len(&source, dtype, offset)?, storage_len(&source, dtype, size)?);
        match offset.checked_add(size) {
            Some(end) if end <= len => Ok(Storage { start: start + offset, len: size, dtype }),
            _ => broken(&source, format!("a piece of storage {key} reaches beyond it")),
        }
    };
    reader(&source, &pickle, &mut budget, &storages, &|_| None, false)
}
