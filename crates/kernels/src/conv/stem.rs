//! The first layer of a network of images: a convolution of a few channels, where a whole row of the kernel is one tap.
//!
//! A tap has little to do, so that finding out what it meets would take as long as the products. But with the padding there in
//! memory all rows of the output see the same, some rows further: one list of tiles serves them all. A task copies the rows of the
//! input that its rows of the output see, with their padding, which leaves them in its cache.

use super::dense::Weight;
use super::{Conv2d, Pixels};
use crate::gemm::Epilogue;
use crate::gemm::blocks::{pieces, shared, tile_size};
use crate::gemm::pack::with_buffer;
use crate::gemm::tile::{Block, Job, Panels, Target, run};
use crate::isa::Isa;
use rayon::prelude::*;
use std::ops::Range;

/// Numbers of the input that a task copies, about.
const STRIP: usize = 32 * 1024;
/// Tasks that are enough to keep some cores busy.
const TASKS: usize = 16;

/// Where the result goes.
#[derive(Clone, Copy)]
struct Output<'a> {
    y: *mut f32,
    stride: usize,
    epilogue: Epilogue<'a, f32>,
}
// SAFETY: tasks write to different rows of the result through it.
unsafe impl Send for Output<'_> {}
// SAFETY: as above.
unsafe impl Sync for Output<'_> {}

/// See [`super::conv2d_packed`], which has checked the sizes; the weight has a tap for each row of the kernel, g has one group
/// and no horizontal dilation.
pub(super) fn forward(
    isa: Isa,
    g: &Conv2d,
    x: Pixels,
    weight: Weight,
    y: &mut [f32],
    stride: usize,
    epilogue: Epilogue<f32>,
) {
    let step = (g.stride.0 * (g.w + g.pad[2] + g.pad[3]) * g.cin).max(1);
    let most = (STRIP / step).min((g.n * g.out_h()).div_ceil(TASKS)).max(1);
    let strips: Vec<_> = pieces(0..g.out_h(), shared(g.out_h(), most)).collect();
    let output = Output { y: y.as_mut_ptr(), stride, epilogue };
    (0..g.n * strips.len()).into_par_iter().with_max_len(1).for_each(|i| {
        let (n, rows) = (i / strips.len(), strips[i % strips.len()].clone());
        strip(isa, g, x, n, rows, weight, output);
    });
}

/// Some rows of the result of image `n`.
fn strip(isa: Isa, g: &Conv2d, x: Pixels, n: usize, rows: Range<usize>, weight: Weight, output: Output) {
    let (width, depth) = (g.w + g.pad[2] + g.pad[3], g.kw * g.cin);
    let (pitch, first) = (width * g.cin, rows.start * g.stride.0);
    let height = (rows.len() - 1) * g.stride.0 + (g.kh - 1) * g.dilation.0 + 1;
    with_buffer(height * pitch, |source| {
        for (y, row) in source.chunks_exact_mut(pitch.max(1)).enumerate() {
            write_row(g, x, n, first + y, row);
        }
        let mut block = Block::default();
        for columns in pieces(0..g.out_w(), tile_size(isa).0) {
            block.tile(columns.clone().map(|ox| ox * output.stride));
            for ky in 0..g.kh {
                let row = &source[ky * g.dilation.0 * pitch..];
                block.tap(ky, columns.clone().map(|ox| row[ox * g.stride.1 * g.cin..][..depth].as_ptr()));
            }
        }
        let Weight { panels: data, chain, kind } = weight;
        let b = Panels { data, taps: g.kh, depth, cols: g.cout, chain, kind };
        let panels = 0..g.cout.div_ceil(tile_size(isa).1);
        for (i, oy) in rows.enumerate() {
            let at = (n * g.out_h() + oy) * g.out_w() * output.stride;
            let residual = output.epilogue.residual.map(|residual| &residual[at..]);
            let epilogue = Epilogue { residual, ..output.epilogue };
            let target = Target { c: output.y.wrapping_add(at), accumulate: false, epilogue, far: true };
            // SAFETY: the sources of the last row end with the buffer, which has `height` rows; each row of the result is written by
            // one task, and the caller has checked that y has it.
            run(isa, &unsafe { Job::shifted(&block, b, panels.clone(), target, i * g.stride.0 * pitch) });
        }
    });
}

/// Row `y` of image `n`, counted from the padding on, with its padding.
fn write_row(g: &Conv2d, x: Pixels, n: usize, y: usize, out: &mut [f32]) {
    let y = y.wrapping_sub(g.pad[0]);
    if y >= g.h || g.w == 0 {
        return out.fill(0.0);
    }
    let (left, inner) = (g.pad[2] * g.cin, g.w * g.cin);
    out[..left].fill(0.0);
    out[left + inner..].fill(0.0);
    let (row, out) = (&x.data[(n * g.h + y) * g.w * x.stride..], &mut out[left..left + inner]);
    if x.stride == g.cin {
        out.copy_from_slice(&row[..inner]);
    } else {
        row.chunks(x.stride)
            .zip(out.chunks_exact_mut(g.cin.max(1)))
            .for_each(|(x, out)| out.copy_from_slice(&x[..g.cin]));
    }
}
