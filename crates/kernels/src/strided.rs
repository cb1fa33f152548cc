//! Copies between strided and dense memory, broadcasting, and its adjoint, the sum over dimensions.
//!
//! A strided tensor is `(slice, strides)`: the element with index (i, j, ...) lies at
//! `i * strides[0] + j * strides[1] + ...` of the slice. A stride of 0 repeats an element along that dimension. Dense means row-major over `shape`; for
//! channels-last memory give the dimensions in the order of memory. Copies have one way for all element types.

mod fast;
mod plan;
#[cfg(test)]
mod tests;

use crate::Element;
use crate::elementwise::Binary;
use crate::isa::current;
#[cfg(test)]
use crate::naive::strided as naive;

/// y = x, from strided to dense.
///
/// # Panics
/// If the sizes do not fit, as all functions of this module do.
pub fn gather<T: Element>(shape: &[usize], x: &[T], strides: &[usize], y: &mut [T]) {
    check(shape, strides, x.len());
    assert_eq!(numel(shape), y.len(), "gather: {shape:?}");
    fast::gather(shape, x, strides, y);
}

/// y = x, from dense to strided; elements of y that the strides do not reach stay as they are.
pub fn scatter<T: Element>(shape: &[usize], x: &[T], y: &mut [T], strides: &[usize]) {
    check(shape, strides, y.len());
    assert_eq!(numel(shape), x.len(), "scatter: {shape:?}");
    fast::scatter(shape, x, y, strides);
}

/// y += x, from dense to strided: the adjoint of [`gather`]. A stride of 0 sums, in the order of x.
pub fn scatter_add<T: Element>(shape: &[usize], x: &[T], y: &mut [T], strides: &[usize]) {
    check(shape, strides, y.len());
    assert_eq!(numel(shape), x.len(), "scatter_add: {shape:?}");
    fast::scatter_add(shape, x, y, strides);
}

/// y = a op b over `shape`; y is dense, and a and b are `(slice, strides)` with strides of 0 where they broadcast.
pub fn binary<T: Element>(op: Binary, shape: &[usize], a: (&[T], &[usize]), b: (&[T], &[usize]), y: &mut [T]) {
    check(shape, a.1, a.0.len());
    check(shape, b.1, b.0.len());
    assert_eq!(numel(shape), y.len(), "{op:?}: {shape:?}");
    fast::binary(current(), op, shape, a, b, y);
}

/// y = the sum of the dense x over the dimensions that `summed` marks. y is dense over the others (whether they are
/// written as size 1 or left out makes no difference to memory).
pub fn sum_dims<T: Element>(shape: &[usize], x: &[T], summed: &[bool], y: &mut [T]) {
    assert_eq!(shape.len(), summed.len(), "sum_dims: {shape:?}, {summed:?}");
    assert_eq!(numel(shape), x.len(), "sum_dims: {shape:?}");
    let kept: usize = (0..shape.len()).map(|d| if summed[d] { 1 } else { shape[d] }).product();
    assert_eq!(kept, y.len(), "sum_dims: {shape:?} over {summed:?}");
    fast::sum_dims(shape, x, summed, y);
}

/// Number of elements.
fn numel(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Panics unless all elements of the strided tensor lie within `len` numbers.
fn check(shape: &[usize], strides: &[usize], len: usize) {
    assert_eq!(shape.len(), strides.len(), "{shape:?}, strides {strides:?}");
    if numel(shape) > 0 {
        let last: usize = shape.iter().zip(strides).map(|(n, s)| (n - 1) * s).sum();
        assert!(last < len, "{shape:?}, strides {strides:?}: beyond {len} numbers");
    }
}
