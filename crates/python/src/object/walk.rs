//! All of an object's entries: a snapshot of the keys, how many there are, the policy's next victim.
//!
//! Ring 3. Entries of memoized functions are none of the object's: their keys are calls with two values.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::exchange::Expected;
use super::store::Taken;
use super::view_of;
use crate::backend::shared::object::decode;
use crate::backend::There;
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::ErrSet;
use crate::capi::reference::PyRef;
use crate::function::lookup::Entries;
use crate::function::state::CacheState;
use crate::function::CachedFunction;
use crate::key::ONE;
use engine::cache::{Cause, Evicted};
use engine::slab::Token;

/// An entry as it is copied: key, value as it is stored, nanoseconds that it is fresh (less than 0 if it is stale), tags.
struct Copied {
    pub key: PyRef,
    pub stored: PyRef,
    pub left: Option<i64>,
    pub tags: Vec<String>,
}

impl CacheState {
    /// The tokens of the object's entries that answer, the next victim first. Under the lock.
    fn own_tokens(&self, cache: &mut Entries, now: u64) -> Vec<Token> {
        let mut tokens = cache.tokens(now);
        // SAFETY: the tokens are of this cache, which does not change meanwhile.
        tokens.retain(|&token| unsafe { cache.slot(token) }.0.meta == ONE && self.serves(cache, token, now));
        if self.backend.remote().is_some() {
            // Copies of what the server has no longer are none.
            tokens.retain(|&token| cache.get(token).is_some_and(|entry| !entry.value.is_void()));
        }
        tokens
    }

    /// The keys of the object's entries. O(n).
    fn own_keys(&self, py: Python<'_>) -> Vec<PyRef> {
        let now = self.now();
        self.entries.write(|writer| {
            let tokens = self.own_tokens(writer.value, now);
            tokens.into_iter().filter_map(|token| Some(writer.value.get(token)?.key.clone_ref(py))).collect()
        })
    }

    /// Copies of the object's entries. O(n).
    fn own_entries(&self, py: Python<'_>) -> Vec<Copied> {
        let now = self.now();
        self.entries.write(|writer| {
            let tokens = self.own_tokens(writer.value, now);
            let cache = &*writer.value;
            let copy = |token: Token| {
                let entry = cache.get(token)?;
                let fresh = cache.lifetime(token).fresh;
                let (key, stored) = (entry.key.clone_ref(py), entry.value.as_owned()?.clone_ref(py));
                let left = (fresh != u64::MAX).then(|| fresh.wrapping_sub(now) as i64);
                Some(Copied { key, stored, left, tags: cache.tags_of(token).map(str::to_owned).collect() })
            };
            tokens.into_iter().filter_map(copy).collect()
        })
    }
}

/// The keys of the object's entries, a list of its own.
pub(super) fn keys<'py>(py: Python<'py>, cached: &CachedFunction) -> PyResult<Bound<'py, PyList>> {
    let state = &cached.state;
    if state.max_size == Some(0) {
        return Ok(PyList::empty(py));
    }
    let Some(shared) = state.backend.shared() else {
        return PyList::new(py, state.own_keys(py).iter().map(PyRef::as_py));
    };
    let list = PyList::empty(py);
    for key in shared.keys_of_object(py) {
        if let Some(key) = read_key(py, &key)? {
            list.append(key)?;
        }
    }
    Ok(list)
}

/// Copies of the entries of memory, as a list: key, value as it is stored (`delivers`: as callers get it), seconds, tags.
pub(super) fn entries<'py>(py: Python<'py>, cached: &CachedFunction, delivers: bool) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for entry in cached.state.own_entries(py) {
        let stored = if delivers {
            match Taken::Object(entry.stored).deliver(py, cached).map_err(|ErrSet| PyErr::fetch(py))? {
                Some(value) => value,
                None => continue,
            }
        } else {
            entry.stored
        };
        let seconds = entry.left.map(|left| left as f64 / 1e9);
        list.append((entry.key.as_py(), stored.as_py(), seconds, entry.tags))?;
    }
    Ok(list)
}

/// The key of its bytes, without what says how many values there are.
fn read_key<'py>(py: Python<'py>, key: &[u8]) -> PyResult<Option<Bound<'py, PyAny>>> {
    // As a value of the same body.
    let mut bytes = Vec::with_capacity(key.len() + 1);
    bytes.push(engine::wire_format::header::IMMUTABLE);
    bytes.extend_from_slice(key);
    match decode(py, &bytes) {
        Ok(key) => Ok(key.map(|key| key.as_py().bind(py).clone())),
        Err(ErrSet) => Err(PyErr::fetch(py)),
    }
}

/// How many entries the object has.
pub(super) fn len(py: Python<'_>, cached: &CachedFunction) -> usize {
    let state = &cached.state;
    if state.max_size == Some(0) {
        return 0;
    }
    if let Some(shared) = state.backend.shared() {
        return shared.len_of_object(py);
    }
    let now = state.now();
    let mut evicted = Evicted::default();
    let has_memoized = cached.state.has_apart();
    let len = state.entries.write(|writer| {
        if state.has_windows || has_memoized || state.backend.remote().is_some() {
            return state.own_tokens(writer.value, now).len();
        }
        writer.value.expire(now, &mut evicted);
        writer.value.len()
    });
    state.release(evicted);
    len
}

/// Takes the next victim of the policy out: key and value.
pub(super) fn pop<'py>(py: Python<'py>, cached: &CachedFunction) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let state = &cached.state;
    let failed = |ErrSet| PyErr::fetch(py);
    if state.max_size == Some(0) {
        return Ok(None);
    }
    if let Some(shared) = state.backend.shared() {
        loop {
            let Some((key, value)) = shared.pop_of_object(py, state).map_err(failed)? else { return Ok(None) };
            let key = read_key(py, &key)?;
            if let (Some(key), Some(value)) = (key, decode(py, &value).map_err(failed)?) {
                return Ok(Some(PyTuple::new(py, [&key, value.as_py().bind(py)])?));
            }
        }
    }
    if There::of(py, cached).map_err(failed)?.is_some() {
        return pop_near(py, cached);
    }
    let now = state.now();
    let mut evicted = Evicted::default();
    let popped = state.entries.write(|writer| {
        let cache = writer.value;
        cache.expire(now, &mut evicted);
        let next = cache.next_victim();
        let is_own = |cache: &Entries, token: Token| {
            // SAFETY: there is an entry that the token names, and what the policy names is published.
            cache.get(token).is_some() && unsafe { cache.slot(token) }.0.meta == ONE && state.serves(cache, token, now)
        };
        let token = if is_own(cache, next) { next } else { *state.own_tokens(cache, now).first()? };
        // SAFETY: the token names an entry, as was seen under this lock.
        state.fences.raise(u64::from(unsafe { cache.slot(token) }.0.hash));
        let entry = cache.get(token)?;
        let popped = (entry.key.clone_ref(py), entry.value.as_owned()?.clone_ref(py));
        cache.remove(token, Cause::Explicit, &mut evicted);
        Some(popped)
    });
    state.release(evicted);
    let Some((key, stored)) = popped else { return Ok(None) };
    let value = state.handed_out(py, stored).ok_or_else(|| PyErr::fetch(py))?;
    Ok(Some(PyTuple::new(py, [key.as_py().bind(py), value.as_py().bind(py)])?))
}

/// The same where there is a server: what is near, the next victim first, is taken from there, where somebody may have been
/// faster.
fn pop_near<'py>(py: Python<'py>, cached: &CachedFunction) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let failed = |ErrSet| PyErr::fetch(py);
    let Some(there) = There::of(py, cached).map_err(failed)? else { return Ok(None) };
    for key in cached.state.own_keys(py) {
        let key = key.as_py().bind(py);
        let key_ref = Ref::from(key);
        let view = view_of(&key_ref).map_err(failed)?;
        let Some(found) = there.take(&view, &Expected::Anything).map_err(failed)? else { continue };
        if let Some(value) = there.deliver(py, &found).map_err(failed)? {
            return Ok(Some(PyTuple::new(py, [key, value.as_py().bind(py)])?));
        }
    }
    Ok(None)
}

/// Ends what has ended: how many entries.
pub(super) fn purge(py: Python<'_>, cached: &CachedFunction) -> PyResult<u64> {
    let state = &cached.state;
    if let Some(shared) = state.backend.shared() {
        return shared.purge_object(py, state).map_err(|ErrSet| PyErr::fetch(py));
    }
    let now = state.now();
    let mut evicted = Evicted::default();
    let ended = state.entries.write(|writer| {
        let before = writer.value.len();
        writer.value.expire(now, &mut evicted);
        before - writer.value.len()
    });
    state.release(evicted);
    Ok(ended as u64)
}
