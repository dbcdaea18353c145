//! `CachedFunction`: the object that a decorated function becomes.
//!
//! Ring 3. Its parts: [`option_table`] is what the user may ask for ([`option_checks`] and [`control_checks`] check it,
//! [`option_object`] is an object that an option is, [`parameters`] binds a constructor's arguments), [`entry_points`]
//! chooses what vectorcall enters, [`call`] is the way from there to a result ([`instance`] is what was called, [`keyed`]
//! its key), [`fast_path`] the shortest one, [`reply`] what the caller is given. [`state`] is the cache: [`fast_lookup`]
//! and [`lookup`] find its entries ([`ending`] ends them, [`special`]: those that are stale, or exceptions), [`eq_answers`]
//! keeps what Python answers meanwhile, [`single_flight`] computes each missing key once ([`joining`]: or waits for who
//! does), [`settle`] ends such a computation, [`slot_value`] is what a slot holds, [`load_counters`] counts computations.
//! [`control`] is what the user's callables say of entries ([`given`] checks it, [`controlled`] is a miss and [`storing`] a
//! store under it, [`deadline`] makes deadlines of lifetimes, [`handout`] is what callers get of a copied value, [`spare`]
//! an old value for a failure, [`removal`] what has left, on its way to the user, [`running`] what can be fenced by a tag).
//! [`asynchronous`] serves coroutine functions, whose missed calls have a [`ticket`] and a [`computation`]; [`methods`] has
//! the methods that may run user code, [`entry_methods`] those for single entries, [`fence`] what keeps old results out
//! ([`inside`]: by what the user's callables invalidate), [`recording`] notes calls where it is asked to, [`refreshing`] waits for refreshes, and [`disabled`] passes them by.
//! [`bound_method`] is what an instance's attribute is, [`per_instance`] finds the cache of each instance. Where the values
//! live is the [`backend`](crate::backend)'s. This file has the class itself, [`class`] its methods, [`presenting`] its
//! attributes and text.

// Its macros are for the classes below, and for that of the shared backend.
#[macro_use]
pub mod option_table;

pub mod asynchronous;
pub mod bound_method;
pub mod call;
mod class;
pub mod computation;
pub mod control;
pub mod control_checks;
mod controlled;
pub(crate) mod deadline;
pub mod disabled;
mod ending;
pub(crate) mod entry_methods;
pub mod entry_points;
mod eq_answers;
pub mod fast_lookup;
pub mod fast_path;
pub mod fence;
pub(crate) mod given;
pub mod handout;
pub(crate) mod inside;
pub mod instance;
mod joining;
pub mod keyed;
pub mod load_counters;
pub mod lookup;
pub mod methods;
pub mod option_checks;
pub mod option_object;
pub mod parameters;
pub mod per_instance;
mod presenting;
pub mod recording;
pub mod refreshing;
pub(crate) mod removal;
pub mod reply;
pub(crate) mod running;
mod settle;
pub mod single_flight;
pub(crate) mod slim;
pub mod slot_value;
pub mod spare;
mod special;
pub mod state;
mod storing;
pub mod ticket;

use std::ffi::c_void;
use std::sync::atomic::{AtomicIsize, AtomicPtr, Ordering};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use self::asynchronous::Flights;
use self::call::Vectorcall;
use self::control::Control;
use self::option_table::Options;
use self::per_instance::{Instances, PerInstanceFunction};
use self::recording::Registration;
use self::state::CacheState;
use self::ticket::Ticket;
use crate::backend::{AnyBackend, Memory};
use crate::capi::reference::PyRef;
use crate::capi::type_slots::Patched;
use crate::key::signature::Signature;
use engine::policy::Kind;

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
        impl $crate::capi::type_slots::Patched for $type {
            fn originals() -> &'static std::sync::OnceLock<$crate::capi::type_slots::Originals> {
                static ORIGINALS: std::sync::OnceLock<$crate::capi::type_slots::Originals> = std::sync::OnceLock::new();
                &ORIGINALS
            }
        }
    };
}
patched!(CachedFunction);
patched!(AsyncCachedFunction);
patched!(PerInstanceFunction);

/// Completes the types while the module is being made. Types live as long as the process: where the module is imported
/// once more (it was taken out of `sys.modules`), they are complete already.
pub fn install(py: Python<'_>) -> PyResult<()> {
    if CachedFunction::originals().get().is_some() {
        return Ok(());
    }
    let probe = py.eval(c"len", None, None)?;
    let blank =
        Bound::new(py, CachedFunction::build(&probe, &Options::plain(), None, AnyBackend::Memory(Memory::default()))?)?;
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
        AnyBackend::complete(py, offset);
        crate::capi::type_slots::patch::<PerInstanceFunction>(&py.get_type::<PerInstanceFunction>(), offset);
    }
    bound_method::install(py)
}

/// Where in an instance the field `vectorcall` is.
static OFFSET: AtomicIsize = AtomicIsize::new(0);

impl CachedFunction {
    /// The instance's object.
    pub(crate) fn as_object<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let field = std::ptr::from_ref(&self.vectorcall).cast::<u8>();
        let object = field.wrapping_offset(-OFFSET.load(Ordering::Relaxed)).cast::<ffi::PyObject>().cast_mut();
        // SAFETY: whoever has the instance keeps its object, in which the field is at that offset.
        unsafe { Bound::from_borrowed_ptr(py, object) }
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
            // Signature and backend live and die together, here.
            backend.get_mut().know_default(default.lend(function.py()))?;
        }
        let mut control = Control::new(options, function, signature.as_ref())?;
        // (The shared backend's own values go another way: what a file has is decoded for each.)
        if backend.remote().is_some() && backend.has_file() {
            control.iter_mut().for_each(|control| control.copy_as_a_file());
        }
        Ok(Self::assemble(function, options, signature, flights, backend, control))
    }

    /// The same of what makes a call's key.
    pub(crate) fn assemble(
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
    pub(crate) fn signature(
        function: &Bound<'_, PyAny>,
        options: &Options,
        without_first: bool,
    ) -> PyResult<Option<Signature>> {
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
