//! Who gives way: the order of entries, kept in each slot's own meta words, and the choice of a victim.
//!
//! An entry's key of order is (count, last use) for LFU and (0, last use) otherwise, where FIFO never renews the "use"
//! that insertion stamped. The victim has the least key; MRU's has the greatest. A hit stamps without a lock.
//!
//! **Exact up to `EXACT` slots**: the victim is the one of a scan of all of them. Since keys only grow (uses are later,
//! counts higher), one scan serves many evictions: the 256 least are noted with their words and keys, and the first
//! noted entry that has not changed is still the least of all. `bound` is the least key not noted; what is inserted or
//! moves below it (LFU) is noted, too.
//! **Beyond**, entries are sampled as Redis does it (its LRU pool of 3.0): the best of 64, in runs of eight neighbours.

use crate::shm::atomic::Ordering;
use crate::shm::clock;
use crate::shm::core::{Core, Strategy};
use crate::shm::layout::{candidate_at, ctl, Candidate, CANDIDATES, GRANULE};
use crate::shm::slots::{granule_of, Slot, Word};
use core::mem::offset_of;

/// Up to so many slots, the victim is exact.
pub const EXACT: u64 = 1024;
const SAMPLE_RUNS: u64 = 8;
const RUN: u64 = 8;
/// Noted from a sample.
const SAMPLE_KEEPS: usize = 16;
/// Two uses of one entry within so many time stamps, nothing else used by this thread in between, are one (about a
/// microsecond).
const SAME_USE: u64 = 4096;
/// A time stamp that lies so far behind the last one is that of a counter that was set back (seconds).
const JUMP: u64 = 1 << 33;

type Key = [u64; 2];

#[derive(Clone, Copy)]
struct Noted {
    key: Key,
    slot: Slot,
    word: Word,
}

impl Core {
    /// A point in the order of uses, later than all that happened before.
    #[inline(always)]
    pub(crate) fn tick(&self) -> u64 {
        if self.ident.tick_mode == 1 {
            clock::time_stamp().wrapping_add(self.region.get(ctl!(tick_offset)))
        } else {
            self.region.add(ctl!(tick), 1, Ordering::Relaxed).wrapping_add(1)
        }
    }

    /// `tick` for a writer, who notices if the counter has been set back and lifts everybody over it.
    pub(crate) fn writer_tick(&self) -> u64 {
        let (now, last) = (self.tick(), self.region.get(ctl!(last_tick)));
        if self.ident.tick_mode == 1 && last > now.saturating_add(JUMP) {
            self.region.add(ctl!(tick_offset), last - now, Ordering::Relaxed);
            return last;
        }
        self.region.set(ctl!(last_tick), now);
        now
    }

    /// `touch` at the present tick in the usual case; false (and nothing done) in another.
    #[inline(always)]
    pub(crate) fn touch_at_once(&self, slot: Slot, last_touched: bool) -> bool {
        if self.ident.tick_mode != 1 || !matches!(self.strategy, Strategy::Lru | Strategy::Mru) {
            return false;
        }
        self.stamp(slot, self.tick(), last_touched);
        true
    }

    #[inline(always)]
    fn stamp(&self, slot: Slot, tick: u64, last_touched: bool) {
        // A hot entry's line stays shared among the processes that hit it.
        let again = last_touched
            && self.ident.tick_mode == 1
            && tick.wrapping_sub(self.region.get(self.used_at(slot))) < SAME_USE;
        if !again {
            self.region.set(self.used_at(slot), tick);
        }
    }

    /// Stamps a use of a slot. Lock-free; if the slot was given away in between, a newcomer looks used a moment ago.
    #[inline]
    pub(crate) fn touch(&self, slot: Slot, tick: u64, last_touched: bool) {
        match self.strategy {
            Strategy::Fifo => {}
            Strategy::Lru | Strategy::Mru => self.stamp(slot, tick, last_touched),
            Strategy::Lfu => {
                self.region.set(self.used_at(slot), tick);
                self.region.add(self.count_at(slot), 1, Ordering::Relaxed);
            }
        }
    }

    /// A new entry's place in the order, before it is published.
    pub(crate) fn enter_order(&self, slot: Slot) {
        self.region.set(self.used_at(slot), self.writer_tick());
        self.region.set(self.count_at(slot), 1);
    }

    /// After publication: the entry joins the noted ones if it comes before the least that is not. (Only in LFU can
    /// it.)
    pub(crate) fn note_new(&self, slot: Slot) {
        if self.strategy == Strategy::Lfu {
            let new = Noted { key: self.order_key(slot), slot, word: self.word(slot) };
            if new.key < self.bound() {
                self.note_also(new);
            }
        }
    }

    /// Puts `new` among the noted ones that are left, if any are.
    fn note_also(&self, new: Noted) {
        let (head, len) = self.noted_range();
        if head == len {
            return;
        }
        let (mut from, mut to) = (head, len);
        while from < to {
            let middle = (from + to) / 2;
            if self.noted(middle).key <= new.key {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        // `from` is the place; make room on the cheaper side that has some.
        if head > 0 && (from - head <= len - from || len == CANDIDATES) {
            (head..from).for_each(|i| self.write_noted(i - 1, self.noted(i)));
            self.write_noted(from - 1, new);
            self.region.set(ctl!(cand_head), head - 1);
        } else {
            let end = if len < CANDIDATES { len } else { len - 1 };
            if end < len {
                self.set_bound(self.noted(end).key);
            }
            (from..end).rev().for_each(|i| self.write_noted(i + 1, self.noted(i)));
            if from <= end {
                self.write_noted(from, new);
            }
            self.region.set(ctl!(cand_len), end + 1);
        }
    }

    fn write_noted(&self, i: u64, n: Noted) {
        self.region.copy_in(candidate_at(i), &[n.slot, n.word, n.key[0], n.key[1]]);
    }

    fn set_bound(&self, bound: Key) {
        self.region.set(ctl!(cand_bound), bound[0]);
        self.region.set(ctl!(cand_bound) + 8, bound[1]);
    }

    /// Before the lock is taken: brings near what the next eviction will touch, as far as one can tell.
    pub(crate) fn prefetch_victim(&self) {
        let (head, len) = self.noted_range();
        if head < len && self.strategy != Strategy::Mru {
            let noted = self.noted(head);
            if noted.slot < self.geo.capacity {
                self.region.prefetch(self.word_at(noted.slot));
                self.region.prefetch(self.used_at(noted.slot));
                // Its line comes with the head, which says in what bucket the victim is.
                self.region.prefetch(granule_of(noted.word).wrapping_mul(GRANULE));
                if let Some(head) = self.head(granule_of(noted.word)) {
                    self.prefetch_bucket(head.hash);
                }
            }
        }
    }

    fn order_key(&self, slot: Slot) -> Key {
        let count = if self.strategy == Strategy::Lfu { self.region.get(self.count_at(slot)) } else { 0 };
        [count, self.region.get(self.used_at(slot))]
    }

    fn bound(&self) -> Key {
        [self.region.get(ctl!(cand_bound)), self.region.get(ctl!(cand_bound) + 8)]
    }

    fn noted_range(&self) -> (u64, u64) {
        let len = self.region.get(ctl!(cand_len)).min(CANDIDATES);
        (self.region.get(ctl!(cand_head)).min(len), len)
    }

    fn noted(&self, i: u64) -> Noted {
        let field = |offset: usize| self.region.get(candidate_at(i) + offset as u64);
        let key = offset_of!(Candidate, key);
        Noted {
            key: [field(key), field(key + 8)],
            slot: field(offset_of!(Candidate, slot)),
            word: field(offset_of!(Candidate, word)),
        }
    }

    fn note(&self, noted: &[Noted], bound: Key) {
        // Length first to 0: a death in the middle leaves nothing noted (and a repair, anyway).
        self.region.set(ctl!(cand_len), 0);
        for (i, n) in noted.iter().enumerate() {
            self.write_noted(i as u64, *n);
        }
        self.set_bound(bound);
        self.region.set(ctl!(cand_head), 0);
        self.region.set(ctl!(cand_len), noted.len() as u64);
    }

    pub(crate) fn forget_noted(&self) {
        self.note(&[], [0, 0]);
    }

    fn live(&self, slot: Slot) -> Option<Noted> {
        let word = self.word(slot);
        (granule_of(word) != 0).then(|| Noted { key: self.order_key(slot), slot, word })
    }

    /// The entry to give way, under the lock. `None` if the cache is empty.
    pub(crate) fn victim(&self) -> Option<Slot> {
        if self.strategy == Strategy::Mru {
            return self.scan().into_iter().max_by_key(|n| n.key).map(|n| n.slot);
        }
        if let Some(slot) = self.noted_victim() {
            return Some(slot);
        }
        let exact = self.slot_high() <= EXACT;
        let keep = if exact { CANDIDATES as usize } else { SAMPLE_KEEPS };
        let mut all = self.scan();
        let mut bound = None;
        if all.len() > keep {
            bound = Some(all.select_nth_unstable_by_key(keep, |n| n.key).1.key);
            all.truncate(keep);
        }
        all.sort_unstable_by_key(|n| n.key);
        let (first, last) = (all.first()?.slot, all.last()?.key);
        // Where everything is noted, what comes after the last needs no noting. In a sample, "below the bound" means
        // nothing.
        self.note(&all, if exact { bound.unwrap_or(last) } else { [0, 0] });
        self.region.set(ctl!(cand_head), 1);
        Some(first)
    }

    /// The first of the noted entries that is still as it was noted.
    fn noted_victim(&self) -> Option<Slot> {
        let (high, bound) = (self.slot_high(), self.bound());
        // Others may hit what we look at again and again; at some point a new scan is cheaper.
        for _ in 0..4 * CANDIDATES {
            let (head, len) = self.noted_range();
            if head == len {
                break;
            }
            let noted = self.noted(head);
            self.region.set(ctl!(cand_head), head + 1);
            let now = if noted.slot < high { self.live(noted.slot) } else { None };
            match now {
                Some(now) if now.word == noted.word && now.key == noted.key => return Some(now.slot),
                // Used since, but still before all that is not noted (LFU): it has another place among the noted.
                Some(now) if now.key < bound => self.note_also(now),
                _ => {}
            }
        }
        None
    }

    /// All live slots, or a sample of them (and if that is empty, all of them after all).
    fn scan(&self) -> Vec<Noted> {
        let high = self.slot_high();
        if high > EXACT {
            let mut random = self.region.get(ctl!(publish_seq)) ^ self.ident.seed[1];
            let sample: Vec<Noted> = (0..SAMPLE_RUNS)
                .flat_map(|_| {
                    random = split_mix(random);
                    let start = ((u128::from(random) * u128::from(high - RUN)) >> 64) as u64;
                    start..start + RUN
                })
                .filter_map(|slot| self.live(slot))
                .collect();
            if !sample.is_empty() {
                return sample;
            }
        }
        (0..high).filter_map(|slot| self.live(slot)).collect()
    }
}

/// Steele, Lea and Flood's SplitMix64.
fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
