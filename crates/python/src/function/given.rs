//! What users and their callables give for one entry: a lifetime, a weight, tags. Each is checked, and an error names what
//! it was given for.
//!
//! Ring 3.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};

use super::control::Tags;
use super::control_checks::MOST_TAGS;
use super::option_checks::{nanos, seconds, shown};
use crate::capi::guarded::GuardedCalls;
use crate::capi::reference::calls;

const SECOND: u64 = 1_000_000_000;
/// Seconds whose nanoseconds are exact in a float.
const LARGEST_EXACT: u64 = (1 << 53) / SECOND;

/// A lifetime that a caller gave.
pub(crate) enum Given {
    For(u64),
    Unlimited,
    /// Nothing, or less.
    Over,
}

/// A lifetime as `ttl(value)` and `cache_put` give it: seconds, a timedelta, or None for no limit.
pub(crate) fn lifetime(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Given> {
    if value.is_none() {
        return Ok(Given::Unlimited);
    }
    // The usual one, which is as many nanoseconds as a float would make of it.
    if let Some(seconds @ 1..=LARGEST_EXACT) = value.cast_exact::<PyInt>().ok().and_then(|int| int.extract().ok()) {
        return Ok(Given::For(seconds * SECOND));
    }
    // No lifetime at all, like any other that is not more than nothing. (Of what is no float PyO3 would make an exception.)
    if value.cast::<PyFloat>().is_ok_and(|seconds| seconds.value() == f64::NEG_INFINITY) {
        return Ok(Given::Over);
    }
    let given = seconds(argument, "a finite number of seconds, a timedelta, or None for no limit", value)?;
    Ok(if given > 0.0 { Given::For(nanos(given).max(1)) } else { Given::Over })
}

/// A weight: an int that is not negative, or what counts as one (`__index__`: numpy's numbers).
pub(crate) fn weight(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    let wrong = || format!("weigher must return an int that is not negative, got {}", shown(value));
    if value.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err(wrong()));
    }
    // SAFETY: attached, with a live object; a new reference or null with an exception set.
    let index = unsafe { Bound::from_owned_ptr_or_err(value.py(), calls::PyNumber_Index(value.as_ptr())) };
    let index = index.map_err(|error| match error.is_instance_of::<PyTypeError>(value.py()) {
        true => PyTypeError::new_err(wrong()),
        false => error,
    })?;
    if index.lt(0)? {
        return Err(PyValueError::new_err(wrong()));
    }
    Ok(index.extract().unwrap_or(u64::MAX))
}

/// The tags of an entry: up to sixteen strings that are not empty, or one.
pub(crate) fn tags(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Tags> {
    let wrong = || {
        let message = format!("{argument} must be up to {MOST_TAGS} strings, got {}", shown(value));
        PyTypeError::new_err(message)
    };
    let of_entry = |text: &Bound<'_, PyString>| match tag(text)? {
        empty if empty.is_empty() => {
            // Templates are asked for none: it is what one of them has come to.
            let message = format!("{argument} must be strings that are not empty, got {}", shown(value));
            Err(PyValueError::new_err(message))
        }
        tag => Ok(tag),
    };
    if let Ok(one) = value.cast::<PyString>() {
        return Ok(vec![of_entry(one)?]);
    }
    let mut tags = Tags::new();
    for item in value.try_iter().map_err(|_| wrong())? {
        tags.push(of_entry(item?.cast::<PyString>().map_err(|_| wrong())?)?);
    }
    if tags.len() > MOST_TAGS {
        let message = format!("{argument} must be at most {MOST_TAGS} strings, got {}", tags.len());
        return Err(PyValueError::new_err(message));
    }
    Ok(tags)
}

/// A tag's text. A lone surrogate, which is no character, becomes one of those that are for private use.
pub(crate) fn tag(value: &Bound<'_, PyString>) -> PyResult<String> {
    if let Ok(text) = value.to_cow() {
        return Ok(text.into_owned());
    }
    let bytes = value.guarded_method("encode", ("utf-32-le", "surrogatepass"))?;
    let points = bytes
        .extract::<&[u8]>()?
        .chunks_exact(4)
        .map(|point| u32::from_le_bytes([point[0], point[1], point[2], point[3]]));
    Ok(points.filter_map(|point| char::from_u32(point).or(char::from_u32(0x10_0000 + point))).collect())
}
