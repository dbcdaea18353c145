//! Which keys and values a cache object can have in the file or on a server, and the errors of those that it cannot.
//!
//! Ring 3.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::super::Shared;
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::{self, ErrSet, Raise};
use crate::capi::guarded::GuardedCalls;
use crate::capi::layout::Exact;
use crate::capi::reference::{calls, import, PyRef};
use crate::codec::{self, Encoded};
use crate::function::option_checks::shown;
use crate::key::View;

/// How deep tuples and frozensets in keys may be nested.
const DEPTH: u32 = 50;

impl Shared {
    /// Whether a key can be read back from its bytes; `Err` with a TypeError set if not.
    pub(crate) fn check_key(&self, view: &View<'_>) -> Result<(), ErrSet> {
        check_key(view)
    }

    /// Whether an entry can be stored, as far as key and value say; `Err` with an exception set if not.
    pub(crate) fn check_entry(&self, view: &View<'_>, value: Ref<'_>) -> Result<(), ErrSet> {
        self.check_key(view)?;
        match codec::encode_value(value, &mut Vec::new()) {
            Ok(_) => Ok(()),
            Err(Encoded::Failed) => Err(ErrSet),
            Err(_) => Err(refuse_value(value)),
        }
    }
}

/// Whether a key can be read back from its bytes; `Err` with a TypeError set if not.
pub(crate) fn check_key(view: &View<'_>) -> Result<(), ErrSet> {
    match view.values.first() {
        Some(&key) if !is_readable(key, DEPTH) => Err(refuse_key(key)),
        _ => Ok(()),
    }
}

/// Whether a key is one that its bytes give back.
fn is_readable(object: Ref<'_>, depth: u32) -> bool {
    match object.exact() {
        Exact::Float(float) => !float.value().is_nan(),
        Exact::Tuple(tuple) => depth != 0 && tuple.items().iter().all(|&item| is_readable(item, depth - 1)),
        Exact::Other if object.is_exact(&raw mut ffi::PyFrozenSet_Type) => {
            depth != 0 && all_readable(object, depth - 1)
        }
        Exact::Other => {
            // A text that says more than its characters (Django's SafeString) is the text.
            // SAFETY: an object keeps its type; both are ready.
            object.to_bound().is_instance_of::<PyString>()
                && unsafe { codec::compares_as(object.kind(), &raw mut ffi::PyUnicode_Type) }
        }
        Exact::Str(_) | Exact::Int(_) | Exact::Bytes(_) | Exact::Bool | Exact::None => true,
    }
}

/// The same of the items of an exact `frozenset`.
fn all_readable(set: Ref<'_>, depth: u32) -> bool {
    // SAFETY: a live object; a new reference, or null with an exception set.
    let Some(items) = (unsafe { PyRef::steal_or_none(calls::PyObject_GetIter(set.as_ptr())) }) else {
        drop(exceptions::take(set.py()));
        return false;
    };
    // SAFETY: an iterator of a frozenset, which raises nothing; a new reference, or null at its end.
    std::iter::from_fn(|| unsafe { PyRef::steal_or_none(calls::PyIter_Next(items.as_ptr())) })
        .all(|item| is_readable(item.lend(set.py()), depth))
}

/// Sets the TypeError of a key that cannot be read back.
#[cold]
pub(crate) fn refuse_key(key: Ref<'_>) -> ErrSet {
    let shown = shown(&key.to_bound());
    PyTypeError::new_err(format!(
        "a key of a shared or remote cache must be None, a bool, an int, a float that is a number, a str, bytes, or a tuple or frozenset \
         of such, got {shown}: make it one of these"
    ))
    .raise(key.py());
    ErrSet
}

/// Sets the error of a value that cannot be stored in bytes: pickle's own, where it has one.
#[cold]
pub(crate) fn refuse_value(value: Ref<'_>) -> ErrSet {
    let (py, value) = (value.py(), value.to_bound());
    let error = match import(py, "pickle").and_then(|pickle| pickle.guarded_method("dumps", (&value,))) {
        Err(error) => error,
        Ok(_) => PyTypeError::new_err(format!(
            "a shared or remote cache cannot store {}: what its bytes would make is not equal to it",
            shown(&value)
        )),
    };
    error.raise(py);
    ErrSet
}
