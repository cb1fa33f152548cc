//! Winograd's algorithm for kernels with stride 1: a tile of outputs from a tile of inputs by fewer multiplications.
//!
//! | Kernel | outputs | inputs | multiplications | directly |
//! |---|---|---|---|---|
//! | 3×3 | 4×4 | 6×6 | 36 | 144 |
//! | 5×5 | 2×2 | 6×6 | 36 | 100 |
//! | 1×3, 3×1 | 4 | 6 | 6 | 12 |
//! | 1×5, 5×1 | 4 | 8 | 8 | 20 |
//! | 1×7, 7×1 | 4 | 10 | 10 | 28 |
//!
//! Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A. The product ⊙, summed over the input channels, is one matrix product of [tiles][cin] and
//! [cin][cout] for each place of the inputs. The transforms, see [`super::winograd_points`], go over both directions of a square
//! tile, and over one of a row or column.
//!
//! Source: Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks"; Barabasz et al. 2018, "Error Analysis and
//! Improving the Accuracy of Winograd Convolution", on the points.

use super::Conv2d;
use super::winograd_line::{line_inputs, line_outputs};
use super::winograd_points::{EIGHT, Points, SIX, TEN, input_points, kernel_points, output_points};
use crate::gemm::blocks::{pieces, shared, tile_size};
use crate::gemm::pack::{pack, packed_len, with_buffer};
use crate::gemm::pairs::Kind;
use crate::gemm::store::{Target, activate, activate_short, load};
use crate::gemm::tile::{Block, CHAIN, Job, Panels, run};
use crate::gemm::{Epilogue, Mat};
use crate::isa::Isa;
use crate::numbers::{Numbers, Stored};
use crate::simd::Simd;
use crate::team::{each, each_chunk};
use std::ops::Range;

/// Outputs of a tile of 3×3 kernels, each way.
pub(super) const OUT: usize = 4;
/// Inputs of a square tile, each way.
pub(super) const IN: usize = 6;
/// Places of a square tile.
pub(super) const PLACES: usize = IN * IN;
/// Transformed numbers of a block of tiles that a task works on, with the products of a panel, about: they stay in the second-level
/// cache.
const BLOCK: usize = 144 * 1024;
/// Rows of tiles up to which all of them are one block.
const FEW: usize = 4;
/// Tiles in the time in which a number of the weight is transformed.
const TILES_PER_WEIGHT: usize = 100;
/// Blocks, or panels, that are enough to keep some cores busy; where tiles are few, half as many blocks do: each meets the whole weight.
const TASKS: usize = 8;

/// Outputs and inputs of a tile, vertically and horizontally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    out: (usize, usize),
    inputs: (usize, usize),
}

/// Of 3×3 kernels.
pub(super) const SQUARE: Form = Form { out: (OUT, OUT), inputs: (IN, IN) };

impl Form {
    /// That of a convolution, if it can be computed so.
    pub(super) fn of(g: &Conv2d) -> Option<Self> {
        let form = match (g.kh, g.kw) {
            (3, 3) => SQUARE,
            (5, 5) => Form { out: (2, 2), ..SQUARE },
            (1, 3 | 5 | 7) => Form { out: (1, OUT), inputs: (1, g.kw + OUT - 1) },
            (3 | 5 | 7, 1) => Form { out: (OUT, 1), inputs: (g.kh + OUT - 1, 1) },
            _ => return None,
        };
        ((g.stride, g.dilation, g.groups) == ((1, 1), (1, 1), 1) && g.cin > 0).then_some(form)
    }

    /// Places of a tile, each of which has a weight.
    pub(super) fn places(self) -> usize {
        self.inputs.0 * self.inputs.1
    }

    /// Tiles of an image, vertically and horizontally.
    pub(super) fn grid(self, g: &Conv2d) -> (usize, usize) {
        (g.out_h().div_ceil(self.out.0), g.out_w().div_ceil(self.out.1))
    }
}

/// The form of the gradient of the input, if it is faster so than by the direct sum in such places. Here the weight is transformed
/// each time, and what is computed is f32.
pub(super) fn backward_form(g: &Conv2d, kind: Kind) -> Option<Form> {
    let form = Form::of(g)?;
    let tiles = g.n * g.h.div_ceil(form.out.0) * g.w.div_ceil(form.out.1);
    // A quarter of the time for the transforms; pairs take half the time.
    let times = if kind == Kind::Single { 5 } else { 10 };
    let pays = g.pad[..2].iter().all(|&pad| pad < g.kh)
        && g.pad[2..].iter().all(|&pad| pad < g.kw)
        && g.cin.min(g.cout) >= 32
        && times * form.places() * (tiles + TILES_PER_WEIGHT) < 4 * g.kh * g.kw * g.n * g.h * g.w;
    pays.then_some(form)
}

/// Numbers that [`pack_weight`] writes.
pub(super) fn weight_len(isa: Isa, form: Form, g: &Conv2d) -> usize {
    packed_len(form.places(), g.cin, g.cout, tile_size(isa).1)
}

/// G of so many inputs of a tile.
fn weight_rows(inputs: usize, taps: usize) -> Vec<Vec<f64>> {
    match inputs {
        1 => vec![vec![1.0]],
        6 => SIX.weight_rows(taps),
        8 => EIGHT.weight_rows(taps),
        10 => TEN.weight_rows(taps),
        _ => unreachable!("no form has {inputs} inputs"),
    }
}

/// G g Gᵀ of every pair of channels, computed in f64, as panels with one tap per place.
pub(super) fn pack_weight(isa: Isa, form: Form, g: &Conv2d, w: &[f32], out: &mut [f32]) {
    let (left, right) = (weight_rows(form.inputs.0, g.kh), weight_rows(form.inputs.1, g.kw));
    // [place][cin][cout]
    let mut all = vec![0.0; form.places() * g.cin * g.cout];
    let mut half = vec![0.0; g.kw];
    for (o, w) in w.chunks_exact(g.kh * g.kw * g.cin).enumerate() {
        for c in 0..g.cin {
            for (i, left) in left.iter().enumerate() {
                for (x, half) in half.iter_mut().enumerate() {
                    let tap = |y: usize| f64::from(w[(y * g.kw + x) * g.cin + c]);
                    *half = left.iter().enumerate().map(|(y, factor)| factor * tap(y)).sum();
                }
                for (j, right) in right.iter().enumerate() {
                    let number: f64 = right.iter().zip(&half).map(|(factor, half)| factor * half).sum();
                    all[((i * form.inputs.1 + j) * g.cin + c) * g.cout + o] = number as f32;
                }
            }
        }
    }
    let places: Vec<_> =
        all.chunks_exact((g.cin * g.cout).max(1)).map(|place| Mat::new(place, g.cin, g.cout)).collect();
    pack(isa, false, &places, tile_size(isa).1, out);
}

/// See [`super::conv2d_backward_data`]: the convolution of dy with the kernel turned by half a circle, whose weight is
/// transformed for it.
///
/// # Safety
/// The target must have room for dx.
pub(super) unsafe fn backward_data(isa: Isa, form: Form, g: &Conv2d, dy: Numbers, w: &[f32], target: Target) {
    let [top, bottom, left, right] = g.pad;
    let pad = [g.kh - 1 - top, g.kh - 1 - bottom, g.kw - 1 - left, g.kw - 1 - right];
    let turned = Conv2d { h: g.out_h(), w: g.out_w(), cin: g.cout, cout: g.cin, pad, ..*g };
    with_buffer(weight_len(isa, form, &turned), |panels| {
        let size = form.places() * g.cout * tile_size(isa).1;
        each_chunk(panels, size, |panel, out| turn_weight(isa, form, g, w, panel, out));
        // SAFETY: the result of the turned convolution has the pixels of dx.
        unsafe { forward(isa, form, &turned, dy, g.cout, panels, target, g.cin) };
    });
}

/// One vector of input channels of the turned kernels of output channel `o`, for all places, `apart` apart.
#[inline(always)]
fn turn_square<S: Simd, const TAPS: usize>(s: S, kernel: [[S::V; TAPS]; TAPS], apart: usize, out: &mut [f32]) {
    let mut columns = [[s.zero(); IN]; TAPS];
    for (x, column) in columns.iter_mut().enumerate() {
        *column = kernel_points(s, &SIX, across(&kernel, x, s.zero()));
    }
    for i in 0..IN {
        let row: [S::V; IN] = kernel_points(s, &SIX, across(&columns, i, s.zero()));
        for (j, &number) in row.iter().enumerate() {
            s.store(&mut out[(i * IN + j) * apart..], number);
        }
    }
}

/// The same of a kernel of one row or column.
#[inline(always)]
fn turn_line<S: Simd, const P: usize, const IN: usize, const TAPS: usize>(
    s: S,
    points: &Points<P>,
    kernel: [[S::V; TAPS]; 1],
    apart: usize,
    out: &mut [f32],
) {
    let row: [S::V; IN] = kernel_points(s, points, kernel[0]);
    for (i, &number) in row.iter().enumerate() {
        s.store(&mut out[i * apart..], number);
    }
}

/// A vector of input channels of a kernel, from the last tap to the first.
#[inline(always)]
fn turned<S: Simd, const ROWS: usize, const COLS: usize>(
    s: S,
    w: &[f32],
    cin: usize,
    count: usize,
) -> [[S::V; COLS]; ROWS] {
    let mut kernel = [[s.zero(); COLS]; ROWS];
    for (y, row) in kernel.iter_mut().enumerate() {
        for (x, tap) in row.iter_mut().enumerate() {
            *tap = load(s, &w[(ROWS * COLS - 1 - y * COLS - x) * cin..][..count]);
        }
    }
    kernel
}

#[inline(always)]
fn turn_body<S: Simd>(s: S, form: Form, g: &Conv2d, w: &[f32], panel: usize, out: &mut [f32]) {
    let (width, taps) = (2 * S::LANES, g.kh * g.kw);
    let apart = g.cout * width;
    for (o, w) in w.chunks_exact(taps * g.cin).enumerate() {
        for half in 0..2 {
            let channel = (panel * width + half * S::LANES).min(g.cin);
            let (count, w) = (S::LANES.min(g.cin - channel), &w[channel..]);
            let out = &mut out[o * width + half * S::LANES..];
            match (form.inputs, taps) {
                ((IN, IN), 9) => turn_square::<S, 3>(s, turned(s, w, g.cin, count), apart, out),
                ((IN, IN), _) => turn_square::<S, 5>(s, turned(s, w, g.cin, count), apart, out),
                (_, 3) => turn_line::<S, 2, 6, 3>(s, &SIX, turned(s, w, g.cin, count), apart, out),
                (_, 5) => turn_line::<S, 3, 8, 5>(s, &EIGHT, turned(s, w, g.cin, count), apart, out),
                _ => turn_line::<S, 4, 10, 7>(s, &TEN, turned(s, w, g.cin, count), apart, out),
            }
        }
    }
}

dispatch!(
    /// G g Gᵀ of the kernels turned by half a circle, for the input channels of one panel: `[place][cout][width]`.
    fn turn_weight(form: Form, g: &Conv2d, w: &[f32], panel: usize, out: &mut [f32]) = turn_body
);

/// The tiles of a convolution, and where their numbers lie.
pub(super) struct Tiles<'a> {
    pub(super) g: &'a Conv2d,
    pub(super) form: Form,
    /// Tiles of an image, each way.
    pub(super) grid: (usize, usize),
    pub(super) x: Numbers<'a>,
    /// Distance from a pixel of x to the next.
    pub(super) stride: usize,
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
pub(super) struct Output<'a> {
    target: Target<'a>,
    stride: usize,
}

/// See [`super::conv2d_packed_mixed`], which has checked the sizes; `weight` comes from [`pack_weight`]. Pixels of x are `x_stride`
/// apart.
///
/// # Safety
/// The target must have room for all pixels.
pub(super) unsafe fn forward(
    isa: Isa,
    form: Form,
    g: &Conv2d,
    x: Numbers,
    x_stride: usize,
    weight: &[f32],
    target: Target,
    stride: usize,
) {
    let (grid, places) = (form.grid(g), form.places());
    // [tile][place][pitch]
    let (pitch, size) = (pitch(g.cin), places * pitch(g.cin));
    let product = Product { tiles: Tiles { g, form, grid, x, stride: x_stride, apart: (size, pitch) }, weight };
    let tiles = &product.tiles;
    let output = Output { target, stride };
    let (rows, width) = tile_size(isa);
    let (count, panels) = (g.n * grid.0 * grid.1, g.cout.div_ceil(width));
    if count >= FEW * rows {
        // Each block meets the whole weight: no more of them than the second cache and the cores ask for.
        let least = count.div_ceil((BLOCK / (size + places * width)).max(rows));
        let blocks = least.max((count / rows).min(TASKS) / 4 * 4);
        let blocks: Vec<_> = pieces(0..count, shared(count, count.div_ceil(blocks))).collect();
        return each(blocks.len(), |i| {
            let block = blocks[i].clone();
            with_buffer(block.len() * (size + places * width), |buffer| {
                let (v, products) = buffer.split_at_mut(block.len() * size);
                transform_inputs(isa, tiles, block.clone(), v);
                product.multiply(isa, block, v, products, 0..panels, output);
            });
        });
    }
    // Few tiles: the panels are cut instead, and all tasks see the same transformed input.
    with_buffer(count * size, |v| {
        each_chunk(v, 2 * size, |i, v| {
            transform_inputs(isa, tiles, 2 * i..2 * i + v.len() / size, v);
        });
        let (v, chunks) = (&*v, panels.min(TASKS));
        each(chunks, |i| {
            with_buffer(count * places * width, |products| {
                product.multiply(isa, 0..count, v, products, panels * i / chunks..panels * (i + 1) / chunks, output);
            });
        });
    });
}

impl Tiles<'_> {
    /// The image of a tile, and the row and column of its first output.
    pub(super) fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (rest, x) = (tile / self.grid.1, tile % self.grid.1);
        (rest / self.grid.0, rest % self.grid.0 * self.form.out.0, x * self.form.out.1)
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
        let (count, places) = (tiles.len(), self.tiles.form.places());
        let mut block = Block::new();
        for place in 0..places {
            for rows in pieces(0..count, tile_rows) {
                block.tile(rows.clone().map(|t| (place * count + t) * width));
                block.tap(place, rows.map(|t| v[t * size + place * pitch..][..cin].as_ptr()));
            }
        }
        assert!(products.len() >= places * count * width);
        for panel in panels {
            let data = &self.weight[panel * places * cin * width..][..places * cin * width];
            let b = Panels { data, taps: places, depth: cin, cols: width, chain: CHAIN, kind: Kind::Single };
            let target = Target { far: false, ..Target::new(products, false, Epilogue::NONE) };
            // SAFETY: the sources are slices of `cin` numbers, and the products are this task's own, of `width` numbers a row.
            run(isa, &unsafe { Job::new(&block, b, 0..1, target) });
            transform_outputs(isa, &self.tiles, tiles.clone(), products, panel * width, output);
        }
    }
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
        let row = input_points(s, &SIX, across(half, i, s.zero()));
        for (j, &number) in row.iter().enumerate() {
            // SAFETY: v has `PLACES` vectors that are `pitch` apart, checked above.
            unsafe { s.store_ptr(v.as_mut_ptr().add((i * IN + j) * pitch), number) };
        }
    }
}

#[inline(always)]
fn inputs_body<S: Simd>(s: S, tiles: &Tiles, which: Range<usize>, v: &mut [f32]) {
    match tiles.x {
        Numbers::F32(x) => inputs_of(s, tiles, x, which, v),
        Numbers::Bf16(x) => inputs_of(s, tiles, x, which, v),
    }
}

/// [`inputs_body`] of numbers that lie in one of their ways.
#[inline(always)]
fn inputs_of<S: Simd, X: Stored>(s: S, tiles: &Tiles, data: &[X], which: Range<usize>, v: &mut [f32]) {
    match tiles.form.inputs {
        (IN, IN) => square_inputs(s, tiles, data, which, v),
        (6, _) | (_, 6) => line_inputs::<S, X, 2, 6>(s, &SIX, tiles, data, which, v),
        (8, _) | (_, 8) => line_inputs::<S, X, 3, 8>(s, &EIGHT, tiles, data, which, v),
        _ => line_inputs::<S, X, 4, 10>(s, &TEN, tiles, data, which, v),
    }
}

#[inline(always)]
fn square_inputs<S: Simd, X: Stored>(s: S, tiles: &Tiles, numbers: &[X], which: Range<usize>, v: &mut [f32]) {
    let Tiles { g, stride, apart, .. } = tiles;
    let whole = g.cin / S::LANES * S::LANES;
    for (t, tile) in which.enumerate() {
        let v = &mut v[t * apart.0..];
        let (n, oy, ox) = tiles.place(tile);
        let (top, left) = (oy.wrapping_sub(g.pad[0]), ox.wrapping_sub(g.pad[2]));
        let inside = top < g.h && top + IN <= g.h && left < g.w && left + IN <= g.w;
        let mut first = 0;
        if inside {
            let (row, column) = (g.w * stride, *stride);
            let data = &numbers[((n * g.h + top) * g.w + left) * stride..][..(IN - 1) * (row + column) + g.cin];
            first = whole;
            for c in (0..whole).step_by(S::LANES) {
                let mut half = [[s.zero(); IN]; IN];
                for (j, half) in half.iter_mut().enumerate() {
                    let mut pixels = [s.zero(); IN];
                    for (i, pixel) in pixels.iter_mut().enumerate() {
                        // SAFETY: the last of the 6 x 6 pixels lies within the slice, and c + LANES within its channels.
                        *pixel = unsafe { X::load_ptr(s, data.as_ptr().add(i * row + j * column + c)) };
                    }
                    *half = input_points(s, &SIX, pixels);
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
                    .map(|(iy, ix)| &numbers[((n * g.h + iy) * g.w + ix) * stride..][..g.cin]);
            }
        }
        for c in (first..g.cin).step_by(S::LANES) {
            let mut half = [[s.zero(); IN]; IN];
            for (j, half) in half.iter_mut().enumerate() {
                let mut numbers = [s.zero(); IN];
                for (number, row) in numbers.iter_mut().zip(&pixels) {
                    if let Some(pixel) = row[j] {
                        *number = X::load(s, &pixel[c..]);
                    }
                }
                *half = input_points(s, &SIX, numbers);
            }
            store_places(s, &half, apart.1, &mut v[c..]);
        }
    }
}

dispatch!(
    /// Bᵀ d B of some tiles.
    pub(super) fn transform_inputs(tiles: &Tiles, which: Range<usize>, v: &mut [f32]) = inputs_body
);

/// The products of some tiles with one panel: `[place][tile][width]`.
pub(super) struct Products<'a> {
    numbers: &'a [f32],
    tiles: usize,
    /// The first of the columns of a vector.
    column: usize,
}

impl Products<'_> {
    /// One vector of tile `t` at a place.
    #[inline(always)]
    pub(super) fn at<S: Simd>(&self, s: S, place: usize, t: usize) -> S::V {
        s.load(&self.numbers[(place * self.tiles + t) * 2 * S::LANES + self.column..])
    }
}

/// Where one vector of channels of the outputs goes.
pub(super) struct Channels<'a, S: Simd> {
    output: Output<'a>,
    first: usize,
    count: usize,
    bias: S::V,
}

impl<S: Simd> Channels<'_, S> {
    /// Writes those of one pixel of the result.
    #[inline(always)]
    pub(super) fn write(&self, s: S, pixel: usize, sum: S::V) {
        let Target { c, accumulate, epilogue, bf16, residual: narrow, .. } = self.output.target;
        let at = pixel * self.output.stride + self.first;
        let mut v = s.add(sum, self.bias);
        if let Some(residual) = epilogue.residual {
            v = s.add(v, load(s, &residual[at..at + self.count]));
        }
        if let Some(residual) = narrow {
            v = s.add(v, s.load_bf16(&residual[at..at + self.count]));
        }
        if bf16 {
            // SAFETY: the caller has checked that the target has all channels of all pixels; no other task has these.
            let y = unsafe { std::slice::from_raw_parts_mut(c.cast::<u16>().add(at), self.count) };
            if accumulate {
                v = s.add(v, s.load_bf16(y));
            }
            return s.store_bf16(y, activate_short(s, epilogue.activation, v));
        }
        // SAFETY: as above.
        let y = unsafe { std::slice::from_raw_parts_mut(c.add(at), self.count) };
        if accumulate {
            v = s.add(v, load(s, y));
        }
        v = activate(s, epilogue.activation, v);
        if self.count == S::LANES {
            s.store(y, v);
        } else {
            s.store_partial(y, v);
        }
    }
}

#[inline(always)]
fn square_outputs<S: Simd, const N: usize>(
    s: S,
    tiles: &Tiles,
    products: &Products,
    which: Range<usize>,
    to: &Channels<S>,
) {
    let (height, width) = (tiles.g.out_h(), tiles.g.out_w());
    for (t, tile) in which.enumerate() {
        let (n, oy, ox) = tiles.place(tile);
        let mut half = [[s.zero(); N]; IN];
        for (j, half) in half.iter_mut().enumerate() {
            let mut numbers = [s.zero(); IN];
            for (i, number) in numbers.iter_mut().enumerate() {
                *number = products.at(s, i * IN + j, t);
            }
            *half = output_points(s, &SIX, numbers);
        }
        for i in 0..N.min(height - oy) {
            let row: [S::V; N] = output_points(s, &SIX, across(&half, i, s.zero()));
            for (j, &sum) in row[..N.min(width - ox)].iter().enumerate() {
                to.write(s, (n * height + oy + i) * width + ox + j, sum);
            }
        }
    }
}

#[inline(always)]
fn outputs_body<S: Simd>(s: S, tiles: &Tiles, which: Range<usize>, products: &[f32], column: usize, output: Output) {
    let cout = tiles.g.cout;
    for first in (column..cout.min(column + 2 * S::LANES)).step_by(S::LANES) {
        let count = S::LANES.min(cout - first);
        let bias = output.target.epilogue.bias.map_or(s.zero(), |bias| load(s, &bias[first..first + count]));
        let to = Channels::<S> { output, first, count, bias };
        let products = Products { numbers: products, tiles: which.len(), column: first - column };
        match (tiles.form.inputs, tiles.form.out) {
            ((IN, IN), (OUT, OUT)) => square_outputs::<S, OUT>(s, tiles, &products, which.clone(), &to),
            ((IN, IN), _) => square_outputs::<S, 2>(s, tiles, &products, which.clone(), &to),
            ((6, _) | (_, 6), _) => line_outputs::<S, 2, 6>(s, &SIX, tiles, &products, which.clone(), &to),
            ((8, _) | (_, 8), _) => line_outputs::<S, 3, 8>(s, &EIGHT, tiles, &products, which.clone(), &to),
            _ => line_outputs::<S, 4, 10>(s, &TEN, tiles, &products, which.clone(), &to),
        }
    }
}

dispatch!(
    /// Writes the outputs of some tiles, two vectors of channels from `column` on.
    fn transform_outputs(tiles: &Tiles, which: Range<usize>, products: &[f32], column: usize, output: Output) = outputs_body
);
