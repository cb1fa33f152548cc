//! Attributes: texts beside objects.

use super::heap::Collection;
use super::object::{ATTRIBUTE, ATTRIBUTE_INFO, DATASPACE, DATATYPE, Object};
use super::types::Type;
use super::{Fields, File};
use crate::Result;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The texts among an object's attributes by name: of one that is a single text, a list of one.
pub(crate) type Texts = BTreeMap<String, Vec<String>>;

impl File<'_> {
    /// The attributes of `object` whose names `wanted` wants and that hold texts.
    pub(crate) fn texts(&self, object: &Object, wanted: &dyn Fn(&str) -> bool) -> Result<Texts> {
        let mut texts = Texts::new();
        let mut collections = BTreeMap::new();
        let mut one = |data: &[u8]| self.attribute(data, wanted, &mut texts, &mut collections);
        for message in object.all(ATTRIBUTE) {
            one(&message.data)?;
        }
        if let Some(message) = object.find(ATTRIBUTE_INFO) {
            let mut fields = Fields::new(self, &message.data, "attribute info");
            fields.version(&[0])?;
            if fields.u8()? & 1 != 0 {
                fields.take(2)?;
            }
            if let (Some(heap), Some(names)) = (fields.address()?, fields.address()?) {
                let heap = self.fractal_heap(heap)?;
                self.new_tree(names, &[8], &mut |_, record| {
                    let mut fields = Fields::new(self, record, "attribute");
                    let (id, flags) = (fields.take(8)?, fields.u8()?);
                    if flags & 2 != 0 {
                        return Err(self.refused("shares attributes between objects, which is not read: repack it"));
                    }
                    one(&self.heap_object(&heap, id)?.0)
                })?;
            }
        }
        Ok(texts)
    }

    fn attribute(
        &self,
        data: &[u8],
        wanted: &dyn Fn(&str) -> bool,
        texts: &mut Texts,
        collections: &mut BTreeMap<u64, Collection>,
    ) -> Result<()> {
        let mut fields = Fields::new(self, data, "attribute");
        let version = fields.version(&[1, 2, 3])?;
        let flags = fields.u8()?;
        let lens = [fields.u16()?, fields.u16()?, fields.u16()?].map(usize::from);
        if version == 3 {
            fields.u8()?;
        }
        let mut part = |len: usize| {
            let bytes = fields.take(if version == 1 { len.next_multiple_of(8) } else { len })?;
            Ok::<_, crate::Error>(bytes.get(..len).unwrap_or_default())
        };
        let [name, kind, space] = [part(lens[0])?, part(lens[1])?, part(lens[2])?];
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let Some(name) = std::str::from_utf8(name).ok().filter(|name| wanted(name)) else { return Ok(()) };
        let shared = |bit: u8, kind: u16, bytes: &[u8]| match version > 1 && flags & bit != 0 {
            true => self.shared(kind, bytes),
            false => Ok(bytes.to_vec()),
        };
        let (kind, size) = self.datatype(&shared(1, DATATYPE, kind)?)?;
        let space = self.space(&shared(2, DATASPACE, space)?)?;
        if !matches!(kind, Type::Text(_) | Type::LongText(_)) || space.null {
            return Ok(());
        }
        let count = space.shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n));
        let Some(len) = count.and_then(|count| count.checked_mul(size)) else {
            return Err(fields.broken(format!("{name} is too large")));
        };
        let mut found = Vec::new();
        for element in fields.take(len)?.chunks_exact(size) {
            let text = match kind {
                Type::LongText(_) => self.long_text(element, collections)?,
                _ => element.to_vec(),
            };
            // Short ones are filled up with zeros or spaces.
            let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
            self.charge(text.len() as u64 + 24)?;
            found.push(String::from_utf8_lossy(text).trim_end_matches(' ').to_string());
        }
        self.charge(name.len() as u64 + 96)?;
        texts.insert(name.to_string(), found);
        Ok(())
    }

    fn long_text(&self, element: &[u8], collections: &mut BTreeMap<u64, Collection>) -> Result<Vec<u8>> {
        let mut fields = Fields::new(self, element, "text");
        let (len, at, number) = (fields.u32()?, fields.address()?, fields.u32()?);
        let Some(at) = at.filter(|&at| len > 0 && at > 0) else { return Ok(Vec::new()) };
        let collection = match collections.entry(at) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.collection(at)?),
        };
        match u16::try_from(number).ok().and_then(|number| collection.get(&number)) {
            Some(&(start, whole)) if u64::from(len) <= whole => self.bytes(start, len.into()),
            _ => Err(fields.broken(format!("is not in the heap at byte {at}"))),
        }
    }
}
