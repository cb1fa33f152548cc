//! Convolution and the gradient of its input as matrix products over a [`Walk`], and the gradient of its weight as a sum
//! of outer products.

use super::walk::Walk;
use super::{Conv2d, Pixels, stem, winograd_weight};
use crate::gemm::blocks::{run_blocks, tile_size};
use crate::gemm::outer::{Factor, Meeting, Outer, outer};
use crate::gemm::pack::{pack_places, packed_len, with_buffer};
use crate::gemm::pairs::{Kind, to_pairs};
use crate::gemm::quads::{MOST_ROWS, Quantum, extremes, join_quads, quantize};
use crate::gemm::store::Target;
use crate::gemm::tile::{CHAIN, Panels};
use crate::gemm::{self, Epilogue, Mat, Precision, Rows, with_rows};
use crate::isa::Isa;
use crate::numbers::{Numbers, with_wide};
use crate::team::{each_chunk, each_item, each_result};
use std::ops::Range;

/// Places that are converted in one go, about.
const RUN: usize = 4096;

/// Channels up to which a whole row of the kernel is taken as one tap.
const FEW: usize = 16;

/// Is a whole row of the kernel, `kw * cin` numbers, one tap? It is for images of few channels, where a tap by itself has
/// too little to do; then the padding has to be there in memory.
pub(super) fn row_taps(g: &Conv2d) -> bool {
    g.groups == 1 && g.cin < FEW && g.kw > 1 && g.dilation.1 == 1
}

/// A weight as panels, group after group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight<'a> {
    pub(super) panels: &'a [f32],
    /// [`CHAIN`] or longer.
    pub(super) chain: usize,
    pub(super) kind: Kind,
}

/// The same convolution over the input with its padding written out, and the numbers that this input has.
fn padded(g: &Conv2d) -> (Conv2d, usize) {
    let [top, bottom, left, right] = g.pad;
    let padded = Conv2d { h: g.h + top + bottom, w: g.w + left + right, pad: [0; 4], ..*g };
    (padded, padded.x_len())
}

/// Writes the input with its padding, and pixels one right after the other.
fn write_padded(g: &Conv2d, x: Pixels, out: &mut [f32]) {
    let [top, bottom, left, right] = g.pad;
    let (h, w) = (g.h + top + bottom, g.w + left + right);
    out.fill(0.0);
    for i in 0..if g.w == 0 { 0 } else { g.n * g.h } {
        let y = i / g.h * h + top + i % g.h;
        let (from, to) = (&x.data[i * g.w * x.stride..], &mut out[(y * w + left) * g.cin..][..g.w * g.cin]);
        if x.stride == g.cin {
            to.copy_from_slice(&from[..to.len()]);
        } else {
            from.chunks(x.stride)
                .zip(to.chunks_exact_mut(g.cin.max(1)))
                .for_each(|(x, to)| to.copy_from_slice(&x[..g.cin]));
        }
    }
}

/// Taps and numbers at each tap.
fn taps_and_depth(g: &Conv2d) -> (usize, usize) {
    if row_taps(g) { (g.kh, g.kw * g.cin) } else { (g.kh * g.kw, g.cin / g.groups) }
}

/// Numbers that [`pack_forward`] writes.
pub(super) fn packed_forward_len(isa: Isa, kind: Kind, g: &Conv2d) -> usize {
    let (taps, depth) = taps_and_depth(g);
    g.groups * packed_len(taps, kind.places(depth), g.cout / g.groups, tile_size(isa).1)
}

/// The weight as panels of single numbers or pairs, group after group.
pub(super) fn pack_forward(isa: Isa, kind: Kind, g: &Conv2d, w: &[f32], out: &mut [f32]) {
    let ((taps, depth), cout) = (taps_and_depth(g), g.cout / g.groups);
    for (group, out) in out.chunks_exact_mut((out.len() / g.groups).max(1)).enumerate() {
        let tap = |t: usize| Mat {
            data: &w[(group * cout * taps + t) * depth..],
            rows: depth,
            cols: cout,
            row_stride: 1,
            col_stride: taps * depth,
        };
        pack_places(isa, kind, false, &(0..taps).map(tap).collect::<Vec<_>>(), tile_size(isa).1, out);
    }
}

/// Can it be computed in such places? Images of few channels stay as they are, as do groups that do not fill them.
pub(super) fn supports(g: &Conv2d, kind: Kind) -> bool {
    let (taps, depth) = taps_and_depth(g);
    match kind.precision() {
        Precision::F32 => true,
        Precision::Bf16 => !row_taps(g) && depth > 0 && depth.is_multiple_of(2),
        Precision::Int8 => !row_taps(g) && depth > 0 && depth.is_multiple_of(4) && taps * depth <= MOST_ROWS,
    }
}

/// The same of the gradient of the input, single numbers or pairs.
pub(super) fn supports_backward(g: &Conv2d, kind: Kind) -> bool {
    kind == Kind::Single || !row_taps(g) && g.cout > 0 && (g.cout / g.groups).is_multiple_of(2)
}

/// As [`pack_forward`], in quads.
pub(super) fn quads_forward(isa: Isa, g: &Conv2d, w: &[f32]) -> Vec<f32> {
    let mut panels = vec![0.0; packed_forward_len(isa, Kind::Single, g)];
    pack_forward(isa, Kind::Single, g, w, &mut panels);
    let ((taps, depth), width) = (taps_and_depth(g), tile_size(isa).1);
    join_quads(&panels, g.groups * (g.cout / g.groups).div_ceil(width), taps, depth, width)
}

/// See [`super::conv2d_packed`]; the weight comes from [`pack_forward`] or [`quads_forward`].
pub(super) fn forward(
    isa: Isa,
    g: &Conv2d,
    x: Pixels,
    weight: Weight,
    y: &mut [f32],
    stride: usize,
    epilogue: Epilogue<f32>,
) {
    // SAFETY: the caller has checked that y is large enough.
    unsafe { forward_to(isa, g, x, false, weight, Target::new(y, false, epilogue), stride) }
}

/// As [`forward`], to any target; `placed` says that x consists of pairs, as the weight has them.
///
/// # Safety
/// The target must have room for all pixels.
pub(super) unsafe fn forward_to(
    isa: Isa,
    g: &Conv2d,
    x: Pixels,
    placed: bool,
    weight: Weight,
    target: Target,
    stride: usize,
) {
    let (Weight { panels, chain, kind }, x_stride) = (weight, x.stride);
    // As many channels as places.
    let fewer = Conv2d { cin: kind.places(g.cin), ..*g };
    if g.is_product() {
        let cols = if placed { fewer.cin } else { g.cin };
        let x = Mat { data: x.data, rows: g.n * g.h * g.w, cols, row_stride: x.stride, col_stride: 1 };
        let b = Panels { data: panels, taps: 1, depth: fewer.cin, cols: g.cout, chain, kind };
        // SAFETY: the caller's promise.
        return unsafe { gemm::multiply_to(isa, false, x, placed, b, target, stride) };
    }
    if row_taps(g) {
        // SAFETY: the caller's promise.
        return unsafe { stem::forward(isa, g, x, weight, target, stride) };
    }
    if placed {
        // SAFETY: the caller's promise.
        return unsafe { forward_taps(isa, &fewer, x, &[], weight, target, stride) };
    }
    if kind == Kind::Single {
        // SAFETY: the caller's promise.
        return unsafe { forward_taps(isa, g, x, &[], weight, target, stride) };
    }
    let quanta = if kind.precision() == Precision::Int8 { quanta(isa, g, x) } else { Vec::new() };
    with_buffer(fewer.x_len(), |places| {
        let pixels = (RUN / fewer.cin).max(1);
        let image = g.h * g.w;
        each_chunk(places, pixels * fewer.cin, |i, places| {
            let x = x.data[i * pixels * x.stride..].chunks(x_stride);
            for (k, (x, places)) in x.zip(places.chunks_exact_mut(fewer.cin)).enumerate() {
                match quanta.get((i * pixels + k) / image) {
                    Some(&quantum) => quantize(isa, quantum, &x[..g.cin], places),
                    None => to_pairs(isa, kind, &x[..g.cin], places),
                }
            }
        });
        let places = Pixels::dense(places, fewer.cin);
        // SAFETY: the caller's promise.
        unsafe { forward_taps(isa, &fewer, places, &quanta, weight, target, stride) };
    });
}

/// How the numbers of each image become integers.
fn quanta(isa: Isa, g: &Conv2d, x: Pixels) -> Vec<Quantum> {
    let (image, stride) = (g.h * g.w, x.stride);
    let pixels = (RUN / g.cin).max(1);
    let runs = image.div_ceil(pixels);
    let of_runs = each_result(g.n * runs, |i| {
        let (n, first) = (i / runs, i % runs * pixels);
        let numbers = |pixel| &x.data[(n * image + pixel) * stride..][..g.cin];
        (first..image.min(first + pixels)).map(|pixel| extremes(isa, numbers(pixel))).fold((0.0, 0.0), wider)
    });
    let of_image = |n: usize| Quantum::of(of_runs[n * runs..][..runs].iter().copied().fold((0.0, 0.0), wider));
    (0..g.n).map(of_image).collect()
}

/// The least and the largest of both; NaN if one is.
fn wider(a: (f32, f32), b: (f32, f32)) -> (f32, f32) {
    let or = |a: f32, b: f32, better: bool| if better || b.is_nan() { b } else { a };
    (or(a.0, b.0, b.0 < a.0), or(a.1, b.1, b.1 > a.1))
}

/// As [`forward_to`], tap by tap, the channels of g being places; `quanta` are those of the images, if the places hold integers.
///
/// # Safety
/// As there.
unsafe fn forward_taps(
    isa: Isa,
    g: &Conv2d,
    x: Pixels,
    quanta: &[Quantum],
    weight: Weight,
    target: Target,
    stride: usize,
) {
    let (cout, panels, epilogue) = (g.cout / g.groups, weight.panels, target.epilogue);
    let mut walks: Vec<_> = (0..g.groups).map(|group| Walk::forward(g, group)).collect();
    walks.iter_mut().for_each(|walk| walk.source.channels = x.stride);
    let size = panels.len() / g.groups;
    for (group, walk) in walks.iter_mut().enumerate() {
        (walk.out.channels, walk.quanta) = (stride, quanta.to_vec());
        let bias = epilogue.bias.map(|bias| &bias[group * cout..][..cout]);
        let weight = Weight { panels: &panels[group * size..][..size], ..weight };
        let target = Target { epilogue: Epilogue { bias, ..epilogue }, ..target };
        // SAFETY: the caller's promise.
        unsafe { multiply(isa, walk, x.data, weight, cout, target) };
    }
}

/// target = source, as the walk sees it, times panels.
///
/// # Safety
/// The target must have room for all pixels that the walk leads to.
unsafe fn multiply(isa: Isa, walk: &Walk, source: &[f32], weight: Weight, cols: usize, target: Target) {
    let Weight { panels: data, chain, kind } = weight;
    let b = Panels { data, taps: walk.taps.len(), depth: walk.depth, cols, chain, kind };
    let padding = walk.padding();
    let block = |rows: Range<usize>| walk.block(source, &padding, rows, tile_size(isa).0);
    // SAFETY: `block` takes sources as slices of `depth` numbers; each pixel of the grid is another pixel of the
    // target, which is large enough.
    unsafe { run_blocks(isa, false, walk.rows(), walk.footprint(), b, target, block) };
}

/// See [`super::conv2d_backward_data`], by the direct sum; dx is the target.
///
/// # Safety
/// The target must have room for dx.
pub(super) unsafe fn backward_data(isa: Isa, kind: Kind, g: &Conv2d, dy: Numbers, w: &[f32], target: Target) {
    with_rows(isa, kind, dy, g.cout, |dy| {
        let Rows { data, width, placed } = dy;
        if kind == Kind::Single || placed && !g.is_product() {
            // SAFETY: the caller's promise.
            return unsafe { backward_taps(isa, kind, g, data, w, target) };
        }
        if g.is_product() {
            // What is not pairs yet is rounded where it is multiplied, without a way through memory.
            let dy = Mat::new(data, data.len() / width, width);
            let (depth, panel) = (kind.places(g.cout), tile_size(isa).1);
            return with_buffer(packed_len(1, depth, g.cin, panel), |panels| {
                pack_places(isa, kind, false, &[Mat::new(w, g.cout, g.cin)], panel, panels);
                let b = Panels { data: panels, taps: 1, depth, cols: g.cin, chain: CHAIN, kind };
                // SAFETY: the caller's promise.
                unsafe { gemm::multiply_to(isa, false, dy, placed, b, target, g.cin) };
            });
        }
        with_buffer(data.len() / 2, |pairs| {
            each_item(pairs.chunks_mut(RUN).zip(data.chunks(2 * RUN)), |_, (pairs, dy)| to_pairs(isa, kind, dy, pairs));
            // SAFETY: the caller's promise.
            unsafe { backward_taps(isa, kind, g, pairs, w, target) };
        });
    });
}

/// As [`backward_data`], dy being places.
///
/// # Safety
/// As there.
unsafe fn backward_taps(isa: Isa, kind: Kind, g: &Conv2d, dy: &[f32], w: &[f32], target: Target) {
    let (cin, cout, taps) = (g.cin / g.groups, g.cout / g.groups, g.kh * g.kw);
    let (depth, width) = (kind.places(cout), tile_size(isa).1);
    let seen = Conv2d { cout: g.groups * depth, ..*g };
    let phases = (0..g.stride.0).flat_map(|y| (0..g.stride.1).map(move |x| (y, x)));
    for (group, phase) in (0..g.groups).flat_map(|group| phases.clone().map(move |phase| (group, phase))) {
        let (walk, numbers) = Walk::backward(&seen, group, phase);
        if target.accumulate && numbers.is_empty() {
            continue;
        }
        let tap = |t: usize| Mat {
            data: &w[(group * cout * taps + t) * cin..],
            rows: cout,
            cols: cin,
            row_stride: taps * cin,
            col_stride: 1,
        };
        let matrices = numbers.into_iter().map(tap).collect::<Vec<_>>();
        with_buffer(packed_len(matrices.len(), depth, cin, width), |panels| {
            pack_places(isa, kind, false, &matrices, width, panels);
            let weight = Weight { panels, chain: CHAIN, kind };
            // SAFETY: the caller's promise.
            unsafe { multiply(isa, &walk, dy, weight, cin, target) };
        });
    }
}

/// See [`super::conv2d_backward_weight`].
pub(super) fn backward_weight(isa: Isa, kind: Kind, g: &Conv2d, x: Numbers, dy: Numbers, dw: &mut [f32]) {
    if winograd_weight::pays(g, kind) {
        return winograd_weight::backward_weight(isa, g, x, dy, dw);
    }
    let (cout, rows) = (g.cout / g.groups, row_taps(g));
    let (mut seen, mut x, mut written) = (*g, x, Vec::new());
    if rows {
        let (padded, len) = padded(g);
        written.resize(len, 0.0);
        with_wide(isa, x, |x| write_padded(g, Pixels::dense(x, g.cin), &mut written));
        (seen, x) = (padded, Numbers::F32(&written));
    }
    let (taps, cols) = taps_and_depth(g);
    let (out_h, out_w) = (g.out_h(), g.out_w());
    let meeting = |pixels: Range<usize>| {
        // Image, row and column of the output, counted up.
        let (mut n, mut oy, mut ox) =
            (pixels.start / (out_h * out_w), pixels.start / out_w % out_h, pixels.start % out_w);
        let step = |_| {
            let here = (n, oy, ox);
            (ox, oy) = if ox + 1 == out_w { (0, oy + 1) } else { (ox + 1, oy) };
            (oy, n) = if oy == out_h { (0, n + 1) } else { (oy, n) };
            here
        };
        let coordinates: Vec<_> = pixels.map(step).collect();
        let list = |t: usize| {
            let (ky, kx) = if rows { (t, 0) } else { (t / g.kw, t % g.kw) };
            let mut pairs = Vec::with_capacity(coordinates.len());
            for (i, &(n, oy, ox)) in coordinates.iter().enumerate() {
                if let Some((iy, ix)) = seen.source(oy, ox, ky, kx) {
                    pairs.push((i as u32, ((n * seen.h + iy) * seen.w + ix) as u32));
                }
            }
            pairs
        };
        let mut pairs: Vec<_> = (0..taps).map(list).collect();
        if let [pairs] = &mut pairs[..] {
            let number = |(i, pair): (usize, &mut (u32, u32))| std::mem::replace(&mut pair.1, i as u32) as usize;
            let right = pairs.iter_mut().enumerate().map(number).collect();
            return Meeting { right, pairs: vec![std::mem::take(pairs)] };
        }
        // The pixels of each list ascend.
        let first = pairs.iter().filter_map(|pairs| pairs.first()).map(|pair| pair.1).min().unwrap_or(0);
        let last = pairs.iter().filter_map(|pairs| pairs.last()).map(|pair| pair.1 + 1).max().unwrap_or(first);
        pairs.iter_mut().flatten().for_each(|pair| pair.1 -= first);
        Meeting { right: (first as usize..last as usize).collect(), pairs }
    };
    assert!(seen.n * seen.h * seen.w <= u32::MAX as usize, "{g:?}: pixels are counted in u32");
    for group in 0..g.groups {
        let sum = Outer {
            left: Factor { data: dy.part(group * cout..dy.len()), pitch: g.cout, len: cout },
            right: Factor { data: x.part(group * cols..x.len()), pitch: g.cin, len: cols },
            depth: g.n * out_h * out_w,
            right_rows: if taps == 1 { g.n * out_h * out_w } else { seen.n * seen.h * seen.w },
            taps,
            row_stride: taps * cols,
            accumulate: false,
            kind,
        };
        outer(isa, false, sum, &mut dw[group * cout * taps * cols..][..cout * taps * cols], meeting);
    }
}
