//! Matrix product, C = act(A·B (+ C) + bias + residual), with prepacked B and fused epilogue.

pub(crate) mod blocks;
mod few;
mod mixed;
pub(crate) mod outer;
pub(crate) mod pack;
pub(crate) mod pairs;
pub(crate) mod quads;
pub(crate) mod store;
pub(crate) mod tile;

use crate::element::{cast, cast_mut, is_f32};
use crate::isa::{self, Isa};
use crate::numbers::Numbers;
use crate::{Element, naive};
use blocks::{pieces, run_blocks, tile_size};
pub use mixed::{MixedEpilogue, gemm_packed_mixed};
pub(crate) use mixed::{Rows, with_rows};
use outer::{Factor, Meeting, Outer, outer};
use pack::{pack, pack_places, packed_len, with_buffer};
use pairs::{Kind, to_pairs};
use quads::{Quantum, extremes, join_quads, quantize};
use std::mem::take;
use std::ops::Range;
use store::Target;
use tile::{Block, CHAIN, Panels};

/// Numbers of a B that are packed at a time for one product.
const PACKED: usize = 4 * 1024 * 1024;

/// Rows whose distance is a multiple of this many numbers (4 KiB) all fall into the same few places of the first-level
/// cache and push each other out.
pub(crate) const CLASH: usize = 1024;

/// A view of a matrix: element (i, j) is `data[i * row_stride + j * col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a, T> {
    /// The numbers, from element (0, 0) on.
    pub data: &'a [T],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Distance from a row to the next.
    pub row_stride: usize,
    /// Distance from a column to the next.
    pub col_stride: usize,
}

impl<'a, T: Element> Mat<'a, T> {
    /// A dense row-major matrix.
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        Mat { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transpose, a view of the same numbers.
    pub fn t(self) -> Self {
        Mat { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// Element (i, j).
    #[inline(always)]
    pub fn at(&self, i: usize, j: usize) -> T {
        self.data[i * self.row_stride + j * self.col_stride]
    }

    /// The same view, if its elements are of type `U`.
    fn cast<U: Element>(self) -> Option<Mat<'a, U>> {
        let Mat { data, rows, cols, row_stride, col_stride } = self;
        Some(Mat { data: cast(data)?, rows, cols, row_stride, col_stride })
    }

    /// Panics unless `data` has all numbers of the view.
    fn check(&self) {
        if self.rows > 0 && self.cols > 0 {
            let extent = extent(self.rows - 1, self.row_stride)
                .saturating_add(extent(self.cols - 1, self.col_stride))
                .saturating_add(1);
            assert!(self.data.len() >= extent, "a view of {extent} numbers of {}", self.data.len());
        }
    }
}

impl<'a> Mat<'a, f32> {
    /// Some rows, each of them contiguous: a view if they are, else a copy in `scratch`. Rows that clash
    /// in the cache are copied as well.
    fn rows_contiguous<'b>(self, rows: Range<usize>, scratch: &'b mut Vec<f32>) -> Mat<'b, f32>
    where
        'a: 'b,
    {
        let view =
            Mat { data: &self.data[(rows.start * self.row_stride).min(self.data.len())..], rows: rows.len(), ..self };
        if self.cols == 0 {
            return Mat { data: &[], row_stride: 0, ..view };
        }
        if self.col_stride == 1 && !self.row_stride.is_multiple_of(CLASH) {
            return view;
        }
        let stride = if self.cols.is_multiple_of(CLASH) { self.cols + 16 } else { self.cols };
        scratch.clear();
        scratch.reserve_exact(rows.len() * stride);
        for i in 0..rows.len() {
            if self.col_stride == 1 {
                scratch.extend_from_slice(&view.data[i * self.row_stride..][..self.cols]);
            } else {
                scratch.extend((0..self.cols).map(|k| view.at(i, k)));
            }
            scratch.resize((i + 1) * stride, 0.0);
        }
        Mat { data: scratch, row_stride: stride, col_stride: 1, ..view }
    }
}

impl Mat<'_, f32> {
    /// Some rows as pairs or quads in `scratch`, and the quanta of quads.
    fn rows_in_places<'b>(
        self,
        isa: Isa,
        kind: Kind,
        rows: Range<usize>,
        scratch: &'b mut Vec<f32>,
        quanta: &mut Vec<Quantum>,
    ) -> Mat<'b, f32> {
        let places = kind.places(self.cols);
        let stride = if places.is_multiple_of(CLASH) { places + 16 } else { places };
        scratch.reserve_exact((rows.len() * stride).saturating_sub(scratch.len()));
        scratch.resize(rows.len() * stride, 0.0);
        let mut row = Vec::new();
        for (i, out) in rows.clone().zip(scratch.chunks_exact_mut(stride.max(1))) {
            let numbers = match self.col_stride {
                _ if self.cols == 0 => &[],
                1 => &self.data[i * self.row_stride..][..self.cols],
                _ => {
                    row.clear();
                    row.extend((0..self.cols).map(|k| self.at(i, k)));
                    &row[..]
                }
            };
            if kind.precision() == Precision::Bf16 {
                to_pairs(isa, kind, numbers, &mut out[..places]);
                continue;
            }
            let quantum = Quantum::of(extremes(isa, numbers));
            quantize(isa, quantum, numbers, &mut out[..places]);
            quanta.push(quantum);
        }
        Mat { data: scratch, rows: rows.len(), cols: places, row_stride: stride, col_stride: 1 }
    }
}

/// A function applied to each element of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// x
    #[default]
    None,
    /// max(x, 0); NaN stays NaN.
    Relu,
    /// x/2 (1 + erf(x / sqrt 2))
    GeluErf,
    /// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
    GeluTanh,
}

/// What happens to each element of a result before it is written: act(x + bias + residual).
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a, T> {
    /// Added to each row: one number per column (per output channel).
    pub bias: Option<&'a [T]>,
    /// Added to each element; same layout as the result.
    pub residual: Option<&'a [T]>,
    /// Applied last.
    pub activation: Activation,
}

impl<'a, T: Element> Epilogue<'a, T> {
    /// Leaves the result as it is.
    pub const NONE: Self = Epilogue { bias: None, residual: None, activation: Activation::None };

    /// Panics unless bias and residual fit a result of `cols` columns that occupies `extent` numbers.
    pub(crate) fn check(&self, cols: usize, extent: usize) {
        assert!(self.bias.is_none_or(|bias| bias.len() == cols), "bias: {cols} columns");
        assert!(self.residual.is_none_or(|residual| residual.len() >= extent), "residual: {extent} numbers");
    }

    /// The same, if its elements are of type `U`.
    pub(crate) fn cast<U: Element>(&self) -> Option<Epilogue<'a, U>> {
        let (bias, residual) = (self.bias.map(cast), self.residual.map(cast));
        if bias == Some(None) || residual == Some(None) || cast::<T, U>(&[]).is_none() {
            return None;
        }
        Some(Epilogue { bias: bias.flatten(), residual: residual.flatten(), activation: self.activation })
    }

    /// Does nothing?
    pub(crate) fn is_none(&self) -> bool {
        self.bias.is_none() && self.residual.is_none() && self.activation == Activation::None
    }
}

/// What a product's factors are rounded to before they are multiplied; sums are f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Not at all.
    #[default]
    F32,
    /// bf16, an f32 without the lower 16 of its 24 bits: a relative error of at most 2^-8 each.
    Bf16,
    /// Integers of 8 bits: those of B from -127 to 127 times a scale for each column, those of A from 0 to 255, less a zero point,
    /// times a scale for each row, found when the product is made: a relative error of at most 1/254 of the column's largest
    /// magnitude and 1/510 of the row's range each. Sums are exact.
    Int8,
}

/// A matrix B rearranged once for many products A·B.
#[derive(Clone, Debug)]
pub struct Packed<T> {
    panels: Vec<T>,
    /// Numbers of `panels` that belong to b: memory that is used again may have more.
    len: usize,
    rows: usize,
    cols: usize,
    isa: Isa,
    kind: Kind,
}

impl Packed<f32> {
    /// Packs b in a precision, to which A is rounded as well. In [`Precision::Int8`] sums of more than 66,000 products, which could
    /// be too large for 32 bits, stay in f32.
    ///
    /// # Panics
    /// If the numbers of b are too few.
    pub fn with_precision(b: Mat<f32>, precision: Precision) -> Self {
        Self::in_memory(Vec::new(), b, precision)
    }

    /// [`Packed::with_precision`] in memory that [`Packed::into_memory`] gave back. It grows where it is too small; in other
    /// precisions than f32 it is not used.
    ///
    /// # Panics
    /// If the numbers of b are too few.
    pub fn in_memory(memory: Vec<f32>, b: Mat<f32>, precision: Precision) -> Self {
        let isa = isa::current();
        match precision {
            Precision::F32 => Self::new_in(isa, memory, b),
            Precision::Bf16 => Self::new_pairs(isa, Kind::pairs(isa), b),
            Precision::Int8 if b.rows > quads::MOST_ROWS => Self::new_with(isa, b),
            Precision::Int8 => Self::new_quads(isa, Kind::quads(isa), b),
        }
    }

    /// [`Packed::with_precision`] of quads for an instruction set.
    pub(crate) fn new_quads(isa: Isa, kind: Kind, b: Mat<f32>) -> Self {
        b.check();
        let width = tile_size(isa).1;
        let mut panels = vec![0.0; packed_len(1, b.rows, b.cols, width)];
        pack(isa, false, &[b], width, &mut panels);
        let panels = join_quads(&panels, b.cols.div_ceil(width), 1, b.rows, width);
        Packed { len: panels.len(), panels, rows: b.rows, cols: b.cols, isa, kind }
    }

    /// [`Packed::with_precision`] of pairs for an instruction set.
    pub(crate) fn new_pairs(isa: Isa, kind: Kind, b: Mat<f32>) -> Self {
        b.check();
        let (width, places) = (tile_size(isa).1, kind.places(b.rows));
        let mut panels = vec![0.0; packed_len(1, places, b.cols, width)];
        pack_places(isa, kind, false, &[b], width, &mut panels);
        Packed { len: panels.len(), panels, rows: b.rows, cols: b.cols, isa, kind }
    }
}

impl<T: Element> Packed<T> {
    /// Packs b.
    ///
    /// # Panics
    /// If the numbers of b are too few.
    pub fn new(b: Mat<T>) -> Self {
        Self::new_with(isa::current(), b)
    }

    /// [`Packed::new`] for an instruction set.
    pub(crate) fn new_with(isa: Isa, b: Mat<T>) -> Self {
        Self::new_in(isa, Vec::new(), b)
    }

    fn new_in(isa: Isa, memory: Vec<T>, b: Mat<T>) -> Self {
        b.check();
        // Only f32 has a kernel for panels; otherwise one panel holds all columns, which is a dense matrix.
        let width = if is_f32::<T>() { tile_size(isa).1 } else { b.cols.max(1) };
        let len = packed_len(1, b.rows, b.cols, width);
        let mut panels = at_least(memory, len);
        pack(isa, false, &[b], width, &mut panels[..len]);
        Packed { panels, len, rows: b.rows, cols: b.cols, isa, kind: Kind::Single }
    }

    /// The memory that b lies in, for the next one.
    pub fn into_memory(self) -> Vec<T> {
        self.panels
    }

    /// Rows of b.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of b.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Numbers of type `T` in whose memory b lies.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether b has no numbers.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What b's numbers were rounded to.
    pub fn precision(&self) -> Precision {
        self.kind.precision()
    }
}

/// `memory`, or new memory if it has fewer than `len` numbers.
pub(crate) fn at_least<T: Element>(memory: Vec<T>, len: usize) -> Vec<T> {
    if memory.len() >= len {
        return memory;
    }
    drop(memory);
    vec![T::ZERO; len]
}

/// C = act(A·B (+ C if `accumulate`) + bias + residual). C has rows of `b.cols` numbers, `ldc` apart.
///
/// # Panics
/// If the sizes do not fit.
pub fn gemm<T: Element>(a: Mat<T>, b: Mat<T>, c: &mut [T], ldc: usize, accumulate: bool, epilogue: &Epilogue<T>) {
    gemm_with(isa::current(), Kind::Single, false, a, b, c, ldc, accumulate, epilogue);
}

/// [`gemm`] of factors that are rounded to a precision first; sums are f32. Those of f64 stay as they are.
///
/// # Panics
/// If the sizes do not fit. In [`Precision::Int8`], which needs a [`Packed`] matrix.
pub fn gemm_in<T: Element>(
    precision: Precision,
    a: Mat<T>,
    b: Mat<T>,
    c: &mut [T],
    ldc: usize,
    accumulate: bool,
    epilogue: &Epilogue<T>,
) {
    let isa = isa::current();
    gemm_with(isa, Kind::of(isa, precision), false, a, b, c, ldc, accumulate, epilogue);
}

/// [`gemm`] on the calling thread only, for callers that are parallel themselves.
///
/// # Panics
/// If the sizes do not fit.
pub fn gemm_serial<T: Element>(
    a: Mat<T>,
    b: Mat<T>,
    c: &mut [T],
    ldc: usize,
    accumulate: bool,
    epilogue: &Epilogue<T>,
) {
    gemm_with(isa::current(), Kind::Single, true, a, b, c, ldc, accumulate, epilogue);
}

/// [`gemm`] with a B that was packed before. Sums are rounded as in other libraries: twice as much as by [`gemm`].
///
/// # Panics
/// If the sizes do not fit.
pub fn gemm_packed<T: Element>(
    a: Mat<T>,
    b: &Packed<T>,
    c: &mut [T],
    ldc: usize,
    accumulate: bool,
    epilogue: &Epilogue<T>,
) {
    check(&a, b.rows, b.cols, c, ldc, epilogue);
    let panels = &b.panels[..b.len];
    match (a.cast(), cast(panels), cast_mut(c), epilogue.cast()) {
        (Some(a), Some(panels), Some(c), Some(epilogue)) => {
            let depth = b.kind.places(b.rows);
            let b_panels = Panels { data: panels, taps: 1, depth, cols: b.cols, chain: b.kind.chain(), kind: b.kind };
            multiply(b.isa, false, a, b_panels, c, ldc, accumulate, epilogue);
        }
        _ => multiply_f64(a, Mat::new(panels, b.rows, b.cols), c, ldc, accumulate, epilogue),
    }
}

/// [`gemm`] on an instruction set, in single numbers or pairs, on all threads or the calling one.
pub(crate) fn gemm_with<T: Element>(
    isa: Isa,
    kind: Kind,
    serial: bool,
    a: Mat<T>,
    b: Mat<T>,
    c: &mut [T],
    ldc: usize,
    accumulate: bool,
    epilogue: &Epilogue<T>,
) {
    check(&a, b.rows, b.cols, c, ldc, epilogue);
    b.check();
    match (a.cast(), b.cast(), cast_mut(c), epilogue.cast()) {
        (Some(a), Some(b), Some(c), Some(epilogue)) => {
            if a.row_stride == 1 && a.col_stride > 1 && b.col_stride == 1 && epilogue.is_none() {
                multiply_transposed(isa, kind, serial, a, b, c, ldc, accumulate);
            } else if !serial && kind == Kind::Single && few::pays(&a, &b) {
                few::multiply(isa, a, b, c, ldc, accumulate, epilogue);
            } else {
                let width = tile_size(isa).1;
                // A large B is packed some columns at a time: the panels of all would take as much memory once more.
                let most = (PACKED / b.rows.max(1) / width).max(1) * width;
                for first in (0..b.cols).step_by(most) {
                    let cols = first..b.cols.min(first + most);
                    let from = |x: usize| first.min(x);
                    let part = Mat { data: &b.data[(first * b.col_stride).min(b.data.len())..], cols: cols.len(), ..b };
                    let c = {
                        let at = from(c.len());
                        &mut c[at..]
                    };
                    let epilogue = Epilogue {
                        bias: epilogue.bias.map(|bias| &bias[cols.clone()]),
                        residual: epilogue.residual.map(|residual| &residual[from(residual.len())..]),
                        ..epilogue
                    };
                    let depth = kind.places(part.rows);
                    with_buffer(packed_len(1, depth, part.cols, width), |panels| {
                        pack_places(isa, kind, serial, &[part], width, panels);
                        let b = Panels { data: panels, taps: 1, depth, cols: part.cols, chain: CHAIN, kind };
                        multiply(isa, serial, a, b, c, ldc, accumulate, epilogue);
                    });
                }
            }
        }
        _ => multiply_f64(a, b, c, ldc, accumulate, epilogue),
    }
}

/// `count` times `stride`; what wraps around is larger than any memory.
fn extent(count: usize, stride: usize) -> usize {
    count.saturating_mul(stride)
}

/// Panics unless everything but b fits.
fn check<T: Element>(a: &Mat<T>, k: usize, n: usize, c: &[T], ldc: usize, epilogue: &Epilogue<T>) {
    assert_eq!(a.cols, k, "gemm: [{}, {}] times [{k}, {n}]", a.rows, a.cols);
    a.check();
    let extent = if a.rows == 0 || n == 0 { 0 } else { extent(a.rows - 1, ldc).saturating_add(n) };
    assert!(ldc >= n && c.len() >= extent, "c: {} numbers, rows of {n} that are {ldc} apart", c.len());
    epilogue.check(n, extent);
}

/// A times panels of B, the sizes being checked. A is f32; where the panels hold pairs or quads it is rounded to them.
pub(crate) fn multiply(
    isa: Isa,
    serial: bool,
    a: Mat<f32>,
    b: Panels,
    c: &mut [f32],
    ldc: usize,
    accumulate: bool,
    epilogue: Epilogue<f32>,
) {
    // SAFETY: the caller has checked that c is large enough.
    unsafe { multiply_to(isa, serial, a, false, b, Target::new(c, accumulate, epilogue), ldc) }
}

/// As [`multiply`], to any target; `placed` says that A consists of the places of b's kind already.
///
/// # Safety
/// The target must have room for all rows.
pub(crate) unsafe fn multiply_to(
    isa: Isa,
    serial: bool,
    a: Mat<f32>,
    placed: bool,
    b: Panels,
    target: Target,
    ldc: usize,
) {
    let tile_rows = tile_size(isa).0;
    let block = |rows: Range<usize>| {
        let mut block = Block::new();
        let (mut scratch, mut quanta) = (take(&mut block.scratch), take(&mut block.quanta));
        let a = match b.kind {
            Kind::Single => a.rows_contiguous(rows.clone(), &mut scratch),
            _ if placed => a.rows_contiguous(rows.clone(), &mut scratch),
            kind => a.rows_in_places(isa, kind, rows.clone(), &mut scratch, &mut quanta),
        };
        for tile in pieces(rows.clone(), tile_rows) {
            block.tile(tile.clone().map(|i| i * ldc));
            block.tap(0, tile.map(|i| a.data[(i - rows.start) * a.row_stride..].as_ptr()));
        }
        (block.scratch, block.quanta) = (scratch, quanta);
        block
    };
    // SAFETY: all ways give rows of `b.depth` places, tiles have different rows, and the target is large enough.
    unsafe { run_blocks(isa, serial, a.rows, b.depth, b, target, block) };
}

/// A·B of f64, by the matrixmultiply crate, the sizes being checked.
fn multiply_f64<T: Element>(a: Mat<T>, b: Mat<T>, c: &mut [T], ldc: usize, accumulate: bool, epilogue: &Epilogue<T>) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    let (Some(a), Some(b), Some(sum)) = (a.cast::<f64>(), b.cast::<f64>(), cast_mut::<T, f64>(c)) else {
        return naive::gemm::gemm(a, b, c, ldc, accumulate, epilogue);
    };
    let (a_strides, b_strides) =
        ((a.row_stride as isize, a.col_stride as isize), (b.row_stride as isize, b.col_stride as isize));
    // SAFETY: the sizes are checked, and c is nobody else's.
    unsafe {
        matrixmultiply::dgemm(
            m,
            k,
            n,
            1.0,
            a.data.as_ptr(),
            a_strides.0,
            a_strides.1,
            b.data.as_ptr(),
            b_strides.0,
            b_strides.1,
            f64::from(accumulate),
            sum.as_mut_ptr(),
            ldc as isize,
            1,
        );
    }
    for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
        c[i * ldc + j] = naive::gemm::finish(c[i * ldc + j], epilogue, i * ldc + j, j);
    }
}

/// A·B where A is the transpose of a row-major matrix: a sum of outer products.
fn multiply_transposed(
    isa: Isa,
    kind: Kind,
    serial: bool,
    a: Mat<f32>,
    b: Mat<f32>,
    c: &mut [f32],
    ldc: usize,
    accumulate: bool,
) {
    let sum = Outer {
        left: Factor { data: Numbers::F32(a.data), pitch: a.col_stride, len: a.rows },
        right: Factor { data: Numbers::F32(b.data), pitch: b.row_stride, len: b.cols },
        depth: a.cols,
        right_rows: b.rows,
        taps: 1,
        row_stride: ldc,
        accumulate,
        kind,
    };
    outer(isa, serial, sum, c, |part| Meeting {
        pairs: vec![(0..part.len() as u32).map(|p| (p, p)).collect()],
        right: part.collect(),
    });
}

#[cfg(test)]
mod tests;
