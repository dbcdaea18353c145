//! The audit: what is derived is compared with the slots, a stretch at a time, so that damage that nobody runs into heals
//! as well.
//!
//! Most damage shows where it is met: a chain that leads nowhere, a run of granules that is taken already, a scan that
//! finds fewer entries than are counted. What only costs capacity or time shows to nobody: ones in the bitmap that no
//! entry owns, a stamp in the future, counts of overflow that let no search end. So every `EVERY`th time that a process
//! has the writers' lock it looks at the next `STEP` slots (a process that has just come looks at all, if they are few).
//!
//! A *round* goes over the slots, the bitmap and the index, in this order, and adds up what it sees. At the end of each,
//! the sums must be what the control words say; since both are changed by everybody meanwhile, who changes something
//! that the round has gone over changes its sums as well (`note_slot`, `note_bits`, `note_bucket`). A round that is done
//! within one possession of the lock writes nothing.
//!
//! What does not agree is repaired (`mend`); what is one word's own matter is put right in its place: a deadline, a stamp.

use crate::file::layout::{ctl, GRANULES_PER_WORD};
use crate::file::units::{Offset, Slot};
use crate::policy::Strategy;
use crate::table::block::ReadBuf;
use crate::table::Table;
use std::sync::atomic::{AtomicU64, Ordering};

/// Possessions of the lock from one step to the next.
const EVERY: u64 = 128;
/// Slots in a step. (Buckets and words of the bitmap take less time.)
const STEP: u64 = 128;
/// A process that has just come goes over this much at once.
const AT_ONCE: u64 = 16 * 1024;
/// Rounds from one look at what nobody but `cache_info` reads to the next.
const SELDOM: u64 = 8;
/// Buckets that are looked at for as long as a slot takes, and words of the bitmap.
const BUCKETS: u64 = 4;
const WORDS: u64 = 32;

/// Blocks up to so many granules are compared with their checksums.
const CONTENT: u64 = 16;

const SLOTS: u64 = 0;
const BITS: u64 = 1;
const INDEX: u64 = 2;
const PHASE_BITS: u32 = 2;

/// What this process has done so far.
#[derive(Default)]
pub(crate) struct Audits {
    locks: AtomicU64,
    rounds: AtomicU64,
}

impl Audits {
    /// How often this process has had the writers' lock.
    pub(crate) fn locks(&self) -> u64 {
        self.locks.load(Ordering::Relaxed)
    }
}

/// What a round has added up in its present phase. Slots: entries, their granules, the buckets that they had to pass.
/// Bitmap: ones. Index: cells taken, counts of overflow.
type Sums = [u64; 3];

/// Something is not as it must be.
pub(crate) struct Damage;

impl Table {
    /// Under the lock, each time that it was taken.
    #[inline]
    pub(crate) fn audit_if_due(&self) {
        // Relaxed, and not even one addition: it matters little if a turn is lost.
        let n = self.audits.locks.load(Ordering::Relaxed);
        self.audits.locks.store(n.wrapping_add(1), Ordering::Relaxed);
        if n.is_multiple_of(EVERY) && !cfg!(loom) {
            self.audit(n == 0);
        }
    }

    #[cold]
    #[inline(never)]
    fn audit(&self, first: bool) {
        let all = self.slot_high() + self.buckets() / BUCKETS + self.data_ready() / GRANULES_PER_WORD / WORDS;
        let at_once = first && all <= AT_ONCE;
        if at_once {
            self.begin_round();
        }
        if self.step(if at_once { u64::MAX } else { STEP }).is_err() {
            self.mend();
        }
    }

    /// All of it.
    #[cfg(test)]
    #[allow(dead_code)] // crates/shared/src/tests/mod.rs wants it
    pub(crate) fn whole_audit(&self) -> Result<(), Damage> {
        self.begin_round();
        self.step(u64::MAX)
    }

    /// What was added up so far is worth nothing any more.
    pub(crate) fn begin_round(&self) {
        if self.region.get(ctl!(audit)) != 0 {
            self.region.set(ctl!(audit), 0);
        }
    }

    fn under_way(&self) -> (u64, u64) {
        let word = self.region.get(ctl!(audit));
        (word & ((1 << PHASE_BITS) - 1), word >> PHASE_BITS)
    }

    fn sum_at(i: usize) -> Offset {
        ctl!(audit_sums) + 8 * i as u64
    }

    /// An entry comes to a slot or leaves it. (By how many entries, granules and passed buckets: wrapping.)
    #[inline]
    pub(crate) fn note_slot(&self, slot: Slot, by: Sums) {
        let (phase, at) = self.under_way();
        if phase == SLOTS && slot.number() < at {
            (0..3).for_each(|i| self.add_guarded(Self::sum_at(i), by[i]));
        }
    }

    /// Bits of one word of the bitmap change.
    #[inline]
    pub(crate) fn note_bits(&self, word: u64, by: u64) {
        let (phase, at) = self.under_way();
        if phase == BITS && word < at {
            self.add_guarded(Self::sum_at(0), by);
        }
    }

    /// Cells and the count of overflow of one bucket change.
    #[inline]
    pub(crate) fn note_bucket(&self, bucket: u64, cells: u64, overflow: u64) {
        let (phase, at) = self.under_way();
        if phase == INDEX && bucket < at {
            self.add_guarded(Self::sum_at(0), cells);
            self.add_guarded(Self::sum_at(1), overflow);
        }
    }

    /// Goes on with the round, as far as `budget` reaches, and not beyond its end.
    fn step(&self, mut budget: u64) -> Result<(), Damage> {
        let before = self.under_way();
        let (mut phase, mut at) = before;
        let mut sums: Sums =
            if before == (SLOTS, 0) { [0; 3] } else { std::array::from_fn(|i| self.region.get(Self::sum_at(i))) };
        self.audit_control()?;
        // That of the entries. A clear needs no lock: it may have begun since this process has it, and is not finished before
        // the next one has.
        let (generation, mut buf) = (self.region.get(ctl!(swept_generation)), ReadBuf::new());
        loop {
            let (end, unit) = match phase {
                SLOTS => (self.slot_high(), 1),
                BITS => (self.data_ready() / GRANULES_PER_WORD, WORDS),
                _ => (self.buckets(), BUCKETS),
            };
            let stop = end.min(at.saturating_add(budget.saturating_mul(unit)));
            budget -= stop.saturating_sub(at) / unit;
            for i in at..stop {
                match phase {
                    SLOTS => self.audit_slot(Slot::new(i), generation, &mut buf, &mut sums)?,
                    BITS => sums[0] += self.ones(i),
                    _ => self.audit_bucket(i, &mut sums),
                }
            }
            at = at.max(stop);
            if at < end {
                self.region.set(ctl!(audit), at << PHASE_BITS | phase);
                (0..3).for_each(|i| self.region.set(Self::sum_at(i), sums[i]));
                return Ok(());
            }
            let [count, used, passed] = [ctl!(count), ctl!(used_granules), ctl!(passed)].map(|at| self.region.get(at));
            let right = match phase {
                SLOTS => [count, used, passed],
                BITS => [used, 0, 0],
                _ => [count, passed, 0],
            };
            if sums != right {
                return Err(Damage);
            }
            (phase, at, sums) = (phase + 1, 0, [0; 3]);
            if phase > INDEX {
                self.begin_round();
                return self.end_round();
            }
        }
    }

    /// The numbers that can be judged by themselves.
    fn audit_control(&self) -> Result<(), Damage> {
        self.mend_header();
        self.mend_own_counters();
        self.writer_tick();
        let at = |at: Offset| self.region.get(at);
        let right = at(ctl!(count)) <= self.max_entries()
            && at(ctl!(used_granules)) <= self.data_ready()
            && at(ctl!(slot_high)) <= self.slots_ready()
            && self.claims_are_right()
            && self.order_adds_up()
            && self.ends_agree();
        right.then_some(()).ok_or(Damage)
    }

    /// One slot: its entry is in the index, its granules are marked, its place in the order is one.
    fn audit_slot(&self, slot: Slot, generation: u64, buf: &mut ReadBuf, sums: &mut Sums) -> Result<(), Damage> {
        let word = self.word(slot);
        if word.is_free() {
            return Ok(());
        }
        let granule = word.granule();
        let head = self.head(granule).ok_or(Damage)?;
        let passed = self.index_place(head.hash, slot).ok_or(Damage)?;
        // In larger ones damage to the content waits for whoever asks for the key.
        if head.granules <= CONTENT {
            // (Without memory for the copy it is not looked at.)
            let copied = self.copy_block(granule, &head, buf);
            if copied && !self.is_whole(generation, granule, buf) && self.generation() == generation {
                return Err(Damage);
            }
        }
        if !self.is_marked(head.index, head.granules) || !self.stands_right(slot) {
            return Err(Damage);
        }
        if self.region.get(self.deadline_at(slot)) != head.deadline {
            self.region.set(self.deadline_at(slot), head.deadline);
        }
        self.mend_use(slot);
        self.note_deadline(if self.idles() {
            head.deadline.min(self.idle_end(slot, self.now()))
        } else {
            head.deadline
        });
        self.mend_stamps(slot);
        *sums = [sums[0] + 1, sums[1].wrapping_add(head.granules), sums[2].wrapping_add(passed)];
        Ok(())
    }

    fn end_round(&self) -> Result<(), Damage> {
        // Of what is in LFU's eviction pool, new entries alone would never show that something is amiss.
        if self.strategy == Strategy::Lfu {
            self.clear_pool();
        }
        let rounds = self.audits.rounds.fetch_add(1, Ordering::Relaxed);
        if rounds.is_multiple_of(SELDOM) {
            self.mend_counters();
        }
        Ok(())
    }
}
