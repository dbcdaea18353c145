//! Repair: everything the lock guards, rebuilt from the slots, after a death or when damage shows.
//!
//! Idempotent by construction: it reads only slot words and block heads (which it never writes, except to void a word
//! that cannot be right) and overwrites all that is derived. A death in the middle is followed by another repair, from
//! the start. Blocks are checked for place and overlap, not for their content: an entry was published whole, and what
//! damage did to it the checksum tells each reader.

use crate::shm::core::Core;
use crate::shm::entries::NEVER;
use crate::shm::layout::{ctl, GRANULE};
use crate::shm::slots::{granule_of, version_of, Slot};
use std::sync::atomic::Ordering;

impl Core {
    /// Under the lock.
    #[cold]
    pub(crate) fn repair(&self) {
        if !self.owns() {
            return;
        }
        self.region.set(ctl!(repairs), self.region.get(ctl!(repairs)).wrapping_add(1));
        self.rebuild();
        self.release_dead_leases();
    }

    /// Derives count, free slots, bitmap, index, deadlines and queues from the slots.
    pub(crate) fn rebuild(&self) {
        let ready = self.slots_ready();
        self.region.set(ctl!(slots_ready), ready);
        self.region.set(ctl!(slot_high), ready);
        self.free_all();
        self.index_clear();
        for at in [ctl!(free_head), ctl!(count), ctl!(sweep_cursor)] {
            self.region.set(at, 0);
        }
        let (mut count, mut earliest, mut version, mut high) = (0, NEVER, self.region.get(ctl!(publish_seq)), 0);
        for slot in 0..ready {
            let word = self.word(slot);
            version = version.max(version_of(word));
            if word != 0 {
                high = slot + 1;
            }
        }
        // Before anything is voided: a word that repair stores must be new, too.
        self.region.set(ctl!(publish_seq), version.wrapping_add(1));
        for slot in 0..high {
            match self.adopt(slot, count) {
                Some(deadline) => {
                    count += 1;
                    earliest = earliest.min(deadline);
                }
                None => {
                    if granule_of(self.word(slot)) != 0 {
                        self.unpublish(slot);
                    }
                }
            }
        }
        // From the last to the first, so that the first is taken first.
        for slot in (0..high).rev().filter(|slot| granule_of(self.word(*slot)) == 0) {
            self.push_free(slot);
        }
        self.region.set(ctl!(slot_high), high);
        self.region.set(ctl!(count), count);
        self.rebuild_order();
        self.region.set(ctl!(min_deadline), earliest);
        self.region.store(ctl!(sweep_min), earliest, Ordering::Relaxed);
    }

    /// Enters a slot's entry into bitmap and index, if it is one that a writer may have published. Its deadline.
    fn adopt(&self, slot: Slot, count: u64) -> Option<u64> {
        let granule = granule_of(self.word(slot));
        let head = self.head(granule)?;
        let index = granule - self.geo.granule(0);
        let twin = self.search(head.hash, |other| {
            let same = other != slot && self.head(granule_of(self.word(other))).is_some_and(|h| h.hash == head.hash);
            same.then_some(())
        });
        // A 64-bit keyed hash that occurs twice is damage, not chance.
        if twin.is_some() || count >= self.max_entries() || !self.mark(index, head.granules, true) {
            return None;
        }
        if !self.insert_at(self.level(), head.hash, slot) {
            self.mark(index, head.granules, false);
            return None;
        }
        debug_assert!(granule * GRANULE >= self.geo.data);
        self.region.set(self.deadline_at(slot), head.deadline);
        Some(head.deadline)
    }
}
