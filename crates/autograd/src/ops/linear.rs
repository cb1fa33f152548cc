//! y = x·Wᵀ + b; ∂L/∂x = ∂L/∂y·W, ∂L/∂W = ∂L/∂yᵀ·x, ∂L/∂b = Σ rows of ∂L/∂y.

use crate::gradcheck::{Example, numbers};
use crate::op::learns_in;
use crate::{Element, Error, Keeps, Kept, Op, Precision, Result, Slots, Tensor, Value, Work};
use ukulele_kernels::gemm::{Activation, Epilogue, Mat, gemm_in};
use ukulele_kernels::reduce::column_sums;

/// y = x·Wᵀ + b: inputs x (.., in), W (out, in) and, optionally, b (out).
#[derive(Debug, Clone, Copy, Default)]
pub struct Linear {
    /// What the factors of all three products are rounded to.
    pub precision: Precision,
}

impl<T: Element> Op<T> for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn work(&self, shapes: &[&[usize]], wants: &[bool]) -> Work {
        let &[out, width] = shapes[1] else { return Work::plain("linear") };
        let rounded = [self.precision == Precision::Bf16; 3];
        Work::product(format!("linear {width} -> {out}"), shapes[0].iter().product::<usize>() * out, wants, rounded)
    }

    fn keeps(&self, wants: &[bool]) -> Keeps {
        Keeps::NOTHING.and_input_if(0, wants[1]).and_input_if(1, wants[0])
    }

    fn again_needs(&self, inputs: usize) -> Option<Keeps> {
        Some(Keeps::first(inputs))
    }

    fn again(&self, kept: &Kept<T>) -> Result<Tensor<T>> {
        self.compute(&kept.all()?)
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        self.compute(inputs)
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let grad = grad.contiguous();
        let (out, width) = (slots.shape(1)[0], slots.shape(1)[1]);
        let rows = slots.shape(0).split_last().map_or(1, |(_, rows)| rows.iter().product());
        let dy = Mat::new(grad.dense_memory(), rows, out);
        if slots.wants(0) {
            let w = kept.input(1)?.contiguous();
            let w = Mat::new(w.dense_memory(), out, width);
            slots.add(0, Tensor::build(slots.shape(0), |dx| gemm_in(self.precision, dy, w, dx, width, false, &Epilogue::NONE))?)?;
        }
        if slots.wants(1) {
            slots.add_product(1, self.precision, &grad, &kept.input(0)?.contiguous())?;
        }
        if slots.wants(2) {
            slots.add(2, Tensor::build(&[out], |db| column_sums(grad.dense_memory(), db))?)?;
        }
        Ok(())
    }
}

impl Linear {
    fn compute<T: Element>(&self, inputs: &[&Tensor<T>]) -> Result<Tensor<T>> {
        learns_in("linear", self.precision)?;
        let (x, w, bias) = (inputs[0].contiguous(), inputs[1].contiguous(), inputs.get(2).map(|b| b.contiguous()));
        let [out, width] = w.dims("linear", "a weight (out, in)")?;
        let Some((&last, rows)) = x.shape().split_last() else {
            return Err(Error::shape("linear", x.shape(), "(.., in)"));
        };
        if last != width {
            return Err(Error::shapes("linear", x.shape(), w.shape()));
        }
        if let Some(bias) = bias.as_ref().filter(|b| *b.shape() != [out]) {
            return Err(Error::shapes("linear (bias)", bias.shape(), w.shape()));
        }
        let shape = [rows, &[out]].concat();
        let rows = rows.iter().product();
        let bias = bias.as_ref().map(Tensor::dense_memory);
        let epilogue = Epilogue { bias, residual: None, activation: Activation::None };
        let (x, w) = (Mat::new(x.dense_memory(), rows, width), Mat::new(w.dense_memory(), out, width));
        Tensor::build(&shape, |y| gemm_in(self.precision, x, w.t(), y, out, false, &epilogue))
    }
}

impl<T: Element> Value<T> {
    /// y = x·Wᵀ + b, with x (.., in), `weight` (out, in) and `bias` (out).
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let x: Value = Tensor::from_vec(&[1, 2], vec![3., 4.])?.into();
    /// let w: Value = Tensor::from_vec(&[3, 2], vec![1., 0., 0., 1., 1., 1.])?.into();
    /// let b: Value = Tensor::from_vec(&[3], vec![0., 0., 0.5])?.into();
    /// assert_eq!(x.linear(&w, Some(&b))?.tensor().to_vec(), [3., 4., 7.5]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        self.linear_in(Precision::F32, weight, bias)
    }

    /// [`Value::linear`] whose products, in backward too, are of factors rounded to a precision; sums and results are f32.
    ///
    /// # Errors
    /// As there, and [`Precision::Int8`], in which nothing learns.
    pub fn linear_in(&self, precision: Precision, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        let mut inputs = vec![self, weight];
        inputs.extend(bias);
        Self::apply(Linear { precision }, &inputs)
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let example = |label, x: &[usize], out: usize, bias: bool| {
        let width = x[x.len() - 1];
        let mut inputs = vec![numbers(1, x), numbers(2, &[out, width])];
        inputs.extend(bias.then(|| numbers(3, &[out])));
        Example::new(label, inputs, |v| v[0].linear(&v[1], v.get(2)))
    };
    vec![
        example("matrix", &[3, 4], 2, true),
        example("no bias", &[3, 4], 5, false),
        example("vector", &[4], 3, true),
        example("batches", &[2, 3, 4], 5, true),
        example("one", &[1, 1], 1, true),
        example("no rows", &[0, 3], 2, true),
        example("no inputs", &[2, 0], 2, true),
        Example::new("transposed", vec![numbers(1, &[4, 3]), numbers(2, &[4, 5])], |v| {
            v[0].transpose(0, 1)?.linear(&v[1].transpose(0, 1)?, None)
        }),
    ]
}
