//! Operations on many keys of an object in one trip to its server.
//!
//! Ring 3. Each gives `None` where there is no server.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::methods::fetch;
use super::{read, view_of};
use crate::backend::There;
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::ErrSet;
use crate::function::control::Wish;
use crate::function::CachedFunction;

/// The values of keys, each as `(value,)` or None.
pub(super) fn get<'py>(cached: &CachedFunction, keys: &Bound<'py, PyList>) -> PyResult<Option<Bound<'py, PyList>>> {
    let (py, keys) = (keys.py(), keys.iter().collect::<Vec<_>>());
    let keys: Vec<_> = keys.iter().map(Ref::from).collect();
    let Some(found) = read::look_many(py, cached, &keys).map_err(fetch(py))? else { return Ok(None) };
    let list = PyList::empty(py);
    for value in found {
        list.append(value.map(|value| PyTuple::new(py, [value.as_py()])).transpose()?)?;
    }
    Ok(Some(list))
}

/// Stores pairs of key and value: for each whether it is in.
pub(super) fn set(
    py: Python<'_>,
    cached: &CachedFunction,
    pairs: &[(Bound<'_, PyAny>, Bound<'_, PyAny>)],
    wish: &Wish,
) -> PyResult<Option<Vec<bool>>> {
    if cached.state.max_size == Some(0) {
        return Ok(None);
    }
    let Some(there) = There::of(py, cached).map_err(fetch(py))? else { return Ok(None) };
    let keys: Vec<_> = pairs.iter().map(|(key, _)| Ref::from(key)).collect();
    let entries = keys.iter().zip(pairs).map(|(key, (_, value))| Ok((view_of(key)?, Ref::from(value))));
    let entries = entries.collect::<Result<Vec<_>, ErrSet>>().map_err(fetch(py))?;
    there.put_many(&entries, wish).map(Some).map_err(fetch(py))
}

/// Drops the entries of keys: how many there were.
pub(super) fn delete(cached: &CachedFunction, keys: &Bound<'_, PyList>) -> PyResult<Option<usize>> {
    let (py, keys) = (keys.py(), keys.iter().collect::<Vec<_>>());
    if cached.state.max_size == Some(0) {
        return Ok(None);
    }
    let Some(there) = There::of(py, cached).map_err(fetch(py))? else { return Ok(None) };
    let keys: Vec<_> = keys.iter().map(Ref::from).collect();
    let views = keys.iter().map(view_of).collect::<Result<Vec<_>, ErrSet>>().map_err(fetch(py))?;
    let taken = there.take_many(&views).map_err(fetch(py))?;
    Ok(Some(taken.iter().flatten().count()))
}
