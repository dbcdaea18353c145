//! What `get` and `set` do with the file.
//!
//! Ring 3.

use pyo3::ffi;

use super::skips::Skipped;
use super::Shared;
use crate::backend::shared::access::{KeyAccess, KeyBytes, Lookup, Put, StoreCondition};
use crate::backend::shared::by_bytes::{BytesKey, Editable};
use crate::capi::detach::detached;
use crate::capi::exceptions::ErrSet;
use crate::function::lookup::{Accounting, Found};
use crate::function::state::{CacheState, Put as Mode};
use crate::function::ticket::Ticket;
use crate::key::View;

impl Shared {
    /// The value that the file has for a key, as a use that is not counted: a new reference. `Ok(None)` if there is none,
    /// `Err` with an exception set. `ticket`: see [`Backend::load`](crate::backend::Backend::load).
    ///
    /// # Safety
    /// The view's objects are alive; the thread is attached and holds no lock.
    pub(super) unsafe fn load_value(
        &self,
        state: &CacheState,
        view: &View<'_>,
        ticket: Option<&Ticket>,
    ) -> Result<Option<*mut ffi::PyObject>, ErrSet> {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let mut request = match KeyAccess::ask(self, view) {
                KeyBytes::KeyAccess(request) => request,
                KeyBytes::Unstorable(_) => return Ok(None),
                KeyBytes::Failed => return Err(ErrSet),
            };
            let key = request.by_bytes()?;
            let key_view = key.as_ref().map_or(*view, BytesKey::view);
            if key.is_some() {
                state.let_go(self, None);
                match state.find(&key_view, Accounting::AccessOnly) {
                    Found::Value(value) => return Ok(Some(value)),
                    Found::Failed => return Err(ErrSet),
                    found => drop(found),
                }
            }
            match request.look() {
                Lookup::Found(value, kept) => {
                    state.keep(self, &key_view, kept, Mode::UnlessPending);
                    Ok(Some(value))
                }
                looked @ (Lookup::Absent | Lookup::Unreadable(_)) => {
                    if let (Lookup::Unreadable(skipped), Some(ticket)) = (looked, ticket) {
                        self.count_ticket(request.file, ticket, skipped);
                    }
                    state.let_go(self, None);
                    Ok(None)
                }
                Lookup::Failed => Err(ErrSet),
            }
        }
    }

    /// Stores a value in the file as if it had been computed now. What can't be stored is counted, takes what was there with
    /// it, and is told to the user by the caller. `editable`: what the bytes in the view were made from, if it has such.
    ///
    /// # Safety
    /// As for [`load_value`](Self::load_value); `value` is alive.
    pub(super) unsafe fn put(
        &self,
        state: &CacheState,
        view: &View<'_>,
        editable: Option<Editable<'_>>,
        value: *mut ffi::PyObject,
        hold: StoreCondition,
    ) -> Result<Option<Skipped>, ErrSet> {
        let by_hand = matches!(hold, StoreCondition::Nothing);
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let mut request = match KeyAccess::ask(self, view) {
                KeyBytes::KeyAccess(request) => request,
                KeyBytes::Unstorable(skipped) => {
                    // A call has counted it already.
                    if by_hand {
                        self.count_skip(self.files.current_or_reopened(), skipped.skip);
                    }
                    return Ok(Some(skipped));
                }
                KeyBytes::Failed => return Err(ErrSet),
            };
            let key = request.by_bytes()?;
            let key_view = key.as_ref().map_or(*view, BytesKey::view);
            request.editable = editable.map(Box::new);
            match request.store(value, hold)? {
                Put::Stored(kept, skipped) => {
                    let mode = if by_hand { Mode::Always } else { Mode::UnlessPending };
                    state.keep(self, &key_view, kept, mode);
                    Ok(skipped)
                }
                Put::Skipped(skipped) => {
                    if by_hand {
                        // An older value must not stand for this one.
                        let _ = detached(|| request.file.shm.invalidate(request.key()));
                    }
                    state.let_go(self, None);
                    Ok(Some(skipped))
                }
            }
        }
    }
}
