//! A miss under control: tags before the function runs, the user's say about the result, exceptions and old values.
//!
//! Ring 3.

use std::sync::Arc;

use pyo3::prelude::*;

use super::control::{Control, Tags, Verdict, Wish};
use super::inside;
use super::removal::Departing;
use super::running::Noted;
use super::single_flight::Reserved;
use super::slot_value::SharedFlight;
use super::spare::Spare;
use super::state::{CacheState, Put};
use super::CachedFunction;
use crate::capi::borrowed::{Arguments, Ref};
use crate::capi::exceptions::{self, ErrSet, Raise};
use crate::capi::imported::Imported;
use crate::capi::panics::point;
use crate::capi::reference::{call, PyRef};
use crate::key::View;
use concurrency::inflight::Outcome;
use shared::{Purpose, Tags as FileTags};

/// A computation that was begun.
struct Begun<'a> {
    tags: Tags,
    spare: Option<Box<Spare>>,
    reserved: Option<Reserved>,
    flight: Option<SharedFlight>,
    running: Noted<'a>,
}

impl CachedFunction {
    /// Computes as the leader of a key, and settles what comes of it. (In parts: only this frame stands on the stack while the
    /// function computes.)
    #[cold]
    #[inline(never)]
    pub(crate) fn lead_under_control(
        &self,
        arguments: &Arguments<'_>,
        spare: Option<Box<Spare>>,
        reserved: Option<Reserved>,
        flight: Option<SharedFlight>,
    ) -> Option<PyRef> {
        let leading = self.begin_under_control(arguments, spare, reserved, flight)?;
        let result = self.compute(arguments);
        self.end_under_control(arguments.py(), leading, result)
    }

    /// `None` with an exception set.
    #[inline(never)]
    fn begin_under_control(
        &self,
        arguments: &Arguments<'_>,
        spare: Option<Box<Spare>>,
        reserved: Option<Reserved>,
        flight: Option<SharedFlight>,
    ) -> Option<Box<Begun<'_>>> {
        let state = &self.state;
        let tags = match &state.control {
            Some(control) => control.tags_of(state, arguments),
            None => Ok(Tags::new()),
        };
        let Ok(tags) = tags else {
            state.settle_failure_beside(arguments.py(), reserved, flight, spare);
            return None;
        };
        // Until it is settled: an invalidation before that, also by what the user is asked below, must find one or the other.
        let running = state.running.note(reserved, &tags, None);
        Some(Box::new(Begun { tags, spare, reserved, flight, running }))
    }

    #[inline(never)]
    #[allow(clippy::boxed_local)] // as it stands in a frame that is to be small
    fn end_under_control(&self, py: Python<'_>, begun: Box<Begun<'_>>, result: Option<PyRef>) -> Option<PyRef> {
        let state = &self.state;
        let Begun { tags, spare, reserved, flight, running: _running } = *begun;
        let Some(control) = &state.control else {
            state.settle_result(py, reserved, flight, result.as_ref());
            return result;
        };
        point("settle");
        let Some(result) = result else {
            return state.lead_failed(py, control, tags, spare, reserved, flight);
        };
        let Ok(verdict) = control.appraise(result.lend(py), tags) else {
            exceptions::drop_beside(py, result);
            state.settle_failure_beside(py, reserved, flight, spare);
            return None;
        };
        let mut departing = Departing::new(state);
        if let Some(spare) = spare {
            spare.leave(&mut departing);
        }
        match verdict {
            Verdict::Store(terms) => {
                let shared = terms.value.as_owned().unwrap_or(&result).clone_ref(py);
                state.settle_terms(reserved, flight, terms, Outcome::Value(Arc::new(shared)), departing);
            }
            Verdict::Drop => {
                // Nothing is stored, and who waits has it.
                let shared = Arc::new(result.clone_ref(py));
                state.settle(reserved, flight, None, || Outcome::Value(shared));
                departing.end();
            }
        }
        Some(result)
    }

    /// Computes for one caller, whom nobody waits for, and stores the result unless it was fenced.
    #[cold]
    #[inline(never)]
    pub(crate) fn bring_under_control(&self, arguments: &Arguments<'_>, view: &View<'_>) -> Option<PyRef> {
        let (py, state) = (arguments.py(), &self.state);
        let tags = match &state.control {
            Some(control) => control.tags_of(&self.state, arguments),
            None => Ok(Tags::new()),
        };
        let Ok(tags) = tags else {
            return None;
        };
        let began = state.began_with(view.hash, &tags);
        if let Some(result) = self.compute(arguments) {
            if state.put_result(view, result.lend(py), tags, Put::IfAbsentSince(began)) {
                return Some(result);
            }
            exceptions::drop_beside(py, result);
            return None;
        }
        let raised = exceptions::take(py)?;
        if exceptions::is_shareable(py, &raised) {
            match state.spare(view) {
                Ok(Some(object)) => return Some(object),
                Ok(None) => (),
                Err(ErrSet) => return None,
            }
            let control = state.control.as_ref();
            if let Some(terms) = control.and_then(|control| control.store_exception(py, &raised, tags)) {
                let stored = terms.is_ok_and(|terms| state.put_terms(view, terms, Put::IfAbsentSince(began)));
                if !stored {
                    return None;
                }
            }
        }
        exceptions::set(py, raised);
        None
    }

    /// Stores a value by hand for a call; false with an exception set.
    pub(crate) fn set(&self, arguments: &Arguments<'_>, view: &View<'_>, value: Ref<'_>) -> bool {
        let Some(control) = &self.state.control else {
            return self.state.backend.set(self, view, value);
        };
        let tags = control.tags_of(&self.state, arguments);
        // No computation follows.
        drop(inside::take_left(&self.state, arguments));
        match tags {
            Ok(tags) => self.state.backend.put(self, view, value, Wish { tags: Some(tags), ..Wish::default() }),
            Err(ErrSet) => false,
        }
    }

    /// Begins to compute a call's value anew in the background; false with an exception set. The caller has claimed the
    /// refresh, but of a shared cache.
    #[cold]
    #[inline(never)]
    pub(crate) fn begin_refresh(&self, view: &View<'_>, arguments: &Arguments<'_>) -> bool {
        let py = arguments.py();
        let begun = self.ticket_of(py, view).and_then(|ticket| {
            let object = self.as_object(py);
            let mut lease = None;
            if let Some(shared) = self.state.backend.shared() {
                let claim = |view: &View<'_>| shared.claim(&self.state, view, Purpose::Refresh, &FileTags::NONE);
                lease = ticket.get().with_view(py, claim).map_err(|ErrSet| PyErr::fetch(py))?;
                if lease.is_none() {
                    // Somebody else was faster.
                    return Ok(());
                }
            }
            let (args, kwargs) = arguments.as_python(py)?;
            static BEGIN: Imported = Imported::new("warp_cache._refresh", "begin");
            call(BEGIN.get(py)?, &(object, ticket, args, kwargs, lease).into_pyobject(py)?, None)?;
            Ok(())
        });
        match begun {
            Ok(()) => true,
            Err(error) => {
                self.state.end_refresh(view, false);
                error.raise(py);
                false
            }
        }
    }
}

impl CacheState {
    /// Stores a value by hand; false with an exception set.
    pub(crate) fn set_under_control(&self, view: &View<'_>, value: Ref<'_>, wish: Wish) -> bool {
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

    /// The end of a computation that raised.
    fn lead_failed(
        &self,
        py: Python<'_>,
        control: &Control,
        tags: Tags,
        spare: Option<Box<Spare>>,
        reserved: Option<Reserved>,
        flight: Option<SharedFlight>,
    ) -> Option<PyRef> {
        let raised = exceptions::take(py)?;
        let mut spare = spare;
        if exceptions::is_shareable(py, &raised) {
            if let Some(old) = spare.take() {
                match self.settle_spare(py, reserved, &flight, old) {
                    Ok(object) => return object,
                    Err(old) => spare = Some(old),
                }
            }
            match control.store_exception(py, &raised, tags) {
                None => (),
                Some(Ok(terms)) => {
                    // With the traceback, which is not stored.
                    let Some(shared) = exceptions::share(py, &raised) else {
                        self.settle_failure_beside(py, reserved, flight, spare);
                        return None;
                    };
                    let outcome = Outcome::Error(Arc::new(shared));
                    let mut departing = Departing::new(self);
                    if let Some(spare) = spare.take() {
                        spare.leave(&mut departing);
                    }
                    self.settle_terms(reserved, flight, terms, outcome, departing);
                    exceptions::set(py, raised);
                    return None;
                }
                // Interrupted: that is what this caller is to have.
                Some(Err(ErrSet)) => {
                    self.settle_failure_beside(py, reserved, flight, spare);
                    return None;
                }
            }
        }
        exceptions::set(py, raised);
        self.settle_failure_beside(py, reserved, flight, spare);
        None
    }
}
