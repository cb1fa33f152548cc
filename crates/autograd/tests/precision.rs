//! Gradients in bf16 beside those in f32.

use ukulele_autograd::gradcheck::numbers;
use ukulele_autograd::{
    BatchNormOptions, Conv2dOptions, Data, Keeps, Kept, Op, Pool2d, Precision, Result, Slots, Tape, Tensor, Value,
};

/// The output of an op and the gradients of its inputs.
fn all(run: &dyn Fn(&[Value]) -> Result<Value>, inputs: &[Tensor]) -> Vec<Tensor> {
    let tape = Tape::new();
    let values: Vec<Value> = inputs.iter().map(|input| tape.leaf("input", input.clone())).collect();
    let output = run(&values).unwrap();
    let gradients = tape.backward_from(&output, numbers(77, output.shape())).unwrap();
    let gradients = values.iter().map(|value| gradients.of(value).unwrap().clone());
    [output.tensor().clone()].into_iter().chain(gradients).collect()
}

/// |a − b| / |b|.
fn relative(a: &Tensor, b: &Tensor) -> f64 {
    let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let (a, b) = (a.to_vec(), b.to_vec());
    norm(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / norm(&mut b.into_iter())
}

/// Checks that output and gradients in bf16 are those in f32 to 2 %. The first `rounded` of them differ.
fn check(what: &str, run: &dyn Fn(Precision, &[Value]) -> Result<Value>, inputs: &[Tensor], rounded: usize) {
    let exact = all(&|v| run(Precision::F32, v), inputs);
    let got = all(&|v| run(Precision::Bf16, v), inputs);
    for (i, (got, exact)) in got.iter().zip(&exact).enumerate() {
        let error = relative(got, exact);
        assert!(error < 0.02, "{what} {i}: {error}");
        assert_eq!(error > 1e-4, i < rounded, "{what} {i}: {error}");
    }
}

#[test]
fn linear_layers_are_near_those_in_f32() {
    for (rows, width, out) in [(1, 1, 1), (65, 33, 17), (128, 64, 96)] {
        let inputs = [numbers(1, &[rows, width]), numbers(2, &[out, width]), numbers(3, &[out])];
        check(
            &format!("{rows} {width} {out}"),
            &|precision, v| v[0].linear_in(precision, &v[1], Some(&v[2])),
            &inputs,
            3,
        );
    }
}

#[test]
fn convolutions_are_near_those_in_f32() {
    let plain = Conv2dOptions::default();
    for (what, x, w, options, rounded) in [
        ("3x3", [2, 18, 9, 7], [10, 18, 3, 3], Conv2dOptions { padding: [1; 4], ..plain }, 4),
        ("1x1", [3, 16, 5, 5], [8, 16, 1, 1], plain, 4),
        ("stride", [2, 16, 9, 8], [6, 16, 3, 2], Conv2dOptions { stride: [2, 3], padding: [1; 4], ..plain }, 4),
        ("groups", [2, 8, 6, 6], [12, 4, 3, 3], Conv2dOptions { groups: 2, padding: [1; 4], ..plain }, 4),
        // Products of f32; results and gradients lie as bf16.
        ("few channels", [2, 3, 9, 9], [8, 3, 3, 3], plain, 4),
        ("odd groups", [2, 6, 6, 6], [6, 3, 3, 3], Conv2dOptions { groups: 2, ..plain }, 4),
        // What stays in f32.
        ("depthwise", [2, 8, 6, 6], [8, 1, 3, 3], Conv2dOptions { groups: 8, ..plain }, 0),
        ("odd result", [2, 3, 6, 6], [7, 3, 3, 3], plain, 0),
    ] {
        let inputs = [numbers(1, &x), numbers(2, &w), numbers(3, &w[..1])];
        check(what, &|precision, v| v[0].conv2d_in(precision, &v[1], Some(&v[2]), &options), &inputs, rounded);
    }
}

/// conv, norm, pool, conv and sum of ways with and without a residual: whatever reads and writes bf16, beside ops that do not.
fn block(precision: Precision, frozen: bool, v: &[Value]) -> Result<Value> {
    let padded = Conv2dOptions { padding: [1; 4], ..Conv2dOptions::default() };
    let norm = |x: &Value, residual: Option<&Value>| {
        let options = BatchNormOptions { residual, relu: true };
        if frozen {
            let mean = numbers(11, &[16]);
            let variance = numbers::<f32>(12, &[16]).to_vec().iter().map(|x| x.abs() + 0.5).collect();
            let variance = Tensor::from_vec(&[16], variance)?;
            return x.batch_norm_eval(&v[3], &v[4], &mean, &variance, 1e-3, &options);
        }
        Ok(x.batch_norm_train(&v[3], &v[4], 1e-3, &options)?.0)
    };
    let first = norm(&v[0].conv2d_in(precision, &v[1], None, &padded)?, None)?;
    let pool = Pool2d { kernel: [3; 2], stride: [1; 2], padding: [1; 4], ..Pool2d::default() };
    let pooled = first.max_pool2d(&pool)?;
    let second = norm(&pooled.conv2d_in(precision, &v[2], None, &padded)?, Some(&pooled))?;
    // tanh knows nothing of bf16, and both of them read what lies so.
    let third = norm(&second.conv2d_in(precision, &v[2], None, &padded)?, Some(&second.tanh()?))?;
    third.mul(&second)?.mean_dims(&[2, 3], false)
}

/// Branches put together, some of them read by others too: all of bf16, or with a part of f32 of an odd number of channels.
fn branches(precision: Precision, cut: usize, v: &[Value]) -> Result<Value> {
    let plain = Conv2dOptions::default();
    let one = v[0].conv2d_in(precision, &v[1], Some(&v[3]), &plain)?.relu()?;
    let two = one.conv2d_in(precision, &v[2], Some(&v[3]), &Conv2dOptions { padding: [1; 4], ..plain })?.relu()?;
    let part = if cut == 8 { one.clone() } else { two.narrow(1, 0, cut)? };
    let both = Value::concat(&[&one, &part, &two], 1)?;
    assert_eq!(both.data().is_short(), precision == Precision::Bf16 && cut == 8);
    both.mul(&both)?.mean_dims(&[2, 3], false)
}

#[test]
fn branches_of_bf16_have_the_gradients_of_f32() {
    let inputs = [numbers(1, &[2, 6, 7, 5]), numbers(2, &[8, 6, 1, 1]), numbers(3, &[8, 8, 3, 3]), numbers(4, &[8])];
    for cut in [8, 3] {
        let exact = all(&|v| branches(Precision::F32, cut, v), &inputs);
        let got = all(&|v| branches(Precision::Bf16, cut, v), &inputs);
        for (i, (got, exact)) in got.iter().zip(&exact).enumerate() {
            let error = relative(got, exact);
            assert!(error < 0.02 && error > 1e-4, "{cut} {i}: {error}");
        }
    }
}

#[test]
fn what_lies_as_bf16_has_the_gradients_of_f32() {
    let inputs = [
        numbers(1, &[3, 8, 10, 9]),
        numbers(2, &[16, 8, 3, 3]),
        numbers(3, &[16, 16, 3, 3]),
        numbers(4, &[16]),
        numbers(5, &[16]),
    ];
    for frozen in [false, true] {
        let exact = all(&|v| block(Precision::F32, frozen, v), &inputs);
        let got = all(&|v| block(Precision::Bf16, frozen, v), &inputs);
        for (i, (got, exact)) in got.iter().zip(&exact).enumerate() {
            let error = relative(got, exact);
            assert!(error < 0.05 && error > 1e-4, "{frozen} {i}: {error}");
        }
    }
}

/// Passes bf16 on and finds its gradient so.
#[derive(Debug)]
struct Probe;

impl Op<f32> for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }
    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::OUTPUT
    }
    fn forward_data(&mut self, inputs: &[&Data], _: bool) -> Result<Data> {
        assert!(inputs[0].is_short());
        Ok(inputs[0].clone())
    }
    fn backward_data(&self, kept: Kept<f32>, grad: Data, slots: &mut Slots<f32>) -> Result<()> {
        assert!(grad.is_short() && slots.is_short(0) && kept.output_data()?.is_short() && kept.output().is_err());
        slots.add(0, grad.into_tensor())
    }
}

/// Whatever reads a value that lies as bf16, its gradient comes back so; a weight may lie so as well.
#[test]
fn gradients_lie_as_their_values_do() -> Result<()> {
    let run = |precision, v: &[Value]| {
        let plain = Conv2dOptions::default();
        let w = v[1].conv2d_in(precision, &v[2], None, &plain)?;
        let y = v[0].conv2d_in(precision, &w, None, &plain)?;
        if precision == Precision::F32 { y.mul(&y)?.add(&y) } else { Value::apply(Probe, &[&y])?.mul(&y)?.add(&y) }
    };
    check(
        "a weight of bf16",
        &run,
        &[numbers(1, &[2, 4, 5, 5]), numbers(2, &[6, 3, 2, 2]), numbers(3, &[4, 3, 1, 1])],
        4,
    );
    // The end of the walk itself.
    let tape = Tape::new();
    let (x, w): (Tensor, Tensor) = (numbers(1, &[1, 4, 3, 3]), numbers(2, &[6, 4, 1, 1]));
    let y = tape.leaf("x", x).conv2d_in(Precision::Bf16, &w.into(), None, &Conv2dOptions::default())?;
    let y = Value::apply(Probe, &[&y])?;
    tape.backward_from(&y, numbers(3, y.shape()))?;
    Ok(())
}

#[test]
fn what_is_empty_goes_through() -> Result<()> {
    let x: Value = numbers(1, &[0, 4, 5, 5]).into();
    let (w, one): (Value, Value) = (numbers(2, &[6, 4, 1, 1]).into(), Tensor::ones(&[6])?.into());
    let y = x.conv2d_in(Precision::Bf16, &w, Some(&one), &Conv2dOptions::default())?.relu()?;
    let options = BatchNormOptions { residual: Some(&y), relu: true };
    let y = y.batch_norm_eval(&one, &one, one.tensor(), one.tensor(), 1e-5, &options)?;
    let y = Value::concat(&[&y, &y], 1)?.max_pool2d(&Pool2d::default())?;
    assert_eq!((y.shape(), y.data().is_short(), y.numel()), (&[0, 12, 2, 2][..], true, 0));
    Ok(())
}

#[test]
fn messages_tell_the_shapes_of_values() -> Result<()> {
    let of = |shape: &[usize], out: usize| {
        let (x, w): (Value, Value) = (numbers(1, shape).into(), numbers(2, &[out, shape[1], 1, 1]).into());
        x.conv2d_in(Precision::Bf16, &w, None, &Conv2dOptions::default())
    };
    let error = Value::concat(&[&of(&[1, 2, 3, 3], 6)?, &of(&[1, 2, 3, 2], 6)?], 1).unwrap_err().to_string();
    assert!(error.contains("[1, 6, 3, 3] and [1, 6, 3, 2]"), "{error}");
    Ok(())
}

/// A value that is read as f32 stays what it is.
#[test]
fn values_lie_as_the_precision_says() -> Result<()> {
    let (x, w): (Tensor, Tensor) = (numbers(1, &[1, 4, 5, 5]), numbers(2, &[6, 4, 3, 3]));
    for (precision, short) in [(Precision::F32, false), (Precision::Bf16, true)] {
        let y = Value::from(x.clone()).conv2d_in(precision, &w.clone().into(), None, &Conv2dOptions::default())?;
        assert_eq!(y.data().is_short(), short);
        let normal =
            y.batch_norm_train(&numbers(3, &[6]).into(), &numbers(4, &[6]).into(), 1e-5, &Default::default())?.0;
        assert_eq!(normal.data().is_short(), short);
        assert!(!normal.tanh()?.data().is_short());
        assert_eq!(normal.clone().into_tensor().to_vec(), normal.tensor().to_vec());
        assert_eq!(normal.data().is_short(), short);
    }
    Ok(())
}

#[test]
fn nothing_learns_in_int8() {
    let value = |seed, shape: &[usize]| Value::<f32>::from(numbers(seed, shape));
    let error = value(1, &[2, 3]).linear_in(Precision::Int8, &value(2, &[4, 3]), None).unwrap_err();
    assert!(error.to_string().contains("int8"), "{error}");
    let (x, w) = (value(1, &[1, 4, 3, 3]), value(2, &[2, 4, 1, 1]));
    let error = x.conv2d_in(Precision::Int8, &w, None, &Conv2dOptions::default()).unwrap_err();
    assert!(error.to_string().contains("int8"), "{error}");
}

#[test]
fn f64_stays_as_it_is() {
    let value = |seed, shape: &[usize]| Value::<f64>::from(numbers(seed, shape));
    let (x, w) = (value(1, &[5, 3]), value(2, &[4, 3]));
    let rounded = x.linear_in(Precision::Bf16, &w, None).unwrap();
    assert_eq!(rounded.tensor().to_vec(), x.linear(&w, None).unwrap().tensor().to_vec());
    let (x, w, plain) = (value(1, &[2, 4, 5, 5]), value(2, &[6, 4, 3, 3]), Conv2dOptions::default());
    let rounded = x.conv2d_in(Precision::Bf16, &w, None, &plain).unwrap();
    assert!(!rounded.data().is_short());
    assert_eq!(rounded.tensor().to_vec(), x.conv2d(&w, None, &plain).unwrap().tensor().to_vec());
}
