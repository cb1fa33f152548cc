//! Memory of tensors: counted, and reused.
//!
//! A training step asks for the same sizes as the step before it. A dropped buffer therefore goes to a pool, from
//! which the next request of its size class is served, without the page faults of fresh memory. The pool never makes
//! the process larger than its own peak: live plus pooled bytes stay below the most that was ever live at once.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::Mutex;
use ukulele_kernels::Element;

/// Buffers below this many bytes are left to the allocator, which is quick at such sizes.
const SMALLEST_POOLED: usize = 1 << 14;

/// A list of elements whose memory is counted and returns to the pool when dropped.
#[derive(Debug)]
pub(crate) struct Buffer<T: Element> {
    data: Vec<T>,
    len: usize,
}

#[derive(Default)]
struct Pool {
    free: BTreeMap<(TypeId, usize), Vec<Box<dyn Any + Send>>>,
    usage: Usage,
}

/// Bytes of tensor memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Held by tensors now.
    pub live: usize,
    /// The most that was held at once since the start or [`reset_peak`].
    pub peak: usize,
    /// Kept in the pool for the next request.
    pub pooled: usize,
    limit: usize,
}

static POOL: Mutex<Pool> =
    Mutex::new(Pool { free: BTreeMap::new(), usage: Usage { live: 0, peak: 0, pooled: 0, limit: 0 } });

fn pool() -> std::sync::MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Tensor memory in use.
pub fn usage() -> Usage {
    pool().usage
}

/// Starts a new measurement of [`Usage::peak`] and returns the bytes live now.
pub fn reset_peak() -> usize {
    let usage = &mut pool().usage;
    usage.peak = usage.live;
    usage.live
}

/// Gives the pooled memory back to the system.
pub fn trim() {
    let mut pool = pool();
    pool.free.clear();
    pool.usage.pooled = 0;
    pool.usage.limit = pool.usage.live;
}

/// The capacity that serves `len` elements: rounded up to an eighth of a power of two.
fn class(len: usize) -> usize {
    let step = (len.next_power_of_two() / 16).max(1);
    len.div_ceil(step) * step
}

impl Pool {
    fn take<T: Element>(&mut self, capacity: usize, bytes: usize) -> Option<Vec<T>> {
        let key = (TypeId::of::<T>(), capacity);
        let found = self.free.get_mut(&key).and_then(Vec::pop);
        if found.is_some() {
            self.usage.pooled -= bytes;
        }
        self.usage.live += bytes;
        self.usage.peak = self.usage.peak.max(self.usage.live);
        self.usage.limit = self.usage.limit.max(self.usage.live);
        self.evict();
        found.and_then(|b| b.downcast::<Vec<T>>().ok()).map(|b| *b)
    }

    fn give<T: Element>(&mut self, data: Vec<T>, bytes: usize) {
        self.usage.live -= bytes;
        if bytes >= SMALLEST_POOLED && data.len() == class(data.len()) {
            self.usage.pooled += bytes;
            self.free.entry((TypeId::of::<T>(), data.len())).or_default().push(Box::new(data));
            self.evict();
        }
    }

    /// Frees pooled buffers, the largest first, until live and pooled together fit below the peak.
    fn evict(&mut self) {
        while self.usage.pooled > 0 && self.usage.live + self.usage.pooled > self.usage.limit {
            let Some(mut last) = self.free.iter().filter(|(_, v)| !v.is_empty()).map(|(k, _)| *k).max_by_key(|k| k.1)
            else {
                break;
            };
            if let Some(list) = self.free.get_mut(&last) {
                list.pop();
                if list.is_empty() {
                    self.free.remove(&last);
                }
            }
            last.1 *= if last.0 == TypeId::of::<f64>() { 8 } else { 4 };
            self.usage.pooled -= last.1;
        }
    }
}

impl<T: Element> Buffer<T> {
    /// A buffer whose contents are unspecified (but initialised): every element must be written before it is read.
    pub(crate) fn scratch(len: usize) -> Self {
        let bytes = class(len) * size_of::<T>();
        let found = pool().take::<T>(class(len), bytes);
        Self { data: found.unwrap_or_else(|| vec![T::ZERO; class(len)]), len }
    }

    pub(crate) fn zeros(len: usize) -> Self {
        let bytes = class(len) * size_of::<T>();
        let found = pool().take::<T>(class(len), bytes);
        let data = match found {
            Some(mut data) => {
                data[..len].fill(T::ZERO);
                data
            }
            None => vec![T::ZERO; class(len)],
        };
        Self { data, len }
    }

    pub(crate) fn from_vec(data: Vec<T>) -> Self {
        pool().take::<T>(usize::MAX, data.len() * size_of::<T>());
        Self { len: data.len(), data }
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        &self.data[..self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data[..self.len]
    }
}

impl<T: Element> Drop for Buffer<T> {
    fn drop(&mut self) {
        let data = std::mem::take(&mut self.data);
        let bytes = data.len() * size_of::<T>();
        pool().give(data, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_waste_at_most_an_eighth() {
        for len in (1..100_000).step_by(7) {
            assert!(class(len) >= len && class(len) <= len + len / 8 + 1, "{len} -> {}", class(len));
        }
    }

    #[test]
    fn memory_is_reused_and_never_exceeds_the_peak() {
        for len in [100_000, 50_000, 200_000, 70_001] {
            let a = Buffer::<f64>::zeros(len);
            drop(a);
            let b = Buffer::<f64>::scratch(len);
            assert_eq!(b.as_slice().len(), len);
        }
        let usage = usage();
        assert!(usage.live + usage.pooled <= usage.limit);
    }
}
