//! How a convolution visits its source: the addresses that make it a matrix product without a matrix of patches.

use super::Conv2d;
use crate::gemm::CLASH;
use crate::gemm::blocks::pieces;
use crate::gemm::quads::Quantum;
use crate::gemm::tile::{Block, MAX_ROWS};
use std::mem::take;
use std::ops::Range;

/// An image in channels-last memory, or some of its channels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Image {
    /// Height.
    pub(crate) h: usize,
    /// Width.
    pub(crate) w: usize,
    /// Channels of a pixel in memory.
    pub(crate) channels: usize,
    /// The first channel that takes part.
    pub(crate) first: usize,
}

impl Image {
    /// The place of pixel (y, x) of image n.
    fn place(&self, n: usize, y: usize, x: usize) -> usize {
        ((n * self.h + y) * self.w + x) * self.channels + self.first
    }
}

/// A grid of pixels of the result, and what each of them sees of the source: pixel (y, x) of the grid sees, at each tap
/// (ty, tx), source pixel (y * step.0 + ty, x * step.1 + tx), and is pixel (y * out_step.0 + out_first.0, ...) of the
/// result.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    /// Number of images.
    pub(crate) images: usize,
    /// Height and width of the grid.
    pub(crate) grid: (usize, usize),
    /// Pixels of the source from one of the grid to the next.
    pub(crate) step: (usize, usize),
    /// What a pixel of the grid sees.
    pub(crate) taps: Vec<(isize, isize)>,
    /// Numbers that are read from a source pixel on.
    pub(crate) depth: usize,
    /// Where the numbers come from.
    pub(crate) source: Image,
    /// Where the result goes.
    pub(crate) out: Image,
    /// Pixels of the result from one of the grid to the next.
    pub(crate) out_step: (usize, usize),
    /// Pixel of the result that is (0, 0) of the grid.
    pub(crate) out_first: (usize, usize),
    /// How the numbers of each image are to be read, if they are integers.
    pub(crate) quanta: Vec<Quantum>,
}

impl Walk {
    /// The forward pass of group `group`.
    pub(crate) fn forward(g: &Conv2d, group: usize) -> Self {
        let (cin, cout) = (g.cin / g.groups, g.cout / g.groups);
        let at = |k: usize, dilation: usize, pad: usize| (k * dilation) as isize - pad as isize;
        let tap = |ky| (0..g.kw).map(move |kx| (at(ky, g.dilation.0, g.pad[0]), at(kx, g.dilation.1, g.pad[2])));
        Walk {
            images: g.n,
            grid: (g.out_h(), g.out_w()),
            step: g.stride,
            taps: (0..g.kh).flat_map(tap).collect(),
            depth: cin,
            source: Image { h: g.h, w: g.w, channels: g.cin, first: group * cin },
            out: Image { h: g.out_h(), w: g.out_w(), channels: g.cout, first: group * cout },
            out_step: (1, 1),
            out_first: (0, 0),
            quanta: Vec::new(),
        }
    }

    /// The gradient of the input, group `group`: the input pixels fall into stride x stride phases, each of which meets
    /// its own taps; phase by phase it is a convolution of step 1 over dy. Gives also the numbers of the taps.
    pub(crate) fn backward(g: &Conv2d, group: usize, phase: (usize, usize)) -> (Self, Vec<usize>) {
        let (cin, cout) = (g.cin / g.groups, g.cout / g.groups);
        // Output y with y * stride + k * dilation - pad = phase + i * stride is i + offset, if that is an integer.
        let offset = |phase: usize, pad: usize, k: usize, dilation: usize, stride: usize| {
            let from = (phase + pad) as isize - (k * dilation) as isize;
            (from % stride as isize == 0).then_some(from / stride as isize)
        };
        let (mut taps, mut numbers) = (Vec::new(), Vec::new());
        for (ky, kx) in (0..g.kh).flat_map(|ky| (0..g.kw).map(move |kx| (ky, kx))) {
            let y = offset(phase.0, g.pad[0], ky, g.dilation.0, g.stride.0);
            let x = offset(phase.1, g.pad[2], kx, g.dilation.1, g.stride.1);
            if let (Some(y), Some(x)) = (y, x) {
                taps.push((y, x));
                numbers.push(ky * g.kw + kx);
            }
        }
        let count = |size: usize, phase: usize, stride: usize| size.saturating_sub(phase).div_ceil(stride);
        let walk = Walk {
            images: g.n,
            grid: (count(g.h, phase.0, g.stride.0), count(g.w, phase.1, g.stride.1)),
            step: (1, 1),
            taps,
            depth: cout,
            source: Image { h: g.out_h(), w: g.out_w(), channels: g.cout, first: group * cout },
            out: Image { h: g.h, w: g.w, channels: g.cin, first: group * cin },
            out_step: g.stride,
            out_first: phase,
            quanta: Vec::new(),
        };
        (walk, numbers)
    }

    /// Pixels of the grid, over all images.
    pub(crate) fn rows(&self) -> usize {
        self.images * self.grid.0 * self.grid.1
    }

    /// How many numbers of the source a pixel draws in: neighbours share most of what they see, and all have no more than there are.
    pub(crate) fn footprint(&self) -> usize {
        let all = self.images * self.source.h * self.source.w;
        self.depth * self.taps.len().clamp(1, 3).min(all.div_ceil(self.rows().max(1)))
    }

    /// Does no tap ever meet padding?
    fn is_inside_everywhere(&self) -> bool {
        let last = |grid: usize, step: usize| (grid.saturating_sub(1) * step) as isize;
        let (y, x) = (last(self.grid.0, self.step.0), last(self.grid.1, self.step.1));
        let (h, w) = (self.source.h as isize, self.source.w as isize);
        self.taps.iter().all(|&(ty, tx)| ty >= 0 && tx >= 0 && ty + y < h && tx + x < w)
    }

    /// Some pixels of the grid. On small grids the images run fastest, so that the rows of a tile meet padding together.
    fn pixels(&self, rows: Range<usize>) -> impl Iterator<Item = (usize, usize, usize)> {
        let (height, width) = self.grid;
        let images = self.images;
        let (area, images_first) = (height * width, height * width <= 256);
        let (mut n, at) = if images_first {
            (rows.start % images, rows.start / images)
        } else {
            (rows.start / area, rows.start % area)
        };
        let (mut y, mut x) = (at / width, at % width);
        let step = move |_| {
            let here = (n, y, x);
            if images_first {
                n += 1;
                (n, x) = if n == images { (0, x + 1) } else { (n, x) };
                (x, y) = if x == width { (0, y + 1) } else { (x, y) };
            } else {
                x += 1;
                (x, y) = if x == width { (0, y + 1) } else { (x, y) };
                (y, n) = if y == height { (0, n + 1) } else { (y, n) };
            }
            here
        };
        rows.map(step)
    }

    /// `depth` zeros, or as many for each image where the numbers are integers.
    pub(crate) fn padding(&self) -> Vec<f32> {
        match &self.quanta[..] {
            [] => vec![0.0; self.depth],
            quanta => quanta.iter().flat_map(|quantum| std::iter::repeat_n(quantum.zeros(), self.depth)).collect(),
        }
    }

    /// The tiles of some rows; a row is a pixel of the grid. Taps that meet nothing but padding are left out, if it is all zeros.
    /// `padding` is [`Walk::padding`].
    pub(crate) fn block(&self, source: &[f32], padding: &[f32], rows: Range<usize>, tile_rows: usize) -> Block {
        let Image { h, w, channels, .. } = self.source;
        let clash = self.taps.len() == 1 && (channels * self.step.1).is_multiple_of(CLASH);
        let copied = self.depth + 16;
        let mut block = Block::new();
        let mut scratch = take(&mut block.scratch);
        let len = if clash { rows.len() * copied } else { 0 };
        scratch.reserve_exact(len.saturating_sub(scratch.len()));
        scratch.resize(len, 0.0);
        let mut free = scratch.chunks_exact_mut(copied);
        let mut walk = self.pixels(rows.clone());
        let everywhere = self.is_inside_everywhere();
        let skips = self.quanta.iter().all(|quantum| quantum.zero == 0);
        let mut pixels = [(0, 0, 0); MAX_ROWS];
        for tile in pieces(0..rows.len(), tile_rows) {
            let pixels = &mut pixels[..tile.len()];
            pixels.iter_mut().zip(walk.by_ref()).for_each(|(pixel, here)| *pixel = here);
            if !self.quanta.is_empty() {
                block.quanta.extend(pixels.iter().map(|&(n, ..)| self.quanta[n]));
            }
            block.tile(pixels.iter().map(|&(n, y, x)| {
                let (y, x) = (y * self.out_step.0 + self.out_first.0, x * self.out_step.1 + self.out_first.1);
                self.out.place(n, y, x)
            }));
            for (index, tap) in self.taps.iter().enumerate() {
                let inside = |&(_, y, x): &(usize, usize, usize)| {
                    if everywhere {
                        return true;
                    }
                    let y = (y * self.step.0) as isize + tap.0;
                    let x = (x * self.step.1) as isize + tap.1;
                    (y as usize) < h && (x as usize) < w
                };
                if skips && !pixels.iter().any(inside) {
                    continue;
                }
                let numbers = |pixel: &(usize, usize, usize)| {
                    let &(n, y, x) = pixel;
                    if !inside(pixel) {
                        return &padding[if self.quanta.is_empty() { 0 } else { n * self.depth }..][..self.depth];
                    }
                    let y = ((y * self.step.0) as isize + tap.0) as usize;
                    let x = ((x * self.step.1) as isize + tap.1) as usize;
                    &source[self.source.place(n, y, x)..][..self.depth]
                };
                if clash {
                    let copy = |pixel| match free.next() {
                        Some(copy) => {
                            copy[..self.depth].copy_from_slice(numbers(pixel));
                            copy.as_ptr()
                        }
                        None => unreachable!("one tap, one copy a row"),
                    };
                    block.tap(index, pixels.iter().map(copy));
                } else {
                    block.tap(index, pixels.iter().map(|pixel| numbers(pixel).as_ptr()));
                }
            }
        }
        block.scratch = scratch;
        block
    }
}
