//! Dimensions made as few as possible, and the walk over what remains.

use std::ops::Range;

/// Most dimensions of a tensor.
const MAX: usize = 8;

/// The loops over a shape for `N` operands: dimensions of size 1 are gone, and neighbours that all operands lay out as
/// one are one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan<const N: usize> {
    /// Sizes, the outermost first; at least one, which may be 1.
    pub(super) shape: Vec<usize>,
    /// For each dimension the strides of all operands.
    pub(super) strides: Vec<[usize; N]>,
}

impl<const N: usize> Plan<N> {
    /// For a shape without zeros.
    pub(super) fn new(shape: &[usize], operands: [&[usize]; N]) -> Self {
        let mut plan = Plan { shape: Vec::with_capacity(MAX), strides: Vec::with_capacity(MAX) };
        for (d, &size) in shape.iter().enumerate().filter(|&(_, &size)| size != 1) {
            let strides = operands.map(|operand| operand[d]);
            match (plan.shape.last_mut(), plan.strides.last_mut()) {
                (Some(outer), Some(last)) if (0..N).all(|i| last[i] == size * strides[i]) => {
                    (*outer, *last) = (*outer * size, strides);
                }
                _ => {
                    plan.shape.push(size);
                    plan.strides.push(strides);
                }
            }
        }
        if plan.shape.is_empty() {
            plan.shape.push(1);
            plan.strides.push([1; N]);
        }
        plan
    }

    /// Size and strides of the innermost dimension.
    pub(super) fn inner(&self) -> (usize, [usize; N]) {
        let last = self.shape.len() - 1;
        (self.shape[last], self.strides[last])
    }

    /// Number of rows: what the dimensions but the innermost multiply to.
    pub(super) fn rows(&self) -> usize {
        self.shape[..self.shape.len() - 1].iter().product()
    }

    /// Calls `f(row, where it starts in each operand)` for these rows, in order.
    pub(super) fn each_row(&self, rows: Range<usize>, mut f: impl FnMut(usize, [usize; N])) {
        let outer = self.shape.len() - 1;
        let (mut index, mut start) = (vec![0; outer], [0; N]);
        let mut rest = rows.start;
        for d in (0..outer).rev() {
            index[d] = rest % self.shape[d];
            rest /= self.shape[d];
            (0..N).for_each(|i| start[i] += index[d] * self.strides[d][i]);
        }
        for row in rows {
            f(row, start);
            for d in (0..outer).rev() {
                index[d] += 1;
                (0..N).for_each(|i| start[i] += self.strides[d][i]);
                if index[d] < self.shape[d] {
                    break;
                }
                index[d] = 0;
                (0..N).for_each(|i| start[i] -= self.shape[d] * self.strides[d][i]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_dimensions_become_one() {
        let plan = Plan::new(&[2, 3, 1, 4], [&[12, 4, 4, 1]]);
        assert_eq!((plan.shape.clone(), plan.inner(), plan.rows()), (vec![24], (24, [1]), 1));
        // A broadcast operand keeps apart what the other could join.
        let plan = Plan::new(&[2, 3, 4], [&[12, 4, 1], &[0, 4, 1]]);
        assert_eq!((plan.shape.clone(), plan.strides.clone()), (vec![2, 12], vec![[12, 0], [1, 1]]));
        assert_eq!(Plan::<1>::new(&[], [&[]]).rows(), 1);
    }

    #[test]
    fn rows_start_where_they_should_from_any_row_on() {
        let plan = Plan::new(&[2, 3, 2], [&[100, 10, 2]]);
        let mut all = Vec::new();
        plan.each_row(0..6, |row, [start]| all.push((row, start)));
        assert_eq!(all, [(0, 0), (1, 10), (2, 20), (3, 100), (4, 110), (5, 120)]);
        for first in 0..6 {
            let mut some = Vec::new();
            plan.each_row(first..6, |row, [start]| some.push((row, start)));
            assert_eq!(some, all[first..]);
        }
    }
}
