//! Storing and removing entries, under the lock.
//!
//! What a death leaves at each point of a store, and why it is harmless: before `publish` the slot's word says what it
//! said before (granules, an index cell, a count may be wrong: derived, rebuilt); after it the entry is there. A
//! replacement is published over the old word in one store, so the key is never absent in between. Eviction stores one
//! word, too.

use crate::file::layout::ctl;
use crate::file::units::{GranuleIndex, Offset, Slot, Word};
pub(crate) use crate::interface::Stored;
use crate::process::lease::Lease;
use crate::process::lock::WriteGuard;
use crate::table::block::{Prepared, ReadBuf};
use crate::table::fences::{self, Began};
use crate::table::head::Freshness;
use crate::table::index::Unfit;
use crate::table::reading::{Hit, NoMemory, NEVER};
use crate::table::Table;
use std::sync::atomic::Ordering::Relaxed;

/// Entries of a cache that is small: its tables are some 100 kB.
const NEAR: u64 = 1024;

/// How to store.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// Store only if nothing has fenced a computation that began so.
    pub began: Option<Began>,
    /// Store only if there is no fresh entry but the one with this word.
    pub over: Option<u64>,
    /// Over any entry at all as long as this lease is held: under the lock no later one has stored anything then.
    pub prevailing: Option<&'a Lease>,
    /// Store only if no clear has begun since this was the generation: what was decided by an entry of before is over.
    pub decided: Option<u64>,
    /// The key's entry, as it was found under this lock: no search for it is needed while the slot's word stands.
    pub found: Option<Hit>,
    /// The present moment, where it was read under this lock.
    pub now: Option<u64>,
    /// What it is to the entry that it replaces.
    pub is: Use,
}

/// What a store is to the entry that it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A use like any other.
    New,
    /// One that the policy has heard of already.
    Seen,
    /// None.
    Nothing,
}

impl Put<'_> {
    /// Whatever has happened.
    pub const WHATEVER: Put<'static> =
        Put { began: None, over: None, prevailing: None, decided: None, found: None, now: None, is: Use::New };
    /// The same, of which the policy does not hear where there is an entry.
    pub const UNNOTICED: Put<'static> = Put { is: Use::Nothing, ..Put::WHATEVER };
    /// The same of an entry that its caller has looked at.
    pub const SEEN: Put<'static> = Put { is: Use::Seen, ..Put::WHATEVER };
}

impl Table {
    /// Before the lock is taken: brings near what `put` will touch.
    pub(crate) fn prefetch(&self, hash: u64) {
        if self.is_near() {
            return;
        }
        self.prefetch_bucket(hash);
        self.prefetch_fence(hash);
        if self.region.get(ctl!(count)) >= self.max_entries() {
            self.prefetch_victim();
        }
    }

    /// Whether this process has a small file's tables in its processor's caches, as far as one can tell: nobody has stored
    /// anything since it did itself.
    fn is_near(&self) -> bool {
        self.max_entries() <= NEAR && self.stored_at.load(Relaxed) == self.changes()
    }

    /// Under the lock: what is in the file was in this process's hands a moment ago.
    pub(crate) fn note_stored(&self, _: &WriteGuard<'_>) {
        self.stored_at.store(self.changes(), Relaxed);
    }

    pub(crate) fn put(&self, guard: &WriteGuard<'_>, key: &[u8], block: &Prepared, how: Put<'_>) -> Stored {
        let repairs = self.region.get(ctl!(repairs));
        match self.put_once(guard, key, block, how) {
            // What was out of order is repaired by now.
            Stored::NoSpace | Stored::Damaged if self.region.get(ctl!(repairs)) != repairs => {
                self.put_once(guard, key, block, how)
            }
            stored => stored,
        }
    }

    fn put_once(&self, guard: &WriteGuard<'_>, key: &[u8], block: &Prepared, how: Put<'_>) -> Stored {
        let now = self.begin(block.hash);
        let generation = now.generation;
        let is_fenced = how.began.is_some_and(|began| began != now || !self.are_current(&block.terms.tags));
        let is_cleared = how.decided.is_some_and(|decided| decided != generation);
        if (is_fenced && fences::is_on()) || is_cleared {
            return Stored::Outdated;
        }
        if self.region.get(ctl!(min_deadline)) != NEVER {
            self.expire(how.now.unwrap_or_else(|| self.now()));
        }
        self.region.forget_refusal();
        self.cramped.store(0, Relaxed);
        let mut broken = None;
        let old = match how.found.filter(|hit| self.word(Slot::new(hit.slot)).bits() == hit.word) {
            Some(hit) => Some(hit),
            None => match self.find_or(block.hash, key, &mut ReadBuf::new(), |slot| broken = Some(slot)) {
                Ok(found) => found,
                Err(NoMemory) => return self.no_memory(),
            },
        };
        if let Some(slot) = broken.filter(|_| old.is_none()) {
            self.discard(slot);
        }
        if let (Some(over), Some(old)) = (how.over, &old) {
            let prevails = || how.prevailing.is_some_and(|lease| self.is_held(lease));
            if old.word != over && self.freshness(old) == Freshness::Fresh && !prevails() {
                return Stored::Outdated;
            }
        }
        let placed = match old {
            Some(old) => self
                .make_room(guard, block.granules)
                .and_then(|index| self.replace(guard, Slot::new(old.slot), index, generation, block, how.is)),
            None => self
                .place_new(guard, block)
                .and_then(|(slot, index)| self.insert(guard, slot, index, generation, block)),
        };
        match placed {
            Some((slot, word)) => {
                let (fresh, end) = (block.terms.fresh.min(block.terms.end), block.terms.end);
                Stored::Done(self.hit(slot, word, generation, block.lengths(), fresh, end))
            }
            None if !self.owns() => Stored::Busy,
            None if self.region.refused() != 0 => Stored::NoSpace,
            None => Stored::Damaged,
        }
    }

    /// A free slot and granules (marked as used) for a new entry, at the expense of others if need be.
    fn place_new(&self, guard: &WriteGuard<'_>, block: &Prepared) -> Option<(Slot, GranuleIndex)> {
        if self.region.get(ctl!(count)) >= self.max_entries() && !self.is_full() {
            // Damage: by the count there is no room, by the slots there is.
            self.mend();
        }
        if self.region.get(ctl!(count)) == self.max_entries() {
            let Some(victim) = self.victim() else {
                // Damage: by the count the cache is full, by the slots it is empty.
                self.mend();
                return None;
            };
            self.add_guarded(ctl!(evictions), 1);
            if let Some(index) = self.reuse_victim(victim, block.granules) {
                return Some((victim, index));
            }
            self.discard(victim);
        }
        if !self.make_count() {
            return None;
        }
        let index = self.make_room(guard, block.granules)?;
        let slot = self.take_free(guard);
        if slot.is_none() {
            // (After a repair they are free already.)
            self.mark(index, block.granules, false);
        }
        slot.map(|slot| (slot, index))
    }

    /// Whether a cache that has as many entries as there may be looks like one: no slot is free.
    fn is_full(&self) -> bool {
        self.region.get(ctl!(count)) == self.max_entries()
            && self.region.get(ctl!(free_head)) == 0
            && self.slot_high() == self.geo.capacity
    }

    /// The usual eviction: the newcomer is as large as the victim and takes over slot and granules as they are.
    fn reuse_victim(&self, victim: Slot, granules: u64) -> Option<GranuleIndex> {
        let granule = self.word(victim).granule();
        let head = self.head(granule).filter(|head| head.granules == granules)?;
        if !self.owns() || !self.leave_order(victim) || !self.index_remove(head.hash, victim) {
            return None;
        }
        self.unpublish(victim);
        self.add_guarded(ctl!(count), u64::MAX);
        self.note_slot(victim, [u64::MAX, granules.wrapping_neg(), 0]);
        Some(head.index)
    }

    /// Fills and publishes a free slot.
    fn insert(
        &self,
        guard: &WriteGuard<'_>,
        slot: Slot,
        index: GranuleIndex,
        generation: u64,
        block: &Prepared,
    ) -> Option<(Slot, Word)> {
        if !self.owns() {
            return None;
        }
        if let Err(unfit) = self.index_insert(guard, block.hash, slot) {
            // (By a repair, slot and granules are free.)
            if matches!(unfit, Unfit::Full) || !self.mend() {
                self.push_free(slot);
                self.mark(index, block.granules, false);
            }
            return None;
        }
        let granule = self.geo.granule(index);
        self.write_block(guard, granule, generation, block);
        self.set_deadline(slot, block.terms.end);
        self.enter_order(slot, block.hash);
        if !self.owns() {
            return None;
        }
        let word = self.publish(guard, slot, granule);
        self.add_guarded(ctl!(count), 1);
        self.note_slot(slot, [1, block.granules, 0]);
        self.join_order(slot);
        self.index_grow(guard);
        Some((slot, word))
    }

    /// Publishes other bytes over those of a slot. (Making room for them may have cost the old ones: then as a new
    /// entry.)
    fn replace(
        &self,
        guard: &WriteGuard<'_>,
        slot: Slot,
        index: GranuleIndex,
        generation: u64,
        block: &Prepared,
        is: Use,
    ) -> Option<(Slot, Word)> {
        if !self.owns() {
            return None;
        }
        let before = self.word(slot);
        if before.is_free() {
            return match self.take_free(guard) {
                Some(slot) => self.insert(guard, slot, index, generation, block),
                None => {
                    self.mark(index, block.granules, false);
                    None
                }
            };
        }
        let granule = self.geo.granule(index);
        self.write_block(guard, granule, generation, block);
        if is == Use::Nothing {
            self.region.set(self.deadline_at(slot), block.terms.end);
            self.note_deadline(block.terms.end);
        } else {
            self.set_deadline(slot, block.terms.end);
        }
        if is == Use::New {
            self.touch_as_writer(slot);
        }
        if !self.owns() {
            return None;
        }
        let word = self.publish(guard, slot, granule);
        self.note_slot(slot, [0, block.granules, 0]);
        self.free_block(slot, before.granule());
        Some((slot, word))
    }

    /// Adds to a word that the writers' lock guards (wrapping).
    pub(crate) fn add_guarded(&self, at: Offset, n: u64) {
        self.region.set(at, self.region.get(at).wrapping_add(n));
    }

    fn set_deadline(&self, slot: Slot, deadline: u64) {
        self.region.set(self.deadline_at(slot), deadline);
        self.note_deadline(deadline.min(self.begin_use(slot)));
    }

    /// Whether there was one: what had ended is taken away, too.
    pub(crate) fn remove(&self, _: &WriteGuard<'_>, hash: u64, key: &[u8]) -> Result<bool, NoMemory> {
        let Some(hit) = self.find_or(hash, key, &mut ReadBuf::new(), |_| {})? else { return Ok(false) };
        let there = self.freshness(&hit) != Freshness::Gone;
        self.discard(Slot::new(hit.slot));
        Ok(there)
    }
}
