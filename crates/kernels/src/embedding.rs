//! Rows of a table by number.

use crate::Element;
use crate::lanes::{piece_rows, pieces};
use crate::naive::embedding as naive;

/// `y[i]` = row `ids[i]` of the table, rows of `dim` numbers.
///
/// # Panics
/// If the sizes do not fit or an id is not a row, as the other functions of this module do.
pub fn gather<T: Element>(table: &[T], dim: usize, ids: &[i64], y: &mut [T]) {
    check(table.len(), dim, ids, y.len());
    // No row is cut.
    let rows = piece_rows(dim);
    pieces(y, rows * dim, |at, y| {
        let first = at.checked_div(dim).unwrap_or(0);
        naive::gather(table, dim, &ids[first..first + y.len().checked_div(dim).unwrap_or(0)], y);
    });
}

/// `dtable[ids[i]] += dy[i]`, in the order of i: the gradient of [`gather`]. Rows with the id `padding` get nothing.
pub fn scatter_add<T: Element>(dy: &[T], dim: usize, ids: &[i64], padding: Option<i64>, dtable: &mut [T]) {
    check(dtable.len(), dim, ids, dy.len());
    naive::scatter_add(dy, dim, ids, padding, dtable);
}

/// Panics unless the sizes fit and all ids are rows.
fn check(table: usize, dim: usize, ids: &[i64], y: usize) {
    assert_eq!(y, ids.len() * dim, "embedding: {} rows of {dim}", ids.len());
    crate::reduce::check(table, dim);
    let rows = table.checked_div(dim).unwrap_or(0) as i64;
    for &id in ids {
        assert!(dim == 0 || (0..rows).contains(&id), "embedding: id {id} of {rows} rows");
    }
}
