//! The values of a data set.

use super::chunks::Chunk;
use super::dataset::{Chunked, Layout};
use super::{Dataset, File};
use crate::Result;

impl File<'_> {
    /// All values, little-endian and row-major.
    pub(crate) fn values(&self, dataset: &Dataset) -> Result<Vec<u8>> {
        let mut values = match &dataset.layout {
            Layout::Place(at) => {
                self.check(*at, dataset.len as u64)?;
                self.head.source.read(*at, dataset.len as u64)?
            }
            Layout::Nowhere => filled(dataset),
            Layout::Chunked(chunked) => {
                let chunks = self.chunks(chunked, !dataset.filters.is_empty())?;
                let mut values = filled(dataset);
                for chunk in &chunks {
                    self.chunk(dataset, chunked, chunk, &mut values)?;
                }
                values
            }
        };
        if dataset.big_endian {
            values.chunks_exact_mut(dataset.dtype.bits() / 8).for_each(<[u8]>::reverse);
        }
        Ok(values)
    }

    fn chunk(&self, dataset: &Dataset, chunked: &Chunked, chunk: &Chunk, values: &mut [u8]) -> Result<()> {
        let mut cell = chunk.cell;
        let mut first = vec![0; dataset.shape.len()];
        for (axis, &count) in chunked.grid.iter().enumerate().rev() {
            first[axis] = (cell % count) as usize * chunked.dims[axis];
            cell /= count;
        }
        let partial = (0..first.len()).any(|axis| dataset.shape[axis] - first[axis] < chunked.dims[axis]);
        let bytes = self.head.source.read(chunk.at, chunk.len)?;
        let filters = if partial && chunked.plain_edges { &[] } else { dataset.filters.as_slice() };
        let bytes = self.unpack(bytes, filters, chunk.mask, chunked.bytes)?;
        place(&bytes, &chunked.dims, values, &dataset.shape, &first, dataset.dtype.bits() / 8);
        Ok(())
    }
}

fn filled(dataset: &Dataset) -> Vec<u8> {
    match dataset.fill.iter().all(|&byte| byte == 0) {
        true => vec![0; dataset.len],
        false => dataset.fill.repeat(dataset.len / dataset.fill.len()),
    }
}

/// Copies what of a chunk lies within the shape, whose corner `first` is, row by row.
fn place(chunk: &[u8], dims: &[usize], values: &mut [u8], shape: &[usize], first: &[usize], size: usize) {
    let Some(last) = dims.len().checked_sub(1) else { return };
    let counts: Vec<usize> = (0..=last).map(|axis| dims[axis].min(shape[axis] - first[axis])).collect();
    let row = counts[last] * size;
    let mut index = vec![0; last];
    loop {
        let (mut from, mut to) = (0, 0);
        for axis in 0..last {
            from = from * dims[axis] + index[axis];
            to = to * shape[axis] + first[axis] + index[axis];
        }
        (from, to) = (from * dims[last] * size, (to * shape[last] + first[last]) * size);
        values[to..to + row].copy_from_slice(&chunk[from..from + row]);
        let Some(axis) = (0..last).rev().find(|&axis| index[axis] + 1 < counts[axis]) else { return };
        index[axis] += 1;
        index[axis + 1..].fill(0);
    }
}
