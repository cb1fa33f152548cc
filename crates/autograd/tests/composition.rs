//! Fused ops against the same formulas composed of simpler ops: results and gradients agree, in f64.

use ukulele_autograd::gradcheck::numbers;
use ukulele_autograd::{
    AttentionOptions, BatchNormOptions, Conv2dOptions, CrossEntropy, Gelu, Result, Tape, Tensor, Value,
};

type Formula<'a> = &'a dyn Fn(&[Value<f64>]) -> Result<Value<f64>>;

/// Runs both on leaves of these shapes, and compares the outputs and all gradients.
fn agree(
    shapes: &[&[usize]],
    fused: impl Fn(&[Value<f64>]) -> Result<Value<f64>>,
    composed: impl Fn(&[Value<f64>]) -> Result<Value<f64>>,
) -> Result<()> {
    let run = |f: Formula| -> Result<Vec<Tensor<f64>>> {
        let tape = Tape::new();
        let leaves: Vec<_> = shapes.iter().zip(1..).map(|(s, seed)| tape.leaf("x", numbers(seed, s))).collect();
        let output = f(&leaves)?;
        let gradients = tape.backward_from(&output, numbers(99, output.shape()))?;
        let mut all = vec![output.into_tensor()];
        all.extend(leaves.iter().map(|leaf| gradients.of(leaf).cloned().expect("a gradient")));
        Ok(all)
    };
    for (i, (a, b)) in run(&fused)?.iter().zip(run(&composed)?).enumerate() {
        assert_eq!(a.shape(), b.shape(), "{i}");
        for (a, b) in a.to_vec().iter().zip(b.to_vec()) {
            assert!((a - b).abs() < 1e-10 * b.abs().max(1.0), "{i}: {a} {b}");
        }
    }
    Ok(())
}

/// (x − μ)/√(σ² + ε) over these dimensions.
fn normal(x: &Value<f64>, dims: &[usize], eps: f64) -> Result<Value<f64>> {
    let centred = x.sub(&x.mean_dims(dims, true)?)?;
    centred.div(&centred.square()?.mean_dims(dims, true)?.add_scalar(eps)?.sqrt()?)
}

#[test]
fn linear_is_a_matrix_product() -> Result<()> {
    agree(
        &[&[2, 3, 4], &[5, 4], &[5]],
        |v| v[0].linear(&v[1], Some(&v[2])),
        |v| v[0].matmul(&v[1].transpose(0, 1)?)?.add(&v[2]),
    )
}

#[test]
fn softmax_is_exponentials_over_their_sum() -> Result<()> {
    let composed = |v: &[Value<f64>]| v[0].exp()?.div(&v[0].exp()?.sum_dims(&[1], true)?);
    agree(&[&[3, 4]], |v| v[0].softmax(), composed)?;
    agree(&[&[3, 4]], |v| v[0].log_softmax(), |v| composed(v)?.ln())
}

/// Outputs of cheap ops that others need in backward are computed again there.
#[test]
fn what_is_computed_again_is_the_same() -> Result<()> {
    let erf = |x: &Value<f64>| x.gelu(Gelu::Erf);
    let norm = |v: &[Value<f64>]| v[0].layer_norm(&v[1], &v[2], 1e-3);
    let plain = |v: &[Value<f64>]| normal(&v[0], &[1], 1e-3)?.mul(&v[1])?.add(&v[2]);
    // tanh keeps its output, so that nothing is computed again: x/2 (1 + tanh(..)).
    let tanh = |x: &Value<f64>| {
        let inner = x.square()?.mul(x)?.scale(0.044715)?.add(x)?.scale((2.0 / std::f64::consts::PI).sqrt())?;
        x.scale(0.5)?.mul(&inner.tanh()?.add_scalar(1.0)?)
    };
    let shapes: &[&[usize]] = &[&[3, 5], &[5], &[5]];
    agree(shapes, |v| norm(v)?.square(), |v| plain(v)?.square())?;
    agree(shapes, |v| norm(v)?.gelu(Gelu::Tanh)?.square(), |v| tanh(&plain(v)?)?.square())?;
    agree(shapes, |v| norm(v)?.mul(&norm(v)?.gelu(Gelu::Tanh)?), |v| plain(v)?.mul(&tanh(&plain(v)?)?))?;
    agree(
        &[&[3, 5], &[4, 5]],
        |v| v[0].gelu(Gelu::Tanh)?.linear(&v[1], None)?.square(),
        |v| tanh(&v[0])?.linear(&v[1], None)?.square(),
    )?;
    // The same bits, used once and twice.
    agree(
        &[&[3, 5]],
        |v| erf(&v[0])?.square()?.add(&erf(&v[0])?.square()?),
        |v| {
            let y = erf(&v[0])?;
            y.square()?.add(&y.square()?)
        },
    )
}

#[test]
fn layer_norm_is_its_formula() -> Result<()> {
    agree(
        &[&[2, 3, 5], &[5], &[5]],
        |v| v[0].layer_norm(&v[1], &v[2], 1e-3),
        |v| normal(&v[0], &[2], 1e-3)?.mul(&v[1])?.add(&v[2]),
    )
}

#[test]
fn batch_norm_is_its_formula() -> Result<()> {
    let per_channel = |v: &Value<f64>| v.reshape(&[3, 1, 1]);
    agree(
        &[&[2, 3, 4, 2], &[3], &[3], &[2, 3, 4, 2]],
        |v| {
            let options = BatchNormOptions { residual: Some(&v[3]), relu: true };
            Ok(v[0].batch_norm_train(&v[1], &v[2], 1e-3, &options)?.0)
        },
        |v| {
            let y = normal(&v[0], &[0, 2, 3], 1e-3)?.mul(&per_channel(&v[1])?)?.add(&per_channel(&v[2])?)?;
            y.add(&v[3])?.relu()
        },
    )?;
    let mean = numbers::<f64>(7, &[3]);
    let variance = Value::from(numbers::<f64>(8, &[3])).square()?.add_scalar(0.1)?;
    agree(
        &[&[2, 3, 4, 2], &[3], &[3]],
        |v| {
            let options = BatchNormOptions { residual: None, relu: true };
            v[0].batch_norm_eval(&v[1], &v[2], &mean, variance.tensor(), 1e-3, &options)
        },
        |v| {
            let centred = v[0].sub(&per_channel(&mean.clone().into())?)?;
            let y = centred.div(&per_channel(&variance.add_scalar(1e-3)?.sqrt()?)?)?;
            y.mul(&per_channel(&v[1])?)?.add(&per_channel(&v[2])?)?.relu()
        },
    )
}

#[test]
fn running_variance_is_unbiased() -> Result<()> {
    let x: Value<f64> = numbers(1, &[3, 2, 2, 1]).into();
    let [gamma, beta] = [numbers(2, &[2]), numbers(3, &[2])].map(Value::from);
    let (_, statistics) = x.batch_norm_train(&gamma, &beta, 1e-5, &BatchNormOptions::default())?;
    let mean = x.mean_dims(&[0, 2, 3], true)?;
    let variance = x.sub(&mean)?.square()?.sum_dims(&[0, 2, 3], false)?.scale(1.0 / 5.0)?;
    for (a, b) in [(&statistics.mean, mean.tensor()), (&statistics.variance, variance.tensor())] {
        assert!(a.to_vec().iter().zip(b.to_vec()).all(|(a, b)| (a - b).abs() < 1e-12), "{a:?} {b:?}");
    }
    Ok(())
}

#[test]
fn attention_is_softmax_of_products() -> Result<()> {
    let (batch, tq, tk, heads, dim) = (2, 3, 4, 2, 3);
    let mask = Tensor::from_vec(&[batch, tk], vec![0.0, -1e4, 0.0, 0.0, 0.0, 0.0, -2.0, -1e4])?;
    let split = |x: &Value<f64>, t| x.reshape(&[batch, t, heads, dim])?.permute(&[0, 2, 1, 3]);
    agree(
        &[&[batch, tq, heads * dim], &[batch, tk, heads * dim], &[batch, tk, heads * dim]],
        |v| {
            let options = AttentionOptions { heads, mask: Some(mask.clone()), ..Default::default() };
            v[0].attention(&v[1], &v[2], &options)
        },
        |v| {
            let (q, k, v) = (split(&v[0], tq)?, split(&v[1], tk)?, split(&v[2], tk)?);
            let scores = q.matmul(&k.transpose(2, 3)?)?.scale(1.0 / (dim as f64).sqrt())?;
            let weights = scores.add(&mask.reshape(&[batch, 1, 1, tk])?.into())?.softmax()?;
            weights.matmul(&v)?.permute(&[0, 2, 1, 3])?.reshape(&[batch, tq, heads * dim])
        },
    )
}

#[test]
fn cross_entropy_is_its_formula() -> Result<()> {
    let (labels, weights, smoothing) = ([2, 0, -100, 1], [0.5, 1.0, 2.0], 0.1);
    let options =
        CrossEntropy { class_weights: Some(weights.to_vec()), label_smoothing: smoothing, ..Default::default() };
    let mut target = vec![0.0; 12];
    let mut sum = 0.0;
    for (row, label) in labels.into_iter().enumerate().filter(|(_, l)| *l >= 0) {
        sum += weights[label as usize];
        for class in 0..3 {
            let hit = if class == label as usize { 1.0 - smoothing } else { 0.0 };
            target[row * 3 + class] = -weights[class] * (hit + smoothing / 3.0);
        }
    }
    let target: Value<f64> = Tensor::from_vec(&[4, 3], target)?.into();
    agree(
        &[&[4, 3]],
        |v| v[0].cross_entropy_with(&labels, &options),
        |v| v[0].log_softmax()?.mul(&target)?.sum()?.scale(1.0 / sum),
    )
}

#[test]
fn mse_is_its_formula() -> Result<()> {
    agree(&[&[2, 3], &[2, 3]], |v| v[0].mse(&v[1]), |v| v[0].sub(&v[1])?.square()?.mean())
}

#[test]
fn convolution_is_a_sum_of_products_over_its_taps() -> Result<()> {
    let (n, c, h, w, o) = (2, 3, 5, 4, 2);
    let [kh, kw] = [3, 2];
    let [oh, ow] = [h - kh + 1, w - kw + 1];
    agree(
        &[&[n, c, h, w], &[o, c, kh, kw], &[o]],
        |v| v[0].conv2d(&v[1], Some(&v[2]), &Conv2dOptions::default()),
        |v| {
            let mut sum: Value<f64> = Tensor::zeros(&[n, oh, ow, o])?.into();
            for (y, x) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
                let pixels = v[0].narrow(2, y, oh)?.narrow(3, x, ow)?.permute(&[0, 2, 3, 1])?;
                let tap = v[1].select(2, y)?.select(2, x)?;
                sum = sum.add(&pixels.linear(&tap, None)?)?;
            }
            sum.add(&v[2])?.permute(&[0, 3, 1, 2])
        },
    )
}

#[test]
fn grouped_convolution_is_a_convolution_of_each_group() -> Result<()> {
    let options = Conv2dOptions { stride: [2, 1], padding: [1, 0, 2, 1], dilation: [1, 2], groups: 2 };
    agree(
        &[&[2, 4, 5, 6], &[6, 2, 2, 2]],
        |v| v[0].conv2d(&v[1], None, &options),
        |v| {
            let one = Conv2dOptions { groups: 1, ..options };
            let group = |g: usize| v[0].narrow(1, 2 * g, 2)?.conv2d(&v[1].narrow(0, 3 * g, 3)?, None, &one);
            Value::concat(&[&group(0)?, &group(1)?], 1)
        },
    )
}

#[test]
fn embedding_is_a_choice_of_rows() -> Result<()> {
    let ids = [3, 1, 3];
    agree(
        &[&[4, 2]],
        |v| v[0].embedding(&ids, &[3]),
        |v| {
            let rows = ids.map(|id| v[0].narrow(0, id, 1));
            let [a, b, c] = rows;
            Value::concat(&[&a?, &b?, &c?], 0)
        },
    )
}
