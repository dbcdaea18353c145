//! The ticket of a missed call of a coroutine function: its key, hashed once, for the awaits until there is a result.
//!
//! Ring 3. As a key of the table of computations it compares as the cache would.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::inside::{self, Invalidation};
use super::state::CacheState;
use crate::backend::{Editable, Known};
use crate::capi::panics::as_error;
use crate::capi::reference::PyRef;
use crate::codec::Hash;
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
    /// Of a key that is the bytes of a call: what these were made from.
    made_from: Option<MadeFrom>,
    /// Whether nobody else may have the result.
    alone: bool,
    /// How often it was compared by asking Python.
    asked: AtomicU32,
    /// It is counted that its call could not read a value.
    is_unreadable: AtomicBool,
    /// What was invalidated while its key was asked for: see [`inside`](super::inside).
    invalidated: OnceLock<Vec<Invalidation>>,
}

/// The arguments of a call, and what has a name in them.
#[derive(Debug)]
struct MadeFrom {
    key: PyRef,
    shape: Shape,
    typed: bool,
    named: Arc<[Hash]>,
}

/// How often at most. The table of computations would compare for ever where each comparison changes it.
const QUESTIONS: u32 = 4096;

impl Ticket {
    /// The ticket of a call. `None` with an exception set. `is_unreadable`: it is counted that the call could not read a value.
    pub(super) fn new(view: &View<'_>, known: Known<'_>, lone_apart: bool, is_unreadable: bool) -> Option<Self> {
        let ticket = |view: &View<'_>, made_from| {
            let (shape, hash, typed) = (view.shape, view.hash, view.typed);
            let (asked, is_unreadable) = (AtomicU32::new(0), AtomicBool::new(is_unreadable));
            let (key, alone, invalidated) = (view.make_key()?, false, OnceLock::new());
            Some(Ticket { key, shape, hash, typed, lone_apart, made_from, alone, asked, is_unreadable, invalidated })
        };
        let (bytes, editable) = match known {
            Known::Bytes(bytes, editable) => (bytes, editable),
            Known::Arguments => return ticket(view, None),
            Known::Nothing => return ticket(view, None).map(|ticket| Ticket { alone: true, ..ticket }),
        };
        let View { shape, typed, .. } = *view;
        let made_from = MadeFrom { key: view.make_key()?, shape, typed, named: editable.named };
        ticket(&bytes.view(view.py()), Some(made_from))
    }

    /// Whether to count that its call could not read a value; true once.
    pub(crate) fn is_first_unreadable(&self) -> bool {
        // Relaxed: a mark on which nothing else hangs.
        !self.is_unreadable.swap(true, Ordering::Relaxed)
    }

    /// Notes what was invalidated while its key was asked for.
    pub(super) fn leave(&self, invalidated: Vec<Invalidation>) {
        if !invalidated.is_empty() {
            let _ = self.invalidated.set(invalidated);
        }
    }

    /// Whether a computation with these tags is fenced by what was invalidated then, or by these.
    pub(super) fn is_fenced(&self, state: &CacheState, others: &[Invalidation], tags: &[String]) -> bool {
        let own = self.invalidated.get().map_or(&[][..], Vec::as_slice);
        [own, others].into_iter().any(|all| inside::concern(all, state, self.hash, tags))
    }

    pub(crate) fn with_view<R>(&self, py: Python<'_>, f: impl FnOnce(&View<'_>) -> R) -> R {
        let key = self.key.lend(py);
        // SAFETY: the key was made from a view with this shape and hash.
        f(&unsafe { View::of_key(&key, self.shape, self.hash, self.typed) })
    }
}

impl Ticket {
    /// [`with_view`](Self::with_view), with what the bytes in the view were made from, if it has such.
    pub(crate) fn with_views<R>(&self, py: Python<'_>, f: impl FnOnce(&View<'_>, Option<Editable<'_>>) -> R) -> R {
        let Some(MadeFrom { key, shape, typed, named }) = &self.made_from else {
            return self.with_view(py, |view| f(view, None));
        };
        let key = key.lend(py);
        // SAFETY: the key was made from a view with this shape. What is done with it does not go by its hash.
        let view = unsafe { View::of_key(&key, *shape, 0, *typed) };
        let editable = Editable { view, named: Arc::clone(named) };
        self.with_view(py, |view| f(view, Some(editable)))
    }
}

#[pymethods]
impl Ticket {
    /// Whether the call has no key, so that nobody may wait for its result.
    #[getter]
    fn _alone(&self) -> bool {
        self.alone
    }

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
        let key = other.key.lend(py);
        let compare = |view: &View<'_>| {
            // SAFETY: the other's key has the view's shape.
            match unsafe { view.equals(key) } {
                Equality::Yes => Ok(true),
                Equality::No => Ok(false),
                Equality::Unknown if self.lone_apart && view.is_apart(key) => Ok(false),
                // Relaxed: a count. Who is not found in the table computes for itself.
                Equality::Unknown if self.asked.fetch_add(1, Ordering::Relaxed) >= QUESTIONS => Ok(false),
                // SAFETY: the other's key has the view's shape.
                Equality::Unknown => unsafe { view.ask(key) }.ok_or_else(|| PyErr::fetch(py)),
            }
        };
        as_error(|| self.with_view(py, compare))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(made_from) = &self.made_from {
            visit.call(made_from.key.as_py())?;
        }
        visit.call(self.key.as_py())
    }
}
