//! Strided loops: rows that are contiguous are copied or computed as a whole, transposes go in tiles.

use super::plan::Plan;
use crate::Element;
use crate::element::{as_f32, as_f32_mut, is_f32};
use crate::elementwise::{self, Binary, fast as vectors};
use crate::isa::Isa;
use crate::lanes::{PIECE, piece_rows, pieces};
use crate::naive::elementwise::combine;
use crate::reduce;
use rayon::prelude::*;

/// Rows and columns of a tile of a transpose: a cache line of f32.
const TILE: usize = 16;

pub(crate) fn gather<T: Element>(shape: &[usize], x: &[T], strides: &[usize], y: &mut [T]) {
    if y.is_empty() {
        return;
    }
    let plan = Plan::new(shape, [strides]);
    let (n, [stride]) = plan.inner();
    if stride != 1 && n > 1 {
        let contiguous = plan.strides.iter().position(|stride| stride[0] == 1);
        if let Some(d) = contiguous {
            return transpose(&plan, d, x, y);
        }
    }
    pieces(y, piece_rows(n) * n, |at, y| {
        let first = at / n;
        plan.each_row(first..first + y.len() / n, |row, [start]| {
            let y = &mut y[(row - first) * n..][..n];
            if stride == 1 {
                y.copy_from_slice(&x[start..start + n]);
            } else {
                (0..n).for_each(|i| y[i] = x[start + i * stride]);
            }
        });
    });
}

/// Dimension d is contiguous in x, the innermost one in y.
fn transpose<T: Element>(plan: &Plan<1>, d: usize, x: &[T], y: &mut [T]) {
    let (n, [stride]) = plan.inner();
    let last = plan.shape.len() - 1;
    // Dimensions outside d, and those between d and the innermost one.
    let part = |dims: std::ops::Range<usize>| Plan {
        shape: [&plan.shape[dims.clone()], &[1]].concat(),
        strides: [&plan.strides[dims], &[[1]]].concat(),
    };
    let (outside, between) = (part(0..d), part(d + 1..last));
    let step: usize = plan.shape[d + 1..].iter().product();
    let mut starts = Vec::with_capacity(outside.rows());
    outside.each_row(0..outside.rows(), |_, [start]| starts.push(start));
    let outer = y.par_chunks_mut(plan.shape[d] * step).zip(starts).map(|(y, start)| (y, &x[start..]));
    outer.for_each(|(y, x)| {
        // All tiles of 16 values of d are one piece.
        y.par_chunks_mut(TILE * step).enumerate().for_each(|(block, y)| {
            let x = &x[block * TILE..];
            between.each_row(0..between.rows(), |row, [start]| {
                for first in (0..n).step_by(TILE) {
                    let source = &x[start + first * stride..];
                    tile(source, stride, TILE.min(n - first), &mut y[row * n + first..], step);
                }
            });
        });
    });
}

/// y[j * step + i] = x[i * stride + j] for i < n and as many j, at most 16, as y has rows.
fn tile<T: Element>(x: &[T], stride: usize, n: usize, y: &mut [T], step: usize) {
    let rows = TILE.min((y.len() - n) / step + 1);
    let mut square = [[T::ZERO; TILE]; TILE];
    for (i, line) in square[..n].iter_mut().enumerate() {
        line[..rows].copy_from_slice(&x[i * stride..][..rows]);
    }
    for j in 0..rows {
        let y = &mut y[j * step..][..n];
        for (y, line) in y.iter_mut().zip(&square) {
            *y = line[j];
        }
    }
}

/// Calls `f(row of x, where its elements begin in y, their stride)`.
fn each_target(shape: &[usize], strides: &[usize], mut f: impl FnMut(std::ops::Range<usize>, usize, usize)) {
    let plan = Plan::new(shape, [strides]);
    let (n, [stride]) = plan.inner();
    plan.each_row(0..plan.rows(), |row, [start]| f(row * n..(row + 1) * n, start, stride));
}

pub(crate) fn scatter<T: Element>(shape: &[usize], x: &[T], y: &mut [T], strides: &[usize]) {
    if x.is_empty() {
        return;
    }
    each_target(shape, strides, |row, start, stride| {
        let x = &x[row];
        if stride == 1 {
            y[start..start + x.len()].copy_from_slice(x);
        } else {
            x.iter().enumerate().for_each(|(i, &x)| y[start + i * stride] = x);
        }
    });
}

pub(crate) fn scatter_add<T: Element>(shape: &[usize], x: &[T], y: &mut [T], strides: &[usize]) {
    if x.is_empty() {
        return;
    }
    each_target(shape, strides, |row, start, stride| {
        let x = &x[row];
        if stride == 1 {
            elementwise::axpy(T::ONE, x, &mut y[start..start + x.len()]);
        } else {
            x.iter().enumerate().for_each(|(i, &x)| y[start + i * stride] += x);
        }
    });
}

/// y = a op b for rows whose operands are contiguous (stride 1) or one number (stride 0).
fn binary_row<T: Element>(isa: Isa, op: Binary, a: &[T], b: &[T], strides: [usize; 2], y: &mut [T]) {
    match (as_f32(a), as_f32(b), strides) {
        (Some(a), Some(b), [1, 1]) => vectors::binary_piece(isa, op, a, b, f32_mut(y)),
        (Some(a), Some(b), [1, 0]) => vectors::binary_number(isa, op, a, b[0], false, f32_mut(y)),
        (Some(a), Some(b), [0, 1]) => vectors::binary_number(isa, op, b, a[0], true, f32_mut(y)),
        _ => (0..y.len()).for_each(|i| y[i] = combine(op, a[i * strides[0]], b[i * strides[1]])),
    }
}

/// The slice of an element type that is f32.
fn f32_mut<T: Element>(y: &mut [T]) -> &mut [f32] {
    as_f32_mut(y).unwrap_or_default()
}

pub(crate) fn binary<T: Element>(
    isa: Isa,
    op: Binary,
    shape: &[usize],
    a: (&[T], &[usize]),
    b: (&[T], &[usize]),
    y: &mut [T],
) {
    if y.is_empty() {
        return;
    }
    let plan = Plan::new(shape, [a.1, b.1]);
    let (n, strides) = plan.inner();
    let (a, b) = (a.0, b.0);
    if plan.rows() == 1 {
        // One long row goes in pieces of its own.
        pieces(y, PIECE, |at, y| {
            binary_row(isa, op, &a[at * strides[0]..], &b[at * strides[1]..], strides, y);
        });
        return;
    }
    pieces(y, piece_rows(n) * n, |at, y| {
        let first = at / n;
        plan.each_row(first..first + y.len() / n, |row, [in_a, in_b]| {
            binary_row(isa, op, &a[in_a..], &b[in_b..], strides, &mut y[(row - first) * n..][..n]);
        });
    });
}

pub(crate) fn sum_dims<T: Element>(shape: &[usize], x: &[T], summed: &[bool], y: &mut [T]) {
    if x.is_empty() {
        y.fill(T::ZERO);
        return;
    }
    // Neighbours that are both summed, or both kept, are one.
    let mut runs: Vec<(usize, bool)> = Vec::new();
    for (&size, &summed) in shape.iter().zip(summed).filter(|&(&size, _)| size != 1) {
        match runs.last_mut() {
            Some((run, same)) if *same == summed => *run *= size,
            _ => runs.push((size, summed)),
        }
    }
    let mut last: Option<Vec<T>> = None;
    // The innermost sum first: it is the one over contiguous memory.
    while let Some(d) = runs.iter().rposition(|run| run.1) {
        let size = |runs: &[(usize, bool)]| runs.iter().map(|run| run.0).product::<usize>();
        let (outer, inner) = (size(&runs[..d]), size(&runs[d + 1..]));
        let mut sums = vec![T::ZERO; outer * inner];
        sum_middle(last.as_deref().unwrap_or(x), runs[d].0, inner, &mut sums);
        last = Some(sums);
        runs.remove(d);
    }
    y.copy_from_slice(last.as_deref().unwrap_or(x));
}

/// y[o][i] = sum over s of x[o][s][i], y being rows of `inner` numbers.
fn sum_middle<T: Element>(x: &[T], size: usize, inner: usize, y: &mut [T]) {
    /// From here on the sum of one row of y is worth the threads.
    const LARGE: usize = 4096;
    if inner == 1 {
        return reduce::row_sums(x, size, y);
    }
    if is_f32::<T>() && size * inner >= LARGE {
        for (x, y) in x.chunks(size * inner).zip(y.chunks_mut(inner)) {
            reduce::column_sums(x, y);
        }
        return;
    }
    pieces(y, piece_rows(inner) * inner, |at, y| {
        for (x, y) in x[at * size..].chunks(size * inner).zip(y.chunks_mut(inner)) {
            for (i, y) in y.iter_mut().enumerate() {
                *y = T::from_f64(x[i..].iter().step_by(inner).map(|x| x.to_f64()).sum());
            }
        }
    });
}
