//! W-TinyLFU (Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", TOS 2017), with the
//! window adapted as in Caffeine (Einziger, Eytan, Friedman and Manes, "Adaptive Software Cache Management", 2018).
//!
//! Newcomers enter a small *window*. Who leaves it at its tail is a candidate for the main part and stands against the
//! main part's own next victim: the one asked for more often stays. The main part is a segmented queue: *probation*,
//! and who is used there is *protected*. How large the window is follows the hit ratio (`hill_climber`).
//!
//! **A hit moves nothing.** It raises the count in the entry's own meta word, `epoch << 8 | used << 7 | count`, up to 15,
//! and marks it as used; a hit that finds the count at its top and the mark set writes nothing. (A stamp of the last use,
//! as LRU has it, would have to be written each time and needs a look at the clock.) Whoever evicts clears the marks at
//! the tails of the queues and moves the entries to where their use would have: at most `STEPS` for one eviction.
//!
//! Counts are halved when ten times as many lookups as entries have passed: an epoch. Entries do it when they are next
//! hit or looked at, as their word says from when it is. What a key was asked for before it came, and after it has gone,
//! is in the `sketch`.

use crate::file::layout::ctl;
use crate::file::units::Slot;
use crate::policy::queues::{Broken, Queue};
use crate::policy::sketch::{decay, MOST};
use crate::table::Table;
use engine::hashing::split_mix;
use engine::policy::tuning::tinylfu::{admits, initial_count};

pub(super) const WINDOW: Queue = Queue(0);
pub(super) const PROBATION: Queue = Queue(1);
const PROTECTED: Queue = Queue(2);

const USED: u64 = 1 << 7;
const EPOCH_SHIFT: u32 = 8;
/// Entries moved for one eviction, in each of its parts.
const STEPS: u32 = 64;

impl Table {
    /// The count and its mark, as of this epoch, without the epoch.
    #[inline(always)]
    fn own_count(&self, slot: Slot, epoch: u64) -> u64 {
        let word = self.region.get_known(self.count_at(slot));
        // (Of the epoch, the word keeps 56 bits.)
        let passed = (epoch << EPOCH_SHIFT).wrapping_sub(word & !0xff) >> EPOCH_SHIFT;
        if passed == 0 {
            word & 0xff
        } else {
            word & USED | decay(word & MOST, passed)
        }
    }

    #[inline(always)]
    pub(super) fn raise_count(&self, slot: Slot) {
        let epoch = self.epoch();
        let count = self.own_count(slot, epoch) & MOST;
        let word = epoch << EPOCH_SHIFT | USED | (count + 1).min(MOST);
        if word != self.region.get_known(self.count_at(slot)) {
            self.region.set_known(self.count_at(slot), word);
        }
    }

    /// What a new entry begins with: this is one more time that its key is asked for.
    pub(super) fn count_of_new(&self, hash: u64) -> u64 {
        self.epoch() << EPOCH_SHIFT | u64::from(initial_count(self.estimate(hash) as u8))
    }

    /// Whether an entry was used since it was last asked this.
    fn was_used(&self, slot: Slot) -> bool {
        let epoch = self.epoch();
        let count = self.own_count(slot, epoch);
        if count & USED != 0 {
            self.region.set(self.count_at(slot), epoch << EPOCH_SHIFT | count & MOST);
        }
        count & USED != 0
    }

    fn frequency(&self, slot: Slot) -> u64 {
        self.own_count(slot, self.epoch()) & MOST
    }

    pub(super) fn tinylfu_victim(&self) -> Result<Slot, Broken> {
        self.adapt();
        let (window, protected) = self.shares(self.region.get(ctl!(count)).min(self.max_entries()));
        self.trim_protected(protected)?;
        let candidate = self.leave_window(window)?;
        let victim = self.main_victim(protected)?;
        let goes = match (candidate, victim) {
            (Some(candidate), Some(victim)) if self.admits(candidate, victim) => victim,
            (Some(candidate), _) => candidate,
            (None, Some(victim)) => victim,
            (None, None) => self.tail(WINDOW)?.ok_or(Broken)?,
        };
        if let Some(head) = self.head(self.word(goes).granule()) {
            self.remember(head.hash, self.frequency(goes));
        }
        Ok(goes)
    }

    /// Makes room for a newcomer in the window: who has to leave it goes to probation, and is the candidate.
    fn leave_window(&self, room: u64) -> Result<Option<Slot>, Broken> {
        let (mut candidate, mut chances) = (None, self.queue_len(WINDOW).min(STEPS.into()));
        for _ in 0..2 * STEPS {
            if self.queue_len(WINDOW) < room {
                break;
            }
            let Some(slot) = self.tail(WINDOW)? else { break };
            if chances > 0 && self.was_used(slot) {
                chances -= 1;
                self.move_to_head(slot, WINDOW)?;
            } else {
                self.move_to_head(slot, PROBATION)?;
                candidate = Some(slot);
            }
        }
        Ok(candidate)
    }

    /// Who would give way in the main part: the tail of probation, after those that were used there have moved on.
    fn main_victim(&self, protected: u64) -> Result<Option<Slot>, Broken> {
        for _ in 0..STEPS {
            let Some(slot) = self.tail(PROBATION)? else { break };
            if !self.was_used(slot) {
                return Ok(Some(slot));
            }
            self.move_to_head(slot, PROTECTED)?;
            self.trim_protected(protected)?;
        }
        match self.tail(PROBATION)? {
            Some(slot) => Ok(Some(slot)),
            None => self.tail(PROTECTED),
        }
    }

    /// Sends back to probation who has not been used for longest among the protected, if there are too many.
    fn trim_protected(&self, room: u64) -> Result<(), Broken> {
        for step in 0..STEPS {
            if self.queue_len(PROTECTED) <= room {
                break;
            }
            let Some(slot) = self.tail(PROTECTED)? else { break };
            let again = step + 1 < STEPS && self.was_used(slot);
            self.move_to_head(slot, if again { PROTECTED } else { PROBATION })?;
        }
        Ok(())
    }

    fn admits(&self, candidate: Slot, victim: Slot) -> bool {
        if candidate == victim {
            return false;
        }
        let [new, old] = [candidate, victim].map(|slot| self.frequency(slot) as u8);
        admits(new, old, || split_mix(self.region.get(ctl!(publish_seq)) ^ self.header.seed[1]))
    }
}
