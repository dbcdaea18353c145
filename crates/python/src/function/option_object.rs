//! Objects of the user's that options are, or refer to.
//!
//! Ring 3.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::capi::borrowed::Ref;
use crate::capi::reference::PyRef;

/// An object that an option is or refers to. It is cloned and dropped by attached threads.
#[derive(Debug)]
pub struct Object(PyRef);

impl Object {
    pub fn new(object: &Bound<'_, PyAny>) -> Self {
        Object(object.clone().unbind().into())
    }

    pub fn as_ptr(&self) -> *mut pyo3::ffi::PyObject {
        self.0.as_ptr()
    }

    /// The object, for an attached thread.
    pub fn lend<'a>(&'a self, py: Python<'a>) -> Ref<'a> {
        self.0.lend(py)
    }

    pub fn bind<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        self.0.as_py().bind(py)
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.0.as_py())
    }
}

impl Clone for Object {
    fn clone(&self) -> Self {
        // SAFETY: options are made and cloned by attached threads only.
        Object(self.0.clone_ref(unsafe { Python::assume_attached() }))
    }
}
