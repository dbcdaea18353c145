//! Who gives way: what a use leaves in a slot's meta words, and the choice of a victim.
//!
//! There are two families. *By stamps* (`eviction_pool`: LRU, MRU, FIFO, LFU): nothing is kept but each slot's own stamp and
//! count, and a victim is looked for among them. *By queues* (`sieve`, `s3fifo`, `tinylfu`): entries stand in linked
//! queues in the file (`queues`) in the order in which they came, and a victim is found at an end of one.
//!
//! **A hit takes no lock and moves nothing.** It writes to the slot's own meta words: a stamp, or a mark that is only
//! written where it is not there yet, so a repeated hit under SIEVE, S3-FIFO and TinyLFU writes nothing at all. Whoever
//! evicts, under the lock, finds the marks and moves the entries then (lazy promotion).
//!
//! **All of it is derived, or a hint.** Marks and stamps only choose victims. The queues are rebuilt from a word that
//! each slot has of its own, written before the entry is published: when it entered which queue. What is known of keys
//! that are gone (`ghosts`, `sketch`) may be lost or wrong at the cost of some hits. Whatever the words say, no walk
//! is longer than a bound, no link is followed before it has been checked, and what does not fit ends in a repair.

mod eviction_pool;
mod ghosts;
mod hill_climber;
mod history;
mod queues;
mod s3fifo;
mod sieve;
mod sketch;
mod strategy;
mod tinylfu;

pub use self::eviction_pool::EXACT;
pub use self::strategy::Strategy;

pub(crate) use self::queues::Broken;
use self::queues::Queue;
use crate::file::atomic::Ordering;
use crate::file::layout::{ctl, QUEUES};
use crate::file::units::{Slot, Tick};
use crate::process::clock;
use crate::table::Table;

/// Two uses of one entry within so many time stamps, nothing else used by this thread in between, are one (about a
/// microsecond).
const SAME_USE: u64 = 4096;
/// A time stamp that lies so far behind the last one is that of a counter that was set back (seconds).
const JUMP: u64 = 1 << 33;
/// No tick can have come to this: it would take a century.
const UNHEARD_OF: u64 = 1 << 62;
/// Time stamps of two processors may differ by so much.
const SKEW: u64 = 1 << 20;
/// Entries that one search for a victim passes at most: some milliseconds under the lock.
const MAX_SCAN: u64 = 1 << 18;

impl Table {
    /// A point in the order of uses, later than all that happened before.
    #[inline(always)]
    fn tick(&self) -> Tick {
        Tick::new(if self.header.tick_mode == 1 {
            clock::time_stamp().wrapping_add(self.region.get_known(ctl!(tick_offset)))
        } else {
            self.region.add(ctl!(tick), 1, Ordering::Relaxed).wrapping_add(1)
        })
    }

    /// `tick` for a writer, who notices if the counter has been set back and lifts everybody over it.
    pub(crate) fn writer_tick(&self) -> Tick {
        let (now, last) = (self.tick().number(), self.region.get(ctl!(last_tick)));
        if self.header.tick_mode == 1 && last > now.saturating_add(JUMP) && last < UNHEARD_OF && now < UNHEARD_OF {
            self.region.add(ctl!(tick_offset), last - now, Ordering::Relaxed);
            return Tick::new(last);
        }
        if now >= UNHEARD_OF {
            // Damage. Stamps that are late now, the audit finds.
            self.region.set(ctl!(tick_offset), 0);
            self.region.set(ctl!(tick), 0);
        }
        let now = if now >= UNHEARD_OF { self.tick().number() } else { now };
        self.region.set(ctl!(last_tick), now);
        Tick::new(now)
    }

    /// The `tick` of a use, where uses are ordered by one; else any time stamp.
    #[inline]
    pub(crate) fn use_tick(&self) -> Tick {
        match self.strategy {
            Strategy::Lru | Strategy::Mru | Strategy::Lfu => self.tick(),
            _ => Tick::new(clock::time_stamp()),
        }
    }

    /// `touch` at the present tick in the usual case; false (and nothing done) in another.
    #[inline(always)]
    pub(crate) fn touch_at_once(&self, slot: Slot, last_touched: bool) -> bool {
        if self.header.tick_mode != 1 || !matches!(self.strategy, Strategy::Lru | Strategy::Mru) {
            return false;
        }
        self.stamp(slot, self.tick(), last_touched);
        true
    }

    #[inline(always)]
    fn stamp(&self, slot: Slot, tick: Tick, last_touched: bool) {
        // A hot entry's line stays shared among the processes that hit it.
        let again = last_touched
            && self.header.tick_mode == 1
            && tick.since(self.region.get_known(self.used_at(slot))) < SAME_USE;
        if !again {
            self.region.set_known(self.used_at(slot), tick.number());
        }
    }

    /// `touch` where no tick is needed; false (and nothing done) where one is. Two uses at the same moment may count as
    /// one.
    #[inline(always)]
    pub(crate) fn mark_use(&self, slot: Slot) -> bool {
        match self.strategy {
            Strategy::Fifo => {}
            Strategy::Sieve => self.mark_visited(slot),
            Strategy::S3Fifo => self.raise_frequency(slot),
            Strategy::TinyLfu => self.raise_count(slot),
            Strategy::Lru | Strategy::Mru | Strategy::Lfu => return false,
        }
        true
    }

    /// Notes a use of a slot. Lock-free; if the slot was given away in between, a newcomer looks used a moment ago.
    #[inline]
    pub(crate) fn touch(&self, slot: Slot, tick: Tick, last_touched: bool) {
        match self.strategy {
            Strategy::Lru | Strategy::Mru => self.stamp(slot, tick, last_touched),
            Strategy::Lfu => {
                self.region.set_known(self.used_at(slot), tick.number());
                self.region.before_store();
                self.region.known(self.count_at(slot)).fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                self.mark_use(slot);
            }
        }
    }

    /// `touch`, now.
    #[inline]
    pub(crate) fn touch_now(&self, slot: Slot) {
        if !self.mark_use(slot) {
            self.touch(slot, self.tick(), false);
        }
    }

    /// `touch` for a writer, whose use it is that an entry gets another value.
    pub(crate) fn touch_as_writer(&self, slot: Slot) {
        if !self.mark_use(slot) {
            self.touch(slot, self.writer_tick(), false);
        }
    }

    /// A new entry's place in the order, before it is published.
    pub(crate) fn enter_order(&self, slot: Slot, hash: u64) {
        let (queue, count) = match self.strategy {
            Strategy::Sieve => (sieve::ONLY, 0),
            Strategy::S3Fifo => (self.s3fifo_queue_of_new(hash), 0),
            Strategy::TinyLfu => (tinylfu::WINDOW, self.count_of_new(hash)),
            _ => {
                self.region.set(self.used_at(slot), self.writer_tick().number());
                return self.region.set(self.count_at(slot), 1);
            }
        };
        self.region.set(self.count_at(slot), count);
        self.note_entrance(slot, queue);
    }

    /// After publication: whatever others need to find the entry in its place.
    pub(crate) fn join_order(&self, slot: Slot) {
        if !self.strategy.has_queues() {
            self.offer_to_pool(slot);
        } else if self.link_noted(slot).is_err() {
            self.mend();
        }
    }

    /// An entry goes, for whatever reason. False if it was not in its place, which only damage explains.
    pub(crate) fn leave_order(&self, slot: Slot) -> bool {
        match self.strategy {
            Strategy::Sieve => self.sieve_leave(slot).is_ok(),
            Strategy::S3Fifo | Strategy::TinyLfu => self.unlink(slot).is_ok(),
            _ => true,
        }
    }

    /// The entry to give way, under the lock; whoever asks takes it away. `None` if the cache is empty.
    pub(crate) fn victim(&self) -> Option<Slot> {
        for _ in 0..2 {
            let victim = match self.strategy {
                _ if !self.order_adds_up() => Err(Broken),
                _ if self.region.get(ctl!(count)) == 0 => Ok(None),
                Strategy::Sieve => self.sieve_victim().map(Some),
                Strategy::S3Fifo => self.s3fifo_victim().map(Some),
                Strategy::TinyLfu => self.tinylfu_victim().map(Some),
                _ => self.victim_by_stamps(),
            };
            match victim {
                Ok(Some(slot)) if self.word(slot).is_free() => {}
                Ok(victim) => return victim,
                Err(Broken) => {}
            }
            self.mend();
        }
        // Somebody damages the file faster than it is repaired.
        self.slots().find(|slot| !self.word(*slot).is_free())
    }

    /// Whether the queues hold as many entries as are counted.
    pub(crate) fn order_adds_up(&self) -> bool {
        let queues = (0..QUEUES).map(Queue).map(|queue| self.queue_len(queue));
        !self.strategy.has_queues() || queues.fold(0, u64::wrapping_add) == self.region.get(ctl!(count))
    }

    /// For the audit: whether a queue has ends exactly if it has entries.
    pub(crate) fn ends_agree(&self) -> bool {
        !self.strategy.has_queues() || (0..QUEUES).map(Queue).all(|queue| self.has_its_ends(queue))
    }

    /// For the audit: stamps and counts that cannot be, and would keep an entry for ever, become those of a use now.
    pub(crate) fn mend_stamps(&self, slot: Slot) {
        if self.strategy.has_queues() {
            return;
        }
        let used = self.region.get(self.used_at(slot));
        if used > self.region.get(ctl!(last_tick)) {
            // (Read after the stamp: a use that was stamped meanwhile is not later.)
            let (now, skew) = match self.header.tick_mode {
                1 => (clock::time_stamp().wrapping_add(self.region.get(ctl!(tick_offset))), SKEW),
                _ => (self.region.get(ctl!(tick)), 0),
            };
            if used > now.saturating_add(skew) {
                self.region.set(self.used_at(slot), now);
            }
        }
        let count = self.region.get(self.count_at(slot));
        if self.strategy == Strategy::Lfu && count > SKEW && count > self.most_counted() {
            self.region.set(self.count_at(slot), 1);
        }
    }

    /// For repair: after the slots have been judged, everything that is derived from them.
    pub(crate) fn rebuild_order(&self) {
        self.clear_pool();
        if self.strategy.has_queues() {
            self.rebuild_queues();
        }
    }

    /// After a clear: what is known of keys that were in the cache says nothing any more.
    pub(crate) fn clear_history(&self) {
        match self.strategy {
            Strategy::S3Fifo => self.forget_ghosts(),
            Strategy::TinyLfu => self.forget_counts(),
            _ => {}
        }
    }

    /// Before the lock is taken: brings near what the next eviction will touch, as far as one can tell.
    pub(crate) fn prefetch_victim(&self) {
        let in_queue = match self.strategy {
            Strategy::Sieve => self.hand(),
            Strategy::S3Fifo => self.likely_tail(s3fifo::SMALL),
            Strategy::TinyLfu => self.likely_tail(tinylfu::PROBATION),
            _ => None,
        };
        let next = match in_queue {
            Some(slot) => {
                self.region.prefetch(self.link_at(slot));
                Some((slot, self.word(slot)))
            }
            None => self.next_of_pool(),
        };
        let Some((slot, word)) = next else { return };
        self.region.prefetch(self.word_at(slot));
        self.region.prefetch(self.used_at(slot));
        // Its line comes with the head, which says in what bucket the victim is.
        self.region.prefetch(word.granule().offset());
        if let Some(head) = self.head(word.granule()) {
            self.prefetch_bucket(head.hash);
        }
    }

    /// Moves an entry to the head of a queue, from wherever it is.
    fn move_to_head(&self, slot: Slot, queue: Queue) -> Result<(), Broken> {
        self.unlink(slot)?;
        self.note_entrance(slot, queue);
        self.link_noted(slot)
    }
}
