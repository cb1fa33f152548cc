//! GGUF, the format of llama.cpp: key-value pairs, an index of tensors, and their aligned bytes.
//!
//! Versions 2 and 3, in either byte order. Dimensions are turned round to row-major order. Tensors quantised as `Q4_0`,
//! `Q8_0`, `Q4_K` or `Q6_K` are given as `F32`, dequantised, with `quantised.<name>` in the metadata; other
//! quantisations are listed. Values are metadata under their keys; of an array its length and first items.
//! Source: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>; the blocks are those of `ggml-common.h`.

use crate::{Dtype, Entry, Error, Raw, Reader, Result, Source};
use half::f16;
use std::collections::{BTreeMap, BTreeSet};

const FORMAT: &str = "gguf";

/// Bytes read at once.
const WINDOW: u64 = 1 << 14;

/// Longest key or name of a tensor, in bytes (the format's own limit of keys).
const LONGEST_NAME: u64 = (1 << 16) - 1;

/// Longest text that becomes metadata, in bytes.
const LONGEST_TEXT: u64 = 1 << 20;

/// Most dimensions of a tensor; GGML itself has four.
const MOST_DIMS: u32 = 8;

/// Items of an array that become metadata.
const FIRST_ITEMS: u64 = 8;

/// Deepest nesting of arrays.
const DEEPEST: usize = 4;

/// Alignment where the file names none.
const ALIGNMENT: u64 = 32;

/// A tensor's type: number, name, elements of a block, its bytes.
type Kind = (u32, &'static str, u64, u64);

const KINDS: &[Kind] = &[
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (9, "Q8_1", 32, 40),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (30, "BF16", 1, 2),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
];

/// The type of the elements that are given.
fn dtype(&(_, name, block, bytes): &Kind) -> Dtype {
    match name {
        "F32" | "Q4_0" | "Q8_0" | "Q4_K" | "Q6_K" => Dtype::F32,
        "F16" => Dtype::F16,
        "BF16" => Dtype::Bf16,
        "F64" => Dtype::F64,
        "I8" => Dtype::I8,
        "I16" => Dtype::I16,
        "I32" => Dtype::I32,
        "I64" => Dtype::I64,
        _ => Dtype::Other { name, bits: (8 * bytes).div_ceil(block) as u16 },
    }
}

pub(super) fn probe(head: &[u8], _: &Source) -> bool {
    head.starts_with(b"GGUF")
}

#[derive(Debug)]
struct Gguf {
    source: Source,
    big: bool,
    entries: Vec<Entry>,
    places: Vec<Place>,
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    kind: &'static Kind,
    start: u64,
    len: u64,
}

pub(super) fn open(source: Source) -> Result<Box<dyn Reader>> {
    let mut file = Cursor { source: &source, at: 4, big: false, window: Vec::new(), start: 0 };
    let mut version = file.u32()?;
    if version & 0xffff == 0 {
        file.big = true;
        version = version.swap_bytes();
    }
    match version {
        2 | 3 => {}
        1 => return file.fail("version 1 is not read: write the file anew with a current llama.cpp or gguf package"),
        other => return file.fail(format!("version {other} is unknown (2 and 3 are read)")),
    }
    let (tensors, pairs) = (file.count(24, "tensors")?, file.count(13, "key-value pairs")?);

    let mut metadata = BTreeMap::new();
    let mut alignment = ALIGNMENT;
    for _ in 0..pairs {
        let key = file.text(LONGEST_NAME, "key")?;
        let kind = file.u32()?;
        let value = file.value(kind, DEEPEST)?;
        if key == "general.alignment" {
            alignment = match value.parse::<u64>() {
                Ok(alignment) if kind == 4 && alignment > 0 && alignment.is_multiple_of(8) => alignment,
                _ => return file.fail(format!("its alignment is {value}, which is no multiple of 8")),
            };
        }
        if metadata.contains_key(&key) {
            return file.fail(format!("two values have the key {key}"));
        }
        metadata.insert(key, value);
    }

    let (mut entries, mut places) = (Vec::new(), Vec::new());
    let mut names = BTreeSet::new();
    for _ in 0..tensors {
        let (entry, place) = file.tensor(alignment)?;
        if !names.insert(entry.name.clone()) {
            return file.fail(format!("two tensors are named {}", entry.name));
        }
        if place.kind.2 > 1 && entry.dtype == Dtype::F32 {
            metadata.insert(format!("quantised.{}", entry.name), place.kind.1.to_string());
        }
        entries.push(entry);
        places.push(place);
    }
    drop(names);

    let data = file.at.next_multiple_of(alignment);
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_unstable_by_key(|&i| (places[i].start, places[i].len));
    let mut end = 0;
    for i in order {
        let (place, name) = (&mut places[i], &entries[i].name);
        if place.start < end {
            return file.fail(format!("the bytes of tensor {name} overlap with those of another"));
        }
        end = place.start.saturating_add(place.len);
        let last = data.checked_add(end).filter(|&last| last <= source.len());
        if last.is_none() {
            return file.fail(format!(
                "tensor {name} takes the bytes {} to {end} of the data, but the file ends before (is the download \
                 complete?)",
                place.start
            ));
        }
        place.start += data;
    }
    let big = file.big;
    Ok(Box::new(Gguf { source, big, entries, places, metadata }))
}

/// Reads one number after the other.
struct Cursor<'s> {
    source: &'s Source,
    at: u64,
    big: bool,
    window: Vec<u8>,
    start: u64,
}

impl Cursor<'_> {
    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(Error::corrupt(self.source.name(), FORMAT, message))
    }

    fn left(&self) -> u64 {
        self.source.len().saturating_sub(self.at)
    }

    /// The next `N` bytes in little-endian order.
    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        if self.left() < N as u64 {
            return self.fail(format!("ends at byte {}, within its index", self.source.len()));
        }
        let inside = self.at >= self.start && self.at + N as u64 <= self.start + self.window.len() as u64;
        if !inside {
            self.window = self.source.read(self.at, WINDOW.min(self.left()))?;
            self.start = self.at;
        }
        let from = (self.at - self.start) as usize;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.window[from..from + N]);
        if self.big {
            bytes.reverse();
        }
        self.at += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.number().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.number().map(u64::from_le_bytes)
    }

    /// How many of something follow that take at least `smallest` bytes each.
    fn count(&mut self, smallest: u64, what: &str) -> Result<u64> {
        let at = self.at;
        let count = self.u64()?;
        match count.checked_mul(smallest) {
            Some(bytes) if bytes <= self.left() => Ok(count),
            _ => self.fail(format!("claims {count} {what} at byte {at}, but only {} bytes follow", self.left())),
        }
    }

    fn skip(&mut self, len: u64) -> Result<()> {
        if len > self.left() {
            return self.fail(format!("claims {len} bytes at byte {}, but only {} follow", self.at, self.left()));
        }
        self.at += len;
        Ok(())
    }

    fn text(&mut self, longest: u64, what: &str) -> Result<String> {
        let len = self.u64()?;
        let at = self.at;
        if len > longest {
            return self.fail(format!("a {what} at byte {at} has {len} bytes, more than {longest}"));
        }
        self.skip(len)?;
        String::from_utf8(self.source.read(at, len)?)
            .or_else(|_| self.fail(format!("a {what} at byte {at} is not UTF-8")))
    }

    /// A value as text.
    fn value(&mut self, kind: u32, depth: usize) -> Result<String> {
        Ok(match kind {
            0 => u8::from_le_bytes(self.number()?).to_string(),
            1 => i8::from_le_bytes(self.number()?).to_string(),
            2 => u16::from_le_bytes(self.number()?).to_string(),
            3 => i16::from_le_bytes(self.number()?).to_string(),
            4 => self.u32()?.to_string(),
            5 => i32::from_le_bytes(self.number()?).to_string(),
            6 => format!("{:?}", f32::from_le_bytes(self.number()?)),
            7 => match self.number()? {
                [0] => "false".to_string(),
                [1] => "true".to_string(),
                [other] => return self.fail(format!("a truth value before byte {} is {other}", self.at)),
            },
            8 => {
                let start = self.at;
                let len = self.u64()?;
                if len > LONGEST_TEXT {
                    self.skip(len)?;
                    format!("({len} bytes)")
                } else {
                    self.at = start;
                    self.text(LONGEST_TEXT, "text")?
                }
            }
            9 => self.array(depth)?,
            10 => self.u64()?.to_string(),
            11 => i64::from_le_bytes(self.number()?).to_string(),
            12 => format!("{:?}", f64::from_le_bytes(self.number()?)),
            other => return self.fail(format!("a value before byte {} has the unknown type {other}", self.at)),
        })
    }

    /// Length and first items: `3 [1, 2, 3]`, `30522 ["a", "b", ...]`.
    fn array(&mut self, depth: usize) -> Result<String> {
        if depth == 0 {
            return self.fail(format!("arrays nested too deeply at byte {}", self.at));
        }
        let kind = self.u32()?;
        let size = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 | 8 => 8,
            9 => 12,
            other => return self.fail(format!("an array before byte {} has the unknown type {other}", self.at)),
        };
        let count = self.count(size, "items")?;
        let mut items = Vec::new();
        for _ in 0..count.min(FIRST_ITEMS) {
            let item = self.value(kind, depth - 1)?;
            let cut = item.char_indices().nth(64).map_or(item.len(), |(at, _)| at);
            items.push(if kind == 8 { format!("{:?}", &item[..cut]) } else { item });
        }
        let rest = count - count.min(FIRST_ITEMS);
        match kind {
            8 => {
                for _ in 0..rest {
                    let len = self.u64()?;
                    self.skip(len)?;
                }
            }
            9 => {
                for _ in 0..rest {
                    self.array(depth - 1)?;
                }
            }
            _ => self.skip(rest * size)?,
        }
        let more = if rest > 0 { ", ..." } else { "" };
        Ok(format!("{count} [{}{more}]", items.join(", ")))
    }

    /// An entry of the index; its place is relative to the data.
    fn tensor(&mut self, alignment: u64) -> Result<(Entry, Place)> {
        let name = self.text(LONGEST_NAME, "name of a tensor")?;
        let rank = self.u32()?;
        if rank > MOST_DIMS {
            return self.fail(format!("tensor {name} claims {rank} dimensions, more than {MOST_DIMS}"));
        }
        let mut dims = Vec::new();
        for _ in 0..rank {
            dims.push(self.u64()?);
        }
        let number = self.u32()?;
        let start = self.u64()?;
        let Some(kind) = KINDS.iter().find(|kind| kind.0 == number) else {
            return self.fail(format!(
                "tensor {name} has the unknown type {number} (a quantisation newer than this program, or one that was \
                 removed): convert the file to F16, Q8_0, Q4_K or Q6_K (llama-quantize)"
            ));
        };
        let &(_, quantisation, block, bytes) = kind;
        let row = dims.first().copied().unwrap_or(1);
        if !row.is_multiple_of(block) {
            let message = format!("tensor {name} has rows of {row}, which is no multiple of {block} ({quantisation})");
            return self.fail(message);
        }
        if !start.is_multiple_of(alignment) {
            return self.fail(format!("tensor {name} begins at byte {start}, which is not aligned to {alignment}"));
        }
        dims.reverse();
        // The product may not overflow whatever the order of its factors, a zero among them or not.
        let count = dims.iter().filter(|&&size| size > 0).try_fold(1u64, |count, &size| count.checked_mul(size));
        let fits = count.and_then(|count| usize::try_from(count.checked_mul(8)?).ok());
        let (Some(count), Some(_)) = (count, fits) else {
            return self.fail(format!("tensor {name} of the shape {dims:?} is too large"));
        };
        let count = if dims.contains(&0) { 0 } else { count };
        let shape = dims.iter().map(|&size| size as usize).collect();
        Ok((Entry { name, shape, dtype: dtype(kind) }, Place { kind, start, len: count / block * bytes }))
    }
}

impl Reader for Gguf {
    fn format(&self) -> &'static str {
        FORMAT
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, index: usize) -> Result<Raw> {
        let Some((entry, place)) = self.entries.get(index).zip(self.places.get(index)) else {
            return Err(Error::Argument(format!("no tensor number {index} in {}", self.source.name())));
        };
        let &(_, quantisation, block, size) = place.kind;
        if let Dtype::Other { .. } = entry.dtype {
            return Err(Error::Values {
                name: entry.name.clone(),
                message: format!(
                    "is quantised as {quantisation}, which is not read; convert the file to F16, Q8_0, Q4_K or Q6_K \
                     (llama-quantize)"
                ),
            });
        }
        let mut bytes = self.source.read(place.start, place.len)?;
        if block > 1 {
            let mut values = Vec::with_capacity(entry.numel() * 4);
            let half = |at: usize, block: &[u8]| {
                let pair = [block[at], block[at + 1]];
                f16::from_bits(if self.big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }).to_f32()
            };
            for block in bytes.chunks_exact(size as usize) {
                let mut give = |value: f32| values.extend_from_slice(&value.to_le_bytes());
                match quantisation {
                    "Q4_0" => q4_0(block, half(0, block), &mut give),
                    "Q8_0" => q8_0(block, half(0, block), &mut give),
                    "Q4_K" => q4_k(block, half(0, block), half(2, block), &mut give),
                    _ => q6_k(block, half(208, block), &mut give),
                }
            }
            bytes = values;
        } else if self.big {
            bytes.chunks_exact_mut(size as usize).for_each(<[u8]>::reverse);
        }
        Ok(Raw { dtype: entry.dtype, shape: entry.shape.clone(), bytes })
    }

    fn place(&self, index: usize) -> Option<(&Source, u64)> {
        let place = self.places.get(index)?;
        (place.kind.2 == 1 && !self.big).then_some((&self.source, place.start))
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

/// 32 values d * (q - 8): d, then 16 bytes whose lower halves are the first 16 q and whose upper halves are the last.
fn q4_0(block: &[u8], d: f32, give: &mut impl FnMut(f32)) {
    block[2..].iter().for_each(|q| give(d * f32::from((q & 15) as i8 - 8)));
    block[2..].iter().for_each(|q| give(d * f32::from((q >> 4) as i8 - 8)));
}

/// 32 values q * d: d, then q as signed bytes.
fn q8_0(block: &[u8], d: f32, give: &mut impl FnMut(f32)) {
    block[2..].iter().for_each(|&q| give(f32::from(q as i8) * d));
}

/// Eight groups of 32 values (d * scale) * q - (dmin * min): d, dmin, 12 bytes with 8 scales and 8 mins of 6 bits, then q
/// of 4 bits, two groups in 32 bytes.
fn q4_k(block: &[u8], d: f32, dmin: f32, give: &mut impl FnMut(f32)) {
    let packed = &block[4..16];
    for group in 0..8 {
        let (scale, min) = if group < 4 {
            (packed[group] & 63, packed[group + 4] & 63)
        } else {
            let (low, high) = (packed[group + 4], |byte: u8| (byte >> 2) & 48);
            ((low & 15) | high(packed[group - 4]), (low >> 4) | high(packed[group]))
        };
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        let at = 16 + 32 * (group / 2);
        block[at..at + 32].iter().for_each(|q| give(scale * f32::from((q >> (4 * (group % 2))) & 15) - min));
    }
}

/// Sixteen groups of 16 values (d * scale) * (q - 32): q's lower 4 bits in 128 bytes, its upper 2 bits in 64, 16 signed
/// scales, d.
fn q6_k(block: &[u8], d: f32, give: &mut impl FnMut(f32)) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    for i in 0..256 {
        // In each half of 128: four rows of 32, of which two share their bytes of `low` and all four those of `high`.
        let (half, row, column) = (i / 128, i / 32 % 4, i % 32);
        let lower = (low[64 * half + 32 * (row % 2) + column] >> (4 * (row / 2))) & 15;
        let upper = (high[32 * half + column] >> (2 * row)) & 3;
        let scale = d * f32::from(scales[i / 16] as i8);
        give(scale * f32::from((lower | upper << 4) as i8 - 32));
    }
}
