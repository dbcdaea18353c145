//! The remote backend for all that is not the way of a call: what users ask and change, and the counters.
//!
//! Ring 3. A change takes effect when the server has it; the entries here are dropped whether it has or not. What is asked is
//! asked of the entries first, then of the server; where that fails, the answer is that there is nothing.

use std::sync::atomic::Ordering;

use pyo3::prelude::*;

use super::host::HostFile;
use super::opened::{asking, Opened};
use super::trip::Step;
use super::values::{self, Read, Reason};
use super::Remote;
use crate::backend::memory::Memory;
use crate::backend::{Backend, Counters, FileCounters, SharedLease, Told};
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::reference::PyRef;
use crate::function::computation::Computation;
use crate::function::control::{Tags, Verdict, Wish};
use crate::function::fence::Began;
use crate::function::lookup::{Changed, Entries};
use crate::function::option_table::Options;
use crate::function::state::CacheState;
use crate::function::ticket::Ticket;
use crate::function::CachedFunction;
use crate::key::View;
use concurrency::clock;
use engine::cache::Features;
use engine::policy::Kind;
use engine::slab::Token;
use remote::tier::{Found, PutError};
use shared::Skip;

/// What is near of a key.
pub(super) enum Near {
    /// A value or an exception, with the seconds until it is no longer fresh, and whether it answers a call.
    There(f64, bool),
    Void,
}

impl Remote {
    /// What the file of the host or the server has for a key; nothing where that does not answer, which is counted. `Err` with an
    /// exception set.
    pub(super) fn peek(&self, opened: &Opened, view: &View<'_>, is_use: bool) -> Result<Option<Box<Found>>, ErrSet> {
        let Some(key) = self.key_of(view)? else { return Ok(None) };
        let mut trip = self.trip(view.py(), opened, Some(&key), view.hash, &Tags::new());
        if trip.look_here(is_use) {
            if let Step::Found(found) = trip.step {
                return Ok(Some(found));
            }
        }
        // SAFETY: the tier knows nothing of Python.
        let read = unsafe { asking(view.py(), || trip.tier.read_many(&[&trip.call])) };
        match read.map(|mut read| read.pop()) {
            Ok(Some(Ok(found))) => Ok(found),
            Ok(Some(Err(_)) | None) | Err(_) => {
                self.count_error();
                Ok(None)
            }
        }
    }

    /// What is near of a key. `Err` with an exception set.
    pub(super) fn near(&self, state: &CacheState, view: &View<'_>) -> Result<Near, ErrSet> {
        let (now, revalidate) = (clock::exact(), state.control.as_ref().map_or(0, |control| control.revalidate));
        let look = |cache: &mut Entries, at: Option<(Token, bool)>| {
            let (token, _) = at.filter(|(_, finished)| *finished)?;
            if cache.get(token)?.value.is_void() {
                return None;
            }
            let fresh = cache.lifetime(token).fresh;
            let left =
                if fresh == u64::MAX { f64::INFINITY } else { (i128::from(fresh) - i128::from(now)) as f64 / 1e9 };
            Some((left, now < fresh.saturating_add(revalidate)))
        };
        match state.with_entry(view, look) {
            Changed::Done(Some((left, answers))) => Ok(Near::There(left, answers)),
            Changed::Done(None) | Changed::Restless => Ok(Near::Void),
            Changed::Failed => Err(ErrSet),
        }
    }

    /// Drops what is here of a key, as a change of it was not acknowledged, or was made without a value.
    pub(super) fn drop_here(&self, state: &CacheState, view: &View<'_>) {
        // A comparison that raises has left the stripes raised all the same.
        if state.invalidate(view).is_none() {
            drop(exceptions::take(view.py()));
        }
    }
}

impl Backend for Remote {
    fn is_behind(&self) -> bool {
        self.opening.known().is_some()
    }

    fn given_name(&self) -> Option<&str> {
        self.given_name.as_deref()
    }

    fn has_file(&self) -> bool {
        self.host.is_some()
    }

    fn place(&self, py: Python<'_>) -> (Option<String>, bool) {
        let host = self.host.as_ref().filter(|_| !self.opening.is_nowhere());
        let file = host.and_then(|host| host.file(py));
        (file.map(|file| file.shm.path().to_string_lossy().into_owned()), false)
    }

    fn failure(&self) -> Option<String> {
        self.host.as_ref().and_then(HostFile::file_failure)
    }

    fn bounds(&self, options: &Options) -> (Kind, Option<usize>, Features) {
        Memory::default().bounds(options)
    }

    fn count_miss(&self, _: Python<'_>, state: &CacheState) {
        state.entries.read(|reader| reader.miss());
    }

    fn load(&self, state: &CacheState, view: &View<'_>, ticket: Option<&Ticket>) -> Result<Option<PyRef>, ErrSet> {
        // A ticket's call goes to the server in a thread of its own.
        let (None, Some(opened), Some(control)) = (ticket, self.opened(view.py())?, &state.control) else {
            return Ok(None);
        };
        let Some(found) = self.peek(opened, view, true)? else { return Ok(None) };
        if clock::exact() >= found.fresh_until.saturating_add(control.revalidate) {
            return Ok(None);
        }
        match values::read(view.py(), &found, opened.may_pickle)? {
            Read::Value(object, _) => Ok(Some(object)),
            Read::Raised(_) | Read::Unreadable => Ok(None),
        }
    }

    fn set(&self, cached: &CachedFunction, view: &View<'_>, value: Ref<'_>) -> bool {
        self.put(cached, view, value, Wish::default())
    }

    fn put(&self, cached: &CachedFunction, view: &View<'_>, value: Ref<'_>, wish: Wish) -> bool {
        let (py, state) = (view.py(), &cached.state);
        let opened = match self.opened(py) {
            Ok(Some(opened)) => opened,
            Ok(None) => return Memory::default().put(cached, view, value, wish),
            Err(ErrSet) => return false,
        };
        let Some(control) = &state.control else { return false };
        let terms = match control.admit(value, wish) {
            Ok(Verdict::Store(terms)) => terms,
            Ok(Verdict::Drop) => return cached.invalidate(view).is_ok(),
            Err(ErrSet) => return false,
        };
        let (Ok(key), computed) = (self.key_noting(cached, view), std::time::Duration::ZERO) else { return false };
        let sending = match values::sending(opened, control, &terms, value, computed) {
            Ok(sending) => sending.filter(|_| key.is_some()),
            Err(ErrSet) => return false,
        };
        let Some(sending) = sending else {
            let (reason, value) = if key.is_none() { (Reason::Argument, None) } else { (Reason::Value, Some(value)) };
            return cached.invalidate(view).is_ok()
                && self.told.tell(py, cached, reason, value, opened.may_pickle).is_ok();
        };
        let trip = self.trip(py, opened, key.as_deref(), view.hash, &terms.tags);
        // SAFETY: the tier knows nothing of Python.
        let (put, unstorable) = unsafe {
            asking(py, || {
                let mut unstorable = None;
                let put = trip.tier.put(&trip.call, sending.draft()).or_else(|why| match why {
                    PutError::Unstorable(why) => {
                        unstorable = Some(why);
                        trip.tier.invalidate(&trip.call).map(drop).map_err(PutError::Failed)
                    }
                    why => Err(why),
                });
                trip.invalidate_here();
                (put, unstorable)
            })
        };
        // The next call has it from the server.
        self.drop_here(state, view);
        if let Some(why) = unstorable {
            self.count_error();
            if self.told.tell_size(py, cached, why).is_err() {
                return false;
            }
        } else if put.is_ok() {
            self.unstorable.forget();
        }
        put.map_err(|why| self.was_not_acknowledged(py, &why)).is_ok()
    }

    fn contains(&self, state: &CacheState, view: &View<'_>) -> Result<bool, ErrSet> {
        if let Near::There(_, answers) = self.near(state, view)? {
            return Ok(answers);
        }
        let (Some(opened), Some(control)) = (self.opened(view.py())?, &state.control) else { return Ok(false) };
        let found = self.peek(opened, view, false)?;
        Ok(found.is_some_and(|found| clock::exact() < found.fresh_until.saturating_add(control.revalidate)))
    }

    fn remaining(&self, state: &CacheState, view: &View<'_>) -> Result<Option<f64>, ErrSet> {
        if let Near::There(left, _) = self.near(state, view)? {
            return Ok(Some(left));
        }
        let Some(opened) = self.opened(view.py())? else { return Ok(None) };
        let found = self.peek(opened, view, false)?;
        Ok(found.map(|found| values::seconds_left(&found)))
    }

    fn invalidate(&self, state: &CacheState, view: &View<'_>) -> Result<bool, ErrSet> {
        let py = view.py();
        let Some(opened) = self.opened(py)? else { return Ok(false) };
        let Some(key) = self.key_of(view)? else { return Ok(false) };
        let trip = self.trip(py, opened, Some(&key), view.hash, &Tags::new());
        // SAFETY: the tier knows nothing of Python.
        let invalidated = unsafe {
            asking(py, || {
                let invalidated = trip.tier.invalidate(&trip.call);
                trip.invalidate_here();
                invalidated
            })
        };
        invalidated.map_err(|why| {
            self.drop_here(state, view);
            self.was_not_acknowledged(py, &why)
        })
    }

    fn invalidate_tags(&self, py: Python<'_>, state: &CacheState, tags: &Tags) -> Result<(), ErrSet> {
        let Some(opened) = self.opened(py)? else { return Ok(()) };
        let there: Vec<_> = tags.iter().map(|tag| opened.tier.tag(tag.as_bytes())).collect();
        // SAFETY: the tier knows nothing of Python.
        let invalidated = unsafe {
            asking(py, || {
                let invalidated = opened.tier.invalidate_tags(&there);
                self.host.iter().for_each(HostFile::fence_all);
                invalidated
            })
        };
        invalidated.map_err(|why| {
            state.invalidate_tags(tags);
            self.was_not_acknowledged(py, &why)
        })
    }

    fn clear(&self, py: Python<'_>, state: &CacheState) -> Result<(), ErrSet> {
        let Some(opened) = self.opened(py)? else {
            self.reset_counts();
            return Ok(());
        };
        // SAFETY: the tier knows nothing of Python.
        let cleared = unsafe {
            asking(py, || {
                let cleared = opened.tier.clear(&opened.scope);
                self.host.iter().for_each(HostFile::clear);
                cleared
            })
        };
        self.reset_counts();
        cleared.map_err(|why| {
            state.clear(py);
            self.was_not_acknowledged(py, &why)
        })
    }

    fn store<'py>(
        &self,
        cached: &CachedFunction,
        ticket: &Bound<'py, Ticket>,
        value: &Bound<'py, PyAny>,
        computation: &Computation,
        lease: Option<&Bound<'py, SharedLease>>,
    ) -> PyResult<Option<Told<'py>>> {
        if self.is_behind() {
            // What is computed past the server is covered by nothing.
            return Ok(None);
        }
        Memory::default().store(cached, ticket, value, computation, lease)
    }

    fn began(&self, state: &CacheState, view: &View<'_>) -> Began {
        state.began(view.hash)
    }

    fn is_current(&self, state: &CacheState, view: &View<'_>, computation: &Computation) -> bool {
        state.began_with(view.hash, &computation.tags) == computation.began
    }

    fn counters(&self, py: Python<'_>, state: &CacheState) -> Counters {
        let near = Memory::default().counters(py, state);
        let of_server = self.of_server();
        // A call that the file or the server answers has missed here.
        let beyond = of_server.hits + self.counts.here.load(Ordering::Relaxed);
        let (hits, misses) = (near.hits + beyond, near.misses.saturating_sub(beyond));
        let counters = Counters { hits, misses, of_server, ..near };
        let Some(host) = &self.host else { return counters };
        let Some(file) = host.file(py).filter(|_| self.is_behind()) else {
            return Counters { of_file: Some(FileCounters { skips: [0; Skip::COUNT], repairs: 0 }), ..counters };
        };
        let info = file.shm.info();
        Counters {
            size: usize::try_from(info.len).unwrap_or(usize::MAX),
            evictions: info.evictions,
            expirations: info.expirations,
            of_file: Some(FileCounters { skips: info.skips, repairs: info.repairs }),
            ..counters
        }
    }
}
