//! Exceptions that one thread raised and others are to raise as their own.
//!
//! Ring 3. An exception object carries its traceback, which grows as it propagates; were it shared, threads would write
//! into each other's. So each waiter raises a copy.

use pyo3::exceptions::PyBaseException;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

use super::object::Owned;

/// Takes the exception that is set in this thread, normalized; `None` if none is set.
pub fn take(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    PyErr::take(py).map(|error| error.into_value(py).into_bound(py).into_any())
}

/// Sets the exception in this thread, as `take` found it.
pub fn set(exception: Bound<'_, PyAny>) {
    let py = exception.py();
    PyErr::from_value(exception).restore(py);
}

/// Whether others may have it too: what derives from `BaseException` only (KeyboardInterrupt, SystemExit, CancelledError)
/// is meant for the one who got it.
pub fn is_shareable(exception: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the type objects of built-in exceptions live for ever.
    unsafe { ffi::PyObject_IsInstance(exception.as_ptr(), ffi::PyExc_Exception) == 1 }
}

/// Raises a copy of `exception` in this thread.
pub fn raise_copy(py: Python<'_>, exception: &Owned) {
    let original = exception.as_py().bind(py);
    let copy = copy(original).unwrap_or_else(|_| original.clone());
    set(copy);
}

/// A copy of the same type with the same arguments, attributes, cause, context and traceback; the original itself where it
/// can't be copied to something of the same type and arguments (its constructor may want others).
pub fn copy<'py>(original: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = original.py();
    let copy = match py.import(intern!(py, "copy"))?.call_method1(intern!(py, "copy"), (original,)) {
        Ok(copy) => copy,
        Err(_) => return Ok(original.clone()),
    };
    let args = intern!(py, "args");
    let faithful = copy.get_type().is(original.get_type())
        && copy.is_instance_of::<PyBaseException>()
        && match (copy.getattr(args), original.getattr(args)) {
            (Ok(a), Ok(b)) => a.eq(b).unwrap_or(false),
            _ => false,
        };
    if !faithful {
        return Ok(original.clone());
    }
    for name in [
        intern!(py, "__traceback__"),
        intern!(py, "__cause__"),
        intern!(py, "__context__"),
        // Last: setting the cause sets it too.
        intern!(py, "__suppress_context__"),
    ] {
        copy.setattr(name, original.getattr(name)?)?;
    }
    Ok(copy)
}
