//! What a cache object does with the file: reading as a use or as none, storing, and changes of an entry if it is still the one
//! that was seen.
//!
//! Ring 3. A key has to be read back from its bytes, so it is None, a bool, an int, a float, a str, bytes, or a tuple or
//! frozenset of such. What must not be told wrongly waits for the file and raises `warp_cache.CacheUnavailable` where that is in
//! vain.

use std::borrow::Cow;
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::access::{not_fenced, KeyAccess, KeyBytes, Put as Stored, StoreCondition};
use super::look::Through;
use super::skips::Skipped;
use super::Shared;
use crate::capi::borrowed::Ref;
use crate::capi::detach::detached;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::layout::Exact;
use crate::capi::reference::{calls, import, PyRef};
use crate::codec::{self, Encoded};
use crate::function::control::{Keeping, Verdict, Wish};
use crate::function::fast_lookup::FastLookup;
use crate::function::lookup::{Accounting, Found};
use crate::function::option_checks::shown;
use crate::function::state::{CacheState, Put as Mode};
use crate::function::CachedFunction;
use crate::key::View;
use crate::object::exchange::{Entry, Expected, Swapped};
use ::shared::{Busy, Change, Hit, KeyLock, Kind, Present, Skip, Stored as InFile, Terms, NEVER};

/// How long is waited for the file: with the interpreter, then without.
const AT_ONCE: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(2);
/// How deep tuples and frozensets in keys may be nested.
const DEPTH: u32 = 50;
/// What the bytes of an object's key begin with: one value, without a name.
pub(crate) const ONE_VALUE: u8 = 2;

impl Shared {
    /// Whether a key can be read back from its bytes; `Err` with a TypeError set if not.
    pub(crate) fn check_key(&self, view: &View<'_>) -> Result<(), ErrSet> {
        match view.values.first() {
            Some(&key) if !is_readable(key, DEPTH) => Err(refuse_key(key)),
            _ => Ok(()),
        }
    }

    /// Whether an entry can be stored, as far as key and value say; `Err` with an exception set if not.
    pub(crate) fn check_entry(&self, view: &View<'_>, value: Ref<'_>) -> Result<(), ErrSet> {
        self.check_key(view)?;
        match codec::encode_value(value, &mut Vec::new()) {
            Ok(_) => Ok(()),
            Err(Encoded::Failed) => Err(ErrSet),
            Err(_) => Err(refuse_value(value)),
        }
    }

    /// Notes in the file that there are entries which are none of the object's.
    pub(crate) fn note_apart(&self, py: Python<'_>) {
        if let Some(file) = self.files.working(py) {
            file.shm.note_apart();
        }
    }

    /// A key's bytes and the file; `None` where no file can be opened. `Err` with an exception set.
    fn access<'a>(&'a self, view: &View<'a>) -> Result<Result<KeyAccess<'a>, Skipped>, ErrSet> {
        self.check_key(view)?;
        match KeyAccess::ask(self, view) {
            KeyBytes::KeyAccess(request) => Ok(Ok(request)),
            KeyBytes::Unstorable(Skipped { skip: Skip::Argument, .. }) => Err(refuse_key(view.values[0])),
            KeyBytes::Unstorable(skipped) => Ok(Err(skipped)),
            KeyBytes::Failed => Err(ErrSet),
        }
    }

    /// The value of a key, counted as a call, from where `hot` left it.
    pub(crate) fn read_object(
        &self,
        cached: &CachedFunction,
        view: &View<'_>,
        hot: FastLookup,
    ) -> Result<Option<PyRef>, ErrSet> {
        self.check_key(view)?;
        match self.look(&cached.state, view, hot) {
            Through::Value(value) | Through::Revalidate(value) => Ok(Some(value)),
            Through::Failed => Err(ErrSet),
            Through::Unstorable(skipped) if skipped.skip == Skip::Argument => Err(refuse_key(view.values[0])),
            Through::Unstorable(skipped) => {
                let skip = skipped.skip;
                match cached.words_of(view.py(), Some(skipped), view, None) {
                    Ok(Some((_, words))) if !cached.tell_in(&words, skip) => Err(ErrSet),
                    Ok(_) => Ok(None),
                    Err(error) => {
                        error.restore(view.py());
                        Err(ErrSet)
                    }
                }
            }
            Through::Missed(..) | Through::Raise(_) => Ok(None),
        }
    }

    /// The value of a key, of which nobody hears.
    pub(crate) fn peek_object(&self, cached: &CachedFunction, view: &View<'_>) -> Result<Option<PyRef>, ErrSet> {
        let py = view.py();
        self.check_key(view)?;
        match cached.state.find(view, Accounting::None) {
            Found::Value(value) => return Ok(Some(value)),
            Found::Failed => return Err(ErrSet),
            found => drop(found),
        }
        let Ok(mut request) = self.access(view)? else { return Ok(None) };
        let buffers = &mut *request.buffers;
        let hit = request.file.shm.peek(&buffers.key, &mut buffers.read);
        match hit.filter(|hit| self.serves(request.file.shm.now(), hit)) {
            Some(_) => decode(py, buffers.read.value()),
            None => Ok(None),
        }
    }

    /// Whether an entry answers `c[k]`.
    fn serves(&self, now: u64, hit: &Hit) -> bool {
        hit.kind == Kind::Value && now < hit.fresh.saturating_add(self.revalidate)
    }

    /// Stores a value over whatever is there; whether it is in.
    pub(crate) fn put_object(
        &self,
        cached: &CachedFunction,
        view: &View<'_>,
        value: Ref<'_>,
        wish: Wish,
    ) -> Result<bool, ErrSet> {
        let py = view.py();
        let state = &cached.state;
        let (stored, keeping) = self.admit(cached, value, wish)?;
        let mut request = match self.access(view)? {
            Ok(request) => request,
            Err(skipped) => {
                self.count_skip(self.files.current(), skipped.skip);
                self.clear_unopened();
                state.invalidate(view).ok_or(ErrSet)?;
                return if cached.tell(Some(skipped), view, value) { Ok(false) } else { Err(ErrSet) };
            }
        };
        request.set_terms(keeping);
        let put = match request.store(stored.lend(py), StoreCondition::Nothing)? {
            Stored::Stored(kept, skipped) => {
                state.keep(self, view, kept, Mode::Always);
                (true, skipped)
            }
            // The older entry stays.
            Stored::Skipped(skipped) if skipped.skip == Skip::Value => return Err(refuse_value(value)),
            Stored::Skipped(skipped) => {
                // An older value must not stand for this one.
                in_file(py, || request.file.shm.invalidate(request.key())).map_err(|Busy| not_fenced(py))?;
                state.invalidate(view).ok_or(ErrSet)?;
                state.let_go(py, self, None);
                (false, Some(skipped))
            }
        };
        cached.forget_flights(view)?;
        if cached.tell(put.1, view, value) {
            Ok(put.0)
        } else {
            Err(ErrSet)
        }
    }

    /// What is stored of a value, and how.
    fn admit(&self, cached: &CachedFunction, value: Ref<'_>, wish: Wish) -> Result<(PyRef, Keeping), ErrSet> {
        let py = value.py();
        let ttl = self.ttl.map(|ttl| ttl.as_nanos() as u64);
        let admitted = match &cached.state.control {
            Some(control) => control.admit(value, wish)?,
            None => Verdict::plain(value, ttl, wish),
        };
        let Verdict::Store(terms) = admitted else {
            return Err(not_fenced(py));
        };
        let tags = self.noted(py, &terms.tags);
        let keeping = match &cached.state.control {
            Some(control) => control.keeping(&terms, tags),
            None => Keeping { ttl: terms.ttl, window: 0, kind: Kind::Value, tags },
        };
        Ok((terms.stored(value).to_owned(), keeping))
    }

    /// Changes a key's entry as `decide` says, under the file's lock: whether what was to be stored is.
    fn change<'b>(
        &self,
        state: &CacheState,
        view: &View<'_>,
        decide: &mut dyn FnMut(Option<Present<'_>>) -> Change<'b>,
    ) -> Result<bool, ErrSet> {
        let py = view.py();
        let Ok(request) = self.access(view)? else { return Err(unavailable(py)) };
        let shm = &request.file.shm;
        let now = shm.now();
        let mut decide = |present: Option<Present<'_>>| decide(present.filter(|there| self.serves(now, &there.hit)));
        let mut changed = shm.change(request.key(), AT_ONCE, &mut decide);
        if matches!(changed, Err(Busy)) && !shm.poisoned() {
            changed = in_file(py, || shm.change(request.key(), LONG, &mut decide));
        }
        state.let_go(py, self, None);
        match changed {
            Ok(None | Some(InFile::Done(_))) => Ok(true),
            Ok(Some(_)) => Ok(false),
            Err(Busy) => Err(unavailable(py)),
        }
    }

    /// A key's entry, as a use: its value, and the entry. `Ok(None)` where there is none.
    pub(crate) fn see_object(&self, view: &View<'_>) -> Result<Option<(PyRef, Entry)>, ErrSet> {
        let py = view.py();
        let Ok(mut request) = self.access(view)? else { return Err(unavailable(py)) };
        request.file.forget_last();
        let buffers = &mut *request.buffers;
        let hit = request.file.shm.get(&buffers.key, &mut buffers.read);
        let Some(hit) = hit.filter(|hit| self.serves(request.file.shm.now(), hit)) else {
            return Ok(None);
        };
        let value = decode(py, buffers.read.value())?;
        Ok(value.map(|value| (value, Entry::File(hit.slot, hit.word, hit.generation))))
    }

    /// Stores a value if the key's entry is the expected one; see `CacheObject::swap`.
    pub(crate) fn swap_object(
        &self,
        cached: &CachedFunction,
        view: &View<'_>,
        value: Ref<'_>,
        wish: Wish,
        keeps: bool,
        expected: &Expected<'_>,
    ) -> Result<Swapped, ErrSet> {
        let py = view.py();
        self.check_key(view)?;
        let (stored, keeping) = self.admit(cached, value, wish)?;
        let mut bytes = Vec::new();
        match codec::encode_value(stored.lend(py), &mut bytes) {
            Ok(_) => (),
            Err(Encoded::Failed) => return Err(ErrSet),
            Err(_) => return Err(refuse_value(value)),
        }
        let terms = match self.files.working(py) {
            Some(file) => keeping.terms(file.shm.now()),
            None => return Err(unavailable(py)),
        };
        let expected = Known::of(expected);
        let mut swapped = Swapped::Changed;
        let fits = self.change(&cached.state, view, &mut |present| {
            if !expected.is(present.as_ref()) {
                return Change::Nothing;
            }
            swapped = Swapped::Stored;
            let terms = present.filter(|_| keeps).map_or(terms, |present| present.terms);
            Change::Store(Some(Cow::Borrowed(&bytes)), terms)
        })?;
        if swapped == Swapped::Stored {
            cached.forget_flights(view)?;
        }
        Ok(if fits { swapped } else { Swapped::Unfit })
    }

    /// Takes a key's entry out if it is the expected one: the bytes of its value.
    pub(crate) fn take_object(
        &self,
        cached: &CachedFunction,
        view: &View<'_>,
        expected: &Expected<'_>,
    ) -> Result<Option<Vec<u8>>, ErrSet> {
        let expected = Known::of(expected);
        let mut taken = None;
        self.change(&cached.state, view, &mut |present| {
            if !expected.is(present.as_ref()) {
                return Change::Nothing;
            }
            taken = present.map(|present| present.value.to_vec());
            Change::Remove
        })?;
        Ok(taken)
    }

    /// Gives a key's entry another lifetime: the bytes of its value. See `CacheState::renew_entry`.
    pub(crate) fn renew_object(
        &self,
        cached: &CachedFunction,
        view: &View<'_>,
        ttl: Option<u64>,
        if_it_ends: bool,
    ) -> Result<Option<Vec<u8>>, ErrSet> {
        let py = view.py();
        self.check_key(view)?;
        let Some(file) = self.files.working(py) else { return Err(unavailable(py)) };
        let (ttl, window) = match &cached.state.control {
            Some(control) => control.span(ttl),
            None => (ttl, 0),
        };
        let new = Keeping { ttl, window, kind: Kind::Value, tags: Default::default() }.terms(file.shm.now());
        let mut found = None;
        self.change(&cached.state, view, &mut |present| {
            let Some(present) = present else { return Change::Nothing };
            found = Some(present.value.to_vec());
            if if_it_ends && present.terms.end == NEVER {
                return Change::Nothing;
            }
            Change::Store(None, Terms { fresh: new.fresh, end: new.end, ..present.terms })
        })?;
        Ok(found)
    }

    /// Adds to an int that is small enough for a word; `Ok(None)` where it is not, or no int.
    pub(crate) fn add_to_object(
        &self,
        cached: &CachedFunction,
        view: &View<'_>,
        delta: i64,
        default: Option<i64>,
        wish: Wish,
    ) -> Result<Sum, ErrSet> {
        let py = view.py();
        self.check_key(view)?;
        let Some(file) = self.files.working(py) else { return Err(unavailable(py)) };
        // A small int weighs what any other does: nobody is asked.
        let ttl = wish.ttl.unwrap_or_else(|| self.ttl.map(|ttl| ttl.as_nanos() as u64));
        let (span, window) = match &cached.state.control {
            Some(control) => control.span(ttl),
            None => (ttl, 0),
        };
        let new = Keeping { ttl: span, window, kind: Kind::Value, tags: Default::default() };
        let new = new.terms(file.shm.now());
        let mut sum = Sum::Other;
        let fits = self.change(&cached.state, view, &mut |present| {
            let (old, terms) = match &present {
                Some(present) => (codec::small_int(present.value), present.terms),
                None if default.is_none() => {
                    sum = Sum::Absent;
                    return Change::Nothing;
                }
                None => (default, new),
            };
            match old.and_then(|old| old.checked_add(delta)) {
                Some(new) => {
                    sum = Sum::Is(new);
                    Change::Store(Some(Cow::Owned(codec::int_bytes(new))), terms)
                }
                None => Change::Nothing,
            }
        })?;
        if matches!(sum, Sum::Is(_)) {
            cached.forget_flights(view)?;
            if !fits {
                return Err(unavailable(py));
            }
        }
        Ok(sum)
    }

    /// Takes the lock of a key, and says in which file; `None` where somebody has it.
    pub(crate) fn lock_object(
        &self,
        view: &View<'_>,
        lease: Option<Duration>,
    ) -> Result<Option<(KeyLock, usize)>, ErrSet> {
        let py = view.py();
        let Ok(request) = self.access(view)? else { return Err(unavailable(py)) };
        let address = std::ptr::from_ref(request.file) as usize;
        match in_file(py, || request.file.shm.lock_key(request.key(), lease)) {
            Ok(taken) => Ok(taken.map(|lock| (lock, address))),
            Err(Busy) => Err(unavailable(py)),
        }
    }

    /// Gives a lock back; whether it was this process's still. `file`: in which it was taken.
    pub(crate) fn unlock_object(&self, lock: &KeyLock, file: usize) -> bool {
        // In a file that was lost others cannot have seen it.
        let current = self.files.current();
        current.is_some_and(|current| std::ptr::from_ref(current) as usize == file && current.shm.unlock_key(lock))
    }

    /// Whether somebody has the lock of a key.
    pub(crate) fn is_object_locked(&self, view: &View<'_>) -> Result<bool, ErrSet> {
        let py = view.py();
        let Ok(request) = self.access(view)? else { return Err(unavailable(py)) };
        Ok(request.file.shm.is_key_locked(request.key()))
    }

    /// The keys of the entries that answer, in bytes, the next victims first where the policy tells by stamps.
    pub(crate) fn keys_of_object(&self, py: Python<'_>) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        if let Some(file) = self.files.working(py) {
            let now = file.shm.now();
            file.shm.for_each_by_use(|key, _, hit| {
                if key.first() == Some(&ONE_VALUE) && self.serves(now, hit) {
                    keys.push(key[1..].to_vec());
                }
            });
        }
        keys
    }

    /// How many entries answer, those of memoized functions left out.
    pub(crate) fn len_of_object(&self, py: Python<'_>) -> usize {
        let mut count = 0;
        if let Some(file) = self.files.working(py) {
            if self.spare == 0 && file.shm.len_is_plain() {
                return usize::try_from(file.shm.len()).unwrap_or(usize::MAX);
            }
            let now = file.shm.now();
            file.shm.for_each_by_use(|key, _, hit| {
                count += usize::from(key.first() == Some(&ONE_VALUE) && self.serves(now, hit));
            });
        }
        count
    }

    /// Takes the policy's next victim out: the bytes of key and value.
    pub(crate) fn pop_of_object(&self, py: Python<'_>, state: &CacheState) -> Result<Option<InBytes>, ErrSet> {
        let Some(file) = self.files.working(py) else { return Err(unavailable(py)) };
        let mut taken = None;
        let popped = in_file(py, || {
            file.shm.pop(|key, value| {
                let is_own = key.first() == Some(&ONE_VALUE);
                if is_own {
                    taken = Some((key[1..].to_vec(), value.to_vec()));
                }
                is_own
            })
        });
        state.let_go(py, self, None);
        match popped {
            Ok(_) => Ok(taken),
            Err(Busy) => Err(unavailable(py)),
        }
    }

    /// Fences all that any process computes; entries stay.
    pub(crate) fn fence_objects(&self, py: Python<'_>) -> Result<(), ErrSet> {
        let Some(file) = self.files.working(py) else { return Ok(()) };
        in_file(py, || file.shm.fence_all()).map_err(|Busy| not_fenced(py))
    }

    /// Frees what has ended: how many entries.
    pub(crate) fn purge_object(&self, py: Python<'_>, state: &CacheState) -> Result<u64, ErrSet> {
        let Some(file) = self.files.working(py) else { return Ok(0) };
        let purged = in_file(py, || file.shm.purge());
        state.let_go(py, self, None);
        purged.map_err(|Busy| unavailable(py))
    }
}

/// Key and value.
type InBytes = (Vec<u8>, Vec<u8>);

/// What adding to an int came to.
pub(crate) enum Sum {
    Is(i64),
    /// There is none, and no default.
    Absent,
    /// It is no int, or too long a one.
    Other,
}

impl Keeping {
    /// The same from a moment on.
    fn terms(&self, now: u64) -> Terms {
        let fresh = self.ttl.map_or(NEVER, |ttl| now.saturating_add(ttl));
        Terms { fresh, end: fresh.saturating_add(self.window), kind: self.kind, tags: self.tags }
    }
}

/// [`Expected`], without what is Python's.
enum Known {
    Anything,
    Absent,
    Entry(u64, u64, u64),
}

impl Known {
    fn of(expected: &Expected<'_>) -> Self {
        match expected {
            Expected::Anything => Known::Anything,
            Expected::Entry(Entry::File(slot, word, generation)) => Known::Entry(*slot, *word, *generation),
            Expected::Absent | Expected::Entry(_) => Known::Absent,
        }
    }

    fn is(&self, present: Option<&Present<'_>>) -> bool {
        match (self, present) {
            (Known::Anything, _) | (Known::Absent, None) => true,
            (Known::Entry(slot, word, generation), Some(Present { hit, .. })) => {
                (hit.slot, hit.word, hit.generation) == (*slot, *word, *generation)
            }
            _ => false,
        }
    }
}

/// The object of a value's bytes; `Ok(None)` where they make none.
pub(crate) fn decode(py: Python<'_>, bytes: &[u8]) -> Result<Option<PyRef>, ErrSet> {
    match codec::decode_value(py, bytes) {
        codec::Decoded::Object(object, _) => Ok(Some(object)),
        codec::Decoded::Damaged => Ok(None),
        codec::Decoded::Failed => Err(ErrSet),
    }
}

/// Runs what waits for the file's lock without the interpreter.
fn in_file<R>(py: Python<'_>, wait: impl FnOnce() -> R) -> R {
    // SAFETY: the callers' closures touch a file, bytes and numbers, and nothing of Python's.
    unsafe { detached(py, wait) }
}

/// Whether a key is one that its bytes give back.
fn is_readable(object: Ref<'_>, depth: u32) -> bool {
    match object.exact() {
        Exact::Float(float) => !float.value().is_nan(),
        Exact::Tuple(tuple) => depth != 0 && tuple.items().iter().all(|&item| is_readable(item, depth - 1)),
        Exact::Other if object.is_exact(&raw mut ffi::PyFrozenSet_Type) => {
            depth != 0 && all_readable(object, depth - 1)
        }
        Exact::Other => {
            // A text that says more than its characters (Django's SafeString) is the text.
            // SAFETY: an object keeps its type; both are ready.
            object.to_bound().is_instance_of::<PyString>()
                && unsafe { codec::compares_as(object.kind(), &raw mut ffi::PyUnicode_Type) }
        }
        Exact::Str(_) | Exact::Int(_) | Exact::Bytes(_) | Exact::Bool | Exact::None => true,
    }
}

/// The same of the items of an exact `frozenset`.
fn all_readable(set: Ref<'_>, depth: u32) -> bool {
    // SAFETY: a live object; a new reference, or null with an exception set.
    let Some(items) = (unsafe { PyRef::steal_or_none(calls::PyObject_GetIter(set.as_ptr())) }) else {
        drop(exceptions::take(set.py()));
        return false;
    };
    // SAFETY: an iterator of a frozenset, which raises nothing; a new reference, or null at its end.
    std::iter::from_fn(|| unsafe { PyRef::steal_or_none(calls::PyIter_Next(items.as_ptr())) })
        .all(|item| is_readable(item.lend(set.py()), depth))
}

/// Sets the TypeError of a key that cannot be read back.
#[cold]
fn refuse_key(key: Ref<'_>) -> ErrSet {
    let shown = shown(&key.to_bound());
    PyTypeError::new_err(format!(
        "a key of a shared cache must be None, a bool, an int, a float that is a number, a str, bytes, or a tuple or frozenset \
         of such, got {shown}: make it one of these"
    ))
    .restore(key.py());
    ErrSet
}

/// Sets the error of a value that cannot be stored in bytes: pickle's own, where it has one.
#[cold]
fn refuse_value(value: Ref<'_>) -> ErrSet {
    let (py, value) = (value.py(), value.to_bound());
    let error = match import(py, "pickle").and_then(|pickle| pickle.call_method1("dumps", (&value,))) {
        Err(error) => error,
        Ok(_) => PyTypeError::new_err(format!(
            "a shared cache cannot store {}: what its bytes would make is not equal to it",
            shown(&value)
        )),
    };
    error.restore(py);
    ErrSet
}

/// Sets the error of an operation that must not be told wrongly.
#[cold]
pub(crate) fn unavailable(py: Python<'_>) -> ErrSet {
    let made = import(py, "warp_cache._object.errors").and_then(|module| module.call_method0("unavailable"));
    let error = match made {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    };
    error.restore(py);
    ErrSet
}
