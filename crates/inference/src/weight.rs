//! The weight of a step as the model has it. What is folded into it is remembered, and computed when it is packed.

use rayon::prelude::*;
use std::ops::Range;
use ukulele_layers::Tensor;

/// Rows of outputs: those of several tensors, one below the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    parts: Vec<Part>,
}

/// The rows of one tensor, whose memory is dense and in the order that the step reads.
#[derive(Debug, Clone)]
struct Part {
    tensor: Tensor,
    /// (pixels, channels) where the columns lie as channels, pixels and are read as pixels, channels.
    turned: Option<(usize, usize)>,
    /// Factors that are multiplied with one after the other: one for each row, or one for all.
    factors: Vec<Vec<f64>>,
}

impl Rows {
    /// Those of a tensor in the order of its memory.
    pub(crate) fn new(tensor: Tensor) -> Self {
        Self { parts: vec![Part { tensor, turned: None, factors: Vec::new() }] }
    }

    /// Columns in the order (pixel, channel) instead of (channel, pixel).
    pub(crate) fn turn(&mut self, pixels: usize, channels: usize) {
        self.parts.iter_mut().for_each(|part| part.turned = Some((pixels, channels)));
    }

    /// Multiplies the rows, by one number each or one for all.
    pub(crate) fn rescale(&mut self, factor: &[f64]) {
        let mut first = 0;
        for part in &mut self.parts {
            let rows = part.rows();
            part.factors.push(if factor.len() == 1 { factor.to_vec() } else { factor[first..first + rows].to_vec() });
            first += rows;
        }
    }

    /// Adds rows of as many columns.
    pub(crate) fn append(&mut self, other: Self) {
        self.parts.extend(other.parts);
    }

    /// Whether these are the very same, of the same memory.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let one = |(a, b): (&Part, &Part)| {
            std::ptr::eq(a.tensor.strided(), b.tensor.strided())
                && a.tensor.same_layout(&b.tensor)
                && (a.turned, &a.factors) == (b.turned, &b.factors)
        };
        self.parts.len() == other.parts.len() && self.parts.iter().zip(&other.parts).all(one)
    }

    /// How many numbers there are.
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.tensor.numel()).sum()
    }

    /// Runs of rows of about `most` numbers, none of which is of two tensors.
    pub(crate) fn pieces(&self, most: usize) -> impl Iterator<Item = Range<usize>> {
        let mut first = 0;
        self.parts.iter().flat_map(move |part| {
            let (rows, begin) = (part.rows(), first);
            first += rows;
            // Whole tiles of columns.
            let size = (most / part.width() / 64).max(1) * 64;
            (0..rows).step_by(size).map(move |at| begin + at..begin + rows.min(at + size))
        })
    }

    /// Calls `f` with all numbers, which are computed in `scratch` where they are not those of a tensor.
    pub(crate) fn with<R>(&self, scratch: &mut Vec<f32>, f: impl FnOnce(&[f32]) -> R) -> R {
        let rows = self.parts.iter().map(Part::rows).sum();
        self.with_rows(0..rows, scratch, f)
    }

    /// As [`Rows::with`], for some rows.
    pub(crate) fn with_rows<R>(&self, rows: Range<usize>, scratch: &mut Vec<f32>, f: impl FnOnce(&[f32]) -> R) -> R {
        let mut first = 0;
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let all = first..first + part.rows();
            let own = rows.start.max(all.start)..rows.end.min(all.end);
            if !own.is_empty() {
                parts.push((part, own.start - first..own.end - first));
            }
            first = all.end;
        }
        if let [(part, rows)] = &parts[..]
            && part.turned.is_none()
            && part.factors.is_empty()
        {
            return f(&part.tensor.dense_memory()[rows.start * part.width()..rows.end * part.width()]);
        }
        let len = parts.iter().map(|(part, rows)| rows.len() * part.width()).sum();
        if scratch.len() < len {
            *scratch = Vec::new();
            scratch.resize(len, 0.0);
        }
        let mut rest = &mut scratch[..len];
        for (part, rows) in parts {
            let (numbers, after) = rest.split_at_mut(rows.len() * part.width());
            part.fold(rows.start, numbers);
            rest = after;
        }
        f(&scratch[..len])
    }
}

impl Part {
    fn rows(&self) -> usize {
        self.tensor.shape().first().copied().unwrap_or(1)
    }

    fn width(&self) -> usize {
        (self.tensor.numel() / self.rows().max(1)).max(1)
    }

    /// The rows from `first` on.
    fn fold(&self, first: usize, out: &mut [f32]) {
        let width = self.width();
        let rows = self.tensor.dense_memory()[first * width..].par_chunks_exact(width);
        out.par_chunks_exact_mut(width).zip(rows).enumerate().with_min_len(1 + 4096 / width).for_each(
            |(at, (out, row))| {
                match self.turned {
                    Some((pixels, channels)) => {
                        let from = |i: usize| row[i % channels * pixels + i / channels];
                        out.iter_mut().enumerate().for_each(|(i, out)| *out = from(i));
                    }
                    None => out.copy_from_slice(row),
                }
                for factor in &self.factors {
                    let factor = if factor.len() == 1 { factor[0] } else { factor[first + at] };
                    out.iter_mut().for_each(|w| *w = (f64::from(*w) * factor) as f32);
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(rows: &Rows) -> Vec<f32> {
        rows.with(&mut Vec::new(), <[f32]>::to_vec)
    }

    #[test]
    fn rows_are_folded_when_they_are_read() {
        let tensor = |from: u8| Tensor::from_vec(&[2, 4], (from..from + 8).map(f32::from).collect()).unwrap();
        let mut rows = Rows::new(tensor(0));
        assert_eq!(numbers(&rows), [0., 1., 2., 3., 4., 5., 6., 7.]);
        rows.turn(2, 2);
        rows.rescale(&[1.0, 10.0]);
        assert_eq!(numbers(&rows), [0., 2., 1., 3., 40., 60., 50., 70.]);
        rows.append(Rows::new(tensor(8)));
        rows.rescale(&[1.0, 1.0, 2.0, 0.0]);
        rows.rescale(&[-1.0]);
        assert_eq!(rows.len(), 16);
        let all = numbers(&rows);
        assert_eq!(all[8..], [-16., -18., -20., -22., 0., 0., 0., 0.]);
        let some = rows.with_rows(1..3, &mut Vec::new(), <[f32]>::to_vec);
        assert_eq!(some, all[4..12]);
        assert_eq!(rows.pieces(1).collect::<Vec<_>>(), [0..2, 2..4]);
    }

    #[test]
    fn pieces_are_whole_tiles() {
        let rows = Rows::new(Tensor::zeros(&[150, 4]).unwrap());
        assert_eq!(rows.pieces(600).collect::<Vec<_>>(), [0..128, 128..150]);
    }
}
