//! Runs: step after step over the planned memory.

use super::{Plan, Ready, Weight, packed_conv, packed_linear};
use crate::lower::Value as Shape;
use crate::memory::{Group, Place};
use crate::step::{Id, Kernel, Source};
use std::sync::PoisonError;
use std::time::{Duration, Instant};
use ukulele_kernels::conv::{Algorithm, Conv2d, conv2d_packed_mixed};
use ukulele_kernels::gemm::{MixedEpilogue, gemm_packed_mixed};
use ukulele_kernels::numbers::{Numbers, NumbersMut, convert};
use ukulele_kernels::{attention, elementwise, in_pool, norm, pool};
use ukulele_layers::{Error, Result, Tensor};

/// Numbers of a run's memory up to which it is kept for the next one.
const KEEP: usize = 1 << 28;
/// Numbers of a product's weight that a run packs at a time.
const PIECE: usize = 1 << 20;

/// The memory of a run.
#[derive(Debug, Default)]
pub(super) struct Room {
    slots: Vec<Vec<f32>>,
    scratch: Vec<f32>,
    /// A weight with what is folded into it, and packed.
    folded: Vec<f32>,
    packed: Vec<f32>,
}

/// A step that was run for `count` images from `first` on, what it read and wrote being still there.
pub(super) struct Ran<'a> {
    pub(super) at: usize,
    pub(super) time: Duration,
    pub(super) first: usize,
    pub(super) count: usize,
    x: &'a [f32],
    slots: &'a [Vec<f32>],
}

impl Plan {
    /// The result for images of the size that the plan was compiled for: (N, ..).
    ///
    /// # Errors
    /// Images of another size.
    pub fn run(&self, images: &Tensor) -> Result<Tensor> {
        self.run_with(images, &[], &mut |_| ())
    }

    /// The result for tokens (N, ..), texts of these lengths one after the other.
    pub(crate) fn run_tokens(&self, tokens: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        self.run_with(tokens, lengths, &mut |_| ())
    }

    /// The run on the pool's own threads: a step that cuts its work into tasks then need not wake any of them first.
    pub(super) fn run_with(
        &self,
        images: &Tensor,
        lengths: &[usize],
        observer: &mut (dyn FnMut(&Ran) + Send),
    ) -> Result<Tensor> {
        in_pool(|| self.run_here(images, lengths, observer))
    }

    fn run_here(&self, images: &Tensor, lengths: &[usize], observer: &mut dyn FnMut(&Ran)) -> Result<Tensor> {
        let dims = &self.values[0].dims;
        let (Some(&count), true) = (images.shape().first(), images.shape().get(1..) == Some(&dims[..])) else {
            let expected = format!("images of {dims:?}, for which the plan was compiled");
            return Err(Error::shape("plan", images.shape(), expected));
        };
        let images = if dims.len() == 3 { images.channels_last() } else { images.contiguous() };
        let x = images.dense_memory();
        let mut room = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        room.slots.resize_with(self.memory.slots.len(), Vec::new);
        for (slot, &(size, images)) in room.slots.iter_mut().zip(&self.memory.slots) {
            let size = size * images.map_or(count, |most| most.min(count));
            if slot.len() < size {
                slot.resize(size, 0.0);
            }
        }
        for Group { steps, images } in &self.memory.groups {
            let chunk = images.unwrap_or(count).max(1);
            for first in (0..count).step_by(chunk) {
                for at in steps.clone() {
                    let (start, count) = (Instant::now(), chunk.min(count - first));
                    self.step(&self.steps[at], x, lengths, &mut room, first, count);
                    observer(&Ran { at, time: start.elapsed(), first, count, x, slots: &room.slots });
                }
            }
        }
        let value = &self.values[self.output];
        let shape = [&[count], &value.dims[..]].concat();
        let numbers = match self.memory.places[self.output] {
            Some(place) => &room.slots[place.slot][..count * value.numel()],
            None => x,
        };
        let result = match shape[..] {
            [n, c, h, w] => Tensor::build_channels_last([n, c, h, w], |y| y.copy_from_slice(numbers)),
            _ => Tensor::build(&shape, |y| y.copy_from_slice(numbers)),
        };
        if room.slots.iter().map(Vec::len).sum::<usize>() <= KEEP {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(room);
        }
        result
    }

    /// A value of `count` images from `first` on. Whatever is read lies dense: only what a concatenation reads may not.
    fn read<'a>(&self, id: Id, x: &'a [f32], slots: &'a [Vec<f32>], first: usize, count: usize) -> Numbers<'a> {
        let (value, len) = (&self.values[id], count * self.values[id].numel());
        match self.memory.places[id] {
            None => Numbers::F32(&x[first * value.numel()..][..len]),
            Some(place) => {
                let from = begin(place, value, first);
                Numbers::within(&slots[place.slot], place.bf16, from..from + len)
            }
        }
    }

    /// What a step read as its input `i`, which is f32.
    pub(super) fn input_of<'a>(&self, ran: &Ran<'a>, i: usize) -> Option<&'a [f32]> {
        match self.steps[ran.at].step.inputs.get(i)? {
            Source::Value(id) => Some(wide(self.read(*id, ran.x, ran.slots, ran.first, ran.count))),
            Source::Constant(_) => None,
        }
    }

    /// What a step wrote, which is f32, from its first number on, and how far its pixels are apart.
    pub(super) fn output_of<'a>(&self, ran: &Ran<'a>) -> Option<(&'a [f32], usize)> {
        let id = self.steps[ran.at].step.output;
        let place = self.memory.places[id]?;
        Some((&ran.slots[place.slot][begin(place, &self.values[id], ran.first)..], place.stride))
    }

    /// Computes a step for `count` images from `first` on.
    fn step(&self, ready: &Ready, x: &[f32], lengths: &[usize], room: &mut Room, first: usize, count: usize) {
        let Ready { step, weight } = ready;
        let Some(place) = self.memory.places[step.output] else { return };
        let (value, stride) = (&self.values[step.output], place.stride);
        let mut slot = std::mem::take(&mut room.slots[place.slot]);
        let first_number = begin(place, value, first);
        let end = if place.bf16 { 2 * slot.len() } else { slot.len() };
        let mut y = NumbersMut::within(&mut slot, place.bf16, first_number..end);
        let slots = &room.slots;
        let read = |id: Id| self.read(id, x, slots, first, count);
        // A concatenation reads for itself: its parts may lie in its own slot.
        let input = |i: usize| match (&step.kernel, step.inputs.get(i)) {
            (Kernel::Concat { .. }, _) => None,
            (_, Some(Source::Value(id))) => Some(read(*id)),
            _ => None,
        };
        let (source, residual, numel) = (input(0).unwrap_or(Numbers::F32(&[])), input(1), count * value.numel());
        let dense = 0..numel;
        match (&step.kernel, weight) {
            (Kernel::Conv { g, bias, activation, .. }, Weight::Conv(weight)) => {
                let epilogue = MixedEpilogue { bias: Some(bias), residual, activation: *activation };
                let g = Conv2d { n: count, ..*g };
                conv2d_packed_mixed(&g, source, weight, y, stride, &epilogue);
            }
            (Kernel::Linear { bias, activation, .. }, Weight::Linear(weight)) => {
                let epilogue = MixedEpilogue { bias: Some(bias), residual, activation: *activation };
                gemm_packed_mixed(source, count, weight, y, stride, &epilogue);
            }
            (Kernel::Conv { g, weight, bias, activation }, Weight::Shared(precision)) => {
                let epilogue = MixedEpilogue { bias: Some(bias), residual, activation: *activation };
                let (memory, g) = (std::mem::take(&mut room.packed), Conv2d { n: count, ..*g });
                let weight = packed_conv(&mut room.folded, memory, &g, weight, Algorithm::Direct, *precision);
                conv2d_packed_mixed(&g, source, &weight, y, stride, &epilogue);
                room.packed = weight.into_memory();
            }
            (Kernel::Linear { weight, bias, activation }, Weight::Shared(precision)) => {
                for outputs in weight.pieces(PIECE) {
                    let memory = std::mem::take(&mut room.packed);
                    let rows = weight.with_rows(outputs.clone(), &mut room.folded, |rows| {
                        packed_linear(memory, rows, outputs.len(), *precision)
                    });
                    let residual = residual.map(|residual| residual.part(outputs.start..residual.len()));
                    let bias = Some(&bias[outputs.clone()]);
                    let epilogue = MixedEpilogue { bias, residual, activation: *activation };
                    let all = y.len();
                    gemm_packed_mixed(source, count, &rows, y.part(outputs.start..all), stride, &epilogue);
                    room.packed = rows.into_memory();
                }
            }
            (Kernel::Scale { scale, shift, relu }, Weight::Scale(zeros, ones)) => {
                let (x, residual, y) = (wide(source), residual.map(wide), wide_mut(y.part(dense)));
                norm::batch_norm_apply(x, zeros, ones, scale, shift, 0.0, residual, *relu, y);
            }
            (Kernel::LayerNorm { gamma, beta, eps }, _) => match (source, y.part(dense)) {
                (Numbers::F32(x), NumbersMut::F32(y)) => {
                    let scratch = sized(&mut room.scratch, 2 * count);
                    let (mean, inverse) = scratch.split_at_mut(count);
                    norm::layer_norm(x, gamma, beta, *eps, y, mean, inverse);
                }
                (x, y) => norm::layer_norm_mixed(x, gamma, beta, *eps, y),
            },
            (Kernel::Attention { heads, scale }, _) => {
                let (width, dim) = (value.numel(), value.numel() / heads);
                let mut done = 0;
                // Texts of one length that follow each other go together.
                for texts in lengths.chunk_by(|a, b| a == b) {
                    let (batch, length) = (texts.len(), texts[0]);
                    if length == 0 {
                        continue;
                    }
                    let (tq, tk, heads, scale) = (length, length, *heads, *scale);
                    let g = attention::Attention { batch, heads, tq, tk, dim, scale, dropout: 0.0, key: 0 };
                    let first = 3 * width * done;
                    match (source, y.part(done * width..(done + batch * length) * width)) {
                        (Numbers::Bf16(x), NumbersMut::Bf16(out)) => {
                            let inputs = fused(x, first, width, length, dim);
                            attention::forward_bf16(&g, &inputs, out, attention::Layout::dense(length, heads, dim));
                        }
                        (x, out) => {
                            let inputs = fused(wide(x), first, width, length, dim);
                            let layout = attention::Layout::dense(length, heads, dim);
                            attention::forward(&g, &inputs, wide_mut(out), layout, None);
                        }
                    }
                    done += batch * length;
                }
            }
            (Kernel::MaxPool(g), _) => {
                pool::max_pool2d_mixed(&pool::Pool2d { n: count, ..*g }, source, y.part(dense));
            }
            (Kernel::AvgPool(g), _) => match (source, y.part(dense)) {
                (Numbers::F32(x), NumbersMut::F32(y)) => pool::avg_pool2d(&pool::Pool2d { n: count, ..*g }, x, y),
                (x, y) => pool::avg_pool2d_mixed(&pool::Pool2d { n: count, ..*g }, x, y),
            },
            (Kernel::Bins(g), _) => {
                let g = pool::AdaptivePool2d { n: count, ..*g };
                match (source, y.part(dense)) {
                    (Numbers::F32(x), NumbersMut::F32(y)) => pool::adaptive_avg_pool2d(&g, x, y),
                    (x, y) => pool::adaptive_avg_pool2d_mixed(&g, x, y),
                }
            }
            (Kernel::Unary(op), _) => elementwise::unary(*op, wide(source), wide_mut(y.part(dense))),
            (Kernel::Affine(scale, shift), _) => {
                elementwise::affine(*scale, *shift, wide(source), wide_mut(y.part(dense)));
            }
            (Kernel::Binary(op), _) => {
                elementwise::binary(*op, wide(source), residual.map_or(&[], wide), wide_mut(y.part(dense)));
            }
            (Kernel::Transpose(pixels, channels), _) => {
                let images = wide(source).chunks_exact(pixels * channels);
                for (x, y) in images.zip(wide_mut(y.part(dense)).chunks_exact_mut(pixels * channels)) {
                    for (i, y) in y.iter_mut().enumerate() {
                        *y = x[i % pixels * channels + i / pixels];
                    }
                }
            }
            (Kernel::Concat { outer }, _) => {
                let run = value.numel() / outer;
                // Runs are pixels where the whole may itself be a part.
                let apart = if *outer == value.pixels() { stride } else { run };
                let mut offset = 0;
                for input in &step.inputs {
                    let (numbers, len, there) = match input {
                        Source::Constant(numbers) => (Numbers::F32(numbers), numbers.len(), false),
                        Source::Value(id) => {
                            let there = self.memory.places[*id].is_some_and(|part| part.slot == place.slot);
                            let numbers = if there { Numbers::F32(&[]) } else { read(*id) };
                            (numbers, self.values[*id].numel(), there)
                        }
                    };
                    let len = len / outer;
                    if !there && len > 0 {
                        let runs = numbers.len() / len;
                        for i in 0..if runs > 0 { count * outer } else { 0 } {
                            let run = numbers.part(i % runs * len..(i % runs + 1) * len);
                            convert(run, y.part(i * apart + offset..i * apart + offset + len));
                        }
                    }
                    offset += len;
                }
            }
            (Kernel::Conv { .. } | Kernel::Linear { .. } | Kernel::Scale { .. }, _) => {
                unreachable!("weights are packed when the plan is made")
            }
        }
        room.slots[place.slot] = slot;
    }
}

/// The first number in a slot of a value of the images from `first` on.
fn begin(place: Place, value: &Shape, first: usize) -> usize {
    place.offset + if place.whole { first * value.pixels() * place.stride } else { 0 }
}

/// Queries, keys and values of texts of this length, one after the other for each token, from number `first` on.
fn fused<T>(x: &[T], first: usize, width: usize, length: usize, dim: usize) -> attention::Inputs<'_, T> {
    let layout = attention::Layout::fused(length, width / dim.max(1), dim);
    let part = |i: usize| &x[first + i * width..];
    attention::Inputs {
        q: part(0),
        q_layout: layout,
        k: part(1),
        k_layout: layout,
        v: part(2),
        v_layout: layout,
        mask: None,
    }
}

/// Numbers that lie as f32.
fn wide(x: Numbers<'_>) -> &[f32] {
    match x {
        Numbers::F32(x) => x,
        Numbers::Bf16(_) => unreachable!("only what is read and written by steps that can lies as bf16"),
    }
}

/// As [`wide`], to write.
fn wide_mut(y: NumbersMut<'_>) -> &mut [f32] {
    match y {
        NumbersMut::F32(y) => y,
        NumbersMut::Bf16(_) => unreachable!("only what is read and written by steps that can lies as bf16"),
    }
}

/// So many numbers of a buffer that grows.
fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}
