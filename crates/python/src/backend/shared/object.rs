//! What a cache object does with the file: reading as a use or as none, storing, locks of keys; changes of an entry if it is
//! still the one that was seen (`changing`), the object as a whole (`whole`), what it cannot have there (`checks`).
//!
//! Ring 3. A key has to be read back from its bytes, so it is None, a bool, an int, a float, a str, bytes, or a tuple or
//! frozenset of such. What must not be told wrongly waits for the file and raises `warp_cache.CacheUnavailable` where that is in
//! vain.

pub(crate) mod changing;
pub(crate) mod checks;
mod whole;

use std::time::Duration;

use pyo3::prelude::*;

use self::checks::{refuse_key, refuse_value};
use super::access::{not_fenced, KeyAccess, KeyBytes, Put as Stored, StoreCondition};
use super::file::File;
use super::look::Through;
use super::skips::Skipped;
use super::Shared;
use crate::capi::borrowed::Ref;
use crate::capi::detach::detached;
use crate::capi::exceptions::{ErrSet, Raise};
use crate::capi::guarded::GuardedCalls;
use crate::capi::reference::{import, PyRef};
use crate::codec;
use crate::function::control::{Verdict, Wish};
use crate::function::deadline::Keeping;
use crate::function::fast_lookup::FastLookup;
use crate::function::lookup::{Accounting, Found};
use crate::function::state::Put as Mode;
use crate::function::CachedFunction;
use crate::key::View;
use ::shared::{Asked, Busy, Hit, KeyLock, Kind, Skip};

/// How long is waited for the file: with the interpreter, then without.
const AT_ONCE: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(2);
/// What the bytes of an object's key begin with: one value, without a name.
pub(crate) const ONE_VALUE: u8 = 2;

impl Shared {
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
                        error.raise(view.py());
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

    /// Takes the lock of a key, and says in which file; `None` where somebody has it.
    pub(crate) fn lock_object(&self, view: &View<'_>, lease: Option<Duration>) -> Result<(Asked, usize), ErrSet> {
        let py = view.py();
        let Ok(request) = self.access(view)? else { return Err(unavailable(py)) };
        let address = std::ptr::from_ref(request.file) as usize;
        match in_file(py, || request.file.shm.lock_key(request.key(), lease)) {
            Ok(asked) => Ok((asked, address)),
            Err(Busy) => Err(unavailable(py)),
        }
    }

    /// Has a lock end so long from now, or never; `None` if it was not this process's any more.
    pub(crate) fn prolong_object(
        &self,
        py: Python<'_>,
        (lock, file): (&KeyLock, usize),
        lease: Option<Duration>,
    ) -> Result<Option<KeyLock>, ErrSet> {
        let Some(current) = self.locked_in(file) else { return Ok(None) };
        in_file(py, || current.shm.prolong_key(lock, lease)).map_err(|Busy| unavailable(py))
    }

    /// Gives a lock back; whether it was this process's still. `file`: in which it was taken.
    pub(crate) fn unlock_object(&self, lock: &KeyLock, file: usize) -> bool {
        self.locked_in(file).is_some_and(|current| current.shm.unlock_key(lock))
    }

    /// The file that is open, if a lock was taken in it: in one that was lost others cannot have seen it.
    fn locked_in(&self, file: usize) -> Option<&File> {
        self.files.current().filter(|current| std::ptr::from_ref(*current) as usize == file)
    }

    /// Whether somebody has the lock of a key.
    pub(crate) fn is_object_locked(&self, view: &View<'_>) -> Result<bool, ErrSet> {
        let py = view.py();
        let Ok(request) = self.access(view)? else { return Err(unavailable(py)) };
        Ok(request.file.shm.is_key_locked(request.key()))
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

/// Sets the error of an operation that must not be told wrongly.
#[cold]
pub(crate) fn unavailable(py: Python<'_>) -> ErrSet {
    let made = import(py, "warp_cache._object.errors").and_then(|module| module.guarded_method("unavailable", ()));
    let error = match made {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    };
    error.raise(py);
    ErrSet
}
