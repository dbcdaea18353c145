//! The cache of this process alone.
//!
//! Ring 3.

use pyo3::ffi;
use pyo3::prelude::*;

use super::{Backend, Begun, Counters, SharedLease, Told};
use crate::capi::panics::point;
use crate::capi::reference::{release, Arguments, PyRef};
use crate::capi::sharing::Reader;
use crate::function::fast_path::{self, Peek, Probe};
use crate::function::lookup::{Entries, FastLookup, Found};
use crate::function::options::Options;
use crate::function::single_flight::{Miss, Reserved};
use crate::function::slot_value::{SharedFlight, Value};
use crate::function::state::{CacheState, Put};
use crate::function::ticket::Ticket;
use crate::function::CachedFunction;
use crate::key::View;
use engine::cache::Evicted;
use engine::policy::Kind;
use engine::slab::{Entry, Token};

/// What this process has: an entry's value is in its slot, and the order hears of each use.
pub(crate) struct Memory;

impl Backend for Memory {
    type Miss<'a> = Calling<'a>;

    #[inline(always)]
    unsafe fn take(
        state: &CacheState,
        reader: &Reader<'_, Entries>,
        token: Token,
        value: &Value,
    ) -> Option<*mut ffi::PyObject> {
        // SAFETY: the caller's promise.
        unsafe { state.take(reader, token, value) }
    }

    #[inline(always)]
    unsafe fn fast_path<const EXPIRES: bool>(
        reader: &Reader<'_, Entries>,
        token: Token,
        entry: &Entry<PyRef, Value>,
        sought: impl Probe,
    ) -> Option<Peek> {
        // SAFETY: the caller's promise.
        unsafe { fast_path::fast_path::<EXPIRES>(reader, token, entry, sought) }
    }

    #[inline(always)]
    unsafe fn deliver(taken: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: `take` gives no null.
        unsafe { std::hint::assert_unchecked(!taken.is_null()) };
        taken
    }

    #[inline(always)]
    unsafe fn begin<'a>(
        cached: &'a CachedFunction,
        arguments: &'a Arguments,
        view: &View<'_>,
        hot: FastLookup,
    ) -> Begun<Calling<'a>> {
        let calling = Calling { cached, arguments };
        if cached.state.single_flight {
            // What reserves the slot looks as well.
            return Begun::Miss(calling, None);
        }
        // SAFETY: the caller's promise.
        match unsafe { cached.state.after(view, hot) } {
            Found::Value(object) => Begun::Done(object),
            Found::Failed => Begun::Done(std::ptr::null_mut()),
            // SAFETY: the caller's promise.
            Found::Restless => Begun::Done(unsafe { cached.compute(arguments) }),
            // Without single-flight there are no computations on record.
            found @ (Found::Absent | Found::Pending(..)) => {
                drop(found);
                Begun::Miss(calling, None)
            }
        }
    }

    #[inline(always)]
    unsafe fn begin_async(state: &CacheState, view: &View<'_>, hot: FastLookup) -> (Found, bool) {
        // SAFETY: the caller's promise.
        (unsafe { state.after(view, hot) }, false)
    }

    fn bounds(&self, options: &Options) -> (Kind, Option<usize>, u64) {
        (options.strategy, options.max_size.map(|n| n.max(1)), options.ttl)
    }

    fn count_miss(&self, state: &CacheState) {
        state.entries.read(|reader| reader.miss());
    }

    unsafe fn set(&self, cached: &CachedFunction, view: &View<'_>, value: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's promise.
        unsafe { cached.state.put(view, Value::ready(PyRef::borrow(value)), Put::Always) }
    }

    fn store<'py>(
        &self,
        cached: &CachedFunction,
        ticket: &Bound<'py, Ticket>,
        value: &Bound<'py, PyAny>,
        epoch: u64,
        _lease: Option<&Bound<'py, SharedLease>>,
    ) -> PyResult<Option<Told<'py>>> {
        let mode = Put::IfAbsentSince(epoch);
        // SAFETY: the ticket holds its key; the thread is attached and holds no lock.
        let put =
            |view: &View<'_>| unsafe { cached.state.put(view, Value::ready(PyRef::borrow(value.as_ptr())), mode) };
        if ticket.get().with_view(put) {
            Ok(None)
        } else {
            Err(PyErr::fetch(ticket.py()))
        }
    }

    fn epoch(&self, state: &CacheState) -> u64 {
        state.entries.read(|reader| reader.clears())
    }

    unsafe fn counters(&self, state: &CacheState) -> Counters {
        let now = state.now();
        let mut evicted = Evicted::default();
        let (hits, misses, size) = state.entries.write(|writer| {
            let (hits, misses) = writer.counters();
            writer.value.expire(now, &mut evicted);
            (hits, misses, writer.value.len())
        });
        drop(evicted);
        Counters { hits, misses, size, of_file: None }
    }
}

/// A miss of a function whose values live in this process: the wrapped function is called, and that is all.
pub(crate) struct Calling<'a> {
    cached: &'a CachedFunction,
    arguments: &'a Arguments,
}

impl Miss for Calling<'_> {
    #[inline(always)]
    unsafe fn lead(&mut self, reserved: Option<Reserved>, flight: Option<SharedFlight>) -> *mut ffi::PyObject {
        // SAFETY: the promise of `Miss`.
        unsafe {
            let result = self.cached.compute(self.arguments);
            point("settle");
            if result.is_null() {
                self.cached.state.settle_failure(reserved, flight);
            } else {
                self.cached.state.settle_success(reserved, flight, result);
            }
            result
        }
    }

    #[inline(always)]
    unsafe fn bring_alone(&mut self, view: &View<'_>, hot: FastLookup) -> *mut ffi::PyObject {
        // SAFETY: the promise of `Miss`.
        unsafe {
            let result = self.cached.compute(self.arguments);
            if result.is_null() || self.cached.state.store(view, result, hot) {
                return result;
            }
            release(result);
            std::ptr::null_mut()
        }
    }

    #[inline(always)]
    unsafe fn compute(&mut self) -> *mut ffi::PyObject {
        // SAFETY: the promise of `Miss`.
        unsafe { self.cached.compute(self.arguments) }
    }

    unsafe fn bring_beside(&mut self, view: &View<'_>) -> *mut ffi::PyObject {
        let state = &self.cached.state;
        let clears = state.entries.read(|reader| reader.clears());
        // SAFETY: the promise of `Miss`; the result is a live object.
        unsafe {
            let result = self.cached.compute(self.arguments);
            if !result.is_null() && !state.put(view, Value::ready(PyRef::borrow(result)), Put::IfAbsentSince(clears)) {
                release(result);
                return std::ptr::null_mut();
            }
            result
        }
    }
}
