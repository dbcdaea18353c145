//! The locks on keys of a shared or remote cache object; those of memory are Python's.
//!
//! Ring 3.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::{view_of, CacheObject};
use crate::backend::{RemoteLocking, There};
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::ErrSet;
use crate::capi::panics::as_error;
use crate::function::CachedFunction;
use ::shared::{Asked, KeyLock};

/// A lock that was taken in a file.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs", name = "_HeldLock")]
pub struct HeldLock {
    lock: KeyLock,
    /// The address of the file that it is in, as `Shared` keeps all it has opened.
    file: usize,
}

fn shared(cached: &CachedFunction) -> Option<&crate::backend::Shared> {
    cached.state.backend.shared()
}

/// Takes the lock of a key. None: somebody has it. False: nobody has it, and there is no room for it.
pub(super) fn lock<'py>(
    cached: &CachedFunction,
    key: &Bound<'py, PyAny>,
    lease: Option<f64>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = key.py();
    let none = || py.None().into_bound(py);
    as_error(|| {
        let Some(shared) = shared(cached) else { return Ok(none()) };
        let key_ref = Ref::from(key);
        let lease = lease.map(span);
        let view = view_of(&key_ref).map_err(|ErrSet| PyErr::fetch(py))?;
        let (asked, file) = shared.lock_object(&view, lease).map_err(|ErrSet| PyErr::fetch(py))?;
        Ok(match asked {
            Asked::Taken(lock) => Bound::new(py, HeldLock { lock, file })?.into_any(),
            Asked::Held => none(),
            Asked::Full => PyBool::new(py, false).to_owned().into_any(),
        })
    })
}

/// The lock of a key among all hosts, to be asked for; `None` where there is no server.
pub(super) fn locking_there<'py>(
    cached: &CachedFunction,
    key: &Bound<'py, PyAny>,
    lease: Option<f64>,
) -> PyResult<Option<Bound<'py, RemoteLocking>>> {
    let py = key.py();
    let failed = |ErrSet| PyErr::fetch(py);
    let Some(there) = There::of(py, cached).map_err(failed)? else { return Ok(None) };
    let key_ref = Ref::from(key);
    let locking = there.locking(&view_of(&key_ref).map_err(failed)?, lease).map_err(failed)?;
    Bound::new(py, locking).map(Some)
}

/// Has a lock end so many seconds from now, or never by itself: what stands for it from then on; `None` if it was not this
/// one's any more.
pub(super) fn prolong<'py>(
    cached: &CachedFunction,
    held: &Bound<'py, HeldLock>,
    lease: Option<f64>,
) -> PyResult<Option<Bound<'py, HeldLock>>> {
    let py = held.py();
    let Some(shared) = shared(cached) else { return Ok(None) };
    let HeldLock { lock, file } = held.get();
    let prolonged = shared.prolong_object(py, (lock, *file), lease.map(span)).map_err(|ErrSet| PyErr::fetch(py))?;
    prolonged.map(|lock| Bound::new(py, HeldLock { lock, file: *file })).transpose()
}

fn span(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// Gives a lock back; whether it was this one's still.
pub(super) fn unlock(cached: &CachedFunction, held: &HeldLock) -> bool {
    shared(cached).is_some_and(|shared| shared.unlock_object(&held.lock, held.file))
}

/// Whether somebody has the lock of a key.
pub(super) fn is_locked(cached: &CachedFunction, key: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = key.py();
    let Some(shared) = shared(cached) else { return Ok(false) };
    let key_ref = Ref::from(key);
    let view = view_of(&key_ref).map_err(|ErrSet| PyErr::fetch(py))?;
    shared.is_object_locked(&view).map_err(|ErrSet| PyErr::fetch(py))
}

impl CacheObject {
    /// Runs `f` with the loader. (For this module and `methods`.)
    pub(super) fn with_cached<R>(&self, py: Python<'_>, f: impl FnOnce(&CachedFunction) -> PyResult<R>) -> PyResult<R> {
        let cached = self.cached(py).map_err(|ErrSet| PyErr::fetch(py))?;
        as_error(|| f(cached))
    }
}
