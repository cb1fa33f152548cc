//! Errors against f64 over a dense sample, on every instruction set.

use super::*;
use crate::elementwise::Unary;
use crate::isa::{Isa, available};
use crate::naive::elementwise as naive;

/// Defines `fn name(isa, x, y)`: y = f(x).
macro_rules! over_slices {
    ($($name:ident = $f:ident;)*) => {$(
        fn $name(isa: Isa, x: &[f32], y: &mut [f32]) {
            #[inline(always)]
            fn body<S: Simd>(s: S, x: &[f32], y: &mut [f32]) {
                for (x, y) in x.chunks(S::LANES).zip(y.chunks_mut(S::LANES)) {
                    s.store_partial(y, super::$f(s, s.load_partial(x)));
                }
            }
            dispatch!(fn run(x: &[f32], y: &mut [f32]) = body);
            run(isa, x, y);
        }
    )*};
}
over_slices! {
    exp_of = exp;
    exp_nonpositive_of = exp_nonpositive;
    erf_of = erf;
    tanh_of = tanh;
    sigmoid_of = sigmoid;
    gelu_erf_of = gelu_erf;
    gelu_erf_derivative_of = gelu_erf_derivative;
    gelu_tanh_of = gelu_tanh;
    gelu_tanh_derivative_of = gelu_tanh_derivative;
}
type Function = fn(Isa, &[f32], &mut [f32]);

/// Every 1009th f32 with |x| <= limit (about 2 million for 100), both signs, and a fine linear grid.
fn sample(limit: f32) -> Vec<f32> {
    let mut x: Vec<f32> =
        (0..limit.to_bits()).step_by(1009).flat_map(|bits| [f32::from_bits(bits), -f32::from_bits(bits)]).collect();
    let near = limit.min(20.0);
    x.extend((0..1_000_000).map(|i| near * (i as f32 / 500_000.0 - 1.0)));
    x
}

/// The distance between neighbours at |x|.
fn ulp(x: f64) -> f64 {
    let x = (x.abs() as f32).clamp(f32::from_bits(1), f32::MAX);
    let exponent = ((x.to_bits() >> 23) as i32).max(1);
    2f64.powi(exponent - 127 - 23)
}

/// The largest error, in units that depend on (x, want).
fn largest_error(f: Function, x: &[f32], want: fn(f64) -> f64, unit: fn(f64, f64) -> f64) -> f64 {
    let mut worst = 0.0;
    for isa in available() {
        let mut y = vec![0.0; x.len()];
        f(isa, x, &mut y);
        for (&x, &y) in x.iter().zip(&y) {
            let want = want(x as f64);
            if want.abs() > f32::MAX as f64 && y.is_infinite() {
                continue;
            }
            let error = (y as f64 - want).abs() / unit(x as f64, want);
            assert!(!error.is_nan(), "{isa:?}: f({x}) = {y}, not {want}");
            if error > worst {
                worst = error;
                println!("{isa:?} f({x}) = {y}, {error:.3}");
            }
        }
    }
    worst
}

/// Asserts `error <= bound`, and that the bound is not idle (so that a stale figure in the documentation shows).
fn assert_within(name: &str, error: f64, bound: f64) {
    println!("{name}: {error:.3e}, stated {bound}");
    assert!(error <= bound, "{name}: {error} > {bound}");
    assert!(error > bound / 3.0, "{name}: {error} is far below the stated {bound}");
}

fn in_ulp(_: f64, want: f64) -> f64 {
    ulp(want)
}

fn reference(op: Unary) -> fn(f64) -> f64 {
    match op {
        Unary::GeluErf => |x| naive::apply(Unary::GeluErf, x),
        Unary::GeluTanh => |x| naive::apply(Unary::GeluTanh, x),
        Unary::Sigmoid => |x| naive::apply(Unary::Sigmoid, x),
        _ => unreachable!("not asked for"),
    }
}

#[test]
fn exp_error() {
    assert_within("exp", largest_error(exp_of, &sample(104.0), f64::exp, in_ulp), 1.1);
    let x: Vec<f32> = sample(87.68).into_iter().filter(|&x| x <= 0.0).collect();
    assert_within("exp_nonpositive", largest_error(exp_nonpositive_of, &x, f64::exp, in_ulp), 1.1);
    let below = [-87.69, -87.9, -88.0, -88.1, -104.0, -1e9, f32::MIN, f32::NEG_INFINITY];
    for isa in available() {
        let mut y = [1.0; 8];
        exp_nonpositive_of(isa, &below, &mut y);
        assert_eq!(y, [0.0; 8], "{isa:?}");
    }
}

#[test]
fn erf_error() {
    let error = largest_error(erf_of, &sample(100.0), crate::Element::erf, in_ulp);
    assert_within("erf", error, 1.5);
}

#[test]
fn tanh_error() {
    assert_within("tanh", largest_error(tanh_of, &sample(100.0), f64::tanh, in_ulp), 1.5);
}

#[test]
fn sigmoid_error() {
    let x: Vec<f32> = sample(1000.0).into_iter().filter(|&x| x > -87.0).collect();
    let error = largest_error(sigmoid_of, &x, reference(Unary::Sigmoid), in_ulp);
    assert_within("sigmoid", error, 2.5);
}

#[test]
fn gelu_error() {
    let x = sample(1000.0);
    let per_x: fn(f64, f64) -> f64 = |x, _| x.abs().max(f32::MIN_POSITIVE as f64);
    let error = largest_error(gelu_erf_of, &x, reference(Unary::GeluErf), per_x);
    assert_within("gelu_erf", error, 2e-7);
    let error = largest_error(gelu_tanh_of, &x, reference(Unary::GeluTanh), per_x);
    assert_within("gelu_tanh", error, 2e-7);
    let absolute: fn(f64, f64) -> f64 = |_, _| 1.0;
    let want: fn(f64) -> f64 = |x| naive::derivative(Unary::GeluErf, x);
    let error = largest_error(gelu_erf_derivative_of, &x, want, absolute);
    assert_within("gelu_erf_derivative", error, 3e-7);
    let want: fn(f64) -> f64 = |x| naive::derivative(Unary::GeluTanh, x);
    let error = largest_error(gelu_tanh_derivative_of, &x, want, absolute);
    assert_within("gelu_tanh_derivative", error, 3e-7);
}

#[test]
fn special_values() {
    const INF: f32 = f32::INFINITY;
    let cases: [(&str, Function, [f32; 3]); 9] = [
        ("exp", exp_of, [0.0, 1.0, INF]),
        ("exp_nonpositive", exp_nonpositive_of, [0.0, 1.0, f32::NAN]),
        ("erf", erf_of, [-1.0, 0.0, 1.0]),
        ("tanh", tanh_of, [-1.0, 0.0, 1.0]),
        ("sigmoid", sigmoid_of, [0.0, 0.5, 1.0]),
        // torch gives NaN at minus infinity, for the bracket is 0 there.
        ("gelu_erf", gelu_erf_of, [f32::NAN, 0.0, INF]),
        ("gelu_erf'", gelu_erf_derivative_of, [0.0, 0.5, 1.0]),
        ("gelu_tanh", gelu_tanh_of, [f32::NAN, 0.0, INF]),
        ("gelu_tanh'", gelu_tanh_derivative_of, [0.0, 0.5, 1.0]),
    ];
    for isa in available() {
        for (name, f, want) in cases {
            let mut y = [0.0; 4];
            f(isa, &[-INF, 0.0, INF, f32::NAN], &mut y);
            assert!(y[3].is_nan(), "{isa:?} {name}(NaN) = {}", y[3]);
            for (i, want) in want.into_iter().enumerate() {
                let outside = name == "exp_nonpositive" && i == 2;
                assert!(
                    outside || (y[i] - want).abs() < 1e-30 || y[i] == want || (y[i].is_nan() && want.is_nan()),
                    "{isa:?} {name} case {i}: {} not {want}",
                    y[i]
                );
            }
        }
        let mut y = [1.0; 2];
        erf_of(isa, &[-0.0, 1e-40], &mut y);
        assert!(y[0] == 0.0 && y[0].is_sign_negative() && y[1] > 0.0, "{isa:?} {y:?}");
    }
}

#[test]
fn what_is_for_bf16_is_as_stated() {
    over_slices! {
        gelu_erf_short_of = gelu_erf_short;
        exp2_short_of = exp2_short;
    }
    let unit = |x: f64, _| x.abs().max(1e-30) / 16384.0;
    let error = largest_error(gelu_erf_short_of, &sample(100.0), reference(Unary::GeluErf), unit);
    assert_within("gelu_erf_short", error, 1.0);
    let x: Vec<f32> = sample(126.0).into_iter().filter(|&x| x <= 0.0).collect();
    assert_within("exp2_short", largest_error(exp2_short_of, &x, f64::exp2, |_, want| want / 8192.0), 1.0);
}
