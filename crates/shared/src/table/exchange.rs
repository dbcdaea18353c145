//! Changes of one entry that depend on what it is: looked at, decided and made under the writers' lock.
//!
//! What a caller is told of such a change must be what happened, so there is no other way here than the lock: who does not
//! get it in time learns that, and nothing was done; nor is it where the new value is larger than the cache. A change that
//! was made fences the key, as a store by hand does.
//!
//! **A clear takes no lock** to begin with, so one may come between the decision and the store, or one that gave up on the lock.
//! What was decided by an entry of before is not stored then: what the clear has left to do is done, and it is decided anew.
//!
//! **A death** leaves what the store or the removal that it was in leaves: the old entry, the new one, or none.

use crate::error::Busy;
use crate::file::layout::ctl;
use crate::file::units::Slot;
pub(crate) use crate::interface::{Change, Present};
use crate::policy::Strategy;
use crate::process::lock::{WriteGuard, CLEAR_TIMEOUT};
use crate::table::block::ReadBuf;
use crate::table::head::Freshness;
use crate::table::reading::{Hit, Sought};
use crate::table::storing::{Put, Stored};
use crate::table::Table;
use std::time::Duration;

/// So often it is decided anew, as clears follow each other, before nothing is done.
const TRIES: u32 = 100;

impl Table {
    /// Changes a key's entry as `decide` says, which is given what is there, fresh or stale, and the present moment. What became
    /// of a store. `decide` runs under the lock: it must not wait, nor call anything that may. The last of its answers counts, of
    /// which there are several where the cache is cleared meanwhile. `buf`: memory for the entry.
    pub(crate) fn change<'a>(
        &self,
        sought: &Sought<'_>,
        buf: &mut ReadBuf,
        wait: Duration,
        decide: &mut dyn FnMut(Option<Present<'_>>, u64) -> Change<'a>,
    ) -> Result<Option<Stored>, Busy> {
        self.prefetch(sought.hash);
        let guard = self.lock(wait)?;
        for _ in 0..TRIES {
            if !self.owns() {
                break;
            }
            self.finish_clear();
            if let Some(changed) = self.change_once(&guard, sought, buf, decide)? {
                return Ok(changed);
            }
        }
        Err(Busy)
    }

    /// `change`, under the lock; `None` where the cache was cleared before the store, and nothing was done.
    fn change_once<'a>(
        &self,
        guard: &WriteGuard<'_>,
        sought: &Sought<'_>,
        buf: &mut ReadBuf,
        decide: &mut dyn FnMut(Option<Present<'_>>, u64) -> Change<'a>,
    ) -> Result<Option<Option<Stored>>, Busy> {
        let Sought { key, hash, .. } = *sought;
        // One reading for all that is decided and done. Where the clock turns out to be another one, the file is lost.
        let now = self.now();
        if self.region.truncated() {
            return Err(Busy);
        }
        // Of the last clear that is over: what a later one has left to do would take with it what is stored here.
        let decided = Some(self.region.get(ctl!(swept_generation)));
        let found = self.find_or(hash, key, buf, |_| {}).map_err(|_| Busy)?;
        let there = found.filter(|hit| self.freshness_at(hit, now) != Freshness::Gone);
        let present = there.map(|hit| Present { hit, value: buf.value(), terms: buf.terms() });
        let (value, terms, how) = match decide(present, now) {
            Change::Nothing => return Ok(Some(None)),
            Change::Remove => {
                self.raise_fence(guard, hash);
                if let Some(hit) = found {
                    self.discard(Slot::new(hit.slot));
                }
                return if self.owns() { Ok(Some(None)) } else { Err(Busy) };
            }
            Change::Store(Some(value), terms) => (Some(value), terms, Put::WHATEVER),
            Change::Store(None, terms) => (None, terms, Put::UNNOTICED),
            Change::Exchange(value, terms) => (Some(value), terms, Put::SEEN),
        };
        let value = value.as_deref().unwrap_or_else(|| buf.value());
        let block = self.prepare(hash, key, value, &terms);
        let stored = block.map_or_else(
            |why| why,
            |block| self.put(guard, key, &block, Put { decided, found, now: Some(now), ..how }),
        );
        match stored {
            Stored::Done(_) => (),
            // Nothing was done: the entry is what it was.
            Stored::TooLarge => return Ok(Some(Some(stored))),
            Stored::Outdated => return Ok(None),
            _ => {
                self.drop_entry(guard, hash, key)?;
            }
        }
        // After the entry: who begins from here on has found it.
        self.raise_fence(guard, hash);
        if matches!(stored, Stored::Busy) {
            Err(Busy)
        } else {
            Ok(Some(Some(stored)))
        }
    }

    /// Takes the policy's next victim out, and fences it; `take` is given key, value and place of each that may be it, and says
    /// which. Whether one was taken.
    pub(crate) fn pop(&self, mut take: impl FnMut(&[u8], &[u8], &Hit) -> bool) -> Result<bool, Busy> {
        let guard = self.lock(CLEAR_TIMEOUT)?;
        let mut buf = ReadBuf::new();
        let first = self.victim();
        for slot in first.into_iter().chain(self.by_use()) {
            if self.word(slot).is_free() {
                continue;
            }
            let there = self.entry(slot, &mut buf).filter(|hit| self.freshness(hit) != Freshness::Gone);
            if there.is_some_and(|hit| take(buf.key(), buf.value(), &hit)) {
                return self.take_out(&guard, slot, buf.hash()).map(|()| true);
            }
        }
        Ok(false)
    }

    fn take_out(&self, guard: &WriteGuard<'_>, slot: Slot, hash: u64) -> Result<(), Busy> {
        self.raise_fence(guard, hash);
        self.discard(slot);
        if self.owns() {
            Ok(())
        } else {
            Err(Busy)
        }
    }

    /// The slots, the victim first where that is told by stamps.
    pub(crate) fn by_use(&self) -> Vec<Slot> {
        let mut slots: Vec<Slot> = self.slots().filter(|slot| !self.word(*slot).is_free()).collect();
        if !self.strategy.has_queues() {
            slots.sort_by_cached_key(|slot| self.order_key(*slot));
        }
        if self.strategy == Strategy::Mru {
            slots.reverse();
        }
        slots
    }
}
