//! `SharedCachedFunction`: the shared tier's place in the API. Its backend is not there yet, and it says so.
//!
//! Ring 3.

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// A function with a cache that all processes of the host share.
///
/// SharedCachedFunction(fn, strategy, max_size, ttl=None, max_key_size=512, max_value_size=4096, shm_name=None)
///
/// Not implemented yet: making one raises NotImplementedError.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs")]
#[derive(Debug)]
pub struct SharedCachedFunction;

#[pymethods]
impl SharedCachedFunction {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        Err(PyNotImplementedError::new_err(
            "SharedCachedFunction is not implemented yet; use CachedFunction (one cache per process)",
        ))
    }
}
