//! Winograd's F(4×4, 3×3): a tile of 4×4 outputs of a 3×3 convolution with stride 1 from 6×6 inputs by 36 multiplications
//! instead of 144.
//!
//! Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A. The product ⊙, summed over the input channels, is 36 matrix products, one for each place of
//! the 6×6, of [tiles][cin] and [cin][cout]. The transforms evaluate polynomials at 0, ±a, ±b and ∞, where a = 5/8 and
//! b = 3/2: with 0, ±1, ±2 as in the paper rounding grows several times more.
//!
//! Source: Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks"; the points are those that Barabasz et
//! al. 2018, "Error Analysis and Improving the Accuracy of Winograd Convolution", find among the best.

use super::{Conv2d, Pixels};
use crate::gemm::blocks::{pieces, shared, tile_size};
use crate::gemm::pack::{pack, packed_len, with_buffer};
use crate::gemm::pairs::Kind;
use crate::gemm::tile::{Block, CHAIN, Job, Panels, Target, activate, load, run};
use crate::gemm::{Epilogue, Mat};
use crate::isa::Isa;
use crate::simd::Simd;
use rayon::prelude::*;
use std::ops::Range;

/// Outputs of a tile, each way.
pub(super) const OUT: usize = 4;
/// Inputs of a tile, each way.
pub(super) const IN: usize = 6;
/// Places of a tile.
pub(super) const PLACES: usize = IN * IN;
/// The points.
pub(super) const A: f64 = 0.625;
pub(super) const B: f64 = 1.5;
/// Transformed numbers of a block of tiles that a task works on, about: they stay in the second-level cache.
const BLOCK: usize = 192 * 1024;
/// Rows of tiles up to which all of them are one block.
const FEW: usize = 4;
/// Tiles in the time in which a number of the weight is transformed.
const TILES_PER_WEIGHT: usize = 100;
/// Blocks that are enough to keep some cores busy.
const TASKS: usize = 8;

/// Can it be computed so?
pub(super) fn supports(g: &Conv2d) -> bool {
    (g.kh, g.kw, g.stride, g.dilation, g.groups) == (3, 3, (1, 1), (1, 1), 1) && g.cin > 0
}

/// Is the gradient of the input faster so than by the direct sum in such places? Here the weight is transformed each time, and
/// what is computed is f32.
pub(super) fn pays_backward(g: &Conv2d, kind: Kind) -> bool {
    let tiles = g.n * g.h.div_ceil(OUT) * g.w.div_ceil(OUT);
    // Pairs take half the time.
    let times = if kind == Kind::Single { 5 } else { 10 };
    supports(g)
        && g.pad.iter().all(|&pad| pad <= 2)
        && g.cin.min(g.cout) >= 32
        && times * (tiles + TILES_PER_WEIGHT) < g.n * g.h * g.w
}

/// Numbers that [`pack_weight`] writes.
pub(super) fn weight_len(isa: Isa, g: &Conv2d) -> usize {
    packed_len(PLACES, g.cin, g.cout, tile_size(isa).1)
}

/// G g Gᵀ of every pair of channels, computed in f64, as panels with one tap per place.
pub(super) fn pack_weight(isa: Isa, g: &Conv2d, w: &[f32], out: &mut [f32]) {
    let (na, nb) = (2.0 * A * A * (A * A - B * B), 2.0 * B * B * (B * B - A * A));
    // Row p of G is 1, p, p² over the product of the distances of p to the other points.
    let row = |p: f64, n: f64| [1.0 / n, p / n, p * p / n];
    let matrix: [[f64; 3]; IN] =
        [row(0.0, A * A * B * B), row(A, na), row(-A, na), row(B, nb), row(-B, nb), [0.0, 0.0, 1.0]];
    // [place][cin][cout]
    let mut all = vec![0.0; PLACES * g.cin * g.cout];
    for (o, w) in w.chunks_exact(9 * g.cin).enumerate() {
        for c in 0..g.cin {
            let tap = |y: usize, x: usize| f64::from(w[(y * 3 + x) * g.cin + c]);
            let dot = |row: &[f64; 3], f: &dyn Fn(usize) -> f64| row[0] * f(0) + row[1] * f(1) + row[2] * f(2);
            for (i, left) in matrix.iter().enumerate() {
                let half = [0, 1, 2].map(|x| dot(left, &|y| tap(y, x)));
                for (j, right) in matrix.iter().enumerate() {
                    all[((i * IN + j) * g.cin + c) * g.cout + o] = dot(right, &|x| half[x]) as f32;
                }
            }
        }
    }
    let places: Vec<_> =
        all.chunks_exact((g.cin * g.cout).max(1)).map(|place| Mat::new(place, g.cin, g.cout)).collect();
    pack(false, &places, tile_size(isa).1, out);
}

/// See [`super::conv2d_backward_data`]: the convolution of dy with the kernel turned by half a circle, whose weight is
/// transformed for it.
pub(super) fn backward_data(isa: Isa, g: &Conv2d, dy: &[f32], w: &[f32], dx: &mut [f32], accumulate: bool) {
    let pad = g.pad.map(|pad| 2 - pad);
    let turned = Conv2d { h: g.out_h(), w: g.out_w(), cin: g.cout, cout: g.cin, pad, ..*g };
    with_buffer(weight_len(isa, &turned), |panels| {
        let size = PLACES * g.cout * tile_size(isa).1;
        panels.par_chunks_mut(size).enumerate().for_each(|(panel, out)| turn_weight(isa, g, w, panel, out));
        forward(isa, &turned, Pixels::dense(dy, g.cout), panels, dx, g.cin, accumulate, Epilogue::NONE);
    });
}

/// G g of one column or row.
#[inline(always)]
fn weight_points<S: Simd>(s: S, g: [S::V; 3]) -> [S::V; IN] {
    let (aa, bb) = (A * A, B * B);
    let [zero, a, b] = [1.0 / (aa * bb), 0.5 / (aa * (aa - bb)), 0.5 / (bb * (bb - aa))].map(|n| s.splat(n as f32));
    let a_even = s.mul(a, s.mul_add(s.splat(aa as f32), g[2], g[0]));
    let b_even = s.mul(b, s.mul_add(s.splat(bb as f32), g[2], g[0]));
    let (a_odd, b_odd) = (s.mul(s.mul(a, s.splat(A as f32)), g[1]), s.mul(s.mul(b, s.splat(B as f32)), g[1]));
    [s.mul(zero, g[0]), s.add(a_even, a_odd), s.sub(a_even, a_odd), s.add(b_even, b_odd), s.sub(b_even, b_odd), g[2]]
}

#[inline(always)]
fn turn_body<S: Simd>(s: S, g: &Conv2d, w: &[f32], panel: usize, out: &mut [f32]) {
    let width = 2 * S::LANES;
    assert!(out.len() >= PLACES * g.cout * width && w.len() >= g.cout * 9 * g.cin);
    for (o, w) in w.chunks_exact(9 * g.cin).enumerate() {
        for half in 0..2 {
            let channel = (panel * width + half * S::LANES).min(g.cin);
            let channels = S::LANES.min(g.cin - channel);
            let mut columns = [[s.zero(); IN]; 3];
            for (x, column) in columns.iter_mut().enumerate() {
                let mut taps = [s.zero(); 3];
                for (y, tap) in taps.iter_mut().enumerate() {
                    // From the last tap to the first.
                    *tap = load(s, &w[(8 - 3 * y - x) * g.cin + channel..][..channels]);
                }
                *column = weight_points(s, taps);
            }
            for i in 0..IN {
                let row = weight_points(s, across(&columns, i, s.zero()));
                for (j, &number) in row.iter().enumerate() {
                    let at = ((i * IN + j) * g.cout + o) * width + half * S::LANES;
                    // SAFETY: `out` has two vectors for each place and each o, checked above.
                    unsafe { s.store_ptr(out.as_mut_ptr().add(at), number) };
                }
            }
        }
    }
}

dispatch!(
    /// G g Gᵀ of the kernels turned by half a circle, for the input channels of one panel: `[place][cout][width]`.
    fn turn_weight(g: &Conv2d, w: &[f32], panel: usize, out: &mut [f32]) = turn_body
);

/// The tiles of a convolution, and where their numbers lie.
pub(super) struct Tiles<'a> {
    pub(super) g: &'a Conv2d,
    /// Tiles of an image, each way.
    pub(super) grid: (usize, usize),
    pub(super) x: Pixels<'a>,
    /// Distance of tiles and of places in the transformed input.
    pub(super) apart: (usize, usize),
}

/// Distance of rows of so many numbers: an odd number of cache lines.
pub(super) fn pitch(numbers: usize) -> usize {
    (numbers.div_ceil(16) | 1) * 16
}

/// What tiles of inputs meet.
struct Product<'a> {
    tiles: Tiles<'a>,
    weight: &'a [f32],
}

/// Where the result goes.
#[derive(Clone, Copy)]
struct Output<'a> {
    y: *mut f32,
    stride: usize,
    /// Add to what is there?
    accumulate: bool,
    epilogue: Epilogue<'a, f32>,
}
// SAFETY: tasks write to different pixels or channels through it.
unsafe impl Send for Output<'_> {}
// SAFETY: as above.
unsafe impl Sync for Output<'_> {}

/// See [`super::conv2d_packed`], which has checked the sizes; `weight` comes from [`pack_weight`].
pub(super) fn forward(
    isa: Isa,
    g: &Conv2d,
    x: Pixels,
    weight: &[f32],
    y: &mut [f32],
    stride: usize,
    accumulate: bool,
    epilogue: Epilogue<f32>,
) {
    let grid = (g.out_h().div_ceil(OUT), g.out_w().div_ceil(OUT));
    // [tile][place][pitch]
    let (pitch, size) = (pitch(g.cin), PLACES * pitch(g.cin));
    let product = Product { tiles: Tiles { g, grid, x, apart: (size, pitch) }, weight };
    let tiles = &product.tiles;
    let output = Output { y: y.as_mut_ptr(), stride, accumulate, epilogue };
    let (rows, width) = tile_size(isa);
    let (count, panels) = (g.n * grid.0 * grid.1, g.cout.div_ceil(width));
    if count >= FEW * rows {
        let most = (BLOCK / size).min(count / TASKS).max(rows) / rows * rows;
        return pieces(0..count, shared(count, most)).collect::<Vec<_>>().into_par_iter().with_max_len(1).for_each(
            |block| {
                with_buffer(block.len() * (size + PLACES * width), |buffer| {
                    let (v, products) = buffer.split_at_mut(block.len() * size);
                    transform_inputs(isa, tiles, block.clone(), v);
                    product.multiply(isa, block, v, products, 0..panels, output);
                });
            },
        );
    }
    // Few tiles: the panels are cut instead, and all tasks see the same transformed input.
    with_buffer(count * size, |v| {
        v.par_chunks_mut(2 * size).enumerate().for_each(|(i, v)| {
            transform_inputs(isa, tiles, 2 * i..2 * i + v.len() / size, v);
        });
        let (v, chunks) = (&*v, panels.min(TASKS));
        (0..chunks).into_par_iter().with_max_len(1).for_each(|i| {
            with_buffer(count * PLACES * width, |products| {
                product.multiply(isa, 0..count, v, products, panels * i / chunks..panels * (i + 1) / chunks, output);
            });
        });
    });
}

impl Tiles<'_> {
    /// The image of a tile, and the row and column of its first output.
    pub(super) fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (rest, x) = (tile / self.grid.1, tile % self.grid.1);
        (rest / self.grid.0, rest % self.grid.0 * OUT, x * OUT)
    }
}

impl Product<'_> {
    /// The outputs of some tiles in the columns of some panels. `v` holds the transformed inputs of the tiles, `products` is
    /// room for one panel, `[place][tile][width]`.
    fn multiply(
        &self,
        isa: Isa,
        tiles: Range<usize>,
        v: &[f32],
        products: &mut [f32],
        panels: Range<usize>,
        output: Output,
    ) {
        let (tile_rows, width) = tile_size(isa);
        let (cin, (size, pitch)) = (self.tiles.g.cin, self.tiles.apart);
        let count = tiles.len();
        let mut block = Block::default();
        for place in 0..PLACES {
            for rows in pieces(0..count, tile_rows) {
                block.tile(rows.clone().map(|t| (place * count + t) * width));
                block.tap(place, rows.map(|t| v[t * size + place * pitch..][..cin].as_ptr()));
            }
        }
        assert!(products.len() >= PLACES * count * width);
        for panel in panels {
            let data = &self.weight[panel * PLACES * cin * width..][..PLACES * cin * width];
            let b = Panels { data, taps: PLACES, depth: cin, cols: width, chain: CHAIN, kind: Kind::Single };
            let target = Target { far: false, ..Target::new(products, false, Epilogue::NONE) };
            // SAFETY: the sources are slices of `cin` numbers, and the products are this task's own, of `width` numbers a row.
            run(isa, &unsafe { Job::new(&block, b, 0..1, target) });
            transform_outputs(isa, &self.tiles, tiles.clone(), products, panel * width, output);
        }
    }
}

/// Bᵀ d of one column or row.
#[inline(always)]
fn input_points<S: Simd>(s: S, d: [S::V; IN]) -> [S::V; IN] {
    let (aa, bb) = (s.splat((A * A) as f32), s.splat((B * B) as f32));
    let (sum, product) = (s.splat((A * A + B * B) as f32), s.splat((A * A * B * B) as f32));
    // At ±a: d4 - b² d2 ± a (d3 - b² d1); at ±b with a and b changed.
    let (a_even, a_odd) = (s.sub(d[4], s.mul(bb, d[2])), s.mul(s.splat(A as f32), s.sub(d[3], s.mul(bb, d[1]))));
    let (b_even, b_odd) = (s.sub(d[4], s.mul(aa, d[2])), s.mul(s.splat(B as f32), s.sub(d[3], s.mul(aa, d[1]))));
    let zero = s.add(d[4], s.sub(s.mul(product, d[0]), s.mul(sum, d[2])));
    let infinity = s.add(d[5], s.sub(s.mul(product, d[1]), s.mul(sum, d[3])));
    [zero, s.add(a_even, a_odd), s.sub(a_even, a_odd), s.add(b_even, b_odd), s.sub(b_even, b_odd), infinity]
}

/// Aᵀ m of one column or row.
#[inline(always)]
fn output_points<S: Simd>(s: S, m: [S::V; IN]) -> [S::V; OUT] {
    let [a1, a2, a3] = [s.splat(A as f32), s.splat((A * A) as f32), s.splat((A * A * A) as f32)];
    let [b1, b2, b3] = [s.splat(B as f32), s.splat((B * B) as f32), s.splat((B * B * B) as f32)];
    let (a_sum, a_difference) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (b_sum, b_difference) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    [
        s.add(m[0], s.add(a_sum, b_sum)),
        s.mul_add(a1, a_difference, s.mul(b1, b_difference)),
        s.mul_add(a2, a_sum, s.mul(b2, b_sum)),
        s.add(m[5], s.mul_add(a3, a_difference, s.mul(b3, b_difference))),
    ]
}

/// One number of each place of a row.
///
/// Plain loops: what takes a closure may be compiled apart, without the instruction set.
#[inline(always)]
pub(super) fn across<V: Copy, const N: usize, const M: usize>(columns: &[[V; N]; M], i: usize, zero: V) -> [V; M] {
    let mut row = [zero; M];
    for (row, column) in row.iter_mut().zip(columns) {
        *row = column[i];
    }
    row
}

/// The second half of Bᵀ d B, from its first half by columns, for one vector of channels.
#[inline(always)]
fn store_places<S: Simd>(s: S, half: &[[S::V; IN]; IN], pitch: usize, v: &mut [f32]) {
    assert!(v.len() >= (PLACES - 1) * pitch + S::LANES);
    for i in 0..IN {
        let row = input_points(s, across(half, i, s.zero()));
        for (j, &number) in row.iter().enumerate() {
            // SAFETY: v has `PLACES` vectors that are `pitch` apart, checked above.
            unsafe { s.store_ptr(v.as_mut_ptr().add((i * IN + j) * pitch), number) };
        }
    }
}

#[inline(always)]
fn inputs_body<S: Simd>(s: S, tiles: &Tiles, which: Range<usize>, v: &mut [f32]) {
    let Tiles { g, x, apart, .. } = tiles;
    let whole = g.cin / S::LANES * S::LANES;
    for (t, tile) in which.enumerate() {
        let v = &mut v[t * apart.0..];
        let (n, oy, ox) = tiles.place(tile);
        let (top, left) = (oy.wrapping_sub(g.pad[0]), ox.wrapping_sub(g.pad[2]));
        let inside = top < g.h && top + IN <= g.h && left < g.w && left + IN <= g.w;
        let mut first = 0;
        if inside {
            let (row, column) = (g.w * x.stride, x.stride);
            let data = &x.data[((n * g.h + top) * g.w + left) * x.stride..][..(IN - 1) * (row + column) + g.cin];
            first = whole;
            for c in (0..whole).step_by(S::LANES) {
                let mut half = [[s.zero(); IN]; IN];
                for (j, half) in half.iter_mut().enumerate() {
                    let mut pixels = [s.zero(); IN];
                    for (i, pixel) in pixels.iter_mut().enumerate() {
                        // SAFETY: the last of the 6 x 6 pixels lies within the slice, and c + LANES within its channels.
                        *pixel = unsafe { s.load_ptr(data.as_ptr().add(i * row + j * column + c)) };
                    }
                    *half = input_points(s, pixels);
                }
                store_places(s, &half, apart.1, &mut v[c..]);
            }
        }
        if first == g.cin {
            continue;
        }
        // First numbers of the 6 x 6 pixels, where there are any.
        let mut pixels = [[None; IN]; IN];
        for (y, row) in pixels.iter_mut().enumerate() {
            for (x_, pixel) in row.iter_mut().enumerate() {
                *pixel = g
                    .source(oy + y, ox + x_, 0, 0)
                    .map(|(iy, ix)| &x.data[((n * g.h + iy) * g.w + ix) * x.stride..][..g.cin]);
            }
        }
        for c in (first..g.cin).step_by(S::LANES) {
            let mut half = [[s.zero(); IN]; IN];
            for (j, half) in half.iter_mut().enumerate() {
                let mut numbers = [s.zero(); IN];
                for (number, row) in numbers.iter_mut().zip(&pixels) {
                    if let Some(pixel) = row[j] {
                        *number = load(s, &pixel[c..]);
                    }
                }
                *half = input_points(s, numbers);
            }
            store_places(s, &half, apart.1, &mut v[c..]);
        }
    }
}

dispatch!(
    /// Bᵀ d B of some tiles.
    pub(super) fn transform_inputs(tiles: &Tiles, which: Range<usize>, v: &mut [f32]) = inputs_body
);

#[inline(always)]
fn outputs_body<S: Simd>(s: S, tiles: &Tiles, which: Range<usize>, products: &[f32], column: usize, output: Output) {
    let g = tiles.g;
    let (height, width) = (g.out_h(), g.out_w());
    let Epilogue { bias, residual, activation } = output.epilogue;
    let (count, cols) = (which.len(), 2 * S::LANES);
    assert!(products.len() >= PLACES * count * cols);
    for first in (column..g.cout.min(column + cols)).step_by(S::LANES) {
        let channels = S::LANES.min(g.cout - first);
        let bias = bias.map_or(s.zero(), |bias| load(s, &bias[first..first + channels]));
        for (t, tile) in which.clone().enumerate() {
            let (n, oy, ox) = tiles.place(tile);
            let mut half = [[s.zero(); OUT]; IN];
            for (j, half) in half.iter_mut().enumerate() {
                let mut numbers = [s.zero(); IN];
                for (i, number) in numbers.iter_mut().enumerate() {
                    // SAFETY: the products have `PLACES` times `count` rows of two vectors, checked above.
                    *number = unsafe {
                        s.load_ptr(products.as_ptr().add(((i * IN + j) * count + t) * cols + first - column))
                    };
                }
                *half = output_points(s, numbers);
            }
            for i in 0..OUT.min(height - oy) {
                let row = output_points(s, across(&half, i, s.zero()));
                for (j, &sum) in row[..OUT.min(width - ox)].iter().enumerate() {
                    let at = ((n * height + oy + i) * width + ox + j) * output.stride + first;
                    let mut v = s.add(sum, bias);
                    // SAFETY: the caller has checked that y has all channels of all pixels; no other task has these.
                    let y = unsafe { std::slice::from_raw_parts_mut(output.y.add(at), channels) };
                    if output.accumulate {
                        v = s.add(v, load(s, y));
                    }
                    if let Some(residual) = residual {
                        v = s.add(v, load(s, &residual[at..at + channels]));
                    }
                    v = activate(s, activation, v);
                    if channels == S::LANES {
                        s.store(y, v);
                    } else {
                        s.store_partial(y, v);
                    }
                }
            }
        }
    }
}

dispatch!(
    /// Writes the outputs of some tiles, two vectors of channels from `column` on.
    fn transform_outputs(tiles: &Tiles, which: Range<usize>, products: &[f32], column: usize, output: Output) = outputs_body
);
