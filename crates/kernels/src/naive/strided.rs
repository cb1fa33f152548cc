//! Strided copies and broadcasts, by counting through all indices.

use crate::Element;
use crate::elementwise::Binary;
use crate::naive::elementwise::combine;

/// Where the element with running number `flat` (row-major over `shape`) lies for these strides.
pub fn offset(shape: &[usize], strides: &[usize], mut flat: usize) -> usize {
    let mut at = 0;
    for (&size, &stride) in shape.iter().zip(strides).rev() {
        at += flat % size * stride;
        flat /= size;
    }
    at
}

/// See [`crate::strided::gather`].
pub fn gather<T: Element>(shape: &[usize], x: &[T], strides: &[usize], y: &mut [T]) {
    for (i, y) in y.iter_mut().enumerate() {
        *y = x[offset(shape, strides, i)];
    }
}

/// See [`crate::strided::scatter`].
pub fn scatter<T: Element>(shape: &[usize], x: &[T], y: &mut [T], strides: &[usize]) {
    for (i, &x) in x.iter().enumerate() {
        y[offset(shape, strides, i)] = x;
    }
}

/// See [`crate::strided::scatter_add`].
pub fn scatter_add<T: Element>(shape: &[usize], x: &[T], y: &mut [T], strides: &[usize]) {
    for (i, &x) in x.iter().enumerate() {
        y[offset(shape, strides, i)] += x;
    }
}

/// See [`crate::strided::binary`].
pub fn binary<T: Element>(
    op: Binary,
    shape: &[usize],
    (a, a_strides): (&[T], &[usize]),
    (b, b_strides): (&[T], &[usize]),
    y: &mut [T],
) {
    for (i, y) in y.iter_mut().enumerate() {
        let (a, b) = (a[offset(shape, a_strides, i)], b[offset(shape, b_strides, i)]);
        *y = combine(op, a, b);
    }
}

/// See [`crate::strided::sum_dims`].
pub fn sum_dims<T: Element>(shape: &[usize], x: &[T], summed: &[bool], y: &mut [T]) {
    // Strides of y over the dimensions of x, 0 along the summed ones.
    let mut strides = vec![0; shape.len()];
    let mut step = 1;
    for d in (0..shape.len()).rev() {
        if !summed[d] {
            strides[d] = step;
            step *= shape[d];
        }
    }
    y.fill(T::ZERO);
    scatter_add(shape, x, y, &strides);
}
