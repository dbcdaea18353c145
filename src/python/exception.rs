//! Exceptions that one thread raised and others are to raise as their own.
//!
//! Ring 3. An exception object carries its traceback, which grows as it propagates; were it shared, threads would write
//! into each other's. So each waiter raises a copy.
//!
//! What is called from the vectorcall path works on plain references: PyO3 does not know that the thread is attached
//! there, and would put off releasing its own until it does. [`raise_copy`] and [`copy_or_same`] tell it.

use pyo3::exceptions::PyBaseException;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::object::Owned;

/// Takes the exception that is set in this thread, normalized; `None` if none is set.
///
/// # Safety
/// The thread is attached.
pub unsafe fn take() -> Option<Owned> {
    // SAFETY: the caller's promise; what is fetched are strong references or null, which are all accounted for.
    unsafe {
        #[cfg(Py_3_12)]
        let exception = ffi::PyErr_GetRaisedException();
        #[cfg(not(Py_3_12))]
        let exception = {
            let (mut kind, mut value, mut traceback) = Default::default();
            ffi::PyErr_Fetch(&mut kind, &mut value, &mut traceback);
            if kind.is_null() {
                return None;
            }
            ffi::PyErr_NormalizeException(&mut kind, &mut value, &mut traceback);
            if !traceback.is_null() {
                ffi::PyException_SetTraceback(value, traceback);
            }
            ffi::Py_XDECREF(kind);
            ffi::Py_XDECREF(traceback);
            value
        };
        (!exception.is_null()).then(|| Owned::steal(exception))
    }
}

/// Sets an exception in this thread, as `take` found it.
///
/// # Safety
/// The thread is attached; `exception` is one.
pub unsafe fn set(exception: Owned) {
    // SAFETY: the caller's promise; each function called takes over the references it is given.
    unsafe {
        #[cfg(Py_3_12)]
        ffi::PyErr_SetRaisedException(exception.into_ptr());
        #[cfg(not(Py_3_12))]
        {
            let value = exception.into_ptr();
            let kind = ffi::Py_TYPE(value).cast::<ffi::PyObject>();
            ffi::Py_INCREF(kind);
            ffi::PyErr_Restore(kind, value, ffi::PyException_GetTraceback(value));
        }
    }
}

/// Whether others may have it too: what derives from `BaseException` only (KeyboardInterrupt, SystemExit, CancelledError)
/// is meant for the one who got it.
///
/// # Safety
/// The thread is attached.
pub unsafe fn is_shareable(exception: &Owned) -> bool {
    // SAFETY: the type objects of built-in exceptions live for ever; a check of the type itself runs no code.
    unsafe {
        let kind = ffi::PyExc_Exception.cast::<ffi::PyTypeObject>();
        ffi::PyObject_TypeCheck(exception.as_ptr(), kind) != 0
    }
}

/// Raises a copy of `exception` in this thread, which is attached.
pub fn raise_copy(exception: &Owned) {
    let copy = copy_or_same(exception);
    // SAFETY: attached (the caller's promise), and it is an exception.
    unsafe { set(copy) }
}

/// A copy of `exception`, or itself where it can't be copied. The thread is attached.
pub fn copy_or_same(exception: &Owned) -> Owned {
    Python::attach(|py| {
        let original = exception.as_py().bind(py);
        let copy = copy(original).unwrap_or_else(|_| original.clone());
        copy.unbind().into()
    })
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
    // Copied attributes are shared; `add_note` would write into the others' list.
    if let Ok(notes) = original.getattr(intern!(py, "__notes__")) {
        if let Ok(notes) = notes.cast_into::<PyList>() {
            copy.setattr(intern!(py, "__notes__"), PyList::new(py, notes.iter())?)?;
        }
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
