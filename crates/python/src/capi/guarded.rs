//! Calls of Python code from where PyO3's objects are at hand.
//!
//! Ring 3. PyO3's own methods of this sense declare CPython's functions as ones that never unwind; up to CPython 3.13 a
//! daemon thread may be ended in there ([`reference`](super::reference)), which would abort the process. `scripts/check-layers`
//! keeps PyO3's out.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{Bound, IntoPyObject};

use super::reference::{call, calls};

pub trait GuardedCalls<'py> {
    /// Calls it with positional arguments.
    fn guarded_call<A>(&self, args: A) -> PyResult<Bound<'py, PyAny>>
    where
        A: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>;

    /// Calls its method of this name with positional arguments.
    fn guarded_method<A>(&self, name: &str, args: A) -> PyResult<Bound<'py, PyAny>>
    where
        A: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>;

    /// The same with keywords.
    fn guarded_method_with<A>(
        &self,
        name: &str,
        args: A,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>>
    where
        A: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>;
}

impl<'py, T> GuardedCalls<'py> for Bound<'py, T> {
    fn guarded_call<A>(&self, args: A) -> PyResult<Bound<'py, PyAny>>
    where
        A: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>,
    {
        call(self.as_any(), &args.into_pyobject(self.py()).map_err(Into::into)?, None)
    }

    fn guarded_method<A>(&self, name: &str, args: A) -> PyResult<Bound<'py, PyAny>>
    where
        A: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>,
    {
        self.guarded_method_with(name, args, None)
    }

    fn guarded_method_with<A>(
        &self,
        name: &str,
        args: A,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>>
    where
        A: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>,
    {
        let py = self.py();
        let args = args.into_pyobject(py).map_err(Into::into)?;
        let name = PyString::new(py, name);
        // SAFETY: attached; live objects; a new reference, or null with an exception set.
        let method =
            unsafe { Bound::from_owned_ptr_or_err(py, calls::PyObject_GetAttr(self.as_ptr(), name.as_ptr()))? };
        call(&method, &args, keywords)
    }
}
