//! The shared backend: the hit in the decoded level, the long way through the file, and what the other operations do there.
//!
//! Ring 3.

use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::loads;
use super::look::{self, Through};
use super::skips::Skipped;
use super::Shared;
use crate::backend::shared::access::{not_fenced, KeyAccess, KeyBytes, StoreCondition};
use crate::backend::shared::asynchronous::{SharedLease, SharedTurn};
use crate::backend::shared::by_bytes::has_instances;
use crate::backend::shared::decoded::{self, DecodedRef};
use crate::backend::shared::load::Call;
use crate::backend::{Backend, Begun, Counters, FileCounters, HitPath, Known, OfServer, TakeHit, Told};
use crate::capi::borrowed::{Arguments, Ref};
use crate::capi::detach::detached;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::reference::PyRef;
use crate::capi::sharing::Reader;
use crate::codec::{self, Encoded, Refusal};
use crate::function::computation::Computation;
use crate::function::control::{Tags, Verdict, Wish};
use crate::function::control_checks::CopyMode;
use crate::function::deadline::Keeping;
use crate::function::fast_lookup::FastLookup;
use crate::function::fast_path::{Peek, Probe};
use crate::function::fence::{hash_of, Began};
use crate::function::lookup::{Entries, Found};
use crate::function::option_table::Options;
use crate::function::slot_value::Value;
use crate::function::state::CacheState;
use crate::function::ticket::Ticket;
use crate::function::CachedFunction;
use crate::key::{View, ONE};
use engine::cache::Features;
use engine::policy::Kind;
use engine::slab::{Entry, Token};
use shared::{Began as FileBegan, Busy, Event, Kind as FileKind, SharedCache, Skip, Tags as FileTags};

/// The decoded level: an entry's value is good while the file has it, and the order hears of nothing.
impl TakeHit for Shared {
    #[inline(always)]
    unsafe fn take(_: &CacheState, _: &Reader<'_, Entries>, _: Token, value: &Value) -> Option<*mut ffi::PyObject> {
        // SAFETY: the caller's promise.
        unsafe { decoded::take(value) }
    }

    #[inline(always)]
    unsafe fn fast_path<const EXPIRES: bool>(
        _: &Reader<'_, Entries>,
        _: Token,
        entry: &Entry<PyRef, Value>,
        sought: impl Probe,
    ) -> Option<Peek> {
        // SAFETY: the entry's shape is the one that is sought; the thread is attached.
        unsafe {
            if !sought.is_in(&entry.key) {
                return None;
            }
            decoded::take(&entry.value).map(Peek::Hit)
        }
    }

    #[inline(always)]
    unsafe fn deliver(taken: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { DecodedRef::deliver_taken(taken) }
    }
}

impl HitPath for Shared {
    type Hit = Shared;
    type Miss<'a> = Box<Call<'a>>;

    // In parts: only this frame stands on the stack while a function computes whose call has no key.
    #[inline(never)]
    fn begin<'a>(
        cached: &'a CachedFunction,
        arguments: &'a Arguments<'a>,
        view: &View<'a>,
        hot: FastLookup,
    ) -> Begun<Box<Call<'a>>> {
        match look::begin(cached, arguments, view, hot) {
            Ok(begun) => begun,
            Err(skipped) => {
                let result = cached.compute(arguments);
                Begun::Done(cached.tell_with(Some(*skipped), view, result))
            }
        }
    }

    #[inline(never)]
    fn begin_async<'a>(state: &'a CacheState, view: &View<'a>, hot: FastLookup) -> (Found, Known<'a>, bool) {
        let Some(shared) = state.backend.shared() else {
            return (Found::Absent, Known::Arguments, false);
        };
        match shared.look(state, view, hot) {
            Through::Value(value) => (Found::Value(value), Known::Nothing, false),
            Through::Revalidate(value) => (Found::Revalidate(value), Known::Nothing, false),
            Through::Raise(raised) => (Found::Raise(raised), Known::Nothing, false),
            Through::Failed => (Found::Failed, Known::Nothing, false),
            Through::Missed(request, found, key, unreadable) => {
                drop(found);
                let is_counted = unreadable.is_some();
                shared.skips.leave(unreadable);
                let known = match (key, request.editable) {
                    (Some(key), Some(editable)) => Known::Bytes(key, *editable),
                    _ => Known::Arguments,
                };
                (Found::Absent, known, is_counted)
            }
            // What there is to say is said when the value is there.
            Through::Unstorable(Skipped { skip: Skip::Argument, .. }) => (Found::Absent, Known::Nothing, false),
            Through::Unstorable(_) => (Found::Absent, Known::Arguments, false),
        }
    }
}

impl Backend for Shared {
    fn asks_to_compare(&self, view: &View<'_>) -> bool {
        !has_instances(view)
    }

    fn bounds(&self, _: &Options) -> (Kind, Option<usize>, Features) {
        // Whose turn it is to go, and when, is said by the file. Here goes what came first: to decode an entry again for each
        // round of newcomers costs less than to note every use.
        (Kind::Fifo, Some(self.capacity), Features::default())
    }

    fn know_default(&mut self, default: Ref<'_>) -> PyResult<()> {
        let view = View { values: &[default], names: &[], shape: ONE, hash: 0, typed: false };
        let address = default.as_ptr() as usize;
        match codec::encode_key(&view, &mut Vec::new()) {
            Encoded::Done => (),
            Encoded::Unstorable if self.defaults.contains(&address) => (),
            Encoded::Unstorable => self.defaults.push(address),
            Encoded::Failed => return Err(PyErr::fetch(view.py())),
        }
        Ok(())
    }

    fn is_behind(&self) -> bool {
        true
    }

    fn given_name(&self) -> Option<&str> {
        self.given_name.as_deref()
    }

    fn has_file(&self) -> bool {
        true
    }

    fn place(&self, py: Python<'_>) -> (Option<String>, bool) {
        let file = self.files.working(py);
        (file.map(|file| file.shm.path().to_string_lossy().into_owned()), self.files.is_private())
    }

    fn failure(&self) -> Option<String> {
        self.files.failure()
    }

    fn count_miss(&self, py: Python<'_>, _: &CacheState) {
        if let Some(file) = self.files.working(py) {
            file.count(Event::Miss);
        }
    }

    fn load(&self, state: &CacheState, view: &View<'_>, ticket: Option<&Ticket>) -> Result<Option<PyRef>, ErrSet> {
        self.load_value(state, view, ticket)
    }

    fn count_unreadable(&self, ticket: &Ticket, refusal: Option<Refusal>) {
        self.count_ticket(self.files.current(), ticket, Skipped { refusal, ..Skipped::new(Skip::Unreadable) });
    }

    fn set(&self, cached: &CachedFunction, view: &View<'_>, value: Ref<'_>) -> bool {
        match self.put(&cached.state, view, None, value, StoreCondition::Nothing, None) {
            Ok(skipped) => cached.tell(skipped, view, value),
            Err(ErrSet) => false,
        }
    }

    fn put(&self, cached: &CachedFunction, view: &View<'_>, value: Ref<'_>, wish: Wish) -> bool {
        let state = &cached.state;
        let ttl = self.ttl.map(|ttl| ttl.as_nanos() as u64);
        let verdict = match &state.control {
            Some(control) => control.admit(value, wish),
            None => Ok(Verdict::plain(value, ttl, wish)),
        };
        match verdict {
            Ok(Verdict::Store(terms)) => {
                let tags = self.noted(view.py(), &terms.tags);
                let keeping = match &state.control {
                    Some(control) => control.keeping(&terms, tags),
                    None => Keeping { ttl: terms.ttl, window: 0, kind: FileKind::Value, tags },
                };
                let stored = terms.stored(value);
                match self.put(state, view, None, stored, StoreCondition::Nothing, Some(keeping)) {
                    Ok(skipped) => cached.tell(skipped, view, value),
                    Err(ErrSet) => false,
                }
            }
            Ok(Verdict::Drop) => cached.invalidate(view).is_ok(),
            Err(ErrSet) => false,
        }
    }

    fn store<'py>(
        &self,
        cached: &CachedFunction,
        ticket: &Bound<'py, Ticket>,
        value: &Bound<'py, PyAny>,
        computation: &Computation,
        lease: Option<&Bound<'py, SharedLease>>,
    ) -> PyResult<Option<Told<'py>>> {
        let hold = SharedLease::hold(&cached.state, lease, computation.began);
        let py = ticket.py();
        let (mut terms, mut keeping) = (None, None);
        if let Some(control) = &cached.state.control {
            match control.appraise(value.into(), computation.tags.clone()) {
                Ok(Verdict::Store(of_value)) => {
                    keeping = Some(control.keeping(&of_value, computation.noted));
                    terms = Some(of_value);
                }
                Ok(Verdict::Drop) => {
                    return ticket.get().with_view(py, |view| match KeyAccess::ask(self, view) {
                        KeyBytes::KeyAccess(request) => {
                            request.drop_older(hold, &computation.noted);
                            Ok(None)
                        }
                        // (There is no lease of what has no bytes.)
                        KeyBytes::Unstorable(_) => Ok(None),
                        KeyBytes::Failed => Err(PyErr::fetch(py)),
                    });
                }
                Err(ErrSet) => {
                    let error = PyErr::fetch(py);
                    if let Some(file) = self.files.working(py) {
                        hold.give_up(py, &file.shm, false);
                    }
                    return Err(error);
                }
            }
        }
        ticket.get().with_views(py, |view, editable| {
            let value = Ref::from(value);
            let stored = terms.as_ref().map_or(value, |terms| terms.stored(value));
            match self.put(&cached.state, view, editable, stored, hold, keeping) {
                Ok(skipped) => cached.words_of(py, skipped.or_else(|| self.skips.left()), view, Some(value)),
                Err(ErrSet) => Err(PyErr::fetch(py)),
            }
        })
    }

    fn acquire<'py>(
        &self,
        py: Python<'py>,
        state: &CacheState,
        ticket: &Ticket,
        asks: (bool, &Tags),
        turn: &SharedTurn,
    ) -> PyResult<Bound<'py, PyAny>> {
        ticket.with_view(py, |view| self.ask(py, state, view, ticket, asks, turn))
    }

    fn began(&self, _: &CacheState, view: &View<'_>) -> Began {
        let began = self.in_file(view, |shm, hash| shm.begin(hash));
        began.map_or(NEVER_STORED, |began| Began { clears: began.generation, stamp: began.stamp() })
    }

    fn is_current(&self, _: &CacheState, view: &View<'_>, computation: &Computation) -> bool {
        let began = FileBegan::of(computation.began.clears, computation.began.stamp);
        let is_current = self.in_file(view, |shm, hash| shm.is_current(hash, began, &computation.noted));
        is_current.unwrap_or(computation.began == NEVER_STORED)
    }

    fn note_tags(&self, py: Python<'_>, tags: &Tags) -> FileTags {
        self.noted(py, tags)
    }

    fn invalidate_tags(&self, py: Python<'_>, _: &CacheState, tags: &Tags) -> Result<(), ErrSet> {
        let hashes: Vec<u64> = tags.iter().map(|tag| hash_of(tag)).collect();
        match self.files.working(py) {
            // SAFETY: the file knows nothing of Python.
            Some(file) => unsafe { detached(py, || file.shm.invalidate_tags(&hashes)) }.map_err(|Busy| not_fenced(py)),
            None => {
                self.clear_unopened();
                Ok(())
            }
        }
    }

    fn remaining(&self, _: &CacheState, view: &View<'_>) -> Result<Option<f64>, ErrSet> {
        self.left(view)
    }

    fn contains(&self, _: &CacheState, view: &View<'_>) -> Result<bool, ErrSet> {
        self.has(view)
    }

    fn known<'a>(&'a self, view: &View<'a>) -> Result<Known<'a>, ErrSet> {
        self.known_as(view)
    }

    fn invalidate(&self, state: &CacheState, view: &View<'_>) -> Result<bool, ErrSet> {
        self.end(state, view)
    }

    fn counters(&self, py: Python<'_>, state: &CacheState) -> Counters {
        let file = self.files.working(py);
        state.let_go(py, self, None);
        let Some(file) = file else {
            let of_file = Some(FileCounters { skips: self.skipped([0; Skip::COUNT]), repairs: 0 });
            let misses = self.skips.lost();
            let (totals, of_server) = (state.load_counters.totals(), OfServer::default());
            return Counters {
                hits: 0,
                misses,
                size: 0,
                evictions: 0,
                expirations: 0,
                weight: 0,
                totals,
                of_server,
                of_file,
            };
        };
        let info = file.shm.info();
        Counters {
            hits: info.hits,
            misses: info.misses,
            size: if self.stores { usize::try_from(info.len).unwrap_or(usize::MAX) } else { 0 },
            evictions: info.evictions,
            expirations: info.expirations,
            weight: 0,
            totals: loads::totals(info.loads).plus(state.load_counters.totals()),
            of_server: OfServer::default(),
            of_file: Some(FileCounters { skips: self.skipped(info.skips), repairs: info.repairs }),
        }
    }

    fn clear(&self, py: Python<'_>, _: &CacheState) -> Result<(), ErrSet> {
        // It may have to wait for a writer.
        // SAFETY: the file knows nothing of Python.
        let cleared = self.files.clear(py, |shm| unsafe { detached(py, || shm.clear()) });
        if !cleared {
            self.clear_unopened();
        }
        self.skips.forget_lost();
        self.held.forget();
        Ok(())
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let CopyMode::Call(with) = &self.copy {
            with.traverse(visit)?;
        }
        self.files.identity.iter().try_for_each(|identity| identity.traverse(visit))
    }
}

/// When a computation began that has no bytes, or no file.
const NEVER_STORED: Began = Began { clears: 0, stamp: 0 };

impl Shared {
    /// Asks the file about a key's hash; `None` where the key has no bytes, or there is no file.
    fn in_file<R>(&self, view: &View<'_>, ask: impl FnOnce(&SharedCache, u64) -> R) -> Option<R> {
        match KeyAccess::ask(self, view) {
            KeyBytes::KeyAccess(request) => Some(ask(&request.file.shm, request.hash)),
            KeyBytes::Unstorable(_) => None,
            KeyBytes::Failed => {
                // A computation is about to begin, or to be waited for.
                drop(exceptions::take(view.py()));
                None
            }
        }
    }
}
