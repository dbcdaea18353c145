//! The keys that a thread computes under a lease: to wait for one of those would never end.
//!
//! Ring 3. A thread computes in two ways: itself, further down its stack, or in a task of its event loop, which goes on only
//! once the thread is back there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use concurrency::{fork, thread_id};

thread_local! {
    /// The keys that this thread computes under a lease, as their hashes (which the seeds of files tell apart).
    static COMPUTING: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// The registration of a key as being computed by this thread; ends when dropped.
pub(super) struct Computing(u64);

impl Computing {
    pub fn begin(hash: u64) -> Computing {
        let _ = COMPUTING.try_with(|keys| keys.try_borrow_mut().map(|mut keys| keys.push(hash)));
        Computing(hash)
    }

    /// Whether this very thread computes the key: to wait for it would never end.
    pub fn has(hash: u64) -> bool {
        COMPUTING.try_with(|keys| keys.try_borrow().is_ok_and(|keys| keys.contains(&hash))).unwrap_or(false)
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        let _ = COMPUTING.try_with(|keys| {
            let mut keys = keys.try_borrow_mut().ok()?;
            // Greenlets of one thread may end in any order.
            let at = keys.iter().rposition(|hash| *hash == self.0)?;
            Some(keys.swap_remove(at))
        });
    }
}

/// A key, as its hash, a thread, and the process that it is of (`fork::epoch`).
type ByThread = (u64, thread_id::ThreadId, u64);

/// How many tasks compute which keys, by the threads of their loops. (A task that is lost with its loop may be dropped by another
/// thread.) Held for a few steps by threads that are attached, so no fork leaves it locked.
static BY_TASKS: Mutex<BTreeMap<ByThread, u32>> = Mutex::new(BTreeMap::new());
/// How many keys there are, for those who need not look.
static KEYS: AtomicUsize = AtomicUsize::new(0);

fn by_tasks() -> MutexGuard<'static, BTreeMap<ByThread, u32>> {
    BY_TASKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The registration of a key as being computed by a task of this thread's event loop; ends when dropped.
#[derive(Debug)]
pub(super) struct ByTask(ByThread);

impl ByTask {
    pub fn begin(hash: u64) -> ByTask {
        let key = (hash, thread_id::current(), fork::epoch());
        let mut all = by_tasks();
        *all.entry(key).or_default() += 1;
        // Relaxed: this thread's own keys are all that it looks for.
        KEYS.store(all.len(), Ordering::Relaxed);
        ByTask(key)
    }

    /// Whether a task of this thread computes the key: it cannot go on while the thread waits.
    #[inline]
    pub fn is_here(hash: u64) -> bool {
        KEYS.load(Ordering::Relaxed) != 0 && by_tasks().contains_key(&(hash, thread_id::current(), fork::epoch()))
    }
}

impl Drop for ByTask {
    fn drop(&mut self) {
        let mut all = by_tasks();
        if let Some(count) = all.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.0);
            }
        }
        KEYS.store(all.len(), Ordering::Relaxed);
    }
}
