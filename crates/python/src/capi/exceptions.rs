//! Exceptions: that one is set ([`ErrSet`]), and those that one thread raised and others are to raise as their own.
//!
//! Ring 3. Of those each waiter raises a copy: see `python/warp_cache/_exceptions.py`, which makes it. What is here works on
//! plain references: PyO3 does not know, in a call that came through vectorcall, that the thread is attached.

use pyo3::ffi;
use pyo3::prelude::*;

use super::borrowed::Ref;
use super::kept::Kept;
use super::reference::{import, PyRef};

/// An exception is set in this thread.
#[derive(Debug)]
pub(crate) struct ErrSet;

/// Raises in this thread an exception that PyO3 has made.
///
/// In a call that came through a slot or vectorcall PyO3 takes the thread for detached, and keeps what of Python's objects it
/// drops until a call comes that goes through it: a process that makes none would keep the key of each miss for ever. So it is
/// told that the thread is attached, which also has it let go what it has kept.
pub(crate) trait Raise {
    fn raise(self, py: Python<'_>);
}

impl Raise for PyErr {
    #[cold]
    fn raise(self, py: Python<'_>) {
        let mut raised = Some(self);
        Python::try_attach(|py| raised.take().map(|raised| raised.restore(py)));
        // While the interpreter ends PyO3 attaches to it no more.
        raised.into_iter().for_each(|raised| raised.restore(py));
    }
}

/// Functions of `warp_cache._exceptions`.
struct Copiers {
    share: Py<PyAny>,
    store: Py<PyAny>,
    own: Py<PyAny>,
}

static COPIERS: Kept<Copiers> = Kept::new();

/// Finds what copies exceptions; called before there is a cached function, as no import can be relied on while one fails.
pub fn install(py: Python<'_>) -> PyResult<()> {
    COPIERS.get_or_make(py, || -> PyResult<_> {
        let module = import(py, "warp_cache._exceptions")?;
        let copier = |name| module.getattr(name).map(Bound::unbind);
        Ok(Copiers { share: copier("share")?, store: copier("store")?, own: copier("own")? })
    })?;
    Ok(())
}

/// Takes the exception that is set in this thread, normalized; `None` if none is set.
pub fn take(_: Python<'_>) -> Option<PyRef> {
    // SAFETY: attached; what is fetched are strong references or null, which are all accounted for.
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
pub fn set(_: Python<'_>, exception: PyRef) {
    // SAFETY: attached; the object is an exception. Each function called takes over the references it is given.
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
pub fn is_shareable(_: Python<'_>, exception: &PyRef) -> bool {
    // SAFETY: the type objects of built-in exceptions live for ever; a check of the type itself runs no code.
    unsafe {
        let kind = ffi::PyExc_Exception.cast::<ffi::PyTypeObject>();
        ffi::PyObject_TypeCheck(exception.as_ptr(), kind) != 0
    }
}

/// [`is_shareable`] of the exception that is set.
pub fn is_set_shareable(_: Python<'_>) -> bool {
    // SAFETY: attached, an exception is set; of a class without a metaclass of its own, only its bases are looked at.
    unsafe { ffi::PyErr_ExceptionMatches(ffi::PyExc_Exception) != 0 }
}

/// What others are to raise instead of `exception`, for [`raise_own`]; `None` with another exception set (the interpreter was
/// interrupted, or memory is short).
pub fn share(py: Python<'_>, exception: &PyRef) -> Option<PyRef> {
    call(py, |copiers| &copiers.share, exception)
}

/// The same of what is to be kept: without the traceback, which would keep alive all that the computation and its callers had.
pub fn store(py: Python<'_>, exception: &PyRef) -> Option<PyRef> {
    call(py, |copiers| &copiers.store, exception)
}

/// Raises in this thread what [`share`] gave, as this thread's own.
pub fn raise_own(py: Python<'_>, shared: &PyRef) {
    call(py, |copiers| &copiers.own, shared).into_iter().for_each(|exception| set(py, exception))
}

/// Drops an object while an exception is set, which stays so, and which the object's end does not meet.
pub fn drop_beside(py: Python<'_>, object: PyRef) {
    let raised = take(py);
    drop(object);
    raised.into_iter().for_each(|raised| set(py, raised));
}

/// Calls one of the functions; `None` with an exception set.
fn call(py: Python<'_>, function: impl Fn(&Copiers) -> &Py<PyAny>, argument: &PyRef) -> Option<PyRef> {
    let Some(copiers) = COPIERS.get(py) else {
        // SAFETY: attached.
        unsafe { ffi::PyErr_BadInternalCall() };
        return None;
    };
    Ref::from(function(copiers).bind(py)).call(&[argument.lend(py)])
}
