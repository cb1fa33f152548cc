//! C = A·B; ∂L/∂A = ∂L/∂C·Bᵀ, ∂L/∂B = Aᵀ·∂L/∂C; of each batch, or with one B for all batches.

use crate::gradcheck::{Example, numbers};
use crate::{Element, Error, Keeps, Kept, Op, Result, Slots, Tensor, Value, Work};
use ukulele_kernels::gemm::{Epilogue, Mat, gemm};

/// C = A·B: inputs A (.., m, k) and B (.., k, n) with the same leading dimensions, or B (k, n).
#[derive(Debug, Clone, Copy)]
pub struct MatMul;

/// The matrices that a tensor holds in its last two dimensions, in the order of its leading dimensions.
fn matrices<T: Element>(tensor: &Tensor<T>) -> impl Iterator<Item = Mat<'_, T>> {
    let lead = tensor.rank() - 2;
    let (batch, matrix) = tensor.shape().split_at(lead);
    let strides = tensor.strides();
    (0..batch.iter().product()).map(move |mut at: usize| {
        let mut start = 0;
        for (d, &size) in batch.iter().enumerate().rev() {
            start += at % size * strides[d];
            at /= size;
        }
        let data = tensor.strided().get(start..).unwrap_or_default();
        Mat { data, rows: matrix[0], cols: matrix[1], row_stride: strides[lead], col_stride: strides[lead + 1] }
    })
}

/// The tensor as one matrix of all its rows.
fn rows<T: Element>(tensor: &Tensor<T>) -> Result<Tensor<T>> {
    let (&width, lead) =
        tensor.shape().split_last().ok_or_else(|| Error::shape("matmul", tensor.shape(), "(.., m, k)"))?;
    tensor.reshape(&[lead.iter().product(), width])
}

/// The products of the matrices of `left` and `right`, batch by batch, as a tensor of this shape.
fn products<T: Element>(shape: &[usize], left: &Tensor<T>, right: &Tensor<T>, turn: [bool; 2]) -> Result<Tensor<T>> {
    let (m, n) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    Tensor::build(shape, |c| {
        for (i, (a, b)) in matrices(left).zip(matrices(right)).enumerate() {
            let (a, b) = (if turn[0] { a.t() } else { a }, if turn[1] { b.t() } else { b });
            gemm(a, b, &mut c[i * m * n..(i + 1) * m * n], n, false, &Epilogue::NONE);
        }
    })
}

impl<T: Element> Op<T> for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn work(&self, shapes: &[&[usize]], wants: &[bool]) -> Work {
        let columns = shapes[1].last().copied().unwrap_or(0);
        Work::product("matmul", shapes[0].iter().product::<usize>() * columns, wants, [false; 3])
    }

    fn keeps(&self, wants: &[bool]) -> Keeps {
        Keeps::NOTHING.and_input_if(0, wants[1]).and_input_if(1, wants[0])
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        let (a, b) = (inputs[0], inputs[1]);
        let wrong = || Error::shapes("matmul", a.shape(), b.shape());
        let ([batch @ .., m, k], [others @ .., inner, n]) = (a.shape(), b.shape()) else { return Err(wrong()) };
        if k != inner || !(others.is_empty() || batch == others) {
            return Err(wrong());
        }
        let shape = [batch, &[*m, *n]].concat();
        if batch == others {
            products(&shape, a, b, [false, false])
        } else {
            products(&[batch.iter().product::<usize>() * m, *n], &rows(a)?, b, [false, false])?.reshape(&shape)
        }
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let shared = slots.shape(1).len() < slots.shape(0).len();
        let grad = if shared { rows(&grad)? } else { grad };
        if slots.wants(0) {
            let b = kept.input(1)?;
            let shape = slots.shape(0).to_vec();
            let da = if shared {
                products(&[grad.shape()[0], b.shape()[0]], &grad, b, [false, true])?.reshape(&shape)?
            } else {
                products(&shape, &grad, b, [false, true])?
            };
            slots.add(0, da)?;
        }
        if slots.wants(1) {
            let a = kept.input(0)?;
            let a = if shared { rows(a)? } else { a.clone() };
            slots.add(1, products(slots.shape(1), &a, &grad, [true, false])?)?;
        }
        Ok(())
    }
}

impl<T: Element> Value<T> {
    /// The matrix product: (.., m, k) times (.., k, n) with the same leading dimensions, or times one (k, n) for all.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let a: Value = Tensor::from_vec(&[1, 2], vec![3., 4.])?.into();
    /// let b: Value = Tensor::from_vec(&[2, 2], vec![1., 2., 10., 20.])?.into();
    /// assert_eq!(a.matmul(&b)?.tensor().to_vec(), [43., 86.]);
    /// assert_eq!(b.matmul(&a).unwrap_err().to_string(), "matmul: shapes [2, 2] and [1, 2] do not fit");
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn matmul(&self, right: &Self) -> Result<Self> {
        Self::apply(MatMul, &[self, right])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let example = |label, a: &[usize], b: &[usize]| {
        Example::new(label, vec![numbers(1, a), numbers(2, b)], |v| v[0].matmul(&v[1]))
    };
    vec![
        example("matrices", &[3, 4], &[4, 2]),
        example("batches", &[2, 3, 4], &[2, 4, 5]),
        example("two batch dimensions", &[2, 2, 3, 2], &[2, 2, 2, 3]),
        example("shared", &[2, 3, 4], &[4, 2]),
        example("one", &[1, 1], &[1, 1]),
        example("no rows", &[0, 2], &[2, 3]),
        example("no batches", &[0, 2, 3], &[0, 3, 1]),
        example("nothing to sum", &[2, 0], &[0, 3]),
        Example::new("transposed", vec![numbers(1, &[2, 3, 4]), numbers(2, &[2, 3, 5])], |v| {
            v[0].transpose(1, 2)?.matmul(&v[1])
        }),
    ]
}
