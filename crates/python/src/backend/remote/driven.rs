//! Calls whose way to the server Python drives: those of coroutine functions, and refreshes.
//!
//! Ring 3. What may wait for the server (`ask`, `send`) touches nothing of the caches and may run in any thread, without the
//! interpreter; what runs the user's code or changes the entries runs in the thread of the call.

mod turn;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

pub(crate) use self::turn::{_ask_together, RemoteTurn};
use super::near::Flying;
use super::opened::Opened;
use super::trip::Step;
use super::values::{self, Read, Reason};
use super::Remote;
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::{self, ErrSet};
use crate::function::computation::Computation;
use crate::function::control::{Control, Terms, Verdict};
use crate::function::state::Put;
use crate::function::ticket::Ticket;
use crate::function::CachedFunction;
use concurrency::clock;
use concurrency::elapsed::Stopwatch;
use remote::tier::{Call, Cover};

impl Remote {
    fn parts<'a>(&'a self, cached: &'a CachedFunction, py: Python<'_>) -> PyResult<(&'a Opened, &'a Control)> {
        let opened = fetched(py, self.opened(py))?;
        opened.zip(cached.state.control.as_deref()).ok_or_else(|| PyRuntimeError::new_err("there is no server"))
    }
}

/// The remote backend of a function that has one.
fn remote_of(cached: &CachedFunction) -> PyResult<&Remote> {
    cached.state.backend.remote().ok_or_else(|| PyRuntimeError::new_err("the cache has no server"))
}

fn fetched<R>(py: Python<'_>, result: Result<R, ErrSet>) -> PyResult<R> {
    result.map_err(|ErrSet| PyErr::fetch(py))
}

/// Whether there is a server behind the cache; it is looked for at the first use.
pub(crate) fn has_server(cached: &CachedFunction, py: Python<'_>) -> PyResult<bool> {
    match cached.state.backend.remote() {
        None => Ok(false),
        Some(remote) => fetched(py, remote.opened(py)).map(|opened| opened.is_some()),
    }
}

/// The way of a ticket's call. `anew`: the value is computed anew, whatever is there.
pub(crate) fn begin(
    cached: &CachedFunction,
    py: Python<'_>,
    ticket: &Ticket,
    computation: &Computation,
    anew: bool,
) -> PyResult<RemoteTurn> {
    let remote = remote_of(cached)?;
    let (opened, _) = remote.parts(cached, py)?;
    let (key, hash) = ticket.with_view(py, |view| (remote.key_noting(cached, view), view.hash));
    let mut trip = remote.trip(py, opened, fetched(py, key)?.as_deref(), hash, &computation.tags);
    if anew {
        trip.step = Step::Anew;
    }
    let flying = Flying::new(&opened.tier, &trip.call);
    if !anew && remote.asks_nothing(opened, &mut trip) {
        flying.is_answered();
    } else if !anew && trip.has_key {
        // What is there need not be waited for.
        trip.look_here(true);
    }
    Ok(RemoteTurn::new(trip, flying, anew))
}

/// What the server has: a tuple with the value, which is kept near, and with None beside it if that is to be computed anew;
/// an empty one if the caller is to compute; None if it is to ask once more. Raises a stored exception.
pub(crate) fn take<'py>(
    cached: &CachedFunction,
    py: Python<'py>,
    ticket: &Ticket,
    computation: &Computation,
    turn: &RemoteTurn,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let remote = remote_of(cached)?;
    let (opened, control) = remote.parts(cached, py)?;
    fetched(py, remote.tell_lacks(py, opened))?;
    let found = turn.with(py, |turn| {
        remote.count_errors(&mut turn.trip);
        match mem::replace(&mut turn.trip.step, Step::Over) {
            Step::Found(found) => Some((found, turn.trip.is_here)),
            step => {
                turn.trip.step = step;
                None
            }
        }
    })?;
    let Some((found, is_here)) = found else {
        remote.count_miss_there();
        return Ok(Some(PyTuple::empty(py)));
    };
    let now = clock::exact();
    if now >= found.fresh_until.saturating_add(control.revalidate) {
        turn.with(py, |turn| turn.trip.step = Step::Renew(found))?;
        return Ok(None);
    }
    let (object, sharing) = match fetched(py, values::read(py, &found, opened.may_pickle))? {
        Read::Value(object, sharing) => (object, Some(sharing)),
        Read::Raised(shared) => (shared, None),
        Read::Unreadable => {
            turn.with(py, |turn| turn.trip.is_unreadable())?;
            remote.count_error();
            remote.count_miss_there();
            return Ok(Some(PyTuple::empty(py)));
        }
    };
    let tags = computation.tags.clone();
    let terms = fetched(py, values::near_terms(opened, control, &found, object.lend(py), sharing, tags))?;
    keep_near(cached, py, ticket, computation, terms)?;
    remote.count_found(is_here);
    remote.unstorable.forget();
    if sharing.is_none() {
        exceptions::raise_own(py, &object);
        return Err(PyErr::fetch(py));
    }
    if now >= found.fresh_until {
        cached.state.count_stale_hit();
        return PyTuple::new(py, [object.as_py(), &py.None()]).map(Some);
    }
    PyTuple::new(py, [object.as_py()]).map(Some)
}

/// Keeps something near, unless it was fenced here.
fn keep_near(
    cached: &CachedFunction,
    py: Python<'_>,
    ticket: &Ticket,
    computation: &Computation,
    terms: Option<Terms>,
) -> PyResult<()> {
    let Some(terms) = terms else { return Ok(()) };
    let mode = Put::IfAbsentSince(computation.began);
    if ticket.with_view(py, |view| cached.state.put_terms(view, terms, mode)) {
        Ok(())
    } else {
        Err(PyErr::fetch(py))
    }
}

/// Notes what is to be sent of a value that was computed. It runs the user's code.
pub(crate) fn keep(
    cached: &CachedFunction,
    value: &Bound<'_, PyAny>,
    computation: &Computation,
    turn: &RemoteTurn,
) -> PyResult<()> {
    let py = value.py();
    let (opened, control) = remote_of(cached)?.parts(cached, py)?;
    cached.state.count_load(computation.watch, false);
    let terms = match fetched(py, control.appraise(value.into(), computation.tags.clone()))? {
        Verdict::Store(terms) => terms,
        Verdict::Drop => {
            return turn.with(py, |turn| {
                turn.drops = turn.trip.old.is_some();
            });
        }
    };
    let computed = Duration::from_nanos(Stopwatch::nanoseconds(computation.watch.ticks()));
    let (has_key, wants_bytes) = turn.with(py, |turn| (turn.trip.has_key, turn.trip.wants_bytes()))?;
    let sending =
        if wants_bytes { fetched(py, values::sending(opened, control, &terms, value.into(), computed))? } else { None };
    turn.with(py, |turn| {
        turn.tell = match (&sending, has_key) {
            (None, true) if wants_bytes => Some(Reason::Value),
            (None, false) => Some(Reason::Argument),
            _ => None,
        };
        turn.was_sent = turn.trip.is_telling(sending.is_some()).then_some(sending.is_some());
        // Without bytes: the older one must not stand for it.
        turn.drops = wants_bytes && sending.is_none() && turn.trip.old.is_some();
        turn.sending = sending;
        turn.terms = Some(terms);
    })
}

/// Keeps near what was not sent, and tells the user why that was.
pub(crate) fn settle(
    cached: &CachedFunction,
    value: &Bound<'_, PyAny>,
    ticket: &Ticket,
    computation: &Computation,
    turn: &RemoteTurn,
) -> PyResult<()> {
    let (py, remote) = (value.py(), remote_of(cached)?);
    let (opened, control) = remote.parts(cached, py)?;
    if turn.anew {
        // What is near is the old one, until the server tells of the new one.
        ticket.with_view(py, |view| remote.drop_here(&cached.state, view));
    }
    let (terms, tell, unstorable) = turn.with(py, |turn| {
        remote.count_errors(&mut turn.trip);
        if let Some(was_sent) = turn.was_sent.take() {
            remote.unstorable.was_sent(was_sent && turn.trip.unstorable.is_none());
        }
        let (cover, call) = (turn.cover, Arc::clone(&turn.trip.call));
        (turn.terms.take().map(|terms| (terms, cover, call)), turn.tell.take(), turn.trip.unstorable)
    })?;
    let keep = |(terms, cover, call): (Terms, Cover, Arc<Call>)| {
        fetched(py, values::alone_terms(py, opened, control, terms, cover, call.stripes()))
    };
    let terms = terms.map_or(Ok(None), keep)?;
    keep_near(cached, py, ticket, computation, terms)?;
    if let Some(why) = unstorable {
        fetched(py, remote.told.tell_size(py, cached, why))?;
    }
    let Some(reason) = tell else { return Ok(()) };
    let told = matches!(reason, Reason::Value | Reason::Raised).then(|| value.into());
    fetched(py, remote.told.tell(py, cached, reason, told, opened.may_pickle))
}

/// Notes what is to be sent of an exception: a tuple with the value that serves in its place, or an empty one.
pub(crate) fn failed<'py>(
    cached: &CachedFunction,
    error: &Bound<'py, PyAny>,
    ticket: &Ticket,
    computation: &Computation,
    turn: &RemoteTurn,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = error.py();
    let (opened, control) = remote_of(cached)?.parts(cached, py)?;
    cached.state.count_load(computation.watch, true);
    let raised = Ref::from(error).to_owned();
    if !exceptions::is_shareable(py, &raised) {
        return Ok(PyTuple::empty(py));
    }
    let old = turn.with(py, |turn| turn.trip.take_old())?;
    if let Some(old) = old.filter(|old| clock::exact() < old.fresh_until.saturating_add(control.spare)) {
        if let Read::Value(object, _) = fetched(py, values::read(py, &old, opened.may_pickle))? {
            cached.state.count_stale_hit();
            return PyTuple::new(py, [object.as_py()]);
        }
    }
    if let Some(object) = fetched(py, ticket.with_view(py, |view| cached.state.spare(view)))? {
        return PyTuple::new(py, [object.as_py()]);
    }
    if let Some(terms) = control.store_exception(py, &raised, computation.tags.clone()) {
        let terms = fetched(py, terms)?;
        let computed = Duration::from_nanos(Stopwatch::nanoseconds(computation.watch.ticks()));
        let sending = fetched(py, values::sending(opened, control, &terms, raised.lend(py), computed))?;
        turn.with(py, |turn| {
            turn.sending = sending.filter(|_| turn.trip.has_key);
            turn.tell = match (&turn.sending, turn.trip.has_key) {
                (Some(_), _) => None,
                (None, true) => Some(Reason::Raised),
                (None, false) => Some(Reason::Argument),
            };
            turn.terms = Some(terms);
        })?;
    }
    Ok(PyTuple::empty(py))
}
