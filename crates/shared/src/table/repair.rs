//! Repair: everything the lock guards, rebuilt from the slots, after a death or when damage shows.
//!
//! Idempotent by construction: it reads only slot words and blocks (which it never writes, except to void a word that
//! cannot be right) and overwrites all that is derived. A death in the middle is followed by another repair, from the
//! start. Blocks are checked for place and overlap, small ones for their content, too; in a large one damage to the
//! content is what the checksum tells each reader.
//!
//! **After a death** a repair is a must. **Where damage shows** (`mend`) it is one a few times; if it then still shows,
//! repairs do not help, and they are made only now and then: a process spends no more than a small part of its time
//! with them.
//!
//! Others wait for a repairer as for any writer, once (see `lock`); what they would have stored meanwhile is not stored.
//! So it must not take long: memory is asked for slots ahead, as nearly each access is to a line that no cache has.

use crate::file::layout::{ctl, HEADER_AT, HEADER_COPY_AT};
use crate::file::units::{Offset, Slot};
use crate::process::clock;
use crate::process::lock::STORE_TIMEOUT;
use crate::table::block::ReadBuf;
use crate::table::reading::NEVER;
use crate::table::Table;
use std::sync::atomic::{AtomicU64, Ordering};

/// Slots that are brought near together.
const TOGETHER: u64 = 32;
/// Blocks up to so many granules are checked for their content.
const CHECKED: u64 = 64;
/// Repairs that are made at once where damage shows, before they are put off.
const AT_ONCE: u64 = 4;
/// Then they wait for so many stores, as a part of the slots; twice as many each time, up to one for each slot.
const PUT_OFF: u32 = 6;
/// Possessions of the lock, beside one for each slot, after which damage is news again.
const QUIET: u64 = 1000;
/// With so many slots, the next one waits for so many times what the last one took, too.
const LONG: (u64, u64) = (1 << 16, 16);

/// What this process has repaired although nobody had died.
#[derive(Default)]
pub(crate) struct Mends {
    /// At which possession of the lock the last one was, and at which the next may be.
    last: AtomicU64,
    next: AtomicU64,
    /// The same in boot time.
    next_time: AtomicU64,
    /// How many have followed each other closely.
    streak: AtomicU64,
}

impl Table {
    /// Damage shows: a repair, if that can help. False if it was put off.
    #[cold]
    #[inline(never)]
    pub(crate) fn mend(&self) -> bool {
        let (mends, n, began) = (&self.mends, self.audits.locks(), clock::boot_now());
        // Relaxed, all: written under the lock.
        let get = |word: &AtomicU64| word.load(Ordering::Relaxed);
        if n < get(&mends.next) || began < get(&mends.next_time) || !self.owns() {
            return false;
        }
        self.repair();
        let (ended, slots) = (clock::boot_now(), self.slots_ready());
        let took = ended.saturating_sub(began);
        let news = n.saturating_sub(get(&mends.last)) > QUIET + slots;
        let streak = if news { 1 } else { get(&mends.streak) + 1 };
        let stores = streak.checked_sub(AT_ONCE).map_or(0, |more| (slots << more.min(PUT_OFF.into())) >> PUT_OFF);
        let time = if slots >= LONG.0 { LONG.1 * took } else { 0 };
        for (word, value) in [
            (&mends.last, n),
            (&mends.next, n + stores),
            (&mends.next_time, ended.saturating_add(time)),
            (&mends.streak, streak),
        ] {
            word.store(value, Ordering::Relaxed);
        }
        true
    }

    /// Under the lock: the header and its copy are what they were when this process opened the file. Else whoever comes would
    /// take the file for a damaged one, and make another.
    #[cold]
    pub(crate) fn mend_header(&self) {
        #[cfg(not(loom))]
        for (i, word) in crate::file::validation::words_of(&self.header).into_iter().enumerate() {
            for at in [HEADER_AT, HEADER_COPY_AT].map(|header| header + 8 * i as u64) {
                if self.region.get(at) != word {
                    self.region.set(at, word);
                }
            }
        }
    }

    /// Whether the words by which an opener judges the file are what this process finds to be so.
    pub(crate) fn claims_are_right(&self) -> bool {
        let at = |at: Offset| self.region.get(at);
        at(ctl!(slots_ready)) == self.slots_ready()
            && at(ctl!(data_ready)) == self.data_ready()
            && at(ctl!(index_level)) == self.level_number()
    }

    /// This process has found these words damaged as it opened the file, which others have open, too. What cannot be done
    /// now is left to the next who has the lock.
    #[cold]
    pub(crate) fn heal(&self) {
        let held = self.lock(STORE_TIMEOUT);
        if held.is_ok() && !self.claims_are_right() {
            self.mend();
        }
    }

    /// Under the lock.
    #[cold]
    pub(crate) fn repair(&self) {
        if !self.owns() {
            return;
        }
        self.region.set(ctl!(repairs), self.region.get(ctl!(repairs)).wrapping_add(1));
        self.rebuild(true);
        self.forget_changes();
        self.release_dead_leases();
    }

    /// Derives count, free slots, bitmap, index, deadlines and queues from the slots; or, if nothing is to be kept, voids
    /// all of them first.
    pub(crate) fn rebuild(&self, keep: bool) {
        let ready = self.claim_slots();
        self.region.set(ctl!(slots_ready), ready);
        self.region.set(ctl!(slot_high), ready);
        self.begin_round();
        self.free_all();
        let (mut live, mut high) = (0, 0);
        for slot in Slot::first(ready) {
            let word = self.word(slot);
            if !word.is_free() {
                if keep {
                    live += 1;
                } else {
                    self.unpublish(slot);
                }
            }
            if !word.is_unused() {
                high = slot.number() + 1;
            }
        }
        self.index_clear(live);
        for at in [ctl!(free_head), ctl!(count), ctl!(sweep_cursor)] {
            self.region.set(at, 0);
        }
        let (count, earliest) = self.reindex_all(if keep { high } else { 0 });
        // From the last to the first, so that the first is taken first.
        for slot in Slot::first(high).rev().filter(|slot| self.word(*slot).is_free()) {
            self.push_free(slot);
        }
        self.region.set(ctl!(slot_high), high);
        self.region.set(ctl!(count), count);
        self.rebuild_order();
        self.region.set(ctl!(min_deadline), earliest);
        self.region.store(ctl!(sweep_min), earliest, Ordering::Relaxed);
    }

    /// Enters all entries that can be right, and voids the others: how many there are, and the earliest deadline.
    fn reindex_all(&self, high: u64) -> (u64, u64) {
        let (generation, mut buf) = (self.generation(), ReadBuf::new());
        let (mut count, mut earliest) = (0, NEVER);
        for first in (0..high).step_by(TOGETHER as usize) {
            let some = Slot::range(first, high.min(first + TOGETHER));
            some.clone().for_each(|slot| self.region.prefetch(self.word(slot).granule().offset()));
            for slot in some.clone() {
                if let Some(head) = self.head(self.word(slot).granule()) {
                    self.prefetch_bucket(head.hash);
                    self.prefetch_bits(head.index);
                }
            }
            for slot in some {
                match self.reindex(slot, count, generation, &mut buf) {
                    Some(deadline) => {
                        count += 1;
                        earliest = earliest.min(deadline);
                    }
                    None => {
                        if !self.word(slot).is_free() {
                            self.unpublish(slot);
                        }
                    }
                }
            }
        }
        (count, earliest)
    }

    /// Enters a slot's entry into bitmap and index, if it is one that a writer may have published. Its deadline.
    fn reindex(&self, slot: Slot, count: u64, generation: u64, buf: &mut ReadBuf) -> Option<u64> {
        let granule = self.word(slot).granule();
        let head = self.head(granule)?;
        if head.granules <= CHECKED {
            self.copy_block(granule, &head, buf);
            if !self.is_whole(generation, granule, buf) {
                return None;
            }
        }
        let twin = self.search(head.hash, |other| {
            let same = other != slot && self.head(self.word(other).granule()).is_some_and(|h| h.hash == head.hash);
            same.then_some(())
        });
        // A 64-bit keyed hash that occurs twice is damage, not chance.
        if twin.is_some() || count >= self.max_entries() || !self.mark(head.index, head.granules, true) {
            return None;
        }
        if !self.insert_at(self.level(), head.hash, slot) {
            self.mark(head.index, head.granules, false);
            return None;
        }
        self.region.set(self.deadline_at(slot), head.deadline);
        self.mend_use(slot);
        Some(if self.idles() { head.deadline.min(self.idle_end(slot, self.now())) } else { head.deadline })
    }
}
