//! Rows of a table, one by one.

use crate::Element;

/// See [`crate::embedding::gather`].
pub fn gather<T: Element>(table: &[T], dim: usize, ids: &[i64], y: &mut [T]) {
    for (i, &id) in ids.iter().enumerate() {
        let row = id as usize * dim;
        y[i * dim..(i + 1) * dim].copy_from_slice(&table[row..row + dim]);
    }
}

/// See [`crate::embedding::scatter_add`].
pub fn scatter_add<T: Element>(dy: &[T], dim: usize, ids: &[i64], padding: Option<i64>, dtable: &mut [T]) {
    for (i, &id) in ids.iter().enumerate() {
        if Some(id) != padding {
            for d in 0..dim {
                dtable[id as usize * dim + d] += dy[i * dim + d];
            }
        }
    }
}
