//! An open file of a shared cache, as this process uses it: what it counts there, and what it last used.
//!
//! Ring 3. Which file that is, and when it is another one, [`reopen`](super::reopen) says.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::capi::sharing::FREE_THREADED;
use concurrency::thread_id;
use shared::{Event, Freshness, Hit, Remembered, SharedCache};

/// An open file.
pub(crate) struct File {
    pub shm: SharedCache,
    /// The slot that was used last: with a GIL, by its holder.
    last: AtomicU64,
    /// Without one, for each stripe of threads.
    stripes: Box<[Last]>,
    /// Made since the function is no longer what its name says.
    pub(super) renamed: bool,
    /// Nanoseconds for which a value that is no longer fresh is returned while it is computed anew.
    revalidate: u64,
}

/// On cache lines of its own.
#[repr(align(128))]
struct Last(AtomicU64);

impl File {
    pub(super) fn new(shm: SharedCache, renamed: bool, revalidate: u64) -> Self {
        let stripes = if FREE_THREADED { thread_id::stripes() } else { 0 };
        let nothing = || AtomicU64::new(u64::MAX);
        let stripes = (0..stripes).map(|_| Last(nothing())).collect();
        File { shm, last: nothing(), stripes, renamed, revalidate }
    }

    /// The calling thread's memory of the slot it used last. Threads of one stripe may take each other's for theirs.
    #[inline(always)]
    fn last(&self) -> &AtomicU64 {
        if FREE_THREADED {
            &self.stripes[thread_id::index() & (self.stripes.len() - 1)].0
        } else {
            &self.last
        }
    }

    /// Something else is used, or comes in: the next use of that slot is one of its own.
    pub fn forget_last(&self) {
        // Relaxed: as in `hit_again`.
        self.last().store(u64::MAX, Ordering::Relaxed);
    }

    /// Counts something. The thread is attached.
    #[inline(always)]
    pub fn count(&self, event: Event) {
        if FREE_THREADED {
            self.shm.count(thread_id::index() as u64, event);
        } else {
            self.shm.count_alone(0, event);
        }
    }

    /// Whether what was found is there still; stamps the use.
    #[inline(always)]
    pub fn hit_again(&self, hit: &Remembered) -> bool {
        // Relaxed, both: a number that is right or not.
        let before = self.last().load(Ordering::Relaxed);
        let mut slot = before;
        let current = self.shm.hit_again(hit, &mut slot);
        if slot != before {
            self.last().store(slot, Ordering::Relaxed);
        }
        current
    }

    /// Whether what was found is there still, though no longer fresh, and may be returned while it is computed anew; stamps
    /// the use. `Some`: whether that computation is due.
    #[cold]
    pub fn hit_stale(&self, hit: &Remembered) -> Option<bool> {
        if hit.fresh >= hit.end || self.shm.now() >= hit.fresh.saturating_add(self.revalidate) {
            return None;
        }
        // Relaxed, both: as in `hit_again`.
        let mut slot = self.last().load(Ordering::Relaxed);
        let stale = self.shm.hit_while_there(hit, &mut slot) == Freshness::Stale;
        self.last().store(slot, Ordering::Relaxed);
        stale.then(|| self.shm.is_refresh_due(hit))
    }

    /// Whether what was found is there still, without a use.
    pub fn is_there(&self, hit: &Hit) -> bool {
        self.shm.freshness(hit) == Freshness::Fresh
    }
}
