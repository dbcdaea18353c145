//! The methods that may run user code: `get`, `set`, `cache_info`, `cache_clear`.
//!
//! Ring 3. They take their arguments as vectorcall brings them, so that a lookup needs no tuple, and report a lack of memory
//! where PyO3's conversions would panic.

use std::ffi::CStr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::call::new_reference;
use super::inside::{self, Invalidated};
use super::instance::instance;
use super::keyed::Keyed;
use super::lookup::{Accounting, Found};
use super::{disabled, CachedFunction};
use crate::backend::{Counters, FileCounters};
use crate::capi::borrowed::{Arguments, Ref};
use crate::capi::exceptions::{ErrSet, Raise};
use crate::capi::kept::Kept;
use crate::capi::panics::{caught, point};
use crate::capi::reference::{calls, new_tuple, PyRef};
use crate::capi::type_slots::{add_methods, Method};
use crate::key::signature::ArgBuffer;
use shared::Skip;

static CACHE_INFO: InfoClass = InfoClass::new(c"CacheInfo");
static SHARED_CACHE_INFO: InfoClass = InfoClass::new(c"SharedCacheInfo");
static SKIPS: InfoClass = InfoClass::new(c"Skips");

/// A class of `warp_cache._info`. Importing the package does without that module: it is there once a function is decorated.
struct InfoClass {
    name: &'static CStr,
    class: Kept<Py<PyType>>,
}

impl InfoClass {
    const fn new(name: &'static CStr) -> Self {
        InfoClass { name, class: Kept::new() }
    }

    /// The class; `None` with an exception set.
    fn get<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyType>> {
        let class = self.class.get_or_make(py, || self.find(py));
        class.map(|class| class.bind(py)).ok()
    }

    /// PyO3's way there panics where a `str` cannot be made.
    fn find(&self, py: Python<'_>) -> Result<Py<PyType>, ErrSet> {
        // SAFETY: attached; each call gives a new reference, or null with an exception set.
        let class = unsafe {
            let found = |object| PyRef::steal_or_none(object).ok_or(ErrSet);
            let module = found(calls::PyImport_ImportModule(c"warp_cache._info".as_ptr()))?;
            let name = found(ffi::PyUnicode_InternFromString(self.name.as_ptr()))?;
            found(calls::PyObject_GetAttr(module.as_ptr(), name.as_ptr()))?.into_bound(py)
        };
        class.cast_into::<PyType>().map(Bound::unbind).map_err(|error| {
            PyErr::from(error).raise(py);
            ErrSet
        })
    }
}

/// `__getattr__` of the extension module: classes that were once made with it.
#[pyfunction(name = "__getattr__")]
pub fn late_attribute<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    match [&CACHE_INFO, &SHARED_CACHE_INFO].into_iter().find(|class| class.name.to_bytes() == name.as_bytes()) {
        Some(class) => class.get(py).map(|class| class.clone().into_any()).ok_or_else(|| PyErr::fetch(py)),
        None => {
            let message = format!("module 'warp_cache._warp_cache_rs' has no attribute '{name}'");
            Err(pyo3::exceptions::PyAttributeError::new_err(message))
        }
    }
}

/// Gives the methods to the type; called once, before it is visible.
pub fn install(kind: &Bound<'_, PyType>) -> PyResult<()> {
    // SAFETY: each function checks its arguments' number and takes instances of the type only.
    unsafe {
        add_methods(
            kind,
            &[
                Method::new(
                    c"get",
                    get,
                    c"get($self, /, *args, **kwargs)\n--\n\nThe cached value for these arguments, or None.\n\nComputes nothing, is not counted as a hit or a miss, and is a use for the strategy. O(1) expected.",
                ),
                Method::new(
                    c"set",
                    set,
                    c"set($self, value, /, *args, **kwargs)\n--\n\nStore value for these arguments as if it had been computed now.\n\nAn entry that is replaced keeps its place in FIFO and is used in the other strategies. A computation under way\nreaches its waiters and is not stored over it. TypeError if the arguments do not fit the function. O(1) expected.",
                ),
                Method::nullary(
                    c"cache_info",
                    cache_info,
                    c"cache_info($self, /)\n--\n\nHits, misses, the maximum and the present number of entries, as a CacheInfo.\n\nExpired entries are dropped first and not counted. O(1), free-threaded O(threads).",
                ),
                Method::nullary(
                    c"cache_parameters",
                    cache_parameters,
                    c"cache_parameters($self, /)\n--\n\nThe dict {\"maxsize\": ..., \"typed\": ...}, a new one each time.",
                ),
                Method::nullary(
                    c"cache_clear",
                    cache_clear,
                    c"cache_clear($self, /)\n--\n\nDrop all entries and zero the counters. O(n).",
                ),
            ],
        )
    }
}

pub(super) type Objects = *const *mut ffi::PyObject;

/// Sets an exception and gives the null that reports it.
pub(super) fn fail(message: &'static CStr) -> *mut ffi::PyObject {
    // SAFETY: attached, as every caller here is.
    unsafe { ffi::PyErr_SetString(ffi::PyExc_TypeError, message.as_ptr()) };
    std::ptr::null_mut()
}

pub(crate) fn none() -> *mut ffi::PyObject {
    // SAFETY: attached; a new reference to an object that lives for ever.
    unsafe {
        ffi::Py_INCREF(ffi::Py_None());
        ffi::Py_None()
    }
}

unsafe extern "C-unwind" fn get(
    object: *mut ffi::PyObject,
    values: Objects,
    nargs: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this for an instance, with arguments that last until it returns.
    unsafe {
        caught(|| {
            point("get");
            let this = instance(object);
            let arguments = Arguments::new(values, nargs as usize, names);
            let mut scratch = ArgBuffer::new();
            if this.state.max_size == Some(0) || disabled::is_on() {
                return none();
            }
            match this.view(&arguments, &mut scratch) {
                Keyed::Failed => std::ptr::null_mut(),
                Keyed::NotACall => none(),
                Keyed::View(view) => {
                    let found = if this.state.backend.asks_to_compare(&view) {
                        this.state.find(&view, Accounting::AccessOnly)
                    } else {
                        Found::Absent
                    };
                    match found {
                        Found::Value(value) => value.into_ptr(),
                        Found::Failed => std::ptr::null_mut(),
                        found => {
                            drop(found);
                            match this.state.backend.load(&this.state, &view, None) {
                                Ok(value) => value.map_or_else(none, PyRef::into_ptr),
                                Err(ErrSet) => std::ptr::null_mut(),
                            }
                        }
                    }
                }
            }
        })
    }
}

unsafe extern "C-unwind" fn set(
    object: *mut ffi::PyObject,
    values: Objects,
    nargs: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `get`; the first argument is the value, those of the function follow.
    unsafe {
        caught(|| {
            point("set");
            if nargs == 0 {
                return fail(c"set() needs the value as its first argument: set(value, /, *args, **kwargs)");
            }
            let this = instance(object);
            let arguments = Arguments::new(values.add(1), nargs as usize - 1, names);
            if this.state.max_size == Some(0) || disabled::is_on() {
                return none();
            }
            let mut scratch = ArgBuffer::new();
            match this.view(&arguments, &mut scratch) {
                Keyed::Failed => std::ptr::null_mut(),
                Keyed::NotACall => fail(c"set(): the arguments after value do not fit the cached function"),
                Keyed::View(view) => {
                    if this.set(&arguments, &view, Ref::new(*values)) && this.forget_flights(&view).is_ok() {
                        none()
                    } else {
                        std::ptr::null_mut()
                    }
                }
            }
        })
    }
}

unsafe extern "C-unwind" fn cache_info(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as in `get`.
    unsafe {
        caught(|| {
            point("cache_info");
            let this = instance(object);
            let py = this.object().py();
            let counters = this.state.backend.counters(py, &this.state);
            let info = match &counters.of_file {
                Some(of_file) => shared_info(py, &counters, of_file, this.state.max_size),
                None => info(py, &CACHE_INFO, &counters, this.state.max_size),
            };
            let info = info.filter(|info| tell_totals(py, &this, info, &counters));
            new_reference(info)
        })
    }
}

/// Sets the attributes that are not 0; false with an exception set.
fn tell_totals(py: Python<'_>, this: &CachedFunction, info: &PyRef, counters: &Counters) -> bool {
    // SAFETY: attached; the instance has a `__dict__`.
    unsafe {
        let totals = &counters.totals;
        let numbers = [
            (c"evictions", counters.evictions),
            (c"expirations", counters.expirations),
            (c"loads", totals.loads),
            (c"load_failures", totals.load_failures),
            (c"stale_hits", totals.stale_hits),
            (c"refreshes", totals.refreshes),
            (c"weight", counters.weight),
            (c"remote_hits", counters.of_server.hits),
            (c"remote_misses", counters.of_server.misses),
            (c"remote_errors", counters.of_server.errors),
        ];
        let set = |name: &CStr, value: *mut ffi::PyObject| {
            if value.is_null() {
                return false;
            }
            let value = PyRef::steal(value);
            set_attribute(py, info, name, &value)
        };
        let told = |(name, n): (&CStr, u64)| n == 0 || set(name, ffi::PyLong_FromUnsignedLongLong(n));
        numbers.into_iter().all(told)
            && (totals.loads == 0
                || set(c"load_seconds", ffi::PyFloat_FromDouble(totals.load_nanoseconds as f64 / 1e9)))
            && (!this.has_functools_repr() || set(c"_of_functools", PyRef::borrow(ffi::Py_True()).into_ptr()))
    }
}

/// Sets an attribute of an object that refuses it to others; false with an exception set.
fn set_attribute(_: Python<'_>, object: &PyRef, name: &CStr, value: &PyRef) -> bool {
    // SAFETY: attached; live objects; a new string, or null with an exception set.
    unsafe {
        let name = ffi::PyUnicode_InternFromString(name.as_ptr());
        if name.is_null() {
            return false;
        }
        let name = PyRef::steal(name);
        ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value.as_ptr()) == 0
    }
}

/// A `SharedCacheInfo`.
fn shared_info(py: Python<'_>, counters: &Counters, of_file: &FileCounters, max_size: Option<usize>) -> Option<PyRef> {
    // SAFETY: as in `info`; the instance has a `__dict__`.
    unsafe {
        let made = info(py, &SHARED_CACHE_INFO, counters, max_size)?;
        let (mut oversize, mut skips) = (0, None);
        for (skip, count) in Skip::ALL.into_iter().zip(of_file.skips).filter(|(_, count)| *count != 0) {
            if skips.is_none() {
                skips = Some(empty_skips(py)?);
            }
            if skip.is_of_the_call() {
                // A damaged file may say anything.
                oversize = u64::wrapping_add(oversize, count);
            }
            let (skips, count) = (skips.as_ref()?, number(py, count)?);
            if ffi::PyDict_SetItemString(skips.as_ptr(), skip.name().as_ptr(), count.as_ptr()) != 0 {
                return None;
            }
        }
        // What is not set is as in the class: nothing.
        if let Some(skips) = skips {
            let oversize = number(py, oversize)?;
            for (name, value) in [(c"oversize_skips", oversize), (c"skips", skips)] {
                if !set_attribute(py, &made, name, &value) {
                    return None;
                }
            }
        }
        let repairs = number(py, of_file.repairs)?;
        set_attribute(py, &made, c"repairs", &repairs).then_some(made)
    }
}

/// An empty `Skips`: a dict of a class of its own, made without running code.
fn empty_skips(py: Python<'_>) -> Option<PyRef> {
    // SAFETY: attached; `dict.__new__` makes an instance of any type derived from it.
    unsafe {
        let none = new_tuple(py, [].into_iter())?;
        let made = (ffi::PyDict_Type.tp_new?)(SKIPS.get(py)?.as_ptr().cast(), none.as_ptr(), std::ptr::null_mut());
        (!made.is_null()).then(|| PyRef::steal(made))
    }
}

/// An int.
fn number(_: Python<'_>, n: u64) -> Option<PyRef> {
    // SAFETY: attached; a new reference, or null with an exception set.
    unsafe {
        let object = ffi::PyLong_FromUnsignedLongLong(n);
        (!object.is_null()).then(|| PyRef::steal(object))
    }
}

/// A `CacheInfo` or one of its kind, made without its `__new__`, which is Python code.
fn info(py: Python<'_>, kind: &InfoClass, counters: &Counters, max_size: Option<usize>) -> Option<PyRef> {
    // SAFETY: attached; each number is a new reference or null with an exception set; `tuple.__new__` makes an instance of
    // any type derived from it.
    unsafe {
        let Counters { hits, misses, size, .. } = *counters;
        let fields = [number(py, hits)?, number(py, misses)?, size_object(py, max_size)?, number(py, size as u64)?];
        let fields = new_tuple(py, fields.iter().map(|field| field.lend(py)))?;
        let arguments = new_tuple(py, [fields.lend(py)].into_iter())?;
        let kind = kind.get(py)?.as_ptr().cast::<ffi::PyTypeObject>();
        let new = ffi::PyTuple_Type.tp_new?;
        let made = new(kind, arguments.as_ptr(), std::ptr::null_mut());
        (!made.is_null()).then(|| PyRef::steal(made))
    }
}

/// An int, or None.
fn size_object(_: Python<'_>, size: Option<usize>) -> Option<PyRef> {
    // SAFETY: attached; a new reference, or null with an exception set.
    unsafe {
        match size {
            None => Some(PyRef::borrow(ffi::Py_None())),
            Some(size) => {
                let object = ffi::PyLong_FromSize_t(size);
                (!object.is_null()).then(|| PyRef::steal(object))
            }
        }
    }
}

unsafe extern "C-unwind" fn cache_parameters(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as in `get`; a dict keeps references of its own.
    unsafe {
        caught(|| {
            let this = instance(object);
            let parameters = ffi::PyDict_New();
            if parameters.is_null() {
                return parameters;
            }
            let parameters = PyRef::steal(parameters);
            let Some(size) = size_object(this.object().py(), this.state.max_size) else {
                return std::ptr::null_mut();
            };
            let typed = if this.typed { ffi::Py_True() } else { ffi::Py_False() };
            if ffi::PyDict_SetItemString(parameters.as_ptr(), c"maxsize".as_ptr(), size.as_ptr()) != 0
                || ffi::PyDict_SetItemString(parameters.as_ptr(), c"typed".as_ptr(), typed) != 0
            {
                return std::ptr::null_mut();
            }
            parameters.into_ptr()
        })
    }
}

unsafe extern "C-unwind" fn cache_clear(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as in `get`.
    unsafe {
        caught(|| {
            point("cache_clear");
            let this = instance(object);
            let py = this.object().py();
            inside::note(&this.state, || Invalidated::All);
            if this.state.backend.clear(py, &this.state).is_err() {
                return std::ptr::null_mut();
            }
            this.state.clear(py);
            none()
        })
    }
}
