//! Sums and maxima. Sums are taken in pieces of fixed size and a fixed order, so they do not depend on threads, and
//! their rounding error stays that of a short sum however long the input is.

mod fast;
#[cfg(test)]
mod tests;

use crate::Element;
use crate::element::is_f32;
use crate::isa::current;
use crate::naive::reduce as naive;
use bytemuck::{cast_slice, cast_slice_mut};

/// The sum of all numbers.
pub fn sum<T: Element>(x: &[T]) -> f64 {
    if is_f32::<T>() { fast::sum(current(), cast_slice(x)) } else { naive::sum(x) }
}

/// The mean of all numbers, NaN if there are none.
pub fn mean<T: Element>(x: &[T]) -> f64 {
    sum(x) / x.len() as f64
}

/// The sum of squares: the square of the norm.
pub fn sum_squares<T: Element>(x: &[T]) -> f64 {
    if is_f32::<T>() { fast::dot(current(), cast_slice(x), cast_slice(x)) } else { naive::sum_squares(x) }
}

/// The inner product.
///
/// # Panics
/// If the lengths differ.
pub fn dot<T: Element>(a: &[T], b: &[T]) -> f64 {
    assert_eq!(a.len(), b.len(), "dot");
    if is_f32::<T>() { fast::dot(current(), cast_slice(a), cast_slice(b)) } else { naive::dot(a, b) }
}

/// The largest number; NaN if any is NaN, minus infinity if there are none.
pub fn max<T: Element>(x: &[T]) -> T {
    if is_f32::<T>() { T::from_f32(fast::max(current(), cast_slice(x))) } else { naive::max(x) }
}

/// `y[j]` = sum over the rows i of `x[i][j]`, x being rows of `y.len()` numbers: the gradient of a bias.
///
/// # Panics
/// If x is not whole rows.
pub fn column_sums<T: Element>(x: &[T], y: &mut [T]) {
    check(x.len(), y.len());
    if is_f32::<T>() {
        fast::column_sums(current(), cast_slice(x), cast_slice_mut(y));
    } else {
        naive::column_sums(x, y);
    }
}

/// `y[i]` = sum of row i of x, rows of `cols` numbers.
///
/// # Panics
/// If x is not `y.len()` rows, as the following functions do.
pub fn row_sums<T: Element>(x: &[T], cols: usize, y: &mut [T]) {
    assert_eq!(x.len(), y.len() * cols, "row_sums");
    if is_f32::<T>() {
        fast::row_sums(current(), cast_slice(x), cols, cast_slice_mut(y));
    } else {
        naive::row_sums(x, cols, y);
    }
}

/// `y[i]` = largest number of row i of x; NaN if any of the row is NaN.
pub fn row_max<T: Element>(x: &[T], cols: usize, y: &mut [T]) {
    assert_eq!(x.len(), y.len() * cols, "row_max");
    if is_f32::<T>() {
        fast::row_max(current(), cast_slice(x), cols, cast_slice_mut(y));
    } else {
        naive::row_max(x, cols, y);
    }
}

/// `y[i]` = column of the first largest number of row i of x; a NaN counts as largest.
pub fn argmax_rows<T: Element>(x: &[T], cols: usize, y: &mut [usize]) {
    assert_eq!(x.len(), y.len() * cols, "argmax_rows");
    assert!(cols > 0 || y.is_empty(), "argmax_rows: empty rows");
    if is_f32::<T>() {
        fast::argmax_rows(current(), cast_slice(x), cols, y);
    } else {
        naive::argmax_rows(x, cols, y);
    }
}

/// Panics unless `len` numbers are whole rows of `cols`.
pub(crate) fn check(len: usize, cols: usize) {
    assert!(len == 0 || (cols > 0 && len.is_multiple_of(cols)), "{len} numbers are no rows of {cols}");
}
