//! The options of a cache: read from Python, checked once, with errors that name the argument and the remedy.
//!
//! Ring 3.

use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt};

use crate::backend::shared::options::Limits;
use engine::policy::Kind;

/// The checked options of a cache.
#[pyclass(frozen, skip_from_py_object, module = "warp_cache._warp_cache_rs")]
#[derive(Clone, Debug)]
pub struct Options {
    pub strategy: Kind,
    /// `None` is unbounded.
    pub max_size: Option<usize>,
    /// Nanoseconds; 0 is no limit.
    pub ttl: u64,
    pub typed: bool,
    pub single_flight: bool,
    /// How long to wait for another's computation.
    pub wait_timeout: Option<Duration>,
    /// Whether all spellings of a call are one key.
    pub by_signature: bool,
    /// What concerns the shared backend alone.
    pub limits: Limits,
}

/// `"max_size must be an integer or None, got 'ten'"`
fn wrong(argument: &str, right: &str, value: &Bound<'_, PyAny>) -> String {
    format!("{argument} must be {right}, got {}", shown(value))
}

/// An object's repr, or something in its place where that raises.
pub fn shown(value: &Bound<'_, PyAny>) -> String {
    value.repr().map_or_else(|_| "an object whose repr raises".into(), |repr| repr.to_string())
}

pub fn wrong_type(argument: &str, right: &str, value: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(wrong(argument, right, value))
}

pub fn wrong_value(argument: &str, right: &str, value: &Bound<'_, PyAny>) -> PyErr {
    PyValueError::new_err(wrong(argument, right, value))
}

/// A `bool`.
pub fn boolean(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    match value.cast::<PyBool>() {
        Ok(flag) => Ok(flag.is_true()),
        Err(_) => Err(wrong_type(argument, "a bool", value)),
    }
}

/// A size: functools' rules, so a negative number is 0.
pub fn size(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    const RIGHT: &str = "an integer or None";
    if value.is_none() {
        return Ok(None);
    }
    let number = if value.is_instance_of::<PyInt>() {
        value.clone()
    } else {
        match value.call_method0("__index__") {
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

/// A positive, finite number of seconds or None.
pub fn seconds(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<Duration>> {
    const RIGHT: &str = "a positive, finite number of seconds or None";
    if value.is_none() {
        return Ok(None);
    }
    let number = value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>();
    if !number || value.is_instance_of::<PyBool>() {
        return Err(wrong_type(argument, RIGHT, value));
    }
    match value.extract::<f64>() {
        // Beyond some centuries the difference is nobody's.
        Ok(seconds) if seconds > 0.0 && seconds.is_finite() => {
            let nanos = (seconds.min(9e9) * 1e9) as u64;
            Ok(Some(Duration::from_nanos(nanos.max(1))))
        }
        Ok(_) => Err(wrong_value(argument, RIGHT, value)),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyOverflowError>(value.py()) => {
            Err(wrong_value(argument, RIGHT, value))
        }
        Err(_) => Err(wrong_type(argument, RIGHT, value)),
    }
}

/// Seconds of which [`seconds`] makes exactly so many nanoseconds: they are part of what a shared file is told by.
fn exact_seconds(nanos: u64) -> f64 {
    let near = nanos as f64 / 1e9;
    let next = |step: i64| f64::from_bits(near.to_bits().wrapping_add_signed(step));
    [0, 1, -1].into_iter().map(next).find(|seconds| (seconds * 1e9) as u64 == nanos).unwrap_or(near)
}

fn strategy(value: &Bound<'_, PyAny>) -> PyResult<Kind> {
    const RIGHT: &str = "a Strategy (LRU=0, MRU=1, FIFO=2, LFU=3, SIEVE=4, S3FIFO=5, TINYLFU=6)";
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
        return Err(wrong_type("strategy", RIGHT, value));
    }
    value.extract::<i64>().ok().and_then(Kind::from_number).ok_or_else(|| wrong_value("strategy", RIGHT, value))
}

#[pymethods]
impl Options {
    #[new]
    #[pyo3(signature = (strategy, max_size, ttl, typed, single_flight, wait_timeout, by_signature, max_key_size=None,
        max_value_size=None, max_bytes=None))]
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        strategy: &Bound<'_, PyAny>,
        max_size: &Bound<'_, PyAny>,
        ttl: &Bound<'_, PyAny>,
        typed: &Bound<'_, PyAny>,
        single_flight: &Bound<'_, PyAny>,
        wait_timeout: &Bound<'_, PyAny>,
        by_signature: &Bound<'_, PyAny>,
        max_key_size: Option<&Bound<'_, PyAny>>,
        max_value_size: Option<&Bound<'_, PyAny>>,
        max_bytes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Options {
            strategy: self::strategy(strategy)?,
            max_size: size("max_size", max_size)?,
            ttl: seconds("ttl", ttl)?.map_or(0, |ttl| ttl.as_nanos() as u64),
            typed: boolean("typed", typed)?,
            single_flight: boolean("single_flight", single_flight)?,
            wait_timeout: seconds("wait_timeout", wait_timeout)?,
            by_signature: boolean("by_signature", by_signature)?,
            limits: Limits::new([max_key_size, max_value_size, max_bytes])?,
        })
    }
}

impl Options {
    /// Whether keys are functools' also where it tells lone arguments apart: see [`CachedFunction`](super::CachedFunction).
    pub fn keeps_lone_apart(&self) -> bool {
        !self.by_signature && !self.typed
    }

    /// The arguments that make the same options.
    pub fn arguments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let arguments = PyDict::new(py);
        arguments.set_item("strategy", self.strategy as u8)?;
        arguments.set_item("max_size", self.max_size)?;
        arguments.set_item("ttl", (self.ttl != 0).then(|| exact_seconds(self.ttl)))?;
        arguments.set_item("typed", self.typed)?;
        arguments.set_item("single_flight", self.single_flight)?;
        arguments.set_item("wait_timeout", self.wait_timeout.map(|bound| bound.as_secs_f64()))?;
        arguments.set_item("by_signature", self.by_signature)?;
        arguments.set_item("max_key_size", self.limits.max_key_size)?;
        arguments.set_item("max_value_size", self.limits.max_value_size)?;
        arguments.set_item("max_bytes", self.limits.max_bytes)?;
        Ok(arguments)
    }

    /// What the first instance is made with, on which the layout is measured.
    pub fn plain() -> Self {
        Options {
            strategy: Kind::Lru,
            max_size: Some(1),
            ttl: 0,
            typed: false,
            single_flight: false,
            wait_timeout: None,
            by_signature: false,
            limits: Limits::default(),
        }
    }
}
