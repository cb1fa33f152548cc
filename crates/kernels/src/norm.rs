//! Normalisation: batch norm over the columns of [rows, channels] (channels-last memory: rows = N H W), layer norm over
//! the rows of [rows, features].

mod batch;
mod layer;
mod mixed;
#[cfg(test)]
mod tests;

use crate::Element;
use crate::element::is_f32;
use crate::isa::current;
use crate::naive::norm as naive;
use crate::numbers::{Numbers, NumbersMut, alike};
use crate::reduce::check;
use bytemuck::{cast_slice, cast_slice_mut};
pub use mixed::layer_norm_mixed;

/// Mean and biased variance (divided by the number of rows) of each column of x: what training normalises with. The
/// running variance of torch takes the unbiased one: times rows / (rows - 1).
///
/// # Panics
/// If the sizes do not fit, as all functions of this module do.
pub fn batch_norm_statistics<T: Element>(x: &[T], mean: &mut [T], variance: &mut [T]) {
    check(x.len(), mean.len());
    assert_eq!(mean.len(), variance.len(), "batch_norm");
    if is_f32::<T>() {
        batch::statistics(current(), Numbers::F32(cast_slice(x)), cast_slice_mut(mean), cast_slice_mut(variance));
    } else {
        naive::batch_norm_statistics(x, mean, variance);
    }
}

/// [`batch_norm_statistics`] of numbers that lie as f32 or as bf16.
pub fn batch_norm_statistics_mixed(x: Numbers, mean: &mut [f32], variance: &mut [f32]) {
    check(x.len(), mean.len());
    assert_eq!(mean.len(), variance.len(), "batch_norm");
    batch::statistics(current(), x, mean, variance);
}

/// y = relu?((x - mean) / sqrt(variance + eps) * gamma + beta + residual?), statistics, gamma and beta one number a
/// column. Training gives the statistics of the batch, evaluation the running ones.
/// Source: Ioffe and Szegedy, Batch normalization, 2015.
pub fn batch_norm_apply<T: Element>(
    x: &[T],
    mean: &[T],
    variance: &[T],
    gamma: &[T],
    beta: &[T],
    eps: f64,
    residual: Option<&[T]>,
    relu: bool,
    y: &mut [T],
) {
    if is_f32::<T>() {
        batch_norm_apply_mixed(
            Numbers::F32(cast_slice(x)),
            cast_slice(mean),
            cast_slice(variance),
            cast_slice(gamma),
            cast_slice(beta),
            eps,
            residual.map(|r| Numbers::F32(cast_slice(r))),
            relu,
            NumbersMut::F32(cast_slice_mut(y)),
        );
    } else {
        check_apply(x.len(), [mean.len(), variance.len(), gamma.len(), beta.len()], residual.map(<[T]>::len), y.len());
        naive::batch_norm_apply(x, mean, variance, gamma, beta, eps, residual, relu, y);
    }
}

/// [`batch_norm_apply`] where x, the residual and y lie as f32 or all as bf16; what is between is f32.
pub fn batch_norm_apply_mixed(
    x: Numbers,
    mean: &[f32],
    variance: &[f32],
    gamma: &[f32],
    beta: &[f32],
    eps: f64,
    residual: Option<Numbers>,
    relu: bool,
    y: NumbersMut,
) {
    let columns = [mean.len(), variance.len(), gamma.len(), beta.len()];
    check_apply(x.len(), columns, residual.map(|r| r.len()), y.len());
    assert!(alike([Some(x), residual, Some(y.seen())]), "batch_norm: numbers that lie differently");
    batch::apply(current(), x, mean, variance, gamma, beta, eps, residual, relu, y);
}

fn check_apply(x: usize, columns: [usize; 4], residual: Option<usize>, y: usize) {
    check(x, columns[0]);
    assert_eq!(x, y, "batch_norm");
    assert!(residual.is_none_or(|r| r == y), "batch_norm: residual");
    assert_eq!(columns, [columns[0]; 4], "batch_norm: columns");
}

/// Whether the forward of batch norm applied ReLU, and how its backward knows what that let pass.
#[derive(Clone, Copy, Debug)]
pub enum Relu<'a, T, Y = &'a [T]> {
    /// It did not.
    None,
    /// By the output.
    Output(Y),
    /// By beta: without a residual the output is computed again from x, with the same bits.
    Beta(&'a [T]),
}

/// What the backward of batch norm needs; `X` is how the numbers of the input and the output lie.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormBackward<'a, T, X = &'a [T]> {
    /// The input.
    pub x: X,
    /// What the forward's ReLU let pass.
    pub relu: Relu<'a, T, X>,
    /// The mean that the forward used.
    pub mean: &'a [T],
    /// The variance that the forward used.
    pub variance: &'a [T],
    /// The scale.
    pub gamma: &'a [T],
    /// As in the forward.
    pub eps: f64,
    /// Are mean and variance functions of x (training), or constants (evaluation, frozen statistics)?
    pub batch_statistics: bool,
}

/// Where the gradients of batch norm go. dbeta and dgamma are always computed: dx needs them.
#[derive(Debug)]
pub struct BatchNormGradients<'a, T, X = &'a mut [T]> {
    /// Whether dy becomes the gradient of x.
    pub dx_in_dy: bool,
    /// Gradient of the residual, if wanted: dy where the ReLU let it pass.
    pub dresidual: Option<X>,
    /// Gradient of gamma.
    pub dgamma: &'a mut [T],
    /// Gradient of beta.
    pub dbeta: &'a mut [T],
}

impl<'a, T: Element> BatchNormBackward<'a, T> {
    /// The same of f32.
    fn numbers(&self) -> BatchNormBackward<'a, f32, Numbers<'a>> {
        BatchNormBackward {
            x: Numbers::F32(cast_slice(self.x)),
            relu: match self.relu {
                Relu::None => Relu::None,
                Relu::Output(y) => Relu::Output(Numbers::F32(cast_slice(y))),
                Relu::Beta(beta) => Relu::Beta(cast_slice(beta)),
            },
            mean: cast_slice(self.mean),
            variance: cast_slice(self.variance),
            gamma: cast_slice(self.gamma),
            eps: self.eps,
            batch_statistics: self.batch_statistics,
        }
    }
}

impl<'a, T: Element> BatchNormGradients<'a, T> {
    /// The same of f32.
    fn numbers(self) -> BatchNormGradients<'a, f32, NumbersMut<'a>> {
        BatchNormGradients {
            dx_in_dy: self.dx_in_dy,
            dresidual: self.dresidual.map(|dresidual| NumbersMut::F32(cast_slice_mut(dresidual))),
            dgamma: cast_slice_mut(self.dgamma),
            dbeta: cast_slice_mut(self.dbeta),
        }
    }
}

/// With g = dy where ReLU let it pass and n = (x - mean) / std:
/// dbeta = sum g, dgamma = sum g n, dx = gamma / std (g - (dbeta + n dgamma) / rows), without the bracket's second term if
/// the statistics are constants. dx takes the place of dy, if wanted.
pub fn batch_norm_backward<T: Element>(p: &BatchNormBackward<T>, dy: &mut [T], out: BatchNormGradients<T>) {
    if is_f32::<T>() {
        batch_norm_backward_mixed(&p.numbers(), NumbersMut::F32(cast_slice_mut(dy)), out.numbers());
    } else {
        let output = if let Relu::Output(y) = p.relu { Some(y.len()) } else { None };
        let dresidual = out.dresidual.as_ref().map(|dresidual| dresidual.len());
        check_backward(p, (&out, dy.len()), [Some(p.x.len()), output, dresidual]);
        naive::batch_norm_backward(p, dy, out);
    }
}

/// [`batch_norm_backward`] where x, the output, dy and the gradient of the residual lie as f32 or all as bf16. What is between is
/// f32; dx is computed of what dy was.
pub fn batch_norm_backward_mixed(
    p: &BatchNormBackward<f32, Numbers>,
    dy: NumbersMut,
    out: BatchNormGradients<f32, NumbersMut>,
) {
    let output = if let Relu::Output(y) = p.relu { Some(y) } else { None };
    let numbers = [Some(p.x), output, out.dresidual.as_ref().map(NumbersMut::seen)];
    assert!(alike(numbers) && alike([Some(p.x), Some(dy.seen())]), "batch_norm_backward: numbers that lie differently");
    let lengths = numbers.map(|numbers| numbers.map(|numbers| numbers.len()));
    check_backward(p, (&out, dy.len()), lengths);
    batch::backward(current(), p, dy, out);
}

/// Panics unless all have the sizes of `len` gradients of the output.
fn check_backward<T, X, Y>(
    p: &BatchNormBackward<T, X>,
    (out, len): (&BatchNormGradients<T, Y>, usize),
    numbers: [Option<usize>; 3],
) {
    let cols = p.mean.len();
    check(len, cols);
    let beta_fits = if let Relu::Beta(beta) = p.relu { beta.len() == cols && out.dresidual.is_none() } else { true };
    assert!(beta_fits && numbers.into_iter().flatten().all(|n| n == len), "batch_norm_backward: {len} numbers");
    let columns = [p.variance.len(), p.gamma.len(), out.dgamma.len(), out.dbeta.len()];
    assert_eq!(columns, [cols; 4], "batch_norm_backward: {cols} columns");
}

/// y = (x - mean) inv_std gamma + beta over each row of `gamma.len()` numbers, where inv_std = 1 / sqrt(biased variance +
/// eps). `mean` and `inv_std` (one number a row) are written for the backward.
/// Source: Ba, Kiros, Hinton, Layer normalization, 2016.
pub fn layer_norm<T: Element>(
    x: &[T],
    gamma: &[T],
    beta: &[T],
    eps: f64,
    y: &mut [T],
    mean: &mut [T],
    inv_std: &mut [T],
) {
    check_rows(x.len(), y.len(), gamma.len(), beta.len(), mean.len(), inv_std.len());
    if is_f32::<T>() {
        let p = layer::Parameters { gamma: cast_slice(gamma), beta: cast_slice(beta), eps };
        let out = layer::Rows { y: cast_slice_mut(y), mean: cast_slice_mut(mean), inv_std: cast_slice_mut(inv_std) };
        layer::forward(current(), cast_slice(x), p, out);
    } else {
        naive::layer_norm(x, gamma, beta, eps, y, mean, inv_std);
    }
}

/// [`layer_norm`] of sum = x + residual, in one pass. `sum` is what the backward takes as x, and its gradient is that
/// of both x and the residual.
pub fn layer_norm_residual<T: Element>(
    x: &[T],
    residual: &[T],
    sum: &mut [T],
    gamma: &[T],
    beta: &[T],
    eps: f64,
    y: &mut [T],
    mean: &mut [T],
    inv_std: &mut [T],
) {
    assert_eq!((residual.len(), sum.len()), (x.len(), x.len()), "layer_norm_residual");
    check_rows(x.len(), y.len(), gamma.len(), beta.len(), mean.len(), inv_std.len());
    if is_f32::<T>() {
        let p = layer::Parameters { gamma: cast_slice(gamma), beta: cast_slice(beta), eps };
        let out = layer::Rows { y: cast_slice_mut(y), mean: cast_slice_mut(mean), inv_std: cast_slice_mut(inv_std) };
        layer::forward_residual(current(), cast_slice(x), cast_slice(residual), cast_slice_mut(sum), p, out);
    } else {
        crate::naive::elementwise::binary(crate::elementwise::Binary::Add, x, residual, sum);
        naive::layer_norm(sum, gamma, beta, eps, y, mean, inv_std);
    }
}

/// With n = (x - mean) inv_std and g = dy gamma: dbeta = sum of dy over the rows, dgamma = sum of dy n,
/// dx = inv_std (g - mean(g) - n mean(g n)), means over the row.
pub fn layer_norm_backward<T: Element>(
    x: &[T],
    mean: &[T],
    inv_std: &[T],
    gamma: &[T],
    dy: &[T],
    dx: Option<&mut [T]>,
    dgamma: &mut [T],
    dbeta: &mut [T],
) {
    check_rows(x.len(), dy.len(), gamma.len(), dbeta.len(), mean.len(), inv_std.len());
    assert!(dx.as_deref().is_none_or(|dx| dx.len() == dy.len()), "layer_norm: dx");
    assert_eq!(dgamma.len(), gamma.len(), "layer_norm: dgamma");
    if is_f32::<T>() {
        let kept =
            layer::Kept { x: cast_slice(x), mean: cast_slice(mean), inv_std: cast_slice(inv_std), dy: cast_slice(dy) };
        let dx = dx.map(cast_slice_mut);
        layer::backward(current(), kept, cast_slice(gamma), dx, cast_slice_mut(dgamma), cast_slice_mut(dbeta));
    } else {
        naive::layer_norm_backward(x, mean, inv_std, gamma, dy, dx, dgamma, dbeta);
    }
}

/// Panics unless x and y are `rows` rows of `cols` numbers.
fn check_rows(x: usize, y: usize, cols: usize, cols2: usize, rows: usize, rows2: usize) {
    assert!(
        x == y && x == rows * cols && rows == rows2 && cols == cols2 && (cols > 0 || rows == 0),
        "layer_norm: {x} and {y} numbers, {rows} and {rows2} rows of {cols} and {cols2}"
    );
}
