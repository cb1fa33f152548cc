//! What the elementwise ops share: layouts and broadcasting.

use crate::{Element, Result, Slots, Tensor};
use ukulele_kernels::elementwise::{self, Binary, Unary};
use ukulele_kernels::strided;
use ukulele_tensor::broadcast;

/// op(x), in the layout of x.
pub(crate) fn unary<T: Element>(op: Unary, x: &Tensor<T>) -> Result<Tensor<T>> {
    let x = x.dense();
    x.build_like(|y| elementwise::unary(op, x.dense_memory(), y))
}

/// The gradient of x, given what the kernel wants kept (x or y) and that of y.
pub(crate) fn unary_backward<T: Element>(op: Unary, kept: &Tensor<T>, grad: &Tensor<T>) -> Result<Tensor<T>> {
    let kept = kept.dense();
    let grad = grad.laid_as(&kept)?;
    kept.build_like(|dx| elementwise::unary_backward(op, kept.dense_memory(), grad.dense_memory(), dx))
}

/// scale·x + shift, in the layout of x.
pub(crate) fn affine<T: Element>(scale: f64, shift: f64, x: &Tensor<T>) -> Result<Tensor<T>> {
    let x = x.dense();
    let (scale, shift) = (T::from_f64(scale), T::from_f64(shift));
    x.build_like(|y| elementwise::affine(scale, shift, x.dense_memory(), y))
}

/// x op y of two tensors that broadcast to one shape, in the layout of x (or of y, if only y has this shape).
pub(crate) fn binary<T: Element>(name: &'static str, op: Binary, x: &Tensor<T>, y: &Tensor<T>) -> Result<Tensor<T>> {
    if x.shape() == y.shape() {
        let x = x.dense();
        let y = y.laid_as(&x)?;
        return x.build_like(|out| elementwise::binary(op, x.dense_memory(), y.dense_memory(), out));
    }
    let shape = broadcast(name, x.shape(), y.shape())?;
    let order = if *y.shape() == *shape { y.memory_order() } else { x.expand(&shape)?.memory_order() };
    let (x, y) = (x.expand(&shape)?.permute(&order)?, y.expand(&shape)?.permute(&order)?);
    Tensor::build_in_order(&shape, &order, |out| {
        strided::binary(op, x.shape(), (x.strided(), x.strides()), (y.strided(), y.strides()), out);
    })
}

/// The sum over `dims`, which keep size 1. The other dimensions keep their order of memory.
pub(crate) fn sum_over<T: Element>(x: &Tensor<T>, dims: &[usize]) -> Result<Tensor<T>> {
    let x = x.dense();
    let order = x.memory_order();
    let mut shape = x.shape().to_vec();
    dims.iter().for_each(|&d| shape[d] = 1);
    let summed: Vec<bool> = order.iter().map(|d| dims.contains(d)).collect();
    let ordered = x.permute(&order)?;
    Tensor::build_in_order(&shape, &order, |y| strided::sum_dims(ordered.shape(), x.dense_memory(), &summed, y))
}

/// The sum over the dimensions in which a tensor of `shape` was stretched to the shape of `x`.
pub(crate) fn sum_to_shape<T: Element>(x: &Tensor<T>, shape: &[usize]) -> Result<Tensor<T>> {
    if x.shape() == shape {
        return Ok(x.clone());
    }
    let lead = x.rank() - shape.len();
    let dims: Vec<usize> = (0..x.rank()).filter(|&d| d < lead || (shape[d - lead] == 1 && x.shape()[d] != 1)).collect();
    let sum = sum_over(x, &dims)?;
    if lead == 0 { Ok(sum) } else { sum.reshape(shape) }
}

/// Adds `gradient`, which has the shape of the output, to input `i`, which was broadcast to it.
pub(crate) fn add_broadcast<T: Element>(
    slots: &mut Slots<T>,
    i: usize,
    gradient: impl FnOnce() -> Result<Tensor<T>>,
) -> Result<()> {
    if !slots.wants(i) {
        return Ok(());
    }
    let gradient = sum_to_shape(&gradient()?, slots.shape(i))?;
    slots.add(i, gradient)
}
