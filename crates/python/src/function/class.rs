//! What Python sees of a cached function.
//!
//! Ring 3. The methods that may run user code without a frame of Rust between are in [`methods`](super::methods) and
//! [`entry_methods`](super::entry_methods).

use std::sync::atomic::Ordering;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::computation::Computation;
use super::option_table::Options;
use super::presenting;
use super::refreshing::{self, RefreshFlight};
use super::ticket::Ticket;
use super::{admit, bound_method, disabled, entry_methods, CachedFunction};
use crate::backend::driven;
use crate::backend::{AnyBackend, Memory, SharedLease};
use crate::capi::exceptions::ErrSet;
use crate::capi::guarded::GuardedCalls;
use crate::capi::imported::Imported;
use crate::capi::panics::as_error;
use crate::capi::reference::{call, import};
use crate::capi::type_slots::{self, call_by_vectorcall};
use crate::key::signature::Signature;

#[pymethods]
impl CachedFunction {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*arguments, **keywords), text_signature = None)]
    fn new(
        class: &Bound<'_, PyType>,
        arguments: &Bound<'_, PyTuple>,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<Self>> {
        let (function, options) = Options::of_call(arguments, keywords)?;
        as_error(|| {
            let base = Self::build(&function, &options, None, AnyBackend::Memory(Memory::default()))?;
            Ok(type_slots::make_of::<Self>(class, base)?.unbind())
        })
    }

    /// A cached function made from checked options. `name`: what the user calls it; `backend`: the number of one.
    #[staticmethod]
    #[pyo3(signature = (function, options, name=None, backend=0))]
    fn _of<'py>(
        function: &Bound<'py, PyAny>,
        options: &Bound<'py, Options>,
        name: Option<&str>,
        backend: u8,
    ) -> PyResult<Bound<'py, PyAny>> {
        admit("fn", function)?;
        as_error(|| AnyBackend::decorated(backend, function, options.get(), name))
    }

    // The slot wrapper `__call__` keeps the `tp_call` that the type was made with, so it must be a right one.
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: an instance of a type with a vectorcall slot.
        unsafe { call_by_vectorcall(slf, args, kwargs) }
    }

    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        instance: Option<&Bound<'py, PyAny>>,
        _owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        bound_method::bind(slf, instance)
    }

    /// By name; but by value for dill, which takes functions so.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let modules = import(py, "sys")?.getattr("modules")?.cast_into::<PyDict>()?;
        if modules.contains("dill")? {
            let reduced = import(py, "warp_cache._by_value")?.guarded_method("reduce", (slf,))?;
            if !reduced.is_none() {
                return Ok(reduced);
            }
        }
        slf.getattr("__qualname__")
    }

    /// The function, the options, the number of the backend, and what the user calls the cache: what makes the same decorated
    /// function anew.
    #[allow(clippy::type_complexity)]
    fn _recipe<'py>(slf: &Bound<'py, Self>) -> PyResult<(Py<PyAny>, Bound<'py, PyDict>, u8, Option<String>)> {
        let (this, py) = (slf.get(), slf.py());
        let name = this.state.backend.given_name().map(str::to_owned);
        Ok((this.function.as_py().clone_ref(py), this.options.arguments(py)?, this.state.backend.number(), name))
    }

    /// The path of the shared file, and whether no other process can name it.
    fn _place(&self, py: Python<'_>) -> PyResult<(Option<String>, bool)> {
        as_error(|| Ok(self.state.backend.place(py)))
    }

    /// Why the shared file cannot be opened, in words, if that was tried.
    fn _failure(&self) -> Option<String> {
        self.state.backend.failure()
    }

    /// Everything the cache was made with, in a new dict: each parameter of ``cache`` by its name, and ``path``,
    /// ``private`` and ``qualname``.
    fn cache_options<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        static OPTIONS: Imported = Imported::new("warp_cache._made_with", "options");
        OPTIONS.get(slf.py())?.guarded_call((slf,))
    }

    /// functools' own class, though not by type: class factories that tell methods from fields, as pydantic's models, know
    /// it or its module. Classes derived in Python are themselves.
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        presenting::class_of(slf)
    }

    /// Store value for a call, with a lifetime and tags of its own.
    ///
    /// args, kwargs: the arguments of the call. ttl: seconds that the entry is fresh, a timedelta, None for no limit, 0 or less
    /// to store nothing and drop an older entry; left out, what the function has. tags: strings in the place of the function's.
    ///
    /// As set(), it fences: a computation under way reaches its waiters and is not stored over the value.
    #[pyo3(signature = (*arguments, **keywords), text_signature = "($self, value, args=(), kwargs={}, *, ttl=..., tags=...)")]
    fn cache_put(
        slf: &Bound<'_, Self>,
        arguments: &Bound<'_, PyTuple>,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        as_error(|| entry_methods::cache_put(slf, arguments, keywords))
    }

    /// What makes a call's key: its shape, and the key. For memoized functions of cache objects.
    fn _canonical<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        as_error(|| entry_methods::canonical(self, args, kwargs))
    }

    /// Compute the value of a call now, store it and return it.
    ///
    /// Callers meanwhile get the old value; concurrent refreshes of one key are one. Neither a hit nor a miss. A coroutine of
    /// a coroutine function. Raises what the function raises; what was there stays then.
    #[pyo3(signature = (*args, **kwargs))]
    fn cache_refresh<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let kwargs = kwargs.cloned().unwrap_or_else(|| PyDict::new(py));
        if disabled::is_on() {
            return call(slf.as_any(), args, Some(&kwargs));
        }
        if slf.get().state.max_size == Some(0) {
            return as_error(|| entry_methods::refresh_nothing(slf, args, &kwargs));
        }
        static REFRESH: Imported = Imported::new("warp_cache._refresh", "refresh");
        static REFRESH_ASYNC: Imported = Imported::new("warp_cache._refresh", "refresh_async");
        let asks = if slf.get().state.flights.is_some() { &REFRESH_ASYNC } else { &REFRESH };
        let ticket = as_error(|| slf.get().ticket(args, &kwargs))?;
        call(asks.get(py)?, &(slf, ticket, args, kwargs).into_pyobject(py)?, None)
    }

    /// Opens a shared cache that a child of a fork could not open, as the fork is about to be.
    fn _open_before_fork(slf: &Bound<'_, Self>) -> PyResult<()> {
        let Some(shared) = slf.get().state.backend.shared() else {
            return Ok(());
        };
        // SAFETY: attached, no lock held; no exception is set.
        as_error(|| shared.open_before_fork(slf.py()).map_err(|ErrSet| PyErr::fetch(slf.py())))
    }

    // What follows is what `warp_cache._async` and `warp_cache._refresh` need.

    /// The wrapped function.
    #[getter]
    fn _function(slf: &Bound<'_, Self>) -> Py<PyAny> {
        slf.get().function.as_py().clone_ref(slf.py())
    }

    /// A computation of the ticket's key that begins now: its tags are worked out.
    fn _computation(
        slf: &Bound<'_, Self>,
        ticket: &Bound<'_, Ticket>,
        args: &Bound<'_, PyTuple>,
        kwargs: &Bound<'_, PyDict>,
    ) -> PyResult<Computation> {
        as_error(|| Computation::begin(slf.get(), ticket, args, kwargs))
    }

    /// The same computation, beginning now.
    fn _begun_anew(
        slf: &Bound<'_, Self>,
        ticket: &Bound<'_, Ticket>,
        computation: &Bound<'_, Computation>,
    ) -> PyResult<Computation> {
        as_error(|| computation.get().begin_anew(slf.get(), ticket))
    }

    /// Waits for a refresh: a tuple with its value, True (compute it for all who wait: the leader has had its time), False
    /// (compute it for yourself) or None (it waits for this thread: compute it beside). Raises what it raised.
    fn _wait_for<'py>(slf: &Bound<'py, Self>, flight: &Bound<'py, RefreshFlight>) -> PyResult<Bound<'py, PyAny>> {
        flight.get().wait(slf)
    }

    /// Gives those who wait for a refresh its value.
    fn _complete(slf: &Bound<'_, Self>, flight: &Bound<'_, RefreshFlight>, value: &Bound<'_, PyAny>) {
        flight.get().complete(slf, value);
    }

    /// Stores what a refresh has brought, unless it was fenced; ends the lease.
    #[pyo3(signature = (ticket, value, computation, lease=None))]
    fn _refreshed(
        slf: &Bound<'_, Self>,
        ticket: &Bound<'_, Ticket>,
        value: &Bound<'_, PyAny>,
        computation: &Bound<'_, Computation>,
        lease: Option<&Bound<'_, SharedLease>>,
    ) -> PyResult<()> {
        as_error(|| computation.get().end(slf.get(), ticket, value, lease))
    }

    /// Notes that a refresh begins, explicit or not. `lease`: of one in the background. The lease of a shared cache, if there
    /// is one to be had. `beside`: another one that waits for this one has it, and stores what comes of both.
    #[pyo3(signature = (ticket, computation, lease=None, beside=false))]
    fn _begin_refresh<'py>(
        slf: &Bound<'py, Self>,
        ticket: &Bound<'py, Ticket>,
        computation: &Bound<'py, Computation>,
        lease: Option<Bound<'py, SharedLease>>,
        beside: bool,
    ) -> PyResult<Option<Bound<'py, SharedLease>>> {
        as_error(|| refreshing::begin(slf, ticket, computation, lease, beside))
    }

    /// Seconds that a caller waits for another's computation, or None.
    #[getter]
    fn _patience(slf: &Bound<'_, Self>) -> Option<f64> {
        slf.get().state.wait_timeout.map(|bound| bound.as_secs_f64())
    }

    /// Whether there is a server behind the cache; it is looked for at the first use.
    #[getter]
    fn _remote(slf: &Bound<'_, Self>) -> PyResult<bool> {
        as_error(|| driven::has_server(slf.get(), slf.py()))
    }

    /// The way of the ticket's call to the server. `anew`: the value is to be computed, whatever is there.
    fn _turn_there(
        slf: &Bound<'_, Self>,
        ticket: &Bound<'_, Ticket>,
        computation: &Bound<'_, Computation>,
        anew: bool,
    ) -> PyResult<driven::RemoteTurn> {
        as_error(|| driven::begin(slf.get(), slf.py(), ticket.get(), computation.get(), anew))
    }

    /// What the server has: a tuple with the value, an empty one (compute it), or None (ask once more).
    fn _take_there<'py>(
        slf: &Bound<'py, Self>,
        ticket: &Bound<'py, Ticket>,
        computation: &Bound<'py, Computation>,
        turn: &Bound<'py, driven::RemoteTurn>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        as_error(|| {
            let (cached, computation) = (slf.get(), computation.get());
            let taken = driven::take(cached, slf.py(), ticket.get(), computation, turn.get())?;
            match taken {
                // It is to compute.
                Some(taken) if taken.is_empty() => computation.fence_again(cached, ticket).map(|()| Some(taken)),
                taken => Ok(taken),
            }
        })
    }

    /// Notes what the turn is to send of a value.
    fn _keep_there(
        slf: &Bound<'_, Self>,
        value: &Bound<'_, PyAny>,
        computation: &Bound<'_, Computation>,
        turn: &Bound<'_, driven::RemoteTurn>,
    ) -> PyResult<()> {
        as_error(|| driven::keep(slf.get(), value, computation.get(), turn.get()))
    }

    /// Keeps near what the turn has not sent, and tells the user why that was.
    fn _settle_there(
        slf: &Bound<'_, Self>,
        ticket: &Bound<'_, Ticket>,
        value: &Bound<'_, PyAny>,
        computation: &Bound<'_, Computation>,
        turn: &Bound<'_, driven::RemoteTurn>,
    ) -> PyResult<()> {
        as_error(|| driven::settle(slf.get(), value, ticket.get(), computation.get(), turn.get()))
    }

    /// Notes what the turn is to send of an exception: a tuple with the value that serves in its place, or an empty one.
    fn _failed_there<'py>(
        slf: &Bound<'py, Self>,
        ticket: &Bound<'py, Ticket>,
        error: &Bound<'py, PyAny>,
        computation: &Bound<'py, Computation>,
        turn: &Bound<'py, driven::RemoteTurn>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        as_error(|| driven::failed(slf.get(), error, ticket.get(), computation.get(), turn.get()))
    }

    /// Notes that a refresh in the background goes on.
    fn _goes_on(slf: &Bound<'_, Self>, ticket: &Bound<'_, Ticket>) {
        ticket.get().with_view(ticket.py(), |view| slf.get().state.mark_refresh(view));
    }

    /// Notes that a refresh has brought nothing. `computation`: that of one which has failed. `waits`: the next one in the
    /// background waits for a while.
    #[pyo3(signature = (ticket, computation=None, waits=false))]
    fn _not_refreshed(
        slf: &Bound<'_, Self>,
        ticket: &Bound<'_, Ticket>,
        computation: Option<&Bound<'_, Computation>>,
        waits: bool,
    ) -> PyResult<()> {
        as_error(|| {
            let state = &slf.get().state;
            if let Some(computation) = computation {
                state.count_load(computation.get().watch, true);
            }
            ticket.get().with_view(ticket.py(), |view| state.end_refresh(view, waits && computation.is_some()));
            Ok(())
        })
    }

    /// Whether nothing has fenced a computation of the ticket's key since it began.
    fn _is_current(
        slf: &Bound<'_, Self>,
        ticket: &Bound<'_, Ticket>,
        computation: &Bound<'_, Computation>,
    ) -> PyResult<bool> {
        let (state, computation) = (&slf.get().state, computation.get());
        as_error(|| Ok(ticket.get().with_view(ticket.py(), |view| state.backend.is_current(state, view, computation))))
    }

    /// The refreshes under way; `warp_cache._refresh` keeps them.
    #[getter]
    fn _refreshes(slf: &Bound<'_, Self>) -> PyResult<Py<PyDict>> {
        let (py, refreshes) = (slf.py(), &slf.get().state.refreshes);
        refreshes.get_or_make(py, || Ok(PyDict::new(py).unbind())).map(|kept| kept.clone_ref(py))
    }

    /// Whether it is a coroutine function.
    #[getter]
    fn _is_async(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.flights.is_some()
    }

    fn __copy__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __deepcopy__<'py>(slf: &Bound<'py, Self>, _memo: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        slf.clone()
    }

    /// The type's attributes and the function's: `__class__` names functools' type, which has fewer.
    fn __dir__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        presenting::dir(slf)
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        presenting::repr(slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // The collector may come while an instance is made: CPython allocates its `__dict__` when the object is there, all
        // zeros, and known to the collector. Relaxed: it was made by this thread, or before the collector stopped the others.
        if self.vectorcall.load(Ordering::Relaxed).is_null() {
            return Ok(());
        }
        visit.call(self.function.as_py())?;
        for default in self.signature.iter().flat_map(Signature::references) {
            visit.call(default.as_py())?;
        }
        self.options.traverse(&visit)?;
        self.instances.as_ref().map_or(Ok(()), |instances| instances.traverse(&visit))?;
        self.state.traverse(&visit)
    }

    fn __clear__(&self) {
        self.instances.iter().for_each(|instances| instances.clear());
        // SAFETY: the collector runs attached.
        let evicted = self.state.clear_silently(unsafe { Python::assume_attached() });
        self.state.let_collected_go(evicted);
    }
}
