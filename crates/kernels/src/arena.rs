//! Memory for large buffers, cut out of few large chunks.
//!
//! A request takes the smallest free stretch that has room for it, and free neighbours become one: buffers of other
//! sizes than before find their place in what the earlier ones left, in about the memory that they have at most together. The
//! system's allocator would either keep it in pieces, or return it and pay for fresh pages.

#[cfg(test)]
mod tests;

use bytemuck::Pod;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Stretches begin at cache lines and consist of them.
const LINE: usize = 64;
/// Bytes of the smallest chunk.
const LEAST: usize = 1 << 26;
/// Bytes of a chunk that is made ahead of need, at most. What nobody has written to is address space alone where the
/// system gives memory page by page; elsewhere chunks stay small.
const MOST: usize = if cfg!(all(unix, target_pointer_width = "64")) { 1 << 30 } else { LEAST };

/// A list of numbers in an arena, which gets the memory back when this is dropped.
#[derive(Debug)]
pub struct Stretch<T: Pod> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: a stretch owns its memory, as a Vec does, and numbers may be sent and shared.
unsafe impl<T: Pod + Send> Send for Stretch<T> {}
// SAFETY: as above; a shared stretch is only read.
unsafe impl<T: Pod + Sync> Sync for Stretch<T> {}

impl<T: Pod> Stretch<T> {
    /// `len` numbers of unspecified value.
    ///
    /// # Panics
    /// If they are larger than any memory.
    pub fn scratch(len: usize) -> Self {
        Self::take(len).0
    }

    /// `len` zeros. Memory that was never used is not touched.
    ///
    /// # Panics
    /// As [`Stretch::scratch`].
    pub fn zeros(len: usize) -> Self {
        let (mut stretch, used) = Self::take(len);
        stretch.as_mut_slice()[..used.div_ceil(size_of::<T>()).min(len)].fill(T::zeroed());
        stretch
    }

    /// `len` numbers, and how many bytes from the first on may not be zero.
    fn take(len: usize) -> (Self, usize) {
        const { assert!(size_of::<T>() > 0 && align_of::<T>() <= LINE) };
        let bytes = bytes::<T>(len);
        if bytes == 0 {
            return (Self { start: NonNull::dangling(), len }, 0);
        }
        let (start, used) = arena().take(bytes);
        (Self { start: start.cast(), len }, used)
    }

    /// The numbers.
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: the stretch has `len` numbers from `start` on, and nobody else has them; chunks begin as zeros, so
        // that they are initialised, and any bits are a number.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The numbers, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above, and it is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Pod> Drop for Stretch<T> {
    fn drop(&mut self) {
        let bytes = bytes::<T>(self.len);
        if bytes > 0 {
            arena().give(self.start.addr().get(), bytes);
        }
    }
}

/// Bytes of the lines that hold `len` numbers.
fn bytes<T>(len: usize) -> usize {
    let bytes = len.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_next_multiple_of(LINE));
    bytes.filter(|&bytes| bytes <= isize::MAX as usize / 2).unwrap_or_else(|| panic!("{len} numbers are too many"))
}

/// Bytes in stretches now, and of all that ever were in one and that the system has not got back.
pub fn usage() -> (usize, usize) {
    let arena = arena();
    (arena.live, arena.held)
}

/// Gives chunks in which nothing is back to the system.
pub fn trim() {
    arena().trim(0);
}

/// Chunks, and which parts of them are free.
#[derive(Debug)]
struct Arena {
    /// By address.
    chunks: BTreeMap<usize, Chunk>,
    /// Lengths of free stretches among those that were used, by address: no two of them touch.
    free: BTreeMap<usize, usize>,
    /// The same as pairs of length and address.
    sizes: BTreeSet<(usize, usize)>,
    /// Bytes in stretches now, and at most.
    live: usize,
    peak: usize,
    /// Bytes of the used parts of chunks.
    held: usize,
}

/// Memory of the system, in lines.
#[derive(Debug)]
struct Chunk {
    start: NonNull<u8>,
    size: usize,
    /// What lies behind so many bytes was in no stretch yet, and is zero.
    used: usize,
    /// What the system gave.
    memory: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the pointers are to memory that the chunk owns.
unsafe impl Send for Chunk {}

static ARENA: Mutex<Arena> = Mutex::new(Arena::new());

fn arena() -> MutexGuard<'static, Arena> {
    ARENA.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Chunk {
    /// Of so many bytes, zeros; `None` if the system has not got them.
    fn new(size: usize) -> Option<Self> {
        // A larger alignment would have the zeros written.
        let layout = Layout::from_size_align(size + LINE, align_of::<u64>()).ok()?;
        // SAFETY: the size is not 0.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        // SAFETY: a line more than `size` was asked for.
        let start = unsafe { memory.add(memory.align_offset(LINE)) };
        Some(Self { start, size, used: 0, memory, layout })
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: it came from `alloc_zeroed` with this layout.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}

impl Arena {
    const fn new() -> Self {
        Self { chunks: BTreeMap::new(), free: BTreeMap::new(), sizes: BTreeSet::new(), live: 0, peak: 0, held: 0 }
    }

    /// A stretch of so many bytes, and how many of them from the first on may not be zero.
    fn take(&mut self, bytes: usize) -> (NonNull<u8>, usize) {
        let (chunk, start, used) = match self.fitting(bytes).or_else(|| self.unused(bytes)) {
            Some(found) => found,
            None => {
                self.grow(bytes);
                self.unused(bytes).expect("a chunk with room")
            }
        };
        self.live += bytes;
        self.peak = self.peak.max(self.live);
        // SAFETY: the chunk has `bytes` from `start` on, which is not before its own.
        (unsafe { self.chunks[&chunk].start.add(start - chunk) }, used)
    }

    /// The smallest free stretch with room for so many bytes: its chunk, its address, and how many of the bytes may
    /// not be zero.
    fn fitting(&mut self, bytes: usize) -> Option<(usize, usize, usize)> {
        let &(len, start) = self.sizes.range((bytes, 0)..).next()?;
        self.remove(start, len);
        if len > bytes {
            self.insert(start + bytes, len - bytes);
        }
        let (&chunk, _) = self.chunks.range(..=start).next_back()?;
        Some((chunk, start, bytes))
    }

    /// As [`Arena::fitting`], at the end of what was used of a chunk: where most before it is free.
    fn unused(&mut self, bytes: usize) -> Option<(usize, usize, usize)> {
        let tail = |(&start, chunk): (&usize, &Chunk)| {
            let end = start + chunk.used;
            let last = self.free.range(start..end).next_back().filter(|&(at, len)| at + len == end);
            let tail = last.map_or(0, |(_, &len)| len);
            (chunk.size - chunk.used + tail >= bytes).then_some((tail, start, end))
        };
        let (tail, chunk, end) = self.chunks.iter().filter_map(tail).max()?;
        if tail > 0 {
            self.remove(end - tail, tail);
        }
        self.chunks.get_mut(&chunk)?.used += bytes - tail;
        self.held += bytes - tail;
        Some((chunk, end - tail, tail))
    }

    /// Makes a chunk with room for so many bytes: ahead of need by four times what there is already, if the system has so much.
    fn grow(&mut self, bytes: usize) {
        let all: usize = self.chunks.values().map(|chunk| chunk.size).sum();
        let mut size = all.saturating_mul(4).clamp(LEAST, MOST).max(bytes);
        let chunk = loop {
            match Chunk::new(size) {
                Some(chunk) => break chunk,
                None if size > bytes => size = (size / 2 / LINE * LINE).max(bytes),
                None => handle_alloc_error(Layout::array::<u8>(bytes).unwrap_or(Layout::new::<u8>())),
            }
        };
        self.chunks.insert(chunk.start.addr().get(), chunk);
    }

    /// Takes a stretch back.
    fn give(&mut self, start: usize, bytes: usize) {
        self.live -= bytes;
        let (mut start, mut len) = (start, bytes);
        let Some((&chunk, _)) = self.chunks.range(..=start).next_back() else { return };
        if let Some(&after) = self.free.get(&(start + len)).filter(|_| start + len < chunk + self.chunks[&chunk].used) {
            self.remove(start + len, after);
            len += after;
        }
        let before = self.free.range(chunk..start).next_back().map(|(&at, &len)| (at, len));
        if let Some((at, before)) = before.filter(|(at, len)| at + len == start) {
            self.remove(at, before);
            (start, len) = (at, before + len);
        }
        self.insert(start, len);
        if (start, len) == (chunk, self.chunks[&chunk].used) {
            // No more than was once needed, and what is lost between.
            self.trim(self.peak + self.peak / 8);
        }
    }

    /// Drops chunks in which nothing is until no more than `most` bytes are held.
    fn trim(&mut self, most: usize) {
        let empty = |(&start, chunk): (&usize, &Chunk)| {
            (chunk.used == 0 || self.free.get(&start) == Some(&chunk.used)).then_some((start, chunk.used))
        };
        let empty: Vec<_> = self.chunks.iter().filter_map(empty).collect();
        for (start, used) in empty {
            if self.held > most {
                if used > 0 {
                    self.remove(start, used);
                }
                self.held -= used;
                self.chunks.remove(&start);
            }
        }
    }

    fn insert(&mut self, start: usize, len: usize) {
        self.free.insert(start, len);
        self.sizes.insert((len, start));
    }

    fn remove(&mut self, start: usize, len: usize) {
        self.free.remove(&start);
        self.sizes.remove(&(len, start));
    }
}
