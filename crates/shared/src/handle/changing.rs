//! Of the handle: storing, computing, refreshing, invalidating.

use super::SharedCache;
use crate::error::Busy;
use crate::file::units::{Slot, Word};
use crate::process::lease::{Acquired, Lease, Purpose, Ticket, Waited};
use crate::process::lock::STORE_TIMEOUT;
use crate::table::fences::Began;
use crate::table::head::{Failures, Terms};
use crate::table::reading::{Hit, Sought};
use crate::table::storing::{Put, Stored};
use crate::table::tags::Tags;
use std::time::Duration;

impl SharedCache {
    /// Stores by hand, and fences: what is being computed for the key is not stored any more. Where the value cannot be
    /// stored, an older one is gone. An error where not even that could be done.
    pub fn put(&self, key: &[u8], value: &[u8], terms: impl Into<Terms>) -> Result<Stored, Busy> {
        self.table.put_by_hand(key, value, &terms.into())
    }

    /// `put` that hides its error.
    pub fn set(&self, key: &[u8], value: &[u8], terms: impl Into<Terms>) -> Stored {
        self.put(key, value, terms).unwrap_or(Stored::Busy)
    }

    /// Stores what was computed without a lease, unless it has been fenced since it began. What there is no room for takes a
    /// stale entry with it.
    pub fn insert(&self, key: &[u8], value: &[u8], terms: impl Into<Terms>, began: Began) -> Stored {
        self.insert_hashed(self.table.hash(key), key, value, terms, began)
    }

    /// `insert` of a key whose hash is known.
    pub fn insert_hashed(&self, hash: u64, key: &[u8], value: &[u8], terms: impl Into<Terms>, began: Began) -> Stored {
        let (terms, how) = (terms.into(), Put { began: Some(began), ..Put::WHATEVER });
        let stored = self.store(hash, key, value, &terms, how).unwrap_or_else(|why| why);
        if stored.has_no_room() {
            self.drop_stale(hash, key, began, &terms.tags);
        }
        stored
    }

    fn store(&self, hash: u64, key: &[u8], value: &[u8], terms: &Terms, how: Put<'_>) -> Result<Stored, Stored> {
        let block = self.table.prepare(hash, key, value, terms)?;
        self.table.prefetch(hash);
        let guard = self.table.lock(STORE_TIMEOUT).map_err(|Busy| self.table.why_busy())?;
        let stored = self.table.put(&guard, key, &block, how);
        self.table.note_stored(&guard);
        Ok(stored)
    }

    /// Asks to be the one who computes `key`, of which there is no fresh entry. `bound`: after so long, others may take the
    /// computation over; `force`: take it from its owner at once (the caller has waited its own time).
    pub fn acquire(&self, key: &[u8], bound: Duration, force: bool) -> Acquired {
        self.table.acquire(key, bound, force)
    }

    /// `acquire` for whatever purpose, of a call with tags, as they stand now. (A refresh in the background has those of its
    /// entry.)
    pub fn acquire_to(&self, purpose: Purpose, key: &[u8], tags: &Tags, bound: Duration, force: bool) -> Acquired {
        self.table.acquire_to(purpose, key, tags, bound, force)
    }

    /// `acquire_to` of a key that was looked for.
    pub fn acquire_sought(
        &self,
        purpose: Purpose,
        sought: &Sought<'_>,
        tags: &Tags,
        bound: Duration,
        force: bool,
    ) -> Acquired {
        self.table.acquire_sought(purpose, sought, tags, bound, force)
    }

    /// Whether a stale entry is to be refreshed now: nobody seems to do it, and it has not failed a moment ago. No lock.
    pub fn is_refresh_due(&self, hit: &Hit) -> bool {
        let now = self.table.now();
        let is_due = |hash| self.table.failures(hit, now).not_before <= now && !self.table.is_computed(hash, hit);
        self.table.hash_of(hit).is_some_and(is_due)
    }

    /// What an entry says about refreshes that have failed.
    pub fn failures(&self, hit: &Hit) -> Failures {
        self.table.failures(hit, self.table.now())
    }

    /// Ends the lease of a refresh that has failed: the next one begins later, if the entry is still the one that was to be
    /// refreshed.
    pub fn refresh_failed(&self, lease: Lease) {
        let (slot, word) = lease.seen;
        if word != 0 {
            // (Without the lock it is forgotten.)
            let _ = self.table.note_failure(Slot::new(slot), Word::from_bits(word));
        }
        self.table.end(&lease);
    }

    /// Ends the lease of a computation whose result is not to be stored, and takes away what it would have replaced.
    pub fn complete_without(&self, lease: Lease) {
        let (slot, word) = lease.seen;
        if word != 0 {
            self.table.drop_if_unchanged(Slot::new(slot), word);
        }
        self.table.end(&lease);
    }

    /// The same of a computation without a lease, which has begun so.
    pub fn drop_stale(&self, hash: u64, key: &[u8], began: Began, tags: &Tags) {
        self.table.drop_stale(hash, key, began, tags);
    }

    /// Waits for somebody else's computation, at most `slice`, so that the caller can look after signals. Sleeps; with no
    /// slice at all it looks.
    pub fn wait(&self, ticket: &Ticket, slice: Duration) -> Waited {
        self.table.wait(ticket, slice)
    }

    /// Stores what the lease's holder has computed, and ends the lease, which also happens where nothing is stored. What there
    /// is no room for takes the entry with it that it would have replaced.
    pub fn complete(&self, lease: Lease, key: &[u8], value: &[u8], terms: impl Into<Terms>) -> Stored {
        let prevailing = lease.prevails.then_some(&lease);
        let how = Put { began: Some(lease.began), over: Some(lease.seen.1), prevailing, ..Put::WHATEVER };
        let stored = self.store(lease.hash, key, value, &terms.into(), how).unwrap_or_else(|why| why);
        if stored.has_no_room() {
            self.complete_without(lease);
        } else {
            self.table.end(&lease);
        }
        stored
    }

    /// Ends a lease without a result: whoever waits is free.
    pub fn abandon(&self, lease: Lease) {
        self.table.end(&lease);
    }

    /// The same where the computation ended with what is its caller's alone, as an exception that is not shared.
    pub fn abandon_privately(&self, lease: Lease) {
        self.table.end_privately(&lease);
    }

    /// The same for a caller who was cancelled: one of those who wait computes in his place.
    pub fn leave(&self, lease: Lease) {
        self.table.leave(&lease);
    }

    /// Takes the key's entry away, and fences: what is being computed for the key is not stored any more, and who calls from
    /// now on neither waits for it nor gets it. Whether there was one. Where the lock cannot be had, all entries are void; an
    /// error where not even that could be done.
    pub fn invalidate(&self, key: &[u8]) -> Result<bool, Busy> {
        self.table.invalidate(key)
    }

    /// Fences all that is being computed, whatever its key: none of it is stored, and nobody who calls from now on waits for it.
    /// Entries stay. As in `invalidate` where the lock cannot be had.
    pub fn fence_all(&self) -> Result<(), Busy> {
        self.table.fence_all()
    }

    /// Makes all entries void that have one of these tags, and those that are being computed with one. Takes no lock.
    pub fn invalidate_tags(&self, tags: &[u64]) -> Result<(), Busy> {
        self.table.invalidate_tags(tags)
    }
}
