//! Bound methods: what a decorated function in a class becomes when it is looked up on an instance.
//!
//! Ring 3. The usual call `instance.method()` makes none: the type's flag `METHOD_DESCRIPTOR` (`capi/type_slots.rs`) lets the
//! interpreter pass the instance as the first argument. A bound method is what Python's own would be to all who look at it, and
//! binds beside the call what else takes the call's arguments: [`Place`] is the table of these methods.

use std::ffi::c_void;
use std::sync::atomic::Ordering;

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::types::{PyDict, PySet, PyString, PyTuple, PyType};

use super::call::Vectorcall;
use super::instance::instance;
use super::per_instance::PerInstanceFunction;
use super::CachedFunction;
use crate::capi::guarded::GuardedCalls;
use crate::capi::imported::Imported;
use crate::capi::kept::Kept;
use crate::capi::panics::caught;
use crate::capi::reference::{calls, import};
use crate::capi::type_slots::{self, call_by_vectorcall};

extern "C" {
    fn PyMethod_New(function: *mut ffi::PyObject, instance: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// Where a method of decorated functions takes the arguments of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// From the first on: `get(*args, **kwargs)`.
    First,
    /// After a value: `set(value, /, *args, **kwargs)`.
    AfterValue,
    /// In a tuple and a dict: `cache_put(value, args, kwargs)`.
    Packed,
    /// Nowhere: it is about the whole cache.
    Nowhere,
}

impl Place {
    /// Of the method of this name; `None` for any other attribute.
    pub(super) fn of(name: &str) -> Option<Place> {
        let of_cache = name.strip_prefix('a').filter(|rest| rest.starts_with("cache_")).unwrap_or(name);
        match of_cache {
            "get" | "aget" | "cache_contains" | "cache_invalidate" | "cache_refresh" | "cache_ttl" => {
                Some(Place::First)
            }
            "set" | "aset" => Some(Place::AfterValue),
            "cache_put" => Some(Place::Packed),
            "cache_info" | "cache_clear" | "cache_invalidate_tags" => Some(Place::Nowhere),
            _ => None,
        }
    }
}

/// A decorated function bound to an instance: its first argument.
#[pyclass(frozen, weakref, module = "warp_cache._warp_cache_rs")]
pub struct BoundMethod {
    /// Python calls this.
    vectorcall: Vectorcall,
    function: Py<PyAny>,
    instance: Py<PyAny>,
}

/// Completes the type while the module is being made: see [`super::install`].
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    let probe = py.eval(c"len", None, None)?;
    let blank =
        Bound::new(py, BoundMethod { vectorcall: call, function: probe.clone().unbind(), instance: probe.unbind() })?;
    let offset = std::ptr::from_ref(&blank.get().vectorcall) as isize - blank.as_ptr() as isize;
    // SAFETY: the offset was measured on an instance; nobody knows the type yet.
    unsafe { type_slots::make_callable(&py.get_type::<BoundMethod>(), offset) };
    Ok(())
}

/// The function itself when it is looked up on the class, else a method bound to the instance.
pub(super) fn bind<'py>(
    function: &Bound<'py, CachedFunction>,
    instance: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match instance {
        None => Ok(function.clone().into_any()),
        Some(instance) => Ok(Bound::new(function.py(), BoundMethod::new(function, instance))?.into_any()),
    }
}

/// `function(instance, *args)`, as PEP 590 has it.
///
/// # Safety
/// To be called as PEP 590 says, with a `BoundMethod`.
unsafe extern "C-unwind" fn call(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this for an instance, which the caller keeps, and with it what that refers to. The place before the
    // first argument is ours to change until this returns, where the flag says so.
    unsafe {
        let this = method(object);
        let (function, bound) = (this.function.as_ptr(), this.instance.as_ptr());
        if nargsf & ffi::PY_VECTORCALL_ARGUMENTS_OFFSET == 0 {
            return call_in_row(function, bound, values, nargsf, names);
        }
        let place = values.cast_mut().sub(1);
        let kept = std::ptr::replace(place, bound);
        let given = (nargsf & !ffi::PY_VECTORCALL_ARGUMENTS_OFFSET) + 1;
        let result = enter(function)(function, place, given, names);
        *place = kept;
        result
    }
}

/// The same with a row of arguments of our own.
///
/// # Safety
/// As for `call`.
#[inline(never)]
unsafe extern "C-unwind" fn call_in_row(
    function: *mut ffi::PyObject,
    bound: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    given: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: vectorcall passes so many values; the row borrows them for the call.
    unsafe {
        caught(|| {
            let named = if names.is_null() { 0 } else { ffi::PyTuple_GET_SIZE(names) as usize };
            let mut row = Vec::with_capacity(given + named + 1);
            row.push(bound);
            if given + named > 0 {
                row.extend_from_slice(std::slice::from_raw_parts(values, given + named));
            }
            enter(function)(function, row.as_ptr(), given + 1, names)
        })
    }
}

/// What is entered to call the function: its own entry, unless a derived class is called in another way.
///
/// # Safety
/// An instance of `CachedFunction`; the thread is attached.
#[inline(always)]
unsafe fn enter(function: *mut ffi::PyObject) -> Vectorcall {
    unsafe extern "C-unwind" fn otherwise(
        function: *mut ffi::PyObject,
        values: *const *mut ffi::PyObject,
        nargsf: usize,
        names: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject {
        // SAFETY: the call's own arguments.
        unsafe { calls::PyObject_Vectorcall(function, values, nargsf, names) }
    }

    // SAFETY: the field has a `Vectorcall` from the beginning on.
    unsafe {
        if ffi::PyType_HasFeature(ffi::Py_TYPE(function), ffi::Py_TPFLAGS_HAVE_VECTORCALL) == 0 {
            return otherwise;
        }
        // Acquire: pairs with the release store of a recording's beginning and end.
        std::mem::transmute::<*mut c_void, Vectorcall>(instance(function).vectorcall.load(Ordering::Acquire))
    }
}

/// The method behind an object.
///
/// # Safety
/// A `BoundMethod`, which outlives the result; the thread is attached.
#[inline(always)]
unsafe fn method<'a>(object: *mut ffi::PyObject) -> &'a BoundMethod {
    // SAFETY: the caller's promise; the class is frozen, so `get` is a cast.
    unsafe {
        std::hint::assert_unchecked(!object.is_null());
        let bound: Borrowed<'a, '_, BoundMethod> =
            Borrowed::from_ptr(Python::assume_attached(), object).cast_unchecked();
        &*std::ptr::from_ref::<BoundMethod>(bound.get())
    }
}

/// A callable that has the instance bound into the place of an operation's arguments.
pub(super) fn bind_operation<'py>(
    operation: &Bound<'py, PyAny>,
    place: Place,
    instance: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    static AFTER_VALUE: Imported = Imported::new("warp_cache._bound", "after_value");
    static PACKED: Imported = Imported::new("warp_cache._bound", "packed");
    static PARTIAL: Imported = Imported::new("functools", "partial");
    let py = operation.py();
    let helper = match place {
        Place::Nowhere => return Ok(operation.clone()),
        // SAFETY: live objects; a new reference or null with an exception set.
        Place::First => unsafe {
            return Bound::from_owned_ptr_or_err(py, PyMethod_New(operation.as_ptr(), instance.as_ptr()));
        },
        Place::AfterValue => &AFTER_VALUE,
        Place::Packed => &PACKED,
    };
    PARTIAL.get(py)?.guarded_call((helper.get(py)?, operation, instance))
}

/// `types.MethodType`.
fn method_type(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static METHOD_TYPE: Kept<Py<PyAny>> = Kept::new();
    let kind = METHOD_TYPE.get_or_make(py, || -> PyResult<_> {
        Ok(py.eval(c"type((lambda self: self).__get__(0))", None, None)?.unbind())
    })?;
    Ok(kind.bind(py))
}

impl BoundMethod {
    fn new(function: &Bound<'_, CachedFunction>, instance: &Bound<'_, PyAny>) -> Self {
        BoundMethod {
            vectorcall: call,
            function: function.clone().into_any().unbind(),
            instance: instance.clone().unbind(),
        }
    }
}

#[pymethods]
impl BoundMethod {
    /// A method made anew, as `weakref.WeakMethod` does.
    #[new]
    #[pyo3(signature = (function, instance, /), text_signature = None)]
    fn make(function: &Bound<'_, PyAny>, instance: &Bound<'_, PyAny>) -> PyResult<Self> {
        match function.cast::<CachedFunction>() {
            Ok(function) => Ok(Self::new(function, instance)),
            Err(_) => {
                let shown = super::option_checks::shown(function);
                Err(PyTypeError::new_err(format!("function must be a decorated function, got {shown}")))
            }
        }
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

    /// What is bound is not bound again.
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        _instance: Option<&Bound<'py, PyAny>>,
        _owner: Option<&Bound<'py, PyAny>>,
    ) -> Bound<'py, Self> {
        slf.clone()
    }

    /// Python's own, though not by type: by it `inspect` and others know a method.
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Ok(method_type(slf.py())?.clone())
    }

    #[getter]
    fn __self__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyAny> {
        slf.get().instance.bind(slf.py()).clone()
    }

    #[getter]
    fn __func__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyAny> {
        slf.get().function.bind(slf.py()).clone()
    }

    /// A method's own attributes, then the operations bound as the call is, then the function's.
    fn __getattribute__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        let (this, py) = (slf.get(), slf.py());
        let (function, instance) = (this.function.bind(py), this.instance.bind(py));
        // A name with lone surrogates is nobody's here.
        let text = name.to_cow().unwrap_or_default();
        if let Some(place) = Place::of(&text) {
            if let Ok(of_instances) = function.cast::<PerInstanceFunction>() {
                let own = PerInstanceFunction::find(of_instances, instance)?;
                return bind_operation(&own.as_py().bind(py).getattr(name)?, place, instance);
            }
            return bind_operation(&function.getattr(name)?, place, instance);
        }
        if !text.starts_with("__") || matches!(&*text, "__doc__" | "__module__") {
            return function.getattr(name);
        }
        // SAFETY: live objects; a new reference or null with an exception set.
        let own =
            unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyObject_GenericGetAttr(slf.as_ptr(), name.as_ptr())) };
        match own {
            Err(error) if error.is_instance_of::<PyAttributeError>(py) => function.getattr(name),
            own => own,
        }
    }

    fn __richcmp__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
        op: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let not_implemented = || Ok(py.NotImplemented().into_bound(py));
        let (this, wanted) = (
            slf.get(),
            match op {
                CompareOp::Eq => true,
                CompareOp::Ne => false,
                _ => return not_implemented(),
            },
        );
        let (function, instance) = match other.cast::<BoundMethod>() {
            Ok(other) => (other.get().function.bind(py).clone(), other.get().instance.bind(py).clone()),
            // One of Python's own of the same function.
            Err(_) if other.get_type().is(method_type(py)?) => (other.getattr("__func__")?, other.getattr("__self__")?),
            Err(_) => return not_implemented(),
        };
        let equal = this.instance.bind(py).is(&instance) && this.function.bind(py).eq(function)?;
        Ok((equal == wanted).into_pyobject(py)?.to_owned().into_any())
    }

    /// That of Python's own of the same function and instance, with which it is equal.
    fn __hash__(slf: &Bound<'_, Self>) -> PyResult<isize> {
        let (this, py) = (slf.get(), slf.py());
        // SAFETY: live objects; a new reference or null with an exception set.
        unsafe {
            let twin = PyMethod_New(this.function.as_ptr(), this.instance.as_ptr());
            Bound::from_owned_ptr_or_err(py, twin)?.hash()
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let (this, py) = (slf.get(), slf.py());
        let function = this.function.bind(py);
        let name = function.getattr("__qualname__").or_else(|_| function.getattr("__name__"));
        let name = name.map_or_else(|_| "?".into(), |name| name.to_string());
        Ok(format!("<bound method {name} of {}>", this.instance.bind(py).repr()?))
    }

    /// A method's own attributes, and the function's: by `__class__` it has fewer.
    fn __dir__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let shown = PySet::new(py, slf.get_type().dir()?)?;
        shown.guarded_method("update", (slf.get().function.bind(py).dir()?,))?;
        Ok(shown.into_any())
    }

    /// By name, as Python's own.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let (this, py) = (slf.get(), slf.py());
        let name = this.function.bind(py).getattr("__name__")?;
        let of = (this.instance.bind(py), name).into_pyobject(py)?;
        (import(py, "builtins")?.getattr("getattr")?, of).into_pyobject(py)
    }

    /// Of a copy of the instance.
    fn __deepcopy__<'py>(slf: &Bound<'py, Self>, memo: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (this, py) = (slf.get(), slf.py());
        let copied = import(py, "copy")?.guarded_method("deepcopy", (this.instance.bind(py), memo))?;
        let kind: Bound<'py, PyType> = py.get_type::<BoundMethod>();
        kind.guarded_call((this.function.bind(py), copied))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.instance)
    }
}
