//! The shared backend: the hit in the decoded level, the long way through the file, and what the other operations do there.
//!
//! Ring 3.

use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::loads;
use super::skips::Skipped;
use super::Shared;
use crate::backend::shared::access::{not_fenced, KeyAccess, KeyBytes, Lookup, StoreCondition};
use crate::backend::shared::asynchronous::{SharedLease, SharedTurn};
use crate::backend::shared::by_bytes::{has_instances, BytesKey};
use crate::backend::shared::decoded::{self, DecodedRef};
use crate::backend::shared::load::Call;
use crate::backend::{Backend, Begun, Counters, FileCounters, HitPath, Known, Told};
use crate::capi::detach::detached;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::reference::{release, Arguments, PyRef};
use crate::capi::sharing::Reader;
use crate::codec::{self, Encoded, Refusal};
use crate::function::computation::Computation;
use crate::function::control::{Keeping, Tags, Verdict, Wish};
use crate::function::control_checks::CopyMode;
use crate::function::fast_path::{Peek, Probe};
use crate::function::fence::{hash_of, Began};
use crate::function::lookup::{Accounting, Entries, FastLookup, Found};
use crate::function::options::Options;
use crate::function::slot_value::Value;
use crate::function::state::{CacheState, Put};
use crate::function::ticket::Ticket;
use crate::function::CachedFunction;
use crate::key::{View, ONE};
use engine::cache::Features;
use engine::policy::Kind;
use engine::slab::{Entry, Token};
use shared::{Began as FileBegan, Busy, Event, Kind as FileKind, SharedCache, Skip, Tags as FileTags};

/// The decoded level: an entry's value is good while the file has it, and the order hears of nothing.
impl HitPath for Shared {
    type Miss<'a> = Call<'a>;

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
        // SAFETY: the caller's promise.
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
        unsafe { DecodedRef::hand_out_taken(taken) }
    }

    #[inline(never)]
    unsafe fn begin<'a>(
        cached: &'a CachedFunction,
        arguments: &'a Arguments,
        view: &View<'a>,
        hot: FastLookup,
    ) -> Begun<Call<'a>> {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let Some(shared) = cached.state.backend.shared() else {
                return Begun::Done(cached.pass_on(arguments));
            };
            match shared.look(&cached.state, view, hot) {
                Through::Value(value) => Begun::Done(value),
                Through::Revalidate(value) => {
                    if cached.begin_refresh(view, arguments) {
                        Begun::Done(value)
                    } else {
                        release(value);
                        Begun::Done(std::ptr::null_mut())
                    }
                }
                Through::Raise(raised) => {
                    exceptions::raise_own(&raised);
                    Begun::Done(std::ptr::null_mut())
                }
                Through::Failed => Begun::Done(std::ptr::null_mut()),
                Through::Unstorable(skipped) => {
                    Begun::Done(cached.tell_with(Some(skipped), view, cached.compute(arguments)))
                }
                Through::Missed(request, found, key, unreadable) => {
                    let hash = key.as_ref().map_or(view.hash, |key| key.view().hash);
                    Begun::Miss(Call::new(cached, request, arguments, hash, unreadable), Some(found), key)
                }
            }
        }
    }

    #[inline(never)]
    unsafe fn begin_async<'a>(state: &'a CacheState, view: &View<'a>, hot: FastLookup) -> (Found, Known<'a>, bool) {
        let Some(shared) = state.backend.shared() else {
            return (Found::Absent, Known::Arguments, false);
        };
        // SAFETY: the caller's promise.
        match unsafe { shared.look(state, view, hot) } {
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
    unsafe fn asks_to_compare(&self, view: &View<'_>) -> bool {
        // SAFETY: the caller's promise.
        unsafe { !has_instances(view) }
    }

    fn bounds(&self, _: &Options) -> (Kind, Option<usize>, Features) {
        // Whose turn it is to go, and when, is said by the file. Here goes what came first: to decode an entry again for each
        // round of newcomers costs less than to note every use.
        (Kind::Fifo, Some(self.capacity), Features::default())
    }

    unsafe fn know_default(&mut self, default: *mut ffi::PyObject) -> PyResult<()> {
        let view = View { values: &[default], names: &[], shape: ONE, hash: 0, typed: false };
        // SAFETY: the caller's promise.
        match unsafe { codec::encode_key(&view, &mut Vec::new()) } {
            Encoded::Done => (),
            Encoded::Unstorable if self.defaults.contains(&(default as usize)) => (),
            Encoded::Unstorable => self.defaults.push(default as usize),
            // SAFETY: attached.
            Encoded::Failed => return Err(PyErr::fetch(unsafe { Python::assume_attached() })),
        }
        Ok(())
    }

    fn given_name(&self) -> Option<&str> {
        self.given_name.as_deref()
    }

    unsafe fn place(&self) -> (Option<String>, bool) {
        // SAFETY: the caller's promise.
        let file = unsafe { self.files.working() };
        (file.map(|file| file.shm.path().to_string_lossy().into_owned()), self.files.is_private())
    }

    fn count_miss(&self, _: &CacheState) {
        // SAFETY: attached, no lock held; no exception is set: the function is about to be called.
        if let Some(file) = unsafe { self.files.working() } {
            file.count(Event::Miss);
        }
    }

    unsafe fn load(
        &self,
        state: &CacheState,
        view: &View<'_>,
        ticket: Option<&Ticket>,
    ) -> Result<Option<*mut ffi::PyObject>, ErrSet> {
        // SAFETY: the caller's promise.
        unsafe { self.load_value(state, view, ticket) }
    }

    fn count_unreadable(&self, ticket: &Ticket, refusal: Option<Refusal>) {
        self.count_ticket(self.files.current(), ticket, Skipped { refusal, ..Skipped::new(Skip::Unreadable) });
    }

    unsafe fn set(&self, cached: &CachedFunction, view: &View<'_>, value: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            match self.put(&cached.state, view, None, value, StoreCondition::Nothing, None) {
                Ok(skipped) => cached.tell(skipped, view, value),
                Err(ErrSet) => false,
            }
        }
    }

    unsafe fn put(&self, cached: &CachedFunction, view: &View<'_>, value: *mut ffi::PyObject, wish: Wish) -> bool {
        let state = &cached.state;
        let ttl = self.ttl.map(|ttl| ttl.as_nanos() as u64);
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let verdict = match &state.control {
                Some(control) => control.admit(value, wish),
                None => Ok(Verdict::plain(value, ttl, wish)),
            };
            match verdict {
                Ok(Verdict::Store(terms)) => {
                    let tags = self.noted(&terms.tags);
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
            // SAFETY: the value is alive; the thread is attached and holds no lock.
            match unsafe { control.appraise(value.as_ptr(), computation.tags.clone()) } {
                Ok(Verdict::Store(of_value)) => {
                    keeping = Some(control.keeping(&of_value, computation.noted));
                    terms = Some(of_value);
                }
                Ok(Verdict::Drop) => {
                    // SAFETY: attached, no lock held; no exception is set.
                    if let Some(file) = unsafe { self.files.working() } {
                        hold.drop_older(&file.shm);
                    }
                    return Ok(None);
                }
                Err(ErrSet) => {
                    let error = PyErr::fetch(py);
                    // SAFETY: attached, no lock held; the exception was taken.
                    unsafe {
                        if let Some(file) = self.files.working() {
                            hold.give_up(&file.shm, false);
                        }
                    }
                    return Err(error);
                }
            }
        }
        // SAFETY: the ticket holds its key; the thread is attached and holds no lock.
        ticket.get().with_views(|view, editable| unsafe {
            let stored = terms.as_ref().map_or(value.as_ptr(), |terms| terms.stored(value.as_ptr()));
            match self.put(&cached.state, view, editable, stored, hold, keeping) {
                Ok(skipped) => cached.words_of(py, skipped.or_else(|| self.skips.left()), view, value.as_ptr()),
                Err(ErrSet) => Err(PyErr::fetch(py)),
            }
        })
    }

    unsafe fn acquire<'py>(
        &self,
        py: Python<'py>,
        state: &CacheState,
        ticket: &Ticket,
        asks: (bool, &Tags),
        turn: &SharedTurn,
    ) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: the caller's promise; the ticket holds its key.
        ticket.with_view(|view| unsafe { self.ask(py, state, view, ticket, asks, turn) })
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

    unsafe fn note_tags(&self, tags: &Tags) -> FileTags {
        self.noted(tags)
    }

    unsafe fn invalidate_tags(&self, tags: &Tags) -> Result<(), ErrSet> {
        let hashes: Vec<u64> = tags.iter().map(|tag| hash_of(tag)).collect();
        // SAFETY: the caller's promise.
        unsafe {
            match self.files.working() {
                Some(file) => detached(|| file.shm.invalidate_tags(&hashes)).map_err(|Busy| not_fenced()),
                None => {
                    self.clear_unopened();
                    Ok(())
                }
            }
        }
    }

    unsafe fn remaining(&self, _: &CacheState, view: &View<'_>) -> Result<Option<f64>, ErrSet> {
        // SAFETY: the caller's promise.
        unsafe { self.left(view) }
    }

    unsafe fn contains(&self, _: &CacheState, view: &View<'_>) -> Result<bool, ErrSet> {
        // SAFETY: the caller's promise.
        unsafe { self.has(view) }
    }

    unsafe fn known<'a>(&'a self, view: &View<'a>) -> Result<Known<'a>, ErrSet> {
        // SAFETY: the caller's promise.
        unsafe { self.known_as(view) }
    }

    unsafe fn invalidate(&self, state: &CacheState, view: &View<'_>) -> Result<bool, ErrSet> {
        // SAFETY: the caller's promise.
        unsafe { self.end(state, view) }
    }

    unsafe fn counters(&self, state: &CacheState) -> Counters {
        // SAFETY: the caller's promise.
        let file = unsafe { self.files.working() };
        // SAFETY: as above.
        unsafe { state.let_go(self, None) };
        let Some(file) = file else {
            let of_file = Some(FileCounters { skips: self.skipped([0; Skip::COUNT]), repairs: 0 });
            let misses = self.skips.lost();
            let totals = state.tally.totals();
            return Counters { hits: 0, misses, size: 0, evictions: 0, expirations: 0, weight: 0, totals, of_file };
        };
        let info = file.shm.info();
        Counters {
            hits: info.hits,
            misses: info.misses,
            size: if self.stores { usize::try_from(info.len).unwrap_or(usize::MAX) } else { 0 },
            evictions: info.evictions,
            expirations: info.expirations,
            weight: 0,
            totals: loads::totals(info.loads).plus(state.tally.totals()),
            of_file: Some(FileCounters { skips: self.skipped(info.skips), repairs: info.repairs }),
        }
    }

    unsafe fn clear(&self) {
        // SAFETY: the caller's promise.
        let cleared = unsafe {
            // It may have to wait for a writer.
            self.files.clear(|shm| detached(|| shm.clear()))
        };
        if !cleared {
            self.clear_unopened();
        }
        self.skips.forget_lost();
        self.held.forget();
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

/// Where a call that the decoded level does not answer stands after a look into the file.
pub(crate) enum Through<'a> {
    /// A hit, counted: a new reference.
    Value(*mut ffi::PyObject),
    /// The same of a value that is no longer fresh, and whose refresh is due.
    Revalidate(*mut ffi::PyObject),
    /// A hit, counted: a stored exception, as `exceptions::share` makes it.
    Raise(PyRef),
    /// An exception is set.
    Failed,
    /// A miss, counted, whose result can be stored; with what the decoded level has, the key by which it knows the call, if
    /// that is not its arguments, and what there is to say of what was found.
    Missed(KeyAccess<'a>, Found, Option<BytesKey>, Option<Skipped>),
    /// A miss, counted, whose result cannot be stored.
    Unstorable(Skipped),
}

impl Shared {
    /// Asks the file about a key's hash; `None` where the key has no bytes, or there is no file.
    fn in_file<R>(&self, view: &View<'_>, ask: impl FnOnce(&SharedCache, u64) -> R) -> Option<R> {
        // SAFETY: attached, no lock held; no exception is set: a computation is about to begin, or to be waited for.
        match unsafe { KeyAccess::ask(self, view) } {
            KeyBytes::KeyAccess(request) => Some(ask(&request.file.shm, request.hash)),
            KeyBytes::Unstorable(_) => None,
            KeyBytes::Failed => {
                // SAFETY: as above.
                unsafe { ffi::PyErr_Clear() };
                None
            }
        }
    }

    /// Looks for a call's value in both levels, counted as a call, from where `hot` left it.
    ///
    /// # Safety
    /// As for [`HitPath::begin`].
    pub(crate) unsafe fn look<'a>(&'a self, state: &CacheState, view: &View<'a>, hot: FastLookup) -> Through<'a> {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            state.let_go_if_due(self);
            let has_instances = !hot.is_absent() && has_instances(view);
            let found = if has_instances { Found::Absent } else { state.after(view, hot) };
            let found = match found {
                Found::Value(value) => return Through::Value(value),
                Found::Revalidate(value) => return Through::Revalidate(value),
                Found::Failed => return Through::Failed,
                found => found,
            };
            let mut request = match KeyAccess::ask(self, view) {
                KeyBytes::KeyAccess(request) => request,
                KeyBytes::Failed => return Through::Failed,
                KeyBytes::Unstorable(skipped) => {
                    let file = self.files.working();
                    file.iter().for_each(|file| file.count(Event::Miss));
                    self.count_skip(file, skipped.skip);
                    state.let_go(self, None);
                    return Through::Unstorable(skipped);
                }
            };
            let Ok(key) = request.by_bytes() else { return Through::Failed };
            let key_view = key.as_ref().map_or(*view, BytesKey::view);
            let found = if key.is_some() {
                drop(found);
                // The file may be another one than a moment ago.
                state.let_go(self, None);
                state.find(&key_view, Accounting::HitOrMiss)
            } else if has_instances {
                state.find(view, Accounting::HitOrMiss)
            } else {
                found
            };
            let found = match found {
                Found::Value(value) => return Through::Value(value),
                Found::Revalidate(value) => return Through::Revalidate(value),
                Found::Failed => return Through::Failed,
                found => found,
            };
            let unreadable = match request.look() {
                Lookup::Found(value, kept) => {
                    request.file.count(Event::Hit);
                    state.keep(self, &key_view, kept, Put::UnlessPending);
                    return Through::Value(value);
                }
                Lookup::Stale(value, kept, is_due) => {
                    request.file.count(Event::Hit);
                    state.count_stale_hit();
                    state.keep(self, &key_view, kept, Put::UnlessPending);
                    return if is_due { Through::Revalidate(value) } else { Through::Value(value) };
                }
                Lookup::Raise(raised) => {
                    request.file.count(Event::Hit);
                    state.let_go(self, None);
                    return Through::Raise(raised);
                }
                Lookup::Failed => return Through::Failed,
                Lookup::Absent => None,
                Lookup::Unreadable(skipped) => Some(skipped),
            };
            request.file.count(Event::Miss);
            unreadable.iter().for_each(|skipped| self.count_skip(Some(request.file), skipped.skip));
            state.let_go(self, None);
            Through::Missed(request, found, key, unreadable)
        }
    }
}
