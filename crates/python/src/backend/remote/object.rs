//! What a cache object does with the server: storing, and changes of an entry if it is still the one that was seen.
//!
//! Ring 3. What is read is kept near ([`reading`](super::reading)), what is changed is not: the next read has it from the server,
//! and its cover with it. A change takes effect when the server has it. Where it is not acknowledged, what is near is dropped all
//! the same, in this process and in the file of the host, and `warp_cache.RemoteError` is set.

use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::opened::{asking, Opened};
use super::trip::{Sending, Trip};
use super::values::{self, Read};
use super::{Remote, LONGEST};
use crate::backend::shared::object::checks::{check_key, refuse_key, refuse_value};
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::{ErrSet, Raise};
use crate::capi::reference::PyRef;
use crate::function::control::{Control, Tags, Verdict, Wish};
use crate::function::option_checks::shown;
use crate::function::CachedFunction;
use crate::key::View;
use crate::object::exchange::{Entry, Expected, Swap, Swapped};
use concurrency::clock;
use remote::envelope::Kind;
use remote::tier::{Call, Draft, Found, PutError};

/// The server behind an object, and the object there.
pub(crate) struct There<'a> {
    pub(super) cached: &'a CachedFunction,
    pub(super) remote: &'a Remote,
    pub(super) opened: &'a Opened,
    pub(super) control: &'a Control,
}

impl<'a> There<'a> {
    /// `None`: the object's values live in this process alone. The server is looked for at the first use. `Err` with an exception
    /// set.
    #[inline]
    pub(crate) fn of(py: Python<'_>, cached: &'a CachedFunction) -> Result<Option<Self>, ErrSet> {
        match cached.state.backend.remote() {
            None => Ok(None),
            Some(remote) => Self::behind(py, cached, remote),
        }
    }

    #[cold]
    fn behind(py: Python<'_>, cached: &'a CachedFunction, remote: &'a Remote) -> Result<Option<Self>, ErrSet> {
        let parts = remote.opened(py)?.zip(cached.state.control.as_deref());
        Ok(parts.map(|(opened, control)| There { cached, remote, opened, control }))
    }

    /// A key's way to the server. `Err` with an exception set: it is none that an object may have.
    pub(super) fn trip(&self, view: &View<'_>, tags: &Tags) -> Result<Trip, ErrSet> {
        check_key(view)?;
        match self.remote.key_of(view)? {
            Some(key) => Ok(self.remote.trip(view.py(), self.opened, Some(&key), view.hash, tags)),
            None => Err(refuse_key(view.values[0])),
        }
    }

    pub(super) fn trips(&self, views: &[View<'_>]) -> Result<Vec<Trip>, ErrSet> {
        views.iter().map(|view| self.trip(view, &Tags::new())).collect()
    }

    /// Whether what was found answers `c[k]`.
    pub(super) fn serves(&self, found: &Found) -> bool {
        clock::exact() < found.fresh_until.saturating_add(self.control.revalidate)
    }

    fn dropped_near(&self, view: &View<'_>) -> Result<(), ErrSet> {
        self.remote.drop_here(&self.cached.state, view);
        self.cached.forget_flights(view)
    }

    /// Sets the error of a change that was not acknowledged.
    fn not_acknowledged(&self, py: Python<'_>, why: &dyn std::fmt::Display) -> ErrSet {
        self.remote.was_not_acknowledged(py, why)
    }

    // Storing.

    /// What is sent of a value, and its tags. `Err` with an exception set: its own where the server cannot have it.
    fn sending(&self, value: Ref<'_>, wish: Wish) -> Result<(Sending, Tags), ErrSet> {
        let Verdict::Store(terms) = self.control.admit(value, wish)? else {
            return Err(self.refuse(value));
        };
        match values::sending(self.opened, self.control, &terms, value, Duration::ZERO)? {
            Some(sending) => Ok((sending, terms.tags)),
            None => Err(self.refuse(value)),
        }
    }

    /// Whether an entry can be stored, as far as key and value say; `Err` with an exception set if not.
    pub(crate) fn check_entry(&self, view: &View<'_>, value: Ref<'_>) -> Result<(), ErrSet> {
        self.trip(view, &Tags::new())?;
        self.sending(value, Wish::default()).map(drop)
    }

    /// Sets the error of a value that the server cannot have.
    #[cold]
    fn refuse(&self, value: Ref<'_>) -> ErrSet {
        if self.opened.may_pickle {
            return refuse_value(value);
        }
        let (py, value) = (value.py(), value.to_bound());
        PyTypeError::new_err(format!(
            "a remote cache stores values of built-in types, got {}: only pickle can store it, and nobody has signed that; \
             warp_cache.configure(secret=...) has pickles signed",
            shown(&value)
        ))
        .raise(py);
        ErrSet
    }

    /// Stores a value over whatever is there; whether it is in.
    pub(crate) fn put(&self, view: &View<'_>, value: Ref<'_>, wish: Wish) -> Result<bool, ErrSet> {
        self.put_many(&[(*view, value)], &wish).map(|stored| stored.first() == Some(&true))
    }

    /// The same of many, in two trips; for each whether it is in. All are encoded before any is sent.
    pub(crate) fn put_many(&self, entries: &[(View<'_>, Ref<'_>)], wish: &Wish) -> Result<Vec<bool>, ErrSet> {
        let Some(py) = entries.first().map(|(view, _)| view.py()) else { return Ok(Vec::new()) };
        let mut sent = Vec::with_capacity(entries.len());
        for (view, value) in entries {
            let (sending, tags) = self.sending(*value, wish.clone())?;
            sent.push((self.trip(view, &tags)?, sending));
        }
        let tier = &self.opened.tier;
        let put = || {
            let puts: Vec<(&Call, Draft<'_>)> =
                sent.iter().map(|(trip, sending)| (&*trip.call, sending.draft())).collect();
            let mut answers = tier.put_many(&puts);
            let unfit: Vec<&Call> = puts
                .iter()
                .zip(&answers)
                .filter_map(|(put, answer)| matches!(answer, Err(PutError::Unstorable(_))).then_some(put.0))
                .collect();
            if let Err(why) = tier.invalidate_many(&unfit) {
                answers.push(Err(PutError::Failed(why)));
            }
            sent.iter().for_each(|(trip, _)| trip.invalidate_here());
            answers
        };
        // SAFETY: the tier knows nothing of Python.
        let answers = unsafe { asking(py, put) };
        for (view, _) in entries {
            self.dropped_near(view)?;
        }
        let stored = answers.into_iter().map(|answer| match answer {
            Ok(()) => Ok(true),
            Err(PutError::Unstorable(_)) => Ok(false),
            Err(why) => Err(self.not_acknowledged(py, &why)),
        });
        stored.collect()
    }

    /// Stores a value if the key's entry is the expected one.
    pub(crate) fn swap(&self, view: &View<'_>, swap: Swap<'_>) -> Result<Swapped, ErrSet> {
        let Swap { value, wish, keeps, expected } = swap;
        let found = match expected {
            Expected::Anything => {
                return Ok(if self.put(view, value, wish)? { Swapped::Stored } else { Swapped::Unfit });
            }
            Expected::Absent => None,
            Expected::Entry(Entry::Server(found)) => Some(found),
            Expected::Entry(Entry::Memory { .. } | Entry::File(..)) => return Ok(Swapped::Changed),
        };
        let py = view.py();
        let (sending, tags) = self.sending(value, wish)?;
        let trip = self.trip(view, &tags)?;
        let (tier, call) = (&self.opened.tier, &trip.call);
        let change = || match found {
            None => tier.add(call, sending.draft(), |found| self.serves(found)),
            Some(found) if keeps => tier.replace_body(call, found, sending.draft()),
            Some(found) => tier.replace(call, found, sending.draft()),
        };
        let change = || {
            let changed = change().or_else(|why| match why {
                PutError::Unstorable(_) => {
                    tier.invalidate(call).map_err(PutError::Failed)?;
                    Err(why)
                }
                why => Err(why),
            });
            if !matches!(changed, Ok(false)) {
                trip.invalidate_here();
            }
            changed
        };
        // SAFETY: the tier knows nothing of Python.
        let changed = unsafe { asking(py, change) };
        if !matches!(changed, Ok(false)) {
            self.dropped_near(view)?;
        }
        match changed {
            Ok(true) => Ok(Swapped::Stored),
            Ok(false) => Ok(Swapped::Changed),
            Err(PutError::Unstorable(_)) => Ok(Swapped::Unfit),
            Err(why) => Err(self.not_acknowledged(py, &why)),
        }
    }

    // What is there, to be changed.

    /// What the server has for a key, to be changed. `Err` with an exception set: nothing was changed.
    fn found(&self, view: &View<'_>, trip: &Trip) -> Result<Option<Box<Found>>, ErrSet> {
        let read = || {
            let read = self.opened.tier.read(&trip.call);
            if read.is_err() {
                trip.invalidate_here();
            }
            read
        };
        // SAFETY: the tier knows nothing of Python.
        match unsafe { asking(view.py(), read) } {
            Ok(found) => Ok(found.filter(|found| self.serves(found))),
            Err(why) => {
                self.remote.drop_here(&self.cached.state, view);
                self.remote.count_error();
                Err(super::raise(view.py(), &format!("nothing was changed, as the entry could not be read: {why}")))
            }
        }
    }

    /// The value of a key and its entry.
    pub(crate) fn see(&self, view: &View<'_>) -> Result<Option<(PyRef, Entry)>, ErrSet> {
        let trip = self.trip(view, &Tags::new())?;
        let Some(found) = self.found(view, &trip)? else { return Ok(None) };
        match values::read(view.py(), &found, self.opened.may_pickle)? {
            Read::Value(object, _) => Ok(Some((object, Entry::Server(found)))),
            Read::Raised(_) | Read::Unreadable => {
                self.remote.count_error();
                Err(super::raise(
                    view.py(),
                    "nothing was changed: what the server has under this key cannot be read here",
                ))
            }
        }
    }

    /// Takes out what the server has for many keys, in one trip: whether there was something, of each.
    pub(crate) fn take_many(&self, views: &[View<'_>]) -> Result<Vec<Option<Box<Found>>>, ErrSet> {
        let Some(py) = views.first().map(View::py) else { return Ok(Vec::new()) };
        let trips = self.trips(views)?;
        let take = || {
            let asked: Vec<&Call> = trips.iter().map(|trip| &*trip.call).collect();
            let taken = self.opened.tier.take_many(&asked);
            trips.iter().for_each(Trip::invalidate_here);
            taken
        };
        // SAFETY: the tier knows nothing of Python.
        let taken = unsafe { asking(py, take) };
        for view in views {
            self.dropped_near(view)?;
        }
        let taken = taken.map_err(|why| self.not_acknowledged(py, &why))?;
        Ok(taken.into_iter().map(|found| found.filter(|found| self.serves(found))).collect())
    }

    /// Takes a key's entry out if it is the expected one: what there was.
    pub(crate) fn take(&self, view: &View<'_>, expected: &Expected<'_>) -> Result<Option<Box<Found>>, ErrSet> {
        let py = view.py();
        let entry = match expected {
            Expected::Anything => return self.take_many(&[*view]).map(|mut taken| taken.pop().flatten()),
            Expected::Entry(Entry::Memory { .. } | Entry::File(..)) => return Ok(None),
            Expected::Absent => None,
            Expected::Entry(Entry::Server(found)) => Some(found),
        };
        let trip = self.trip(view, &Tags::new())?;
        let tier = &self.opened.tier;
        let take = || {
            let done = match entry {
                None => tier.fence(&trip.call).map(|()| None),
                Some(found) => tier.discard(&trip.call, found).map(|done| done.then(|| found.clone())),
            };
            trip.invalidate_here();
            done
        };
        // SAFETY: the tier knows nothing of Python.
        let done = unsafe { asking(py, take) };
        self.dropped_near(view)?;
        done.map_err(|why| self.not_acknowledged(py, &why))
    }

    /// The value of what was taken out; `None` where it cannot be read.
    pub(crate) fn deliver(&self, py: Python<'_>, found: &Found) -> Result<Option<PyRef>, ErrSet> {
        Ok(self.object(py, found)?.map(|(object, _)| object))
    }

    /// Gives a key's entry another lifetime, of so many nanoseconds: what there is. `if_it_ends`: an entry without an end keeps
    /// that.
    pub(crate) fn renew(
        &self,
        view: &View<'_>,
        ttl: Option<u64>,
        if_it_ends: bool,
    ) -> Result<Option<Box<Found>>, ErrSet> {
        let py = view.py();
        let trip = self.trip(view, &Tags::new())?;
        loop {
            let Some(found) = self.found(view, &trip)? else { return Ok(None) };
            if if_it_ends && found.lifetime >= LONGEST {
                return Ok(Some(found));
            }
            let (fresh, lifetime) = values::lives(self.control, ttl, true);
            let draft = Draft {
                kind: Kind::Value,
                codec: found.codec,
                body: &found.body,
                lifetime,
                fresh,
                computed: found.computed,
            };
            let renew = || {
                let renewed = self.opened.tier.replace(&trip.call, &found, draft);
                if !matches!(renewed, Ok(false)) {
                    trip.invalidate_here();
                }
                renewed
            };
            // SAFETY: the tier knows nothing of Python.
            match unsafe { asking(py, renew) } {
                Ok(false) => continue,
                renewed => {
                    self.dropped_near(view)?;
                    renewed.map_err(|why| self.not_acknowledged(py, &why))?;
                    return Ok(Some(found));
                }
            }
        }
    }
}
