//! Heaps: the local one of old groups, fractal ones of new groups and attributes, and the global ones of texts.

use super::{Fields, File, width};
use crate::Result;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The names of an old group.
pub(super) struct LocalHeap {
    bytes: Vec<u8>,
}

impl LocalHeap {
    /// The bytes from `at` to the next zero.
    pub(super) fn text(&self, at: u64) -> Option<&[u8]> {
        let rest = self.bytes.get(usize::try_from(at).ok()?..)?;
        rest.get(..rest.iter().position(|&byte| byte == 0)?)
    }
}

/// A heap of objects in blocks that double.
pub(super) struct FractalHeap {
    /// Bytes of an object's offset and length in its id.
    offset: usize,
    length: usize,
    id: usize,
    /// Bytes of a block's offset in its header; whether blocks have checksums.
    block_offset: usize,
    checked: bool,
    columns: u64,
    first: u64,
    largest: u64,
    /// The root: an indirect block of so many rows, or a direct one.
    root: Option<u64>,
    rows: u64,
    /// Where large objects are listed, and those listed there: address and length by id.
    large_tree: Option<u64>,
    large: RefCell<Option<BTreeMap<u64, (u64, u64)>>>,
    /// Blocks that were checked.
    seen: RefCell<BTreeMap<u64, Vec<u8>>>,
}

/// The objects of one global heap: place and length by number.
pub(super) type Collection = BTreeMap<u16, (u64, u64)>;

impl File<'_> {
    pub(super) fn local_heap(&self, at: u64) -> Result<LocalHeap> {
        let len = 8 + 2 * self.head.lengths + self.head.offsets;
        let head = self.signed(at, b"HEAP", len as u64)?;
        let mut fields = Fields::new(self, &head, "local heap");
        fields.version(&[0])?;
        fields.take(3)?;
        let (size, _free, start) = (fields.length()?, fields.length()?, fields.there()?);
        Ok(LocalHeap { bytes: self.bytes(start, size)? })
    }

    pub(super) fn collection(&self, at: u64) -> Result<Collection> {
        let head = self.signed(at, b"GCOL", 8 + self.head.lengths as u64)?;
        let mut fields = Fields::new(self, &head, "global heap");
        fields.version(&[1])?;
        fields.take(3)?;
        let size = fields.length()?;
        let bytes = self.bytes(at, size)?;
        let mut fields = Fields::new(self, &bytes, "global heap");
        fields.take(8 + self.head.lengths)?;
        let mut objects = Collection::new();
        while fields.rest().len() >= 8 + self.head.lengths {
            let number = fields.u16()?;
            fields.take(6)?;
            let len = fields.length()?;
            if number == 0 {
                break;
            }
            let place = at + fields.at as u64;
            let whole = usize::try_from(len).ok().and_then(|len| len.checked_next_multiple_of(8));
            fields.take(whole.unwrap_or(usize::MAX))?;
            self.charge(32)?;
            objects.insert(number, (place, len));
        }
        Ok(objects)
    }

    pub(super) fn fractal_heap(&self, at: u64) -> Result<FractalHeap> {
        let len = 22 + 3 * self.head.offsets + 12 * self.head.lengths;
        let head = self.sealed(at, b"FRHP", len as u64)?;
        let mut fields = Fields::new(self, &head, "fractal heap");
        fields.version(&[0])?;
        let (id, filters, flags, most) = (fields.u16()?, fields.u16()?, fields.u8()?, fields.u32()?);
        if filters != 0 {
            return Err(self.refused("has a heap with filters, which is not read: repack it (h5repack)"));
        }
        fields.length()?;
        let large_tree = fields.address()?;
        fields.length()?;
        fields.address()?;
        for _ in 0..8 {
            fields.length()?;
        }
        let (columns, first, largest) = (fields.u16()?, fields.length()?, fields.length()?);
        let (bits, _, root, rows) = (fields.u16()?, fields.u16()?, fields.address()?, fields.u16()?);
        let powers = [u64::from(columns), first, largest].iter().all(|size| size.is_power_of_two());
        if !powers || largest < first || largest > 1 << 32 || !(1..=64).contains(&bits) || rows > 64 {
            return Err(fields.broken(format!("at byte {at} has {columns} columns of {first} to {largest} bytes")));
        }
        let block_offset = usize::from(bits).div_ceil(8);
        let of_blocks = (largest.ilog2() as usize).div_ceil(8);
        Ok(FractalHeap {
            offset: block_offset,
            length: of_blocks.min(width(most.into())),
            id: id.into(),
            block_offset,
            checked: flags & 2 != 0,
            columns: columns.into(),
            first,
            largest,
            root,
            rows: rows.into(),
            large_tree,
            large: RefCell::new(None),
            seen: RefCell::new(BTreeMap::new()),
        })
    }

    /// The object of an id, and the address of its first byte unless it is within the id.
    pub(super) fn heap_object(&self, heap: &FractalHeap, id: &[u8]) -> Result<(Vec<u8>, Option<u64>)> {
        let mut fields = Fields::new(self, id, "heap's object");
        let first = fields.u8()?;
        match first >> 4 & 3 {
            0 => {
                let (offset, len) = (fields.uint(heap.offset)?, fields.uint(heap.length)?);
                let (at, block) = self.heap_block(heap, offset)?;
                let inside = offset - block;
                let blocks = heap.seen.borrow();
                let bytes = blocks.get(&at).and_then(|bytes| {
                    let start = usize::try_from(inside).ok()?;
                    bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)
                });
                let Some(bytes) = bytes else { return Err(fields.broken("leads out of its block")) };
                self.charge(len)?;
                Ok((bytes.to_vec(), Some(at + inside)))
            }
            1 => {
                let (at, len) = match heap.id > self.head.offsets + self.head.lengths {
                    true => (fields.there()?, fields.length()?),
                    false => {
                        let number = fields.uint(heap.id.saturating_sub(1).min(8))?;
                        self.large(heap, number)?
                    }
                };
                Ok((self.bytes(at, len)?, Some(at)))
            }
            2 => {
                let len = match heap.id > 17 {
                    true => usize::from(first & 15) << 8 | usize::from(fields.u8()?),
                    false => usize::from(first & 15),
                };
                Ok((fields.take(len + 1)?.to_vec(), None))
            }
            _ => Err(fields.broken("is of an unknown kind")),
        }
    }

    fn large(&self, heap: &FractalHeap, number: u64) -> Result<(u64, u64)> {
        if heap.large.borrow().is_none() {
            let mut all = BTreeMap::new();
            if let Some(tree) = heap.large_tree {
                self.new_tree(tree, &[1], &mut |_, record| {
                    let mut fields = Fields::new(self, record, "large object");
                    let (at, len, number) = (fields.there()?, fields.length()?, fields.length()?);
                    self.charge(64)?;
                    all.insert(number, (at, len));
                    Ok(())
                })?;
            }
            *heap.large.borrow_mut() = Some(all);
        }
        match heap.large.borrow().as_ref().and_then(|all| all.get(&number)) {
            Some(&place) => Ok(place),
            None => Err(self.broken(format!("has no large object number {number} in its heap"))),
        }
    }

    /// The direct block that holds `offset`: its address, and its own offset. It is read and checked.
    fn heap_block(&self, heap: &FractalHeap, offset: u64) -> Result<(u64, u64)> {
        let lost = || self.broken(format!("has no byte {offset} in its heap"));
        let (mut at, mut rows, mut start) = (heap.root.ok_or_else(lost)?, heap.rows, 0u64);
        let mut size = heap.first;
        // Rows 0 and 1 have blocks of the first size, each further row of twice that of the one before.
        let direct_rows = u64::from(heap.largest.ilog2() - heap.first.ilog2()) + 2;
        while rows > 0 {
            let row_size = |row: u64| heap.first.checked_shl(row.saturating_sub(1) as u32).filter(|&n| n >> 63 == 0);
            let (mut row, mut inside) = (0, offset - start);
            loop {
                if row >= rows {
                    return Err(lost());
                }
                size = row_size(row).ok_or_else(lost)?;
                let whole = size.checked_mul(heap.columns).ok_or_else(lost)?;
                if inside < whole {
                    break;
                }
                inside -= whole;
                row += 1;
            }
            let column = inside / size;
            let children = rows * heap.columns;
            let len = 5 + self.head.offsets as u64 + heap.block_offset as u64 + children * self.head.offsets as u64;
            if !heap.seen.borrow().contains_key(&at) {
                let bytes = self.sealed(at, b"FHIB", len)?;
                heap.seen.borrow_mut().insert(at, bytes);
            }
            let blocks = heap.seen.borrow();
            let Some(bytes) = blocks.get(&at) else { return Err(lost()) };
            let mut fields = Fields::new(self, bytes, "heap's block");
            fields.version(&[0])?;
            fields.take(self.head.offsets + heap.block_offset)?;
            fields.take((row * heap.columns + column) as usize * self.head.offsets)?;
            start = offset - inside % size;
            at = fields.there()?;
            rows = match row < direct_rows {
                true => 0,
                false => {
                    let rows_in = size.checked_div(heap.first * heap.columns).and_then(u64::checked_ilog2);
                    u64::from(rows_in.ok_or_else(lost)?) + 1
                }
            };
            if rows >= heap.rows {
                return Err(lost());
            }
        }
        if !heap.seen.borrow().contains_key(&at) {
            let mut bytes = self.bytes(at, size)?;
            if !bytes.starts_with(b"FHDB") {
                return Err(self.broken(format!("has no FHDB at byte {at}")));
            }
            // The checksum is of the block with zeros in the checksum's place.
            let place = 5 + self.head.offsets + heap.block_offset;
            if let (true, Some(sum)) = (heap.checked, bytes.get_mut(place..place + 4)) {
                let said = [sum[0], sum[1], sum[2], sum[3]];
                sum.fill(0);
                if super::lookup3(&bytes).to_le_bytes() != said {
                    return Err(self.broken(format!("the checksum of the heap's block at byte {at} is wrong")));
                }
            }
            heap.seen.borrow_mut().insert(at, bytes);
        }
        Ok((at, start))
    }
}
