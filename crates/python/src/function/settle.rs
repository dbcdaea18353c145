//! The end of a computation under single-flight: its slot takes the value or is given back, and who waits is told.
//!
//! Ring 3.

use std::sync::Arc;

use pyo3::prelude::*;

use super::lookup::Entries;
use super::single_flight::Reserved;
use super::state::CacheState;
use crate::capi::borrowed::Ref;
use crate::capi::exceptions;
use crate::capi::panics::point;
use crate::capi::reference::PyRef;
use crate::function::slot_value::{Pending, SharedFlight, SharedObject, Value};
use concurrency::inflight::Outcome;
use concurrency::thread_id;
use engine::cache::Evicted;
use engine::slab::Entry;

impl CacheState {
    /// Ends a computation with its result; `None`: it raised.
    #[inline(always)]
    pub(crate) fn settle_result(
        &self,
        py: Python<'_>,
        reserved: Option<Reserved>,
        flight: Option<SharedFlight>,
        result: Option<&PyRef>,
    ) {
        point("settle");
        match result {
            Some(result) => self.settle_success(reserved, flight, result.lend(py)),
            None => self.settle_failure(py, reserved, flight),
        }
    }

    /// Ends a computation that has brought this result.
    #[inline(never)]
    pub(crate) fn settle_success(&self, reserved: Option<Reserved>, flight: Option<SharedFlight>, result: Ref<'_>) {
        if reserved.is_some_and(|reserved| flight.is_none() && self.publish_unwatched(reserved, result)) {
            return;
        }
        let value = Some(Value::ready(result.to_owned()));
        self.settle(reserved, flight, value, || Outcome::Value(Arc::new(result.to_owned())));
    }

    /// Publishes the result of a computation for which nobody has waited, which is the usual case; else does nothing, and is
    /// false.
    #[inline(always)]
    fn publish_unwatched(&self, (token, clears): Reserved, result: Ref<'_>) -> bool {
        let (now, deadline) = (self.now(), self.deadline());
        let mut evicted = Evicted::default();
        self.entries.write(|writer| {
            let cache = writer.value;
            point("publish");
            if cache.clears() != clears || !cache.get(token).is_some_and(|entry| entry.value.is_unwatched()) {
                return false;
            }
            let value = Value::ready(result.to_owned());
            // The record is a number, which there is nothing to drop of.
            cache.publish(token, value, deadline, now, &mut evicted).is_some_and(|(_, record)| {
                std::mem::forget(record);
                true
            })
        })
    }

    /// Ends a computation: its slot takes `value`, or is given back where there is none; who waits is given `outcome`.
    #[inline(always)]
    pub(crate) fn settle(
        &self,
        reserved: Option<Reserved>,
        flight: Option<SharedFlight>,
        mut value: Option<Value>,
        outcome: impl FnOnce() -> Outcome<SharedObject>,
    ) {
        let (now, deadline) = (self.now(), self.deadline());
        let mut evicted = Evicted::default();
        let mut key = None;
        let record = reserved.and_then(|reserved| {
            self.entries.write(|writer| {
                let cache = writer.value;
                if !cache.is_of_this_life(reserved.1) {
                    return None;
                }
                if value.is_none() || is_detached(cache, reserved) {
                    let entry = cache.free(reserved.0)?;
                    key = Some(entry.key);
                    return Some(entry.value);
                }
                Some(cache.publish(reserved.0, value.take()?, deadline, now, &mut evicted)?.1)
            })
        });
        self.complete(flight, record.as_ref(), outcome);
        self.release(evicted);
        drop((key, record, value));
    }

    /// Tells those who wait: by the flight, or by the one in the record of the computation.
    pub(super) fn complete(
        &self,
        flight: Option<SharedFlight>,
        record: Option<&Value>,
        outcome: impl FnOnce() -> Outcome<SharedObject>,
    ) {
        if let Some(flight) = flight.or_else(|| flight_of(record)) {
            drop(flight.complete(outcome()));
        }
    }

    /// Ends a computation that raised: the exception, which is set, goes to who waits, and stays so.
    #[inline(never)]
    pub(crate) fn settle_failure(&self, py: Python<'_>, reserved: Option<Reserved>, flight: Option<SharedFlight>) {
        let entry = reserved.and_then(|reserved| self.give_back(reserved));
        let waited_for = flight.or_else(|| flight_of(entry.as_ref().map(|entry| &entry.value)));
        if waited_for.is_none() && entry.is_none() {
            return;
        }
        let mut raised = exceptions::take(py);
        if let Some(flight) = waited_for {
            let shareable = raised.as_ref().filter(|raised| exceptions::is_shareable(py, raised));
            // A copy, as the original's traceback grows while it propagates here.
            let shared = shareable.map(|raised| exceptions::share(py, raised));
            let outcome = match shared {
                Some(Some(shared)) => Outcome::Error(Arc::new(shared)),
                None => Outcome::Abandoned,
                // Interrupted: that is what this caller is to have.
                Some(None) => {
                    raised = exceptions::take(py);
                    Outcome::Abandoned
                }
            };
            drop(flight.complete(outcome));
        }
        drop(entry);
        if let Some(raised) = raised {
            exceptions::set(py, raised);
        }
    }

    /// Frees those who wait for this thread's computation, as if it had ended without an outcome. It goes on, and whoever
    /// comes from now on waits for it. (Of a flight that another has taken over, the waiters are that one's.)
    #[cold]
    pub(crate) fn free_waiters(&self, reserved: Option<Reserved>, flight: &mut Option<SharedFlight>) {
        let me = thread_id::current();
        let record = reserved.and_then(|(token, clears)| {
            self.entries.write(|writer| {
                let cache = writer.value;
                if !cache.is_of_this_life(clears) {
                    return None;
                }
                let record = cache.value_mut(token)?;
                if flight_of(Some(record)).is_none_or(|flight| flight.leader() != me) {
                    return None;
                }
                let mut fresh = Value::led(me);
                if record.is_detached() {
                    fresh.set_detached();
                }
                Some(std::mem::replace(record, fresh))
            })
        });
        let old = flight.take_if(|flight| flight.leader() == me).or_else(|| flight_of(record.as_ref()));
        if let Some(old) = old {
            drop(old.complete(Outcome::Abandoned));
        }
        drop(record);
    }

    /// Gives a reserved slot back, and what it held: the key and the record of the computation.
    fn give_back(&self, (token, clears): Reserved) -> Option<Entry<PyRef, Value>> {
        self.entries.write(|writer| {
            let cache = writer.value;
            cache.is_of_this_life(clears).then(|| cache.free(token)).flatten()
        })
    }

    /// Ends a computation that panicked: its slot is given back, and who waits starts over.
    #[cold]
    pub(super) fn settle_panic(&self, reserved: Option<Reserved>, flight: Option<SharedFlight>) {
        let me = thread_id::current();
        let reserved = reserved.filter(|&(token, clears)| {
            // It may have been settled before the panic, and be somebody else's now.
            self.entries.write(|writer| {
                let cache = writer.value;
                let record = cache.get(token).filter(|_| cache.is_of_this_life(clears)).map(|entry| &entry.value);
                match record.and_then(Value::pending) {
                    Some(Pending::Led(leader)) => leader == me,
                    Some(Pending::Flight(flight)) => flight.leader() == me,
                    None => false,
                }
            })
        });
        let entry = reserved.and_then(|reserved| self.give_back(reserved));
        // Where waiters were freed, the slot has another flight than the one that this began with.
        let in_slot = flight_of(entry.as_ref().map(|entry| &entry.value));
        for flight in flight.into_iter().chain(in_slot) {
            drop(flight.complete(Outcome::Abandoned));
        }
        drop(entry);
    }
}

/// Whether the reserved entry is out of the index.
pub(super) fn is_detached(cache: &Entries, (token, clears): Reserved) -> bool {
    cache.clears() != clears || cache.get(token).is_none_or(|entry| entry.value.is_detached())
}

/// The flight in a slot's word, if it is one that this process may touch.
pub(super) fn flight_of(record: Option<&Value>) -> Option<SharedFlight> {
    match record?.pending()? {
        Pending::Flight(flight) if flight.is_of_this_process() => Some(flight),
        _ => None,
    }
}
