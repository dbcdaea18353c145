//! The last changes: which slots' words were stored lately, so that whoever keeps something of entries (the decoded objects
//! of a process) finds what is gone without looking at all that it keeps.
//!
//! A ring of slot numbers and one counter, written under the writers' lock. A word is stored first, then the slot's number
//! (release), then the counter (release). So who sees the counter (acquire) sees the words of all that it counts. And who
//! has read a number that a later change has written over sees, behind a fence (acquire), a counter that has come round:
//! then the list is not whole, and every slot has to be looked at. That is also what a process does that comes back after
//! more changes than the ring holds, and what `forget_changes` makes everybody do: after a repair, as the dead one may have
//! stored a word and counted nothing.
//!
//! Nothing in it is ever repaired. Damage to the ring hides changes, damage to the counter shows too many.

use crate::file::atomic::{fence, Ordering};
use crate::file::geometry::Geometry;
use crate::file::layout::ctl;
use crate::file::units::{Offset, Slot};
use crate::table::Table;

impl Table {
    /// Under the lock, after the slot's word was stored.
    pub(crate) fn note_change(&self, slot: Slot) {
        let seq = self.region.get(ctl!(change_seq));
        // Release, both: see the module; they pair with the acquires in `changes_since`.
        self.region.store(self.change_at(seq, self.change_len()), slot.number(), Ordering::Release);
        self.region.store(ctl!(change_seq), seq.wrapping_add(1), Ordering::Release);
    }

    /// Under the lock: what everybody knew of changes is not whole.
    pub(crate) fn forget_changes(&self) {
        let seq = self.region.get(ctl!(change_seq));
        self.region.store(ctl!(change_seq), seq.wrapping_add(2 * self.geo.change_words), Ordering::Release);
    }

    /// Under the lock: more slots, more changes that are told. Where there is no disk for it, it stays as it is.
    pub(crate) fn tell_more_changes(&self, slots: u64) {
        let wanted = Geometry::changes_for(slots).min(self.geo.change_words);
        if wanted <= self.change_len() {
            return;
        }
        if self.region.reserve(self.geo.changes, wanted * 8).is_ok() {
            self.region.set(ctl!(change_len), wanted);
            self.forget_changes();
        }
    }

    fn change_len(&self) -> u64 {
        let claimed = self.region.get(ctl!(change_len));
        let possible = claimed.is_power_of_two()
            && claimed <= self.geo.change_words
            && self.region.covers(self.geo.changes + claimed * 8);
        if possible {
            claimed
        } else {
            // Always there.
            Geometry::changes_for(0)
        }
    }

    fn change_at(&self, seq: u64, len: u64) -> Offset {
        self.geo.changes + (seq & (len - 1)) * 8
    }

    /// How many changes there have been.
    pub(crate) fn changes(&self) -> u64 {
        // Acquire: pairs with the release in `note_change`.
        self.region.load(ctl!(change_seq), Ordering::Acquire)
    }

    /// Calls `changed` with the slots whose words have changed between these two numbers of changes. False if these are not
    /// all.
    pub(crate) fn changes_since(&self, seen: u64, now: u64, mut changed: impl FnMut(Slot)) -> bool {
        let len = self.change_len();
        let count = now.wrapping_sub(seen);
        if count >= len {
            return false;
        }
        for i in 0..count {
            changed(Slot::new(self.region.get(self.change_at(seen.wrapping_add(i), len))));
        }
        // Pairs with the release of the number that was read, if it is a later one.
        fence(Ordering::Acquire);
        self.region.get(ctl!(change_seq)).wrapping_sub(seen) < len && self.change_len() == len
    }

    /// A part of the slot's word that differs after each change.
    pub(crate) fn version(&self, slot: Slot) -> u32 {
        if slot.number() < self.slots_ready() {
            self.word(slot).version() as u32
        } else {
            0
        }
    }
}
