//! A miss under control: tags before the function runs, the user's say about the result, exceptions and old values.
//!
//! Ring 3.

use std::sync::Arc;

use pyo3::ffi;
use pyo3::prelude::*;

use super::control::{Control, Tags, Verdict, Wish};
use super::removal::Departing;
use super::single_flight::Reserved;
use super::slot_value::SharedFlight;
use super::spare::Spare;
use super::state::{CacheState, Put};
use super::CachedFunction;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::panics::point;
use crate::capi::reference::{call, import, release, Arguments, PyRef};
use crate::key::View;
use concurrency::inflight::Outcome;
use shared::{Purpose, Tags as FileTags};

impl CachedFunction {
    /// Computes as the leader of a key, and settles what comes of it.
    ///
    /// # Safety
    /// As for `Miss::lead`.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn lead_under_control(
        &self,
        arguments: &Arguments,
        spare: Option<Box<Spare>>,
        reserved: Option<Reserved>,
        flight: Option<SharedFlight>,
    ) -> *mut ffi::PyObject {
        let state = &self.state;
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let Some(control) = &state.control else {
                let result = self.compute(arguments);
                if result.is_null() {
                    state.settle_failure(reserved, flight);
                } else {
                    state.settle_success(reserved, flight, result);
                }
                return result;
            };
            let Ok(tags) = control.tags_of(arguments) else {
                state.settle_failure_beside(reserved, flight, spare);
                return std::ptr::null_mut();
            };
            // Until it is settled: an invalidation before that, also by what the user is asked below, must find one or the other.
            let _running = state.running.note(reserved, &tags, None);
            let result = self.compute(arguments);
            point("settle");
            if result.is_null() {
                return state.lead_failed(control, tags, spare, reserved, flight);
            }
            let verdict = control.appraise(result, tags);
            let Ok(verdict) = verdict else {
                release_with_error(result);
                state.settle_failure_beside(reserved, flight, spare);
                return std::ptr::null_mut();
            };
            let mut departing = Departing::new(state);
            if let Some(spare) = spare {
                spare.leave(&mut departing);
            }
            match verdict {
                Verdict::Store(terms) => {
                    let shared = terms.value.as_owned().map_or_else(|| PyRef::borrow(result), |own| own.clone_ref());
                    state.settle_terms(reserved, flight, terms, Outcome::Value(Arc::new(shared)), departing);
                }
                Verdict::Drop => {
                    // Nothing is stored, and who waits has it.
                    let shared = Arc::new(PyRef::borrow(result));
                    state.settle(reserved, flight, None, || Outcome::Value(shared));
                    departing.end();
                }
            }
            result
        }
    }

    /// Computes for one caller, whom nobody waits for, and stores the result unless it was fenced.
    ///
    /// # Safety
    /// As for `Miss::bring_alone`.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn bring_under_control(&self, arguments: &Arguments, view: &View<'_>) -> *mut ffi::PyObject {
        let state = &self.state;
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let tags = match &state.control {
                Some(control) => control.tags_of(arguments),
                None => Ok(Tags::new()),
            };
            let Ok(tags) = tags else {
                return std::ptr::null_mut();
            };
            let began = state.began_with(view.hash, &tags);
            let result = self.compute(arguments);
            if !result.is_null() {
                if state.put_result(view, result, tags, Put::IfAbsentSince(began)) {
                    return result;
                }
                release_with_error(result);
                return std::ptr::null_mut();
            }
            let Some(raised) = exceptions::take() else {
                return std::ptr::null_mut();
            };
            if exceptions::is_shareable(&raised) {
                match state.spare(view) {
                    Ok(Some(object)) => return object,
                    Ok(None) => (),
                    Err(ErrSet) => return std::ptr::null_mut(),
                }
                let control = state.control.as_ref();
                if let Some(terms) = control.and_then(|control| control.store_exception(&raised, tags)) {
                    let stored = terms.is_ok_and(|terms| state.put_terms(view, terms, Put::IfAbsentSince(began)));
                    if !stored {
                        return std::ptr::null_mut();
                    }
                }
            }
            exceptions::set(raised);
            std::ptr::null_mut()
        }
    }

    /// Stores a value by hand for a call; false with an exception set.
    ///
    /// # Safety
    /// As for `Backend::set`; the call lasts.
    pub(crate) unsafe fn set(&self, arguments: &Arguments, view: &View<'_>, value: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let Some(control) = &self.state.control else {
                return self.state.backend.set(self, view, value);
            };
            match control.tags_of(arguments) {
                Ok(tags) => self.state.backend.put(self, view, value, Wish { tags: Some(tags), ..Wish::default() }),
                Err(ErrSet) => false,
            }
        }
    }

    /// Begins to compute a call's value anew in the background; false with an exception set. The caller has claimed the
    /// refresh, but of a shared cache.
    ///
    /// # Safety
    /// The call and the view last; the thread is attached and holds no lock.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn begin_refresh(&self, view: &View<'_>, arguments: &Arguments) -> bool {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let py = Python::assume_attached();
            let begun = self.ticket_of(py, view).and_then(|ticket| {
                let object = Bound::from_borrowed_ptr(py, self.as_object());
                let mut lease = None;
                if let Some(shared) = self.state.backend.shared() {
                    let claim = |view: &View<'_>| shared.claim(&self.state, view, Purpose::Refresh, &FileTags::NONE);
                    lease = ticket.get().with_view(claim).map_err(|ErrSet| PyErr::fetch(py))?;
                    if lease.is_none() {
                        // Somebody else was faster.
                        return Ok(());
                    }
                }
                let (args, kwargs) = arguments.as_python(py)?;
                let begin = import(py, "warp_cache._refresh")?.getattr("begin")?;
                call(&begin, &(object, ticket, args, kwargs, lease).into_pyobject(py)?, None)?;
                Ok(())
            });
            match begun {
                Ok(()) => true,
                Err(error) => {
                    self.state.end_refresh(view, false);
                    error.restore(py);
                    false
                }
            }
        }
    }
}

impl CacheState {
    /// Stores a value by hand; false with an exception set.
    ///
    /// # Safety
    /// As for [`put`](Self::put); `value` is alive.
    pub(crate) unsafe fn set_under_control(&self, view: &View<'_>, value: *mut ffi::PyObject, wish: Wish) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let admitted = match &self.control {
                Some(control) => control.admit(value, wish),
                None => Ok(Verdict::plain(value, (self.ttl != 0).then_some(self.ttl), wish)),
            };
            match admitted {
                Ok(Verdict::Store(terms)) => self.put_terms(view, terms, Put::Always),
                Ok(Verdict::Drop) => self.drop_older(view, &Tags::new(), Put::Always),
                Err(ErrSet) => false,
            }
        }
    }

    /// The end of a computation that raised.
    ///
    /// # Safety
    /// As for `Miss::lead`; an exception is set.
    unsafe fn lead_failed(
        &self,
        control: &Control,
        tags: Tags,
        spare: Option<Box<Spare>>,
        reserved: Option<Reserved>,
        flight: Option<SharedFlight>,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let Some(raised) = exceptions::take() else {
                return std::ptr::null_mut();
            };
            let mut spare = spare;
            if exceptions::is_shareable(&raised) {
                if let Some(old) = spare.take() {
                    match self.settle_spare(reserved, &flight, old) {
                        Ok(object) => return object,
                        Err(old) => spare = Some(old),
                    }
                }
                match control.store_exception(&raised, tags) {
                    None => (),
                    Some(Ok(terms)) => {
                        // With the traceback, which is not stored.
                        let Some(shared) = exceptions::share(&raised) else {
                            self.settle_failure_beside(reserved, flight, spare);
                            return std::ptr::null_mut();
                        };
                        let outcome = Outcome::Error(Arc::new(shared));
                        let mut departing = Departing::new(self);
                        if let Some(spare) = spare.take() {
                            spare.leave(&mut departing);
                        }
                        self.settle_terms(reserved, flight, terms, outcome, departing);
                        exceptions::set(raised);
                        return std::ptr::null_mut();
                    }
                    // Interrupted: that is what this caller is to have.
                    Some(Err(ErrSet)) => {
                        self.settle_failure_beside(reserved, flight, spare);
                        return std::ptr::null_mut();
                    }
                }
            }
            exceptions::set(raised);
            self.settle_failure_beside(reserved, flight, spare);
            std::ptr::null_mut()
        }
    }
}

/// Drops an object while an exception is set, which stays so.
unsafe fn release_with_error(object: *mut ffi::PyObject) {
    // SAFETY: the callers': a strong reference, attached, no lock held.
    unsafe {
        let raised = exceptions::take();
        release(object);
        if let Some(raised) = raised {
            exceptions::set(raised);
        }
    }
}
