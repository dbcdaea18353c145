//! `CachedFunction`: the object that a decorated function becomes.
//!
//! Ring 3. Its parts: [`options`] checks what the user asked for, [`call`] is the way from vectorcall to a result,
//! [`lookup`] finds entries, [`flight`] computes each missing key once, [`value`] is what a slot holds, [`asynchronous`]
//! serves coroutine functions. This file has the class itself and its methods.

pub mod asynchronous;
pub mod call;
mod flight;
mod lookup;
pub mod options;
mod value;

use std::sync::OnceLock;
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

use self::asynchronous::Flights;
use self::call::{Keyed, Vectorcall};
use self::lookup::{Count, Entries, Found};
use self::options::Options;
use self::value::Value;
use crate::cache::{Cache, Garbage};
use crate::python::object::{Arguments, Owned};
use crate::python::signature::{Scratch, Signature};
use crate::python::slots::{Originals, Patched};
use crate::sync::Shared;

/// A function with a cache in front of it.
///
/// CachedFunction(fn, strategy, max_size, ttl=None, *, typed=False, single_flight=True, wait_timeout=10.0,
/// by_signature=True)
///
/// fn: the callable. strategy: a Strategy. max_size: entries at most, None for no bound, 0 to store nothing. ttl: seconds
/// that an entry lives, or None. typed: whether arguments of different types are different keys. single_flight: whether
/// concurrent callers of a missing key share one computation. wait_timeout: seconds that a caller waits for another's
/// computation before it takes over, or None for ever. by_signature: whether all spellings of a call are one key.
///
/// Raises TypeError or ValueError for a wrong argument. A call costs O(1) expected.
#[pyclass(frozen, dict, weakref, subclass, module = "warp_cache._warp_cache_rs")]
pub struct CachedFunction {
    /// Python calls this; see `python::slots`.
    vectorcall: Vectorcall,
    /// The number of positional arguments from which on a call is its own canonical form, and for how many more.
    direct: (usize, usize),
    typed: bool,
    single_flight: bool,
    /// Nanoseconds; 0 if entries live until they are evicted.
    ttl: u64,
    shared: Shared<Entries>,
    /// Never changes and is not cleared by the collector: a cycle through it has another, mutable, member, as this object
    /// was made after the function.
    function: Owned,
    /// `None`: a key is the pattern of the call.
    signature: Option<Signature>,
    max_size: Option<usize>,
    wait_timeout: Option<Duration>,
    flights: Option<Flights>,
}

/// A coroutine function with a cache in front of it: calling it gives a coroutine, which on a hit never suspends.
///
/// AsyncCachedFunction(fn, strategy, max_size, ttl=None, *, ...): as CachedFunction. Concurrent callers of one event loop
/// share one computation.
#[pyclass(frozen, extends = CachedFunction, subclass, module = "warp_cache._warp_cache_rs")]
pub struct AsyncCachedFunction;

/// A slot patch of its own for each of the two types.
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

/// Completes the two types; called once, while the module is being made.
pub fn install(py: Python<'_>) -> PyResult<()> {
    let probe = py.eval(c"len", None, None)?;
    let blank = Bound::new(py, CachedFunction::build(&probe, &Options::plain(), None)?)?;
    let field = std::ptr::from_ref(&blank.get().vectorcall) as isize;
    let offset = field - blank.as_ptr() as isize;
    drop(blank);
    // SAFETY: the offset was measured on an instance, and a derived class has its base's fields where the base has them.
    // The base is patched before the derived type is made.
    unsafe {
        crate::python::slots::patch::<CachedFunction>(&py.get_type::<CachedFunction>(), offset);
        crate::python::slots::patch::<AsyncCachedFunction>(&py.get_type::<AsyncCachedFunction>(), offset);
    }
    Ok(())
}

/// Under what condition a value is stored.
#[derive(Clone, Copy, Debug)]
enum Put {
    Always,
    /// If the key is absent and the cache was cleared this often.
    IfAbsentSince(u64),
}

impl CachedFunction {
    /// An instance, not yet visible to Python.
    fn build(function: &Bound<'_, PyAny>, options: &Options, flights: Option<Flights>) -> PyResult<Self> {
        let signature = if options.by_signature {
            Signature::read(function)?
        } else {
            None
        };
        let (from, to) = signature.as_ref().map_or((0, usize::MAX), Signature::direct);
        let stores = options.max_size != Some(0);
        let vectorcall: Vectorcall = match (&flights, stores) {
            (None, true) => call::call,
            (None, false) => call::call_uncached,
            (Some(_), true) => asynchronous::call,
            (Some(_), false) => asynchronous::call_uncached,
        };
        Ok(CachedFunction {
            vectorcall,
            // An empty range (`from > to`) must let no number through: no call has that many arguments.
            direct: if from <= to { (from, to - from) } else { (usize::MAX, 0) },
            typed: options.typed,
            single_flight: options.single_flight && stores,
            ttl: options.ttl,
            shared: Shared::new(Cache::new(options.strategy, options.max_size.map(|n| n.max(1)), options.ttl != 0)),
            function: function.clone().unbind().into(),
            signature,
            max_size: options.max_size,
            wait_timeout: options.wait_timeout,
            flights,
        })
    }

    /// Runs `f` with the key of a call that Python's calling convention for methods brought; `None` where the arguments do
    /// not fit the function.
    fn with_view<R>(
        &self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        f: impl FnOnce(&crate::key::View<'_>) -> R,
    ) -> PyResult<Option<R>> {
        let py = args.py();
        let mut values: Vec<Bound<'_, PyAny>> = args.iter().collect();
        let mut names = Vec::new();
        for (name, value) in kwargs.into_iter().flatten() {
            names.push(name);
            values.push(value);
        }
        let names = PyTuple::new(py, names)?;
        let pointers: Vec<_> = values.iter().map(Bound::as_ptr).collect();
        let arguments = Arguments {
            values: pointers.as_ptr(),
            nargsf: args.len(),
            names: names.as_ptr(),
        };
        let mut scratch = Scratch::new();
        // SAFETY: the values and names live until this function returns; the thread is attached and holds no lock.
        match unsafe { self.view(&arguments, &mut scratch) } {
            Keyed::View(view) => Ok(Some(f(&view))),
            Keyed::NotACall => Ok(None),
            Keyed::Failed => Err(PyErr::fetch(py)),
        }
    }

    /// Stores a value as if it had been computed now.
    fn put(&self, py: Python<'_>, view: &crate::key::View<'_>, value: &Bound<'_, PyAny>, mode: Put) -> PyResult<()> {
        if self.max_size == Some(0) {
            return Ok(());
        }
        // SAFETY: the view's objects are alive; the thread is attached and holds no lock.
        unsafe {
            let Some(key) = view.to_key() else {
                return Err(PyErr::fetch(py));
            };
            let (now, deadline) = (self.now(), self.deadline());
            let mut garbage = Garbage::default();
            let mut new = Some((key, Value::ready(Owned::borrow(value.as_ptr()))));
            let done = self.with_entry(view, |cache, at| {
                if matches!(mode, Put::IfAbsentSince(clears) if at.is_some() || cache.clears() != clears) {
                    return;
                }
                let Some((key, value)) = new.take() else {
                    return;
                };
                match at {
                    Some((token, true)) => {
                        new = cache.replace(token, value, deadline).map(|old| (key, old));
                    }
                    at => {
                        if let Some((token, _)) = at {
                            // A computation that began before goes on, and is not stored over this value.
                            if cache.detach(token) {
                                if let Some(record) = cache.value_mut(token) {
                                    record.set_detached();
                                }
                            }
                        }
                        cache.insert(view.hash, view.shape, key, value, deadline, now, &mut garbage);
                    }
                }
            });
            drop((garbage, new));
            done.ok_or_else(|| PyErr::fetch(py))
        }
    }
}

/// What `CachedFunction` and `AsyncCachedFunction` take: one place for names and defaults.
fn options(
    py: Python<'_>,
    strategy: &Bound<'_, PyAny>,
    max_size: &Bound<'_, PyAny>,
    ttl: Option<&Bound<'_, PyAny>>,
    keywords: [Option<&Bound<'_, PyAny>>; 4],
) -> PyResult<Options> {
    let none = py.None().into_bound(py);
    let yes = pyo3::types::PyBool::new(py, true).to_owned().into_any();
    let no = pyo3::types::PyBool::new(py, false).to_owned().into_any();
    let ten = pyo3::types::PyFloat::new(py, 10.0).into_any();
    let [typed, single_flight, wait_timeout, by_signature] = keywords;
    Options::new(
        strategy,
        max_size,
        ttl.unwrap_or(&none),
        typed.unwrap_or(&no),
        single_flight.unwrap_or(&yes),
        wait_timeout.unwrap_or(&ten),
        by_signature.unwrap_or(&yes),
    )
}

/// `fn` must be callable.
pub fn check_callable(function: &Bound<'_, PyAny>) -> PyResult<()> {
    if function.is_callable() {
        return Ok(());
    }
    let name = function.get_type().name()?;
    let shown = function.repr().map_or_else(|_| name.to_string(), |r| r.to_string());
    let hint = match name.to_str()? {
        "classmethod" | "staticmethod" => format!("; put the cache decorator below @{name}"),
        _ => String::new(),
    };
    Err(PyTypeError::new_err(format!("fn must be callable, got {shown}{hint}")))
}

#[pymethods]
impl CachedFunction {
    #[new]
    #[pyo3(signature = (r#fn, strategy, max_size, ttl=None, *, typed=None, single_flight=None, wait_timeout=None, by_signature=None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        r#fn: &Bound<'_, PyAny>,
        strategy: &Bound<'_, PyAny>,
        max_size: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
        typed: Option<&Bound<'_, PyAny>>,
        single_flight: Option<&Bound<'_, PyAny>>,
        wait_timeout: Option<&Bound<'_, PyAny>>,
        by_signature: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        check_callable(r#fn)?;
        let keywords = [typed, single_flight, wait_timeout, by_signature];
        Self::build(r#fn, &options(py, strategy, max_size, ttl, keywords)?, None)
    }

    /// A cached function made from checked options.
    #[staticmethod]
    fn of<'py>(function: &Bound<'py, PyAny>, options: &Bound<'py, Options>) -> PyResult<Bound<'py, PyAny>> {
        check_callable(function)?;
        let made = Bound::new(function.py(), Self::build(function, options.get(), None)?)?.into_any();
        crate::python::immortal::spare_counts(&made, function);
        Ok(made)
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
        extern "C" {
            fn PyMethod_New(function: *mut ffi::PyObject, instance: *mut ffi::PyObject) -> *mut ffi::PyObject;
        }
        match instance {
            None => Ok(slf.clone().into_any()),
            // SAFETY: both are live objects.
            Some(instance) => unsafe {
                Bound::from_owned_ptr_or_err(slf.py(), PyMethod_New(slf.as_ptr(), instance.as_ptr()))
            },
        }
    }

    /// The cached value for these arguments, or None. Computes nothing, is not counted, and is a use for the strategy. O(1).
    #[pyo3(signature = (*args, **kwargs))]
    fn get(slf: &Bound<'_, Self>, args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Py<PyAny>> {
        let (this, py) = (slf.get(), slf.py());
        // SAFETY: the view lasts within the closure; the thread is attached and holds no lock.
        let found = this.with_view(args, kwargs, |view| unsafe { this.find(view, Count::Use) })?;
        match found {
            // SAFETY: a new strong reference.
            Some(Found::Value(object)) => Ok(unsafe { Bound::from_owned_ptr(py, object) }.unbind()),
            Some(Found::Failed) => Err(PyErr::fetch(py)),
            Some(Found::Pending(..) | Found::Absent) | None => Ok(py.None()),
        }
    }

    /// Stores value for these arguments as if it had been computed now. TypeError if they do not fit the function. O(1).
    #[pyo3(signature = (value, /, *args, **kwargs))]
    fn set(
        slf: &Bound<'_, Self>,
        value: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let this = slf.get();
        this.with_view(args, kwargs, |view| this.put(slf.py(), view, value, Put::Always))?
            .unwrap_or_else(|| Err(PyTypeError::new_err("set(): the arguments after value do not fit the cached function")))
    }

    /// Hits, misses, the maximum and the present number of entries: a CacheInfo. O(1) (free-threaded: O(threads)).
    fn cache_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let now = self.now();
        let mut garbage = Garbage::default();
        let (hits, misses, size) = self.shared.write(|writer| {
            let (hits, misses) = writer.counters();
            writer.value.expire(now, &mut garbage);
            (hits, misses, writer.value.len())
        });
        drop(garbage);
        cache_info_type(py)?.call1((hits, misses, self.max_size, size))
    }

    /// Drops all entries and zeroes the counters. O(n).
    fn cache_clear(&self, py: Python<'_>) {
        let mut garbage = Garbage::default();
        self.shared.write(|writer| {
            writer.value.clear(&mut garbage);
            writer.reset_counters();
        });
        if let Some(flights) = &self.flights {
            flights.forget(py);
        }
        drop(garbage);
    }

    /// The dict {"maxsize": …, "typed": …}, a new one each time.
    fn cache_parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let parameters = PyDict::new(py);
        parameters.set_item("maxsize", self.max_size)?;
        parameters.set_item("typed", self.typed)?;
        Ok(parameters)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.getattr("__qualname__")
    }

    fn __copy__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __deepcopy__<'py>(slf: &Bound<'py, Self>, _memo: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let function = slf.get().function.as_py().bind(slf.py());
        let name = match function.getattr("__qualname__") {
            Ok(name) => name.str()?.to_string(),
            Err(_) => function.repr()?.to_string(),
        };
        let kind = slf.get_type().name()?.to_string();
        Ok(format!("<warp_cache.{kind} {name} at {:p}>", slf.as_ptr()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.function.as_py())?;
        if let Some(flights) = &self.flights {
            flights.traverse(&visit)?;
        }
        for default in self.signature.iter().flat_map(Signature::references) {
            visit.call(default.as_py())?;
        }
        // Where the lock is not free the entries are not shown, and so taken for reachable: nothing is freed too early.
        self.shared
            .try_read(|cache| {
                for entry in cache.entries() {
                    visit.call(entry.key.as_py())?;
                    if let Some(value) = entry.value.as_owned() {
                        visit.call(value.as_py())?;
                    }
                }
                Ok(())
            })
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self) {
        let mut garbage = Garbage::default();
        self.shared.write(|writer| writer.value.clear(&mut garbage));
        // SAFETY: the collector runs attached.
        let py = unsafe { Python::assume_attached() };
        if let Some(flights) = &self.flights {
            flights.forget(py);
        }
        drop(garbage);
    }
}

/// `warp_cache._info.CacheInfo`.
fn cache_info_type(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    Ok(TYPE.import(py, "warp_cache._info", "CacheInfo")?.as_any())
}
