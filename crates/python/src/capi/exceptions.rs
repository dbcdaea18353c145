//! Exceptions: that one is set ([`ErrSet`]), and those that one thread raised and others are to raise as their own.
//!
//! Ring 3. Of those each waiter raises a copy: see `python/warp_cache/_exceptions.py`, which makes it. What is here works on
//! plain references: PyO3 does not know, in a call that came through vectorcall, that the thread is attached.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::capi::reference::{calls, PyRef};

/// An exception is set in this thread.
#[derive(Debug)]
pub(crate) struct ErrSet;

/// Functions of `warp_cache._exceptions`.
struct Copiers {
    share: Py<PyAny>,
    store: Py<PyAny>,
    own: Py<PyAny>,
}

static COPIERS: PyOnceLock<Copiers> = PyOnceLock::new();

/// Finds what copies exceptions; called before there is a cached function, as no import can be relied on while one fails.
pub fn install(py: Python<'_>) -> PyResult<()> {
    COPIERS.get_or_try_init(py, || -> PyResult<_> {
        let module = py.import("warp_cache._exceptions")?;
        let copier = |name| module.getattr(name).map(Bound::unbind);
        Ok(Copiers { share: copier("share")?, store: copier("store")?, own: copier("own")? })
    })?;
    Ok(())
}

/// Takes the exception that is set in this thread, normalized; `None` if none is set.
///
/// # Safety
/// The thread is attached.
pub unsafe fn take() -> Option<PyRef> {
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
        (!exception.is_null()).then(|| PyRef::steal(exception))
    }
}

/// Sets an exception in this thread, as `take` found it.
///
/// # Safety
/// The thread is attached; `exception` is one.
pub unsafe fn set(exception: PyRef) {
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
pub unsafe fn is_shareable(exception: &PyRef) -> bool {
    // SAFETY: the type objects of built-in exceptions live for ever; a check of the type itself runs no code.
    unsafe {
        let kind = ffi::PyExc_Exception.cast::<ffi::PyTypeObject>();
        ffi::PyObject_TypeCheck(exception.as_ptr(), kind) != 0
    }
}

/// [`is_shareable`] of the exception that is set.
///
/// # Safety
/// The thread is attached, and an exception is set.
pub unsafe fn is_set_shareable() -> bool {
    // SAFETY: as above; of a class without a metaclass of its own, only its bases are looked at.
    unsafe { ffi::PyErr_ExceptionMatches(ffi::PyExc_Exception) != 0 }
}

/// What others are to raise instead of `exception`, for [`raise_own`]; `None` with another exception set (the interpreter was
/// interrupted, or memory is short).
///
/// # Safety
/// The thread is attached and holds no lock; no exception is set, and `exception` has not gone on yet.
pub unsafe fn share(exception: &PyRef) -> Option<PyRef> {
    // SAFETY: the caller's promise.
    unsafe { call(|copiers| &copiers.share, exception) }
}

/// The same of what is to be kept: without the traceback, which would keep alive all that the computation and its callers had.
///
/// # Safety
/// As for [`share`].
pub unsafe fn store(exception: &PyRef) -> Option<PyRef> {
    // SAFETY: the caller's promise.
    unsafe { call(|copiers| &copiers.store, exception) }
}

/// Raises in this thread what [`share`] gave, as this thread's own.
///
/// # Safety
/// The thread is attached and holds no lock; no exception is set.
pub unsafe fn raise_own(shared: &PyRef) {
    // SAFETY: the caller's promise.
    unsafe { call(|copiers| &copiers.own, shared).into_iter().for_each(|exception| set(exception)) }
}

/// Calls one of the functions; `None` with an exception set.
///
/// # Safety
/// As for [`share`].
unsafe fn call(function: impl Fn(&Copiers) -> &Py<PyAny>, argument: &PyRef) -> Option<PyRef> {
    // SAFETY: the caller's promise; the call gives a new reference, or null with an exception set.
    unsafe {
        let Some(copiers) = COPIERS.get(Python::assume_attached()) else {
            ffi::PyErr_BadInternalCall();
            return None;
        };
        let arguments = [argument.as_ptr()];
        let function = function(copiers).as_ptr();
        let result = calls::PyObject_Vectorcall(function, arguments.as_ptr(), 1, std::ptr::null_mut());
        (!result.is_null()).then(|| PyRef::steal(result))
    }
}
