//! Exceptions that one thread raised and others are to raise as their own.
//!
//! Ring 3. Each waiter raises a copy: see `warp_cache/_exceptions.py`, which makes it. What is here works on plain
//! references: PyO3 does not know, in a call that came through vectorcall, that the thread is attached.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::object::{unwinding, Owned};

/// `warp_cache._exceptions.copy_exception`.
static COPY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Finds what copies exceptions; called once, while the module is being made.
pub fn install(py: Python<'_>) -> PyResult<()> {
    COPY.get_or_try_init(py, || -> PyResult<_> {
        Ok(py.import("warp_cache._exceptions")?.getattr("copy_exception")?.unbind())
    })?;
    Ok(())
}

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

/// Raises a copy of `exception` in this thread.
///
/// # Safety
/// The thread is attached and holds no lock.
pub unsafe fn raise_copy(exception: &Owned) {
    // SAFETY: the caller's promise.
    unsafe { set(copy_or_same(exception)) }
}

/// A copy of `exception`, or itself where it can't be copied.
///
/// # Safety
/// The thread is attached and holds no lock; no exception is set.
pub unsafe fn copy_or_same(exception: &Owned) -> Owned {
    // SAFETY: the caller's promise; the call gives a new reference, or null with an exception set.
    unsafe {
        let Some(function) = COPY.get(Python::assume_attached()) else {
            return exception.another();
        };
        let arguments = [exception.as_ptr()];
        let copy = unwinding::PyObject_Vectorcall(function.as_ptr(), arguments.as_ptr(), 1, std::ptr::null_mut());
        if copy.is_null() {
            ffi::PyErr_Clear();
            return exception.another();
        }
        Owned::steal(copy)
    }
}
