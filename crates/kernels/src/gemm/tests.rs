//! The fast product against its naive twin, on every instruction set of the machine.

use super::*;
use crate::isa::available;
use crate::team::with_team;
use proptest::prelude::*;

/// Numbers between -1 and 1 that look random.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        z ^= z << 13;
        z ^= z >> 7;
        z ^= z << 17;
        (z >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// A view of rows x cols numbers: row-major, transposed or with steps in both directions, and with a gap after each row.
fn view(data: &mut Vec<f32>, rows: usize, cols: usize, layout: usize, gap: usize, seed: u64) -> (usize, usize) {
    let strides = match layout {
        0 => (cols + gap, 1),
        1 => (1, rows + gap),
        _ => (2 * cols + gap, 2),
    };
    *data = numbers(rows * strides.0 + cols * strides.1 + 1, seed);
    strides
}

/// The largest difference that rounding `k` products of numbers up to 1 can make.
fn assert_close(got: &[f32], want: &[f32], k: usize, what: &str) {
    let tolerance = 2e-7 * (k as f32 + 8.0);
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= tolerance, "{what}: {got} instead of {want} at {i}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn agrees_with_the_naive_twin(
        (m, n, k) in prop_oneof![
            (0usize..40, 0usize..80, 0usize..40),
            (1usize..4, 1usize..200, 1usize..300),
            (60usize..150, 1usize..100, prop_oneof![Just(64usize), Just(512), 1usize..600]),
            (1usize..30, 1usize..40, Just(CLASH)),
        ],
        (la, lb) in (0usize..3, 0usize..3),
        (gap_a, gap_b, gap_c) in (0usize..3, 0usize..3, 0usize..3),
        (bias, residual, accumulate) in any::<(bool, bool, bool)>(),
        activation in prop_oneof![
            Just(Activation::None), Just(Activation::Relu), Just(Activation::GeluErf), Just(Activation::GeluTanh)
        ],
        (packed, plain) in any::<(bool, bool)>(),
        seed in 0u64..1000,
    ) {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let (ra, ca) = view(&mut a, m, k, la, gap_a, seed);
        let (rb, cb) = view(&mut b, k, n, lb, gap_b, seed + 1);
        let a = Mat { data: &a, rows: m, cols: k, row_stride: ra, col_stride: ca };
        let b = Mat { data: &b, rows: k, cols: n, row_stride: rb, col_stride: cb };
        let ldc = n + gap_c;
        let c = numbers(m * ldc, seed + 2);
        let (bias_numbers, residual_numbers) = (numbers(n, seed + 3), numbers(m * ldc, seed + 4));
        let epilogue = if plain { Epilogue::NONE } else {
            Epilogue {
                bias: bias.then_some(&bias_numbers[..]),
                residual: residual.then_some(&residual_numbers[..]),
                activation,
            }
        };
        let mut want = c.clone();
        naive::gemm::gemm(a, b, &mut want, ldc, accumulate, &epilogue);
        for isa in available() {
            let mut got = c.clone();
            if packed {
                gemm_packed(a, &Packed::new_with(isa, b), &mut got, ldc, accumulate, &epilogue);
            } else {
                gemm_with(isa, Kind::Single, seed % 2 == 0, a, b, &mut got, ldc, accumulate, &epilogue);
            }
            assert_close(&got, &want, k, isa.name());
        }
        // bf16: the product of rounded numbers.
        let (mut a, mut b) = (a, b);
        let rounded = |x: &[f32]| x.iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect::<Vec<_>>();
        let (whole_a, whole_b) = (a, b);
        let (rounded_a, rounded_b) = (rounded(a.data), rounded(b.data));
        (a.data, b.data) = (&rounded_a, &rounded_b);
        want.copy_from_slice(&c);
        naive::gemm::gemm(a, b, &mut want, ldc, accumulate, &epilogue);
        for isa in available() {
            for kind in [Kind::Pairs, Kind::pairs(isa)] {
                let mut got = c.clone();
                if packed {
                    gemm_packed(whole_a, &Packed::new_pairs(isa, kind, whole_b), &mut got, ldc, accumulate, &epilogue);
                } else {
                    gemm_with(isa, kind, seed % 2 == 0, whole_a, whole_b, &mut got, ldc, accumulate, &epilogue);
                }
                assert_close(&got, &want, k, &format!("{isa:?} {kind:?}"));
            }
        }
        want.copy_from_slice(&c);
        naive::gemm::gemm_int8(whole_a, whole_b, &mut want, ldc, accumulate, &epilogue);
        for isa in available() {
            for kind in [Kind::Quads, Kind::quads(isa)] {
                let mut got = c.clone();
                gemm_packed(whole_a, &Packed::new_quads(isa, kind, whole_b), &mut got, ldc, accumulate, &epilogue);
                assert_close(&got, &want, k, &format!("{isa:?} {kind:?}"));
            }
        }
    }
}

#[test]
fn a_sum_of_nothing_is_the_bias() {
    let epilogue = Epilogue { bias: Some(&[1.0, 2.0]), ..Epilogue::NONE };
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        let packed = Packed::with_precision(Mat::new(&[], 0, 2), precision);
        let mut c = [7.0; 4];
        let a = Mat { data: &[], rows: 2, cols: 0, row_stride: 1, col_stride: 1 };
        gemm_packed(a, &packed, &mut c, 2, false, &epilogue);
        assert_eq!(c, [1.0, 2.0, 1.0, 2.0], "{precision:?}");
    }
}

#[test]
fn integers_come_near_the_product() {
    let (m, n, k) = (17, 70, 301);
    let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
    let (a, b) = (Mat::new(&a, m, k), Mat::new(&b, k, n));
    let (mut want, mut got) = (vec![0.0; m * n], vec![0.0; m * n]);
    naive::gemm::gemm(a, b, &mut want, n, false, &Epilogue::NONE);
    gemm_packed(a, &Packed::with_precision(b, Precision::Int8), &mut got, n, false, &Epilogue::NONE);
    let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let error = norm(&mut got.iter().zip(&want).map(|(a, b)| a - b)) / norm(&mut want.iter().copied());
    // Steps of 2/255 and 2/254, of which an error is at most a half: 1/12 of a step's square on the average.
    assert!((2e-3..8e-3).contains(&error), "{error}");
}

#[test]
fn integers_of_extreme_rows() {
    for isa in available() {
        for kind in [Kind::Quads, Kind::quads(isa)] {
            let rows = [[0.0; 5], [0.0, 1e-42, 0.0, 0.0, 0.0], [1e38, -1e38, 1e38, 0.0, 0.0], [-2.0; 5], [3.0; 5]];
            let broken = [[1.0, f32::NAN, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, f32::INFINITY]];
            let a = [rows.as_flattened(), broken.as_flattened()].concat();
            let b = [[1.0, f32::NAN, f32::INFINITY, 0.0]; 5];
            let packed = Packed::new_quads(isa, kind, Mat::new(b.as_flattened(), 5, 4));
            let mut c = vec![7.0; 7 * 4];
            gemm_packed(Mat::new(&a, 7, 5), &packed, &mut c, 4, false, &Epilogue::NONE);
            let near = |got: f32, want: f32| (got - want).abs() <= 0.01 * want.abs();
            for (row, want) in c.chunks(4).zip([0.0, 0.0, 1e38, -10.0, 15.0]) {
                assert!(near(row[0], want) && row[1].is_nan() && row[2].is_nan() && row[3] == 0.0, "{isa:?} {row:?}");
            }
            assert!(c[5 * 4..].iter().all(|c| c.is_nan()), "{isa:?} {c:?}");
        }
    }
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let (m, n, k) = (301, 203, 517);
    let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
    let run = |threads: usize, isa, kind| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            with_team(|| {
                let (mut c, mut d) = (vec![0.0; m * n], vec![0.0; m * n]);
                gemm_with(isa, kind, false, Mat::new(&a, m, k), Mat::new(&b, k, n), &mut c, n, false, &Epilogue::NONE);
                gemm_with(
                    isa,
                    kind,
                    false,
                    Mat::new(&a, k, m).t(),
                    Mat::new(&b, k, n),
                    &mut d,
                    n,
                    false,
                    &Epilogue::NONE,
                );
                let packed = [Kind::Single, Kind::pairs(isa), Kind::quads(isa)].map(|kind| {
                    let b = Mat::new(&b, k, n);
                    let packed = match kind.precision() {
                        Precision::F32 => Packed::new_with(isa, b),
                        Precision::Bf16 => Packed::new_pairs(isa, kind, b),
                        Precision::Int8 => Packed::new_quads(isa, kind, b),
                    };
                    let mut c = vec![0.0; m * n];
                    gemm_packed(Mat::new(&a, m, k), &packed, &mut c, n, false, &Epilogue::NONE);
                    c
                });
                (c, d, packed)
            })
        })
    };
    for isa in available() {
        for kind in [Kind::Single, Kind::Pairs, Kind::pairs(isa)] {
            assert_eq!(run(1, isa, kind), run(2, isa, kind), "{isa:?} {kind:?}");
        }
    }
}

/// The same numbers in f64, which take the way of the portable library.
fn double(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

#[test]
fn f64_agrees_with_the_naive_twin() {
    for (m, n, k) in [(0, 3, 2), (5, 0, 4), (4, 3, 0), (1, 1, 1), (13, 7, 29)] {
        let (a, b, c, bias) = (numbers(m * k, 1), numbers(k * n, 2), numbers(m * (n + 1), 3), numbers(n, 4));
        let (a, b, c, bias) = (double(&a), double(&b), double(&c), double(&bias));
        let (a, b) = (Mat::new(&a, k, m).t(), Mat::new(&b, k, n));
        let epilogue = Epilogue { bias: Some(&bias), residual: Some(&c), activation: Activation::GeluErf };
        for accumulate in [false, true] {
            let (mut want, mut got, mut packed) = (c.clone(), c.clone(), c.clone());
            naive::gemm::gemm(a, b, &mut want, n + 1, accumulate, &epilogue);
            gemm(a, b, &mut got, n + 1, accumulate, &epilogue);
            gemm_packed(a, &Packed::new(b), &mut packed, n + 1, accumulate, &epilogue);
            for ((want, got), packed) in want.iter().zip(&got).zip(&packed) {
                assert!((want - got).abs() < 1e-13 && (want - packed).abs() < 1e-13, "{want} {got} {packed}");
            }
        }
    }
}

/// So deep that 13 rows are one block, though more than the cache is for: 9 and 4 of them have tiles of other rows.
#[test]
fn how_a_product_is_cut_changes_no_bit() {
    let (m, n, k) = (13, 512, 16384);
    let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
    for isa in available() {
        let packed = Packed::new_with(isa, Mat::new(&b, k, n));
        let rows = |rows: std::ops::Range<usize>| {
            let mut c = vec![0.0; rows.len() * n];
            let a = Mat::new(&a[rows.start * k..rows.end * k], rows.len(), k);
            gemm_packed(a, &packed, &mut c, n, false, &Epilogue::NONE);
            c
        };
        assert!(rows(0..m) == [rows(0..9), rows(9..m)].concat(), "{isa:?}");
    }
}

/// Whole vectors and the rest of a row have the same numbers added in the same order.
#[test]
fn equal_columns_have_equal_bits() {
    // Tiles of few rows, of some, and full ones.
    for rows in [3, 5, 7, 12] {
        rows_of_equal_columns(rows);
    }
}

fn rows_of_equal_columns(rows: usize) {
    let (cols, k) = (33, 5);
    let of_rows = |seed| numbers(rows, seed).iter().flat_map(|&x| vec![x; cols]).collect::<Vec<_>>();
    let (a, b) = (numbers(rows * k, 1), numbers(k, 2).iter().flat_map(|&x| vec![x; cols]).collect::<Vec<_>>());
    let (c, residual, bias) = (of_rows(3), of_rows(4), vec![0.3; cols]);
    let (a, b) = (Mat::new(&a, rows, k), Mat::new(&b, k, cols));
    for isa in available() {
        for activation in [Activation::None, Activation::Relu] {
            let epilogue = Epilogue { bias: Some(&bias), residual: Some(&residual), activation };
            let mut got = c.clone();
            gemm_packed(a, &Packed::new_with(isa, b), &mut got, cols, true, &epilogue);
            for row in got.chunks(cols) {
                assert!(row.iter().all(|x| x.to_bits() == row[0].to_bits()), "{isa:?} {activation:?} {row:?}");
            }
        }
    }
}
