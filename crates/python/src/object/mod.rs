//! `CacheObject`: a cache that is used like a dict, over the same `CacheState` as a decorated function's.
//!
//! Ring 3. An object has one decorated function, its *loader*, which is called with the object's key and brings the value by
//! what `get_or_set` was given; so each missing key is computed once, and stale entries are refreshed, by the same code as for
//! decorated functions. All else reaches the loader's cache past the function: [`slots`] is what Python's operators and hot
//! methods enter, [`read`] finds values, [`store`] stores them, [`exchange`] changes an entry if it is still the one that was
//! seen, [`counter`] counts, [`loader`] makes the loader, [`walk`] goes over all entries, [`locks`] locks keys, [`many`]
//! goes to the server for many at once, [`methods`] is what the Python part of the object is built on.
//!
//! A key is the view of a call with one argument. Calls of the loader with two are those of memoized functions: they are in
//! the cache, and no keys of the object.

pub mod counter;
pub mod exchange;
pub mod loader;
pub mod locks;
mod many;
pub mod methods;
pub mod read;
pub mod slots;
pub mod store;
pub mod walk;

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::capi::borrowed::Ref;
use crate::capi::exceptions::{ErrSet, Raise};
use crate::function::CachedFunction;
use crate::key::{self, View, ONE};

/// What a lookup of an object is, chosen when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Way {
    /// It was not opened, or stores nothing.
    Long,
    /// Memory.
    Plain,
    /// Memory, and entries may end.
    Expires,
    /// Memory, and entries end that are not used.
    Idle,
    /// A file.
    Shared,
    /// Near copies of what a server has.
    Remote,
}

/// A cache that is used like a dict; its Python part is `warp_cache.Cache`.
#[pyclass(frozen, subclass, weakref, module = "warp_cache._warp_cache_rs", name = "CacheObject")]
pub struct CacheObject {
    /// The loader, as `loader` holds it; null before the object is opened.
    cached: AtomicPtr<CachedFunction>,
    /// A [`Way`].
    way: AtomicU8,
    /// Whether the class says what a missing key has.
    has_missing: AtomicBool,
    loader: PyOnceLock<Py<CachedFunction>>,
}

pub(crate) fn not_open() -> PyErr {
    PyRuntimeError::new_err("the cache object was never made: a subclass has to call super().__init__()")
}

impl CacheObject {
    /// The loader; `Err` with an exception set where there is none.
    #[inline(always)]
    pub(crate) fn cached(&self, py: Python<'_>) -> Result<&CachedFunction, ErrSet> {
        // Acquire: pairs with the release in `_open`.
        // SAFETY: `loader` keeps the function, and is never changed.
        match unsafe { self.cached.load(Ordering::Acquire).as_ref() } {
            Some(cached) => Ok(cached),
            None => {
                not_open().raise(py);
                Err(ErrSet)
            }
        }
    }

    #[inline(always)]
    pub(crate) fn way(&self) -> u8 {
        // Relaxed: the loader is loaded by itself, and every way leads to the same answers.
        self.way.load(Ordering::Relaxed)
    }

    pub(crate) fn has_missing(&self) -> bool {
        self.has_missing.load(Ordering::Relaxed)
    }

    fn choose_way(&self, cached: &CachedFunction) {
        let state = &cached.state;
        let way = if state.max_size == Some(0) || state.copies {
            Way::Long
        } else if state.backend.shared().is_some() {
            Way::Shared
        } else if state.backend.remote().is_some() {
            Way::Remote
        } else if state.is_idle_bound {
            Way::Idle
        } else if state.expires() {
            Way::Expires
        } else {
            Way::Plain
        };
        self.way.store(way as u8, Ordering::Relaxed);
    }

    /// Has the cache keep lifetimes and tags of single entries from now on.
    pub(crate) fn know_more(&self, cached: &CachedFunction, lifetimes: bool, tags: bool) {
        if cached.state.backend.shared().is_none() && (lifetimes || tags) && cached.state.know_more(lifetimes, tags) {
            self.choose_way(cached);
            cached.enter_anew();
        }
    }
}

/// The view of a key. `Err` with an exception set: it cannot be hashed. Runs user code.
#[inline(always)]
pub(crate) fn view_of<'a>(key: &'a Ref<'a>) -> Result<View<'a>, ErrSet> {
    let hash = key::hash_one(*key, false).ok_or(ErrSet)?;
    Ok(View { values: std::slice::from_ref(key), names: &[], shape: ONE, hash, typed: false })
}
