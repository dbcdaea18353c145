//! Changing an entry if it is still the one that was seen: what `add`, `replace`, `compute` and `incr` are made of.
//!
//! Ring 3. An entry is known by its value (the very object, which whoever has seen it keeps alive) and by the stamps of its key
//! and of the cache: each change by hand raises a stamp, so an entry is never taken for one that was there before.

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::capi::borrowed::Ref;
use crate::capi::exceptions::{ErrSet, Raise};
use crate::capi::reference::PyRef;
use crate::function::control::{Terms, Wish};
use crate::function::fence::Began;
use crate::function::lookup::{Changed, Entries};
use crate::function::removal::Departing;
use crate::function::state::CacheState;
use crate::key::View;
use engine::cache::{Cause, TooHeavy};
use engine::slab::Token;
use remote::tier::Found as RemoteEntry;

/// An entry as somebody has seen it.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs", name = "_Seen")]
pub struct Seen(pub(crate) Entry);

/// See [`Seen`].
pub(crate) enum Entry {
    Memory {
        stored: PyRef,
        began: Began,
    },
    /// Slot, word and generation.
    File(u64, u64, u64),
    Server(Box<RemoteEntry>),
}

#[pymethods]
impl Seen {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.0 {
            Entry::Memory { stored, .. } => visit.call(stored.as_py()),
            Entry::File(..) | Entry::Server(_) => Ok(()),
        }
    }
}

/// On what condition an entry is changed.
pub(crate) enum Expected<'a> {
    Anything,
    /// There is none.
    Absent,
    Entry(&'a Entry),
}

/// A value that takes the place of an entry, and on what condition.
pub(crate) struct Swap<'a> {
    pub value: Ref<'a>,
    pub wish: Wish,
    /// Lifetime and tags stay those of the entry that is there; of the lifetime, unless the wish has one.
    pub keeps: bool,
    pub expected: &'a Expected<'a>,
}

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swapped {
    Stored,
    /// The entry is another one: nothing was done.
    Changed,
    /// It does not fit. An entry that was expected is there still, any other one is gone.
    Unfit,
}

impl CacheState {
    /// Whether a published entry answers `c[k]`. Under the lock.
    pub(crate) fn serves(&self, cache: &Entries, token: Token, now: u64) -> bool {
        let revalidate = self.control.as_ref().map_or(0, |control| control.revalidate);
        !self.has_windows || now < cache.lifetime(token).fresh.saturating_add(revalidate)
    }

    fn is_expected(&self, cache: &Entries, hash: u64, there: Option<Token>, expected: &Expected<'_>) -> bool {
        match expected {
            Expected::Anything => true,
            Expected::Absent => there.is_none(),
            Expected::Entry(Entry::File(..) | Entry::Server(_)) => false,
            Expected::Entry(Entry::Memory { stored, began }) => {
                let now = Began { clears: cache.clears(), stamp: self.fences.stamp(hash) };
                let value = there.and_then(|token| cache.get(token)?.value.as_owned());
                now == *began && value.is_some_and(|value| value.as_ptr() == stored.as_ptr())
            }
        }
    }

    /// The value of a key's entry, as it is stored, and the entry. `Err` with an exception set.
    pub(crate) fn see_entry(&self, view: &View<'_>) -> Result<Option<Entry>, ErrSet> {
        let py = view.py();
        let now = self.now();
        let seen = self.with_entry(view, |cache, at| {
            let (token, _) = at.filter(|(token, finished)| *finished && self.serves(cache, *token, now))?;
            let stored = cache.get(token)?.value.as_owned()?.clone_ref(py);
            // SAFETY: an entry with a finished value is published.
            unsafe {
                cache.used_at(token, now);
                cache.hit(token);
            }
            let began = Began { clears: cache.clears(), stamp: self.fences.stamp(view.hash) };
            Some(Entry::Memory { stored, began })
        });
        match seen {
            Changed::Done(seen) => Ok(seen),
            Changed::Restless => Ok(None),
            Changed::Failed => Err(ErrSet),
        }
    }

    /// Stores a value under terms if the key's entry is the expected one. `keeps`: lifetime and tags stay those of the entry,
    /// but for the lifetime if it `renews` that.
    pub(crate) fn swap_entry(
        &self,
        view: &View<'_>,
        terms: Terms,
        keeps: bool,
        renews: bool,
        expected: &Expected<'_>,
    ) -> Result<Swapped, ErrSet> {
        let py = view.py();
        let key = view.make_key().ok_or(ErrSet)?;
        let (now, lifetime) = (self.now(), self.lifetime_of(&terms));
        let mut departing = Departing::new(self);
        let mut new = Some((key, terms));
        let done = self.with_entry(view, |cache, at| {
            let serves = |&(token, finished): &(Token, bool)| finished && self.serves(cache, token, now);
            let there = at.filter(serves).map(|(token, _)| token);
            if !self.is_expected(cache, view.hash, there, expected) {
                return Swapped::Changed;
            }
            let Some((key, terms)) = new.take() else {
                return Swapped::Changed;
            };
            let is_seen = matches!(expected, Expected::Entry(_));
            let old = match at {
                Some((token, true)) => {
                    let out = &mut departing.evicted;
                    // SAFETY: an entry with a finished value is published.
                    let old = unsafe {
                        if keeps && there.is_some() {
                            cache.replace_value(token, terms.value, terms.weight, now, out)
                        } else {
                            terms.described(lifetime, |value, description| {
                                cache.replace_described(token, value, description, now, out)
                            })
                        }
                    };
                    if keeps && renews && old.is_ok() {
                        cache.set_lifetime(token, lifetime);
                    }
                    if old.is_err() && !is_seen {
                        cache.remove(token, Cause::Replaced, &mut departing.evicted);
                    }
                    old
                }
                at => {
                    if let Some((token, _)) = at {
                        // A computation that began before goes on, and is not stored over this value.
                        self.end_entry(cache, token, false, &mut departing.evicted);
                    }
                    let entered = terms.described(lifetime, |value, description| {
                        let (hash, shape, out) = (view.hash, view.shape, &mut departing.evicted);
                        cache.insert_described(hash, shape, key.clone_ref(py), value, description, now, out)
                    });
                    entered.map(|_| None).map_err(|TooHeavy(entry)| {
                        departing.keep(entry.key);
                        TooHeavy(entry.value)
                    })
                }
            };
            // What was seen and stays is what was seen.
            if old.is_ok() || !is_seen {
                self.fences.raise(view.hash);
            }
            match old {
                Ok(Some(old)) => departing.replaced(key, view.shape, old.value, old.cause),
                Ok(None) => departing.keep(key),
                Err(TooHeavy(value)) => {
                    departing.unused(key, value);
                    return Swapped::Unfit;
                }
            }
            Swapped::Stored
        });
        drop(new);
        departing.end();
        self.done(py, done)
    }

    /// Takes a key's entry out if it is the expected one, and fences: its value as it is stored, `None` where there is none.
    pub(crate) fn take_entry(&self, view: &View<'_>, expected: &Expected<'_>) -> Result<Option<PyRef>, ErrSet> {
        let py = view.py();
        let now = self.now();
        let mut departing = Departing::new(self);
        let done = self.with_entry(view, |cache, at| {
            let serves = |&(token, finished): &(Token, bool)| finished && self.serves(cache, token, now);
            let there = at.filter(serves).map(|(token, _)| token);
            if !self.is_expected(cache, view.hash, there, expected) {
                return None;
            }
            self.fences.raise(view.hash);
            let value = there.and_then(|token| Some(cache.get(token)?.value.as_owned()?.clone_ref(py)));
            if let Some((token, finished)) = at {
                self.end_entry(cache, token, finished, &mut departing.evicted);
            }
            value
        });
        departing.end();
        self.done(py, done)
    }

    /// Gives a key's entry another lifetime, of so many nanoseconds: its value as it is stored, `None` where there is none.
    /// `if_it_ends`: an entry without an end keeps that. No use: whoever reads it counts that, and a hit with it.
    pub(crate) fn renew_entry(
        &self,
        view: &View<'_>,
        ttl: Option<u64>,
        if_it_ends: bool,
    ) -> Result<Option<PyRef>, ErrSet> {
        let py = view.py();
        let (now, lifetime) = (self.now(), self.lifetime_for(ttl));
        let done = self.with_entry(view, |cache, at| {
            let (token, _) = at.filter(|(token, finished)| *finished && self.serves(cache, *token, now))?;
            let stored = cache.get(token)?.value.as_owned()?.clone_ref(py);
            if !if_it_ends || cache.lifetime(token).fresh != u64::MAX {
                cache.set_lifetime(token, lifetime);
            }
            Some(stored)
        });
        self.done(py, done)
    }

    /// Has a key's entry be fresh for so many nanoseconds, or no longer since as many.
    pub(crate) fn set_left(&self, view: &View<'_>, left: i64) -> Result<(), ErrSet> {
        let lifetime = self.lifetime_left(left);
        let done = self.with_entry(view, |cache, at| {
            if let Some((token, true)) = at {
                cache.set_lifetime(token, lifetime);
            }
        });
        self.done(view.py(), done)
    }

    /// How a change has ended: an exception is set where there is no telling.
    pub(crate) fn done<R>(&self, py: Python<'_>, done: Changed<R>) -> Result<R, ErrSet> {
        match done {
            Changed::Done(result) => Ok(result),
            Changed::Failed => Err(ErrSet),
            Changed::Restless => {
                let message = "nothing was changed: the cache changes each time its keys are compared";
                PyRuntimeError::new_err(message).raise(py);
                Err(ErrSet)
            }
        }
    }
}
