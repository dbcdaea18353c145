//! `CachedFunction`: the object that a decorated function becomes.
//!
//! Ring 3. Its parts: [`options`] is the table of what the user may ask for ([`option_checks`] and [`control_checks`] check it, [`parameters`]
//! binds a constructor's arguments), [`entry_points`] chooses what vectorcall enters, [`call`] is the way from there to a
//! result, [`fast_path`] the shortest one, [`reply`] what the caller is given. [`state`] is the cache: [`lookup`] finds its
//! entries, [`eq_answers`] keeps what Python answers meanwhile, [`single_flight`] computes each missing key once, [`settle`]
//! ends such a computation, [`slot_value`] is what a slot holds. [`asynchronous`] serves coroutine functions, whose missed
//! calls have a [`ticket`]; [`methods`] has the methods that may run user code, [`entry_methods`] those for single
//! entries, [`fence`] what keeps old results out, [`recording`] notes calls where it is asked
//! to, and [`disabled`] passes them by. [`bound_method`] is what an instance's attribute is, [`per_instance`] finds the cache of
//! each instance. Where the values live is the [`backend`](crate::backend)'s. This file has the class itself and its methods.

// Its macros are for the classes below, and for that of the shared backend.
#[macro_use]
pub mod options;

pub mod asynchronous;
pub mod bound_method;
pub mod call;
pub mod computation;
pub mod control;
pub mod control_checks;
mod controlled;
pub mod disabled;
mod entry_methods;
pub mod entry_points;
mod eq_answers;
pub mod fast_path;
pub mod fence;
pub mod handout;
pub mod lookup;
pub mod methods;
pub mod option_checks;
pub mod parameters;
pub mod per_instance;
pub mod recording;
mod removal;
pub mod reply;
mod running;
mod settle;
pub mod single_flight;
pub mod slot_value;
pub mod spare;
pub mod state;
mod storing;
pub mod tally;
pub mod ticket;

use std::ffi::c_void;
use std::sync::atomic::{AtomicIsize, AtomicPtr, Ordering};
use std::sync::OnceLock;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

use self::asynchronous::Flights;
use self::call::Vectorcall;
use self::computation::Computation;
use self::control::Control;
use self::fence::Began;
use self::options::Options;
use self::per_instance::{Instances, PerInstanceFunction};
use self::recording::Registration;
use self::state::CacheState;
use self::ticket::Ticket;
use crate::backend::{AnyBackend, Memory, SharedCachedFunction, SharedLease};
use crate::capi::exceptions::ErrSet;
use crate::capi::panics::as_error;
use crate::capi::reference::PyRef;
use crate::capi::type_slots::{Originals, Patched};
use crate::key::signature::Signature;
use engine::policy::Kind;
use shared::Purpose;

#[doc = memory_signature!()]
/// A function with a cache in front of it.
///
/// fn: the callable. strategy: a Strategy. max_size: entries at most, None for no bound, 0 to store nothing. ttl: seconds
/// that an entry lives, or None. typed (False): whether arguments of different types are different keys. single_flight
/// (True): whether concurrent callers of a missing key share one computation. wait_timeout (10.0): seconds that a caller
/// waits for another's computation before it takes over, None for no limit. by_signature (True): whether all spellings of a
/// call are one key.
///
/// Raises TypeError or ValueError for a wrong argument. A call costs O(1) expected.
#[pyclass(frozen, dict, weakref, subclass, module = "warp_cache._warp_cache_rs")]
pub struct CachedFunction {
    /// Python calls this, a [`Vectorcall`]; see `capi::type_slots`. `recording` alone changes it.
    pub(crate) vectorcall: AtomicPtr<c_void>,
    pub(crate) registration: Registration,
    /// The number of positional arguments from which on a call is its own canonical form, and for how many more.
    pub(crate) direct: (usize, usize),
    pub(crate) typed: bool,
    /// What the user chose; the order of the entries may be another.
    pub(crate) strategy: Kind,
    /// The cache. It is dropped before the function.
    pub(crate) state: CacheState,
    /// Never changes and is not cleared by the collector: a cycle through it has another, mutable, member, as this object
    /// was made after the function.
    pub(crate) function: PyRef,
    /// `None`: a key is the pattern of the call.
    pub(crate) signature: Option<Signature>,
    /// What it was made with.
    pub(crate) options: Box<Options>,
    /// Of a method whose instances have a cache each.
    pub(crate) instances: Option<Box<Instances>>,
}

/// A coroutine function with a cache in front of it: calling it gives a coroutine, which on a hit never suspends.
///
/// Made by the decorators. Concurrent callers of one event loop share one computation.
#[pyclass(frozen, extends = CachedFunction, subclass, module = "warp_cache._warp_cache_rs")]
pub struct AsyncCachedFunction;

/// A slot patch of its own for each of the types.
macro_rules! patched {
    ($type:ty) => {
        impl Patched for $type {
            fn originals() -> &'static OnceLock<Originals> {
                static ORIGINALS: OnceLock<Originals> = OnceLock::new();
                &ORIGINALS
            }
        }
    };
}
patched!(CachedFunction);
patched!(AsyncCachedFunction);
patched!(SharedCachedFunction);
patched!(PerInstanceFunction);

/// Completes the types while the module is being made. Types live as long as the process: where the module is imported
/// once more (it was taken out of `sys.modules`), they are complete already.
pub fn install(py: Python<'_>) -> PyResult<()> {
    if CachedFunction::originals().get().is_some() {
        return Ok(());
    }
    let probe = py.eval(c"len", None, None)?;
    let blank = Bound::new(py, CachedFunction::build(&probe, &Options::plain(), None, AnyBackend::Memory(Memory))?)?;
    let field = std::ptr::from_ref(&blank.get().vectorcall) as isize;
    let offset = field - blank.as_ptr() as isize;
    // Relaxed: written before there is an instance.
    OFFSET.store(offset, Ordering::Relaxed);
    drop(blank);
    methods::install(&py.get_type::<CachedFunction>())?;
    entry_methods::install(&py.get_type::<CachedFunction>())?;
    // SAFETY: the offset was measured on an instance, and a derived class has its base's fields where the base has them.
    // The base is patched before the derived type is made.
    unsafe {
        crate::capi::type_slots::patch::<CachedFunction>(&py.get_type::<CachedFunction>(), offset);
        crate::capi::type_slots::patch::<AsyncCachedFunction>(&py.get_type::<AsyncCachedFunction>(), offset);
        crate::capi::type_slots::patch::<SharedCachedFunction>(&py.get_type::<SharedCachedFunction>(), offset);
        crate::capi::type_slots::patch::<PerInstanceFunction>(&py.get_type::<PerInstanceFunction>(), offset);
    }
    bound_method::install(py)
}

/// Where in an instance the field `vectorcall` is.
static OFFSET: AtomicIsize = AtomicIsize::new(0);

impl CachedFunction {
    /// The instance's object, borrowed.
    pub(crate) fn as_object(&self) -> *mut ffi::PyObject {
        let field = std::ptr::from_ref(&self.vectorcall).cast::<u8>();
        field.wrapping_offset(-OFFSET.load(Ordering::Relaxed)).cast::<ffi::PyObject>().cast_mut()
    }

    /// Whether `cache_info()` is shown as functools shows it.
    pub(crate) fn has_functools_repr(&self) -> bool {
        !self.options.by_signature && self.state.backend.shared().is_none()
    }

    /// A ticket for a call. TypeError if the arguments do not fit the function.
    pub(crate) fn ticket<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, Ticket>> {
        entry_methods::ticket(self, args, kwargs)
    }

    /// Chooses anew what vectorcall enters.
    pub(crate) fn enter_anew(&self) {
        recording::enter_anew(self);
    }

    /// An instance, not yet visible to Python.
    pub(crate) fn build(
        function: &Bound<'_, PyAny>,
        options: &Options,
        flights: Option<Flights>,
        mut backend: AnyBackend,
    ) -> PyResult<Self> {
        let signature = Self::signature(function, options, false)?;
        for default in signature.iter().flat_map(Signature::key_defaults) {
            // SAFETY: attached, no lock held; signature and backend live and die together, here.
            unsafe { backend.get_mut().know_default(default.as_ptr()) }?;
        }
        let control = Control::new(options, function)?;
        Ok(Self::assemble(function, options, signature, flights, backend, control))
    }

    /// The same of what makes a call's key.
    fn assemble(
        function: &Bound<'_, PyAny>,
        options: &Options,
        signature: Option<Signature>,
        flights: Option<Flights>,
        backend: AnyBackend,
        control: Option<Box<Control>>,
    ) -> Self {
        let (from, to) = signature.as_ref().map_or((0, usize::MAX), Signature::direct);
        // An empty range (`from > to`) must let no number through: no call has that many arguments.
        let direct = if from <= to { (from, to - from) } else { (usize::MAX, 0) };
        CachedFunction {
            vectorcall: AtomicPtr::new(recording::enter as Vectorcall as *mut c_void),
            registration: Registration::default(),
            direct,
            typed: options.typed,
            strategy: options.strategy,
            function: function.clone().unbind().into(),
            signature,
            options: Box::new(options.clone()),
            state: CacheState::new(options, flights, backend, control),
            instances: None,
        }
    }

    /// What of a call makes its key, where that is neither the pattern of the call nor what a key function gives.
    /// `without_first`: the first positional parameter is no part of it.
    fn signature(function: &Bound<'_, PyAny>, options: &Options, without_first: bool) -> PyResult<Option<Signature>> {
        if !options.by_signature || options.key.is_some() {
            return Ok(None);
        }
        let mut signature = Signature::read(function)?;
        match &mut signature {
            Some(signature) => signature.ignore(function.py(), &options.ignore, without_first)?,
            None if options.ignore.is_empty() && without_first => signature = Some(Signature::of_any_without_first()),
            None if options.ignore.is_empty() => (),
            None => {
                let (names, function) = (options.ignore.join("', '"), option_checks::shown(function));
                return Err(PyValueError::new_err(format!(
                    "ignore names '{names}', but the parameters of fn are not known, got {function}: use key instead"
                )));
            }
        }
        Ok(signature)
    }
}

/// What is to be cached must be callable. Loads what its failures will need.
pub fn admit<'py>(argument: &str, function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if function.is_callable() {
        crate::capi::exceptions::install(function.py())?;
        return Ok(function.clone());
    }
    Err(PyTypeError::new_err(format!("{argument} must be a callable, got {}", option_checks::shown(function))))
}

#[pymethods]
impl CachedFunction {
    #[new]
    #[pyo3(signature = (*arguments, **keywords), text_signature = None)]
    fn new(arguments: &Bound<'_, PyTuple>, keywords: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let (function, options) = Options::of_call(arguments, keywords)?;
        as_error(|| Self::build(&function, &options, None, AnyBackend::Memory(Memory)))
    }

    /// A cached function made from checked options.
    #[staticmethod]
    fn _of<'py>(function: &Bound<'py, PyAny>, options: &Bound<'py, Options>) -> PyResult<Bound<'py, PyAny>> {
        admit("fn", function)?;
        as_error(|| {
            let made =
                Bound::new(function.py(), Self::build(function, options.get(), None, AnyBackend::Memory(Memory))?)?
                    .into_any();
            crate::capi::refcount::share_refcount_mode(&made, function);
            Ok(made)
        })
    }

    // The slot wrapper `__call__` keeps the `tp_call` that the type was made with, so it must be a right one.
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let kwargs = kwargs.map_or(std::ptr::null_mut(), Bound::as_ptr);
        // SAFETY: an instance of a type with a vectorcall slot, a tuple, and a dict or null.
        unsafe { Bound::from_owned_ptr_or_err(slf.py(), ffi::PyVectorcall_Call(slf.as_ptr(), args.as_ptr(), kwargs)) }
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
        let modules = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
        if modules.contains("dill")? {
            let reduced = py.import("warp_cache._by_value")?.call_method1("reduce", (slf,))?;
            if !reduced.is_none() {
                return Ok(reduced);
            }
        }
        slf.getattr("__qualname__")
    }

    /// The function, the options, whether all processes share the cache, and what the user calls it: what makes the same
    /// decorated function anew.
    #[allow(clippy::type_complexity)]
    fn _recipe<'py>(slf: &Bound<'py, Self>) -> PyResult<(Py<PyAny>, Bound<'py, PyDict>, bool, Option<String>)> {
        let (this, py) = (slf.get(), slf.py());
        let name = this.state.backend.given_name().map(str::to_owned);
        Ok((
            this.function.as_py().clone_ref(py),
            this.options.arguments(py)?,
            this.state.backend.shared().is_some(),
            name,
        ))
    }

    /// The path of the shared file, and whether no other process can name it.
    fn _place(&self) -> PyResult<(Option<String>, bool)> {
        // SAFETY: attached, no lock held; no exception is set.
        as_error(|| Ok(unsafe { self.state.backend.place() }))
    }

    /// Everything the cache was made with, in a new dict: each parameter of ``cache`` by its name, and ``path``,
    /// ``private`` and ``qualname``.
    fn cache_options<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("warp_cache._made_with")?.getattr("options")?.call1((slf,))
    }

    /// functools' own class, though not by type: class factories that tell methods from fields, as pydantic's models, know
    /// it or its module. Classes derived in Python are themselves.
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (kind, py) = (slf.get_type(), slf.py());
        let ours = [
            py.get_type::<CachedFunction>(),
            py.get_type::<AsyncCachedFunction>(),
            py.get_type::<SharedCachedFunction>(),
            py.get_type::<PerInstanceFunction>(),
        ];
        if !ours.iter().any(|one| kind.is(one)) {
            return Ok(kind.into_any());
        }
        static OF_FUNCTOOLS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let class = OF_FUNCTOOLS.get_or_try_init(py, || -> PyResult<_> {
            let cached = py.import("functools")?.call_method1("lru_cache", (py.eval(c"len", None, None)?,))?;
            Ok(cached.get_type().into_any().unbind())
        })?;
        Ok(class.bind(py).clone())
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
            return slf.call(args, Some(&kwargs));
        }
        let asks = if slf.get().state.flights.is_some() { "refresh_async" } else { "refresh" };
        let ticket = as_error(|| slf.get().ticket(args, &kwargs))?;
        py.import("warp_cache._refresh")?.call_method1(asks, (slf, ticket, args, kwargs))
    }

    /// Opens a shared cache that a child of a fork could not open, as the fork is about to be.
    fn _open_before_fork(slf: &Bound<'_, Self>) -> PyResult<()> {
        let Some(shared) = slf.get().state.backend.shared() else {
            return Ok(());
        };
        // SAFETY: attached, no lock held; no exception is set.
        as_error(|| unsafe { shared.open_before_fork() }.map_err(|ErrSet| PyErr::fetch(slf.py())))
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
        as_error(|| Computation::begin(slf.get(), ticket.get(), args, kwargs))
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
    /// is one to be had.
    #[pyo3(signature = (ticket, lease=None))]
    fn _begin_refresh<'py>(
        slf: &Bound<'py, Self>,
        ticket: &Bound<'py, Ticket>,
        lease: Option<Bound<'py, SharedLease>>,
    ) -> PyResult<Option<Bound<'py, SharedLease>>> {
        as_error(|| {
            let state = &slf.get().state;
            state.count_refresh();
            let Some(shared) = state.backend.shared() else {
                ticket.get().with_view(|view| state.mark_refresh(view));
                return Ok(None);
            };
            if lease.is_some() {
                return Ok(lease);
            }
            // SAFETY: attached, no lock held; the ticket holds its key; no exception is set.
            let claimed = ticket.get().with_view(|view| unsafe { shared.claim(state, view, Purpose::Anew) });
            let claimed = claimed.map_err(|ErrSet| PyErr::fetch(slf.py()))?;
            claimed.map(|lease| Bound::new(slf.py(), lease)).transpose()
        })
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
            ticket.get().with_view(|view| state.end_refresh(view, waits && computation.is_some()));
            Ok(())
        })
    }

    /// What an invalidation of the ticket's key changes, and `cache_clear`.
    fn _began(slf: &Bound<'_, Self>, ticket: &Bound<'_, Ticket>) -> (u64, u64) {
        let state = &slf.get().state;
        let Began { clears, stamp } = ticket.get().with_view(|view| state.backend.began(state, view));
        (clears, stamp)
    }

    /// The refreshes under way; `warp_cache._refresh` keeps them.
    #[getter]
    fn _refreshes(slf: &Bound<'_, Self>) -> Py<PyDict> {
        slf.get().state.refreshes.get_or_init(slf.py(), || PyDict::new(slf.py()).unbind()).clone_ref(slf.py())
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

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let function = slf.get().function.as_ptr();
        // SAFETY: live objects; the format's arguments are a C string, an object and a pointer. Not Rust's formatting, which
        // panics where there is no memory.
        unsafe {
            let name = ffi::PyObject_GetAttrString(function, c"__qualname__".as_ptr());
            if name.is_null() {
                ffi::PyErr_Clear();
            }
            let shown = if name.is_null() { function } else { name };
            let kind = (*ffi::Py_TYPE(slf.as_ptr())).tp_name;
            let repr = ffi::PyUnicode_FromFormat(c"<%s of %S at %p>".as_ptr(), kind, shown, slf.as_ptr());
            ffi::Py_XDECREF(name);
            Bound::from_owned_ptr_or_err(slf.py(), repr)
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // The collector may come while an instance is made: CPython allocates its `__dict__` when the object is there, all
        // zeros, and known to the collector. Relaxed: it was made by this thread, or before the collector stopped the others.
        if self.vectorcall.load(std::sync::atomic::Ordering::Relaxed).is_null() {
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
