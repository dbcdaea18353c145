//! Locks on keys of a cache object, among all hosts.
//!
//! Ring 3. What waits for the server touches nothing of the caches and may run in any thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::not_acknowledged;
use super::object::There;
use super::opened::asking;
use crate::backend::shared::object::checks::refuse_key;
use crate::capi::exceptions::ErrSet;
use crate::capi::panics::as_error;
use crate::key::View;
use remote::tier::{Call, Lock, Locking, Tier, Waiting};

/// A key's lock, to be taken, with what is known of whoever has it.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs", name = "_RemoteLocking")]
pub struct RemoteLocking {
    tier: Arc<Tier>,
    call: Arc<Call>,
    lasting: Option<Duration>,
    waiting: Mutex<Option<Waiting>>,
}

/// A lock that was taken.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs", name = "_RemoteLock")]
pub struct RemoteLock {
    tier: Arc<Tier>,
    call: Arc<Call>,
    lock: Box<Lock>,
}

/// Raises a `RemoteError`.
fn failed(py: Python<'_>, why: &dyn std::fmt::Display) -> PyErr {
    let ErrSet = not_acknowledged(py, why);
    PyErr::fetch(py)
}

impl There<'_> {
    /// A key's lock, which is not asked for yet. `Err` with an exception set.
    pub(crate) fn locking(&self, view: &View<'_>, lasting: Option<f64>) -> Result<RemoteLocking, ErrSet> {
        // Whatever cannot be a key has no lock.
        self.trip(view, &Default::default())?;
        let key = self.remote.key_of(view)?;
        let call = key.zip(self.opened.locks.as_ref()).and_then(|(key, locks)| locks.call(&key, &[]).ok());
        let Some(call) = call else { return Err(refuse_key(view.values[0])) };
        Ok(RemoteLocking {
            tier: Arc::clone(&self.opened.tier),
            call: Arc::new(call),
            lasting: lasting.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(super::LONGEST)),
            waiting: Mutex::new(None),
        })
    }
}

#[pymethods]
impl RemoteLocking {
    /// Takes the lock, unless somebody has it. Raises RemoteError. To be called where waiting for the server harms nobody.
    fn attempt(&self, py: Python<'_>) -> PyResult<Option<RemoteLock>> {
        as_error(|| {
            // SAFETY: the tier knows nothing of Python.
            match unsafe { asking(py, || self.tier.lock(&self.call, self.lasting)) } {
                Ok(Locking::Taken(lock)) => {
                    let (tier, call) = (Arc::clone(&self.tier), Arc::clone(&self.call));
                    Ok(Some(RemoteLock { tier, call, lock }))
                }
                Ok(Locking::Theirs(waiting)) => {
                    *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(waiting);
                    Ok(None)
                }
                Err(why) => Err(failed(py, &why)),
            }
        })
    }

    /// Sleeps until it may be free, for at most so many seconds; whether it is to be tried again. To be called where waiting
    /// harms nobody.
    fn sleep(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
        let waiting = *self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        as_error(|| match waiting {
            // SAFETY: as in `attempt`.
            Some(waiting) => Ok(unsafe { asking(py, || self.tier.wait_for_lock(&self.call, &waiting, time)) }),
            None => Err(PyRuntimeError::new_err("the lock was not asked for yet")),
        })
    }

    /// Whether somebody has the lock. Raises RemoteError.
    fn is_locked(&self, py: Python<'_>) -> PyResult<bool> {
        as_error(|| {
            // SAFETY: as in `attempt`.
            unsafe { asking(py, || self.tier.is_locked(&self.call)) }.map_err(|why| failed(py, &why))
        })
    }
}

#[pymethods]
impl RemoteLock {
    /// Gives the lock back; whether it was this one's still. Raises RemoteError.
    fn release(&self, py: Python<'_>) -> PyResult<bool> {
        as_error(|| {
            // SAFETY: as in `RemoteLocking::attempt`.
            unsafe { asking(py, || self.tier.unlock(&self.call, &self.lock)) }.map_err(|why| failed(py, &why))
        })
    }
}
