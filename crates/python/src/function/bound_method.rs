//! Bound methods: what a decorated function in a class becomes when it is looked up on an instance.
//!
//! Ring 3. The usual call `instance.method()` makes none: the type's flag `METHOD_DESCRIPTOR` (`capi/type_slots.rs`) lets the
//! interpreter pass the instance as the first argument.

use pyo3::ffi;
use pyo3::prelude::*;

use super::CachedFunction;

extern "C" {
    fn PyMethod_New(function: *mut ffi::PyObject, instance: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// The function itself when it is looked up on the class, else a method bound to the instance.
pub(super) fn bind<'py>(
    function: &Bound<'py, CachedFunction>,
    instance: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match instance {
        None => Ok(function.clone().into_any()),
        // SAFETY: both are live objects, and the thread is attached, as it holds them.
        Some(instance) => unsafe {
            Bound::from_owned_ptr_or_err(function.py(), PyMethod_New(function.as_ptr(), instance.as_ptr()))
        },
    }
}
