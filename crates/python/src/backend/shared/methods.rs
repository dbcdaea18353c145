//! What `get` and `set` do with the file.
//!
//! Ring 3.

use pyo3::prelude::*;

use super::skips::Skipped;
use super::Shared;
use crate::backend::shared::access::{not_fenced, KeyAccess, KeyBytes, Lookup, Put, StoreCondition};
use crate::backend::shared::by_bytes::Editable;
use crate::backend::Known;
use crate::backend::SharedLease;
use crate::capi::borrowed::Ref;
use crate::capi::detach::detached;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::reference::PyRef;
use crate::function::computation::Computation;
use crate::function::deadline::Keeping;
use crate::function::lookup::{Accounting, Found};
use crate::function::state::{CacheState, Put as Mode};
use crate::function::ticket::Ticket;
use crate::function::CachedFunction;
use crate::key::View;
use shared::{Busy, Freshness, Skip};

impl Shared {
    /// The value that the file has for a key, as a use that is not counted. `Ok(None)` if there is none,
    /// `Err` with an exception set. `ticket`: see [`Backend::load`](crate::backend::Backend::load).
    pub(super) fn load_value(
        &self,
        state: &CacheState,
        view: &View<'_>,
        ticket: Option<&Ticket>,
    ) -> Result<Option<PyRef>, ErrSet> {
        let mut request = match KeyAccess::ask(self, view) {
            KeyBytes::KeyAccess(request) => request,
            KeyBytes::Unstorable(_) => return Ok(None),
            KeyBytes::Failed => return Err(ErrSet),
        };
        let key = request.by_bytes()?;
        let key_view = key.as_ref().map_or(*view, |key| key.view(view.py()));
        if key.is_some() {
            state.let_go(view.py(), self, None);
            match state.find(&key_view, Accounting::AccessOnly) {
                Found::Value(value) => return Ok(Some(value)),
                Found::Failed => return Err(ErrSet),
                found => drop(found),
            }
        }
        match request.look() {
            Lookup::Found(value, kept) | Lookup::Stale(value, kept, _) => {
                state.keep(self, &key_view, kept, Mode::UnlessPending);
                Ok(Some(value))
            }
            Lookup::Raise(shared) if ticket.is_some() => {
                exceptions::raise_own(view.py(), &shared);
                Err(ErrSet)
            }
            Lookup::Raise(_) => Ok(None),
            looked @ (Lookup::Absent | Lookup::Unreadable(_)) => {
                if let (Lookup::Unreadable(skipped), Some(ticket)) = (looked, ticket) {
                    self.count_ticket(Some(request.file), ticket, skipped);
                }
                state.let_go(view.py(), self, None);
                Ok(None)
            }
            Lookup::Failed => Err(ErrSet),
        }
    }

    /// Where no file can be opened, what is in it when one can is void: more than was asked to be dropped.
    pub(super) fn clear_unopened(&self) {
        if self.files.current().is_none() {
            self.files.clear_unopened();
        }
    }

    /// Whether a call would be answered by what the file has for a key; no use.
    pub(super) fn has(&self, view: &View<'_>) -> Result<bool, ErrSet> {
        match KeyAccess::ask(self, view) {
            KeyBytes::KeyAccess(request) => {
                let shm = &request.file.shm;
                Ok(match shm.look(request.key()) {
                    (Freshness::Fresh, _) => true,
                    (Freshness::Stale, Some(hit)) => shm.now() < hit.fresh.saturating_add(self.revalidate),
                    _ => false,
                })
            }
            KeyBytes::Unstorable(_) => Ok(false),
            KeyBytes::Failed => Err(ErrSet),
        }
    }

    /// Seconds for which a key's entry is fresh.
    pub(super) fn left(&self, view: &View<'_>) -> Result<Option<f64>, ErrSet> {
        match KeyAccess::ask(self, view) {
            KeyBytes::KeyAccess(request) => {
                let seconds = |nanos| if nanos == i64::MAX { f64::INFINITY } else { nanos as f64 / 1e9 };
                Ok(request.file.shm.ttl(request.key()).map(seconds))
            }
            KeyBytes::Unstorable(_) => Ok(None),
            KeyBytes::Failed => Err(ErrSet),
        }
    }

    /// By what a call is known in this process.
    pub(super) fn known_as<'a>(&'a self, view: &View<'a>) -> Result<Known<'a>, ErrSet> {
        match KeyAccess::ask(self, view) {
            KeyBytes::KeyAccess(request) => {
                let key = request.by_bytes()?;
                Ok(match (key, request.editable) {
                    (Some(key), Some(editable)) => Known::Bytes(key, *editable),
                    _ => Known::Arguments,
                })
            }
            KeyBytes::Unstorable(Skipped { skip: Skip::Argument, .. }) => Ok(Known::Nothing),
            KeyBytes::Unstorable(_) => Ok(Known::Arguments),
            KeyBytes::Failed => Err(ErrSet),
        }
    }

    /// Ends a key's entry in the file; whether there was one. Where a writer keeps the lock, the whole cache is voided.
    pub(super) fn end(&self, state: &CacheState, view: &View<'_>) -> Result<bool, ErrSet> {
        let request = match KeyAccess::ask(self, view) {
            KeyBytes::KeyAccess(request) => request,
            KeyBytes::Unstorable(_) => {
                self.clear_unopened();
                return Ok(false);
            }
            KeyBytes::Failed => return Err(ErrSet),
        };
        // SAFETY: the file knows nothing of Python.
        let ended = unsafe { detached(view.py(), || request.file.shm.invalidate(request.key())) };
        state.let_go(view.py(), self, None);
        ended.map_err(|Busy| not_fenced(view.py()))
    }

    /// Notes that a computation of a coroutine function raised: the exception is stored if the user wants that. The value that
    /// serves in its place, if there is one.
    pub(crate) fn failed(
        &self,
        cached: &CachedFunction,
        (view, editable): (&View<'_>, Option<Editable<'_>>),
        error: &PyRef,
        computation: &Computation,
        lease: Option<&Bound<'_, SharedLease>>,
    ) -> Result<Option<PyRef>, ErrSet> {
        let state = &cached.state;
        let Some(control) = state.control.as_ref().filter(|_| exceptions::is_shareable(view.py(), error)) else {
            return Ok(None);
        };
        let mut request = match KeyAccess::ask(self, view) {
            KeyBytes::KeyAccess(request) => request,
            KeyBytes::Unstorable(_) => return Ok(None),
            KeyBytes::Failed => return Err(ErrSet),
        };
        if let Some(spare) = request.spare()? {
            state.count_stale_hit();
            return Ok(Some(spare));
        }
        let Some(terms) = control.store_exception(view.py(), error, computation.tags.clone()) else {
            return Ok(None);
        };
        let terms = terms?;
        request.editable = editable.map(Box::new);
        request.set_terms(control.keeping(&terms, computation.noted));
        if let Some(shared) = terms.value.as_owned() {
            let skipped = request.store_raised(shared, SharedLease::hold(state, lease, computation.began))?;
            if !cached.tell(skipped, view, error.lend(view.py())) {
                return Err(ErrSet);
            }
        }
        Ok(None)
    }

    /// Stores a value in the file as if it had been computed now. What can't be stored is counted, takes what was there with
    /// it, and is told to the user by the caller. `keeping`: how it is kept, where that is not
    /// what the options say for all. `editable`: what the bytes in the view were made from, if it has such.
    pub(super) fn put(
        &self,
        state: &CacheState,
        view: &View<'_>,
        editable: Option<Editable<'_>>,
        value: Ref<'_>,
        hold: StoreCondition,
        keeping: Option<Keeping>,
    ) -> Result<Option<Skipped>, ErrSet> {
        let by_hand = matches!(hold, StoreCondition::Nothing);
        let mut request = match KeyAccess::ask(self, view) {
            KeyBytes::KeyAccess(request) => request,
            KeyBytes::Unstorable(skipped) => {
                // A call has counted it already.
                if by_hand {
                    self.count_skip(self.files.working(view.py()), skipped.skip);
                    self.clear_unopened();
                    state.invalidate(view).ok_or(ErrSet)?;
                }
                return Ok(Some(skipped));
            }
            KeyBytes::Failed => return Err(ErrSet),
        };
        let key = request.by_bytes()?;
        let key_view = key.as_ref().map_or(*view, |key| key.view(view.py()));
        request.editable = editable.map(Box::new);
        if let Some(keeping) = keeping {
            request.set_terms(keeping);
        }
        match request.store(value, hold)? {
            Put::Stored(kept, skipped) => {
                let mode = if by_hand { Mode::Always } else { Mode::UnlessPending };
                state.keep(self, &key_view, kept, mode);
                Ok(skipped)
            }
            Put::Skipped(skipped) => {
                if by_hand {
                    // An older value must not stand for this one.
                    // SAFETY: the file knows nothing of Python.
                    let ended = unsafe { detached(view.py(), || request.file.shm.invalidate(request.key())) };
                    ended.map_err(|Busy| not_fenced(view.py()))?;
                    state.invalidate(&key_view).ok_or(ErrSet)?;
                }
                state.let_go(view.py(), self, None);
                Ok(Some(skipped))
            }
        }
    }
}
