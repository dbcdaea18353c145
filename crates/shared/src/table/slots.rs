//! The table of slots: the truth about what is in the cache. Everything else can be rebuilt from it.
//!
//! A slot's `Word` is `version << 31 | granule`: the entry's bytes start at that granule of the file; granule 0 (the
//! header) means that the slot is free. Versions come from one counter under the lock, so no two publications have the
//! same word until 2^33 others have passed: a process that remembers (slot, word) knows by one load that what it
//! decoded is still current.
//!
//! **Publication.** Bytes are written first, to memory that no live word points to; then the word is stored with
//! release order. That store is the only moment at which an entry appears, changes or goes. A death before it leaks
//! granules that repair frees.
//!
//! **Reading** (`reading`). Load the word (acquire), copy the bytes, fence (acquire), load the word again. An
//! unchanged word proves the copy whole: who reuses the granules first stores another word, then fences (release, at the
//! top of `write_block`), then writes; a reader that has seen one of those writes sees the other word after its fence. This is
//! Boehm's seqlock reader ("Can seqlocks get along with programming language memory models?", 2012) with the word as
//! its sequence.

use crate::file::atomic::{fence, Ordering};
use crate::file::layout::{ctl, AccessMeta, Cell, Link, GRANULE, PAGE};
use crate::file::units::{Granule, GranuleIndex, Offset, Slot, Word};
use crate::process::lock::WriteGuard;
#[cfg(loom)]
use crate::table::Mutant;
use crate::table::Table;
use core::mem::{offset_of, size_of};

/// Slots per page of cells, metas or links.
const PER_PAGE: u64 = PAGE / size_of::<Cell>() as u64;
const _: () = assert!(size_of::<Cell>() == size_of::<AccessMeta>() && size_of::<Cell>() == size_of::<Link>());

impl Table {
    #[inline(always)]
    pub(crate) fn word_at(&self, slot: Slot) -> Offset {
        self.geo.cell(slot) + offset_of!(Cell, word) as u64
    }
    #[inline(always)]
    pub(crate) fn used_at(&self, slot: Slot) -> Offset {
        self.geo.meta(slot) + offset_of!(AccessMeta, used) as u64
    }
    #[inline]
    pub(crate) fn count_at(&self, slot: Slot) -> Offset {
        self.geo.meta(slot) + offset_of!(AccessMeta, count) as u64
    }
    pub(crate) fn deadline_at(&self, slot: Slot) -> Offset {
        self.geo.cell(slot) + offset_of!(Cell, deadline) as u64
    }

    /// The word of a slot, for a reader. Acquire: pairs with the release in `publish`.
    #[inline(always)]
    pub(crate) fn word(&self, slot: Slot) -> Word {
        Word::from_bits(self.region.load(self.word_at(slot), Ordering::Acquire))
    }

    /// `word` of a slot that was found in use before.
    #[inline(always)]
    pub(crate) fn word_again(&self, slot: Slot) -> Word {
        Word::from_bits(self.region.known(self.word_at(slot)).load(Ordering::Acquire))
    }

    /// After copying what `word` points to: whether the copy is whole.
    #[inline]
    pub(crate) fn unchanged(&self, slot: Slot, word: Word) -> bool {
        // Pairs with the release fence in `write_block`: see the module.
        fence(Ordering::Acquire);
        self.region.load(self.word_at(slot), Ordering::Relaxed) == word.bits()
    }

    /// `unchanged` of a slot that was found in use before.
    #[inline(always)]
    pub(crate) fn unchanged_again(&self, slot: Slot, word: Word) -> bool {
        fence(Ordering::Acquire);
        self.region.known(self.word_at(slot)).load(Ordering::Relaxed) == word.bits()
    }

    /// Slots that are reserved, as the file claims and the kernel and the geometry confirm.
    pub(crate) fn slots_ready(&self) -> u64 {
        // Acquire: pairs with the release in `more_slots`.
        let claimed = self.region.load(ctl!(slots_ready), Ordering::Acquire).min(self.geo.capacity);
        let known = claimed == 0 || self.region.covers(self.geo.slots_end(claimed));
        if known {
            claimed
        } else {
            0
        }
    }

    /// Slots that were ever in use.
    pub(crate) fn slot_high(&self) -> u64 {
        self.region.get(ctl!(slot_high)).min(self.slots_ready())
    }

    /// Slots that were ever in use, one after the other.
    pub(crate) fn slots(&self) -> impl DoubleEndedIterator<Item = Slot> + Clone {
        Slot::first(self.slot_high())
    }

    /// The slot's next word. Its version comes after that of its last one, whatever damage says of the counter.
    fn next_word(&self, slot: Slot, granule: Granule) -> Word {
        let next = self.region.get(ctl!(publish_seq)).wrapping_add(1);
        let last = Word::from_bits(self.region.get(self.word_at(slot))).version();
        let ahead = next.wrapping_sub(last) & Word::VERSION_MASK;
        let next = if ahead == 0 || ahead > Word::VERSION_MASK / 2 { last + 1 } else { next };
        self.region.set(ctl!(publish_seq), next);
        Word::new(next, granule)
    }

    /// Makes the bytes at `granule` the slot's entry, in one store.
    pub(crate) fn publish(&self, _: &WriteGuard<'_>, slot: Slot, granule: Granule) -> Word {
        self.must_own();
        let word = self.next_word(slot, granule);
        // Release: pairs with the acquire in `word`; the bytes are written before.
        self.region.store(self.word_at(slot), word.bits(), Ordering::Release);
        self.note_change(slot);
        word
    }

    /// Takes the slot's entry away.
    pub(crate) fn unpublish(&self, slot: Slot) {
        self.must_own();
        let word = self.next_word(slot, Granule::NONE);
        self.region.store(self.word_at(slot), word.bits(), Ordering::Release);
        self.note_change(slot);
    }

    /// Where a free slot has the next one of the chain: in a word that writers alone write. (A hit writes to the metas of
    /// a slot that it has found, and that may have been freed since.)
    fn next_free_at(&self, slot: Slot) -> Offset {
        #[cfg(loom)]
        if self.mutant == Mutant::LinkInTheStamp {
            return self.used_at(slot);
        }
        self.deadline_at(slot)
    }

    /// Puts a free slot on the chain of free ones, a convenience that repair rebuilds.
    pub(crate) fn push_free(&self, slot: Slot) {
        self.region.set(self.next_free_at(slot), self.region.get(ctl!(free_head)));
        self.region.set(ctl!(free_head), slot.to_link());
    }

    /// A free slot, or `None` if there is none or no disk for more. Whoever takes one fills it before the lock is
    /// released.
    pub(crate) fn take_free(&self, _: &WriteGuard<'_>) -> Option<Slot> {
        let (high, head) = (self.slot_high(), Slot::from_link(self.region.get(ctl!(free_head))));
        if let Some(slot) = head {
            if slot.number() < high && self.word(slot).is_free() {
                self.region.set(ctl!(free_head), self.region.get(self.next_free_at(slot)));
                return Some(slot);
            }
            // Damage: the chain leads to no free slot.
            self.mend();
            return None;
        }
        if high < self.slots_ready() || self.more_slots(high) {
            let slot = Slot::new(high);
            if self.word(slot).is_free() {
                self.region.set(ctl!(slot_high), high + 1);
                return Some(slot);
            }
            // Damage: there are more slots in use than are known of.
            self.mend();
        } else if high >= self.geo.capacity {
            // Damage: by the count there is room, by the chain of free slots there is none.
            self.mend();
        }
        None
    }

    /// For repair: all slots that may have entries, reserved. The file may claim too few, so what comes next is looked at;
    /// or too many, so they are reserved once more.
    pub(crate) fn claim_slots(&self) -> u64 {
        let mut ready = self.slots_ready();
        if ready > 0 && !self.reserve_slots(0, ready) {
            self.disk_is_full();
        }
        let in_use = |from: u64| {
            let end = self.geo.capacity.min(from + PER_PAGE);
            self.region.covers(self.geo.slots_end(end))
                && Slot::range(from, end).any(|slot| !self.word(slot).is_unused())
        };
        while ready < self.geo.capacity && in_use(ready) && self.more_slots(ready) {
            ready = self.slots_ready();
        }
        ready
    }

    fn reserve_slots(&self, from: u64, end: u64) -> bool {
        let (bytes, from) = ((end - from) * size_of::<Cell>() as u64, Slot::new(from));
        self.region.reserve(self.geo.cell(from), bytes).is_ok()
            && self.region.reserve(self.geo.meta(from), bytes).is_ok()
            && (!self.strategy.has_queues() || self.region.reserve(self.geo.link(from), bytes).is_ok())
            && (!self.idles() || self.region.reserve(self.geo.idle_word(from), bytes / 2).is_ok())
    }

    /// Reserves further slots: as many again, within limits.
    fn more_slots(&self, ready: u64) -> bool {
        let pages = (ready / PER_PAGE).clamp(1, 256);
        for pages in [pages, 1] {
            let end = (ready / PER_PAGE + pages) * PER_PAGE;
            let from = ready / PER_PAGE * PER_PAGE;
            let end_slots = end.min(self.geo.capacity);
            if end_slots <= ready {
                return false;
            }
            if self.reserve_slots(from, end) {
                // Release: pairs with the acquire in `slots_ready`.
                self.region.store(ctl!(slots_ready), end_slots, Ordering::Release);
                self.tell_more_changes(end_slots);
                return self.slots_ready() == end_slots;
            }
        }
        false
    }

    /// Where a granule is in the data, if `granules` from there on lie within what is in use of it.
    pub(crate) fn place(&self, granule: Granule, granules: u64) -> Option<GranuleIndex> {
        let index = self.geo.index_of(granule)?;
        let end = index.number().checked_add(granules)?;
        (granules > 0 && end <= self.geo.granules && self.region.covers(granule.offset() + granules * GRANULE))
            .then_some(index)
    }
}
