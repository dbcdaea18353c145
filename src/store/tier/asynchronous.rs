//! Coroutine functions with a tier: the hit is served here, the miss is driven by `warp_cache._async`.
//!
//! Ring 3. Among the tasks of a loop a miss has a flight, as without a tier; its work asks for the key's lease before it
//! computes, and asks again after a while where another process has it.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyTuple};

use super::call::Through;
use super::file::File;
use super::request::{Asked, Hold, Look, Request};
use crate::key::View;
use crate::python::object::Arguments;
use crate::shm::{Acquired, Lease};
use crate::store::asynchronous::Ticket;
use crate::store::course::ready;
use crate::store::lookup::Hot;
use crate::store::{CachedFunction, Put};
use crate::thread_id;

impl CachedFunction {
    /// The coroutine of a call that `hot` left with `found`.
    ///
    /// # Safety
    /// As for `miss_async`.
    #[inline(never)]
    pub(super) unsafe fn await_through(
        &self,
        object: *mut ffi::PyObject,
        arguments: &Arguments,
        view: &View<'_>,
        hot: Hot,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let Some(tier) = &self.tier else {
                return self.pass_on_async(object, arguments);
            };
            match self.look_through(tier, view, hot) {
                Through::Value(value) => ready(value),
                Through::Failed => std::ptr::null_mut(),
                Through::Missed(request, found) => {
                    drop((request, found));
                    self.start(object, arguments, view)
                }
                Through::Unstorable => self.start(object, arguments, view),
            }
        }
    }

    /// Asks for the lease of a key; see `AsyncCachedFunction._lead`.
    ///
    /// # Safety
    /// As for `get_through`.
    pub(in crate::store) unsafe fn ask_through<'py>(
        &self,
        py: Python<'py>,
        view: &View<'_>,
        insist: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let alone = py.None().into_bound(py);
        let Some(tier) = &self.tier else {
            return Ok(alone);
        };
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let mut request = match Request::ask(tier, view) {
                Asked::Request(request) => request,
                Asked::Unstorable => return Ok(alone),
                Asked::Failed => return Err(PyErr::fetch(py)),
            };
            let bound = self.wait_timeout.unwrap_or(std::time::Duration::MAX);
            match request.file.shm.acquire(request.key(), bound, insist) {
                Acquired::Leader(lease) => {
                    let lease = SharedLease {
                        file: tier.files.of(request.file),
                        lease: Mutex::new(Some(lease)),
                        generation: thread_id::generation(),
                    };
                    Ok(Bound::new(py, lease)?.into_any())
                }
                Acquired::Alone => Ok(alone),
                Acquired::Follower(_) => Ok(PyBool::new(py, false).to_owned().into_any()),
                Acquired::Present => match request.look() {
                    Look::Found(value, kept) => {
                        let value = Bound::from_owned_ptr(py, value);
                        self.keep(view, kept, Put::UnlessPending);
                        Ok(PyTuple::new(py, [value])?.into_any())
                    }
                    Look::Failed => Err(PyErr::fetch(py)),
                    // What is there cannot be decoded.
                    Look::Absent => Ok(alone),
                },
            }
        }
    }
}

/// The right, and the duty, to compute a key for all processes. It ends with `end`, with the value stored, or when it is
/// dropped.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs")]
pub struct SharedLease {
    file: Arc<File>,
    lease: Mutex<Option<Lease>>,
    /// Of which process (`thread_id::generation`): a fork's child has a copy of this, but not the duty.
    generation: u64,
}

impl SharedLease {
    fn take(&self) -> Option<Lease> {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
        lease.filter(|_| self.generation == thread_id::generation())
    }

    /// On what condition a result is stored that was computed under this lease.
    pub(in crate::store) fn hold(lease: Option<&Bound<'_, SharedLease>>, generation: u64) -> Hold {
        lease.and_then(|lease| lease.get().take()).map_or(Hold::Since(generation), Hold::Lease)
    }
}

#[pymethods]
impl SharedLease {
    /// Gives the computation up, if its value was not stored: whoever waits for it may compute.
    fn end(&self) {
        if let Some(lease) = self.take() {
            self.file.shm.abandon(lease);
        }
    }
}

impl Drop for SharedLease {
    fn drop(&mut self) {
        self.end();
    }
}

/// What `warp_cache._async` asks of a ticket's key.
impl CachedFunction {
    /// Stores the ticket's value under a lease, or unless the cache was cleared since `generation`.
    pub(in crate::store) fn store_through(
        &self,
        tier: &super::Tier,
        ticket: &Bound<'_, Ticket>,
        value: &Bound<'_, PyAny>,
        hold: Hold,
    ) -> PyResult<()> {
        // SAFETY: the ticket holds its key; the thread is attached and holds no lock.
        if ticket.get().with_view(|view| unsafe { self.set_through(tier, view, value.as_ptr(), hold) }) {
            Ok(())
        } else {
            Err(PyErr::fetch(ticket.py()))
        }
    }
}
