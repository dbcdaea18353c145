//! What an option may be: each kind checks an argument, with an error that names it and the remedy, and gives it back.
//!
//! Ring 3.

use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDelta, PyFloat, PyInt, PyString};

use engine::policy::Kind;

use crate::capi::guarded::GuardedCalls;

/// A kind of option.
pub trait OptionKind {
    /// What is left of the argument once it has been checked.
    type Value;

    /// Whether None says something of its own, such as no limit.
    const HAS_NONE: bool = true;

    /// Checks an argument, whose name stands in the error.
    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Self::Value>;

    /// An argument that is checked to this value.
    fn given_back<'py>(value: &Self::Value, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;

    /// Shows the garbage collector the objects that the value refers to.
    fn traverse(_value: &Self::Value, _visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        Ok(())
    }
}

/// `"max_size must be an integer or None, got 'ten'"`
fn wrong(argument: &str, right: &str, value: &Bound<'_, PyAny>) -> String {
    format!("{argument} must be {right}, got {}", shown(value))
}

/// An object's repr, or something in its place where that raises.
pub fn shown(value: &Bound<'_, PyAny>) -> String {
    value.repr().map_or_else(|_| "an object whose repr raises".into(), |repr| repr.to_string())
}

pub(super) fn wrong_type(argument: &str, right: &str, value: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(wrong(argument, right, value))
}

pub(super) fn wrong_value(argument: &str, right: &str, value: &Bound<'_, PyAny>) -> PyErr {
    PyValueError::new_err(wrong(argument, right, value))
}

/// An int that is no bool.
pub(super) fn is_int(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>()
}

/// A `Strategy`, or its number.
pub struct Strategy;

impl OptionKind for Strategy {
    type Value = Kind;

    const HAS_NONE: bool = false;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Kind> {
        if !is_int(value) {
            return Err(wrong_type(argument, &strategies(), value));
        }
        value
            .extract::<i64>()
            .ok()
            .and_then(Kind::from_number)
            .ok_or_else(|| wrong_value(argument, &strategies(), value))
    }

    fn given_back<'py>(value: &Kind, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok((*value as u8).into_pyobject(py)?.into_any())
    }
}

/// `"a Strategy (LRU=0, MRU=1, ...)"`
fn strategies() -> String {
    let numbered = Kind::ALL.iter().map(|kind| format!("{}={}", kind.name().to_uppercase(), *kind as u8));
    format!("a Strategy ({})", numbered.collect::<Vec<_>>().join(", "))
}

/// A number of entries, or None for no bound; functools' rules, so a negative number is 0.
pub struct Size;

impl OptionKind for Size {
    type Value = Option<usize>;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        const RIGHT: &str = "an integer or None";
        if value.is_none() {
            return Ok(None);
        }
        let number = if value.is_instance_of::<PyInt>() {
            value.clone()
        } else {
            match value.guarded_method("__index__", ()) {
                Ok(number) => number,
                Err(_) => return Err(wrong_type(argument, RIGHT, value)),
            }
        };
        if number.lt(0)? {
            return Ok(Some(0));
        }
        match number.extract::<isize>() {
            Ok(size) => Ok(Some(size as usize)),
            Err(_) => Err(wrong_value(argument, "less than 2**63 (None is unbounded)", value)),
        }
    }

    fn given_back<'py>(value: &Option<usize>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(value.into_pyobject(py)?)
    }
}

/// A finite number of seconds: a number, or a `timedelta`.
pub(super) fn seconds(argument: &str, right: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    let number = if value.is_instance_of::<PyFloat>() || is_int(value) {
        value.extract::<f64>()
    } else if value.is_instance_of::<PyDelta>() {
        value.guarded_method("total_seconds", ())?.extract::<f64>()
    } else {
        return Err(wrong_type(argument, right, value));
    };
    match number {
        Ok(seconds) if seconds.is_finite() => Ok(seconds),
        Ok(_) => Err(wrong_value(argument, right, value)),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyOverflowError>(value.py()) => {
            Err(wrong_value(argument, right, value))
        }
        Err(_) => Err(wrong_type(argument, right, value)),
    }
}

/// Seconds in nanoseconds. Beyond some centuries the difference is nobody's.
pub(super) fn nanos(seconds: f64) -> u64 {
    (seconds.clamp(0.0, 9e9) * 1e9) as u64
}

/// A positive, finite number of seconds (a number, or a `timedelta`), or None for no limit.
pub struct Seconds;

impl Seconds {
    /// `check` with words of its own for what would be right.
    pub(super) fn check_as(argument: &str, right: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<Duration>> {
        if value.is_none() {
            return Ok(None);
        }
        match seconds(argument, right, value)? {
            seconds if seconds > 0.0 => Ok(Some(Duration::from_nanos(nanos(seconds).max(1)))),
            _ => Err(wrong_value(argument, right, value)),
        }
    }
}

impl OptionKind for Seconds {
    type Value = Option<Duration>;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<Duration>> {
        Self::check_as(argument, "a positive, finite number of seconds, a timedelta or None", value)
    }

    fn given_back<'py>(value: &Option<Duration>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(value.map(|bound| bound.as_secs_f64()).into_pyobject(py)?)
    }
}

/// [`Seconds`] that an entry lives, in nanoseconds; 0 is no limit.
pub struct Lifetime;

impl OptionKind for Lifetime {
    type Value = u64;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
        Ok(Seconds::check(argument, value)?.map_or(0, |ttl| ttl.as_nanos() as u64))
    }

    fn given_back<'py>(value: &u64, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok((*value != 0).then(|| exact_seconds(*value)).into_pyobject(py)?)
    }
}

/// Seconds of which [`Seconds`] makes exactly so many nanoseconds: they are part of what a shared file is told by.
pub(super) fn exact_seconds(nanos: u64) -> f64 {
    let near = nanos as f64 / 1e9;
    let next = |step: i64| f64::from_bits(near.to_bits().wrapping_add_signed(step));
    [0, 1, -1].into_iter().map(next).find(|seconds| (seconds * 1e9) as u64 == nanos).unwrap_or(near)
}

/// A `bool`.
pub struct Flag;

impl OptionKind for Flag {
    type Value = bool;

    const HAS_NONE: bool = false;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        match value.cast::<PyBool>() {
            Ok(flag) => Ok(flag.is_true()),
            Err(_) => Err(wrong_type(argument, "a bool", value)),
        }
    }

    fn given_back<'py>(value: &bool, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyBool::new(py, *value).to_owned().into_any())
    }
}

/// Bytes at most, or None for no limit.
pub struct Bytes;

impl OptionKind for Bytes {
    type Value = Option<usize>;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        const RIGHT: &str = "a positive int or None (bytes)";
        if value.is_none() {
            return Ok(None);
        }
        if !is_int(value) {
            return Err(wrong_type(argument, RIGHT, value));
        }
        if value.le(0)? {
            return Err(wrong_value(argument, RIGHT, value));
        }
        // More than there can be: no limit for a key or a value, and too much for a file.
        Ok(Some(value.extract::<usize>().unwrap_or(usize::MAX)))
    }

    fn given_back<'py>(value: &Option<usize>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(value.into_pyobject(py)?)
    }
}

/// What the user calls a cache, or None where that is left to the function.
pub struct CacheName;

impl OptionKind for CacheName {
    type Value = Option<String>;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        const RIGHT: &str = "a non-empty string without lone surrogates, or None";
        if value.is_none() {
            return Ok(None);
        }
        let Ok(name) = value.cast::<PyString>() else {
            return Err(wrong_type(argument, RIGHT, value));
        };
        // Lone surrogates have no bytes, so no file can be named after them.
        match name.to_cow() {
            Ok(name) if !name.is_empty() => Ok(Some(name.into_owned())),
            _ => Err(wrong_value(argument, RIGHT, value)),
        }
    }

    fn given_back<'py>(value: &Option<String>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(value.as_deref().into_pyobject(py)?)
    }
}
