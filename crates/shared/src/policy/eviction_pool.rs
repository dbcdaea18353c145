//! LRU, MRU, FIFO, LFU: no order is kept at all but stamps in each slot's own meta words, and a victim is looked for.
//!
//! An entry's key of order is (count, last use) for LFU and (0, last use) otherwise, where FIFO never renews the "use"
//! that insertion stamped. The victim has the least key; MRU's has the greatest. A hit stamps without a lock.
//!
//! **Exact up to `EXACT` slots**: the victim is the one of a scan of all of them. Since keys only grow (uses are later,
//! counts higher), one scan serves many evictions: the 256 least are put into a pool with their words and keys, and
//! the first of these that has not changed is still the least of all. `bound` is the least key not in the pool; what is
//! inserted or moves below it (LFU) joins the pool.
//! **Beyond**, entries are sampled as Redis does it (its LRU pool of 3.0): the best of 64, in runs of eight neighbours.

use crate::file::layout::{candidate_at, ctl, Candidate, CANDIDATES};
use crate::file::units::{Slot, Word};
use crate::policy::Broken;
use crate::policy::Strategy;
use crate::table::Table;
use core::mem::offset_of;
use engine::hashing::{scale, split_mix};

/// Up to so many slots, the victim is exact.
pub const EXACT: u64 = 1024;
const SAMPLE_RUNS: u64 = 8;
const RUN: u64 = 8;
/// Kept of a sample.
const SAMPLE_KEEPS: usize = 16;

type Key = [u64; 2];

#[derive(Clone, Copy)]
struct Pooled {
    key: Key,
    slot: Slot,
    word: Word,
}

impl Table {
    /// After publication: the entry joins the pool if it comes before the least that is not in it. (Only in LFU can
    /// it.)
    pub(super) fn offer_to_pool(&self, slot: Slot) {
        if self.strategy == Strategy::Lfu {
            let new = Pooled { key: self.order_key(slot), slot, word: self.word(slot) };
            if new.key < self.bound() {
                self.insert_into_pool(new);
            }
        }
    }

    /// Puts `new` into what is left of the pool, if anything is.
    fn insert_into_pool(&self, new: Pooled) {
        let (head, len) = self.pool_range();
        if head == len {
            return;
        }
        let (mut from, mut to) = (head, len);
        while from < to {
            let middle = (from + to) / 2;
            if self.pooled(middle).key <= new.key {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        // `from` is the place; make room on the cheaper side that has some.
        if head > 0 && (from - head <= len - from || len == CANDIDATES) {
            (head..from).for_each(|i| self.write_pooled(i - 1, self.pooled(i)));
            self.write_pooled(from - 1, new);
            self.region.set(ctl!(cand_head), head - 1);
        } else {
            let end = if len < CANDIDATES { len } else { len - 1 };
            if end < len {
                self.set_bound(self.pooled(end).key);
            }
            (from..end).rev().for_each(|i| self.write_pooled(i + 1, self.pooled(i)));
            if from <= end {
                self.write_pooled(from, new);
            }
            self.region.set(ctl!(cand_len), end + 1);
        }
    }

    fn write_pooled(&self, i: u64, n: Pooled) {
        self.region.copy_in(candidate_at(i), &[n.slot.number(), n.word.bits(), n.key[0], n.key[1]]);
    }

    fn set_bound(&self, bound: Key) {
        self.region.set(ctl!(cand_bound), bound[0]);
        self.region.set(ctl!(cand_bound) + 8, bound[1]);
    }

    /// The next victim by the pool, as it was at the scan.
    pub(super) fn next_of_pool(&self) -> Option<(Slot, Word)> {
        let (head, len) = self.pool_range();
        let next = (head < len && self.strategy != Strategy::Mru).then(|| self.pooled(head))?;
        (next.slot.number() < self.geo.capacity).then_some((next.slot, next.word))
    }

    pub(crate) fn order_key(&self, slot: Slot) -> Key {
        let count = if self.strategy == Strategy::Lfu { self.region.get(self.count_at(slot)) } else { 0 };
        [count, self.region.get(self.used_at(slot))]
    }

    fn bound(&self) -> Key {
        [self.region.get(ctl!(cand_bound)), self.region.get(ctl!(cand_bound) + 8)]
    }

    fn pool_range(&self) -> (u64, u64) {
        let len = self.region.get(ctl!(cand_len)).min(CANDIDATES);
        (self.region.get(ctl!(cand_head)).min(len), len)
    }

    fn pooled(&self, i: u64) -> Pooled {
        let field = |offset: usize| self.region.get(candidate_at(i) + offset as u64);
        let key = offset_of!(Candidate, key);
        Pooled {
            key: [field(key), field(key + 8)],
            slot: Slot::new(field(offset_of!(Candidate, slot))),
            word: Word::from_bits(field(offset_of!(Candidate, word))),
        }
    }

    fn set_pool(&self, pool: &[Pooled], bound: Key) {
        // Length first to 0: a death in the middle leaves the pool empty (and a repair, anyway).
        self.region.set(ctl!(cand_len), 0);
        for (i, n) in pool.iter().enumerate() {
            self.write_pooled(i as u64, *n);
        }
        self.set_bound(bound);
        self.region.set(ctl!(cand_head), 0);
        self.region.set(ctl!(cand_len), pool.len() as u64);
    }

    pub(crate) fn clear_pool(&self) {
        self.set_pool(&[], [0, 0]);
    }

    fn live(&self, slot: Slot) -> Option<Pooled> {
        let word = self.word(slot);
        (!word.is_free()).then(|| Pooled { key: self.order_key(slot), slot, word })
    }

    /// The entry to give way. `None` if the cache is empty.
    pub(super) fn victim_by_stamps(&self) -> Result<Option<Slot>, Broken> {
        if self.strategy == Strategy::Mru {
            return Ok(self.scan()?.into_iter().max_by_key(|n| n.key).map(|n| n.slot));
        }
        if let Some(slot) = self.victim_of_pool() {
            return Ok(Some(slot));
        }
        let exact = self.slot_high() <= EXACT;
        let keep = if exact { CANDIDATES as usize } else { SAMPLE_KEEPS };
        let mut all = self.scan()?;
        let mut bound = None;
        let by_count = self.strategy == Strategy::Lfu;
        if all.len() > keep {
            // (Where uses are not counted, half of a key is always the same.)
            let (_, nth, _) = match by_count {
                true => all.select_nth_unstable_by_key(keep, |n| n.key),
                false => all.select_nth_unstable_by_key(keep, |n| n.key[1]),
            };
            bound = Some(nth.key);
            all.truncate(keep);
        }
        match by_count {
            true => all.sort_unstable_by_key(|n| n.key),
            false => all.sort_unstable_by_key(|n| n.key[1]),
        }
        let (Some(first), Some(last)) = (all.first().map(|n| n.slot), all.last().map(|n| n.key)) else {
            return Ok(None);
        };
        // Where everything is in the pool, what comes after the last needs no place in it. In a sample, "below the bound" means
        // nothing.
        self.set_pool(&all, if exact { bound.unwrap_or(last) } else { [0, 0] });
        self.region.set(ctl!(cand_head), 1);
        Ok(Some(first))
    }

    /// The first entry of the pool that is still as it was put in.
    fn victim_of_pool(&self) -> Option<Slot> {
        let (high, bound) = (self.slot_high(), self.bound());
        // Others may hit what we look at again and again; at some point a new scan is cheaper.
        for _ in 0..4 * CANDIDATES {
            let (head, len) = self.pool_range();
            if head == len {
                break;
            }
            let pooled = self.pooled(head);
            self.region.set(ctl!(cand_head), head + 1);
            let now = if pooled.slot.number() < high { self.live(pooled.slot) } else { None };
            match now {
                Some(now) if now.word == pooled.word && now.key == pooled.key => return Some(now.slot),
                // Used since, but still before all that is not in the pool (LFU): it has another place there.
                Some(now) if now.key < bound => self.insert_into_pool(now),
                _ => {}
            }
        }
        None
    }

    /// All live slots, or a sample of them (and if that is empty, all of them after all). `Broken` if they are fewer or
    /// more than are counted.
    fn scan(&self) -> Result<Vec<Pooled>, Broken> {
        let (high, count) = (self.slot_high(), self.region.get(ctl!(count)));
        if high > EXACT {
            let mut random = self.region.get(ctl!(publish_seq)) ^ self.header.seed[1];
            let sample: Vec<Pooled> = (0..SAMPLE_RUNS)
                .flat_map(|_| {
                    random = split_mix(random);
                    let start = scale(random, high - RUN);
                    Slot::range(start, start + RUN)
                })
                .filter_map(|slot| self.live(slot))
                .collect();
            if count == high && sample.len() as u64 != SAMPLE_RUNS * RUN {
                return Err(Broken);
            }
            if !sample.is_empty() {
                return Ok(sample);
            }
        }
        let all: Vec<Pooled> = Slot::first(high).filter_map(|slot| self.live(slot)).collect();
        if all.len() as u64 == count {
            Ok(all)
        } else {
            Err(Broken)
        }
    }
}
