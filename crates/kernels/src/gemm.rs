//! Matrix product, C = act(A·B (+ C) + bias + residual), with prepacked B and fused epilogue.

use crate::Element;
use crate::naive;

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
        Mat {
            data,
            rows,
            cols,
            row_stride: cols,
            col_stride: 1,
        }
    }

    /// The transpose, a view of the same numbers.
    pub fn t(self) -> Self {
        Mat {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Element (i, j).
    #[inline(always)]
    pub fn at(&self, i: usize, j: usize) -> T {
        self.data[i * self.row_stride + j * self.col_stride]
    }

    /// Numbers that `data` must have at least.
    fn extent(&self) -> usize {
        if self.rows == 0 || self.cols == 0 {
            return 0;
        }
        (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride + 1
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

impl<T> Epilogue<'_, T> {
    /// Leaves the result as it is.
    pub const NONE: Self = Epilogue {
        bias: None,
        residual: None,
        activation: Activation::None,
    };

    /// Panics unless bias and residual fit a result of `cols` columns that occupies `extent` numbers.
    pub(crate) fn check(&self, cols: usize, extent: usize) {
        assert!(
            self.bias.is_none_or(|bias| bias.len() == cols),
            "bias: {} columns",
            cols
        );
        assert!(
            self.residual
                .is_none_or(|residual| residual.len() >= extent),
            "residual: {extent} numbers"
        );
    }
}

/// A matrix B rearranged once for many products A·B.
#[derive(Clone, Debug)]
pub struct Packed<T> {
    data: Vec<T>,
    rows: usize,
    cols: usize,
}

impl<T: Element> Packed<T> {
    /// Packs b.
    pub fn new(b: Mat<T>) -> Self {
        let data = (0..b.rows)
            .flat_map(|i| (0..b.cols).map(move |j| b.at(i, j)))
            .collect();
        Packed {
            data,
            rows: b.rows,
            cols: b.cols,
        }
    }
    /// Rows of b.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Columns of b.
    pub fn cols(&self) -> usize {
        self.cols
    }
}

/// C = act(A·B (+ C if `accumulate`) + bias + residual). C has rows of `b.cols` numbers, `ldc` apart.
///
/// # Panics
/// If the sizes do not fit.
pub fn gemm<T: Element>(
    a: Mat<T>,
    b: Mat<T>,
    c: &mut [T],
    ldc: usize,
    accumulate: bool,
    epilogue: &Epilogue<T>,
) {
    check(&a, b.rows, b.cols, c, ldc, epilogue);
    assert!(
        b.data.len() >= b.extent(),
        "b: {} numbers for a view of {}",
        b.data.len(),
        b.extent()
    );
    naive::gemm::gemm(a, b, c, ldc, accumulate, epilogue);
}

/// [`gemm`] on the calling thread only, for callers that are parallel themselves.
pub fn gemm_serial<T: Element>(
    a: Mat<T>,
    b: Mat<T>,
    c: &mut [T],
    ldc: usize,
    accumulate: bool,
    epilogue: &Epilogue<T>,
) {
    gemm(a, b, c, ldc, accumulate, epilogue);
}

/// [`gemm`] with a B that was packed before.
pub fn gemm_packed<T: Element>(
    a: Mat<T>,
    b: &Packed<T>,
    c: &mut [T],
    ldc: usize,
    accumulate: bool,
    epilogue: &Epilogue<T>,
) {
    check(&a, b.rows, b.cols, c, ldc, epilogue);
    naive::gemm::gemm(
        a,
        Mat::new(&b.data, b.rows, b.cols),
        c,
        ldc,
        accumulate,
        epilogue,
    );
}

/// Panics unless everything but b fits.
fn check<T: Element>(a: &Mat<T>, k: usize, n: usize, c: &[T], ldc: usize, epilogue: &Epilogue<T>) {
    assert_eq!(a.cols, k, "gemm: [{}, {}] times [{k}, {n}]", a.rows, a.cols);
    assert!(
        a.data.len() >= a.extent(),
        "a: {} numbers for a view of {}",
        a.data.len(),
        a.extent()
    );
    let extent = if a.rows == 0 || n == 0 {
        0
    } else {
        (a.rows - 1) * ldc + n
    };
    assert!(
        ldc >= n && c.len() >= extent,
        "c: {} numbers, rows of {n} that are {ldc} apart",
        c.len()
    );
    epilogue.check(n, extent);
}
