//! The fence: after an invalidation has returned, nobody is served what was being computed before it.
//!
//! A key has one of the *fences* in the file, a stamp that its hash names. A computation notes the cache's generation and
//! the stamp as it begins (`Began`). An invalidation, and a store by hand, change the stamp while they hold the writers'
//! lock; and a store, which holds it as well, is refused if what it has noted has changed. So of an invalidation and a
//! store, whichever comes first: the entry was stored before and is removed, or is refused. A lease bears what was noted
//! when it was given out, and is void once that has changed: whoever comes gets another one at once, and whoever waits for
//! it looks again.
//!
//! Keys that share a stamp fence each other: one in 2,048. That costs a computation, no more.
//!
//! **Without the lock** (a writer is stopped, or this process has no line) the generation is raised, which needs no lock:
//! all entries are void, also the one that the stopped writer may be about to publish, which bears the generation of when
//! it was written. Only a file that is lost to this process cannot be written to at all.
//!
//! **A death** before the stamp changes, or between that and the removal, is one of a call that has not returned. A stamp
//! says nothing by itself, so none is ever repaired; stamps are anything at the start, so that what damage leaves is hardly
//! ever one that has been.

use crate::error::Busy;
use crate::file::atomic::Ordering;
use crate::file::layout::{FENCES, FENCES_AT};
use crate::file::units::{Offset, Slot};
pub(crate) use crate::interface::Began;
use crate::process::lock::{WriteGuard, CLEAR_TIMEOUT, STORE_TIMEOUT};
use crate::table::block::ReadBuf;
use crate::table::head::{Freshness, Terms};
use crate::table::storing::{Put, Stored};
use crate::table::tags::Tags;
use crate::table::Table;
use engine::hashing::GOLDEN;

/// The fence can be switched off in builds with debug assertions, for a test that is to find it missing.
#[cfg(debug_assertions)]
pub mod mutant {
    use std::sync::atomic::{AtomicBool, Ordering};

    static OFF: AtomicBool = AtomicBool::new(false);

    pub fn switch_off() {
        // Relaxed: a mark on which nothing else hangs.
        OFF.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_off() -> bool {
        OFF.load(Ordering::Relaxed)
    }
}

/// Whether stores are to be refused that were fenced: always, but for a test.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    #[cfg(debug_assertions)]
    return !mutant::is_off();
    #[cfg(not(debug_assertions))]
    return true;
}

impl Began {
    /// Both in one word. Both only grow (but for a generation that is drawn at random), so this is the same only if both are.
    pub(crate) fn word(self) -> u64 {
        self.generation.wrapping_mul(GOLDEN.rotate_left(32) | 1).wrapping_add(self.stamp)
    }
}

/// Where the bits of a hash begin that name its fence.
const FENCE_BITS_AT: u32 = 20;

pub(crate) fn fence_at(hash: u64) -> Offset {
    FENCES_AT + 8 * (hash >> FENCE_BITS_AT & (FENCES - 1))
}

impl Table {
    /// Notes how the key's fence stands.
    #[inline]
    pub(crate) fn begin(&self, hash: u64) -> Began {
        // Acquire: pairs with the release in `raise_fence`. What had been done before an invalidation that this counts is seen by
        // the computation.
        let stamp = self.region.load(fence_at(hash), Ordering::Acquire);
        Began { generation: self.generation(), stamp }
    }

    /// Whether nothing has fenced a computation that began so, with these tags.
    pub(crate) fn is_current(&self, hash: u64, began: Began, tags: &Tags) -> bool {
        self.begin(hash) == began && self.are_not_invalidated(tags)
    }

    pub(crate) fn prefetch_fence(&self, hash: u64) {
        self.region.prefetch(fence_at(hash));
    }

    /// Refuses what has begun before. Under the lock, so that no store is between its look at the fence and its end.
    pub(crate) fn raise_fence(&self, _: &WriteGuard<'_>, hash: u64) {
        #[cfg(loom)]
        if self.mutant == crate::table::Mutant::NoStamp {
            return;
        }
        self.region.add(fence_at(hash), GOLDEN, Ordering::AcqRel);
    }

    /// Makes everything void that is in the cache or being computed, without a lock.
    #[cold]
    pub(crate) fn void_all(&self) -> Result<(), Busy> {
        self.begin_clear();
        if self.region.truncated() {
            return Err(Busy);
        }
        Ok(())
    }

    /// Fences without the lock: everything, but for a process that cannot map what is in the file (and takes no lock to store)
    /// where the index has nothing of the key.
    #[cold]
    fn fence_otherwise(&self, hash: u64) -> Result<(), Busy> {
        if let Some(guard) = self.lock_out_of_reach() {
            if self.search(hash, Some).is_none() {
                self.raise_fence(&guard, hash);
                return Ok(());
            }
        }
        // Before the generation: a computation that is to be stored over a clear reads that one first, so it finds that this
        // was more.
        self.region.add(fence_at(hash), GOLDEN, Ordering::AcqRel);
        self.void_all()
    }

    /// Takes the key's entry away, and fences: whether there was one.
    pub(crate) fn invalidate(&self, key: &[u8]) -> Result<bool, Busy> {
        let hash = self.hash(key);
        let Ok(guard) = self.lock(CLEAR_TIMEOUT) else {
            let found = self.find(hash, key, &mut ReadBuf::new());
            self.fence_otherwise(hash)?;
            return Ok(found.is_some_and(|hit| self.freshness(&hit) != Freshness::Gone));
        };
        self.raise_fence(&guard, hash);
        self.drop_entry(&guard, hash, key)
    }

    /// Fences the computations of all keys that are under way. O(fences). Where the lock cannot be had, all entries are void.
    #[cold]
    pub(crate) fn fence_all(&self) -> Result<(), Busy> {
        let Ok(guard) = self.lock(CLEAR_TIMEOUT) else {
            return self.void_all();
        };
        for fence in 0..FENCES {
            self.raise_fence(&guard, fence << FENCE_BITS_AT);
        }
        if self.owns() {
            return Ok(());
        }
        self.void_all()
    }

    /// Under the lock: takes the key's entry away, or else everything.
    pub(crate) fn drop_entry(&self, guard: &WriteGuard<'_>, hash: u64, key: &[u8]) -> Result<bool, Busy> {
        let removed = self.remove(guard, hash, key);
        if self.owns() {
            if let Ok(removed) = removed {
                return Ok(removed);
            }
        }
        self.void_all()?;
        Ok(removed.unwrap_or(true))
    }

    /// Stores by hand, over whatever is there, and fences. What cannot be stored leaves no older entry behind.
    pub(crate) fn put_by_hand(&self, key: &[u8], value: &[u8], terms: &Terms) -> Result<Stored, Busy> {
        let hash = self.hash(key);
        let block = self.prepare(hash, key, value, terms);
        self.prefetch(hash);
        let Ok(guard) = self.lock(STORE_TIMEOUT) else {
            let why = self.why_busy();
            self.fence_otherwise(hash)?;
            return Ok(why);
        };
        let stored = block.map_or_else(|why| why, |block| self.put(&guard, key, &block, Put::WHATEVER));
        if !matches!(stored, Stored::Done(_)) {
            self.drop_entry(&guard, hash, key)?;
        }
        // After the entry: who begins from here on has found it.
        self.raise_fence(&guard, hash);
        Ok(stored)
    }

    /// Takes the key's entry away if it is no longer fresh, unless what has begun so was fenced.
    pub(crate) fn drop_stale(&self, hash: u64, key: &[u8], began: Began, tags: &Tags) {
        let Ok(guard) = self.lock(STORE_TIMEOUT) else { return };
        if !self.is_current(hash, began, tags) {
            return;
        }
        let found = self.find(hash, key, &mut ReadBuf::new());
        if found.is_some_and(|hit| self.freshness(&hit) == Freshness::Stale) {
            // (What cannot be removed is damaged, and healed by whoever comes.)
            let _ = self.remove(&guard, hash, key);
        }
    }

    /// Takes the entry away that a computation was to take the place of, if it is still that one.
    pub(crate) fn drop_if_unchanged(&self, slot: Slot, word: u64) {
        if let Ok(_guard) = self.lock(STORE_TIMEOUT) {
            let now = self.word(slot);
            if now.bits() == word && !now.is_free() {
                self.discard(slot);
            }
        }
    }
}
