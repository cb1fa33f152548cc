//! Products with a prepared matrix whose other numbers lie as f32 or as bf16.

use super::pairs::Kind;
use super::store::Target;
use super::tile::Panels;
use super::{Activation, Mat, Packed, Precision, extent, multiply_to};
use crate::isa::Isa;
use crate::numbers::{Numbers, NumbersMut, with_wide};
use bytemuck::try_cast_slice;

/// As [`super::Epilogue`], with a residual that may lie as bf16.
#[derive(Clone, Copy, Debug)]
pub struct MixedEpilogue<'a> {
    /// Added to each row: one number per column (per output channel).
    pub bias: Option<&'a [f32]>,
    /// Added to each element; same layout as the result.
    pub residual: Option<Numbers<'a>>,
    /// Applied last. In front of a result of bf16 the error of GELU is up to 2^-14 times |x|.
    pub activation: Activation,
}

impl MixedEpilogue<'_> {
    /// Panics unless bias and residual fit a result of `cols` columns that occupies `extent` numbers.
    pub(crate) fn check(&self, cols: usize, extent: usize) {
        assert!(self.bias.is_none_or(|bias| bias.len() == cols), "bias: {cols} columns");
        assert!(self.residual.is_none_or(|residual| residual.len() >= extent), "residual: {extent} numbers");
    }
}

/// Rows of numbers in the memory of f32.
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [f32],
    /// f32 from a row to the next.
    pub(crate) width: usize,
    /// Are they pairs, as the prepared matrix has them?
    pub(crate) placed: bool,
}

/// Calls `f` with dense rows of `width` numbers as products of this kind take them: as they are, or widened.
pub(crate) fn with_rows<R>(isa: Isa, kind: Kind, x: Numbers, width: usize, f: impl FnOnce(Rows) -> R) -> R {
    let pairs = kind.precision() == Precision::Bf16 && width.is_multiple_of(2);
    let narrow = match x {
        Numbers::F32(data) => return f(Rows { data, width, placed: false }),
        Numbers::Bf16(narrow) => narrow,
    };
    match try_cast_slice(&narrow[..narrow.len() / 2 * 2]) {
        Ok(data) if pairs => f(Rows { data, width: width / 2, placed: true }),
        _ => with_wide(isa, x, |data| f(Rows { data, width, placed: false })),
    }
}

/// C = act(A·B + bias + residual), A being `rows` dense rows; C has rows of `b.cols()` numbers, `ldc` apart. Sums are f32, whatever
/// the numbers lie as.
///
/// # Panics
/// If the sizes do not fit.
pub fn gemm_packed_mixed(
    a: Numbers,
    rows: usize,
    b: &Packed<f32>,
    c: NumbersMut,
    ldc: usize,
    epilogue: &MixedEpilogue,
) {
    let occupied = if rows == 0 || b.cols == 0 { 0 } else { extent(rows - 1, ldc).saturating_add(b.cols) };
    assert!(a.len() >= extent(rows, b.rows), "a: {} numbers, {rows} rows of {}", a.len(), b.rows);
    assert!(ldc >= b.cols && c.len() >= occupied, "c: {} numbers, rows of {} that are {ldc} apart", c.len(), b.cols);
    epilogue.check(b.cols, occupied);
    let panels = Panels {
        data: &b.panels[..b.len],
        taps: 1,
        depth: b.kind.places(b.rows),
        cols: b.cols,
        chain: b.kind.chain(),
        kind: b.kind,
    };
    let target = Target::of(c, epilogue);
    with_rows(b.isa, b.kind, a.part(0..rows * b.rows), b.rows, |a| {
        let Rows { data, width, placed } = a;
        let a = Mat { data, rows, cols: width, row_stride: width, col_stride: 1 };
        // SAFETY: the target has room for all rows, checked above.
        unsafe { multiply_to(b.isa, false, a, placed, panels, target, ldc) };
    });
}

#[cfg(test)]
mod tests {
    use super::super::Epilogue;
    use super::*;
    use crate::isa::available;
    use crate::naive;
    use crate::numbers::tests::{assert_near, narrowed, widened};
    use crate::testing::{numbers, same_on_1_and_2_threads};

    /// B as this kind has it, and the numbers that A and B are rounded to.
    fn packed(isa: Isa, kind: Kind, b: Mat<f32>) -> Packed<f32> {
        if kind == Kind::Single { Packed::new_with(isa, b) } else { Packed::new_pairs(isa, kind, b) }
    }

    #[test]
    fn agrees_with_the_naive_twin() {
        let sizes =
            [(1, 1, 1), (5, 7, 3), (13, 32, 8), (30, 70, 66), (12, 96, 64), (3, 33, 0), (25, 40, 1024), (0, 4, 4)];
        for (case, (m, n, k)) in sizes.into_iter().enumerate() {
            let seed = 10 * case as u64;
            let (a, b, bias) =
                (numbers(seed, m * k, -1.0, 1.0), numbers(seed + 1, k * n, -1.0, 1.0), numbers(seed + 2, n, -1.0, 1.0));
            let ldc = n + 3;
            let residual = numbers(seed + 3, m * ldc, -1.0, 1.0);
            let (short_a, short_residual) = (narrowed(&a), narrowed(&residual));
            let (round_a, round_b, round_residual) =
                (widened(&short_a), widened(&narrowed(&b)), widened(&short_residual));
            for isa in available() {
                for kind in [Kind::Single, Kind::Pairs, Kind::pairs(isa)] {
                    for way in 0..24 {
                        let (from, to, third) = (way & 1 == 1, way & 2 == 2, way / 4 % 3);
                        let activation =
                            [Activation::None, Activation::Relu, Activation::GeluErf, Activation::GeluTanh]
                                [(way + case) % 4];
                        let pairs = kind != Kind::Single;
                        let seen = Mat::new(if from || pairs { &round_a } else { &a }, m, k);
                        let by = Mat::new(if pairs { &round_b } else { &b }, k, n);
                        let epilogue = Epilogue {
                            bias: Some(&bias),
                            residual: [None, Some(&residual[..]), Some(&round_residual)][third],
                            activation,
                        };
                        let mut want = vec![7.0; m * ldc];
                        naive::gemm::gemm(seen, by, &mut want, ldc, false, &epilogue);
                        let residual =
                            [None, Some(Numbers::F32(&residual)), Some(Numbers::Bf16(&short_residual))][third];
                        let epilogue = MixedEpilogue { bias: Some(&bias), residual, activation };
                        let a = if from { Numbers::Bf16(&short_a) } else { Numbers::F32(&a) };
                        let b = packed(isa, kind, Mat::new(&b, k, n));
                        let (mut wide, mut short) = (vec![7.0; m * ldc], narrowed(&vec![7.0; m * ldc]));
                        let c = if to { NumbersMut::Bf16(&mut short) } else { NumbersMut::F32(&mut wide) };
                        gemm_packed_mixed(a, m, &b, c, ldc, &epilogue);
                        let got = if to { widened(&short) } else { wide };
                        let tolerance = 2e-7 * (k as f32 + 8.0) + if to { 1e-3 } else { 0.0 };
                        let what = format!("{isa:?} {kind:?} {m}x{n}x{k} {from} {to} {third} {activation:?}");
                        assert_near(&got, &want, to, tolerance, &what);
                    }
                }
            }
        }
    }

    /// Rounding where it is stored and rounding where it is read are the same.
    #[test]
    fn pairs_are_read_as_they_are() {
        let (m, n, k) = (37, 75, 514);
        let (a, b) = (numbers(1, m * k, -1.0, 1.0), numbers(2, k * n, -1.0, 1.0));
        let epilogue = MixedEpilogue { bias: None, residual: None, activation: Activation::None };
        let short = narrowed(&a);
        for isa in available() {
            for kind in [Kind::Pairs, Kind::pairs(isa)] {
                let b = Packed::new_pairs(isa, kind, Mat::new(&b, k, n));
                let run = |a: Numbers| {
                    let mut c = vec![0.0; m * n];
                    gemm_packed_mixed(a, m, &b, NumbersMut::F32(&mut c), n, &epilogue);
                    c
                };
                assert_eq!(run(Numbers::F32(&a)), run(Numbers::Bf16(&short)), "{isa:?} {kind:?}");
                same_on_1_and_2_threads("pairs", || run(Numbers::Bf16(&short)));
            }
        }
    }
}
