//! What a cache object reads: from the file of the host, where there is one, else from the server.
//!
//! Ring 3. What was read is kept near, and in the file under the marks of a function's trip ([`Host`](super::host::Host)). A read
//! that fails finds nothing, and is counted.

use std::mem;

use super::methods::Near;
use super::object::There;
use super::opened::asking;
use super::trip::{Step, Trip};
use super::values::{self, Read as Body};
use crate::backend::shared::object::checks::check_key;
use crate::capi::exceptions::ErrSet;
use crate::capi::reference::PyRef;
use crate::codec::Sharing;
use crate::function::control::Tags;
use crate::function::fence::Began;
use crate::function::state::Put;
use crate::key::View;
use concurrency::clock;
use pyo3::prelude::*;
use remote::tier::{Call, Found};

/// A value that was read.
struct Read {
    found: Box<Found>,
    /// From the file of the host.
    is_here: bool,
}

impl There<'_> {
    /// The value of a key that is not near, counted as a call that has missed here.
    pub(crate) fn read(&self, view: &View<'_>) -> Result<Option<PyRef>, ErrSet> {
        self.read_many(std::slice::from_ref(view)).map(|mut read| read.pop().flatten())
    }

    /// The same of many: what is not in the file of the host comes in one trip.
    pub(crate) fn read_many(&self, views: &[View<'_>]) -> Result<Vec<Option<PyRef>>, ErrSet> {
        let Some(py) = views.first().map(View::py) else { return Ok(Vec::new()) };
        let mut trips = self.trips(views)?;
        let began: Vec<_> = views.iter().map(|view| self.cached.state.began(view.hash)).collect();
        // SAFETY: the tier knows nothing of Python.
        let read = unsafe { asking(py, || self.look_many(&mut trips)) };
        self.remote.tell_lacks(py, self.opened)?;
        let parts = views.iter().zip(read).zip(began);
        parts.map(|((view, read), began)| read.map_or(Ok(None), |read| self.receive(view, &read, began))).collect()
    }

    /// Looks into the file of the host, then at the server: the values that serve. No Python in it.
    fn look_many(&self, trips: &mut [Trip]) -> Vec<Option<Read>> {
        let tier = &self.opened.tier;
        let mut read: Vec<Option<Read>> = trips.iter_mut().map(|trip| self.look_here(trip)).collect();
        let far: Vec<usize> = (0..trips.len()).filter(|i| read[*i].is_none()).collect();
        if far.is_empty() {
            tier.attend();
            return read;
        }
        let asked: Vec<&Call> = far.iter().map(|i| &*trips[*i].call).collect();
        let Ok(found) = tier.read_many(&asked) else {
            self.remote.count_error();
            return read;
        };
        for (i, found) in far.into_iter().zip(found) {
            match found {
                Ok(Some(found)) => {
                    trips[i].keep_here(&found);
                    read[i] = self.serves(&found).then_some(Read { found, is_here: false });
                }
                Ok(None) => (),
                Err(_) => self.remote.count_error(),
            }
        }
        read
    }

    /// The value that the file of the host has, if it serves.
    fn look_here(&self, trip: &mut Trip) -> Option<Read> {
        if !trip.look_here(true) {
            return None;
        }
        match mem::replace(&mut trip.step, Step::Over) {
            Step::Found(found) if self.serves(&found) => Some(Read { found, is_here: true }),
            _ => None,
        }
    }

    /// What was read of a key, which is kept near.
    fn receive(&self, view: &View<'_>, read: &Read, began: Began) -> Result<Option<PyRef>, ErrSet> {
        let (state, found) = (&self.cached.state, &read.found);
        let Some((object, sharing)) = self.object(view.py(), found)? else { return Ok(None) };
        self.remote.count_found(read.is_here);
        if clock::exact() >= found.fresh_until {
            state.count_stale_hit();
        }
        let terms =
            values::near_terms(self.opened, self.control, found, object.lend(view.py()), Some(sharing), Tags::new())?;
        match terms.is_none_or(|terms| state.put_terms(view, terms, Put::IfAbsentSince(began))) {
            true => Ok(Some(object)),
            false => Err(ErrSet),
        }
    }

    /// The value of a key, of which nobody hears.
    pub(crate) fn peek(&self, view: &View<'_>) -> Result<Option<PyRef>, ErrSet> {
        check_key(view)?;
        match self.remote.peek(self.opened, view, false)?.filter(|found| self.serves(found)) {
            Some(found) => self.deliver(view.py(), &found),
            None => Ok(None),
        }
    }

    /// Seconds until a key's entry is no longer fresh; `None` where there is none.
    pub(crate) fn remaining(&self, view: &View<'_>) -> Result<Option<f64>, ErrSet> {
        check_key(view)?;
        if let Near::There(left, answers) = self.remote.near(&self.cached.state, view)? {
            return Ok(answers.then_some(left));
        }
        let found = self.remote.peek(self.opened, view, false)?.filter(|found| self.serves(found));
        Ok(found.map(|found| values::seconds_left(&found)))
    }

    /// What a body makes; `None` if it cannot be read here, which is counted.
    pub(super) fn object(&self, py: Python<'_>, found: &Found) -> Result<Option<(PyRef, Sharing)>, ErrSet> {
        match values::read(py, found, self.opened.may_pickle)? {
            Body::Value(object, sharing) => Ok(Some((object, sharing))),
            Body::Raised(_) => Ok(None),
            Body::Unreadable => {
                self.remote.count_error();
                Ok(None)
            }
        }
    }
}
