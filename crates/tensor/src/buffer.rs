//! Memory of tensors: counted, and reused.
//!
//! A training step asks for the same sizes as the step before it, in the same order. The memory of a dropped buffer
//! therefore stays in an [`arena`], from which the next requests are served without the page faults of fresh memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use ukulele_kernels::Element;
use ukulele_kernels::arena::{self, Stretch};

/// Buffers below this many bytes are left to the allocator, which is quick at such sizes.
const SMALLEST: usize = 1 << 14;

/// A list of elements whose memory is counted and reused when it is dropped.
#[derive(Debug)]
pub(crate) struct Buffer<T: Element> {
    memory: Memory<T>,
}

#[derive(Debug)]
enum Memory<T: Element> {
    Own(Vec<T>),
    Arena(Stretch<T>),
}

/// Bytes of tensor memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Held by tensors now.
    pub live: usize,
    /// The most that was held at once since the start or [`reset_peak`].
    pub peak: usize,
    /// Kept for the next requests.
    pub pooled: usize,
}

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Tensor memory in use.
pub fn usage() -> Usage {
    let (live, held) = arena::usage();
    Usage { live: LIVE.load(Ordering::Relaxed), peak: PEAK.load(Ordering::Relaxed), pooled: held - live }
}

/// Starts a new measurement of [`Usage::peak`] and returns the bytes live now.
pub fn reset_peak() -> usize {
    let live = LIVE.load(Ordering::Relaxed);
    PEAK.store(live, Ordering::Relaxed);
    live
}

/// Gives pooled memory back to the system, as far as nothing lives beside it.
pub fn trim() {
    arena::trim();
}

impl<T: Element> Buffer<T> {
    /// A buffer whose contents are unspecified (but initialised): every element must be written before it is read.
    pub(crate) fn scratch(len: usize) -> Self {
        Self::new(if is_small::<T>(len) {
            Memory::Own(vec![T::ZERO; len])
        } else {
            Memory::Arena(Stretch::scratch(len))
        })
    }

    pub(crate) fn zeros(len: usize) -> Self {
        Self::new(if is_small::<T>(len) { Memory::Own(vec![T::ZERO; len]) } else { Memory::Arena(Stretch::zeros(len)) })
    }

    pub(crate) fn from_vec(data: Vec<T>) -> Self {
        Self::new(Memory::Own(data))
    }

    fn new(memory: Memory<T>) -> Self {
        let buffer = Self { memory };
        let live = LIVE.fetch_add(buffer.bytes(), Ordering::Relaxed) + buffer.bytes();
        PEAK.fetch_max(live, Ordering::Relaxed);
        buffer
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        match &self.memory {
            Memory::Own(data) => data,
            Memory::Arena(stretch) => stretch.as_slice(),
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        match &mut self.memory {
            Memory::Own(data) => data,
            Memory::Arena(stretch) => stretch.as_mut_slice(),
        }
    }

    fn bytes(&self) -> usize {
        size_of_val(self.as_slice())
    }
}

fn is_small<T>(len: usize) -> bool {
    len.saturating_mul(size_of::<T>()) < SMALLEST
}

impl<T: Element> Drop for Buffer<T> {
    fn drop(&mut self) {
        LIVE.fetch_sub(self.bytes(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_and_reused() {
        for len in [0, 1, 100_000, 50_000, 200_000, 70_001] {
            let mut a = Buffer::<f64>::zeros(len);
            assert!(a.as_slice().len() == len && a.as_slice().iter().all(|&x| x == 0.0));
            a.as_mut_slice().fill(1.0);
            assert!(usage().live >= len * size_of::<f64>() && usage().peak >= len * size_of::<f64>());
            drop(a);
            let b = Buffer::<f64>::scratch(len);
            assert_eq!(b.as_slice().len(), len);
            assert!(Buffer::<f64>::zeros(len).as_slice().iter().all(|&x| x == 0.0));
        }
    }
}
