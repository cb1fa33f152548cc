//! Attacks that fit any format. A test binary that uses them gets an allocator that counts.

use super::Random;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::{Duration, Instant};
use ukulele_tensor::Tensor;
use weights_import::{
    Dialect, Options, Source, Statistics, Weights, examine, examine_colours, examine_names, from_source, guess, read,
};

/// Counts what each thread holds, and the most it held.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    /// Files that this thread tried, which is one test.
    static TRIED: Cell<u64> = const { Cell::new(0) };
    /// When this thread last asked how long it computed, and the answer.
    static ASKED: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

fn count(change: isize) {
    let live = LIVE.with(|cell| {
        cell.set(cell.get() + change);
        cell.get()
    });
    PEAK.with(|cell| cell.set(cell.get().max(live)));
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of its own on the heap.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that any file may cost besides 16 times its size: windows, and the books of tensor memory.
static FLOOR: AtomicIsize = AtomicIsize::new(4 << 20);

/// For a test binary whose format packs values, or leaves out those that are all the same.
pub fn allow(floor: isize) {
    FLOOR.store(floor, Ordering::Relaxed);
}

/// What any length is replaced by.
pub const LIES: [u64; 8] = [0, 1, 2, 1 << 31, 1 << 32, 1 << 63, u64::MAX, u64::MAX / 4];

/// Longest time that a file may take.
const SLOWEST: Duration = Duration::from_secs(1);

/// How old an answer of [`clock`] may be that a case starts from.
const FRESH: Duration = Duration::from_millis(50);

/// Time that this thread has computed, where the system tells; on a busy machine the wall's clock runs on meanwhile.
fn clock() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    match told.and_then(|text| text.split(' ').next()?.parse().ok()) {
        Some(nanoseconds) => Duration::from_nanos(nanoseconds),
        None => std::time::UNIX_EPOCH.elapsed().unwrap_or_default(),
    }
}

/// Time computed until now or, to ask the system less often, until shortly before.
fn about() -> Duration {
    match ASKED.get() {
        Some((when, answer)) if when.elapsed() < FRESH => answer,
        _ => {
            let answer = clock();
            ASKED.set(Some((Instant::now(), answer)));
            answer
        }
    }
}

/// Ends a test that tried many files: that they were so many.
pub fn tried(at_least: u64) {
    let tried = TRIED.get();
    println!("{}: {tried} files", std::thread::current().name().unwrap_or_default());
    assert!(tried >= at_least, "{tried} files, not {at_least}");
}

/// Does everything that can be done with a file; whether it opened and every tensor could be read.
pub fn poke(bytes: &[u8]) -> bool {
    poke_source(&|| Source::memory(bytes.to_vec(), "hostile"), bytes.len())
}

/// [`poke`] for a file with others beside it; `size` is the bytes of all of them.
pub fn poke_source(source: &dyn Fn() -> Source, size: usize) -> bool {
    TRIED.set(TRIED.get() + 1);
    // The first chunk of tensor memory is address space and no file's; tensors in it are counted where they are read.
    static CHUNK: LazyLock<Tensor> = LazyLock::new(|| Tensor::zeros(&[1 << 16]).unwrap());
    LazyLock::force(&CHUNK);
    let base = LIVE.get();
    PEAK.set(base);
    let limit = 16 * size as isize + FLOOR.load(Ordering::Relaxed);
    let (computed, start) = (about(), Instant::now());
    let good = everything(source(), limit);
    let peak = PEAK.get() - base;
    assert!(peak <= limit, "{peak} bytes held for a file of {size}");
    if start.elapsed() > SLOWEST {
        let spent = clock() - computed;
        assert!(spent < SLOWEST + FRESH, "{spent:?} for a file of {size} bytes");
    }
    good
}

fn everything(source: Source, limit: isize) -> bool {
    let weights = match from_source(source) {
        Ok(weights) => weights,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    let mut good = true;
    for entry in weights.entries() {
        let raw = weights.raw(&entry.name);
        good &= raw.as_ref().is_ok_and(|raw| Some(raw.bytes.len()) == raw.dtype.bytes(entry.numel()));
        drop(raw);
        if let Ok(tensor) = weights.get(&entry.name) {
            let bytes = size_of_val(tensor.strided()) as isize;
            assert!(bytes <= limit, "a tensor of {bytes} bytes, {limit} allowed");
            let values = tensor.contiguous();
            let _ = values.as_slice().map(|values| examine(entry, &Statistics::of(values)));
        }
        let _ = weights.get_i64(&entry.name);
    }
    let dialect = Dialect::detect(&weights).ok();
    let _ = examine_names(&weights, dialect.as_ref());
    if let Some(dialect) = dialect {
        as_a_model(&weights, &dialect);
    }
    good
}

/// What a model that knows this naming would do with a file.
fn as_a_model(weights: &Weights, dialect: &Dialect) {
    let _ = guess(weights, dialect);
    let _ = examine_colours(weights, dialect);
    let options = Options { any_architecture: true, ..Options::default() };
    let _ = read(&dialect.all_targets(weights), weights, dialect, options);
}

/// Every beginning of a file; how many opened.
pub fn cut_at_every_byte(seed: &[u8]) -> usize {
    (0..seed.len()).filter(|&end| poke(&seed[..end])).count()
}

/// Every bit of the first 4 KiB flipped; some but not all open.
pub fn every_bit_flipped(seed: &[u8]) {
    let bits = 8 * seed.len().min(4096);
    let mut opened = 0;
    for bit in 0..bits {
        let mut bytes = seed.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        opened += usize::from(poke(&bytes));
    }
    assert!(opened > 0 && opened < bits, "{opened} of {bits} opened");
}

/// `cases` files, each the seed with one to eight random changes, the same every time; some but not all open.
pub fn mutations(seed: &[u8], cases: u64, salt: u64) {
    mutations_of(&[seed.to_vec()], cases, salt, &mut |files| poke(&files[0]));
}

/// [`mutations`] of any of several files; `poke` says whether what was made of them opened.
pub fn mutations_of(seeds: &[Vec<u8>], cases: u64, salt: u64, poke: &mut dyn FnMut(&[Vec<u8>]) -> bool) {
    let mut opened = 0;
    for case in 0..cases {
        let mut random = Random(case << 8 | salt);
        let mut files = seeds.to_vec();
        for _ in 0..1 + random.below(8) {
            let file = if seeds.len() == 1 { 0 } else { random.below(seeds.len()) };
            mutate(&mut files[file], &mut random);
        }
        opened += u64::from(poke(&files));
    }
    assert!((cases / 2000..cases * 15 / 16).contains(&opened), "{opened} of {cases} opened");
}

/// One random change: a bit, a byte, bytes lost, doubled or overwritten by a length that lies.
pub fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return;
    }
    let at = random.below(bytes.len());
    let len = 1 + random.below(8.min(bytes.len() - at));
    match random.below(7) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.next() as u8,
        2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'9'][random.below(8)],
        3 => drop(bytes.drain(at..at + len)),
        4 => {
            let piece = bytes[at..at + len].to_vec();
            let to = random.below(bytes.len());
            drop(bytes.splice(to..to, piece));
        }
        5 => {
            let lie = LIES[random.below(LIES.len())].to_le_bytes();
            (0..len).for_each(|i| bytes[at + i] = lie[i]);
        }
        _ => {
            let digits = LIES[random.below(LIES.len())].to_string();
            drop(bytes.splice(at..at + len, digits.into_bytes()));
        }
    }
}
