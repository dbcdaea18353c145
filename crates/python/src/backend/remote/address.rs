//! Where a server is, as Python has it: an object that shows nothing of it.
//!
//! Ring 3. An address may hold a password, and so may a text that was meant to be one. So no error here shows what was given.

use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyString};

use crate::function::option_checks::OptionKind;
use remote::url::Url;

/// An address that was read and found sound.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs")]
pub struct ServerAddress {
    pub(super) url: Arc<Url>,
}

impl ServerAddress {
    fn parse(argument: &str, text: &Bound<'_, PyString>) -> PyResult<Self> {
        // (The error of a lone surrogate would show it.)
        let read = text.to_cow().ok().map(|text| Url::parse(&text));
        match read {
            Some(Ok(url)) => Ok(ServerAddress { url: Arc::new(url) }),
            Some(Err(wrong)) => Err(PyValueError::new_err(format!("{argument} must be the URL of a server: {wrong}"))),
            None => {
                Err(PyValueError::new_err(format!("{argument} must be the URL of a server, without lone surrogates")))
            }
        }
    }
}

#[pymethods]
impl ServerAddress {
    /// text: an address. argument: what errors call it. Raises TypeError or ValueError.
    #[new]
    #[pyo3(signature = (text, argument="remote"))]
    fn new(text: &Bound<'_, PyAny>, argument: &str) -> PyResult<Self> {
        match text.cast::<PyString>() {
            Ok(text) => Self::parse(argument, text),
            Err(_) => Err(PyTypeError::new_err(format!("{argument} must be the URL of a server, or None"))),
        }
    }

    fn __repr__(&self) -> &'static str {
        "<the address of a server>"
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("the address of a server is not pickled: it may hold a password"))
    }
}

/// Which server a cache has.
#[derive(Clone, Default)]
pub enum Source {
    /// None.
    #[default]
    Nowhere,
    /// The one that was configured, or that the environment names.
    Configured,
    At(Arc<Url>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Source::Nowhere => "Nowhere",
            Source::Configured => "Configured",
            Source::At(_) => "At(…)",
        })
    }
}

impl Source {
    pub fn is_given(&self) -> bool {
        !matches!(self, Source::Nowhere)
    }
}

/// A server's URL, True for the configured one, or None.
pub struct Server;

impl OptionKind for Server {
    type Value = Source;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Source> {
        if value.is_none() {
            return Ok(Source::Nowhere);
        }
        if let Ok(text) = value.cast::<PyString>() {
            return Ok(Source::At(ServerAddress::parse(argument, text)?.url));
        }
        if let Ok(address) = value.cast::<ServerAddress>() {
            return Ok(Source::At(Arc::clone(&address.get().url)));
        }
        match value.cast::<PyBool>() {
            Ok(flag) if flag.is_true() => Ok(Source::Configured),
            _ => Err(PyTypeError::new_err(format!(
                "{argument} must be the URL of a server, True for the one that is configured, or None"
            ))),
        }
    }

    fn given_back<'py>(value: &Source, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match value {
            Source::Nowhere => Ok(py.None().into_bound(py)),
            Source::Configured => Ok(PyBool::new(py, true).to_owned().into_any()),
            Source::At(url) => Ok(Bound::new(py, ServerAddress { url: Arc::clone(url) })?.into_any()),
        }
    }
}
