//! What goes by itself: expired entries, and all of them at a clear.
//!
//! `min_deadline` is never later than the earliest deadline in the cache, so a store looks for expired entries only
//! when there may be one; then a small cache is looked through, a large one by the next `SWEEP` slots. An entry that
//! has expired is no hit for anybody meanwhile: each reader compares the deadline in the entry itself.
//!
//! A clear is one addition, to the generation: each entry's checksum is bound to the generation it was stored in, and
//! whoever remembers a hit remembers its generation. Freeing the memory is left to whoever has the lock next, so a
//! clear needs nobody's consent.

use crate::error::Busy;
use crate::file::atomic::Ordering;
use crate::file::layout::ctl;
use crate::file::units::Slot;
use crate::policy::EXACT;
use crate::process::lock::CLEAR_TIMEOUT;
use crate::table::block::ReadBuf;
use crate::table::head::Freshness;
use crate::table::reading::NEVER;
use crate::table::Table;

/// Slots examined for expiry at each store into a large cache.
const SWEEP: u64 = 128;

impl Table {
    pub(crate) fn note_deadline(&self, deadline: u64) {
        for at in [ctl!(min_deadline), ctl!(sweep_min)] {
            if deadline < self.region.get(at) {
                self.region.set(at, deadline);
            }
        }
    }

    /// Takes expired entries away: all of them in a small cache, in a large one those of the next stretch.
    pub(crate) fn expire(&self, now: u64) {
        if now < self.region.get(ctl!(min_deadline)) {
            return;
        }
        let high = self.slot_high();
        let cursor = self.region.get(ctl!(sweep_cursor));
        let from = if cursor < high && high > EXACT { cursor } else { 0 };
        let to = if high > EXACT { high.min(from + SWEEP) } else { high };
        if from == 0 {
            self.region.set(ctl!(sweep_min), NEVER);
        }
        for slot in Slot::range(from, to) {
            let mut deadline = self.region.get(self.deadline_at(slot));
            if self.word(slot).is_free() {
                continue;
            }
            if self.idles() {
                deadline = deadline.min(self.idle_end(slot, now));
            }
            if deadline <= now {
                self.add_guarded(ctl!(expirations), 1);
                self.discard(slot);
            } else if deadline < self.region.get(ctl!(sweep_min)) {
                self.region.set(ctl!(sweep_min), deadline);
            }
        }
        self.region.set(ctl!(sweep_cursor), to);
        if to == high {
            self.region.set(ctl!(min_deadline), self.region.get(ctl!(sweep_min)));
        }
    }

    /// Takes away every entry that has ended, for whatever reason: how many.
    pub(crate) fn purge(&self) -> Result<u64, Busy> {
        let _guard = self.lock(CLEAR_TIMEOUT)?;
        let (mut buf, mut count) = (ReadBuf::new(), 0);
        for slot in self.slots() {
            let ended = !self.word(slot).is_free()
                && self.entry(slot, &mut buf).is_some_and(|hit| self.freshness(&hit) == Freshness::Gone);
            if ended {
                self.add_guarded(ctl!(expirations), 1);
                self.discard(slot);
                count += 1;
            }
        }
        Ok(count)
    }

    /// Voids all entries at once, without a lock: their generation has passed.
    pub(crate) fn begin_clear(&self) {
        // Damage may have brought the generation to just before one that has been.
        for _ in 0..4 {
            // Release: pairs with the acquire in `generation`.
            let now = self.region.add(ctl!(generation), 1, Ordering::Release).wrapping_add(1);
            let known = [ctl!(swept_generation), ctl!(base_generation)];
            if known.iter().all(|at| self.region.get(*at) != now) {
                return;
            }
        }
    }

    /// Zeroes the counters, if that has not been done since the last clear.
    pub(crate) fn zero_counters_of_clear(&self) {
        let generation = self.generation();
        if self.region.get(ctl!(base_generation)) != generation {
            self.mend_counters();
            self.zero_counters();
            self.region.set(ctl!(base_generation), generation);
        }
    }

    /// Does, under the lock, what a clear has left to do, be it that of a process that died over it.
    pub(crate) fn finish_clear(&self) {
        self.zero_counters_of_clear();
        let generation = self.generation();
        if self.region.get(ctl!(swept_generation)) != generation {
            // Whatever was damaged: nothing is kept of it.
            self.mend_header();
            self.rebuild(false);
            self.clear_history();
            // Last: a death before it makes the next writer do it again.
            self.region.store(ctl!(swept_generation), generation, Ordering::Release);
        }
    }

    /// Live entries that have not expired. Without a lock, so exact when nobody writes.
    pub(crate) fn len(&self) -> u64 {
        if self.region.load(ctl!(swept_generation), Ordering::Acquire) != self.generation() {
            return 0;
        }
        let (count, now) = (self.region.get(ctl!(count)).min(self.geo.capacity), self.now());
        if now < self.region.get(ctl!(min_deadline)) {
            return count;
        }
        let live = |slot: &Slot| {
            let there = !self.word(*slot).is_free() && self.region.get(self.deadline_at(*slot)) > now;
            there && !self.is_idle(*slot, now)
        };
        self.slots().filter(live).count() as u64
    }
}
