//! Queues of slots in the file: doubly linked lists, changed under the writers' lock, rebuilt from the slots.
//!
//! A slot's place is in its `Link`: `entered` (the number of its entrance, and which queue) and `neighbours`. Only the
//! first is more than a convenience: numbers grow with each entrance, and entrances are at the head alone, so sorting
//! the live slots by them gives back every queue as it was. `entered` is written before the entry is published, and by
//! one store when an entry moves on; so whatever a death leaves behind, a rebuilt queue has every entry once, in order.
//!
//! Links are read from a file that anybody may have damaged. So a slot number is checked before it is used, and a link
//! is changed only if the neighbour agrees with it: damage is met as `Broken`, for which the remedy is a repair, and is
//! not spread.

use crate::file::layout::{ctl, Link, QueueEnds, QUEUES};
use crate::file::units::{Offset, Slot};
use crate::policy::Strategy;
use crate::table::Table;
use core::mem::{offset_of, size_of};

/// One of the strategy's queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queue(pub(super) u64);

/// What the links say cannot be.
#[derive(Debug)]
pub(crate) struct Broken;

const QUEUE_BITS: u32 = 2;
const QUEUE_MASK: u64 = (1 << QUEUE_BITS) - 1;
/// More entrances than there can have been.
const UNHEARD_OF: u64 = 1 << 56;

/// A slot, if a link or an end names one: `n` is that of the slot plus 1.
type Named = Option<Slot>;

fn number(named: Named) -> u64 {
    named.map_or(0, Slot::to_link)
}

fn end_at(queue: Queue, offset: usize) -> Offset {
    ctl!(queues) + queue.0 * size_of::<QueueEnds>() as u64 + offset as u64
}
const HEAD: usize = offset_of!(QueueEnds, head);
const TAIL: usize = offset_of!(QueueEnds, tail);
const LEN: usize = offset_of!(QueueEnds, len);

impl Table {
    pub(super) fn link_at(&self, slot: Slot) -> Offset {
        self.geo.link(slot) + offset_of!(Link, neighbours) as u64
    }
    fn entered_at(&self, slot: Slot) -> Offset {
        self.geo.link(slot) + offset_of!(Link, entered) as u64
    }

    /// How many queues the strategy has.
    fn queues(&self) -> u64 {
        match self.strategy {
            Strategy::Sieve => 1,
            Strategy::S3Fifo => 2,
            _ => QUEUES,
        }
    }

    /// What a slot's number plus 1 names.
    fn named(&self, n: u64) -> Result<Named, Broken> {
        match Slot::from_link(n) {
            Some(slot) if slot.number() >= self.slot_high() => Err(Broken),
            slot => Ok(slot),
        }
    }

    fn end_of(&self, queue: Queue, which: usize) -> Result<Named, Broken> {
        self.named(self.region.get(end_at(queue, which)))
    }

    fn set_end(&self, queue: Queue, which: usize, to: Named) {
        self.region.set(end_at(queue, which), number(to));
    }

    pub(super) fn queue_len(&self, queue: Queue) -> u64 {
        self.region.get(end_at(queue, LEN))
    }

    fn neighbours(&self, slot: Slot) -> Result<(Named, Named), Broken> {
        let both = self.region.get(self.link_at(slot));
        Ok((self.named(both >> 32)?, self.named(both & 0xffff_ffff)?))
    }

    fn set_neighbours(&self, slot: Slot, (before, after): (Named, Named)) {
        self.region.set(self.link_at(slot), number(before) << 32 | number(after));
    }

    /// The queue that a slot has entered.
    pub(super) fn queue_of(&self, slot: Slot) -> Queue {
        Queue(self.region.get(self.entered_at(slot)) & QUEUE_MASK)
    }

    /// The entry that has been in the queue for longest.
    pub(super) fn tail(&self, queue: Queue) -> Result<Option<Slot>, Broken> {
        let tail = self.end_of(queue, TAIL)?;
        if tail.is_none() == (self.queue_len(queue) == 0) {
            Ok(tail)
        } else {
            Err(Broken)
        }
    }

    pub(super) fn has_its_ends(&self, queue: Queue) -> bool {
        let empty = self.queue_len(queue) == 0;
        [HEAD, TAIL].into_iter().all(|which| self.end_of(queue, which).is_ok_and(|end| end.is_none() == empty))
    }

    /// The number of a slot's entrance into its queue, as far as it fits.
    pub(super) fn entrance(&self, slot: Slot) -> u64 {
        self.region.get(self.entered_at(slot)) >> QUEUE_BITS & 0xffff_ffff
    }

    /// `tail`, for who does not hold the lock.
    pub(super) fn likely_tail(&self, queue: Queue) -> Option<Slot> {
        self.tail(queue).ok().flatten()
    }

    /// The entry that came into the queue next after this one.
    pub(super) fn newer(&self, slot: Slot) -> Result<Option<Slot>, Broken> {
        Ok(self.neighbours(slot)?.0)
    }

    /// The word that a repair will find a slot's place by: it enters the queue now. `link_noted` puts it there.
    pub(super) fn note_entrance(&self, slot: Slot, queue: Queue) {
        let next = self.region.get(ctl!(queue_seq)).wrapping_add(1) & (u64::MAX >> QUEUE_BITS);
        self.region.set(ctl!(queue_seq), next);
        self.region.set(self.entered_at(slot), next << QUEUE_BITS | queue.0);
    }

    /// Puts a slot at the head of the queue that it has entered.
    pub(super) fn link_noted(&self, slot: Slot) -> Result<(), Broken> {
        let queue = self.queue_of(slot);
        if queue.0 >= self.queues() {
            return Err(Broken);
        }
        let (head, tail) = (self.end_of(queue, HEAD)?, self.end_of(queue, TAIL)?);
        match head {
            Some(head) => {
                let (before, after) = self.neighbours(head)?;
                if before.is_some() || head == slot || tail.is_none() {
                    return Err(Broken);
                }
                self.set_neighbours(head, (Some(slot), after));
            }
            None if tail.is_none() => self.set_end(queue, TAIL, Some(slot)),
            None => return Err(Broken),
        }
        self.set_neighbours(slot, (None, head));
        self.set_end(queue, HEAD, Some(slot));
        self.region.set(end_at(queue, LEN), self.queue_len(queue).wrapping_add(1));
        Ok(())
    }

    /// Takes a slot out of its queue.
    pub(super) fn unlink(&self, slot: Slot) -> Result<(), Broken> {
        let queue = self.queue_of(slot);
        let (before, after) = self.neighbours(slot)?;
        let around = |of: Named| of.map(|slot| self.neighbours(slot)).transpose();
        let (of_before, of_after) = (around(before)?, around(after)?);
        let left = self.queue_len(queue).checked_sub(1).ok_or(Broken)?;
        let follows = match of_before {
            Some(of_before) => of_before.1,
            None => self.end_of(queue, HEAD)?,
        };
        let precedes = match of_after {
            Some(of_after) => of_after.0,
            None => self.end_of(queue, TAIL)?,
        };
        if queue.0 >= self.queues()
            || follows != Some(slot)
            || precedes != Some(slot)
            || (before.is_some() && before == after)
        {
            return Err(Broken);
        }
        match (before, of_before) {
            (Some(before), Some(its)) => self.set_neighbours(before, (its.0, after)),
            _ => self.set_end(queue, HEAD, after),
        }
        match (after, of_after) {
            (Some(after), Some(its)) => self.set_neighbours(after, (before, its.1)),
            _ => self.set_end(queue, TAIL, before),
        }
        self.region.set(end_at(queue, LEN), left);
        Ok(())
    }

    /// For the audit: whether a live slot stands in a queue, and its neighbours agree.
    pub(crate) fn stands_right(&self, slot: Slot) -> bool {
        if !self.strategy.has_queues() {
            return true;
        }
        let (queue, entered) = (self.queue_of(slot), self.region.get(self.entered_at(slot)));
        let Ok((before, after)) = self.neighbours(slot) else { return false };
        // Numbers of entrances grow towards the head, so links cannot lead round.
        let follows = match before {
            None => self.end_of(queue, HEAD).is_ok_and(|head| head == Some(slot)),
            Some(before) => {
                self.queue_of(before) == queue
                    && self.region.get(self.entered_at(before)) > entered
                    && self.neighbours(before).is_ok_and(|its| its.1 == Some(slot))
            }
        };
        let precedes = match after {
            None => self.end_of(queue, TAIL).is_ok_and(|tail| tail == Some(slot)),
            Some(after) => self.neighbours(after).is_ok_and(|its| its.0 == Some(slot)),
        };
        queue.0 < self.queues() && follows && precedes && entered >> QUEUE_BITS <= self.region.get(ctl!(queue_seq))
    }

    /// For repair: all queues anew, from what the live slots say of their entrances.
    pub(super) fn rebuild_queues(&self) {
        let live = self.slots().filter(|slot| !self.word(*slot).is_free());
        let mut all: Vec<(u64, Slot)> = Vec::new();
        // Without memory, whoever repairs must not die of it: then the order is that of the slots, which is one as well.
        let sorted = all.try_reserve_exact(self.slot_high() as usize).is_ok();
        let entrance = |slot| (self.region.get(self.entered_at(slot)), slot);
        if sorted {
            all.extend(live.clone().map(entrance));
            all.sort_unstable();
        }
        let number = |entered: u64| entered >> QUEUE_BITS;
        let last = all.last().map_or(0, |last| number(last.0)).max(self.region.get(ctl!(queue_seq)));
        let twice = all.windows(2).any(|pair| number(pair[0].0) == number(pair[1].0));
        let damaged = !sorted || twice || last >= UNHEARD_OF;
        self.region.set(ctl!(queue_seq), if damaged { self.slot_high() } else { last });
        for queue in (0..QUEUES).map(Queue) {
            [HEAD, TAIL, LEN].into_iter().for_each(|word| self.region.set(end_at(queue, word), 0));
        }
        let unsorted = live.filter(|_| !sorted).map(entrance);
        for (n, (entered, slot)) in (1..).zip(all.into_iter().chain(unsorted)) {
            let queue = entered & QUEUE_MASK;
            let queue = if queue < self.queues() { queue } else { 0 };
            // (Who dies over new numbers leaves a mixture, which is an order as well.)
            let right = if damaged { n } else { number(entered) } << QUEUE_BITS | queue;
            if right != entered {
                self.region.set(self.entered_at(slot), right);
            }
            // In queues that have just been emptied, only further damage could be in the way: the next repair's.
            let _ = self.link_noted(slot);
        }
        self.rebuild_hand();
    }

    /// Whether a live slot stands in this queue, as far as its own word tells.
    pub(super) fn stands_in(&self, slot: Slot, queue: Queue) -> bool {
        slot.number() < self.slot_high() && !self.word(slot).is_free() && self.queue_of(slot) == queue
    }

    /// Under the lock: whether queues and slots agree in all.
    #[cfg(test)]
    #[allow(dead_code)] // crates/shared/src/tests/mod.rs wants it
    pub(crate) fn validate_order(&self) {
        if !self.strategy.has_queues() {
            return;
        }
        let mut seen = std::collections::HashSet::new();
        for queue in (0..QUEUES).map(Queue) {
            let (mut before, mut last, mut n) = (None, u64::MAX, 0);
            let mut at = self.end_of(queue, HEAD).unwrap();
            while let Some(slot) = at {
                let (its_before, after) = self.neighbours(slot).unwrap();
                let entered = self.region.get(self.entered_at(slot));
                assert_eq!(its_before, before, "{queue:?}: slot {slot} has the neighbour that has it");
                assert!(queue.0 < self.queues() && self.stands_in(slot, queue), "{queue:?}: {slot}");
                assert!(entered < last && seen.insert(slot), "{queue:?}: {slot}");
                (before, last, at, n) = (Some(slot), entered, after, n + 1);
            }
            assert_eq!(self.end_of(queue, TAIL).unwrap(), before);
            assert_eq!(self.queue_len(queue), n);
            assert!(n == 0 || self.region.get(ctl!(queue_seq)) << QUEUE_BITS >= last & !3);
        }
        assert!(self.hand().is_none_or(|hand| seen.contains(&hand)));
        assert_eq!(seen.len() as u64, self.region.get(ctl!(count)));
        assert_eq!(seen.len(), self.slots().filter(|slot| !self.word(*slot).is_free()).count());
    }
}
