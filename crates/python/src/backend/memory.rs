//! The cache of this process alone.
//!
//! Ring 3.

use pyo3::ffi;
use pyo3::prelude::*;

use super::{Backend, Counters, SharedLease, Told};
use crate::capi::reference::{Arguments, Owned};
use crate::capi::sharing::Reader;
use crate::function::asynchronous::Ticket;
use crate::function::call::instance;
use crate::function::fast_path::{self, Seen, Sought};
use crate::function::lookup::{Entries, Hot};
use crate::function::options::Options;
use crate::function::slot_value::Value;
use crate::function::state::{CacheState, Put};
use crate::function::CachedFunction;
use crate::key::View;
use engine::cache::Garbage;
use engine::policy::Kind;
use engine::slab::{Entry, Token};

/// What this process has: an entry's value is in its slot, and the order hears of each use.
pub(crate) struct Memory;

impl Backend for Memory {
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
    unsafe fn glance<const EXPIRES: bool>(
        reader: &Reader<'_, Entries>,
        token: Token,
        entry: &Entry<Owned, Value>,
        sought: impl Sought,
    ) -> Option<Seen> {
        // SAFETY: the caller's promise.
        unsafe { fast_path::glance::<EXPIRES>(reader, token, entry, sought) }
    }

    #[inline(always)]
    unsafe fn deliver(taken: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: `take` gives no null.
        unsafe { std::hint::assert_unchecked(!taken.is_null()) };
        taken
    }

    #[inline(always)]
    unsafe fn miss(cached: &CachedFunction, arguments: &Arguments, view: &View<'_>, found: Hot) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { cached.miss(arguments, view, found) }
    }

    unsafe fn miss_async(
        object: *mut ffi::PyObject,
        arguments: &Arguments,
        view: &View<'_>,
        found: Hot,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { instance(object).miss_async(object, arguments, view, found) }
    }

    fn bounds(&self, options: &Options) -> (Kind, Option<usize>, u64) {
        (options.strategy, options.max_size.map(|n| n.max(1)), options.ttl)
    }

    fn count_miss(&self, state: &CacheState) {
        state.entries.read(|reader| reader.miss());
    }

    unsafe fn set(&self, cached: &CachedFunction, view: &View<'_>, value: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's promise.
        unsafe { cached.state.put(view, Value::ready(Owned::borrow(value)), Put::Always) }
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
            |view: &View<'_>| unsafe { cached.state.put(view, Value::ready(Owned::borrow(value.as_ptr())), mode) };
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
        let mut garbage = Garbage::default();
        let (hits, misses, size) = state.entries.write(|writer| {
            let (hits, misses) = writer.counters();
            writer.value.expire(now, &mut garbage);
            (hits, misses, writer.value.len())
        });
        drop(garbage);
        Counters { hits, misses, size, of_file: None }
    }
}
