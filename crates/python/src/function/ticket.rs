//! The ticket of a missed call of a coroutine function: its key, hashed once, for the awaits until there is a result.
//!
//! Ring 3. As a key of the table of computations it compares as the cache would.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::capi::panics::as_error;
use crate::capi::reference::PyRef;
use crate::key::{Equality, Shape, View};

/// The key of a missed call, hashed once: a key of the table of computations.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs")]
#[derive(Debug)]
pub struct Ticket {
    key: PyRef,
    shape: Shape,
    hash: u64,
    typed: bool,
    lone_apart: bool,
    /// How often it was compared by asking Python.
    asked: AtomicU32,
    /// It is counted that its call could not read a value.
    is_unreadable: AtomicBool,
}

/// How often at most. The table of computations would compare for ever where each comparison changes it.
const QUESTIONS: u32 = 4096;

impl Ticket {
    /// `key` is the view's, as [`View::make_key`] gives it.
    pub(super) fn new(key: PyRef, view: &View<'_>, typed: bool, lone_apart: bool, is_unreadable: bool) -> Self {
        let (asked, is_unreadable) = (AtomicU32::new(0), AtomicBool::new(is_unreadable));
        Ticket { key, shape: view.shape, hash: view.hash, typed, lone_apart, asked, is_unreadable }
    }

    /// Whether to count that its call could not read a value; true once.
    pub(crate) fn is_first_unreadable(&self) -> bool {
        // Relaxed: a mark on which nothing else hangs.
        !self.is_unreadable.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn with_view<R>(&self, f: impl FnOnce(&View<'_>) -> R) -> R {
        let pointer = self.key.as_ptr();
        // SAFETY: the key was made from a view with this shape and hash.
        f(&unsafe { View::of_key(&self.key, &pointer, self.shape, self.hash, self.typed) })
    }
}

#[pymethods]
impl Ticket {
    fn __hash__(&self) -> isize {
        self.hash as isize
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Ok(other) = other.cast::<Ticket>() else {
            return Ok(false);
        };
        let (py, other) = (other.py(), other.get());
        if self.hash != other.hash || self.shape != other.shape {
            return Ok(false);
        }
        // SAFETY: the other's key has the view's shape, and is held by its ticket.
        let compare = |view: &View<'_>| unsafe {
            let key = other.key.as_ptr();
            match view.equals(key) {
                Equality::Yes => Ok(true),
                Equality::No => Ok(false),
                Equality::Unknown if self.lone_apart && view.is_apart(key) => Ok(false),
                // Relaxed: a count. Who is not found in the table computes for itself.
                Equality::Unknown if self.asked.fetch_add(1, Ordering::Relaxed) >= QUESTIONS => Ok(false),
                Equality::Unknown => view.ask(key).ok_or_else(|| PyErr::fetch(py)),
            }
        };
        as_error(|| self.with_view(compare))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.key.as_py())
    }
}
