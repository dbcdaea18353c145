//! Cached coroutine functions: the hit is served here, the miss is driven by `warp_cache._async`.
//!
//! Ring 3. A call decides at once whether it is a hit. A hit gives a coroutine that never suspends. A miss gives the
//! coroutine `warp_cache._async.compute(cached, ticket, *args, **kwargs)`; the [`Ticket`] carries the key, hashed once,
//! through whatever awaits lie between the call and the result.

use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use super::call::instance;
use super::computation::Computation;
use super::control::Tags;
use super::lookup::{Accounting, FastLookup, Found};
use super::ticket::Ticket;
use super::{AsyncCachedFunction, CachedFunction};
use crate::backend::{template, AnyBackend, HitPath, Known, Memory, Shared, SharedLease, SharedTurn, Told};
use crate::capi::coroutine;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::panics::{as_error, caught, point};
use crate::capi::reference::{calls, release, Arguments, PyRef};
use crate::codec;
use crate::key::View;
use shared::Skip;

/// The computations under way, by event loop and ticket; `warp_cache._async` keeps them.
#[derive(Debug)]
pub struct Flights(Py<PyDict>);

impl Flights {
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        drivers(py)?;
        Ok(Flights(PyDict::new(py).unbind()))
    }

    /// Those under way go on, and reach who waits for them; who comes now starts anew.
    pub fn forget(&self, py: Python<'_>) {
        self.0.bind(py).clear();
    }

    pub fn is_empty(&self, py: Python<'_>) -> bool {
        self.0.bind(py).is_empty()
    }

    /// [`forget`](Self::forget) for one key.
    pub fn forget_key(&self, ticket: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = ticket.py();
        for table in self.0.bind(py).values() {
            table.call_method1("pop", (ticket, py.None()))?;
        }
        Ok(())
    }

    /// [`forget`](Self::forget) for the computations that have one of the tags.
    pub fn forget_tags(&self, py: Python<'_>, tags: &Tags) -> PyResult<()> {
        for table in self.0.bind(py).values() {
            for flight in table.cast::<PyDict>()?.values() {
                let computation = flight.getattr("computation")?;
                let concerned = computation
                    .cast::<Computation>()
                    .is_ok_and(|computation| computation.get().tags.iter().any(|tag| tags.contains(tag)));
                if concerned {
                    table.call_method1("pop", (flight.getattr("ticket")?, py.None()))?;
                }
            }
        }
        Ok(())
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

/// The coroutine functions that drive what is no hit.
#[derive(Debug)]
struct Drivers {
    compute: Py<PyAny>,
    pass_on: Py<PyAny>,
    bypass: Py<PyAny>,
}

fn drivers(py: Python<'_>) -> PyResult<&Drivers> {
    static DRIVERS: PyOnceLock<Drivers> = PyOnceLock::new();
    DRIVERS.get_or_try_init(py, || {
        let module = py.import("warp_cache._async")?;
        let driver = |name| module.getattr(name).map(Bound::unbind);
        Ok(Drivers { compute: driver("compute")?, pass_on: driver("pass_on")?, bypass: driver("bypass")? })
    })
}

/// The vectorcall of an async function with a cache of size 0.
///
/// # Safety
/// To be called as PEP 590 says, with an instance.
pub unsafe extern "C-unwind" fn call_uncached(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let arguments = Arguments { values, nargsf, names };
    // SAFETY: as in `any`.
    unsafe { caught(|| instance(object).pass_on_async(object, &arguments)) }
}

/// A coroutine that raises a stored exception.
///
/// # Safety
/// The thread is attached and holds no lock.
unsafe fn raising(shared: &PyRef) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise.
    let py = unsafe { Python::assume_attached() };
    let made = py.import("warp_cache._async").and_then(|module| module.call_method1("raising", (shared.as_py(),)));
    match made {
        Ok(coroutine) => coroutine.into_ptr(),
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    }
}

impl CachedFunction {
    /// The coroutine of a call that `hot` left with `found`.
    ///
    /// # Safety
    /// `object` is this instance; the call and the view last; the thread is attached and holds no lock.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn miss_async<B: HitPath>(
        &self,
        object: *mut ffi::PyObject,
        arguments: &Arguments,
        view: &View<'_>,
        found: FastLookup,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let (found, known, is_unreadable) = B::begin_async(&self.state, view, found);
            match found {
                Found::Value(value) => return coroutine::ready(value),
                Found::Failed => return std::ptr::null_mut(),
                // No slot is ever reserved in the cache of an async function.
                Found::Pending(_, key) => drop(key),
                Found::Absent | Found::Spare => (),
                Found::Restless => return self.go_past(object, arguments),
                Found::Raise(shared) => return raising(&shared),
                Found::Revalidate(value) => {
                    return if self.begin_refresh(view, arguments) {
                        coroutine::ready(value)
                    } else {
                        release(value);
                        std::ptr::null_mut()
                    };
                }
            }
            self.start(object, arguments, view, known, is_unreadable)
        }
    }

    /// The coroutine that brings a miss to its end. `is_unreadable`: it is counted that a value could not be read.
    ///
    /// # Safety
    /// As for [`miss_async`](Self::miss_async); `known` is what `begin_async` gave.
    unsafe fn start(
        &self,
        object: *mut ffi::PyObject,
        arguments: &Arguments,
        view: &View<'_>,
        known: Known<'_>,
        is_unreadable: bool,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let py = Python::assume_attached();
            point("start");
            let Some(ticket) = Ticket::new(view, known, self.state.lone_apart, is_unreadable) else {
                return std::ptr::null_mut();
            };
            let ticket = Bound::new(py, ticket);
            match ticket.and_then(|ticket| Ok((ticket, drivers(py)?))) {
                Ok((ticket, drivers)) => self.drive(&drivers.compute, object, Some(ticket.as_any()), arguments),
                Err(error) => {
                    error.restore(py);
                    std::ptr::null_mut()
                }
            }
        }
    }

    /// A coroutine of a call that is not cached.
    ///
    /// # Safety
    /// As for [`miss_async`](Self::miss_async).
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn pass_on_async(&self, object: *mut ffi::PyObject, arguments: &Arguments) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe {
            caught(|| {
                self.state.backend.count_miss(&self.state);
                self.go_past(object, arguments)
            })
        }
    }

    /// A coroutine of a call while caches are disabled.
    ///
    /// # Safety
    /// As for [`miss_async`](Self::miss_async).
    pub(crate) unsafe fn bypass_async(&self, object: *mut ffi::PyObject, arguments: &Arguments) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { self.drive_with(|drivers| &drivers.bypass, object, arguments) }
    }

    /// A coroutine of a call that has been counted and is not cached.
    ///
    /// # Safety
    /// As for [`miss_async`](Self::miss_async).
    unsafe fn go_past(&self, object: *mut ffi::PyObject, arguments: &Arguments) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { self.drive_with(|drivers| &drivers.pass_on, object, arguments) }
    }

    /// A coroutine of a driver that needs no ticket.
    ///
    /// # Safety
    /// As for [`miss_async`](Self::miss_async).
    unsafe fn drive_with(
        &self,
        driver: fn(&Drivers) -> &Py<PyAny>,
        object: *mut ffi::PyObject,
        arguments: &Arguments,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe {
            let py = Python::assume_attached();
            match drivers(py) {
                Ok(drivers) => self.drive(driver(drivers), object, None, arguments),
                Err(error) => {
                    error.restore(py);
                    std::ptr::null_mut()
                }
            }
        }
    }

    /// Calls `driver(cached[, ticket], *args, **kwargs)`.
    unsafe fn drive(
        &self,
        driver: &Py<PyAny>,
        object: *mut ffi::PyObject,
        ticket: Option<&Bound<'_, PyAny>>,
        arguments: &Arguments,
    ) -> *mut ffi::PyObject {
        // SAFETY: as for `miss_async`; the new row borrows what the call and this frame hold.
        unsafe {
            let positional = arguments.positional();
            let count = positional + arguments.keywords().len();
            let mut row = Vec::with_capacity(count + 2);
            row.push(object);
            row.extend(ticket.map(|ticket| ticket.as_ptr()));
            let added = row.len();
            row.extend_from_slice(std::slice::from_raw_parts(arguments.values, count));
            calls::PyObject_Vectorcall(driver.as_ptr(), row.as_ptr(), positional + added, arguments.names)
        }
    }
}

impl CachedFunction {
    /// Tells the user of a result that was not stored, if nobody has by now.
    pub(super) fn tell_told(&self, py: Python<'_>, told: &Told<'_>) -> PyResult<()> {
        let skip = usize::try_from(told.0).ok().and_then(|number| Skip::ALL.get(number));
        // SAFETY: attached, no lock held; no exception is set.
        if skip.is_none_or(|skip| unsafe { self.tell_in(&told.1, *skip) }) {
            Ok(())
        } else {
            Err(PyErr::fetch(py))
        }
    }
}

impl AsyncCachedFunction {
    fn make<'py>(
        function: &Bound<'py, PyAny>,
        options: &super::options::Options,
        backend: AnyBackend,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = function.py();
        let base = CachedFunction::build(function, options, Some(Flights::new(py)?), backend)?;
        let made = Bound::new(py, PyClassInitializer::from(base).add_subclass(AsyncCachedFunction))?.into_any();
        crate::capi::refcount::share_refcount_mode(&made, function);
        Ok(made)
    }
}

type Args<'a, 'py> = &'a Bound<'py, PyTuple>;
type Keywords<'a, 'py> = &'a Bound<'py, PyDict>;

/// The coroutine of what a method gives.
fn twin<'py>(
    function: &Bound<'py, AsyncCachedFunction>,
    method: &str,
    args: Args<'_, 'py>,
    kwargs: Option<Keywords<'_, 'py>>,
) -> PyResult<Bound<'py, PyAny>> {
    let result = function.call_method(method, args, kwargs)?;
    // SAFETY: a strong reference, which is given up; the coroutine is a new one, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(function.py(), coroutine::ready(result.into_ptr())) }
}

#[pymethods]
impl AsyncCachedFunction {
    /// A cached coroutine function made from checked options.
    #[staticmethod]
    fn _of<'py>(
        function: &Bound<'py, PyAny>,
        options: &Bound<'py, super::options::Options>,
    ) -> PyResult<Bound<'py, PyAny>> {
        super::admit("fn", function)?;
        as_error(|| Self::make(function, options.get(), AnyBackend::Memory(Memory)))
    }

    /// The same with a cache that all processes share. `name`: what the user calls it.
    #[staticmethod]
    fn _of_shared<'py>(
        function: &Bound<'py, PyAny>,
        options: &Bound<'py, super::options::Options>,
        name: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        super::admit("fn", function)?;
        as_error(|| {
            let backend = AnyBackend::Shared(Shared::new(function, options.get(), name)?);
            Self::make(function, options.get(), backend)
        })
    }

    // The methods that may wait for a file or a server, to be awaited. Here they do not wait: what they do is done.

    /// `get`, to be awaited.
    #[pyo3(signature = (*args, **kwargs))]
    fn aget<'py>(
        slf: &Bound<'py, Self>,
        args: Args<'_, 'py>,
        kwargs: Option<Keywords<'_, 'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "get", args, kwargs)
    }

    /// `set`, to be awaited.
    #[pyo3(signature = (*args, **kwargs), text_signature = "($self, value, /, *args, **kwargs)")]
    fn aset<'py>(
        slf: &Bound<'py, Self>,
        args: Args<'_, 'py>,
        kwargs: Option<Keywords<'_, 'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "set", args, kwargs)
    }

    /// `cache_contains`, to be awaited.
    #[pyo3(signature = (*args, **kwargs))]
    fn acache_contains<'py>(
        slf: &Bound<'py, Self>,
        args: Args<'_, 'py>,
        kwargs: Option<Keywords<'_, 'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "cache_contains", args, kwargs)
    }

    /// `cache_invalidate`, to be awaited.
    #[pyo3(signature = (*args, **kwargs))]
    fn acache_invalidate<'py>(
        slf: &Bound<'py, Self>,
        args: Args<'_, 'py>,
        kwargs: Option<Keywords<'_, 'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "cache_invalidate", args, kwargs)
    }

    /// `cache_ttl`, to be awaited.
    #[pyo3(signature = (*args, **kwargs))]
    fn acache_ttl<'py>(
        slf: &Bound<'py, Self>,
        args: Args<'_, 'py>,
        kwargs: Option<Keywords<'_, 'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "cache_ttl", args, kwargs)
    }

    /// `cache_invalidate_tags`, to be awaited.
    #[pyo3(signature = (*args, **kwargs))]
    fn acache_invalidate_tags<'py>(
        slf: &Bound<'py, Self>,
        args: Args<'_, 'py>,
        kwargs: Option<Keywords<'_, 'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "cache_invalidate_tags", args, kwargs)
    }

    /// `cache_put`, to be awaited.
    #[pyo3(signature = (*args, **kwargs))]
    fn acache_put<'py>(
        slf: &Bound<'py, Self>,
        args: Args<'_, 'py>,
        kwargs: Option<Keywords<'_, 'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "cache_put", args, kwargs)
    }

    /// `cache_clear`, to be awaited.
    fn acache_clear<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "cache_clear", &PyTuple::empty(slf.py()), None)
    }

    // What follows is what `warp_cache._async` needs of a cached function.

    /// The computations under way.
    #[getter]
    fn _flights(slf: &Bound<'_, Self>) -> Py<PyDict> {
        match &slf.as_super().get().state.flights {
            Some(flights) => flights.0.clone_ref(slf.py()),
            None => PyDict::new(slf.py()).unbind(),
        }
    }

    #[getter]
    fn _single_flight(slf: &Bound<'_, Self>) -> bool {
        slf.as_super().get().state.single_flight
    }

    /// Seconds, or None.
    #[getter]
    fn _wait_timeout(slf: &Bound<'_, Self>) -> Option<f64> {
        slf.as_super().get().state.wait_timeout.map(|bound| bound.as_secs_f64())
    }

    /// A tuple with the ticket's value if it is cached by now, else an empty one; counts nothing but what cannot be read.
    fn _peek<'py>(slf: &Bound<'py, Self>, ticket: &Bound<'py, Ticket>) -> PyResult<Bound<'py, PyTuple>> {
        let (this, py) = (slf.as_super().get(), slf.py());
        // SAFETY: the ticket holds its key; the thread is attached and holds no lock.
        let look = |view: &View<'_>| unsafe {
            point("_peek");
            match this.state.find(view, Accounting::None) {
                Found::Value(object) => Ok(Some(object)),
                Found::Revalidate(object) => Ok(Some(object)),
                Found::Raise(shared) => {
                    exceptions::raise_own(&shared);
                    Err(ErrSet)
                }
                Found::Failed => Err(ErrSet),
                Found::Absent | Found::Pending(..) | Found::Spare | Found::Restless => {
                    this.state.backend.load(&this.state, view, Some(ticket.get()))
                }
            }
        };
        as_error(|| match ticket.get().with_view(look) {
            // SAFETY: a new strong reference.
            Ok(Some(object)) => PyTuple::new(py, [unsafe { Bound::from_owned_ptr(py, object) }]),
            Ok(None) => Ok(PyTuple::empty(py)),
            Err(ErrSet) => Err(PyErr::fetch(py)),
        })
    }

    /// The template of a value that several wait for, from which each makes one of its own; None if all may have the value.
    fn _template<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if slf.as_super().get().state.backend.shared().is_some_and(Shared::shares_objects) {
            return Ok(None);
        }
        // SAFETY: the value is alive; the thread is attached and holds no lock; no exception is set.
        as_error(|| match unsafe { template::of_value(value.as_ptr()) } {
            Ok(template) => Ok(template.map(|template| template.as_py().bind(slf.py()).clone())),
            Err(ErrSet) => Err(PyErr::fetch(slf.py())),
        })
    }

    /// A tuple with a value made from a template, or an empty one where that is not possible, which is counted.
    fn _made<'py>(
        slf: &Bound<'py, Self>,
        ticket: &Bound<'py, Ticket>,
        template: &Bound<'py, PyBytes>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (state, py) = (&slf.as_super().get().state, slf.py());
        as_error(|| {
            // SAFETY: a live `bytes` object; the thread is attached and holds no lock; no exception is set.
            let make = || unsafe { template::make(&PyRef::borrow(template.as_ptr())) };
            match codec::noting(true, make) {
                (Ok(Some(object)), _) => PyTuple::new(py, [object.as_py().bind(py)]),
                (Ok(None), refusal) => {
                    state.backend.count_unreadable(ticket.get(), refusal);
                    Ok(PyTuple::empty(py))
                }
                (Err(ErrSet), _) => Err(PyErr::fetch(py)),
            }
        })
    }

    /// Whether all processes share the cache.
    #[getter]
    fn _shared(slf: &Bound<'_, Self>) -> bool {
        slf.as_super().get().state.backend.shared().is_some()
    }

    /// Asks to compute the ticket's value for all processes: a `SharedLease` (compute it), a tuple with the value (it is
    /// there), False (another one computes it: ask again later) or None (compute it, there is no lease to be had).
    /// `insist`: this caller has waited long enough. `turn`: one for all questions of this caller.
    fn _lead<'py>(
        slf: &Bound<'py, Self>,
        ticket: &Bound<'py, Ticket>,
        insist: bool,
        turn: &Bound<'py, SharedTurn>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (state, py) = (&slf.as_super().get().state, slf.py());
        // SAFETY: the ticket holds its key; the thread is attached and holds no lock.
        as_error(|| unsafe { state.backend.acquire(py, state, ticket.get(), insist, turn.get()) })
    }

    /// For `_lead`. `free`: this caller has waited for a computation that ended without a value, and waits for no other.
    #[staticmethod]
    fn _turn(free: bool) -> SharedTurn {
        SharedTurn::new(free)
    }

    /// Stores the ticket's value, unless there is one meanwhile or it was fenced since the computation began; ends the lease.
    /// What is to be told to the user, for `_tell`, or None.
    #[pyo3(signature = (ticket, value, computation, lease=None))]
    fn _store<'py>(
        slf: &Bound<'py, Self>,
        ticket: &Bound<'py, Ticket>,
        value: &Bound<'py, PyAny>,
        computation: &Bound<'py, Computation>,
        lease: Option<&Bound<'py, SharedLease>>,
    ) -> PyResult<Option<Told<'py>>> {
        let this = slf.as_super().get();
        as_error(|| {
            point("_store");
            let computation = computation.get();
            this.state.count_load(computation.watch, false);
            this.state.backend.store(this, ticket, value, computation, lease)
        })
    }

    /// Notes that the ticket's computation raised, and ends the lease if the exception is stored. A tuple with the value that the caller is to have all the same, or an empty
    /// one.
    #[pyo3(signature = (ticket, error, computation, lease=None))]
    fn _failed<'py>(
        slf: &Bound<'py, Self>,
        ticket: &Bound<'py, Ticket>,
        error: &Bound<'py, PyAny>,
        computation: &Bound<'py, Computation>,
        lease: Option<&Bound<'py, SharedLease>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (this, py) = (slf.as_super().get(), slf.py());
        let failed = || match this.state.backend.shared() {
            None => ticket.get().with_view(|view| this.state.failed(view, error, computation.get())),
            Some(shared) => {
                this.state.count_load(computation.get().watch, true);
                // SAFETY: attached, no lock held; the ticket holds its key; no exception is set.
                ticket.get().with_views(|view, editable| unsafe {
                    let error = PyRef::borrow(error.as_ptr());
                    shared.failed(&this.state, (view, editable), &error, computation.get(), lease)
                })
            }
        };
        as_error(|| match failed() {
            // SAFETY: a new strong reference.
            Ok(Some(object)) => PyTuple::new(py, [unsafe { Bound::from_owned_ptr(py, object) }]),
            Ok(None) => Ok(PyTuple::empty(py)),
            Err(ErrSet) => Err(PyErr::fetch(py)),
        })
    }

    /// Tells the user what `_store` or `_skip` gave, if nobody has by now.
    fn _tell(slf: &Bound<'_, Self>, told: Told<'_>) -> PyResult<()> {
        slf.as_super().get().tell_told(slf.py(), &told)
    }

    /// Counts a result that is not to be stored: of a call that does not fit the signature, or else one that another
    /// computation stores. What is to be told of it.
    fn _skip<'py>(slf: &Bound<'py, Self>, unfit: bool) -> PyResult<Option<Told<'py>>> {
        let skip = if unfit { Skip::Argument } else { Skip::Superseded };
        // SAFETY: attached, no lock held; no exception is set.
        unsafe { slf.as_super().get().give_up(slf.py(), skip) }
    }
}
