//! Memory of tensors: counted, and reused.
//!
//! A training step asks for the same sizes as the step before it. A dropped buffer therefore goes to a pool, from
//! which the next request of its size class is served, or of one somewhat smaller, without the page faults of fresh memory.
//! The pool never makes the process larger than its own peak: live plus pooled bytes stay below the most that was ever live at
//! once.

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

/// The capacity that serves `len` elements: rounded up to a 64th of a power of two.
fn class(len: usize) -> usize {
    let step = (len.next_power_of_two() / 128).max(1);
    len.div_ceil(step) * step
}

impl Pool {
    /// A buffer of this capacity, or one somewhat larger if there is none; else the caller makes one.
    fn take<T: Element>(&mut self, capacity: usize) -> Option<Vec<T>> {
        let (kind, size) = (TypeId::of::<T>(), size_of::<T>());
        let room = self.usage.limit.saturating_sub(self.usage.live) / size;
        // A new one beyond the limit would cost others: twice as large a one is better than that.
        let tight = self.usage.live + self.usage.pooled + capacity * size > self.usage.limit;
        let most = if tight { 2 * capacity } else { capacity + capacity / 4 }.min(room).max(capacity);
        let found = self.free.range((kind, capacity)..=(kind, most)).next().map(|(key, _)| *key);
        let found = found.and_then(|key| self.remove(key));
        let bytes = found.as_ref().map_or(capacity, |(_, capacity)| *capacity) * size;
        self.count(bytes);
        found.and_then(|(buffer, _)| buffer.downcast::<Vec<T>>().ok()).map(|buffer| *buffer)
    }

    /// So many bytes more are held by a tensor.
    fn count(&mut self, bytes: usize) {
        self.usage.live += bytes;
        self.usage.peak = self.usage.peak.max(self.usage.live);
        self.usage.limit = self.usage.limit.max(self.usage.live);
        self.evict();
    }

    /// Takes out a free buffer of this kind and capacity.
    fn remove(&mut self, key: (TypeId, usize)) -> Option<(Box<dyn Any + Send>, usize)> {
        let list = self.free.get_mut(&key)?;
        let found = list.pop();
        if list.is_empty() {
            self.free.remove(&key);
        }
        self.usage.pooled -= if found.is_some() { bytes_of(key) } else { 0 };
        Some((found?, key.1))
    }

    fn give<T: Element>(&mut self, data: Vec<T>, bytes: usize) {
        self.usage.live -= bytes;
        if bytes >= SMALLEST_POOLED && data.len() == class(data.len()) {
            self.usage.pooled += bytes;
            self.free.entry((TypeId::of::<T>(), data.len())).or_default().push(Box::new(data));
            self.evict();
        }
    }

    /// Frees pooled buffers until live and pooled together fit below the peak: the smallest that is enough, or the largest.
    fn evict(&mut self) {
        while self.usage.live + self.usage.pooled > self.usage.limit {
            let over = self.usage.live + self.usage.pooled - self.usage.limit;
            let enough =
                self.free.keys().copied().filter(|key| bytes_of(*key) >= over).min_by_key(|key| bytes_of(*key));
            let Some(key) = enough.or_else(|| self.free.keys().copied().max_by_key(|key| bytes_of(*key))) else {
                break;
            };
            self.remove(key);
        }
    }
}

/// Bytes of a buffer of this kind and capacity.
fn bytes_of((kind, capacity): (TypeId, usize)) -> usize {
    capacity * if kind == TypeId::of::<f64>() { size_of::<f64>() } else { size_of::<f32>() }
}

impl<T: Element> Buffer<T> {
    /// A buffer whose contents are unspecified (but initialised): every element must be written before it is read.
    pub(crate) fn scratch(len: usize) -> Self {
        let found = pool().take::<T>(class(len));
        Self { data: found.unwrap_or_else(|| vec![T::ZERO; class(len)]), len }
    }

    pub(crate) fn zeros(len: usize) -> Self {
        let found = pool().take::<T>(class(len));
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
        pool().count(data.len() * size_of::<T>());
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
    fn classes_waste_at_most_a_64th() {
        for len in (1..100_000).step_by(7) {
            assert!(class(len) >= len && class(len) <= len + len / 64 + 1, "{len} -> {}", class(len));
        }
    }

    #[test]
    fn a_larger_buffer_serves_where_a_new_one_would_cost_others() {
        let mut pool = Pool::default();
        let bytes = |count: usize| count * size_of::<f32>();
        pool.count(bytes(100_000));
        assert!(pool.take::<f32>(class(60_000)).is_none());
        pool.give(vec![0f32; class(60_000)], bytes(class(60_000)));
        assert_eq!(pool.take::<f32>(class(50_000)).unwrap().len(), class(60_000), "a quarter larger at most");
        pool.give(vec![0f32; class(60_000)], bytes(class(60_000)));
        assert!(pool.take::<f32>(class(20_000)).is_none());
        assert_eq!(pool.usage.pooled, 0, "what goes beyond the peak is freed");
        assert!(pool.usage.live + pool.usage.pooled <= pool.usage.limit);
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
