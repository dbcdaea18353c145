//! Who a thread is: a number that is never given twice, a small dense index, and what becomes of both after a fork.
//!
//! Ring 2. The operating system reuses its thread identifiers; a record that says "thread 7 computes this" must not be
//! taken for the next thread 7. After a fork only the calling thread lives on, under its old number.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;

/// A thread's number, unique in this process and its ancestors.
pub type ThreadId = u64;

/// The next number. Relaxed: only uniqueness matters.
static NEXT: AtomicU64 = AtomicU64::new(1);
/// Numbers below this one belong to threads that a fork left behind, but for `SURVIVOR`. Relaxed, both: they are written
/// by the only thread of a new process, before it can start another.
static FLOOR: AtomicU64 = AtomicU64::new(0);
static SURVIVOR: AtomicU64 = AtomicU64::new(0);

const UNKNOWN: usize = usize::MAX;

thread_local! {
    static ID: Cell<ThreadId> = const { Cell::new(0) };
    static INDEX: Cell<usize> = const { Cell::new(UNKNOWN) };
    static LEASE: Cell<Option<Lease>> = const { Cell::new(None) };
}

/// The calling thread's number.
pub fn current() -> ThreadId {
    ID.with(|id| {
        if id.get() == 0 {
            id.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        id.get()
    })
}

/// Whether the thread `id` is one of this process rather than one that a fork left behind.
pub fn is_of_this_process(id: ThreadId) -> bool {
    id >= FLOOR.load(Ordering::Relaxed) || id == SURVIVOR.load(Ordering::Relaxed)
}

/// Called in the child after a fork, by its only thread ([`fork`](crate::fork)).
pub(crate) fn after_fork_in_child() {
    SURVIVOR.store(current(), Ordering::Relaxed);
    FLOOR.store(NEXT.load(Ordering::Relaxed), Ordering::Relaxed);
    // The others' indexes are free again.
    let own = INDEX.with(Cell::get);
    for (word, bits) in TAKEN.iter().enumerate() {
        let mine = if own / 64 == word { 1 << (own % 64) } else { 0 };
        bits.fetch_and(mine, Ordering::Relaxed);
    }
}

/// Indexes in use, a bit each; an index is given back when its thread ends, so that they stay dense. Atomics and not a
/// mutex, which a fork could leave locked for ever. Relaxed: an index guards nothing, two threads may share one.
static TAKEN: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

struct Lease(usize);

impl Drop for Lease {
    fn drop(&mut self) {
        TAKEN[self.0 / 64].fetch_and(!(1 << (self.0 % 64)), Ordering::Relaxed);
    }
}

/// The smallest index that no other living thread of this process has (beyond 1,024 threads, any).
#[cfg(not(loom))]
#[inline(always)]
pub fn index() -> usize {
    let index = INDEX.with(Cell::get);
    if index != UNKNOWN {
        return index;
    }
    take_index()
}

#[cfg(loom)]
loom::thread_local! {
    /// The model's threads are coroutines of one real thread, which would have one index: a model gives each its own.
    pub static MODEL_INDEX: Cell<usize> = Cell::new(0);
}

#[cfg(loom)]
pub fn index() -> usize {
    MODEL_INDEX.with(Cell::get)
}

#[cfg_attr(loom, allow(dead_code))]
#[cold]
fn take_index() -> usize {
    for (word, bits) in TAKEN.iter().enumerate() {
        let mut seen = bits.load(Ordering::Relaxed);
        while seen != u64::MAX {
            let bit = (!seen).trailing_zeros() as usize;
            match bits.compare_exchange(seen, seen | 1 << bit, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return keep_index(word * 64 + bit),
                Err(now) => seen = now,
            }
        }
    }
    let index = current() as usize % (TAKEN.len() * 64);
    INDEX.with(|cell| cell.set(index));
    index
}

fn keep_index(index: usize) -> usize {
    INDEX.with(|cell| cell.set(index));
    // While the thread's locals are being destroyed the lease can't be stored and gives the index back at once; two
    // threads may then share a stripe, which is allowed.
    let lease = Lease(index);
    let _ = LEASE.try_with(move |cell| cell.set(Some(lease)));
    index
}

/// How many stripes a lock has: enough that as many threads as can run at once rarely meet.
pub fn stripes() -> usize {
    static STRIPES: OnceLock<usize> = OnceLock::new();
    *STRIPES.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(4, usize::from);
        (cores * 2).next_power_of_two().clamp(2, 64)
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_indexes_are_reused() {
        let here = (current(), index());
        assert_eq!(here, (current(), index()));
        let first = std::thread::spawn(|| (current(), index())).join().unwrap();
        let second = std::thread::spawn(|| (current(), index())).join().unwrap();
        assert!(here.0 != first.0 && first.0 != second.0);
        assert_ne!(here.1, first.1);
        assert!(is_of_this_process(first.0));
    }
}
