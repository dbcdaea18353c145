//! The methods that control single entries: `cache_invalidate`, `cache_contains`.
//!
//! Ring 3. They take the arguments of a call, as `get` does. What ends an entry fences the computations of its key that are
//! under way: see [`fence`](super::fence).

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::call::{instance, Keyed};
use super::methods::{fail, Objects};
use super::ticket::Ticket;
use super::CachedFunction;
use crate::capi::exceptions::ErrSet;
use crate::capi::panics::{caught, point};
use crate::capi::reference::Arguments;
use crate::capi::type_slots::{add_methods, Method};
use crate::key::signature::ArgBuffer;
use crate::key::View;

/// Gives the methods to the type; called once, before it is visible.
pub fn install(kind: &Bound<'_, PyType>) -> PyResult<()> {
    // SAFETY: each function checks its arguments' number and takes instances of the type only.
    unsafe {
        add_methods(
            kind,
            &[
                Method::new(
                    c"cache_invalidate",
                    cache_invalidate,
                    c"cache_invalidate($self, /, *args, **kwargs)\n--\n\nDrop the entry of these arguments; whether there was one.\n\nA call that begins after the return gets nothing that was computed before it: a computation under way reaches those\nwho wait for it and is not stored. TypeError if the arguments do not fit the function. O(1) expected.",
                ),
                Method::new(
                    c"cache_contains",
                    cache_contains,
                    c"cache_contains($self, /, *args, **kwargs)\n--\n\nWhether a call with these arguments would be answered without computing.\n\nNo use, and not counted. O(1) expected.",
                ),
            ],
        )
    }
}

/// What a method answers.
enum Answer {
    Bool(bool),
    /// An exception is set.
    Failed,
}

impl Answer {
    fn of(answer: Result<bool, ErrSet>) -> Self {
        answer.map_or(Answer::Failed, Answer::Bool)
    }

    fn into_ptr(self) -> *mut ffi::PyObject {
        // SAFETY: attached, as every caller here is; a new reference.
        unsafe {
            match self {
                Answer::Bool(answer) => ffi::PyBool_FromLong(answer.into()),
                Answer::Failed => std::ptr::null_mut(),
            }
        }
    }
}

/// The answer about the entry of a call's arguments; `unfit`: about arguments that are no call.
///
/// # Safety
/// As for a method: `object` is an instance, and the arguments last.
unsafe fn about(
    object: *mut ffi::PyObject,
    arguments: &Arguments,
    unfit: impl FnOnce() -> *mut ffi::PyObject,
    ask: impl FnOnce(&CachedFunction, &View<'_>) -> Answer,
) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise.
    unsafe {
        caught(|| {
            let this = instance(object);
            let mut scratch = ArgBuffer::new();
            match this.view(arguments, &mut scratch) {
                Keyed::Failed => std::ptr::null_mut(),
                Keyed::NotACall => unfit(),
                Keyed::View(_) if this.state.max_size == Some(0) => Answer::Bool(false).into_ptr(),
                Keyed::View(view) => ask(this, &view).into_ptr(),
            }
        })
    }
}

unsafe extern "C-unwind" fn cache_invalidate(
    object: *mut ffi::PyObject,
    values: Objects,
    nargs: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let arguments = Arguments { values, nargsf: nargs as usize, names };
    let unfit = || fail(c"cache_invalidate(): the arguments do not fit the cached function");
    // SAFETY: Python calls this for an instance, with arguments that last until it returns.
    unsafe {
        about(object, &arguments, unfit, |this, view| {
            point("cache_invalidate");
            Answer::of(this.invalidate(view))
        })
    }
}

unsafe extern "C-unwind" fn cache_contains(
    object: *mut ffi::PyObject,
    values: Objects,
    nargs: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let arguments = Arguments { values, nargsf: nargs as usize, names };
    let unfit = || Answer::Bool(false).into_ptr();
    // SAFETY: as above.
    unsafe {
        about(object, &arguments, unfit, |this, view| {
            point("cache_contains");
            Answer::of(this.state.backend.contains(&this.state, view))
        })
    }
}

impl CachedFunction {
    /// Ends a key's entry, wherever it is, and fences the computations of it; whether there was one.
    ///
    /// # Safety
    /// The view's objects are alive; the thread is attached and holds no lock.
    unsafe fn invalidate(&self, view: &View<'_>) -> Result<bool, ErrSet> {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            // What is behind comes first, so that nothing of it comes in again; a computation fails either fence.
            let behind = self.state.backend.invalidate(&self.state, view)?;
            let here = self.state.invalidate(view).ok_or(ErrSet)?;
            self.forget_flights(view)?;
            Ok(behind || here && self.state.backend.shared().is_none())
        }
    }

    /// Lets the computations of a coroutine function's key that are under way go on for those who wait for them alone.
    ///
    /// # Safety
    /// As for [`invalidate`](Self::invalidate).
    pub(super) unsafe fn forget_flights(&self, view: &View<'_>) -> Result<(), ErrSet> {
        let Some(flights) = &self.state.flights else {
            return Ok(());
        };
        // SAFETY: the caller's promise.
        unsafe {
            let py = Python::assume_attached();
            if flights.is_empty(py) {
                return Ok(());
            }
            let key = view.make_key().ok_or(ErrSet)?;
            Bound::new(py, Ticket::new(key, view, self.typed, self.state.lone_apart))
                .and_then(|ticket| flights.forget_key(ticket.as_any()))
                .map_err(|error| {
                    error.restore(py);
                    ErrSet
                })
        }
    }
}
