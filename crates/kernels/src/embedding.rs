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
    // Of whole rows; none where rows have no numbers.
    pieces(y, piece_rows(dim) * dim, |at, y| naive::gather(table, dim, &ids[at / dim..(at + y.len()) / dim], y));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{numbers, same_on_1_and_2_threads};

    #[test]
    fn rows_are_found_in_pieces() {
        for (dim, rows) in [(0, 5), (7, 11), (40_000, 3)] {
            let table = numbers(1, rows * dim, -1.0, 1.0);
            let ids: Vec<i64> = (0..3 * piece_rows(dim) + 1).map(|i| (i * 5 % rows) as i64).collect();
            let mut want = vec![0.0; ids.len() * dim];
            naive::gather(&table, dim, &ids, &mut want);
            let got = same_on_1_and_2_threads("gather", || {
                let mut y = vec![0.0; ids.len() * dim];
                gather(&table, dim, &ids, &mut y);
                y
            });
            assert!(got == want, "rows of {dim}");
        }
    }
}
