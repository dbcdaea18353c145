//! What the Python part of the object is built on.
//!
//! Ring 3. These run now and then; what runs all the time is in [`slots`](super::slots).

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, Ordering};

use pyo3::exceptions::{PyKeyError, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::exchange::{Expected, Seen, Swap, Swapped};
use super::locks::{self, HeldLock};
use super::store::{is_left_out, nanos, wish};
use super::{many, not_open, read, view_of, walk, CacheObject, Way};
use crate::backend::{RemoteLocking, There};
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::ErrSet;
use crate::function::entry_methods::refresh_plain_nothing;
use crate::function::entry_points::call_sync;
use crate::function::handout;
use crate::function::ticket::Ticket;
use crate::function::CachedFunction;

/// What stands for an entry that was seen: a `_Seen`, None for an absent one, `...` for any.
fn expected<'a>(seen: &'a Bound<'_, PyAny>) -> Expected<'a> {
    match seen.cast::<Seen>() {
        Ok(seen) => Expected::Entry(&seen.get().0),
        Err(_) if is_left_out(seen) => Expected::Anything,
        Err(_) => Expected::Absent,
    }
}

/// What has been raised.
pub(super) fn fetch(py: Python<'_>) -> impl Fn(ErrSet) -> PyErr + '_ {
    move |ErrSet| PyErr::fetch(py)
}

#[pymethods]
impl CacheObject {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        CacheObject {
            cached: AtomicPtr::default(),
            way: AtomicU8::new(Way::Long as u8),
            has_missing: AtomicBool::new(false),
            loader: PyOnceLock::new(),
        }
    }

    /// Makes the object one over this loader; `has_missing`: its class has `__missing__`.
    fn _open(&self, py: Python<'_>, loader: Py<CachedFunction>, has_missing: bool) -> PyResult<()> {
        if self.loader.set(py, loader).is_err() {
            return Err(PyRuntimeError::new_err("the cache object is open already: make another one"));
        }
        if let Some(loader) = self.loader.get(py) {
            // Relaxed: as in `way`.
            self.has_missing.store(has_missing, Ordering::Relaxed);
            self.cached.store(std::ptr::from_ref(loader.get()).cast_mut(), Ordering::Release);
            self.choose_way(loader.get());
        }
        Ok(())
    }

    /// The decorated function behind the object.
    #[getter]
    fn _loader(&self, py: Python<'_>) -> PyResult<Py<CachedFunction>> {
        self.loader.get(py).map(|loader| loader.clone_ref(py)).ok_or_else(not_open)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: the collector runs attached.
        self.loader.get(unsafe { Python::assume_attached() }).map_or(Ok(()), |loader| visit.call(loader))
    }

    /// The value of a key, of which nobody hears: `(value,)`, or None.
    fn _peek<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let py = key.py();
        self.with_cached(py, |cached| {
            let found = read::peek(cached, Ref::from(key)).map_err(fetch(py))?;
            found.map(|value| PyTuple::new(py, [value.as_py()])).transpose()
        })
    }

    /// The value of a key and its entry, as a use: `(value, seen)`, or None.
    fn _see<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let py = key.py();
        self.with_cached(py, |cached| {
            let Some((value, entry)) = self.see(cached, key)? else { return Ok(None) };
            let seen = Bound::new(py, Seen(entry))?.into_any();
            Ok(Some(PyTuple::new(py, [value.as_py().bind(py), &seen])?))
        })
    }

    /// Stores a value if the key's entry is the one that was seen: 1 if it did, 0 if the entry is another one, -1 if the value
    /// does not fit.
    #[pyo3(signature = (key, value, seen, keeps, ttl, tags))]
    fn _swap(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        seen: &Bound<'_, PyAny>,
        keeps: bool,
        ttl: &Bound<'_, PyAny>,
        tags: &Bound<'_, PyAny>,
    ) -> PyResult<i32> {
        let py = key.py();
        let wish = wish(Some(ttl), Some(tags))?;
        self.with_cached(py, |cached| {
            let key_ref = Ref::from(key);
            let view = view_of(&key_ref).map_err(fetch(py))?;
            let swap = Swap { value: Ref::from(value), wish, keeps, expected: &expected(seen) };
            Ok(match self.swap(cached, &view, swap).map_err(fetch(py))? {
                Swapped::Stored => 1,
                Swapped::Changed => 0,
                Swapped::Unfit => -1,
            })
        })
    }

    /// Takes a key's entry out if it is the one that was seen: `(value,)`, or None where there is none.
    fn _take<'py>(&self, key: &Bound<'py, PyAny>, seen: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let py = key.py();
        self.with_cached(py, |cached| {
            let taken = self.take_out(cached, Ref::from(key), &expected(seen)).map_err(fetch(py))?;
            let Some(taken) = taken else { return Ok(None) };
            let value = taken.deliver(py, cached).map_err(fetch(py))?;
            value.map(|value| PyTuple::new(py, [value.as_py()])).transpose()
        })
    }

    /// Gives a key's entry another lifetime: `(value,)` or, if nobody wants that, `()`; None where there is no entry.
    fn _renew<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        ttl: &Bound<'py, PyAny>,
        reads: bool,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let py = key.py();
        self.with_cached(py, |cached| {
            let own = cached.options.ttl.nanos;
            let ttl = if is_left_out(ttl) { (own != 0).then_some(own) } else { nanos(ttl)? };
            let taken = self.renew(cached, Ref::from(key), ttl, reads).map_err(fetch(py))?;
            let Some(taken) = taken else { return Ok(None) };
            if !reads {
                return Ok(Some(PyTuple::empty(py)));
            }
            let value = taken.deliver(py, cached).map_err(fetch(py))?;
            value.map(|value| PyTuple::new(py, [value.as_py()])).transpose()
        })
    }

    /// Adds to an int; see `Cache.incr`.
    #[pyo3(signature = (key, delta, default, ttl))]
    fn _incr<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        delta: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
        ttl: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ttl = (!is_left_out(ttl)).then(|| nanos(ttl)).transpose()?;
        self.with_cached(key.py(), |cached| {
            let default = (!is_left_out(default)).then_some(default);
            self.add_to(cached, key, delta, default, ttl)
        })
    }

    /// Seconds until a key's entry is no longer fresh. KeyError where there is none.
    fn _ttl(&self, key: &Bound<'_, PyAny>) -> PyResult<f64> {
        let py = key.py();
        self.with_cached(py, |cached| {
            let left = read::remaining(cached, Ref::from(key)).map_err(fetch(py))?;
            left.ok_or_else(|| PyKeyError::new_err((key.clone().unbind(),)))
        })
    }

    /// The keys, as a list of its own.
    fn _keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.with_cached(py, |cached| walk::keys(py, cached))
    }

    /// Takes the next victim out: `(key, value)`, or None.
    fn _pop<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        self.with_cached(py, |cached| walk::pop(py, cached))
    }

    /// Ends what has ended: how many entries.
    fn _purge(&self, py: Python<'_>) -> PyResult<u64> {
        self.with_cached(py, |cached| walk::purge(py, cached))
    }

    /// Fences all computations under way, those of other processes too; entries stay.
    fn _fence(&self, py: Python<'_>) -> PyResult<()> {
        self.with_cached(py, |cached| {
            if let Some(shared) = cached.state.backend.shared() {
                shared.fence_objects(py).map_err(fetch(py))?;
            }
            cached.state.fence_all(py);
            Ok(())
        })
    }

    /// Copies of the entries of memory: `(key, stored, seconds, tags)` each. `delivers`: the values as callers get them.
    fn _entries<'py>(&self, py: Python<'py>, delivers: bool) -> PyResult<Bound<'py, PyList>> {
        self.with_cached(py, |cached| walk::entries(py, cached, delivers))
    }

    /// Gives an entry of memory what `_entries` said of another one's seconds, whatever `jitter` is.
    fn _set_left(&self, key: &Bound<'_, PyAny>, seconds: f64) -> PyResult<()> {
        let py = key.py();
        self.with_cached(py, |cached| {
            let key_ref = Ref::from(key);
            let view = view_of(&key_ref).map_err(fetch(py))?;
            cached.state.set_left(&view, (seconds * 1e9) as i64).map_err(fetch(py))
        })
    }

    /// Counts a hit of a key, which is a use, or a miss.
    fn _count(&self, key: &Bound<'_, PyAny>, is_hit: bool) -> PyResult<()> {
        let py = key.py();
        self.with_cached(py, |cached| {
            if !is_hit {
                cached.state.backend.count_miss(py, &cached.state);
                return Ok(());
            }
            drop(read::look(self, cached, Ref::from(key), read::Glimpse::Nothing).map_err(fetch(py))?);
            Ok(())
        })
    }

    /// Raises what `set` would raise for an entry that the tier cannot store.
    fn _check(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = key.py();
        self.with_cached(py, |cached| {
            let key_ref = Ref::from(key);
            let view = view_of(&key_ref).map_err(fetch(py))?;
            let there = There::of(py, cached).map_err(fetch(py))?;
            match (cached.state.backend.shared(), there) {
                (Some(shared), _) => shared.check_entry(&view, Ref::from(value)).map_err(fetch(py)),
                (None, Some(there)) => there.check_entry(&view, Ref::from(value)).map_err(fetch(py)),
                (None, None) => cached.state.control.as_ref().map_or(Ok(()), |control| {
                    handout::keep(&control.copy, Ref::from(value)).map(drop).map_err(fetch(py))
                }),
            }
        })
    }

    /// Drops a key's entry; whether there was one.
    fn _delete(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = key.py();
        self.with_cached(py, |cached| self.delete(cached, Ref::from(key)).map_err(fetch(py)))
    }

    /// The value of a key, counted, if there is a server and it is near: `(value,)`, or None.
    fn _near<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let py = key.py();
        self.with_cached(py, |cached| {
            let found = read::near(cached, Ref::from(key)).map_err(fetch(py))?;
            found.map(|value| PyTuple::new(py, [value.as_py()])).transpose()
        })
    }

    /// The values of many keys in one trip, each as `(value,)` or None; None where there is no server.
    fn _get_many<'py>(&self, keys: &Bound<'py, PyList>) -> PyResult<Option<Bound<'py, PyList>>> {
        self.with_cached(keys.py(), |cached| many::get(cached, keys))
    }

    /// Stores pairs in one go: for each whether it is in. None where there is no server.
    fn _set_many<'py>(
        &self,
        pairs: &Bound<'py, PyList>,
        ttl: &Bound<'py, PyAny>,
        tags: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Vec<bool>>> {
        let py = pairs.py();
        let pairs: Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)> = pairs.extract()?;
        let wish = wish(Some(ttl), Some(tags))?;
        self.with_cached(py, |cached| many::set(py, cached, &pairs, &wish))
    }

    /// Drops the entries of keys in one trip: how many there were. None where there is no server.
    fn _delete_many(&self, keys: &Bound<'_, PyList>) -> PyResult<Option<usize>> {
        self.with_cached(keys.py(), |cached| many::delete(cached, keys))
    }

    /// Whether there is a server behind the object; it is looked for at the first use.
    fn _has_server(&self, py: Python<'_>) -> PyResult<bool> {
        self.with_cached(py, |cached| Ok(There::of(py, cached).map_err(fetch(py))?.is_some()))
    }

    /// Whether what is to write would wait now, for somebody who keeps a file's lock.
    fn _would_wait(&self, py: Python<'_>) -> PyResult<bool> {
        self.with_cached(py, |cached| Ok(cached.state.backend.shared().is_some_and(|shared| shared.would_wait())))
    }

    /// The lock of a key among all hosts, to be asked for; None where there is no server.
    #[pyo3(signature = (key, lease=None))]
    fn _lock_there<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        lease: Option<f64>,
    ) -> PyResult<Option<Bound<'py, RemoteLocking>>> {
        self.with_cached(key.py(), |cached| locks::locking_there(cached, key, lease))
    }

    /// Takes the lock of a key of a shared cache, for so many seconds or as long as this process lives.
    /// None: somebody has it. False: nobody has it, and there is no room for it.
    #[pyo3(signature = (key, lease=None))]
    fn _lock<'py>(&self, key: &Bound<'py, PyAny>, lease: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        self.with_cached(key.py(), |cached| locks::lock(cached, key, lease))
    }

    /// Has a lock end so many seconds from now, or never by itself: what stands for it from then on; None if it was not this
    /// one's any more.
    fn _prolong<'py>(&self, held: &Bound<'py, HeldLock>, lease: Option<f64>) -> PyResult<Option<Bound<'py, HeldLock>>> {
        self.with_cached(held.py(), |cached| locks::prolong(cached, held, lease))
    }

    /// Gives a lock back; whether it was this one's still.
    fn _unlock(&self, held: &Bound<'_, HeldLock>) -> PyResult<bool> {
        self.with_cached(held.py(), |cached| Ok(locks::unlock(cached, held.get())))
    }

    /// Whether somebody has the lock of a key.
    fn _is_locked(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.with_cached(key.py(), |cached| locks::is_locked(cached, key))
    }

    /// Has the cache keep lifetimes and tags of single entries, as `get_or_set` is about to.
    fn _know_more(&self, py: Python<'_>, lifetimes: bool, tags: bool) -> PyResult<()> {
        self.with_cached(py, |cached| {
            self.know_more(cached, lifetimes, tags);
            Ok(())
        })
    }

    /// What the loader gives for these arguments, computed by this thread's caller: the call of a function that is no coroutine
    /// function.
    #[pyo3(signature = (*arguments))]
    fn _load<'py>(&self, arguments: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let py = arguments.py();
        self.with_cached(py, |cached| {
            let values: Vec<_> = arguments.as_slice().iter().map(Ref::from).collect();
            let result = call_sync(py, cached, &values).ok_or_else(|| PyErr::fetch(py))?;
            Ok(result.into_bound(py))
        })
    }

    /// A ticket for a call of the loader.
    #[pyo3(signature = (*arguments))]
    fn _ticket<'py>(&self, arguments: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, Ticket>> {
        let py = arguments.py();
        self.with_cached(py, |cached| cached.ticket(arguments, &PyDict::new(py)))
    }

    /// `cache_refresh` of a plain memoized function where nothing is kept: `(value,)`; None where something is.
    #[pyo3(signature = (*arguments))]
    fn _refresh_nothing<'py>(&self, arguments: &Bound<'py, PyTuple>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let py = arguments.py();
        let value = self.with_cached(py, |cached| refresh_plain_nothing(cached, arguments))?;
        value.map(|value| PyTuple::new(py, [value])).transpose()
    }

    /// Notes that a memoized function has entries in the cache.
    fn _note_memoized(&self, py: Python<'_>) -> PyResult<()> {
        self.with_cached(py, |cached| {
            cached.state.note_apart();
            if let Some(shared) = cached.state.backend.shared() {
                shared.note_apart(py);
            }
            Ok(())
        })
    }
}
