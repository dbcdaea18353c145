//! What is stored of a value that each caller gets for himself, and what he gets: the options `copy=True`, `"pickle"` and
//! `copy=callable` in memory.
//!
//! Ring 3. A value that nobody can change is stored as it is. Any other is in a [`Handout`], which says how it is handed out.

use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::control_checks::CopyMode;
use super::option_object::Object;
use super::state::CacheState;
use crate::backend::template;
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::{ErrSet, Raise};
use crate::capi::guarded::GuardedCalls;
use crate::capi::reference::{import, PyRef};
use crate::codec::{self, Encoded, Sharing};

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
pub(crate) fn keep(mode: &CopyMode, value: Ref<'_>) -> Result<PyRef, ErrSet> {
    let (stored, how) = match mode {
        CopyMode::OfBackend | CopyMode::Never => return Ok(value.to_owned()),
        CopyMode::OfFile => {
            let mut bytes = Vec::new();
            return match codec::encode_value(value, &mut bytes) {
                Ok(sharing) => keep_decoded(mode, value, sharing, &bytes),
                // (Who wants to keep it asks whether it has any: `has_bytes`.)
                Err(Encoded::Unstorable) => Ok(value.to_owned()),
                Err(_) => Err(ErrSet),
            };
        }
        CopyMode::Containers => (codec::copy(value).ok_or(ErrSet)?, How::Containers),
        CopyMode::Pickle => match template::of_value(value)? {
            Some(bytes) => (bytes, How::Template),
            None => {
                check_pickles(value)?;
                return Ok(value.to_owned());
            }
        },
        CopyMode::Call(with) => (copy_by(with, value)?, How::Call(with.clone())),
    };
    wrap(value, stored, how)
}

/// [`keep`] of a value whose bytes are these. (They spare `CopyMode::OfFile` to make them.)
pub(crate) fn keep_decoded(mode: &CopyMode, value: Ref<'_>, sharing: Sharing, bytes: &[u8]) -> Result<PyRef, ErrSet> {
    match (mode, sharing) {
        (CopyMode::OfFile, Sharing::Immutable) => Ok(value.to_owned()),
        (CopyMode::OfFile, Sharing::Containers) => wrap(value, codec::copy(value).ok_or(ErrSet)?, How::Containers),
        (CopyMode::OfFile, Sharing::Pickled) => match template::of_bytes(value.py(), bytes) {
            Some(template) => wrap(value, template, How::Template),
            None => {
                PyMemoryError::new_err(()).raise(value.py());
                Err(ErrSet)
            }
        },
        (mode, _) => keep(mode, value),
    }
}

/// Whether what `keep` gave is a value of which each caller can have one of his own.
pub(crate) fn has_bytes(py: Python<'_>, kept: &PyRef) -> Result<bool, ErrSet> {
    if kept.as_py().bind(py).cast_exact::<Handout>().is_ok() {
        return Ok(true);
    }
    match codec::encode_value(kept.lend(py), &mut Vec::new()) {
        Ok(sharing) => Ok(sharing == Sharing::Immutable),
        Err(Encoded::Unstorable) => Ok(false),
        Err(_) => Err(ErrSet),
    }
}

fn wrap(value: Ref<'_>, stored: PyRef, how: How) -> Result<PyRef, ErrSet> {
    // A copy that is the value itself has nothing in it that could be changed.
    if matches!(how, How::Containers) && stored.as_ptr() == value.as_ptr() {
        return Ok(stored);
    }
    let py = value.py();
    match Py::new(py, Handout { stored, how }) {
        Ok(handout) => Ok(handout.into_any().into()),
        Err(error) => {
            error.raise(py);
            Err(ErrSet)
        }
    }
}

/// What each of several callers makes a value of his own from: a template, or what a memory cache that copies would store.
/// `None` if all may have the value itself.
pub(crate) fn for_each(state: &CacheState, value: Ref<'_>) -> Result<Option<PyRef>, ErrSet> {
    match (state.backend.shared(), &state.control) {
        (Some(shared), _) if shared.shares_objects() => Ok(None),
        (Some(_), _) => template::of_value(value),
        (None, Some(control)) if state.copies => {
            let kept = keep(&control.copy, value)?;
            Ok((kept.as_ptr() != value.as_ptr()).then_some(kept))
        }
        (None, _) => Ok(None),
    }
}

/// Whether a value without a template is one that nobody can change; else pickle's own error is set.
fn check_pickles(value: Ref<'_>) -> Result<(), ErrSet> {
    let (py, object) = (value.py(), value);
    let value = object.to_bound();
    let mut bytes = Vec::new();
    if codec::encode_value(object, &mut bytes).is_ok() {
        return Ok(());
    }
    let pickled = import(py, "pickle").and_then(|pickle| pickle.guarded_method("dumps", (&value,)));
    let error = match pickled {
        Err(error) => error,
        Ok(_) => {
            let kind = value.get_type().name().map_or_else(|_| String::new(), |name| name.to_string());
            pyo3::exceptions::PyTypeError::new_err(format!("copy=\"pickle\" cannot store a value of type {kind} as bytes: return what can be pickled, or leave out copy"))
        }
    };
    error.raise(py);
    Err(ErrSet)
}

/// What a cache keeps of a value that was copied already, and of which each caller gets what `with` makes of it. `None` with an
/// exception set.
pub(crate) fn of_call(with: &Object, stored: Ref<'_>) -> Option<PyRef> {
    let py = stored.py();
    match Py::new(py, Handout { stored: stored.to_owned(), how: How::Call(with.clone()) }) {
        Ok(handout) => Some(handout.into_any().into()),
        Err(error) => {
            error.raise(py);
            None
        }
    }
}

/// What `keep` has stored, borrowed: the copy, or the value itself.
pub(crate) fn stored_of<'a>(py: Python<'a>, kept: &'a PyRef) -> Ref<'a> {
    let handout = kept.as_py().bind(py).cast_exact::<Handout>();
    handout.map_or(kept, |handout| &handout.get().stored).lend(py)
}

/// What the callable of `copy` makes of a value; `Err` with an exception set.
pub(crate) fn copy_by(with: &Object, value: Ref<'_>) -> Result<PyRef, ErrSet> {
    with.lend(value.py()).call(&[value]).ok_or(ErrSet)
}

/// What a caller gets for what `keep` gave; `None` with an exception set.
#[inline]
pub(crate) fn hand_out(py: Python<'_>, stored: PyRef) -> Option<PyRef> {
    let Ok(handout) = stored.as_py().bind(py).cast_exact::<Handout>() else {
        return Some(stored);
    };
    let handout = handout.get();
    let object = handout.stored.lend(py);
    match &handout.how {
        How::Containers => codec::copy(object),
        How::Call(with) => copy_by(with, object).ok(),
        How::Template => match template::make(py, &handout.stored) {
            Ok(Some(object)) => Some(object),
            Ok(None) => {
                PyRuntimeError::new_err("a stored value cannot be unpickled any more").raise(py);
                None
            }
            Err(ErrSet) => None,
        },
    }
}
