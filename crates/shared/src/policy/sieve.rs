//! SIEVE (Zhang, Yang, Yue, Vigfusson and Rashmi, "SIEVE is Simpler than LRU", NSDI 2024).
//!
//! One queue in the order of insertion, a mark in each entry that a hit sets, and a hand that goes from the tail to the
//! head: where the mark is set it clears it and goes on, where it is not, that entry is evicted. Nothing is ever moved,
//! so a hit is one load, and one store if the mark was not there. Exactly the paper's Algorithm 1, at any size; but a
//! hand that has passed `MAX_SCAN` marked entries takes the next one as it is, so as not to keep the lock for long.
//!
//! The hand is one word, the slot at which the next search begins and the number of its entry's entrance. It is set before
//! its victim is taken away and moves on when its entry goes. A death can set it back or leave it on a free slot; then the
//! next search begins at the tail.

use crate::file::layout::ctl;
use crate::file::units::Slot;
use crate::policy::queues::{Broken, Queue};
use crate::policy::MAX_SCAN;
use crate::table::Table;

pub(super) const ONLY: Queue = Queue(0);

impl Table {
    #[inline(always)]
    pub(super) fn mark_visited(&self, slot: Slot) {
        // Whoever finds the mark writes nothing: the line stays with all processes that hit the entry.
        if self.region.get_known(self.count_at(slot)) == 0 {
            self.region.set_known(self.count_at(slot), 1);
        }
    }

    /// Where the next search begins; `None` = at the tail.
    pub(super) fn hand(&self) -> Option<Slot> {
        let word = self.region.get(ctl!(hand));
        let slot = Slot::from_link(word & 0xffff_ffff).filter(|slot| slot.number() < self.slot_high())?;
        // A hand that damage has set somewhere could follow the newcomers for ever.
        (word >> 32 == self.entrance(slot)).then_some(slot)
    }

    fn set_hand(&self, to: Option<Slot>) {
        let to = to.map_or(0, |slot| self.entrance(slot) << 32 | slot.to_link());
        if to != self.region.get(ctl!(hand)) {
            self.region.set(ctl!(hand), to);
        }
    }

    pub(super) fn sieve_victim(&self) -> Result<Slot, Broken> {
        let mut at = self.hand();
        // Twice round clears every mark; a mark that is set behind the hand meanwhile counts in the next search.
        for _ in 0..self.queue_len(ONLY).saturating_mul(2).min(MAX_SCAN) {
            let Some(slot) = at else {
                at = Some(self.tail(ONLY)?.ok_or(Broken)?);
                continue;
            };
            if self.region.get(self.count_at(slot)) == 0 {
                break;
            }
            self.region.set(self.count_at(slot), 0);
            at = self.newer(slot)?;
        }
        let victim = match at {
            Some(slot) => slot,
            None => self.tail(ONLY)?.ok_or(Broken)?,
        };
        // When the victim leaves, the hand goes on from it.
        self.set_hand(Some(victim));
        Ok(victim)
    }

    pub(super) fn sieve_leave(&self, slot: Slot) -> Result<(), Broken> {
        if self.hand() == Some(slot) {
            self.set_hand(self.newer(slot)?);
        }
        self.unlink(slot)
    }

    /// For repair: a hand that points to no entry of the queue begins anew.
    pub(super) fn rebuild_hand(&self) {
        self.set_hand(self.hand().filter(|slot| self.stands_in(*slot, ONLY)));
    }
}
