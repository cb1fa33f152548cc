//! The indexes of chunks: which lies where.

use super::dataset::{Chunked, Index};
use super::{Fields, File};
use crate::Result;

/// A chunk that is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    /// Its number in the grid, row-major.
    pub(super) cell: u64,
    pub(super) at: u64,
    /// Bytes in the file.
    pub(super) len: u64,
    /// The filters that were left out.
    pub(super) mask: u32,
}

/// What is found of a chunk in an index: by its number in the grid at its largest, or by its coordinates.
struct Found<'f> {
    file: &'f File<'f>,
    chunked: &'f Chunked,
    filtered: bool,
    chunks: Vec<Chunk>,
}

impl File<'_> {
    /// The chunks in the order of the grid; no two share bytes.
    pub(super) fn chunks(&self, chunked: &Chunked, filtered: bool) -> Result<Vec<Chunk>> {
        let Some(at) = chunked.at else { return Ok(Vec::new()) };
        let mut found = Found { file: self, chunked, filtered, chunks: Vec::new() };
        match chunked.index {
            Index::OldTree => {
                let rank = chunked.dims.len();
                self.old_tree(at, 1, 8 + 8 * (rank + 1), &mut |key, address| {
                    let mut fields = Fields::new(self, key, "chunk");
                    let (len, mask) = (fields.u32()?, fields.u32()?);
                    let mut scaled = Vec::with_capacity(rank);
                    for &size in &chunked.dims {
                        let offset = fields.uint(8)?;
                        if offset % size as u64 != 0 {
                            return Err(fields.broken(format!("begins at {offset}, which is no multiple of {size}")));
                        }
                        scaled.push(offset / size as u64);
                    }
                    found.add(&scaled, Some(address), len.into(), mask)
                })?;
            }
            Index::Single(packed) => {
                let zeros = vec![0; chunked.dims.len()];
                let (len, mask) = packed.unwrap_or((chunked.bytes as u64, 0));
                found.add(&zeros, Some(at), len, mask)?;
            }
            Index::Implicit => {
                let cells = chunked.most.iter().try_fold(1u64, |cells, &n| cells.checked_mul(n));
                let len = cells.and_then(|cells| cells.checked_mul(chunked.bytes as u64)).unwrap_or(u64::MAX);
                self.check(at, len)?;
                self.charge(cells.unwrap_or(u64::MAX).saturating_mul(8))?;
                for cell in 0..cells.unwrap_or(0) {
                    let scaled = coordinates(cell, &chunked.most);
                    found.add(&scaled, Some(at + cell * chunked.bytes as u64), chunked.bytes as u64, 0)?;
                }
            }
            Index::Fixed => self.fixed(at, &mut found)?,
            Index::Extensible => self.extensible(at, &mut found)?,
            Index::NewTree => {
                let kind = if filtered { 11 } else { 10 };
                self.new_tree(at, &[kind], &mut |_, record| {
                    let mut fields = Fields::new(self, record, "chunk");
                    let (address, len, mask) = found.element(&mut fields)?;
                    let scaled = chunked.dims.iter().map(|_| fields.uint(8)).collect::<Result<Vec<u64>>>()?;
                    found.add(&scaled, address, len, mask)
                })?;
            }
        }
        let mut chunks = found.chunks;
        chunks.sort_unstable_by_key(|chunk| chunk.at);
        if let Some(pair) = chunks.windows(2).find(|pair| pair[0].at + pair[0].len > pair[1].at) {
            return Err(self.broken(format!("two chunks share the byte {}", pair[1].at)));
        }
        chunks.sort_unstable_by_key(|chunk| chunk.cell);
        match chunks.windows(2).any(|pair| pair[0].cell == pair[1].cell) {
            true => Err(self.broken("has two chunks for one place")),
            false => Ok(chunks),
        }
    }

    fn fixed(&self, at: u64, found: &mut Found<'_>) -> Result<()> {
        let head = self.sealed(at, b"FAHD", 8 + (self.head.lengths + self.head.offsets) as u64)?;
        let mut fields = Fields::new(self, &head, "fixed array");
        fields.version(&[0])?;
        let (client, size, page_bits) = (fields.u8()?, fields.u8()?, fields.u8()?);
        let (count, block) = (fields.length()?, fields.address()?);
        found.form(&fields, client, size)?;
        let Some(block) = block else { return Ok(()) };
        let prefix = 6 + self.head.offsets as u64;
        let page = 1u64.checked_shl(page_bits.into()).unwrap_or(0);
        let size = u64::from(size);
        if page == 0 || count <= page {
            let len = count.saturating_mul(size);
            let bytes = self.sealed(block, b"FADB", prefix.saturating_add(len))?;
            return found.elements(0, bytes.get(prefix as usize - 4..).unwrap_or_default());
        }
        let pages = count.div_ceil(page);
        let bitmap = pages.div_ceil(8);
        let bytes = self.sealed(block, b"FADB", prefix + bitmap)?;
        let written = bytes.get(prefix as usize - 4..).unwrap_or_default();
        let mut start = block + prefix + bitmap + 4;
        for number in 0..pages {
            let elements = page.min(count - number * page);
            let len = elements.checked_mul(size).ok_or_else(|| fields.broken("is too large"))?;
            if bit(written, number) {
                found.elements(number * page, &self.page(start, len)?)?;
            }
            start = start.saturating_add(len + 4);
        }
        Ok(())
    }

    /// Elements with their checksum.
    fn page(&self, at: u64, len: u64) -> Result<Vec<u8>> {
        let mut bytes = self.bytes(at, len.saturating_add(4))?;
        self.sum(&bytes, "page of chunks", at)?;
        bytes.truncate(len as usize);
        Ok(bytes)
    }

    fn extensible(&self, at: u64, found: &mut Found<'_>) -> Result<()> {
        let (offsets, lengths) = (self.head.offsets as u64, self.head.lengths as u64);
        let head = self.sealed(at, b"EAHD", 12 + 6 * lengths + offsets)?;
        let mut fields = Fields::new(self, &head, "extensible array");
        fields.version(&[0])?;
        let (client, size, bits) = (fields.u8()?, fields.u8()?, fields.u8()?);
        let (inside, least, pointers, page_bits) = (fields.u8()?, fields.u8()?, fields.u8()?, fields.u8()?);
        fields.take(6 * lengths as usize)?;
        let block = fields.address()?;
        found.form(&fields, client, size)?;
        let powers = least.is_power_of_two() && pointers.is_power_of_two();
        if !powers || !(1..=64).contains(&bits) || u32::from(bits) < least.ilog2() || page_bits > 32 {
            return Err(fields.broken(format!("has blocks of {least} for {bits} bits")));
        }
        let Some(block) = block else { return Ok(()) };
        let array =
            Array { size: size.into(), least: least.into(), page: 1 << page_bits, number: u64::from(bits).div_ceil(8) };
        // The first groups of blocks have their addresses in the index block, the others in blocks of their own.
        let groups = 1 + u32::from(bits) - least.ilog2();
        let direct = (2 * pointers.ilog2()).min(groups);
        let blocks = 2 * (u64::from(pointers) - 1);
        let len = 6 + offsets + u64::from(inside) * array.size + (blocks + u64::from(groups - direct)) * offsets;
        let bytes = self.sealed(block, b"EAIB", len)?;
        let mut fields = Fields::new(self, &bytes, "extensible array");
        fields.take(2 + self.head.offsets)?;
        found.elements(0, fields.take(usize::from(inside) * usize::from(size))?)?;
        let mut next = u64::from(inside);
        for group in 0..groups {
            let (count, elements) = (1u64 << (group / 2), array.least.saturating_mul(1 << group.div_ceil(2).min(62)));
            if group < direct {
                for _ in 0..count {
                    if let Some(at) = fields.address()? {
                        if elements > array.page {
                            return Err(fields.broken("has pages in a block of its index"));
                        }
                        self.data_block(at, &array, (next, elements), &|_| true, found)?;
                    }
                    next = next.saturating_add(elements);
                }
                continue;
            }
            if let Some(at) = fields.address()? {
                let pages = if elements > array.page { elements / array.page } else { 0 };
                let bitmap = count.saturating_mul(pages.div_ceil(8));
                let len = count.saturating_mul(offsets).saturating_add(bitmap);
                let bytes = self.sealed(at, b"EASB", (6 + offsets + array.number).saturating_add(len))?;
                let mut fields = Fields::new(self, &bytes, "extensible array's block");
                fields.take(2 + self.head.offsets + array.number as usize)?;
                let written = fields.take(bitmap as usize)?;
                for number in 0..count {
                    let first = next.saturating_add(number.saturating_mul(elements));
                    if let Some(at) = fields.address()? {
                        let written = |page| bit(written, number * pages + page);
                        self.data_block(at, &array, (first, elements), &written, found)?;
                    }
                }
            }
            next = next.saturating_add(count.saturating_mul(elements));
        }
        Ok(())
    }

    fn data_block(
        &self,
        at: u64,
        array: &Array,
        (first, elements): (u64, u64),
        written: &dyn Fn(u64) -> bool,
        found: &mut Found<'_>,
    ) -> Result<()> {
        let prefix = 6 + self.head.offsets as u64 + array.number;
        if elements <= array.page {
            let bytes = self.sealed(at, b"EADB", prefix.saturating_add(elements.saturating_mul(array.size)))?;
            return found.elements(first, bytes.get(prefix as usize - 4..).unwrap_or_default());
        }
        self.sealed(at, b"EADB", prefix)?;
        let len = array.page.saturating_mul(array.size);
        // All pages have their place in the file, written or not.
        self.check(at, (elements / array.page).saturating_mul(len.saturating_add(4)))?;
        for page in (0..elements / array.page).filter(|&page| written(page)) {
            let start = at + prefix + 4 + page * (len + 4);
            found.elements(first.saturating_add(page * array.page), &self.page(start, len)?)?;
        }
        Ok(())
    }
}

/// The form of an extensible array.
struct Array {
    /// Bytes of an element.
    size: u64,
    /// Elements of the smallest block, and of a page.
    least: u64,
    page: u64,
    /// Bytes of an element's number.
    number: u64,
}

impl Found<'_> {
    /// Whether an array's elements are those of this data set.
    fn form(&self, fields: &Fields<'_>, client: u8, size: u8) -> Result<()> {
        let packed = if self.filtered { self.chunked.width + 4 } else { 0 };
        let right = client == u8::from(self.filtered) && usize::from(size) == self.file.head.offsets + packed;
        if right { Ok(()) } else { Err(fields.broken(format!("has elements of {size} bytes for chunks"))) }
    }

    /// Address, length and mask.
    fn element(&self, fields: &mut Fields<'_>) -> Result<(Option<u64>, u64, u32)> {
        let address = fields.address()?;
        match self.filtered {
            true => Ok((address, fields.uint(self.chunked.width)?, fields.u32()?)),
            false => Ok((address, self.chunked.bytes as u64, 0)),
        }
    }

    /// Elements of an array from number `first` on.
    fn elements(&mut self, first: u64, bytes: &[u8]) -> Result<()> {
        // The axis without limit moves slowest.
        let mut most = self.chunked.most.clone();
        let front = self.chunked.unlimited.unwrap_or(0);
        most[..=front].rotate_right(1);
        let mut fields = Fields::new(self.file, bytes, "list of chunks");
        let mut number = first;
        while !fields.rest().is_empty() {
            let (address, len, mask) = self.element(&mut fields)?;
            if address.is_some() {
                let mut scaled = coordinates(number, &most);
                scaled[..=front].rotate_left(1);
                self.add(&scaled, address, len, mask)?;
            }
            number = number.saturating_add(1);
        }
        Ok(())
    }

    /// Notes a chunk, if it is written and within the shape.
    fn add(&mut self, scaled: &[u64], address: Option<u64>, len: u64, mask: u32) -> Result<()> {
        let Some(at) = address else { return Ok(()) };
        let mut cell = 0u64;
        for (&number, &count) in scaled.iter().zip(&self.chunked.grid) {
            if number >= count {
                return Ok(());
            }
            cell = cell.saturating_mul(count).saturating_add(number);
        }
        self.file.check(at, len)?;
        self.file.charge(8)?;
        self.chunks.push(Chunk { cell, at, len, mask });
        Ok(())
    }
}

/// Coordinates of a number, row-major; the first may be beyond its count.
fn coordinates(mut number: u64, counts: &[u64]) -> Vec<u64> {
    let mut scaled = vec![0; counts.len()];
    for (place, &count) in scaled.iter_mut().zip(counts).skip(1).rev() {
        *place = number % count.max(1);
        number /= count.max(1);
    }
    if let Some(first) = scaled.first_mut() {
        *first = number;
    }
    scaled
}

/// Bit number `index`, from the highest of the first byte.
fn bit(bytes: &[u8], index: u64) -> bool {
    let byte = usize::try_from(index / 8).ok().and_then(|at| bytes.get(at));
    byte.is_some_and(|byte| byte & (0x80 >> (index % 8)) != 0)
}
