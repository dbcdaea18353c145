//! The way of one call to the server, as Python has it.
//!
//! Ring 3. A thread that is on the way has the turn; nobody else waits for it.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::super::near::Flying;
use super::super::opened::asking;
use super::super::trip::{Sending, Step, Trip};
use super::super::values::Reason;
use crate::capi::panics::as_error;
use crate::function::control::Terms;
use remote::tier::Cover;

/// One call's way to the server.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs")]
pub struct RemoteTurn {
    place: Mutex<Place>,
    flying: Arc<Flying>,
    /// Whether it is a refresh.
    pub(super) anew: bool,
}

/// Where the call is.
struct Place {
    /// `None` while a thread is on the way.
    turn: Option<Turn>,
    /// Its caller has left meanwhile: that thread gives the right to compute back.
    ends: bool,
}

/// The call itself, whoever drives it now.
pub(super) struct Turn {
    pub trip: Trip,
    /// What is to be sent, and whether what the server has is to go instead.
    pub sending: Option<Sending>,
    pub drops: bool,
    /// How the result is kept here if the server does not get it.
    pub terms: Option<Terms>,
    pub cover: Cover,
    pub tell: Option<Reason>,
    /// Of a result that the server was to have: whether it has bytes.
    pub was_sent: Option<bool>,
}

impl RemoteTurn {
    pub(super) fn new(trip: Trip, flying: Arc<Flying>, anew: bool) -> RemoteTurn {
        let turn =
            Turn { trip, sending: None, drops: false, terms: None, cover: Cover::VOID, tell: None, was_sent: None };
        RemoteTurn { place: Mutex::new(Place { turn: Some(turn), ends: false }), flying, anew }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the turn, which nobody else has until it is [given back](Self::give_back).
    fn take(&self) -> Option<Turn> {
        self.place().turn.take()
    }

    fn give_back(&self, py: Python<'_>, mut turn: Turn) {
        {
            let mut place = self.place();
            if !mem::take(&mut place.ends) {
                place.turn = Some(turn);
                return;
            }
        }
        turn.trip.end_detached(py, None);
        self.place().turn = Some(turn);
    }

    /// Runs `f` with the turn, which nobody else has meanwhile.
    pub(super) fn with<R>(&self, py: Python<'_>, f: impl FnOnce(&mut Turn) -> R) -> PyResult<R> {
        let Some(mut turn) = self.take() else {
            return Err(PyRuntimeError::new_err("another thread is on the way to the server for this call"));
        };
        let result = f(&mut turn);
        self.give_back(py, turn);
        Ok(result)
    }
}

/// `RemoteTurn.ask(0)` of many: their servers are asked in one trip each. False, too, of a turn that another thread has.
#[pyfunction]
pub(crate) fn _ask_together(py: Python<'_>, turns: Vec<Py<RemoteTurn>>) -> PyResult<Vec<bool>> {
    as_error(|| {
        let mut taken: Vec<Option<Turn>> = turns.iter().map(|turn| turn.get().take()).collect();
        let mut trips: Vec<&mut Trip> = taken.iter_mut().flatten().map(|turn| &mut turn.trip).collect();
        // SAFETY: the trips know nothing of Python.
        let mut answers = unsafe { asking(py, || Trip::advance_together(&mut trips)) }.into_iter();
        let each = turns.iter().zip(taken).map(|(turn, taken)| match taken {
            Some(taken) => {
                turn.get().give_back(py, taken);
                turn.get().flying.is_answered();
                answers.next().unwrap_or(false)
            }
            None => false,
        });
        Ok(each.collect())
    })
}

#[pymethods]
impl RemoteTurn {
    /// Asks the server, and waits for at most so many seconds where another process computes: whether there is an answer.
    /// To be called where waiting harms nobody.
    fn ask(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let time = Duration::from_secs_f64(seconds.clamp(0.0, 1e6));
        as_error(|| {
            // SAFETY: the trip knows nothing of Python.
            let has_come = self.with(py, |turn| unsafe { asking(py, || turn.trip.advance(time)) });
            self.flying.is_answered();
            has_come
        })
    }

    /// Whether there is an answer without asking: the file of the host has it, or nothing is to be asked.
    fn is_here(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |turn| match turn.trip.step {
            Step::Found(_) => turn.trip.is_here,
            Step::Compute(_) => true,
            _ => false,
        })
    }

    /// Whether `send` waits for nobody.
    fn ends_at_once(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |turn| turn.trip.ends_at_once() && !turn.drops)
    }

    /// Has the caller compute, whatever others do.
    fn insist(&self, py: Python<'_>) -> PyResult<()> {
        self.flying.is_answered();
        self.with(py, |turn| turn.trip.compute_alone())
    }

    /// Sends what there is to send, or gives the right to compute back; where another thread is on the way, that one does the
    /// latter. To be called where waiting harms nobody.
    fn send(&self, py: Python<'_>) -> PyResult<()> {
        as_error(|| {
            let taken = {
                let mut place = self.place();
                place.ends = place.turn.is_none();
                place.turn.take()
            };
            let Some(mut turn) = taken else { return Ok(()) };
            let Turn { trip, sending, drops, cover, .. } = &mut turn;
            // SAFETY: as in `ask`.
            *cover = unsafe {
                asking(py, || match sending.take() {
                    Some(sending) => trip.send(&sending),
                    None if *drops => trip.drop_older(),
                    None => trip.give_up(),
                })
            };
            self.give_back(py, turn);
            Ok(())
        })
    }

    /// Whether a caller who comes now may have the result. To be called where waiting harms nobody.
    fn may_join(&self, py: Python<'_>) -> PyResult<bool> {
        as_error(|| Ok(self.flying.may_join(py)))
    }

    /// The same without asking the server: false where that is not known.
    fn is_current(&self) -> bool {
        self.flying.is_current()
    }
}
