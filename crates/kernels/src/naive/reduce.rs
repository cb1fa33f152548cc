//! Sums and maxima by one loop.

use crate::Element;

/// See [`crate::reduce::sum`].
pub fn sum<T: Element>(x: &[T]) -> f64 {
    x.iter().map(|x| x.to_f64()).sum()
}

/// See [`crate::reduce::sum_squares`].
pub fn sum_squares<T: Element>(x: &[T]) -> f64 {
    x.iter().map(|x| x.to_f64() * x.to_f64()).sum()
}

/// See [`crate::reduce::dot`].
pub fn dot<T: Element>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}

/// See [`crate::reduce::max`].
pub fn max<T: Element>(x: &[T]) -> T {
    x.iter().fold(T::NEG_INFINITY, |max, &x| max.max(x))
}

/// See [`crate::reduce::column_sums`].
pub fn column_sums<T: Element>(x: &[T], y: &mut [T]) {
    let cols = y.len();
    for (j, y) in y.iter_mut().enumerate() {
        *y = T::from_f64(x.iter().skip(j).step_by(cols).map(|x| x.to_f64()).sum());
    }
}

/// See [`crate::reduce::row_sums`].
pub fn row_sums<T: Element>(x: &[T], cols: usize, y: &mut [T]) {
    for (i, y) in y.iter_mut().enumerate() {
        *y = T::from_f64(sum(&x[i * cols..(i + 1) * cols]));
    }
}

/// See [`crate::reduce::row_max`].
pub fn row_max<T: Element>(x: &[T], cols: usize, y: &mut [T]) {
    for (i, y) in y.iter_mut().enumerate() {
        *y = max(&x[i * cols..(i + 1) * cols]);
    }
}

/// See [`crate::reduce::argmax_rows`].
pub fn argmax_rows<T: Element>(x: &[T], cols: usize, y: &mut [usize]) {
    for (i, y) in y.iter_mut().enumerate() {
        let row = &x[i * cols..(i + 1) * cols];
        *y = 0;
        for (j, &x) in row.iter().enumerate() {
            if x > row[*y] || (x.is_nan() && !row[*y].is_nan()) {
                *y = j;
            }
        }
    }
}
