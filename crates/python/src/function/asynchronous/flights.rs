//! The computations of a cached coroutine function that are under way.
//!
//! Ring 3. `warp_cache._async` keeps them; what invalidates forgets them here, so that who calls afterwards starts anew.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::drivers;
use crate::capi::guarded::GuardedCalls;
use crate::function::computation::Computation;
use crate::function::control::Tags;

/// The computations under way, by event loop and ticket; `warp_cache._async` keeps them.
#[derive(Debug)]
pub struct Flights(pub(super) Py<PyDict>);

impl Flights {
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        drivers(py)?;
        Ok(Flights(PyDict::new(py).unbind()))
    }

    /// Those under way go on, and reach who waits for them; who comes now starts anew.
    pub fn forget(&self, py: Python<'_>) {
        self.0.bind(py).clear();
    }

    pub fn is_empty(&self, py: Python<'_>) -> bool {
        self.0.bind(py).is_empty()
    }

    /// [`forget`](Self::forget) for one key.
    pub fn forget_key(&self, ticket: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = ticket.py();
        for table in self.0.bind(py).values() {
            table.guarded_method("pop", (ticket, py.None()))?;
        }
        Ok(())
    }

    /// [`forget`](Self::forget) for the computations that have one of the tags.
    pub fn forget_tags(&self, py: Python<'_>, tags: &Tags) -> PyResult<()> {
        for table in self.0.bind(py).values() {
            for flight in table.cast::<PyDict>()?.values() {
                let computation = flight.getattr("computation")?;
                let concerned = computation
                    .cast::<Computation>()
                    .is_ok_and(|computation| computation.get().tags.iter().any(|tag| tags.contains(tag)));
                if concerned {
                    table.guarded_method("pop", (flight.getattr("ticket")?, py.None()))?;
                }
            }
        }
        Ok(())
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}
