//! The gradient of a 3×3 kernel by Winograd's algorithm, turned round: a tile of 4×4 gradients of outputs and 6×6 inputs give
//! their part by 36 multiplications instead of 144.
//!
//! Of Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A the gradient by g is Gᵀ[(A dY Aᵀ) ⊙ (Bᵀ d B)]G. The product ⊙, summed over all tiles, is 36 sums
//! of outer products, one for each place of the 6×6; Gᵀ and G come once, at the end.

use super::Conv2d;
use super::winograd::{Form, IN, OUT, PLACES, SQUARE, Tiles, across, pitch, transform_inputs};
use super::winograd_points::SIX;
use crate::gemm::blocks::pieces;
use crate::gemm::outer::{Factor, Meeting, Outer, outer};
use crate::gemm::pack::with_buffer;
use crate::gemm::pairs::Kind;
use crate::gemm::store::load;
use crate::isa::Isa;
use crate::numbers::{Numbers, Stored};
use crate::simd::Simd;
use crate::team::each_chunk;
use std::ops::Range;

/// Numbers of the sums, about.
const BUFFER: usize = 4 * 1024 * 1024;
/// Numbers of the transformed tiles of a chunk, about: what the second-level caches of some cores hold.
const CHUNK: usize = 1024 * 1024;
/// Tiles that one task transforms, and whose outer products are summed in registers.
const BLOCK: usize = 64;
/// Tiles in the time that the last transform takes for a pair of channels.
const TILES_PER_WEIGHT: usize = 40;
/// Least height and width of the output. Smaller ones gain as well, down to 14, but their gradients round twice as much, and
/// 200 photos of 160 pixels were learned worse by a hundredth of the accuracy.
const SIDE: usize = 56;

/// Is the gradient faster so?
pub(super) fn pays(g: &Conv2d, kind: Kind) -> bool {
    // Pairs take half the time.
    let times = if kind == Kind::Single { 5 } else { 10 };
    let (outputs, tiles) = (g.n * g.out_h() * g.out_w(), g.n * g.out_h().div_ceil(OUT) * g.out_w().div_ceil(OUT));
    Form::of(g) == Some(SQUARE)
        && g.out_h().min(g.out_w()) >= SIDE
        && g.cin.min(g.cout) >= 32
        && times * (tiles + TILES_PER_WEIGHT) < outputs
}

/// See [`super::conv2d_backward_weight`].
pub(super) fn backward_weight(isa: Isa, g: &Conv2d, x: Numbers, dy: Numbers, dw: &mut [f32]) {
    let most = (BUFFER / (PLACES * g.cin)).clamp(1, g.cout);
    for outputs in pieces(0..g.cout, most) {
        let dw = &mut dw[outputs.start * 9 * g.cin..outputs.end * 9 * g.cin];
        some_outputs(isa, g, x, dy, outputs, dw);
    }
}

/// The gradient of the kernels of some output channels.
fn some_outputs(isa: Isa, g: &Conv2d, x: Numbers, dy: Numbers, outputs: Range<usize>, dw: &mut [f32]) {
    let grid = (g.out_h().div_ceil(OUT), g.out_w().div_ceil(OUT));
    let (count, cout) = (g.n * grid.0 * grid.1, outputs.len());
    let (right, left) = (pitch(g.cin), pitch(cout));
    // Of a block `[place][tile][right]`, then `[place][tile][left]`.
    let size = PLACES * BLOCK * (right + left);
    let blocks = (CHUNK / size).max(2).min(count.div_ceil(BLOCK));
    // [place][output][input]
    with_buffer(PLACES * cout * g.cin, |sums| {
        with_buffer(blocks * size, |buffer| {
            for first in (0..count).step_by(blocks * BLOCK) {
                let tiles = |i: usize| (first + i * BLOCK).min(count)..(first + (i + 1) * BLOCK).min(count);
                each_chunk(buffer, size, |i, buffer| {
                    let (v, u) = buffer.split_at_mut(PLACES * BLOCK * right);
                    let input = Tiles { g, form: SQUARE, grid, x, stride: g.cin, apart: (right, BLOCK * right) };
                    transform_inputs(isa, &input, tiles(i), v);
                    let gradient = Tiles { x: dy, stride: g.cout, apart: (left, BLOCK * left), ..input };
                    transform_gradients(isa, &gradient, tiles(i), outputs.clone(), u);
                });
                each_chunk(sums, cout * g.cin, |place, sum| {
                    for (i, buffer) in buffer.chunks_exact(size).enumerate() {
                        let (v, u) = buffer.split_at(PLACES * BLOCK * right);
                        let meeting = |block: Range<usize>| Meeting {
                            pairs: vec![(0..block.len() as u32).map(|t| (t, t)).collect()],
                            right: block.collect(),
                        };
                        let rows = |data, pitch, len| Factor { data: Numbers::F32(data), pitch, len };
                        let product = Outer {
                            kind: Kind::Single,
                            left: rows(&u[place * BLOCK * left..], left, cout),
                            right: rows(&v[place * BLOCK * right..], right, g.cin),
                            depth: tiles(i).len(),
                            right_rows: tiles(i).len(),
                            taps: 1,
                            row_stride: g.cin,
                            accumulate: first + i > 0,
                        };
                        outer(isa, true, product, sum, meeting);
                    }
                });
            }
        });
        let sums = &*sums;
        each_chunk(dw, 9 * g.cin, |o, dw| {
            transform_sums(isa, &sums[o * g.cin..], cout * g.cin, g.cin, dw);
        });
    });
}

/// A dY of one column or row.
#[inline(always)]
fn gradient_points<S: Simd>(s: S, d: [S::V; OUT]) -> [S::V; IN] {
    let [a, b] = SIX.points;
    let [a1, a2, a3] = [s.splat(a as f32), s.splat((a * a) as f32), s.splat((a * a * a) as f32)];
    let [b1, b2, b3] = [s.splat(b as f32), s.splat((b * b) as f32), s.splat((b * b * b) as f32)];
    let (a_even, a_odd) = (s.mul_add(a2, d[2], d[0]), s.mul_add(a1, d[1], s.mul(a3, d[3])));
    let (b_even, b_odd) = (s.mul_add(b2, d[2], d[0]), s.mul_add(b1, d[1], s.mul(b3, d[3])));
    [d[0], s.add(a_even, a_odd), s.sub(a_even, a_odd), s.add(b_even, b_odd), s.sub(b_even, b_odd), d[3]]
}

#[inline(always)]
fn gradients_body<S: Simd>(s: S, tiles: &Tiles, which: Range<usize>, outputs: Range<usize>, u: &mut [f32]) {
    match tiles.x {
        Numbers::F32(dy) => gradients_of(s, tiles, dy, which, outputs, u),
        Numbers::Bf16(dy) => gradients_of(s, tiles, dy, which, outputs, u),
    }
}

/// [`gradients_body`] of numbers that lie in one of their ways.
#[inline(always)]
fn gradients_of<S: Simd, X: Stored>(
    s: S,
    tiles: &Tiles,
    dy: &[X],
    which: Range<usize>,
    outputs: Range<usize>,
    u: &mut [f32],
) {
    let (g, (tile_pitch, place_pitch)) = (tiles.g, tiles.apart);
    let (height, width) = (g.out_h(), g.out_w());
    for (t, tile) in which.enumerate() {
        let (n, oy, ox) = tiles.place(tile);
        let mut pixels = [[None; OUT]; OUT];
        for (y, row) in pixels.iter_mut().enumerate().take(height - oy) {
            for (x, pixel) in row.iter_mut().enumerate().take(width - ox) {
                let at = ((n * height + oy + y) * width + ox + x) * tiles.stride;
                *pixel = Some(&dy[at..][outputs.clone()]);
            }
        }
        let u = &mut u[t * tile_pitch..];
        for c in (0..outputs.len()).step_by(S::LANES) {
            let mut half = [[s.zero(); IN]; OUT];
            for (j, half) in half.iter_mut().enumerate() {
                let mut numbers = [s.zero(); OUT];
                for (number, row) in numbers.iter_mut().zip(&pixels) {
                    if let Some(pixel) = row[j] {
                        *number = X::load(s, &pixel[c..]);
                    }
                }
                *half = gradient_points(s, numbers);
            }
            let u = &mut u[c..];
            assert!(u.len() >= (PLACES - 1) * place_pitch + S::LANES);
            for i in 0..IN {
                let row = gradient_points(s, across(&half, i, s.zero()));
                for (j, &number) in row.iter().enumerate() {
                    // SAFETY: u has `PLACES` vectors that are `place_pitch` apart, checked above.
                    unsafe { s.store_ptr(u.as_mut_ptr().add((i * IN + j) * place_pitch), number) };
                }
            }
        }
    }
}

dispatch!(
    /// A dY Aᵀ of some tiles, for some output channels.
    fn transform_gradients(tiles: &Tiles, which: Range<usize>, outputs: Range<usize>, u: &mut [f32]) = gradients_body
);

/// Gᵀ m of one column or row.
#[inline(always)]
fn kernel_points<S: Simd>(s: S, m: [S::V; IN]) -> [S::V; 3] {
    let [a, b] = SIX.points;
    let (aa, bb) = (a * a, b * b);
    let (na, nb) = (0.5 / (aa * (aa - bb)), 0.5 / (bb * (bb - aa)));
    let constant = |x: f64| s.splat(x as f32);
    let (a_sum, a_difference) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (b_sum, b_difference) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    let zeroth = s.mul_add(constant(na), a_sum, s.mul(constant(nb), b_sum));
    let second = s.mul_add(constant(na * aa), a_sum, s.mul(constant(nb * bb), b_sum));
    [
        s.mul_add(constant(1.0 / (aa * bb)), m[0], zeroth),
        s.mul_add(constant(na * a), a_difference, s.mul(constant(nb * b), b_difference)),
        s.add(m[5], second),
    ]
}

#[inline(always)]
fn sums_body<S: Simd>(s: S, sums: &[f32], apart: usize, cin: usize, dw: &mut [f32]) {
    for c in (0..cin).step_by(S::LANES) {
        let channels = S::LANES.min(cin - c);
        let mut half = [[s.zero(); 3]; IN];
        for (j, half) in half.iter_mut().enumerate() {
            let mut numbers = [s.zero(); IN];
            for (i, number) in numbers.iter_mut().enumerate() {
                *number = load(s, &sums[(i * IN + j) * apart + c..][..channels]);
            }
            *half = kernel_points(s, numbers);
        }
        for y in 0..3 {
            let row = kernel_points(s, across(&half, y, s.zero()));
            for (x, &number) in row.iter().enumerate() {
                let dw = &mut dw[(y * 3 + x) * cin + c..][..channels];
                if channels == S::LANES {
                    s.store(dw, number);
                } else {
                    s.store_partial(dw, number);
                }
            }
        }
    }
}

dispatch!(
    /// Gᵀ M G for the input channels of one output channel, whose places are `apart`: `[3][3][cin]`.
    fn transform_sums(sums: &[f32], apart: usize, cin: usize, dw: &mut [f32]) = sums_body
);
