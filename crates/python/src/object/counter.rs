//! `incr`: adds to an int, once for each call, whoever else does so at the same time.
//!
//! Ring 3.

use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyInt;

use super::exchange::{Expected, Swap, Swapped};
use super::{view_of, CacheObject};
use crate::backend::shared::object::changing::Sum;
use crate::backend::There;
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::ErrSet;
use crate::capi::reference::PyRef;
use crate::function::control::Wish;
use crate::function::option_checks::shown;
use crate::function::CachedFunction;

/// An exact int; a bool is none.
fn int<'a, 'py>(argument: &str, value: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyInt>> {
    value
        .cast_exact::<PyInt>()
        .map_err(|_| PyTypeError::new_err(format!("{argument} must be an int, got {}", shown(value))))
}

impl CacheObject {
    /// Adds `delta` to a key's value, or stores `default + delta` where there is none: the sum.
    pub(super) fn add_to<'py>(
        &self,
        cached: &CachedFunction,
        key: &Bound<'py, PyAny>,
        delta: &Bound<'py, PyAny>,
        default: Option<&Bound<'py, PyAny>>,
        ttl: Option<Option<u64>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = key.py();
        let failed = |ErrSet| PyErr::fetch(py);
        let delta = int("delta", delta)?;
        let default = default.map(|default| int("default", default)).transpose()?;
        let key_ref = Ref::from(key);
        let view = view_of(&key_ref).map_err(failed)?;
        if cached.state.max_size == Some(0) {
            return match default {
                Some(default) => default.add(delta),
                None => Err(PyKeyError::new_err((key.clone().unbind(),))),
            };
        }
        if let Some(shared) = cached.state.backend.shared() {
            let small = (delta.extract::<i64>().ok(), default.map(|default| default.extract::<i64>().ok()));
            if let (Some(delta), default @ (None | Some(Some(_)))) = small {
                match shared.add_to_object(cached, &view, delta, default.flatten(), ttl).map_err(failed)? {
                    Sum::Is(sum) => return Ok(sum.into_pyobject(py)?.into_any()),
                    Sum::Absent => return Err(PyKeyError::new_err((key.clone().unbind(),))),
                    Sum::Other => (),
                }
            }
        }
        loop {
            let seen = self.see(cached, key)?;
            let (sum, expected) = match &seen {
                Some((value, entry)) => {
                    let value = value.as_py().bind(py);
                    let old = value.cast_exact::<PyInt>().map_err(|_| {
                        PyTypeError::new_err(format!("incr needs an int, but {} has {}", shown(key), shown(value)))
                    })?;
                    (old.add(delta)?, Expected::Entry(entry))
                }
                None => match default {
                    Some(default) => (default.add(delta)?, Expected::Absent),
                    None => return Err(PyKeyError::new_err((key.clone().unbind(),))),
                },
            };
            // It sets a lifetime where it creates the entry, and nowhere else.
            let keeps = seen.is_some();
            let wish = if keeps { Wish::default() } else { Wish { ttl, ..Wish::default() } };
            let swap = Swap { value: Ref::from(&sum), wish, keeps, expected: &expected };
            match self.swap(cached, &view, swap).map_err(failed)? {
                Swapped::Changed => continue,
                Swapped::Stored => return Ok(sum),
                // As where it is set: the older one must not stand for it.
                Swapped::Unfit => match self.take_out(cached, key_ref, &expected).map_err(failed)? {
                    None if seen.is_some() => continue,
                    _ => return Ok(sum),
                },
            }
        }
    }

    /// A key's value, as a use, and its entry.
    pub(super) fn see(
        &self,
        cached: &CachedFunction,
        key: &Bound<'_, PyAny>,
    ) -> PyResult<Option<(PyRef, super::exchange::Entry)>> {
        let py = key.py();
        let key_ref = Ref::from(key);
        let failed = |ErrSet| PyErr::fetch(py);
        let view = view_of(&key_ref).map_err(failed)?;
        let state = &cached.state;
        if state.max_size == Some(0) {
            return Ok(None);
        }
        if let Some(shared) = state.backend.shared() {
            return shared.see_object(state, &view).map_err(failed);
        }
        if let Some(there) = There::of(py, cached).map_err(failed)? {
            return there.see(&view).map_err(failed);
        }
        let Some(entry) = state.see_entry(&view).map_err(failed)? else { return Ok(None) };
        let super::exchange::Entry::Memory { stored, .. } = &entry else { return Ok(None) };
        let value = state.handed_out(py, stored.clone_ref(py)).ok_or_else(|| PyErr::fetch(py))?;
        Ok(Some((value, entry)))
    }
}
