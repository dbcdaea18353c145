//! Making room: free granules by growth, else at the expense of others; and taking entries away, whatever the reason.

use crate::file::layout::ctl;
use crate::file::units::{Granule, GranuleIndex, Slot, Word};
use crate::process::lock::WriteGuard;
use crate::table::block::Head;
use crate::table::Table;
use std::sync::atomic::Ordering;

/// Entries evicted in order for the sake of bytes before those of one stretch are.
const IN_ORDER: u32 = 64;

impl Table {
    /// Makes the count allow one more entry.
    pub(super) fn make_count(&self) -> bool {
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
    pub(super) fn make_room(&self, guard: &WriteGuard<'_>, n: u64) -> Option<GranuleIndex> {
        let found = self.find_free(n).or_else(|| if self.grow_data(guard, n) { self.find_free(n) } else { None });
        let found = found.or_else(|| if self.room_was_hidden() { self.find_free(n) } else { None });
        if found.is_none() {
            // Not for want of `max_bytes`, if something was refused: others must go before their time.
            self.cramped.store(self.region.refused(), Ordering::Relaxed);
        }
        let found = found.or_else(|| self.room_in_order(n)).or_else(|| self.room_in_one_place(guard, n))?;
        // A run that turns out to be taken is damage.
        if self.mark(found, n, true) {
            return Some(found);
        }
        self.mend();
        None
    }

    fn room_in_order(&self, n: u64) -> Option<GranuleIndex> {
        for _ in 0..IN_ORDER {
            if n > self.data_ready() {
                break;
            }
            let index = self.geo.index_of(self.evict()?.granule())?;
            if let Some(found) = self.find_around(index, n) {
                return Some(found);
            }
        }
        None
    }

    /// Takes away all entries of one stretch of `n` granules: so any entry that fits into the data gets in.
    fn room_in_one_place(&self, guard: &WriteGuard<'_>, n: u64) -> Option<GranuleIndex> {
        let short = n.saturating_sub(self.data_ready());
        if short > 0 {
            self.grow_data(guard, short);
        }
        let ready = self.data_ready();
        let last = ready.checked_sub(n)?;
        let start = self.region.get(ctl!(alloc_cursor)).min(last);
        let end = self.geo.granule(GranuleIndex::new(start + n));
        for slot in self.slots() {
            let word = self.word(slot);
            let reaches = |head: Head| head.index.number() + head.granules > start;
            if !word.is_free() && word.granule() < end && self.head(word.granule()).is_none_or(reaches) {
                self.discard(slot);
            }
        }
        Some(GranuleIndex::new(start))
    }

    /// Takes the least valuable entry away; returns its former word. `None` if there is none.
    fn evict(&self) -> Option<Word> {
        if !self.owns() {
            return None;
        }
        let slot = self.victim()?;
        let word = self.word(slot);
        self.add_guarded(ctl!(evictions), 1);
        self.discard(slot);
        Some(word)
    }

    /// Takes an entry away, whatever the reason.
    pub(crate) fn discard(&self, slot: Slot) {
        if !self.owns() {
            return;
        }
        let head = self.head(self.word(slot).granule());
        let in_order = self.leave_order(slot);
        self.unpublish(slot);
        let known = in_order
            && head.is_some_and(|head| {
                self.note_slot(slot, [u64::MAX, head.granules.wrapping_neg(), 0]);
                self.index_remove(head.hash, slot) && self.mark(head.index, head.granules, false)
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
    pub(super) fn free_block(&self, slot: Slot, granule: Granule) {
        let freed = self.head(granule).is_some_and(|head| {
            self.note_slot(slot, [0, head.granules.wrapping_neg(), 0]);
            self.mark(head.index, head.granules, false)
        });
        if !freed {
            self.mend();
        }
    }
}
