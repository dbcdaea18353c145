//! How a missed call gets its value: from the server, or computed and stored there.
//!
//! Ring 3. What becomes of the slot that it has reserved, [`call`](super::call) says.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::call::RemoteCalling;
use super::near::Flying;
use super::opened::{flagged, Opened};
use super::trip::{Step, Trip};
use super::values::{self, Read, Reason};
use crate::capi::borrowed::Ref;
use crate::capi::detach::Sleeper;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::reference::PyRef;
use crate::function::control::{Control, Tags, Terms, Verdict};
use concurrency::clock;

/// What a call came to.
pub(super) enum Brought {
    /// The result, a strong reference, and how it is kept near.
    Value(PyRef, Option<Terms>),
    /// An exception is set, which is kept near so.
    Raised(Option<Terms>),
    /// An old value, as computing has failed.
    Stale(PyRef),
    /// An exception is set that is nobody else's.
    Failed,
}

impl RemoteCalling<'_> {
    /// Brings the value from the server, or computes it.
    pub(super) fn bring(&mut self, opened: &Opened, trip: &mut Trip, tags: &Tags, flying: Option<&Flying>) -> Brought {
        let Some(control) = &self.cached.state.control else { return Brought::Failed };
        let py = self.arguments.py();
        self.remote.asks_nothing(opened, trip);
        if self.reach(trip, flying).is_err() || self.remote.tell_lacks(py, opened).is_err() {
            return nothing(py, trip);
        }
        while let Step::Found(_) = trip.step {
            match self.take_found(opened, control, trip, tags) {
                Ok(Some(brought)) => return brought,
                Ok(None) => (),
                Err(ErrSet) => return nothing(py, trip),
            }
        }
        self.remote.count_miss_there();
        self.compute_far(opened, control, trip, tags)
    }

    /// Asks the server until the call has its value or the right to compute. `Err` with an exception set.
    fn reach(&self, trip: &mut Trip, flying: Option<&Flying>) -> Result<(), ErrSet> {
        let py = self.arguments.py();
        let has_come = matches!(trip.step, Step::Compute(_)) || trip.advance_detached(py);
        if let Some(flying) = flying {
            flying.is_answered();
        }
        if !has_come {
            let (since, bound) = (Instant::now(), self.cached.state.wait_timeout);
            let mut sleeper = Sleeper::new(py)?;
            loop {
                let left = bound.map_or(Duration::MAX, |bound| bound.saturating_sub(since.elapsed()));
                if left.is_zero() {
                    trip.compute_alone();
                    break;
                }
                // SAFETY: the trip knows nothing of Python.
                if unsafe { sleeper.wait(py, left, |slice| flagged(|| trip.advance(slice))) }? {
                    break;
                }
            }
        }
        self.remote.count_errors(trip);
        Ok(())
    }

    /// What becomes of a value that the server has; `None`: the caller computes.
    fn take_found(
        &mut self,
        opened: &Opened,
        control: &Control,
        trip: &mut Trip,
        tags: &Tags,
    ) -> Result<Option<Brought>, ErrSet> {
        let Step::Found(found) = std::mem::replace(&mut trip.step, Step::Over) else { return Ok(None) };
        let py = self.arguments.py();
        if clock::exact() >= found.fresh_until.saturating_add(control.revalidate) {
            trip.step = Step::Renew(found);
            self.reach(trip, None)?;
            return Ok(None);
        }
        match values::read(py, &found, opened.may_pickle)? {
            Read::Value(object, sharing) => {
                let sharing = Some(sharing);
                let terms = values::near_terms(opened, control, &found, object.lend(py), sharing, tags.clone())?;
                self.remote.count_found(trip.is_here);
                self.remote.unstorable.forget();
                if clock::exact() >= found.fresh_until {
                    self.cached.state.count_stale_hit();
                    self.is_stale = true;
                }
                Ok(Some(Brought::Value(object, terms)))
            }
            Read::Raised(shared) => {
                let terms = values::near_terms(opened, control, &found, shared.lend(py), None, tags.clone())?;
                self.remote.count_found(trip.is_here);
                exceptions::raise_own(py, &shared);
                Ok(Some(Brought::Raised(terms)))
            }
            Read::Unreadable => {
                trip.is_unreadable();
                self.remote.count_errors(trip);
                Ok(None)
            }
        }
    }

    /// Computes, and stores for all hosts what came of it, if that is this call's to do.
    fn compute_far(&mut self, opened: &Opened, control: &Control, trip: &mut Trip, tags: &Tags) -> Brought {
        let py = self.arguments.py();
        let began = Instant::now();
        let result = self.cached.compute(self.arguments);
        let computed = began.elapsed();
        let Some(result) = result else {
            return self.failed(opened, control, trip, tags, computed);
        };
        match self.keep(opened, control, trip, tags, result.lend(py), computed) {
            Ok(terms) => Brought::Value(result, terms),
            Err(ErrSet) => {
                exceptions::drop_beside(py, result);
                nothing(py, trip)
            }
        }
    }

    /// Stores a result; how it is kept near.
    fn keep(
        &self,
        opened: &Opened,
        control: &Control,
        trip: &mut Trip,
        tags: &Tags,
        result: Ref<'_>,
        computed: Duration,
    ) -> Result<Option<Terms>, ErrSet> {
        let py = result.py();
        let terms = match control.appraise(result, tags.clone())? {
            Verdict::Store(terms) => terms,
            Verdict::Drop => {
                trip.drop_detached(py);
                return Ok(None);
            }
        };
        let wants_bytes = trip.wants_bytes();
        let sending = if wants_bytes { values::sending(opened, control, &terms, result, computed)? } else { None };
        let is_telling = trip.is_telling(sending.is_some());
        let cover = match wants_bytes && sending.is_none() {
            // It has no bytes: the older one must not stand for it.
            true => trip.drop_detached(py),
            false => trip.end_detached(py, sending.as_ref()),
        };
        self.remote.count_errors(trip);
        if is_telling {
            self.remote.unstorable.was_sent(sending.is_some() && trip.unstorable.is_none());
        }
        if sending.is_none() && (wants_bytes || !trip.has_key) {
            self.tell(opened, trip, Reason::Value, result)?;
        }
        if let Some(why) = trip.unstorable {
            self.remote.told.tell_size(py, self.cached, why)?;
        }
        values::alone_terms(py, opened, control, terms, cover, trip.call.stripes())
    }

    /// Tells the user that the server does not get this, whatever is the reason of the two. `Err` with an exception set.
    fn tell(&self, opened: &Opened, trip: &Trip, reason: Reason, object: Ref<'_>) -> Result<(), ErrSet> {
        let (reason, object) = if trip.has_key { (reason, Some(object)) } else { (Reason::Argument, None) };
        self.remote.told.tell(self.arguments.py(), self.cached, reason, object, opened.may_pickle)
    }

    /// The end of a computation that raised: an old value may serve, the exception may be stored.
    #[cold]
    fn failed(
        &mut self,
        opened: &Opened,
        control: &Control,
        trip: &mut Trip,
        tags: &Tags,
        computed: Duration,
    ) -> Brought {
        let py = self.arguments.py();
        let Some(raised) = exceptions::take(py) else { return Brought::Failed };
        if !exceptions::is_shareable(py, &raised) {
            exceptions::set(py, raised);
            return nothing(py, trip);
        }
        if let Some(old) = trip.take_old().filter(|old| clock::exact() < old.fresh_until.saturating_add(control.spare))
        {
            match values::read(py, &old, opened.may_pickle) {
                Ok(Read::Value(object, _)) => {
                    trip.end_detached(py, None);
                    return Brought::Stale(object);
                }
                Ok(Read::Raised(_) | Read::Unreadable) => (),
                Err(ErrSet) => return nothing(py, trip),
            }
        }
        let stored = match self.spare {
            None => control.store_exception(py, &raised, tags.clone()),
            Some(_) => None,
        };
        let kept = match stored {
            None => {
                trip.end_detached(py, None);
                None
            }
            Some(Err(ErrSet)) => return nothing(py, trip),
            Some(Ok(terms)) => {
                let Ok(sending) = values::sending(opened, control, &terms, raised.lend(py), computed) else {
                    return nothing(py, trip);
                };
                let sending = sending.filter(|_| trip.has_key);
                let cover = trip.end_detached(py, sending.as_ref());
                if sending.is_none() && self.tell(opened, trip, Reason::Raised, raised.lend(py)).is_err() {
                    return nothing(py, trip);
                }
                let Ok(kept) = values::alone_terms(py, opened, control, terms, cover, trip.call.stripes()) else {
                    return nothing(py, trip);
                };
                kept
            }
        };
        self.remote.count_errors(trip);
        exceptions::set(py, raised);
        Brought::Raised(kept)
    }
}

/// Ends a call that brings nothing, with an exception set that is this caller's: another may compute.
fn nothing(py: Python<'_>, trip: &mut Trip) -> Brought {
    trip.end_detached(py, None);
    Brought::Failed
}
