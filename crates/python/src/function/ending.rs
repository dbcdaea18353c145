//! Ending entries: by their key, by their tags, or all.
//!
//! Ring 3. What ends an entry fences the computations of its key: see [`fence`](super::fence).

use pyo3::prelude::*;

use super::fence::{self, hash_of};
use super::lookup::{Changed, Entries};
use super::slot_value::Value;
use super::state::CacheState;
use crate::capi::reference::PyRef;
use crate::key::View;
use engine::cache::{Candidate, Cause, Evicted};
use engine::slab::{Entry, Token};

impl CacheState {
    /// Ends a key's entry, and fences the computations of it that are under way: they go on for those who wait for them.
    /// Whether there was an entry; `None` with an exception set.
    pub(crate) fn invalidate(&self, view: &View<'_>) -> Option<bool> {
        let mut evicted = Evicted::default();
        let done = {
            self.with_entry(view, |cache, at| {
                self.fences.raise(view.hash);
                let Some((token, finished)) = at else {
                    // It may have ended a moment ago: a use that is being noted must not bring it back.
                    cache.expire(self.now(), &mut evicted);
                    return false;
                };
                self.end_entry(cache, token, finished, &mut evicted)
            })
        };
        let was_there = match done {
            Changed::Done(was_there) => Some(was_there),
            Changed::Failed => None,
            // There is no telling which of them is the key's: all of its hash go.
            Changed::Restless => Some(self.entries.write(|writer| {
                let cache = writer.value;
                self.fences.raise(view.hash);
                let of_hash = |(token, _, entry): Candidate<'_, PyRef, Value>| (token, entry.value.is_finished());
                let all: Vec<_> = cache.candidates(view.hash).map(of_hash).collect();
                let mut end = |&(token, finished): &(Token, bool)| self.end_entry(cache, token, finished, &mut evicted);
                all.iter().filter(|entry| end(entry)).count() != 0
            })),
        };
        self.release(evicted);
        was_there
    }

    /// Ends the entries that have one of these tags, and fences the computations of such that are under way.
    pub(crate) fn invalidate_tags(&self, tags: &[String]) {
        let now = self.now();
        let mut evicted = Evicted::default();
        self.entries.write(|writer| {
            let cache = writer.value;
            cache.expire(now, &mut evicted);
            for tag in tags {
                self.tag_fences.raise(hash_of(tag));
                cache.invalidate_tag(tag, &mut evicted);
            }
            for (token, clears) in self.running.with_any(tags) {
                if cache.clears() == clears && cache.get(token).is_some_and(|entry| !entry.value.is_finished()) {
                    self.end_entry(cache, token, false, &mut evicted);
                }
            }
        });
        self.release(evicted);
    }

    /// Fences all computations of this process that are under way, whatever their keys; entries stay. O(slots).
    pub(crate) fn fence_all(&self, py: Python<'_>) {
        let mut evicted = Evicted::default();
        self.entries.write(|writer| {
            self.fences.raise_all();
            let cache = writer.value;
            let is_computed = |(token, entry): (_, &Entry<PyRef, Value>)| (!entry.value.is_finished()).then_some(token);
            let computed: Vec<Token> = cache.occupied().filter_map(is_computed).collect();
            for token in computed {
                self.end_entry(cache, token, false, &mut evicted);
            }
        });
        self.release(evicted);
        if let Some(flights) = &self.flights {
            flights.forget(py);
        }
    }

    /// Ends an entry; whether it had a value. To be called under the lock.
    pub(crate) fn end_entry(
        &self,
        cache: &mut Entries,
        token: Token,
        finished: bool,
        evicted: &mut Evicted<PyRef, Value>,
    ) -> bool {
        if finished {
            cache.remove(token, Cause::Explicit, evicted);
        } else if fence::is_on_in_memory() && cache.detach(token) {
            if let Some(record) = cache.value_mut(token) {
                record.set_detached();
            }
        }
        finished
    }

    /// Drops all entries of this process and zeroes their counters.
    pub(crate) fn clear(&self, py: Python<'_>) {
        let evicted = self.clear_silently(py);
        self.release(evicted);
    }

    /// The same, of which nobody is told: what has left.
    pub(crate) fn clear_silently(&self, py: Python<'_>) -> Evicted<PyRef, Value> {
        let now = self.now();
        let mut evicted = Evicted::default();
        self.entries.write(|writer| {
            // What has ended leaves as such.
            writer.value.expire(now, &mut evicted);
            writer.value.clear(&mut evicted);
            writer.value.reset_counts();
            writer.reset_counters();
        });
        self.load_counters.reset();
        if let Some(flights) = &self.flights {
            flights.forget(py);
        }
        evicted
    }
}
