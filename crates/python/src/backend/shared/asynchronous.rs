//! Leases of coroutine functions with a shared cache, whose miss is driven by `warp_cache._async`.
//!
//! Ring 3. Among the tasks of a loop a miss has a flight, as in memory; its work asks for the key's lease before it computes,
//! and asks again after a while where another process has it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyTuple};

use super::computing::ByTask;
use super::turn::Turn;
use super::Shared;
use crate::backend::shared::access::{KeyAccess, KeyBytes, Lookup, StoreCondition};
use crate::backend::shared::decoded::Decoded;
use crate::backend::shared::file::File;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::panics::{as_error, point};
use crate::capi::reference::PyRef;
use crate::function::control::Tags;
use crate::function::fence::Began;
use crate::function::state::{CacheState, Put};
use crate::function::ticket::Ticket;
use crate::key::View;
use concurrency::fork;
use shared::{Acquired, Lease, Purpose, SharedCache, Tags as FileTags, Waited};

impl Shared {
    /// Asks for the lease of a key; see `AsyncCachedFunction._lead`.
    pub(super) fn ask<'py>(
        &self,
        py: Python<'py>,
        state: &CacheState,
        view: &View<'_>,
        ticket: &Ticket,
        (insist, tags): (bool, &Tags),
        queue: &SharedTurn,
    ) -> PyResult<Bound<'py, PyAny>> {
        point("_lead");
        let alone = py.None().into_bound(py);
        let not_yet = PyBool::new(py, false).to_owned().into_any();
        let mut request = match KeyAccess::ask(self, view) {
            KeyBytes::KeyAccess(request) => request,
            KeyBytes::Unstorable(_) => return Ok(alone),
            KeyBytes::Failed => return Err(PyErr::fetch(py)),
        };
        let mut turn = queue.get();
        if let Some(awaited) = turn.ticket.filter(|_| !insist) {
            let waited = request.file.shm.wait(&awaited, Duration::ZERO);
            if waited == Waited::NotYet {
                return Ok(not_yet);
            }
            turn.note(waited);
            queue.set(turn);
            match request.look() {
                Lookup::Found(value, kept) | Lookup::Stale(value, kept, _) => {
                    return self.found(py, state, view, value, kept);
                }
                Lookup::Raise(raised) => return Err(raised_own(py, &raised)),
                Lookup::Failed => return Err(PyErr::fetch(py)),
                Lookup::Absent => (),
                Lookup::Unreadable(skipped) => {
                    self.count_ticket(Some(request.file), ticket, skipped);
                    turn.note_unreadable();
                    queue.set(turn);
                }
            }
        }
        let bound = state.wait_timeout.unwrap_or(Duration::MAX);
        let noted = self.noted(py, tags);
        match request.file.shm.acquire_sought(Purpose::Miss, &request.sought(), &noted, bound, insist) {
            Acquired::Leader(lease) => {
                // SAFETY: the request's file is from `working`.
                let lease = SharedLease::new(unsafe { self.files.of(request.file) }, lease, request.hash);
                lease.computed_here();
                Ok(Bound::new(py, lease)?.into_any())
            }
            Acquired::Alone => Ok(alone),
            Acquired::Follower(_) if turn.is_free() => Ok(alone),
            Acquired::Follower(other) => {
                turn.ticket = Some(other);
                queue.set(turn);
                Ok(not_yet)
            }
            Acquired::Present => match request.look() {
                Lookup::Found(value, kept) | Lookup::Stale(value, kept, _) => self.found(py, state, view, value, kept),
                Lookup::Raise(raised) => Err(raised_own(py, &raised)),
                Lookup::Failed => Err(PyErr::fetch(py)),
                Lookup::Absent => Ok(alone),
                Lookup::Unreadable(skipped) => {
                    self.count_ticket(Some(request.file), ticket, skipped);
                    turn.note_unreadable();
                    queue.set(turn);
                    Ok(alone)
                }
            },
        }
    }

    /// Asks for the lease of a refresh, of a call with these tags: `Purpose::Refresh` of one in the background,
    /// `Purpose::Anew` of one that somebody asked for, which takes it from whoever has it. `None` where there is none to be
    /// had.
    pub(crate) fn claim(
        &self,
        state: &CacheState,
        view: &View<'_>,
        purpose: Purpose,
        tags: &FileTags,
    ) -> Result<Option<SharedLease>, ErrSet> {
        let request = match KeyAccess::ask(self, view) {
            KeyBytes::KeyAccess(request) => request,
            KeyBytes::Unstorable(_) => return Ok(None),
            KeyBytes::Failed => return Err(ErrSet),
        };
        let bound = state.wait_timeout.unwrap_or(Duration::MAX);
        let insist = purpose == Purpose::Anew;
        Ok(match request.file.shm.acquire_sought(purpose, &request.sought(), tags, bound, insist) {
            Acquired::Leader(lease) => {
                // SAFETY: the request's file is from `working`.
                Some(SharedLease::new(unsafe { self.files.of(request.file) }, lease, request.hash))
            }
            Acquired::Alone | Acquired::Follower(_) | Acquired::Present => None,
        })
    }

    /// A tuple with a value that was found in the file, which is kept.
    fn found<'py>(
        &self,
        py: Python<'py>,
        state: &CacheState,
        view: &View<'_>,
        value: PyRef,
        kept: Option<Box<Decoded>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let value = value.into_bound(py);
        state.keep(self, view, kept, Put::UnlessPending);
        Ok(PyTuple::new(py, [value])?.into_any())
    }
}

/// A stored exception, as one more caller is to raise it.
fn raised_own(py: Python<'_>, raised: &PyRef) -> PyErr {
    exceptions::raise_own(py, raised);
    PyErr::fetch(py)
}

/// Where a computation stands in the queue for its key's lease.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs")]
pub struct SharedTurn(Mutex<Turn>);

impl SharedTurn {
    /// `free`: its caller has waited for a computation that ended without a value.
    pub(crate) fn new(free: bool) -> Self {
        let mut turn = Turn::default();
        if free {
            turn.free();
        }
        SharedTurn(Mutex::new(turn))
    }

    fn get(&self) -> Turn {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, turn: Turn) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }
}

#[pymethods]
impl SharedTurn {
    /// Whether those who wait for this computation are to be freed before it begins; true once.
    fn frees_others(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).frees_others()
    }
}

/// The right, and the duty, to compute a key for all processes. It ends with `end`, with the value stored, or when it is
/// dropped.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs")]
pub struct SharedLease {
    file: Arc<File>,
    lease: Mutex<Option<Lease>>,
    /// Of the key.
    hash: u64,
    /// That a task computes the key.
    by_task: Mutex<Option<ByTask>>,
    /// Of which process (`fork::epoch`): a fork's child has a copy of this, but not the duty.
    generation: u64,
}

impl SharedLease {
    fn new(file: Arc<File>, lease: Lease, hash: u64) -> Self {
        let (lease, by_task) = (Mutex::new(Some(lease)), Mutex::new(None));
        SharedLease { file, lease, hash, by_task, generation: fork::epoch() }
    }

    fn take(&self) -> Option<Lease> {
        self.by_task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
        lease.filter(|_| self.generation == fork::epoch())
    }

    /// On what condition a result is stored that was computed under this lease. It stays here, and is ended here once more:
    /// the result may be stored in another file than the one in which others wait, if this one was left meanwhile, or in
    /// none.
    pub(crate) fn hold(state: &CacheState, lease: Option<&Bound<'_, SharedLease>>, began: Began) -> StoreCondition {
        let began = shared::Began::of(began.clears, began.stamp);
        let lease = lease.and_then(|lease| lease.get().lease());
        lease.map_or_else(|| StoreCondition::since(state, began), StoreCondition::Lease)
    }

    fn lease(&self) -> Option<Lease> {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone();
        lease.filter(|_| self.generation == fork::epoch())
    }

    fn give_up(&self, how: fn(&SharedCache, Lease)) -> PyResult<()> {
        as_error(|| {
            if let Some(lease) = self.take() {
                how(&self.file.shm, lease);
            }
            Ok(())
        })
    }
}

#[pymethods]
impl SharedLease {
    /// Notes that a task of this thread's loop computes the key: a plain call in this thread is not to wait for it.
    fn computed_here(&self) {
        *self.by_task.lock().unwrap_or_else(PoisonError::into_inner) = Some(ByTask::begin(self.hash));
    }

    /// Gives the computation up, if its value was not stored: whoever waits for it may compute.
    fn end(&self) -> PyResult<()> {
        self.give_up(SharedCache::abandon)
    }

    /// The same where it ended with what is its caller's alone: nobody else has anything of it.
    fn end_privately(&self) -> PyResult<()> {
        self.give_up(SharedCache::abandon_privately)
    }

    /// The same for a refresh that has failed: the next one begins later.
    fn end_failed(&self) -> PyResult<()> {
        self.give_up(SharedCache::refresh_failed)
    }

    /// The same for a computation that was cancelled with its callers: one of those who wait computes in its place.
    fn leave(&self) -> PyResult<()> {
        self.give_up(SharedCache::leave)
    }
}

impl Drop for SharedLease {
    fn drop(&mut self) {
        // Who waits for a lease that could not be ended waits for its bound.
        let _ = self.leave();
    }
}
