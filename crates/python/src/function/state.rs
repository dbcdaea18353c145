//! `CacheState`: the cache under a function, with its entries, their lifetimes, the computations under way and the backend.
//!
//! Ring 3. It knows keys and values, not functions. Finding entries is in [`lookup`](super::lookup) and
//! [`fast_path`](super::fast_path), computing each missing key once in [`single_flight`](super::single_flight); storing is
//! here, and what is asked of single entries; ending them in [`ending`](super::ending).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::asynchronous::Flights;
use super::control::Control;
use super::fast_lookup::FastLookup;
use super::fence::{Began, Fences};
use super::load_counters::LoadCounters;
use super::lookup::{Accounting, Changed, Entries, Found};
use super::option_table::Options;
use super::running::Running;
use super::slot_value::Value;
use crate::backend::AnyBackend;
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::ErrSet;
use crate::capi::kept::Kept;
use crate::capi::panics::point;
use crate::capi::sharing::{share, Shared};
use crate::key::View;
use concurrency::clock;
use engine::cache::{Cache, Evicted, Expires};
use engine::slab::Token;

/// See the module's documentation.
pub(crate) struct CacheState {
    pub(crate) entries: Shared<Entries>,
    /// Nanoseconds; 0 if entries live until they are evicted.
    pub(crate) ttl: u64,
    /// Whether entries may end, for whatever reason of time.
    expires: AtomicBool,
    /// Whether an entry ends that is not used.
    pub(crate) is_idle_bound: bool,
    /// What is done with entries beside keeping them.
    pub(crate) control: Option<Box<Control>>,
    /// Whether entries are stale for some time before they end.
    pub(crate) has_windows: bool,
    /// Whether what is stored is copied when it is handed out.
    pub(crate) copies: bool,
    /// Whether it is the cache of one instance of a class (`per_instance`).
    pub(crate) is_of_instance: bool,
    pub(crate) load_counters: LoadCounters,
    /// Whether a lone argument that is an exact int or str is another key than an equal one of another type, as in functools.
    pub(crate) lone_apart: bool,
    pub(crate) single_flight: bool,
    /// Whether a result is stored that was being computed while the cache was cleared, as functools does where callers do not
    /// wait for each other.
    pub(crate) stores_over_clears: bool,
    /// Whether a cache object's memoized functions have entries that are none of the object's.
    has_apart: AtomicBool,
    pub(crate) fences: Fences,
    /// The computations under way that have tags.
    pub(crate) running: Running,
    /// The same by the hashes of tags.
    pub(crate) tag_fences: Fences,
    pub(crate) max_size: Option<usize>,
    pub(crate) wait_timeout: Option<Duration>,
    /// The refreshes under way that somebody may wait for, once there was one.
    pub(crate) refreshes: Kept<Py<PyDict>>,
    /// Of a coroutine function.
    pub(crate) flights: Option<Flights>,
    /// Where values live beside the entries: where that is a shared file, the entries are the decoded level in front of it.
    pub(crate) backend: AnyBackend,
}

/// Under what condition a value is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Put {
    Always,
    /// If the key is absent and was not invalidated since a computation began, nor the cache cleared.
    IfAbsentSince(Began),
    /// If the key was not invalidated since a computation began, nor the cache cleared: over whatever is there, and over a
    /// computation under way, which may have begun before and is not stored then.
    Refreshed(Began),
    /// Unless the key is being computed.
    UnlessPending,
}

impl CacheState {
    /// An empty cache.
    pub(crate) fn new(
        options: &Options,
        flights: Option<Flights>,
        backend: AnyBackend,
        control: Option<Box<Control>>,
    ) -> Self {
        let (strategy, capacity, features) = backend.bounds(options);
        let expires = features.expires != Expires::No || features.idle.is_some();
        CacheState {
            // SAFETY: the only users of `entries` are the files of `function` and `backend`. All are entered attached; none
            // calls into Python, or drops an object, while it reads or writes.
            entries: unsafe { share(Cache::with(strategy, capacity, features)) },
            ttl: if expires { options.ttl.nanos } else { 0 },
            expires: AtomicBool::new(expires),
            is_idle_bound: features.idle.is_some(),
            // In a shared cache the file knows what is stale.
            has_windows: backend.shared().is_none() && control.as_ref().is_some_and(|control| control.has_windows()),
            copies: control.as_ref().is_some_and(|control| control.copies()),
            control,
            is_of_instance: false,
            load_counters: LoadCounters::default(),
            lone_apart: options.keeps_lone_apart(),
            single_flight: options.single_flight && options.max_size != Some(0),
            stores_over_clears: !options.by_signature && !options.single_flight,
            has_apart: AtomicBool::new(false),
            fences: Fences::default(),
            tag_fences: Fences::default(),
            running: Running::default(),
            max_size: options.max_size,
            wait_timeout: options.wait_timeout,
            refreshes: Kept::new(),
            flights,
            backend,
        }
    }

    /// The present time if entries expire.
    #[inline(always)]
    pub(crate) fn now(&self) -> u64 {
        if self.expires() {
            clock::now()
        } else {
            0
        }
    }

    /// Whether entries may end, for whatever reason of time.
    #[inline(always)]
    pub(crate) fn expires(&self) -> bool {
        // Relaxed: it changes under the lock, before the first entry that may end comes in.
        self.expires.load(Ordering::Relaxed)
    }

    /// Notes that there are entries of memoized functions.
    pub(crate) fn note_apart(&self) {
        // Relaxed, here and below: it is noted before there is such an entry, and the lock orders them.
        self.has_apart.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_apart(&self) -> bool {
        self.has_apart.load(Ordering::Relaxed)
    }

    /// What a computation that begins now is compared with when it is stored.
    #[inline(always)]
    pub(crate) fn began(&self, hash: u64) -> Began {
        Began { clears: self.clears(), stamp: self.fences.stamp(hash) }
    }

    /// How often the cache has been cleared.
    pub(crate) fn clears(&self) -> u64 {
        self.entries.read(|reader| reader.clears())
    }

    /// Whether the key was not invalidated, nor the cache cleared, since a computation began. To be called under the lock.
    #[inline(always)]
    fn is_current(&self, cache: &Entries, hash: u64, began: Began) -> bool {
        self.fences.stamp(hash) == began.stamp && cache.clears() == began.clears
    }

    /// What a lookup that `hot` began comes to, counted as a call.
    #[inline(always)]
    pub(crate) fn after(&self, view: &View<'_>, found: FastLookup) -> Found {
        if found.is_absent() {
            Found::Absent
        } else {
            self.find(view, Accounting::HitOrMiss)
        }
    }

    /// Stores a value as if it had been computed now; false with an exception set. Where the cache changes at each
    /// comparison, that is one of what must be stored; whatever else need not be.
    pub(crate) fn put(&self, view: &View<'_>, value: Value, mode: Put) -> bool {
        let Some(key) = view.make_key() else {
            return false;
        };
        let (now, deadline) = (self.now(), self.deadline());
        let mut evicted = Evicted::default();
        let mut new = Some((key, value));
        let done = self.with_entry(view, |cache, at| {
            let welcome = match mode {
                Put::Always => true,
                Put::IfAbsentSince(began) => at.is_none() && self.is_current(cache, view.hash, began),
                Put::UnlessPending => at.is_none_or(|(_, finished)| finished),
                Put::Refreshed(began) => self.is_current(cache, view.hash, began),
            };
            if !welcome {
                return;
            }
            let Some((key, value)) = new.take() else {
                return;
            };
            if matches!(mode, Put::Always) {
                self.fences.raise(view.hash);
            }
            match at {
                Some((token, true)) => {
                    // SAFETY: an entry with a finished value is published.
                    unsafe {
                        new = cache.replace(token, value, deadline).map(|old| (key, old));
                        cache.used_at(token, now);
                    }
                }
                at => {
                    if let Some((token, _)) = at {
                        // A computation that began before goes on, and is not stored over this value.
                        self.end_entry(cache, token, false, &mut evicted);
                    }
                    cache.insert(view.hash, view.shape, key, value, deadline, now, &mut evicted);
                }
            }
        });
        drop((evicted, new));
        self.is_put(view.py(), done, mode)
    }

    /// Stores a result as functools does: where the key is there meanwhile, a bounded cache keeps what it has and an
    /// unbounded one takes the new value. False with an exception set.
    ///
    /// # Safety
    /// As for [`find`](Self::find); `result` is a live object.
    // Not inlined, as nothing may swell the frame that stands on the stack while the function computes.
    #[inline(never)]
    pub(crate) fn store(&self, view: &View<'_>, result: Ref<'_>, hot: FastLookup, began: Began) -> bool {
        let Some(key) = view.make_key() else {
            return false;
        };
        let value = Value::ready(result.to_owned());
        let (now, deadline) = (self.now(), self.deadline());
        let mut evicted = Evicted::default();
        let insert = |cache: &mut Entries| {
            point("insert");
            if !self.is_welcome(cache, view.hash, began) {
                return;
            }
            cache.insert(view.hash, view.shape, key, value, deadline, now, &mut evicted);
        };
        let Err(insert) = self.if_still_absent(hot, insert) else {
            return true;
        };
        drop(insert);
        self.store_again(view, result, began)
    }

    /// Whether the result of a computation that nobody waited for is to be stored. To be called under the lock.
    #[inline(always)]
    fn is_welcome(&self, cache: &Entries, hash: u64, began: Began) -> bool {
        self.fences.stamp(hash) == began.stamp && (self.stores_over_clears || cache.clears() == began.clears)
    }

    /// Has the cache keep lifetimes and tags of single entries from now on. Whether that is new, so that calls enter elsewhere.
    pub(crate) fn know_more(&self, lifetimes: bool, tags: bool) -> bool {
        self.entries.write(|writer| {
            writer.value.know_more(lifetimes, tags);
            lifetimes && !self.expires.swap(true, Ordering::Relaxed)
        })
    }

    /// Whether a call of this key would be answered without computing. `Err` with an exception set.
    pub(crate) fn contains(&self, view: &View<'_>) -> Result<bool, ErrSet> {
        let now = self.now();
        let revalidate = self.control.as_ref().map_or(0, |control| control.revalidate);
        let serves = |cache: &mut Entries, at: Option<(Token, bool)>| {
            at.is_some_and(|(token, finished)| {
                finished && (!self.has_windows || now < cache.lifetime(token).fresh.saturating_add(revalidate))
            })
        };
        match self.with_entry(view, serves) {
            Changed::Done(serves) => Ok(serves),
            Changed::Restless => Ok(false),
            Changed::Failed => Err(ErrSet),
        }
    }

    /// Seconds until a key's entry is no longer fresh; `Ok(None)` if there is none, `Err` with an exception set.
    pub(crate) fn remaining(&self, view: &View<'_>) -> Result<Option<f64>, ErrSet> {
        let now = clock::exact();
        let remaining = |cache: &mut Entries, at: Option<(Token, bool)>| {
            let (token, _) = at.filter(|(_, finished)| *finished)?;
            let end = cache.end(token);
            // It may have ended since it was found.
            if end <= now {
                return None;
            }
            let fresh = cache.lifetime(token).fresh.min(end);
            Some(if fresh == u64::MAX { f64::INFINITY } else { (i128::from(fresh) - i128::from(now)) as f64 / 1e9 })
        };
        match self.with_entry(view, remaining) {
            Changed::Done(remaining) => Ok(remaining),
            Changed::Restless => Ok(None),
            Changed::Failed => Err(ErrSet),
        }
    }

    /// As [`store`](Self::store), where something came in meanwhile.
    #[cold]
    #[inline(never)]
    fn store_again(&self, view: &View<'_>, result: Ref<'_>, began: Began) -> bool {
        let Some(key) = view.make_key() else {
            return false;
        };
        let (now, deadline) = (self.now(), self.deadline());
        let mut evicted = Evicted::default();
        let mut new = Some((key, Value::ready(result.to_owned())));
        let stored = self.with_entry(view, |cache, at| match at {
            _ if !self.is_welcome(cache, view.hash, began) => (),
            None => {
                if let Some((key, value)) = new.take() {
                    cache.insert(view.hash, view.shape, key, value, deadline, now, &mut evicted);
                }
            }
            Some((token, true)) if self.max_size.is_none() => {
                if let Some((key, value)) = new.take() {
                    // SAFETY: an entry with a finished value is published.
                    unsafe {
                        new = cache.replace(token, value, deadline).map(|old| (key, old));
                        cache.used_at(token, now);
                    }
                }
            }
            Some(_) => (),
        });
        drop((evicted, new));
        !matches!(stored, Changed::Failed)
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(flights) = &self.flights {
            flights.traverse(visit)?;
        }
        self.backend.traverse(visit)?;
        // SAFETY: the collector runs attached.
        if let Some(refreshes) = self.refreshes.get(unsafe { Python::assume_attached() }) {
            visit.call(refreshes)?;
        }
        if let Some(control) = &self.control {
            control.traverse(visit)?;
        }
        // Where the lock is not free the entries are not shown, and so taken for reachable: nothing is freed too early.
        self.entries
            .try_read(|cache| {
                for entry in cache.entries() {
                    visit.call(entry.key.as_py())?;
                    if let Some(value) = entry.value.as_owned() {
                        visit.call(value.as_py())?;
                    }
                }
                Ok(())
            })
            .unwrap_or(Ok(()))
    }
}
