//! Waiting for a computation that another leads: who registers, how the wait ends, and who takes the leader's place.
//!
//! Ring 3. Why no wait is for ever, [`concurrency::inflight`] proves.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;

use super::running::NoteId;
use super::single_flight::Reserved;
use super::state::CacheState;
use crate::backend::template;
use crate::capi::detach::Sleeper;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::panics::point;
use crate::capi::reference::PyRef;
use crate::codec::{self, Refusal};
use crate::function::slot_value::{Pending, SharedFlight, Value};
use crate::key::View;
use concurrency::inflight::{Flight, Outcome, Waited, Waiting};
use concurrency::thread_id::ThreadId;
use engine::cache::Evicted;
use engine::slab::{Entry, Token};

/// What came of an attempt to wait for a computation.
pub(super) enum Join {
    /// There is nothing to wait for any more.
    Gone,
    /// Waiting could never end. `here`: the leader is this very thread.
    Refused {
        here: bool,
    },
    Flight(SharedFlight, Waiting),
}

/// How a wait ended.
pub(super) enum WaitEnd {
    /// What the call comes to; `None` with an exception set.
    Result(Option<PyRef>),
    /// The computation is over, and there is nothing to have of it but what the cache may have.
    Free,
    /// The same, as what there is to have makes no object.
    Unreadable(Option<Refusal>),
    Lead,
}

impl CacheState {
    /// Registers as waiting for the computation in slot `token`, whose key was `key` a moment ago.
    pub(super) fn join(&self, me: ThreadId, token: Token, key: &PyRef, green: bool) -> Join {
        point("join");
        let mut orphan = None;
        let flight = self.entries.write(|writer| {
            let cache = writer.value;
            let entry = cache.get(token)?;
            if entry.key.as_ptr() != key.as_ptr() || entry.value.is_detached() {
                return None;
            }
            if entry.value.is_orphaned() {
                orphan = cache.free(token);
                return None;
            }
            let leader = match entry.value.pending()? {
                Pending::Flight(flight) if flight.is_of_this_process() => return Some(flight),
                // Its waiters are not in this process, its leader is: see `Flight::is_of_this_process`.
                Pending::Flight(flight) => flight.leader(),
                Pending::Led(leader) => leader,
            };
            let flight = Arc::new(Flight::new(leader));
            let record = cache.value_mut(token)?;
            // What stood there is a number, or a flight that also those have who are not here: never the last reference.
            std::mem::forget(std::mem::replace(record, Value::flight(Arc::clone(&flight))));
            Some(flight)
        });
        drop(orphan);
        match flight {
            None => Join::Gone,
            Some(flight) => {
                let waiting = if green { Waiting::begin_green(me, &flight) } else { Waiting::begin(me, &flight) };
                match waiting {
                    Some(waiting) => Join::Flight(flight, waiting),
                    None => Join::Refused { here: flight.leader() == me },
                }
            }
        }
    }

    /// Waits until something comes of it.
    pub(super) fn wait(&self, py: Python<'_>, me: ThreadId, flight: &SharedFlight, sleeper: &mut Sleeper) -> WaitEnd {
        loop {
            point("wait");
            // SAFETY: a flight knows nothing of Python.
            let mut waited = unsafe { sleeper.wait(py, Duration::MAX, |slice| flight.wait(slice, self.wait_timeout)) };
            if let Ok(Waited::Outcome(Outcome::Stale(old))) = waited {
                self.count_stale_hit();
                waited = Ok(Waited::Outcome(*old));
            }
            match waited {
                Err(ErrSet) => return WaitEnd::Result(None),
                Ok(Waited::Outcome(Outcome::Value(object))) => {
                    return WaitEnd::Result(self.handed_out(py, object.clone_ref(py)));
                }
                Ok(Waited::Outcome(Outcome::Template(bytes))) => {
                    let (made, refusal) = codec::noting(true, || template::make(py, &bytes));
                    return match made {
                        Ok(Some(object)) => WaitEnd::Result(Some(object)),
                        Ok(None) => WaitEnd::Unreadable(refusal),
                        Err(ErrSet) => WaitEnd::Result(None),
                    };
                }
                Ok(Waited::Outcome(Outcome::Error(error))) => {
                    exceptions::raise_own(py, &error);
                    return WaitEnd::Result(None);
                }
                Ok(Waited::Outcome(Outcome::Abandoned | Outcome::Stale(_))) => return WaitEnd::Free,
                Ok(Waited::TimeIsUp) => {
                    if self.wait_timeout.is_some_and(|bound| flight.take_over(me, bound)) {
                        return WaitEnd::Lead;
                    }
                }
                Ok(Waited::NotYet) => (),
            }
        }
    }

    /// Takes the place in the index of the flight's former leader, who keeps its slot; `None` if that was gone already.
    pub(super) fn replace_leader(
        &self,
        view: &View<'_>,
        token: Token,
        key: &PyRef,
        flight: &SharedFlight,
    ) -> Option<(Reserved, NoteId)> {
        self.entries.write(|writer| {
            let cache = writer.value;
            let entry = cache.get(token)?;
            let same = match entry.value.pending()? {
                Pending::Flight(other) => Arc::ptr_eq(&other, flight),
                Pending::Led(_) => false,
            };
            if !same || entry.key.as_ptr() != key.as_ptr() || entry.value.is_detached() || !cache.detach(token) {
                return None;
            }
            cache.value_mut(token)?.set_detached();
            let key = key.clone_ref(view.py());
            let (before, clears) = (token, cache.clears());
            let token = cache.reserve(view.hash, view.shape, key, Value::flight(Arc::clone(flight)));
            let note = self.running.inherit((before, clears), (token, clears));
            Some(((token, clears), note))
        })
    }

    /// Takes a computation that was fenced out of the index, if it is still in slot `token`: it goes on for those who wait
    /// for it.
    #[cold]
    pub(super) fn leave_behind(&self, token: Token, key: &PyRef) {
        self.entries.write(|writer| {
            let cache = writer.value;
            let is_there = |entry: &Entry<PyRef, Value>| {
                entry.key.as_ptr() == key.as_ptr() && !entry.value.is_finished() && !entry.value.is_detached()
            };
            if cache.get(token).is_some_and(is_there) {
                // Nothing leaves with it.
                self.end_entry(cache, token, false, &mut Evicted::default());
            }
        });
    }
}
