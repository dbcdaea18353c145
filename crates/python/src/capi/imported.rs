//! What stands in a Python module, found at its first use and kept.
//!
//! Ring 3. The import machinery looks for a module anew each time, and whether another thread is still importing it; what is
//! needed again and again is looked for once.

use pyo3::prelude::*;

use crate::capi::kept::Kept;
use crate::capi::reference::import;

/// A function or class of a module, to be a `static`.
pub struct Imported {
    module: &'static str,
    name: &'static str,
    object: Kept<Py<PyAny>>,
}

impl Imported {
    pub const fn new(module: &'static str, name: &'static str) -> Self {
        Imported { module, name, object: Kept::new() }
    }

    /// The object; it is imported if it has not been by now.
    pub fn get<'a, 'py: 'a>(&'a self, py: Python<'py>) -> PyResult<&'a Bound<'py, PyAny>> {
        let find = || -> PyResult<_> { Ok(import(py, self.module)?.getattr(self.name)?.unbind()) };
        Ok(self.object.get_or_make(py, find)?.bind(py))
    }
}
