//! Tasks on all threads, and the team that does them while a network runs.
//!
//! A network starts hundreds of lists of tasks, each of some ten microseconds. To find a task in the queues of the pool takes a thread
//! a good part of that, and to be woken for it longer than all of it. So the thread that runs a network leads a team: the other
//! threads of the pool watch one place in memory, where it shows its lists one after the other. In between they do whatever else
//! there is for the pool.

use rayon::prelude::*;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// For so long a member watches when there is nothing to do: longer than a thread works alone within a network.
const PATIENCE: Duration = Duration::from_millis(2);
/// For so long it stays at most.
const STAY: Duration = Duration::from_millis(20);
/// Looks between two into the queues of the pool.
const LOOKS: usize = 64;

/// Tasks that are being done.
struct Tasks<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    count: usize,
    /// How many were taken, and of those how many from the front and from the back.
    taken: AtomicUsize,
    ends: [AtomicUsize; 2],
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Tasks<'_> {
    /// Does what nobody else has taken. The leader begins with the first, the others with the last: so a thread mostly gets the part of
    /// a layer's rows whose inputs it has computed, and has in its cache.
    fn work(&self, leads: bool) {
        let work = || {
            while self.taken.fetch_add(1, Ordering::Relaxed) < self.count {
                let before = self.ends[usize::from(leads)].fetch_add(1, Ordering::Relaxed);
                (self.task)(if leads { before } else { self.count - 1 - before });
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            self.taken.store(self.count, Ordering::Relaxed);
            let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            match *first {
                None => *first = Some(panic),
                // To drop it could panic as well.
                Some(_) => std::mem::forget(panic),
            }
        }
    }
}

/// A number that all write, away from those that they watch.
#[repr(align(128))]
struct Apart(AtomicUsize);

/// What a leader shares with its members.
struct Team {
    /// The leader's index in the pool.
    leader: usize,
    /// Lists so far; the present one, or null; members that may be looking at it.
    lists: AtomicUsize,
    tasks: AtomicPtr<Tasks<'static>>,
    inside: Apart,
    /// How many members have left, and how many of those had when the leader last called; one at the start, whom nobody misses.
    left: AtomicUsize,
    called: AtomicUsize,
    done: AtomicBool,
}

thread_local! {
    /// The team that this thread leads.
    static LED: RefCell<Option<Arc<Team>>> = const { RefCell::new(None) };
    /// Whom this thread watches; never read through.
    static WATCHES: Cell<*const Team> = const { Cell::new(std::ptr::null()) };
}

impl Team {
    /// Does all tasks, together with the members that come; called by the leader, while there is no other list.
    fn lead(self: &Arc<Self>, count: usize, task: &(dyn Fn(usize) + Sync)) {
        let left = self.left.load(Ordering::Relaxed);
        if self.called.swap(left, Ordering::Relaxed) != left {
            // Those who watch already do not mind; a call to each thread is one that nobody can take from another.
            let team = self.clone();
            rayon::spawn_broadcast(move |_| team.watch());
        }
        let tasks = Tasks {
            task,
            count,
            taken: AtomicUsize::new(0),
            ends: [const { AtomicUsize::new(0) }; 2],
            panic: Mutex::new(None),
        };
        self.tasks.store((&raw const tasks).cast_mut().cast(), Ordering::SeqCst);
        self.lists.fetch_add(1, Ordering::SeqCst);
        tasks.work(true);
        self.tasks.store(std::ptr::null_mut(), Ordering::SeqCst);
        let mut looks = 0usize;
        while self.inside.0.load(Ordering::SeqCst) > 0 {
            looks += 1;
            wait(looks);
        }
        if let Some(panic) = tasks.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(panic);
        }
    }

    /// Takes part in the present list, if there is one.
    fn help(&self) {
        self.inside.0.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the tasks live as long as the leader is in `lead`. It takes the pointer back before it looks whether anybody is
        // inside; who was counted there later than it looked finds no pointer (all four in the one order of SeqCst).
        if let Some(tasks) = unsafe { self.tasks.load(Ordering::SeqCst).as_ref() } {
            tasks.work(false);
        }
        self.inside.0.fetch_sub(1, Ordering::SeqCst);
    }

    /// Helps until the network has run, or nothing has come for a while, or it has been long: a thread that waits for a task of its own
    /// may have got here, which has to go back and see to it. The leader calls again then.
    fn watch(&self) {
        if rayon::current_thread_index() == Some(self.leader) {
            return;
        }
        let before = WATCHES.replace(self);
        if std::ptr::eq(before, self) {
            return;
        }
        let (mut seen, mut looks, mut since) = (0, 0, Instant::now());
        let start = since;
        while !self.done.load(Ordering::Relaxed) {
            let lists = self.lists.load(Ordering::SeqCst);
            if lists != seen {
                self.help();
                (seen, since) = (lists, Instant::now());
                continue;
            }
            if looks % LOOKS == 0 {
                if rayon::yield_now() == Some(rayon::Yield::Executed) {
                    since = Instant::now();
                    continue;
                }
                if since.elapsed() > PATIENCE || start.elapsed() > STAY {
                    break;
                }
            }
            looks += 1;
            wait(looks);
        }
        WATCHES.set(before);
        self.left.fetch_add(1, Ordering::Relaxed);
    }
}

/// A moment; once in a while it lets other threads of this processor go ahead.
fn wait(looks: usize) {
    if looks.is_multiple_of(4 * LOOKS) {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

/// Runs `f` on a thread of the pool, whose other threads watch meanwhile for what there is to compute. A network of a hundred layers
/// is up to a tenth faster so. One caller at a time is let in, others run `f` where they are: a thread of the pool that waits for
/// others takes up what it finds, which must not be a whole network.
pub fn in_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            TAKEN.store(false, Ordering::Release);
        }
    }
    if rayon::current_thread_index().is_some() || TAKEN.swap(true, Ordering::Acquire) {
        return f();
    }
    let _leave = Leave;
    rayon::scope(|_| with_team(f))
}

/// Runs `f` on this thread of the pool, which leads all others.
pub(crate) fn with_team<R>(f: impl FnOnce() -> R) -> R {
    /// Dismisses the team, however `f` ends.
    struct Dismiss(Arc<Team>);
    impl Drop for Dismiss {
        fn drop(&mut self) {
            LED.take();
            self.0.done.store(true, Ordering::Relaxed);
        }
    }
    let team = Arc::new(Team {
        leader: rayon::current_thread_index().unwrap_or_default(),
        lists: AtomicUsize::new(0),
        tasks: AtomicPtr::default(),
        inside: Apart(AtomicUsize::new(0)),
        left: AtomicUsize::new(1),
        called: AtomicUsize::new(0),
        done: AtomicBool::new(false),
    });
    let _dismiss = Dismiss(team.clone());
    LED.set((rayon::current_num_threads() > 1).then_some(team));
    f()
}

/// Calls `task` with each number below `count`, on all threads.
pub(crate) fn each(count: usize, task: impl Fn(usize) + Send + Sync) {
    // Compiled once, not for every kind of task.
    each_of(count, &task);
}

fn each_of(count: usize, task: &(dyn Fn(usize) + Send + Sync)) {
    if count <= 1 {
        return (0..count).for_each(task);
    }
    let led = LED.with_borrow(|team| match team {
        // A task that has tasks of its own leaves them to the pool.
        Some(team) if team.tasks.load(Ordering::Relaxed).is_null() => {
            team.lead(count, task);
            true
        }
        _ => false,
    });
    if !led {
        (0..count).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// What `task` gives for each number below `count`, in order, computed on all threads.
pub(crate) fn each_result<R: Send + Sync>(count: usize, task: impl Fn(usize) -> R + Send + Sync) -> Vec<R> {
    let results: Vec<OnceLock<R>> = (0..count).map(|_| OnceLock::new()).collect();
    each(count, |i| drop(results[i].set(task(i))));
    results.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// Calls `task` with the number and the value of each item, on all threads.
pub(crate) fn each_item<T: Send>(items: impl Iterator<Item = T>, task: impl Fn(usize, T) + Send + Sync) {
    let items: Vec<_> = items.map(|item| Mutex::new(Some(item))).collect();
    each(items.len(), |i| {
        let item = items[i].lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(item) = item {
            task(i, item);
        }
    });
}

/// Calls `task` with the number and the numbers of each chunk of `size` that `y` consists of, on all threads.
pub(crate) fn each_chunk<T: Send>(y: &mut [T], size: usize, task: impl Fn(usize, &mut [T]) + Send + Sync) {
    each_item(y.chunks_mut(size), task);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::thread::sleep;

    /// Runs `f` as a network in pools of 1 to 5 threads, some of which may be asleep, and without a team.
    fn in_teams(f: impl Fn() + Sync) {
        for threads in 1..=5 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| with_team(&f));
            pool.install(&f);
        }
        f();
    }

    /// `each` of `count`, checked: every number once.
    fn counted(count: usize, task: impl Fn(usize) + Send + Sync) {
        let calls: Vec<_> = (0..count).map(|_| AtomicUsize::new(0)).collect();
        each(count, |i| {
            task(i);
            calls[i].fetch_add(1, Ordering::Relaxed);
        });
        assert!(calls.into_iter().all(|calls| calls.into_inner() == 1));
    }

    #[test]
    fn every_task_runs_once_and_before_the_end() {
        in_teams(|| {
            for count in (0..300).chain([0, 1, 2, 1000]) {
                counted(count, |_| {});
            }
            // Members come late, have lost their patience, or do the longest task.
            for round in 0..4 {
                sleep(PATIENCE * 2);
                counted(8, |i| sleep(Duration::from_micros(if i == round { 3000 } else { 100 })));
            }
        });
    }

    #[test]
    fn members_come_and_come_again() {
        for threads in 2..=4 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let shared = || {
                let threads = Mutex::new(HashSet::new());
                counted(8, |_| {
                    threads.lock().unwrap().insert(std::thread::current().id());
                    sleep(Duration::from_millis(10));
                });
                assert!(threads.into_inner().unwrap().len() > 1, "the leader was alone");
            };
            pool.install(|| {
                with_team(|| {
                    shared();
                    sleep(PATIENCE * 2);
                    shared();
                    let start = Instant::now();
                    while start.elapsed() < 2 * STAY {
                        counted(4, |_| {});
                    }
                    shared();
                });
            });
        }
    }

    #[test]
    fn tasks_have_tasks() {
        in_teams(|| {
            for _ in 0..20 {
                counted(6, |i| counted(i + 3, |_| counted(3, |_| {})));
                let (a, b) = rayon::join(|| counted(9, |_| {}), || counted(7, |_| {}));
                assert_eq!((a, b), ((), ()));
            }
        });
    }

    #[test]
    fn a_panic_arrives_and_the_team_goes_on() {
        in_teams(|| {
            for bad in 0..9 {
                let result = catch_unwind(|| each(9, |i| assert!(i != bad, "task {i}")));
                let message = result.unwrap_err().downcast::<String>().unwrap();
                assert_eq!(*message, format!("task {bad}"));
                counted(50, |_| {});
            }
        });
    }

    #[test]
    fn chunks_are_all_of_it() {
        in_teams(|| {
            for (len, size) in [(0, 3), (1, 3), (3, 3), (100, 7), (1000, 1), (5, 100)] {
                let mut y = vec![0; len];
                each_chunk(&mut y, size, |i, y| {
                    assert!(y.len() == size || i == len / size);
                    y.iter_mut().enumerate().for_each(|(j, y)| *y += i * size + j + 1);
                });
                assert!(y.into_iter().eq(1..=len));
            }
        });
    }

    #[test]
    fn networks_of_many_threads_end() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let sum = AtomicUsize::new(0);
                        let add = |i| _ = sum.fetch_add(i, Ordering::Relaxed);
                        in_pool(|| {
                            for _ in 0..20 {
                                each(10, add);
                                (0..10).into_par_iter().for_each(add);
                            }
                        });
                        assert_eq!(sum.into_inner(), 20 * 90);
                    }
                });
            }
        });
    }
}
