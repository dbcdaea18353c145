//! The writers' lock: one word that names its owner, bounded waits, and takeover after the owner's death.
//!
//! **One lock, not one per shard.** Capacity is exact and a small cache's victim is exact: both are statements about
//! the whole table, so shards would have to trade room with each other under a second lock, and a death in the middle
//! of such a trade would need its own repair. What a lock guards here takes well under a microsecond, readers never
//! take it, and a miss has computed something before. With one lock, capacity, order, `clear`, allocation and repair
//! are each one plain paragraph. What shards would have bought, that a stopped owner blocks only some of the keys, is
//! bought otherwise: who has waited in vain for an owner does not wait for that same acquisition again (`Waited`).
//!
//! The word is 0 (free), `DIRTY` (free, but its last owner unwound) or the owner's identity. Whoever finds the owner
//! dead exchanges the dead identity for its own, in one compare-and-swap, and repairs everything the lock guards before
//! anything else. If it dies in there, the next one does the same: repair starts from the slots alone and may be run
//! any number of times.

use crate::shm::atomic::{pause, Ordering};
use crate::shm::core::Core;
use crate::shm::error::Busy;
use crate::shm::layout::ctl;
use std::time::Duration;

/// Nobody has it, but what it guards must be repaired first. No identity: slot 0 is nobody's.
const DIRTY: u64 = 1 << 63;

/// How long a store waits for the lock before it is skipped.
pub(crate) const STORE_PATIENCE: Duration = Duration::from_millis(200);
/// How long `clear` and `remove`, which must not be skipped silently, wait.
pub(crate) const PATIENT: Duration = Duration::from_secs(2);

/// The lock is held: all that is derived (index, bitmap, counts, free slots) may be read and changed.
pub(crate) struct Guard<'a> {
    core: &'a Core,
    me: u64,
}

/// The bound of one wait.
struct Waited {
    steps: u32,
    #[cfg(not(loom))]
    since: Option<std::time::Instant>,
}

impl Waited {
    fn new() -> Waited {
        Waited {
            steps: 0,
            #[cfg(not(loom))]
            since: None,
        }
    }

    /// Waits a little; false once `patience` is used up.
    fn more(&mut self, patience: Duration) -> bool {
        pause(self.steps);
        self.steps += 1;
        #[cfg(loom)]
        return self.steps < 4 + patience.subsec_nanos();
        #[cfg(not(loom))]
        if self.steps < 6 {
            true
        } else {
            self.since.get_or_insert_with(std::time::Instant::now).elapsed() < patience
        }
    }

    /// Whether it is time to ask the kernel about the owner: not for the first few microseconds.
    fn suspicious(&self) -> bool {
        cfg!(loom) || (self.steps >= 12 && self.steps % 8 == 4)
    }
}

impl Core {
    pub(crate) fn lock(&self, patience: Duration) -> Result<Guard<'_>, Busy> {
        let me = self.writer_identity();
        if me == 0 || self.region.poisoned() {
            return Err(Busy);
        }
        self.me.contenders.fetch_add(1, Ordering::Relaxed);
        let got = self.contend(me, patience);
        if got.is_err() {
            self.me.contenders.fetch_sub(1, Ordering::Relaxed);
        }
        got
    }

    fn contend(&self, me: u64, patience: Duration) -> Result<Guard<'_>, Busy> {
        let at = ctl!(lock);
        let mut waited = Waited::new();
        loop {
            // Acquire: pairs with the release in `Guard::drop`; all that the last owner wrote is seen.
            let seen = match self.region.get(at) {
                0 => match self.region.cas(at, 0, me, Ordering::Acquire) {
                    Ok(_) => return Ok(self.entered(me, false)),
                    Err(seen) => seen,
                },
                seen => seen,
            };
            // This very acquisition was waited for in vain before: no second time, unless the caller is a patient one.
            let stuck = patience <= STORE_PATIENCE
                && self.me.stuck_owner.load(Ordering::Relaxed) == seen
                && self.me.stuck_seq.load(Ordering::Relaxed) == self.region.get(ctl!(lock_seq));
            let owner_is_gone = seen == DIRTY || ((stuck || waited.suspicious()) && self.is_dead(seen));
            if owner_is_gone {
                // Acquire as above. What a dead owner had written, the kernel's news of its death has ordered before
                // us.
                if self.region.cas(at, seen, me, Ordering::Acquire).is_ok() {
                    return Ok(self.entered(me, true));
                }
                continue;
            }
            if stuck || !waited.more(patience) {
                // Ours, but none of our threads has it: only damage to the file looks like this.
                let alone = self.me.contenders.load(Ordering::Relaxed) == 1;
                if seen == me && alone && self.region.cas(at, seen, me, Ordering::Acquire).is_ok() {
                    return Ok(self.entered(me, true));
                }
                self.me.stuck_seq.store(self.region.get(ctl!(lock_seq)), Ordering::Relaxed);
                self.me.stuck_owner.store(seen, Ordering::Relaxed);
                return Err(Busy);
            }
        }
    }

    fn entered(&self, me: u64, after_death: bool) -> Guard<'_> {
        // From here on, an unwinding thread leaves `DIRTY` behind.
        let guard = Guard { core: self, me };
        self.region.set(ctl!(lock_seq), self.region.get(ctl!(lock_seq)).wrapping_add(1));
        if after_death {
            self.repair();
        }
        self.finish_clear();
        guard
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let after = if std::thread::panicking() { DIRTY } else { 0 };
        // Only damage to the file can have given the lock to somebody else; then it is not ours to free.
        if self.core.region.get(ctl!(lock)) == self.me {
            // Release: pairs with the acquire in `lock`.
            self.core.region.store(ctl!(lock), after, Ordering::Release);
        }
        self.core.me.contenders.fetch_sub(1, Ordering::Relaxed);
    }
}
