//! Entries as a whole: reading without a lock, storing, removing, making room.
//!
//! What a death leaves at each point of a store, and why it is harmless: before `publish` the slot's word says what it
//! said before (granules, an index cell, a count may be wrong: derived, rebuilt); after it the entry is there. A
//! replacement is published over the old word in one store, so the key is never absent in between. Eviction stores one
//! word, too.

use crate::core::Core;
use crate::file::atomic::Ordering;
use crate::file::layout::ctl;
use crate::hash::siphash13;
use crate::process::lock::Guard;
use crate::table::block::{Prepared, ReadBuf};
use crate::table::index::Unfit;
use crate::table::slots::{granule_of, Slot, Word};

/// No deadline.
pub const NEVER: u64 = u64::MAX;
/// A reader tries so often before it calls it a miss.
const READ_TRIES: u32 = 4;
/// Entries evicted in order for the sake of bytes before those of one stretch are.
const IN_ORDER: u32 = 64;

/// Where a value was found. Remember `slot` and `word`: while `SharedCache::still_current(slot, word)`, it is the
/// value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    pub slot: u64,
    pub word: u64,
    pub generation: u64,
    /// Nanoseconds of `clock::boot_now`; `NEVER` = does not expire.
    pub deadline: u64,
}

impl Hit {
    /// A part of the word that is another one after each change of the slot.
    pub fn version(&self) -> u32 {
        crate::table::slots::version_of(self.word) as u32
    }
}

/// What became of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is in, as this.
    Done(Hit),
    /// Larger than the whole cache.
    TooLarge,
    /// No disk for even one entry.
    NoSpace,
    /// Damage was met, and repaired.
    Damaged,
    /// Between the computation's start and its end the cache was cleared, or the key was stored by somebody else.
    Outdated,
    /// Another process kept the lock for too long.
    Busy,
}

/// How to store.
#[derive(Clone, Copy, Debug)]
pub struct Put {
    /// Store only if the cache has not been cleared since it had this generation.
    pub generation: Option<u64>,
    pub only_if_absent: bool,
}

impl Core {
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        siphash13(self.ident.seed, key)
    }

    /// Acquire: pairs with the release in `begin_clear`. Entries of another generation do not exist.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.region.known(ctl!(generation)).load(Ordering::Acquire)
    }

    /// Copies the entry of `key` into `buf`. Takes no lock, never waits. (Without memory for it: a miss.)
    pub(crate) fn find(&self, hash: u64, key: &[u8], buf: &mut ReadBuf) -> Option<Hit> {
        self.find_or(hash, key, buf, |_| {}).unwrap_or(None)
    }

    /// `find`; says as well which slots have the hash and yet another content. A writer must not take an entry that there
    /// is no memory to look at for an absent one.
    fn find_or(
        &self,
        hash: u64,
        key: &[u8],
        buf: &mut ReadBuf,
        mut broken: impl FnMut(Slot),
    ) -> Result<Option<Hit>, NoMemory> {
        for _ in 0..READ_TRIES {
            let (mut disturbed, mut no_memory) = (false, false);
            let generation = self.generation();
            let hit = self.search(hash, |slot| match self.read_slot(slot, hash, key, generation, buf) {
                Read::Entry(hit) => Some(hit),
                Read::Other => None,
                Read::Broken => {
                    broken(slot);
                    None
                }
                Read::Disturbed => {
                    disturbed = true;
                    None
                }
                Read::NoMemory => {
                    no_memory = true;
                    None
                }
            });
            if hit.is_none() && no_memory {
                return Err(NoMemory);
            }
            if hit.is_some() || !disturbed {
                return Ok(hit);
            }
        }
        Ok(None)
    }

    fn read_slot(&self, slot: Slot, hash: u64, key: &[u8], generation: u64, buf: &mut ReadBuf) -> Read {
        let word = self.word(slot);
        let granule = granule_of(word);
        let Some(head) = self.head(granule) else {
            return if self.unchanged(slot, word) { Read::Other } else { Read::Disturbed };
        };
        if head.hash != hash || head.key_len != key.len() as u64 {
            let other = if head.hash == hash { Read::Broken } else { Read::Other };
            return if self.unchanged(slot, word) { other } else { Read::Disturbed };
        }
        let copied = self.copy_block(granule, &head, buf);
        if !self.unchanged(slot, word) {
            return Read::Disturbed;
        }
        if !copied {
            return Read::NoMemory;
        }
        // From here on `buf` is one consistent state of the block. The sum finds damage, and what a clear has made
        // void.
        if !self.is_whole(generation, granule, buf) || buf.hash() != hash || buf.key() != key {
            return Read::Broken;
        }
        Read::Entry(Hit { slot, word, generation, deadline: buf.deadline() })
    }

    /// Before the lock is taken: brings near what `put` will touch.
    pub(crate) fn prefetch(&self, hash: u64) {
        self.prefetch_bucket(hash);
        if self.region.get(ctl!(count)) >= self.max_entries() {
            self.prefetch_victim();
        }
    }

    pub(crate) fn put(&self, guard: &Guard<'_>, key: &[u8], block: &Prepared, how: Put) -> Stored {
        let repairs = self.region.get(ctl!(repairs));
        match self.put_once(guard, key, block, how) {
            // What was out of order is repaired by now.
            Stored::NoSpace | Stored::Damaged if self.region.get(ctl!(repairs)) != repairs => {
                self.put_once(guard, key, block, how)
            }
            stored => stored,
        }
    }

    fn put_once(&self, guard: &Guard<'_>, key: &[u8], block: &Prepared, how: Put) -> Stored {
        let generation = self.generation();
        if how.generation.is_some_and(|g| g != generation) {
            return Stored::Outdated;
        }
        if self.region.get(ctl!(min_deadline)) != NEVER {
            self.expire(self.now());
        }
        self.region.forget_refusal();
        let mut broken = None;
        let found = self.find_or(block.hash, key, &mut ReadBuf::new(), |slot| broken = Some(slot));
        let Ok(old) = found else { return self.no_memory() };
        if let Some(slot) = broken.filter(|_| old.is_none()) {
            self.discard(slot);
        }
        if how.only_if_absent && old.is_some_and(|old| old.deadline == NEVER || old.deadline > self.now()) {
            return Stored::Outdated;
        }
        let placed = match old {
            Some(old) => self
                .make_room(guard, block.granules)
                .and_then(|index| self.replace(guard, old.slot, index, generation, block)),
            None => {
                self.place_new(guard, block).and_then(|(slot, index)| self.enter(guard, slot, index, generation, block))
            }
        };
        match placed {
            Some((slot, word)) => Stored::Done(Hit { slot, word, generation, deadline: block.deadline }),
            None if !self.owns() => Stored::Busy,
            None if self.region.refused() != 0 => Stored::NoSpace,
            None => Stored::Damaged,
        }
    }

    /// A free slot and granules (marked as used) for a new entry, at the expense of others if need be.
    fn place_new(&self, guard: &Guard<'_>, block: &Prepared) -> Option<(Slot, u64)> {
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
            self.tally(ctl!(evictions), 1);
            if let Some(index) = self.inherit(victim, block.granules) {
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
    fn inherit(&self, victim: Slot, granules: u64) -> Option<u64> {
        let granule = granule_of(self.word(victim));
        let head = self.head(granule).filter(|head| head.granules == granules)?;
        if !self.owns() || !self.leave_order(victim) || !self.index_remove(head.hash, victim) {
            return None;
        }
        self.unpublish(victim);
        self.tally(ctl!(count), u64::MAX);
        self.note_slot(victim, [u64::MAX, granules.wrapping_neg(), 0]);
        Some(granule - self.geo.granule(0))
    }

    /// Fills and publishes a free slot.
    fn enter(
        &self,
        guard: &Guard<'_>,
        slot: Slot,
        index: u64,
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
        self.set_deadline(slot, block.deadline);
        self.enter_order(slot, block.hash);
        if !self.owns() {
            return None;
        }
        let word = self.publish(guard, slot, granule);
        self.tally(ctl!(count), 1);
        self.note_slot(slot, [1, block.granules, 0]);
        self.join_order(slot);
        self.index_grow(guard);
        Some((slot, word))
    }

    /// Publishes other bytes over those of a slot. (Making room for them may have cost the old ones: then as a new
    /// entry.)
    fn replace(
        &self,
        guard: &Guard<'_>,
        slot: Slot,
        index: u64,
        generation: u64,
        block: &Prepared,
    ) -> Option<(Slot, Word)> {
        if !self.owns() {
            return None;
        }
        let before = granule_of(self.word(slot));
        if before == 0 {
            return match self.take_free(guard) {
                Some(slot) => self.enter(guard, slot, index, generation, block),
                None => {
                    self.mark(index, block.granules, false);
                    None
                }
            };
        }
        let granule = self.geo.granule(index);
        self.write_block(guard, granule, generation, block);
        self.set_deadline(slot, block.deadline);
        self.touch_as_writer(slot);
        if !self.owns() {
            return None;
        }
        let word = self.publish(guard, slot, granule);
        self.note_slot(slot, [0, block.granules, 0]);
        self.free_block(slot, before);
        Some((slot, word))
    }

    pub(crate) fn tally(&self, at: u64, n: u64) {
        self.region.set(at, self.region.get(at).wrapping_add(n));
    }

    fn set_deadline(&self, slot: Slot, deadline: u64) {
        self.region.set(self.deadline_at(slot), deadline);
        self.note_deadline(deadline);
    }

    pub(crate) fn remove(&self, _: &Guard<'_>, hash: u64, key: &[u8]) -> Result<bool, NoMemory> {
        let hit = self.find_or(hash, key, &mut ReadBuf::new(), |_| {})?;
        hit.into_iter().for_each(|hit| self.discard(hit.slot));
        Ok(hit.is_some())
    }

    /// Makes the count allow one more entry.
    fn make_count(&self) -> bool {
        // Once per surplus entry; a count that damage has raised ends at an empty cache.
        while self.region.get(ctl!(count)) >= self.max_entries() {
            if self.evict().is_none() {
                self.mend();
                return self.region.get(ctl!(count)) < self.max_entries();
            }
        }
        true
    }

    /// Finds `n` free granules, by growth, else at the expense of others, and marks them as used.
    fn make_room(&self, guard: &Guard<'_>, n: u64) -> Option<u64> {
        let found = self.find_free(n).or_else(|| if self.grow_data(guard, n) { self.find_free(n) } else { None });
        let found = found.or_else(|| if self.room_was_hidden() { self.find_free(n) } else { None });
        let found = found.or_else(|| self.room_in_order(n)).or_else(|| self.room_in_one_place(guard, n))?;
        // A run that turns out to be taken is damage.
        if self.mark(found, n, true) {
            return Some(found);
        }
        self.mend();
        None
    }

    fn room_in_order(&self, n: u64) -> Option<u64> {
        for _ in 0..IN_ORDER {
            if n > self.data_ready() {
                break;
            }
            let freed = granule_of(self.evict()?);
            let index = freed.checked_sub(self.geo.granule(0))?;
            if let Some(found) = self.find_around(index, n) {
                return Some(found);
            }
        }
        None
    }

    /// Takes away all entries of one stretch of `n` granules: so any entry that fits into the data gets in.
    fn room_in_one_place(&self, guard: &Guard<'_>, n: u64) -> Option<u64> {
        let short = n.saturating_sub(self.data_ready());
        if short > 0 {
            self.grow_data(guard, short);
        }
        let ready = self.data_ready();
        let last = ready.checked_sub(n)?;
        let start = self.region.get(ctl!(alloc_cursor)).min(last);
        let (from, to) = (self.geo.granule(start), self.geo.granule(start + n));
        for slot in 0..self.slot_high() {
            let granule = granule_of(self.word(slot));
            let overlaps =
                granule != 0 && granule < to && self.head(granule).is_none_or(|h| granule + h.granules > from);
            if overlaps {
                self.discard(slot);
            }
        }
        Some(start)
    }

    /// Takes the least valuable entry away; returns its former word. `None` if there is none.
    fn evict(&self) -> Option<Word> {
        if !self.owns() {
            return None;
        }
        let slot = self.victim()?;
        let word = self.word(slot);
        self.tally(ctl!(evictions), 1);
        self.discard(slot);
        Some(word)
    }

    /// Takes an entry away, whatever the reason.
    pub(crate) fn discard(&self, slot: Slot) {
        if !self.owns() {
            return;
        }
        let granule = granule_of(self.word(slot));
        let head = self.head(granule);
        let in_order = self.leave_order(slot);
        self.unpublish(slot);
        let known = in_order
            && head.is_some_and(|head| {
                let index = granule - self.geo.granule(0);
                self.note_slot(slot, [u64::MAX, head.granules.wrapping_neg(), 0]);
                self.index_remove(head.hash, slot) && self.mark(index, head.granules, false)
            });
        if known {
            self.push_free(slot);
            self.region.set(ctl!(count), self.region.get(ctl!(count)).saturating_sub(1));
        } else {
            // Its bytes or links are damaged, so where it stood in index, bitmap or queue is unknown.
            self.mend();
        }
    }

    /// Frees what a slot's former word pointed to.
    fn free_block(&self, slot: Slot, granule: u64) {
        let freed = self.head(granule).is_some_and(|head| {
            self.note_slot(slot, [0, head.granules.wrapping_neg(), 0]);
            self.mark(granule - self.geo.granule(0), head.granules, false)
        });
        if !freed {
            self.mend();
        }
    }

    /// Copies the entry of a slot, if there is a whole one.
    pub(crate) fn entry(&self, slot: Slot, buf: &mut ReadBuf) -> Option<Word> {
        let (generation, word) = (self.generation(), self.word(slot));
        let granule = granule_of(word);
        let head = self.head(granule)?;
        (self.copy_block(granule, &head, buf) && self.unchanged(slot, word) && self.is_whole(generation, granule, buf))
            .then_some(word)
    }
}

enum Read {
    Entry(Hit),
    Other,
    /// The hash is right, the rest is not: damage (or of before a clear). Two keys do not share a keyed hash of 64 bits.
    Broken,
    Disturbed,
    NoMemory,
}

/// An entry is larger than the memory that there is.
pub(crate) struct NoMemory;
