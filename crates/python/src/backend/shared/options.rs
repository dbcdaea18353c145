//! The options that concern the file alone: checked once, with errors that name the argument and the remedy.
//!
//! Ring 3.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyString};

use crate::function::options::{wrong_type, wrong_value};

/// Bytes at most; `None` is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    pub max_key_size: Option<usize>,
    pub max_value_size: Option<usize>,
    /// Of the whole file.
    pub max_bytes: Option<usize>,
}

impl Limits {
    /// In the order of the fields; what is left out is no limit.
    pub fn new(values: [Option<&Bound<'_, PyAny>>; 3]) -> PyResult<Self> {
        let [key, value, bytes] = values;
        Ok(Limits {
            max_key_size: limit("max_key_size", key)?,
            max_value_size: limit("max_value_size", value)?,
            max_bytes: limit("max_bytes", bytes)?,
        })
    }
}

fn limit(argument: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<usize>> {
    const RIGHT: &str = "a positive int or None (bytes)";
    let Some(value) = value.filter(|value| !value.is_none()) else {
        return Ok(None);
    };
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
        return Err(wrong_type(argument, RIGHT, value));
    }
    if value.le(0)? {
        return Err(wrong_value(argument, RIGHT, value));
    }
    // More than there can be: no limit for a key or a value, and too much for a file.
    Ok(Some(value.extract::<usize>().unwrap_or(usize::MAX)))
}

/// What the user calls a cache; `None` where that is left to the function.
pub fn name(argument: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<String>> {
    const RIGHT: &str = "a non-empty string without lone surrogates, or None";
    let Some(value) = value.filter(|value| !value.is_none()) else {
        return Ok(None);
    };
    let Ok(name) = value.cast::<PyString>() else {
        return Err(wrong_type(argument, RIGHT, value));
    };
    // Lone surrogates have no bytes, so no file can be named after them.
    match name.to_cow() {
        Ok(name) if !name.is_empty() => Ok(Some(name.into_owned())),
        _ => Err(wrong_value(argument, RIGHT, value)),
    }
}

/// An argument that was given, even as None.
pub struct Given<'py>(pub Option<Bound<'py, PyAny>>);

impl<'py> Given<'py> {
    pub const NOT: Given<'static> = Given(None);

    /// The argument, or the number that stands for it.
    pub fn or(self, py: Python<'py>, default: usize) -> Bound<'py, PyAny> {
        self.0.unwrap_or_else(|| PyInt::new(py, default).into_any())
    }
}

impl<'py> FromPyObject<'_, 'py> for Given<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Given(Some(object.to_owned())))
    }
}
