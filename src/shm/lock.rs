//! The locks: one word that names its owner, bounded waits, and takeover after the owner's death.
//!
//! The writers' lock guards what is derived; a small one at each home of leases (see `lease`) guards its records, so that
//! a miss contends for the writers' lock once, to store, and not for its lease as well. Nobody takes one with another held.
//!
//! **One writers' lock, not one per shard.** Capacity is exact and a small cache's victim is exact: both are statements about
//! the whole table, so shards would have to trade room with each other under a second lock, and a death in the middle
//! of such a trade would need its own repair. What a lock guards here takes well under a microsecond, readers never
//! take it, and a miss has computed something before. With one lock, capacity, order, `clear`, allocation and repair
//! are each one plain paragraph. What shards would have bought, that a stopped owner blocks only some of the keys, is
//! bought otherwise: who has waited in vain for an owner does not wait for that same acquisition again (`Waited`).
//!
//! A word is 0 (free), `DIRTY` (free, but its last owner unwound) or the owner's identity. Whoever finds the owner
//! dead exchanges the dead identity for its own, in one compare-and-swap, and repairs everything the lock guards before
//! anything else. (Leases need no repair: their states are right at any moment.) If it dies in there, the next one does the same: repair starts from the slots alone and may be run
//! any number of times.

use crate::shm::atomic::{pause, Ordering};
use crate::shm::core::Core;
use crate::shm::error::Busy;
use crate::shm::layout::ctl;
use core::sync::atomic::AtomicU64;
use std::time::Duration;

/// Nobody has it, but what it guards must be repaired first. No identity: slot 0 is nobody's.
const DIRTY: u64 = 1 << 63;

/// How long a store waits for the lock before it is skipped.
pub(crate) const STORE_PATIENCE: Duration = Duration::from_millis(200);
/// How long `clear` and `remove`, which must not be skipped silently, wait.
pub(crate) const PATIENT: Duration = Duration::from_secs(2);

/// Where a lock lies in the file: its word, and the number of acquisitions so far.
#[derive(Clone, Copy)]
pub(crate) struct LockAt {
    pub(crate) word: u64,
    pub(crate) seq: u64,
}

const WRITERS: LockAt = LockAt { word: ctl!(lock), seq: ctl!(lock_seq) };

/// A lock is held.
pub(crate) struct Held<'a> {
    core: &'a Core,
    me: u64,
    at: LockAt,
}

/// The writers' lock is held: all that is derived (index, bitmap, counts, free slots) may be read and changed.
pub(crate) struct Guard<'a> {
    _held: Held<'a>,
}

/// The acquisition that this process has waited for in vain.
#[derive(Default)]
pub(crate) struct Stuck {
    owner: AtomicU64,
    /// Its number, and which lock it is.
    acquisition: AtomicU64,
}

impl Stuck {
    fn is(&self, owner: u64, acquisition: u64) -> bool {
        self.owner.load(Ordering::Relaxed) == owner && self.acquisition.load(Ordering::Relaxed) == acquisition
    }

    fn set(&self, owner: u64, acquisition: u64) {
        self.acquisition.store(acquisition, Ordering::Relaxed);
        self.owner.store(owner, Ordering::Relaxed);
    }
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
    /// Takes the writers' lock, and does first what a death or a clear has left to do.
    pub(crate) fn lock(&self, patience: Duration) -> Result<Guard<'_>, Busy> {
        let (held, after_death) = self.hold(WRITERS, &self.me.stuck, patience)?;
        let guard = Guard { _held: held };
        if after_death {
            self.repair();
        }
        self.finish_clear();
        self.audit_if_due();
        Ok(guard)
    }

    /// Takes a lock; says whether its last owner died or unwound with it.
    pub(crate) fn hold(&self, at: LockAt, stuck: &Stuck, patience: Duration) -> Result<(Held<'_>, bool), Busy> {
        let me = self.writer_identity();
        if me == 0 || self.region.poisoned() {
            return Err(Busy);
        }
        self.me.contenders.fetch_add(1, Ordering::Relaxed);
        match self.contend(at, me, stuck, patience) {
            Ok(after_death) => {
                // From here on, an unwinding thread leaves `DIRTY` behind.
                let held = Held { core: self, me, at };
                self.region.set(at.seq, self.region.get(at.seq).wrapping_add(1));
                Ok((held, after_death))
            }
            Err(busy) => {
                self.me.contenders.fetch_sub(1, Ordering::Relaxed);
                Err(busy)
            }
        }
    }

    fn contend(&self, at: LockAt, me: u64, stuck: &Stuck, patience: Duration) -> Result<bool, Busy> {
        let acquisition = || at.word << 32 ^ self.region.get(at.seq);
        let mut waited = Waited::new();
        loop {
            // Acquire: pairs with the release in `Held::drop`; all that the last owner wrote is seen.
            let seen = match self.region.get(at.word) {
                0 => match self.region.cas(at.word, 0, me, Ordering::Acquire) {
                    Ok(_) => return Ok(false),
                    Err(seen) => seen,
                },
                seen => seen,
            };
            // This very acquisition was waited for in vain before: no second time, unless the caller is a patient one.
            let is_stuck = patience <= STORE_PATIENCE && stuck.is(seen, acquisition());
            let owner_is_gone = seen == DIRTY || ((is_stuck || waited.suspicious()) && self.is_dead(seen));
            if owner_is_gone {
                // Acquire as above. What a dead owner had written, the kernel's news of its death has ordered before
                // us.
                if self.region.cas(at.word, seen, me, Ordering::Acquire).is_ok() {
                    return Ok(true);
                }
                continue;
            }
            if is_stuck || !waited.more(patience) {
                // Ours, but none of our threads has it: only damage to the file looks like this.
                let alone = self.me.contenders.load(Ordering::Relaxed) == 1;
                if seen == me && alone && self.region.cas(at.word, seen, me, Ordering::Acquire).is_ok() {
                    return Ok(true);
                }
                stuck.set(seen, acquisition());
                return Err(Busy);
            }
        }
    }
}

impl Held<'_> {
    /// The identity under which the lock was taken.
    pub(crate) fn owner(&self) -> u64 {
        self.me
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let after = if std::thread::panicking() { DIRTY } else { 0 };
        // Only damage to the file can have given the lock to somebody else; then it is not ours to free.
        if self.core.region.get(self.at.word) == self.me {
            // Release: pairs with the acquire in `contend`.
            self.core.region.store(self.at.word, after, Ordering::Release);
        }
        self.core.me.contenders.fetch_sub(1, Ordering::Relaxed);
    }
}
