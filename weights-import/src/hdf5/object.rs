//! Object headers: what an object is, as a list of messages.

use super::{Fields, File};
use crate::Result;

/// Kinds of messages.
pub(super) const DATASPACE: u16 = 0x1;
pub(super) const LINK_INFO: u16 = 0x2;
pub(super) const DATATYPE: u16 = 0x3;
pub(super) const OLD_FILL: u16 = 0x4;
pub(super) const FILL: u16 = 0x5;
pub(super) const LINK: u16 = 0x6;
pub(super) const EXTERNAL: u16 = 0x7;
pub(super) const LAYOUT: u16 = 0x8;
pub(super) const FILTERS: u16 = 0xb;
pub(super) const ATTRIBUTE: u16 = 0xc;
const CONTINUATION: u16 = 0x10;
pub(super) const SYMBOLS: u16 = 0x11;
pub(super) const ATTRIBUTE_INFO: u16 = 0x15;

/// Those that are kept.
const KEPT: [u16; 12] = [
    DATASPACE,
    LINK_INFO,
    DATATYPE,
    OLD_FILL,
    FILL,
    LINK,
    EXTERNAL,
    LAYOUT,
    FILTERS,
    ATTRIBUTE,
    SYMBOLS,
    ATTRIBUTE_INFO,
];

/// The message stands elsewhere.
const SHARED: u8 = 2;
/// Who does not know the message may not read the object.
const MUST_KNOW: u8 = 0x80;

/// An object header.
pub(crate) struct Object {
    pub(super) address: u64,
    messages: Vec<Message>,
}

pub(super) struct Message {
    kind: u16,
    shared: bool,
    /// Address of its first byte.
    pub(super) at: u64,
    pub(super) data: Vec<u8>,
}

impl Object {
    /// The first message of a kind.
    pub(super) fn find(&self, kind: u16) -> Option<&Message> {
        self.all(kind).next()
    }

    pub(super) fn all(&self, kind: u16) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(move |message| message.kind == kind)
    }

    pub(super) fn is_group(&self) -> bool {
        [SYMBOLS, LINK_INFO, LINK].iter().any(|&kind| self.find(kind).is_some())
    }

    pub(super) fn is_dataset(&self) -> bool {
        self.find(DATASPACE).is_some() && self.find(LAYOUT).is_some()
    }
}

impl File<'_> {
    /// Reads the header at `address`, with shared messages in their place.
    pub(crate) fn object(&self, address: u64) -> Result<Object> {
        let mut object = self.header(address)?;
        for message in object.messages.iter_mut().filter(|message| message.shared) {
            if message.kind == LAYOUT {
                return Err(self.broken(format!("shares the layout of the object at byte {address}")));
            }
            message.data = self.shared(message.kind, &message.data)?;
        }
        Ok(object)
    }

    fn header(&self, address: u64) -> Result<Object> {
        let mut object = Object { address, messages: Vec::new() };
        match self.bytes(address, 4)?.as_slice() {
            b"OHDR" => self.new_header(&mut object)?,
            [1, ..] => self.old_header(&mut object)?,
            _ => return Err(self.broken(format!("has no object at byte {address}"))),
        }
        Ok(object)
    }

    /// The body of a message that is kept in another place: `what` it says of the place.
    pub(super) fn shared(&self, kind: u16, what: &[u8]) -> Result<Vec<u8>> {
        let mut fields = Fields::new(self, what, "shared message");
        let (version, class) = (fields.version(&[1, 2, 3])?, fields.u8()?);
        if version == 3 && class != 2 {
            return Err(self.refused("keeps messages in a shared heap, which is not read: repack it (h5repack)"));
        }
        if version == 1 {
            fields.take(6)?;
        }
        let address = fields.there()?;
        let mut other = self.header(address)?;
        match other.messages.iter_mut().find(|message| message.kind == kind && !message.shared) {
            Some(message) => Ok(std::mem::take(&mut message.data)),
            None => Err(self.broken(format!("shares a message of kind {kind} that is not at byte {address}"))),
        }
    }

    fn old_header(&self, object: &mut Object) -> Result<()> {
        let head = self.bytes(object.address, 16)?;
        let mut fields = Fields::new(self, &head, "object header");
        fields.take(2)?;
        let (count, _references, size) = (fields.u16()?, fields.u32()?, fields.u32()?);
        let mut blocks = vec![(object.address + 16, u64::from(size))];
        let mut left = count;
        while let Some((start, len)) = blocks.pop() {
            let bytes = self.bytes(start, len)?;
            let mut fields = Fields::new(self, &bytes, "object header");
            while left > 0 && fields.rest().len() >= 8 {
                let (kind, len, flags) = (fields.u16()?, fields.u16()?, fields.u8()?);
                fields.take(3)?;
                let at = start + fields.at as u64;
                let data = fields.take(len.into())?;
                left -= 1;
                self.message(object, (kind, flags), at, data, &mut blocks)?;
            }
        }
        Ok(())
    }

    fn new_header(&self, object: &mut Object) -> Result<()> {
        let address = object.address;
        let head = self.bytes(address, 6)?;
        let mut fields = Fields::new(self, &head[4..], "object header");
        fields.version(&[2])?;
        let flags = fields.u8()?;
        // Times, and the numbers of attributes at which storage changes.
        let skipped = if flags & 0x20 != 0 { 16 } else { 0 } + if flags & 0x10 != 0 { 4 } else { 0 };
        let wide = 1 << (flags & 3);
        let size = self.bytes(address + 6 + skipped, wide)?;
        let size = Fields::new(self, &size, "object header").uint(wide as usize)?;
        let before = 6 + skipped + wide;
        let mut blocks = vec![(address, before.saturating_add(size).saturating_add(4))];
        while let Some((start, len)) = blocks.pop() {
            let bytes = self.bytes(start, len)?;
            let first = if start == address { before as usize } else { 4 };
            if start != address && !bytes.starts_with(b"OCHK") {
                return Err(self.broken(format!("has no OCHK at byte {start}")));
            }
            self.sum(&bytes, "object header", start)?;
            let end = bytes.len().saturating_sub(4);
            let mut fields = Fields::new(self, bytes.get(..end).unwrap_or_default(), "object header");
            fields.take(first)?;
            let prefix = if flags & 4 != 0 { 6 } else { 4 };
            while fields.rest().len() >= prefix {
                let (kind, len, marks) = (fields.u8()?, fields.u16()?, fields.u8()?);
                fields.take(prefix - 4)?;
                let at = start + fields.at as u64;
                let data = fields.take(len.into())?;
                self.message(object, (kind.into(), marks), at, data, &mut blocks)?;
            }
        }
        Ok(())
    }

    fn message(
        &self,
        object: &mut Object,
        (kind, flags): (u16, u8),
        at: u64,
        data: &[u8],
        blocks: &mut Vec<(u64, u64)>,
    ) -> Result<()> {
        if kind == CONTINUATION {
            let mut fields = Fields::new(self, data, "continuation of an object header");
            blocks.push((fields.there()?, fields.length()?));
        } else if KEPT.contains(&kind) {
            let shared = flags & SHARED != 0;
            object.messages.push(Message { kind, shared, at, data: data.to_vec() });
        } else if kind > ATTRIBUTE_INFO + 1 && flags & MUST_KNOW != 0 {
            return Err(
                self.refused(format!("has a message of the unknown kind {kind}, without which it means nothing"))
            );
        }
        Ok(())
    }
}
