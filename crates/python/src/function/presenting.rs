//! How a cached function presents itself: its class, its attributes, its text.
//!
//! Ring 3.

use pyo3::ffi;
use pyo3::prelude::*;

use super::per_instance::PerInstanceFunction;
use super::{AsyncCachedFunction, CachedFunction};
use crate::backend::SharedCachedFunction;
use crate::capi::guarded::GuardedCalls;
use crate::capi::kept::Kept;
use crate::capi::reference::import;

/// functools' class; see `CachedFunction.__class__`. A class derived in Python is itself.
pub(super) fn class_of<'py>(slf: &Bound<'py, CachedFunction>) -> PyResult<Bound<'py, PyAny>> {
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
    static OF_FUNCTOOLS: Kept<Py<PyAny>> = Kept::new();
    let class = OF_FUNCTOOLS.get_or_make(py, || -> PyResult<_> {
        let cached = import(py, "functools")?.guarded_method("lru_cache", (py.eval(c"len", None, None)?,))?;
        Ok(cached.get_type().into_any().unbind())
    })?;
    Ok(class.bind(py).clone())
}

/// The type's attributes and the function's, sorted, without the private ones.
pub(super) fn dir<'py>(slf: &Bound<'py, CachedFunction>) -> PyResult<Bound<'py, PyAny>> {
    let own = slf.getattr("__dict__")?.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    let mut names: Vec<_> = slf.get_type().dir()?.into_iter().chain(own).collect();
    if let Ok(of_instances) = slf.cast::<PerInstanceFunction>() {
        // Its methods are those of the instances' caches.
        names.extend(PerInstanceFunction::_kind(of_instances)?.dir()?);
    }
    let mut shown = Vec::new();
    for name in names {
        let text: String = name.extract()?;
        if !text.starts_with('_') || text.starts_with("__") {
            shown.push(text);
        }
    }
    shown.sort_unstable();
    shown.dedup();
    shown.into_pyobject(slf.py())
}

/// The class, the function's qualified name and the address.
pub(super) fn repr<'py>(slf: &Bound<'py, CachedFunction>) -> PyResult<Bound<'py, PyAny>> {
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
