//! The way of a plain call: the near hit, and a miss that goes to the server.
//!
//! Ring 3.

use std::sync::Arc;

use super::bring::Brought;
use super::near::{Covered, Flying};
use super::opened::Opened;
use super::Remote;
use crate::backend::memory::begin_controlled;
use crate::backend::{Begun, ControlledMemory, HitPath};
use crate::capi::borrowed::{Arguments, Ref};
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::reference::PyRef;
use crate::function::control::{Control, Tags, Terms};
use crate::function::fast_lookup::FastLookup;
use crate::function::handout;
use crate::function::removal::Departing;
use crate::function::running::Beyond;
use crate::function::single_flight::{revalidated, Miss, Reserved};
use crate::function::slot_value::SharedFlight;
use crate::function::spare::Spare;
use crate::function::state::Put;
use crate::function::CachedFunction;
use crate::key::View;
use concurrency::inflight::Outcome;

/// Entries of this process that are near copies: a hit is that of [`ControlledMemory`], which does not take a void one.
pub(crate) struct NearMemory<const COPY: bool>;

impl<const COPY: bool> HitPath for NearMemory<COPY> {
    type Hit = ControlledMemory<false, COPY>;
    type Miss<'a> = RemoteCalling<'a>;

    fn begin<'a>(
        cached: &'a CachedFunction,
        arguments: &'a Arguments<'a>,
        view: &View<'a>,
        hot: FastLookup,
    ) -> Begun<RemoteCalling<'a>> {
        let Some(remote) = cached.state.backend.remote() else {
            return Begun::Done(cached.pass_on(arguments));
        };
        let Ok(opened) = remote.opened(arguments.py()) else {
            return Begun::Done(None);
        };
        let down = opened.and_then(|opened| remote.down(opened));
        let key = match opened {
            Some(_) if down.is_none() => remote.key_noting(cached, view),
            _ => Ok(None),
        };
        let Ok(key) = key else {
            return Begun::Done(None);
        };
        let (hash, spare, is_stale) = (view.hash, None, false);
        let calling = RemoteCalling { cached, remote, opened, arguments, key, hash, spare, down, is_stale };
        begin_controlled(cached, arguments, view, hot, calling)
    }
}

/// A missed call.
pub(crate) struct RemoteCalling<'a> {
    pub(super) cached: &'a CachedFunction,
    pub(super) remote: &'a Remote,
    opened: Option<&'a Opened>,
    pub(super) arguments: &'a Arguments<'a>,
    /// The call's bytes, from before it runs.
    key: Option<Vec<u8>>,
    hash: u64,
    pub(super) spare: Option<Box<Spare>>,
    /// Where the server is not asked: under what the result is kept.
    down: Option<Arc<Covered>>,
    /// What the server has is handed out, and is to be computed anew.
    pub(super) is_stale: bool,
}

impl RemoteCalling<'_> {
    /// Brings the value for this caller, whom nobody waits for; kept if nothing has fenced it.
    fn bring_for_one(&mut self, view: &View<'_>) -> Option<PyRef> {
        let Some(opened) = self.opened else {
            return self.cached.bring_under_control(self.arguments, view);
        };
        let (py, state) = (view.py(), &self.cached.state);
        let tags =
            state.control.as_ref().map_or(Ok(Tags::new()), |control| control.tags_of(state, self.arguments)).ok()?;
        let began = state.began_with(view.hash, &tags);
        let keep =
            |terms: Option<Terms>| terms.is_none_or(|terms| state.put_terms(view, terms, Put::IfAbsentSince(began)));
        let brought = match self.down.take() {
            Some(down) => self.compute_here(&tags, down),
            None => {
                let mut trip = self.remote.trip(py, opened, self.key.as_deref(), self.hash, &tags);
                self.bring(opened, &mut trip, &tags, None)
            }
        };
        match brought {
            Brought::Value(object, terms) => {
                if keep(terms) {
                    return Some(object);
                }
                exceptions::drop_beside(py, object);
                None
            }
            Brought::Stale(object) => {
                state.count_stale_hit();
                Some(object)
            }
            Brought::Raised(terms) => {
                let raised = exceptions::take(py);
                if keep(terms) {
                    raised.into_iter().for_each(|raised| exceptions::set(py, raised));
                }
                None
            }
            Brought::Failed => None,
        }
    }
}

impl Miss for RemoteCalling<'_> {
    fn lead(&mut self, reserved: Option<Reserved>, flight: Option<SharedFlight>) -> Option<PyRef> {
        let (py, state) = (self.arguments.py(), &self.cached.state);
        let (Some(opened), Some(control)) = (self.opened, &state.control) else {
            return self.cached.lead_under_control(self.arguments, self.spare.take(), reserved, flight);
        };
        let Ok(tags) = control.tags_of(state, self.arguments) else {
            state.settle_failure_beside(py, reserved, flight, self.spare.take());
            return None;
        };
        let brought = match self.down.take() {
            Some(down) => {
                let fences = reserved.map(|_| Beyond::OnHost(Arc::clone(&down)));
                let running = state.running.note(reserved, &tags, fences);
                if self.spare.is_none() && control.only_keeps_results() {
                    match self.lead_here(reserved, &flight, down) {
                        Ok(result) => return Some(result),
                        Err(brought) => (brought, running),
                    }
                } else {
                    (self.compute_here(&tags, down), running)
                }
            }
            None => {
                let mut trip = self.remote.trip(py, opened, self.key.as_deref(), self.hash, &tags);
                // Before anything is read at the server.
                let flying = Flying::new(&opened.tier, &trip.call);
                let fences = reserved.map(|_| Beyond::OnServer(Arc::clone(&flying)));
                let running = state.running.note(reserved, &tags, fences);
                (self.bring(opened, &mut trip, &tags, Some(&flying)), running)
            }
        };
        let (brought, _running) = brought;
        match brought {
            Brought::Value(object, terms) => {
                let outcome = outcome(control, terms.as_ref(), object.lend(py));
                self.settle(reserved, flight, terms, outcome);
                Some(object)
            }
            Brought::Stale(object) => {
                state.count_stale_hit();
                let old = outcome(control, None, object.lend(py));
                self.settle(reserved, flight, None, Outcome::Stale(Box::new(old)));
                Some(object)
            }
            Brought::Raised(terms) => {
                let raised = exceptions::take(py)?;
                if let Some(old) = self.spare.take() {
                    match state.settle_spare(py, reserved, &flight, old) {
                        Ok(object) => return object,
                        Err(old) => self.spare = Some(old),
                    }
                }
                match terms {
                    None => {
                        exceptions::set(py, raised);
                        state.settle_failure_beside(py, reserved, flight, self.spare.take());
                    }
                    Some(terms) => {
                        let Some(shared) = exceptions::share(py, &raised) else {
                            state.settle_failure_beside(py, reserved, flight, self.spare.take());
                            return None;
                        };
                        self.settle(reserved, flight, Some(terms), Outcome::Error(Arc::new(shared)));
                        exceptions::set(py, raised);
                    }
                }
                None
            }
            Brought::Failed => {
                state.settle_failure_beside(py, reserved, flight, self.spare.take());
                None
            }
        }
    }

    fn bring_alone(&mut self, view: &View<'_>, _: FastLookup) -> Option<PyRef> {
        self.bring_for_one(view)
    }

    fn compute(&mut self) -> Option<PyRef> {
        self.cached.compute(self.arguments)
    }

    fn bring_beside(&mut self, view: &View<'_>) -> Option<PyRef> {
        self.bring_for_one(view)
    }

    fn take_spare(&mut self, spare: Box<Spare>) {
        self.spare = Some(spare);
    }

    fn refresh(&mut self, view: &View<'_>) -> bool {
        self.cached.begin_refresh(view, self.arguments)
    }

    fn is_fenced(&self, reserved: Reserved) -> bool {
        let running = &self.cached.state.running;
        if running.is_void_on_host(reserved) {
            return true;
        }
        let flying = running.on_server(reserved);
        // (Whoever joins one of the parent's in a fork's child finds that nobody leads it.)
        flying.iter().any(|flying| flying.is_ours() && !flying.may_join(self.arguments.py()))
    }

    fn finish(&mut self, view: &View<'_>, result: Option<PyRef>) -> Option<PyRef> {
        match result {
            Some(object) if self.is_stale => revalidated(self, view, object),
            result => result,
        }
    }
}

/// What those have who waited for a value: what is kept of it, if each is to have one of his own.
fn outcome(control: &Control, terms: Option<&Terms>, object: Ref<'_>) -> Outcome<Arc<PyRef>> {
    let py = object.py();
    if let Some(kept) = terms.and_then(|terms| terms.value.as_owned()) {
        return Outcome::Value(Arc::new(kept.clone_ref(py)));
    }
    match handout::keep(&control.copy, object) {
        Ok(kept) => Outcome::Value(Arc::new(kept)),
        Err(ErrSet) => {
            // The value is there; who waits brings his own.
            drop(exceptions::take(py));
            Outcome::Abandoned
        }
    }
}

impl RemoteCalling<'_> {
    /// Settles what the call has reserved. What was kept aside leaves.
    fn settle(
        &mut self,
        reserved: Option<Reserved>,
        flight: Option<SharedFlight>,
        terms: Option<Terms>,
        outcome: Outcome<Arc<PyRef>>,
    ) {
        let state = &self.cached.state;
        let mut departing = Departing::new(state);
        if let Some(spare) = self.spare.take() {
            spare.leave(&mut departing);
        }
        match terms {
            Some(terms) => state.settle_terms(reserved, flight, terms, outcome, departing),
            None => {
                state.settle(reserved, flight, None, || outcome);
                departing.end();
            }
        }
    }
}
