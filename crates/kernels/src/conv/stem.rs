//! The first layer of a network of images: a convolution of a few channels, where a whole row of the kernel is one tap.
//!
//! A tap has little to do, so that finding out what it meets would take as long as the products. But with the padding there in
//! memory all rows of the output see the same, some rows further: one list of tiles serves them all. A task copies the rows of the
//! input that its rows of the output see, with their padding, which leaves them in its cache.

use super::dense::{Weight, row_taps};
use super::{Conv2d, Pixels};
use crate::gemm::Precision;
use crate::gemm::blocks::{pieces, shared, tile_size};
use crate::gemm::pack::with_buffer;
use crate::gemm::pairs::{Kind, to_pairs};
use crate::gemm::store::Target;
use crate::gemm::tile::{Block, Job, Panels, run};
use crate::isa::Isa;
use crate::team::each;
use std::ops::Range;

/// Numbers of the input that a task copies, about.
const STRIP: usize = 32 * 1024;
/// Tasks that are enough to keep some cores busy.
const TASKS: usize = 16;

/// Can such a convolution take these places? Windows must begin with a pair. The last number of a window that has an odd one is
/// paired with what follows, times 0: where that is infinite or NaN so is the output, which f32 would not show.
pub(super) fn supports(g: &Conv2d, kind: Kind) -> bool {
    row_taps(g) && g.cin > 0 && kind.precision() == Precision::Bf16 && (g.stride.1 * g.cin).is_multiple_of(2)
}

/// See [`super::conv2d_packed`], which has checked the sizes; the weight has a tap for each row of the kernel, g has one group
/// and no horizontal dilation.
///
/// # Safety
/// The target must have room for all pixels.
pub(super) unsafe fn forward(isa: Isa, g: &Conv2d, x: Pixels, weight: Weight, target: Target, stride: usize) {
    let step = (g.stride.0 * (g.w + g.pad[2] + g.pad[3]) * g.cin).max(1);
    let most = (STRIP / step).min((g.n * g.out_h()).div_ceil(TASKS)).max(1);
    let strips: Vec<_> = pieces(0..g.out_h(), shared(g.out_h(), most)).collect();
    each(g.n * strips.len(), |i| {
        let (n, rows) = (i / strips.len(), strips[i % strips.len()].clone());
        // SAFETY: the caller's promise; tasks have different rows.
        unsafe { strip(isa, g, x, n, rows, weight, target, stride) };
    });
}

/// Some rows of the result of image `n`.
///
/// # Safety
/// The target must have room for them, and no one else may write them at the same time.
unsafe fn strip(
    isa: Isa,
    g: &Conv2d,
    x: Pixels,
    n: usize,
    rows: Range<usize>,
    weight: Weight,
    target: Target,
    stride: usize,
) {
    let Weight { panels: data, chain, kind } = weight;
    let (numbers, first) = ((g.w + g.pad[2] + g.pad[3]) * g.cin, rows.start * g.stride.0);
    let (pitch, depth) = (kind.places(numbers), kind.places(g.kw * g.cin));
    let height = (rows.len() - 1) * g.stride.0 + (g.kh - 1) * g.dilation.0 + 1;
    with_buffer(height * pitch, |source| {
        with_buffer(numbers, |row| {
            for (y, out) in source.chunks_exact_mut(pitch.max(1)).enumerate() {
                if kind == Kind::Single {
                    write_row(g, x, n, first + y, out);
                } else {
                    write_row(g, x, n, first + y, row);
                    to_pairs(isa, kind, row, out);
                }
            }
        });
        let mut block = Block::new();
        // What a source points to goes on to the end of the buffer, for the rows below.
        let source = &*source;
        assert!(kind.places((g.out_w() - 1) * g.stride.1 * g.cin) + depth <= pitch);
        for columns in pieces(0..g.out_w(), tile_size(isa).0) {
            block.tile(columns.clone().map(|ox| ox * stride));
            for ky in 0..g.kh {
                let row = &source[ky * g.dilation.0 * pitch..];
                let at = |ox: usize| kind.places(ox * g.stride.1 * g.cin);
                block.tap(ky, columns.clone().map(|ox| row[at(ox)..].as_ptr()));
            }
        }
        let b = Panels { data, taps: g.kh, depth, cols: g.cout, chain, kind };
        let panels = 0..g.cout.div_ceil(tile_size(isa).1);
        for (i, oy) in rows.enumerate() {
            let target = target.from((n * g.out_h() + oy) * g.out_w() * stride);
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
