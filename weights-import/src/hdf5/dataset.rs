//! Data sets: element type, shape, and where the values lie.

use super::filters::Filter;
use super::object::{
    ATTRIBUTE, ATTRIBUTE_INFO, DATASPACE, DATATYPE, EXTERNAL, FILL, FILTERS, LAYOUT, OLD_FILL, Object,
};
use super::types::{MOST_DIMS, Type};
use super::{Fields, File};
use crate::{Dtype, Error, Result};

/// A data set that is a tensor.
#[derive(Debug)]
pub(crate) struct Dataset {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(super) big_endian: bool,
    /// Bytes of all values.
    pub(super) len: usize,
    pub(super) layout: Layout,
    /// In the order of writing.
    pub(super) filters: Vec<Filter>,
    /// The element where nothing is written.
    pub(super) fill: Vec<u8>,
}

/// Where the values lie.
#[derive(Debug)]
pub(super) enum Layout {
    /// In one piece from this byte.
    Place(u64),
    /// Nowhere: all are the fill value.
    Nowhere,
    Chunked(Chunked),
}

#[derive(Debug)]
pub(super) struct Chunked {
    pub(super) index: Index,
    /// Address of the index; none is written without one.
    pub(super) at: Option<u64>,
    /// Sizes of a chunk, and its bytes.
    pub(super) dims: Vec<usize>,
    pub(super) bytes: usize,
    /// Chunks by axis, now and at most (of an axis without limit: now).
    pub(super) grid: Vec<u64>,
    pub(super) most: Vec<u64>,
    /// The axis without limit.
    pub(super) unlimited: Option<usize>,
    /// Bytes of a packed chunk's length in the index.
    pub(super) width: usize,
    /// Chunks that reach over the edge are not filtered.
    pub(super) plain_edges: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Index {
    OldTree,
    /// One chunk; its packed length and filter mask, if filtered.
    Single(Option<(u64, u32)>),
    Implicit,
    Fixed,
    Extensible,
    NewTree,
}

/// Why a data set is no tensor.
pub(crate) enum Lack {
    /// The file is broken or refused.
    Error(Error),
    /// It holds something else, which may be passed over.
    Tensor(String),
}

impl From<Error> for Lack {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Dataset {
    /// Where the values lie as they are given: in one piece, the first byte.
    pub(crate) fn place(&self) -> Option<u64> {
        match self.layout {
            Layout::Place(at) if !self.big_endian || self.dtype.bits() == 8 => Some(at),
            _ => None,
        }
    }

    /// Memory for reading, and for turning the values to other types after that, and the work of all chunks.
    fn costs(&self) -> (u64, u64) {
        let size = self.dtype.bits() as u64 / 8;
        let values = self.len as u64;
        // As f32, integers by way of i64.
        let turned = values / size.max(1) * if self.dtype.is_float() { size + 4 } else { size + 12 };
        match &self.layout {
            Layout::Chunked(chunked) => {
                let chunk = chunked.bytes as u64;
                let cells = chunked.grid.iter().fold(1, |cells: u64, &n| cells.saturating_mul(n));
                let memory = values.saturating_add(chunk.saturating_mul(4)).max(turned);
                (memory, turned.saturating_add(chunk.saturating_mul(cells)))
            }
            Layout::Place(_) => (turned, turned),
            Layout::Nowhere => (turned, turned),
        }
    }
}

impl File<'_> {
    /// The data set of `object`. Values outside of the file are refused here.
    pub(super) fn dataset(&self, object: &Object, path: &str) -> std::result::Result<Dataset, Lack> {
        let missing = || self.broken(format!("its data set {path} lacks a type, a space or a layout"));
        let body = |kind| object.find(kind).map(|message| message.data.as_slice());
        let (kind, size) = self.datatype(body(DATATYPE).ok_or_else(missing)?)?;
        let space = self.space(body(DATASPACE).ok_or_else(missing)?)?;
        if object.find(EXTERNAL).is_some() {
            let words =
                format!("the values of {path} are in other files (external storage): refused; repack it (h5repack)");
            return Err(self.refused(words).into());
        }
        let (dtype, big_endian) = match kind {
            Type::Number { dtype, big_endian } => (dtype, big_endian),
            // Keras says so in an attribute.
            Type::Pair if self.is_bfloat16(object)? => (Dtype::Bf16, false),
            Type::Pair => return Err(Lack::Tensor("holds opaque bytes, not numbers".into())),
            Type::Text(_) | Type::LongText(_) => return Err(Lack::Tensor("holds texts, not numbers".into())),
            Type::Other(why) => return Err(Lack::Tensor(why.into())),
        };
        if space.null {
            return Err(Lack::Tensor("holds nothing (a null data space)".into()));
        }
        let count = space.shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n));
        let len = count.and_then(|count| count.checked_mul(size)).filter(|&len| isize::try_from(len).is_ok());
        let claim = format!("{path} claims {dtype}{:?}", space.shape);
        let Some(len) = len else { return Err(self.broken(format!("{claim}, which is too large")).into()) };
        let message = object.find(LAYOUT).ok_or_else(missing)?;
        let filters = body(FILTERS).map_or(Ok(Vec::new()), |data| self.filters(data, path))?;
        let mut fields = Fields::new(self, &message.data, "layout");
        let version = fields.version(&[1, 2, 3, 4, 5])?;
        let layout = if version < 3 {
            let (rank, class) = (usize::from(fields.u8()?), fields.u8()?);
            fields.take(5)?;
            let at = if class == 0 { None } else { fields.address()? };
            let dims = self.dims(&mut fields, rank, 4)?;
            match class {
                0 => self.compact(&mut fields, 4, message.at, len, &claim)?,
                1 => self.contiguous(at, len, &claim)?,
                2 => Layout::Chunked(self.chunked(Index::OldTree, at, dims, size, &space.shape, &space.most)?),
                _ => return Err(fields.broken(format!("is of the unknown class {class}")).into()),
            }
        } else {
            match fields.u8()? {
                0 => self.compact(&mut fields, 2, message.at, len, &claim)?,
                1 => {
                    let (at, said) = (fields.address()?, fields.length()?);
                    if at.is_some() && said != len as u64 {
                        return Err(self.broken(format!("{claim}, but {said} bytes")).into());
                    }
                    self.contiguous(at, len, &claim)?
                }
                2 if version == 3 => {
                    let rank = usize::from(fields.u8()?);
                    let at = fields.address()?;
                    let dims = self.dims(&mut fields, rank, 4)?;
                    Layout::Chunked(self.chunked(Index::OldTree, at, dims, size, &space.shape, &space.most)?)
                }
                2 => {
                    let (flags, rank, wide) = (fields.u8()?, usize::from(fields.u8()?), usize::from(fields.u8()?));
                    let dims = self.dims(&mut fields, rank, wide)?;
                    let index = match fields.u8()? {
                        1 if flags & 2 != 0 => Index::Single(Some((fields.length()?, fields.u32()?))),
                        1 => Index::Single(None),
                        2 => Index::Implicit,
                        // How many elements a page and a block have stands in the index, too.
                        3 => fields.take(1).map(|_| Index::Fixed)?,
                        4 => fields.take(5).map(|_| Index::Extensible)?,
                        5 => fields.take(6).map(|_| Index::NewTree)?,
                        kind => return Err(fields.broken(format!("has the unknown index {kind}")).into()),
                    };
                    let at = fields.address()?;
                    let mut chunked = self.chunked(index, at, dims, size, &space.shape, &space.most)?;
                    chunked.plain_edges = flags & 1 != 0;
                    if version > 4 {
                        chunked.width = self.head.lengths;
                    }
                    Layout::Chunked(chunked)
                }
                3 => {
                    let words =
                        format!("the values of {path} are in other data sets (a virtual one): refused; repack it");
                    return Err(self.refused(words).into());
                }
                class => return Err(fields.broken(format!("is of the unknown class {class}")).into()),
            }
        };
        let fill = self.fill(object, size)?;
        let dataset = Dataset { dtype, shape: space.shape, big_endian, len, layout, filters, fill };
        self.afford(&dataset, &claim)?;
        Ok(dataset)
    }

    /// Whether the values of a data set fit the bytes of the file: packed ones, and those that are written nowhere, may
    /// be many for a short file.
    fn afford(&self, dataset: &Dataset, claim: &str) -> Result<()> {
        let head = self.head;
        let in_file = head.resident == 0 && matches!(dataset.layout, Layout::Place(_));
        let most = head.size.saturating_mul(10).saturating_add(40 << 20);
        match in_file || dataset.costs().0.saturating_add(head.resident) <= most {
            true => Ok(()),
            false => Err(self.broken(format!("{claim}, which a file of {} bytes cannot mean", head.size))),
        }
    }

    /// The same for all tensors that are given: one data set may have many names.
    pub(crate) fn afford_all<'d>(&self, datasets: impl Iterator<Item = &'d Dataset>) -> Result<()> {
        let all = datasets.fold(0u64, |all, dataset| all.saturating_add(dataset.costs().1));
        match all <= self.head.size.saturating_mul(64).saturating_add(128 << 20) {
            true => Ok(()),
            false => Err(self.broken(format!("claims more values than a file of {} bytes can mean", self.head.size))),
        }
    }

    fn dims(&self, fields: &mut Fields<'_>, rank: usize, wide: usize) -> Result<Vec<u64>> {
        if rank > MOST_DIMS + 1 || !(1..=8).contains(&wide) {
            return Err(fields.broken(format!("has {rank} dimensions of {wide} bytes")));
        }
        (0..rank).map(|_| fields.uint(wide)).collect()
    }

    fn compact(&self, fields: &mut Fields<'_>, wide: usize, at: u64, len: usize, claim: &str) -> Result<Layout> {
        let said = fields.uint(wide)?;
        if said != len as u64 || fields.rest().len() < len {
            return Err(self.broken(format!("{claim}, but {said} bytes")));
        }
        Ok(if len == 0 { Layout::Nowhere } else { Layout::Place(at + fields.at as u64) })
    }

    fn contiguous(&self, at: Option<u64>, len: usize, claim: &str) -> Result<Layout> {
        match at.filter(|_| len > 0) {
            None => Ok(Layout::Nowhere),
            Some(at) if self.check(at, len as u64).is_ok() => Ok(Layout::Place(at)),
            Some(at) => {
                let end = self.head.source.len();
                Err(self.broken(format!("{claim} from byte {at}, but ends at byte {end} (is the download complete?)")))
            }
        }
    }

    fn chunked(
        &self,
        index: Index,
        at: Option<u64>,
        mut dims: Vec<u64>,
        size: usize,
        shape: &[usize],
        limits: &[Option<u64>],
    ) -> Result<Chunked> {
        let last = dims.pop();
        let dims: Vec<usize> = dims.into_iter().map(|n| usize::try_from(n).unwrap_or(0)).collect();
        let bytes = dims.iter().try_fold(size, |bytes, &n| bytes.checked_mul(n)).unwrap_or(0);
        if last != Some(size as u64) || dims.len() != shape.len() || bytes == 0 || shape.is_empty() {
            let words =
                format!("has chunks of {dims:?} elements of {last:?} bytes for a shape of {shape:?}, {size} bytes");
            return Err(self.broken(words));
        }
        let grid: Vec<u64> = shape.iter().zip(&dims).map(|(&n, &chunk)| n.div_ceil(chunk) as u64).collect();
        let most = limits.iter().zip(&dims).zip(&grid);
        let most =
            most.map(|((limit, &chunk), &now)| limit.map_or(now, |limit| limit.div_ceil(chunk as u64))).collect();
        let unlimited = limits.iter().position(Option::is_none);
        let width = (1 + (bytes.ilog2() as usize + 8) / 8).min(8);
        Ok(Chunked { index, at, dims, bytes, grid, most, unlimited, width, plain_edges: false })
    }

    /// The element that stands where nothing is written.
    fn fill(&self, object: &Object, size: usize) -> Result<Vec<u8>> {
        let mut value: &[u8] = &[];
        if let Some(message) = object.find(FILL) {
            let mut fields = Fields::new(self, &message.data, "fill value");
            let version = fields.version(&[1, 2, 3])?;
            let defined = match version {
                3 => fields.u8()? & 0x20 != 0,
                _ => {
                    fields.take(2)?;
                    fields.u8()? != 0 || version == 1
                }
            };
            if defined {
                let len = fields.u32()?;
                value = fields.take(len as usize)?;
            }
        } else if let Some(message) = object.find(OLD_FILL) {
            let mut fields = Fields::new(self, &message.data, "fill value");
            let len = fields.u32()?;
            value = fields.take(len as usize)?;
        }
        match value.len() {
            0 => Ok(vec![0; size]),
            len if len == size => Ok(value.to_vec()),
            len => Err(self.broken(format!("has a fill value of {len} bytes for elements of {size}"))),
        }
    }

    fn is_bfloat16(&self, object: &Object) -> Result<bool> {
        if object.find(ATTRIBUTE).is_none() && object.find(ATTRIBUTE_INFO).is_none() {
            return Ok(false);
        }
        let texts = self.texts(object, &|name| name == "dtype")?;
        Ok(texts.get("dtype").is_some_and(|texts| texts.as_slice() == ["bfloat16"]))
    }
}
