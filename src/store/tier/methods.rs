//! What `get`, `set`, `cache_info` and `cache_clear` do where there is a tier.
//!
//! Ring 3.

use pyo3::ffi;

use super::request::{Asked, Hold, Look, Raised, Request};
use super::Tier;
use crate::key::View;
use crate::shm::Event;
use crate::store::sleep::detached;
use crate::store::{CachedFunction, Put};

/// The counters of the file.
pub(in crate::store) struct Counters {
    pub hits: u64,
    pub misses: u64,
    pub oversize_skips: u64,
    pub repairs: u64,
    pub size: usize,
}

impl Tier {
    pub(in crate::store) fn counters(&self) -> Counters {
        let info = self.files.current().shm.info();
        Counters {
            hits: info.hits,
            misses: info.misses,
            oversize_skips: info.oversize_skips,
            repairs: info.repairs,
            size: if self.stores { usize::try_from(info.len).unwrap_or(usize::MAX) } else { 0 },
        }
    }

    /// Empties the file, for all processes.
    ///
    /// # Safety
    /// The thread is attached and holds no lock.
    pub unsafe fn clear(&self) {
        let file = self.files.working();
        // SAFETY: the caller's promise. It may have to wait for a writer.
        unsafe { detached(|| file.shm.clear()) };
    }
}

impl CachedFunction {
    /// The value that the tier has for a key, as a use that is not counted: a new reference. `Ok(None)` if there is none,
    /// `Err` with an exception set.
    ///
    /// # Safety
    /// The view's objects are alive; the thread is attached and holds no lock.
    pub(in crate::store) unsafe fn get_through(&self, view: &View<'_>) -> Result<Option<*mut ffi::PyObject>, Raised> {
        let Some(tier) = &self.tier else {
            return Ok(None);
        };
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let mut request = match Request::ask(tier, view) {
                Asked::Request(request) => request,
                Asked::Unstorable => return Ok(None),
                Asked::Failed => return Err(Raised),
            };
            match request.look() {
                Look::Found(value, kept) => {
                    self.keep(view, kept, Put::UnlessPending);
                    Ok(Some(value))
                }
                Look::Absent => Ok(None),
                Look::Failed => Err(Raised),
            }
        }
    }

    /// Stores a value in the tier as if it had been computed now; false with an exception set. What can't be stored is
    /// counted, and takes what was there with it.
    ///
    /// # Safety
    /// As for [`get_through`](Self::get_through); `value` is alive.
    pub(in crate::store) unsafe fn set_through(
        &self,
        tier: &Tier,
        view: &View<'_>,
        value: *mut ffi::PyObject,
        hold: Hold,
    ) -> bool {
        let by_hand = matches!(hold, Hold::Nothing);
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let mut request = match Request::ask(tier, view) {
                Asked::Request(request) => request,
                Asked::Unstorable => {
                    // A call has counted it already.
                    if by_hand {
                        tier.count(Event::Oversize);
                    }
                    return true;
                }
                Asked::Failed => return false,
            };
            match request.store(value, hold) {
                Ok(Some(kept)) => {
                    let mode = if by_hand { Put::Always } else { Put::UnlessPending };
                    self.keep(view, Some(kept), mode);
                    true
                }
                Ok(None) => {
                    if by_hand {
                        // An older value must not stand for this one. Where a writer keeps the lock, nothing can be done.
                        let _ = detached(|| request.file.shm.remove(request.key()));
                    }
                    true
                }
                Err(Raised) => false,
            }
        }
    }
}
