//! What is made at its first use and kept from then on.
//!
//! Ring 3. PyO3's `get_or_init` has others wait while the value is made. So it must not run Python's code, which may come back
//! for the same value (a signal's handler, a finalizer, what hooks imports), fork, so that the child waits for a thread
//! that it does not have, or wait for a module that a thread imports which waits here. Here nobody waits: who comes
//! meanwhile makes a value, too, and the first that is done is kept.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// A value that is made at its first use.
pub struct Kept<T>(PyOnceLock<T>);

impl<T> Kept<T> {
    pub const fn new() -> Self {
        Kept(PyOnceLock::new())
    }

    /// The value, if it was made.
    pub fn get(&self, py: Python<'_>) -> Option<&T> {
        self.0.get(py)
    }

    /// The value; `make` may run any code.
    pub fn get_or_make<E>(&self, py: Python<'_>, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(kept) = self.0.get(py) {
            return Ok(kept);
        }
        let made = make()?;
        Ok(self.keep(py, made))
    }

    /// What is kept: this, if nothing was. (Another one is dropped here, with nobody waiting.)
    fn keep(&self, py: Python<'_>, made: T) -> &T {
        let mut other = Some(made);
        let kept = self.0.get_or_init(py, || other.take().expect("called once at most"));
        drop(other);
        kept
    }
}
