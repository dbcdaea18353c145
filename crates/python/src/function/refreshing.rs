//! A refresh of a plain function under way, and who waits for it.
//!
//! Ring 3. `warp_cache._refresh` drives refreshes; those of one key are one. A wait is one of those that
//! [`concurrency::inflight`] knows: it is bounded by `wait_timeout`, and refused where it would close a circle with any other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyTuple};

use super::computation::Computation;
use super::handout;
use super::joining::WaitEnd;
use super::running::Beyond;
use super::single_flight::Reserved;
use super::slot_value::{SharedFlight, SharedObject};
use super::ticket::Ticket;
use super::CachedFunction;
use crate::backend::{Known, SharedLease};
use crate::capi::borrowed::Ref;
use crate::capi::detach::Sleeper;
use crate::capi::exceptions::{self, ErrSet, Raise};
use crate::capi::panics::as_error;
use crate::capi::reference::PyRef;
use crate::key::View;
use concurrency::inflight::{Flight, Outcome, Waiting};
use concurrency::thread_id;
use shared::Purpose;

/// See the module's documentation.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs")]
pub struct RefreshFlight {
    /// The computation, once it has begun.
    computation: PyOnceLock<Py<Computation>>,
    flight: SharedFlight,
    waiters: AtomicUsize,
}

/// How a wait for a refresh ended.
enum Waited<'py> {
    Value(Bound<'py, PyAny>),
    /// It is over, and there is nothing to have of it.
    Nothing,
    Late,
    Refused,
}

#[pymethods]
impl RefreshFlight {
    /// One that this thread leads.
    #[new]
    fn new() -> Self {
        let flight = Arc::new(Flight::new(thread_id::current()));
        RefreshFlight { computation: PyOnceLock::new(), flight, waiters: AtomicUsize::new(0) }
    }

    /// Whether its leader can be in this process.
    #[getter]
    fn is_of_this_process(&self) -> bool {
        self.flight.is_of_this_process()
    }

    /// How many have waited for it.
    #[getter]
    fn waiters(&self) -> usize {
        self.waiters.load(Ordering::Relaxed)
    }

    #[getter]
    fn computation(slf: &Bound<'_, Self>) -> Option<Py<Computation>> {
        slf.get().computation.get(slf.py()).map(|computation| computation.clone_ref(slf.py()))
    }

    /// Notes the computation that has begun.
    fn begin(&self, computation: &Bound<'_, Computation>) {
        // That of a leader who was given up stays: who comes is not to have it if it is not current.
        let _ = self.computation.set(computation.py(), computation.clone().unbind());
    }

    /// Ends it with an exception.
    fn fail(&self, error: &Bound<'_, PyAny>) {
        let (py, error) = (error.py(), Ref::from(error).to_owned());
        let shared = exceptions::is_shareable(py, &error).then(|| exceptions::share(py, &error)).flatten();
        drop(exceptions::take(py));
        drop(self.flight.complete(shared.map_or(Outcome::Abandoned, |shared| Outcome::Error(Arc::new(shared)))));
    }
}

impl RefreshFlight {
    /// Waits for what comes of it, as Python is told: a tuple with the value, True (compute it for all who wait: the leader has
    /// had its time), False (it is over: compute it for yourself) or None (it waits for this thread: compute it beside). Raises
    /// what the computation raised.
    pub(super) fn wait<'py>(&self, cached: &Bound<'py, CachedFunction>) -> PyResult<Bound<'py, PyAny>> {
        let py = cached.py();
        let answer = |leads| PyBool::new(py, leads).to_owned().into_any();
        Ok(match self.wait_for_it(cached.get(), py)? {
            Waited::Value(value) => PyTuple::new(py, [value])?.into_any(),
            Waited::Late => answer(true),
            Waited::Nothing => answer(false),
            Waited::Refused => py.None().into_bound(py),
        })
    }

    fn wait_for_it<'py>(&self, cached: &CachedFunction, py: Python<'py>) -> PyResult<Waited<'py>> {
        let (state, me) = (&cached.state, thread_id::current());
        as_error(|| {
            let mut sleeper = Sleeper::new(py).map_err(|ErrSet| PyErr::fetch(py))?;
            let waiting = match sleeper.is_green() {
                true => Waiting::begin_green(me, &self.flight),
                false => Waiting::begin(me, &self.flight),
            };
            let Some(waiting) = waiting else {
                return Ok(Waited::Refused);
            };
            // Relaxed: who is counted too late computes for himself.
            self.waiters.fetch_add(1, Ordering::Relaxed);
            let ended = state.wait(py, me, &self.flight, &mut sleeper);
            drop(waiting);
            match ended {
                WaitEnd::Result(object) => {
                    let value = object.ok_or_else(|| PyErr::fetch(py))?;
                    Ok(Waited::Value(value.into_bound(py)))
                }
                WaitEnd::Lead => Ok(Waited::Late),
                WaitEnd::Free | WaitEnd::Unreadable(_) => Ok(Waited::Nothing),
            }
        })
    }

    /// Ends it with a value: whoever waits has that, or one of his own.
    pub(super) fn complete(&self, cached: &Bound<'_, CachedFunction>, value: &Bound<'_, PyAny>) {
        let outcome = match self.waiters.load(Ordering::Relaxed) {
            0 => Outcome::Abandoned,
            // It has been stored: what is wrong now is no error.
            _ => outcome(cached.get(), value).unwrap_or_else(|ErrSet| {
                drop(exceptions::take(value.py()));
                Outcome::Abandoned
            }),
        };
        drop(self.flight.complete(outcome));
    }
}

/// What a missed call has of a refresh of its key.
pub(crate) enum Followed {
    /// There is none.
    Nothing,
    /// It is over without a value: the call waits for no other.
    Over,
    /// A wait for it could never end.
    Refused,
    /// It has had its time.
    Late,
    /// Its value, or its exception, which is set; the reserved slot is settled.
    Result(Option<PyRef>),
}

impl CachedFunction {
    /// Waits for a refresh of a missed key, if one is under way that nothing has fenced. It stores what it brings. `beyond`:
    /// the fences of other processes, as they stand.
    #[cold]
    #[inline(never)]
    pub(crate) fn follow_refresh(
        &self,
        view: &View<'_>,
        reserved: Reserved,
        beyond: impl FnOnce(&Computation) -> Option<Beyond>,
    ) -> Followed {
        let (py, state) = (view.py(), &self.state);
        let failed = |error: PyErr| {
            error.raise(py);
            state.settle_failure(py, Some(reserved), None);
            Followed::Result(None)
        };
        let refresh = match self.refresh_under_way(view) {
            Ok(Some(refresh)) => refresh,
            Ok(None) => return Followed::Nothing,
            Err(error) => return failed(error),
        };
        let refresh = refresh.get();
        let Some(computation) = refresh.computation.get(py).filter(|_| refresh.flight.is_of_this_process()) else {
            return Followed::Nothing;
        };
        let computation = computation.get();
        // From here on a fence takes the slot out of the index; one from before that is seen below.
        let _running = state.running.note(Some(reserved), &computation.tags, beyond(computation));
        if !state.backend.is_current(state, view, computation) {
            return Followed::Nothing;
        }
        let value = match refresh.wait_for_it(self, py) {
            Ok(Waited::Value(value)) => value,
            Ok(Waited::Late) => return Followed::Late,
            Ok(Waited::Nothing) => return Followed::Over,
            Ok(Waited::Refused) => return Followed::Refused,
            Err(error) => return failed(error),
        };
        let outcome = || {
            outcome(self, &value).unwrap_or_else(|ErrSet| {
                drop(exceptions::take(py));
                Outcome::Abandoned
            })
        };
        state.settle(Some(reserved), None, None, outcome);
        Followed::Result(Some(PyRef::from(value.unbind())))
    }

    /// The refresh on record of the key that entries and computations of this process have.
    fn refresh_under_way<'py>(&self, view: &View<'py>) -> PyResult<Option<Bound<'py, RefreshFlight>>> {
        let py = view.py();
        let Some(refreshes) = self.state.refreshes.get(py).map(|refreshes| refreshes.bind(py)) else {
            return Ok(None);
        };
        if refreshes.is_empty() {
            return Ok(None);
        }
        let ticket = Ticket::new(view, Known::Arguments, self.state.lone_apart, false);
        let ticket = Bound::new(py, ticket.ok_or_else(|| PyErr::fetch(py))?)?;
        let found = refreshes.get_item(ticket)?;
        found.map(|found| Ok(found.cast_into::<RefreshFlight>()?)).transpose()
    }
}

/// What those have who waited for a value.
fn outcome(cached: &CachedFunction, value: &Bound<'_, PyAny>) -> Result<Outcome<SharedObject>, ErrSet> {
    let own = handout::for_each(&cached.state, value.into())?;
    Ok(match own {
        Some(template) if cached.state.backend.shared().is_some() => Outcome::Template(Arc::new(template)),
        Some(kept) => Outcome::Value(Arc::new(kept)),
        None => Outcome::Value(Arc::new(Ref::from(value).to_owned())),
    })
}

/// Notes that a refresh begins, and claims the lease of a shared cache where there is one to be had: see
/// `CachedFunction._begin_refresh`.
pub fn begin<'py>(
    slf: &Bound<'py, CachedFunction>,
    ticket: &Bound<'py, Ticket>,
    computation: &Bound<'py, Computation>,
    lease: Option<Bound<'py, SharedLease>>,
    beside: bool,
) -> PyResult<Option<Bound<'py, SharedLease>>> {
    let state = &slf.get().state;
    state.count_refresh();
    let Some(shared) = state.backend.shared() else {
        ticket.get().with_view(ticket.py(), |view| state.mark_refresh(view));
        return Ok(None);
    };
    if lease.is_some() || beside {
        return Ok(lease);
    }
    let noted = &computation.get().noted;
    let claimed = ticket.get().with_view(slf.py(), |view| shared.claim(state, view, Purpose::Anew, noted));
    let claimed = claimed.map_err(|ErrSet| PyErr::fetch(slf.py()))?;
    let claimed = claimed.map(|lease| Bound::new(slf.py(), lease)).transpose()?;
    computation.get().fence_again(slf.get(), ticket)?;
    Ok(claimed)
}
