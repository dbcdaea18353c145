//! What `get`, `set`, `cache_info` and `cache_clear` do where there is a tier.
//!
//! Ring 3.

use pyo3::ffi;

use super::skips::Skipped;
use super::Tier;
use crate::backend::shared::access::{Asked, Hold, Look, Put, Raised, Request};
use crate::capi::detach::detached;
use crate::function::state::{CacheState, Put as Mode};
use crate::function::CachedFunction;
use crate::key::View;
use shared::Skip;

/// The counters of the file.
pub(crate) struct Counters {
    pub hits: u64,
    pub misses: u64,
    pub skips: [u64; Skip::COUNT],
    pub repairs: u64,
    pub size: usize,
}

impl Tier {
    pub(crate) fn counters(&self) -> Counters {
        let info = self.files.current().shm.info();
        Counters {
            hits: info.hits,
            misses: info.misses,
            skips: self.skipped(info.skips),
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
        self.skips.forget_lost();
        self.held.forget();
    }
}

impl CacheState {
    /// The value that the tier has for a key, as a use that is not counted: a new reference. `Ok(None)` if there is none,
    /// `Err` with an exception set.
    ///
    /// # Safety
    /// The view's objects are alive; the thread is attached and holds no lock.
    pub(crate) unsafe fn get_through(&self, view: &View<'_>) -> Result<Option<*mut ffi::PyObject>, Raised> {
        let Some(tier) = &self.tier else {
            return Ok(None);
        };
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let mut request = match Request::ask(tier, view) {
                Asked::Request(request) => request,
                Asked::Unstorable(_) => return Ok(None),
                Asked::Failed => return Err(Raised),
            };
            match request.look() {
                Look::Found(value, kept) => {
                    self.keep(tier, view, kept, Mode::UnlessPending);
                    Ok(Some(value))
                }
                Look::Absent | Look::Unreadable(_) => {
                    self.let_go(tier, None);
                    Ok(None)
                }
                Look::Failed => Err(Raised),
            }
        }
    }

    /// Stores a value in the tier as if it had been computed now. What can't be stored is counted, takes what was there with
    /// it, and is told to the user by the caller.
    ///
    /// # Safety
    /// As for [`get_through`](Self::get_through); `value` is alive.
    pub(crate) unsafe fn set_through(
        &self,
        tier: &Tier,
        view: &View<'_>,
        value: *mut ffi::PyObject,
        hold: Hold,
    ) -> Result<Option<Skipped>, Raised> {
        let by_hand = matches!(hold, Hold::Nothing);
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let mut request = match Request::ask(tier, view) {
                Asked::Request(request) => request,
                Asked::Unstorable(skipped) => {
                    // A call has counted it already.
                    if by_hand {
                        tier.count_skip(tier.files.working(), skipped.skip);
                    }
                    return Ok(Some(skipped));
                }
                Asked::Failed => return Err(Raised),
            };
            match request.store(value, hold)? {
                Put::Stored(kept) => {
                    let mode = if by_hand { Mode::Always } else { Mode::UnlessPending };
                    self.keep(tier, view, kept, mode);
                    Ok(None)
                }
                Put::Skipped(skipped) => {
                    if by_hand {
                        // An older value must not stand for this one. Where a writer keeps the lock, nothing can be done.
                        let _ = detached(|| request.file.shm.remove(request.key()));
                    }
                    self.let_go(tier, None);
                    Ok(Some(skipped))
                }
            }
        }
    }
}

impl CachedFunction {
    /// `set` of a function with a tier: false with an exception set.
    ///
    /// # Safety
    /// As for [`CacheState::get_through`]; `value` is alive.
    pub(crate) unsafe fn set_by_hand(&self, tier: &Tier, view: &View<'_>, value: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            match self.state.set_through(tier, view, value, Hold::Nothing) {
                Ok(skipped) => self.tell(skipped, view, value),
                Err(Raised) => false,
            }
        }
    }
}
