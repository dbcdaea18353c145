//! What is stored of a value that each caller gets for himself, and what he gets: the options `copy=True`, `"pickle"` and
//! `copy=callable` in memory.
//!
//! Ring 3. A value that nobody can change is stored as it is. Any other is in a [`Handout`], which says how it is handed out.

use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::control_checks::{CopyMode, Object};
use super::state::CacheState;
use crate::backend::template;
use crate::capi::exceptions::ErrSet;
use crate::capi::reference::{calls, import, PyRef};
use crate::codec;

/// A stored value that is not handed out itself.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs", name = "_Handout")]
pub struct Handout {
    stored: PyRef,
    how: How,
}

/// How a stored value is handed out.
enum How {
    /// As a copy of its lists, dicts and sets.
    Containers,
    /// Made of the bytes that are stored.
    Template,
    /// As what this makes of it.
    Call(Object),
}

#[pymethods]
impl Handout {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.stored.as_py())?;
        match &self.how {
            How::Call(with) => with.traverse(&visit),
            How::Containers | How::Template => Ok(()),
        }
    }
}

/// What is stored of a value.
///
/// # Safety
/// The value is alive; the thread is attached and holds no lock. Runs user code.
pub(crate) unsafe fn keep(mode: &CopyMode, value: *mut ffi::PyObject) -> Result<PyRef, ErrSet> {
    // SAFETY: the caller's promise, throughout.
    unsafe {
        let (stored, how) = match mode {
            CopyMode::OfBackend | CopyMode::Never => return Ok(PyRef::borrow(value)),
            CopyMode::Containers => (codec::copy(value).ok_or(ErrSet)?, How::Containers),
            CopyMode::Pickle => match template::of_value(value)? {
                Some(bytes) => (bytes, How::Template),
                None => {
                    check_pickles(value)?;
                    return Ok(PyRef::borrow(value));
                }
            },
            CopyMode::Call(with) => (copy_by(with, value)?, How::Call(with.clone())),
        };
        // A copy that is the value itself has nothing in it that could be changed.
        if matches!(how, How::Containers) && stored.as_ptr() == value {
            return Ok(stored);
        }
        let py = Python::assume_attached();
        match Py::new(py, Handout { stored, how }) {
            Ok(handout) => Ok(handout.into_any().into()),
            Err(error) => {
                error.restore(py);
                Err(ErrSet)
            }
        }
    }
}

/// What each of several callers makes a value of his own from: a template, or what a memory cache that copies would store.
/// `None` if all may have the value itself.
///
/// # Safety
/// As for `keep`.
pub(crate) unsafe fn for_each(state: &CacheState, value: *mut ffi::PyObject) -> Result<Option<PyRef>, ErrSet> {
    // SAFETY: the caller's promise.
    unsafe {
        match (state.backend.shared(), &state.control) {
            (Some(shared), _) if shared.shares_objects() => Ok(None),
            (Some(_), _) => template::of_value(value),
            (None, Some(control)) if state.copies => {
                let kept = keep(&control.copy, value)?;
                Ok((kept.as_ptr() != value).then_some(kept))
            }
            (None, _) => Ok(None),
        }
    }
}

/// Whether a value without a template is one that nobody can change; else pickle's own error is set.
unsafe fn check_pickles(value: *mut ffi::PyObject) -> Result<(), ErrSet> {
    // SAFETY: the callers'.
    unsafe {
        let py = Python::assume_attached();
        let value = Bound::from_borrowed_ptr(py, value);
        let mut bytes = Vec::new();
        if codec::encode_value(value.as_ptr(), &mut bytes).is_ok() {
            return Ok(());
        }
        let pickled = import(py, "pickle").and_then(|pickle| pickle.call_method1("dumps", (&value,)));
        let error = match pickled {
            Err(error) => error,
            Ok(_) => {
                let kind = value.get_type().name().map_or_else(|_| String::new(), |name| name.to_string());
                pyo3::exceptions::PyTypeError::new_err(format!("copy=\"pickle\": a {kind} cannot be stored as bytes"))
            }
        };
        error.restore(py);
        Err(ErrSet)
    }
}

/// What a cache keeps of a value that was copied already, and of which each caller gets what `with` makes of it. `None` with an
/// exception set.
///
/// # Safety
/// As for `keep`.
pub(crate) unsafe fn of_call(with: &Object, stored: *mut ffi::PyObject) -> Option<PyRef> {
    // SAFETY: the caller's promise.
    unsafe {
        let py = Python::assume_attached();
        match Py::new(py, Handout { stored: PyRef::borrow(stored), how: How::Call(with.clone()) }) {
            Ok(handout) => Some(handout.into_any().into()),
            Err(error) => {
                error.restore(py);
                None
            }
        }
    }
}

/// What `keep` has stored, borrowed: the copy, or the value itself.
///
/// # Safety
/// The thread is attached.
pub(crate) unsafe fn stored_of(kept: &PyRef) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise.
    let py = unsafe { Python::assume_attached() };
    kept.as_py().bind(py).cast_exact::<Handout>().map_or(kept.as_ptr(), |handout| handout.get().stored.as_ptr())
}

/// What the callable of `copy` makes of a value; `Err` with an exception set.
///
/// # Safety
/// As for `keep`.
pub(crate) unsafe fn copy_by(with: &Object, value: *mut ffi::PyObject) -> Result<PyRef, ErrSet> {
    // SAFETY: the callers'; a new reference, or null with an exception set.
    unsafe {
        let arguments = [value];
        let copy = calls::PyObject_Vectorcall(with.as_ptr(), arguments.as_ptr(), 1, std::ptr::null_mut());
        if copy.is_null() {
            Err(ErrSet)
        } else {
            Ok(PyRef::steal(copy))
        }
    }
}

/// What a caller gets for what is stored: a new reference, or null with an exception set.
///
/// # Safety
/// `stored` is a strong reference to what `keep` gave, which is given up; the thread is attached and holds no lock.
#[inline]
pub(crate) unsafe fn hand_out(stored: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise.
    unsafe {
        let py = Python::assume_attached();
        let stored = Bound::from_owned_ptr(py, stored);
        let Ok(handout) = stored.cast_exact::<Handout>() else {
            return stored.into_ptr();
        };
        let handout = handout.get();
        let made = match &handout.how {
            How::Containers => codec::copy(handout.stored.as_ptr()).ok_or(ErrSet),
            How::Call(with) => copy_by(with, handout.stored.as_ptr()),
            How::Template => match template::make(&handout.stored) {
                Ok(Some(object)) => Ok(object),
                Ok(None) => {
                    let message = c"a stored value cannot be unpickled any more";
                    ffi::PyErr_SetString(ffi::PyExc_RuntimeError, message.as_ptr());
                    Err(ErrSet)
                }
                Err(ErrSet) => Err(ErrSet),
            },
        };
        made.map_or(std::ptr::null_mut(), PyRef::into_ptr)
    }
}
