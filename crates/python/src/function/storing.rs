//! Storing under control: results that were appraised, exceptions, values of a lifetime and tags of their own.
//!
//! Ring 3. What a cache without [`Control`](super::control::Control) stores does not come here, but for `cache_put` with a
//! lifetime or tags.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::computation::Computation;
use super::control::{Tags, Terms, Verdict};
use super::fence::Began;
use super::lookup::{Changed, Entries};
use super::removal::Departing;
use super::slot_value::{SharedFlight, Special, Value};
use super::state::{CacheState, Put};
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::{self, ErrSet, Raise};
use crate::capi::panics::point;
use crate::capi::reference::PyRef;
use crate::key::View;
use concurrency::inflight::Outcome;
use engine::cache::{Cause, Freshness, TooHeavy};
use engine::slab::Token;
use std::sync::Arc;
use std::time::Duration;

use super::single_flight::Reserved;

impl CacheState {
    /// What a computation with these tags that begins now is compared with when it is stored.
    pub(crate) fn began_with(&self, hash: u64, tags: &Tags) -> Began {
        let began = self.began(hash);
        Began { stamp: began.stamp.wrapping_add(self.tag_fences.stamps(tags)), ..began }
    }

    /// Stores what was computed, if the user wants it stored; an older entry goes otherwise. False with an exception set.
    pub(crate) fn put_result(&self, view: &View<'_>, result: Ref<'_>, tags: Tags, mode: Put) -> bool {
        let Some(control) = &self.control else {
            return self.put(view, Value::ready(result.to_owned()), mode);
        };
        match control.appraise(result, tags.clone()) {
            Err(ErrSet) => false,
            Ok(Verdict::Store(terms)) => self.put_terms(view, terms, mode),
            Ok(Verdict::Drop) => self.drop_older(view, &tags, mode),
        }
    }

    /// Stores a value under terms; false with an exception set.
    pub(crate) fn put_terms(&self, view: &View<'_>, terms: Terms, mode: Put) -> bool {
        let Some(key) = view.make_key() else {
            return false;
        };
        let (now, lifetime) = (self.now(), self.lifetime_of(&terms));
        let mut departing = Departing::new(self);
        let tags = terms.tags.clone();
        let mut new = Some((key, terms));
        let done = self.with_entry(view, |cache, at| {
            if !self.is_wanted(cache, view.hash, &tags, at, now, mode) {
                return;
            }
            let Some((key, terms)) = new.take() else {
                return;
            };
            if matches!(mode, Put::Always) {
                self.fences.raise(view.hash);
            }
            match at {
                Some((token, true)) => {
                    // SAFETY: an entry with a finished value is published.
                    let old = terms.described(lifetime, |value, description| unsafe {
                        cache.replace_described(token, value, description, now, &mut departing.evicted)
                    });
                    match old {
                        Ok(Some(old)) => departing.replaced(key, view.shape, old.value, old.cause),
                        Ok(None) => departing.keep(key),
                        Err(TooHeavy(value)) => {
                            cache.remove(token, Cause::Replaced, &mut departing.evicted);
                            departing.unused(key, value);
                        }
                    }
                }
                at => {
                    if let Some((token, _)) = at {
                        // A computation that began before goes on, and is not stored over this value.
                        self.end_entry(cache, token, false, &mut departing.evicted);
                    }
                    let entered = terms.described(lifetime, |value, description| {
                        cache.insert_described(
                            view.hash,
                            view.shape,
                            key,
                            value,
                            description,
                            now,
                            &mut departing.evicted,
                        )
                    });
                    if let Err(TooHeavy(entry)) = entered {
                        // As where a result is not stored.
                        cache.expire(now, &mut departing.evicted);
                        departing.unused(entry.key, entry.value);
                    }
                }
            }
        });
        drop(new);
        departing.end();
        self.is_put(view.py(), done, mode)
    }

    /// Whether what `mode` asks for holds. To be called under the lock, with the key's entry.
    fn is_wanted(
        &self,
        cache: &Entries,
        hash: u64,
        tags: &Tags,
        at: Option<(Token, bool)>,
        now: u64,
        mode: Put,
    ) -> bool {
        let is_current = |began: Began| {
            self.fences.stamp(hash).wrapping_add(self.tag_fences.stamps(tags)) == began.stamp
                && (self.stores_over_clears || cache.clears() == began.clears)
        };
        match mode {
            Put::Always => true,
            Put::UnlessPending => at.is_none_or(|(_, finished)| finished),
            Put::Refreshed(began) => is_current(began),
            Put::IfAbsentSince(began) => {
                let is_void = |token| cache.get(token).is_some_and(|entry| entry.value.is_void());
                at.is_none_or(|(token, done)| {
                    done && (cache.freshness(token, now) != Freshness::Fresh || is_void(token))
                }) && is_current(began)
            }
        }
    }

    /// Ends an older entry of a result that is not stored; false with an exception set.
    pub(crate) fn drop_older(&self, view: &View<'_>, tags: &Tags, mode: Put) -> bool {
        let mut departing = Departing::new(self);
        let now = self.now();
        let done = self.with_entry(view, |cache, at| {
            if !self.is_wanted(cache, view.hash, tags, at, now, mode) {
                return;
            }
            if matches!(mode, Put::Always) {
                self.fences.raise(view.hash);
            }
            if at.is_none() {
                // It may have ended a moment ago: a use that is being noted must not bring it back.
                cache.expire(now, &mut departing.evicted);
            }
            if let Some((token, finished)) = at {
                if finished {
                    let cause = match cache.freshness(token, now) {
                        Freshness::Ended => Cause::Expired,
                        Freshness::Fresh | Freshness::Stale => Cause::Replaced,
                    };
                    cache.remove(token, cause, &mut departing.evicted);
                } else if matches!(mode, Put::Always | Put::Refreshed(_)) {
                    self.end_entry(cache, token, false, &mut departing.evicted);
                }
            }
        });
        departing.end();
        self.is_put(view.py(), done, mode)
    }

    /// Whether a change has ended well; else an exception is set.
    pub(super) fn is_put(&self, py: Python<'_>, done: Changed<()>, mode: Put) -> bool {
        match (done, mode) {
            (Changed::Done(()), _) => true,
            (Changed::Failed, _) => false,
            (Changed::Restless, Put::Always) => {
                let message = "the value cannot be stored: the cache changes each time its keys are compared";
                PyRuntimeError::new_err(message).raise(py);
                false
            }
            (Changed::Restless, _) => true,
        }
    }

    /// Ends a computation under single-flight with a result that is stored under terms.
    pub(crate) fn settle_terms(
        &self,
        reserved: Option<Reserved>,
        flight: Option<SharedFlight>,
        terms: Terms,
        outcome: Outcome<Arc<PyRef>>,
        mut departing: Departing<'_>,
    ) {
        let (now, lifetime) = (self.now(), self.lifetime_of(&terms));
        let mut terms = Some(terms);
        let record = reserved.and_then(|reserved| {
            self.entries.write(|writer| {
                let cache = writer.value;
                point("publish");
                if !cache.is_of_this_life(reserved.1) {
                    return None;
                }
                if super::settle::is_detached(cache, reserved) {
                    let entry = cache.free(reserved.0)?;
                    departing.keep(entry.key);
                    return Some(entry.value);
                }
                let published = terms.take()?.described(lifetime, |value, description| {
                    cache.publish_described(reserved.0, value, description, now, &mut departing.evicted)
                });
                match published {
                    Ok(published) => published.map(|(_, record)| record),
                    Err(TooHeavy(value)) => {
                        let entry = cache.free(reserved.0)?;
                        departing.unused(entry.key, value);
                        Some(entry.value)
                    }
                }
            })
        });
        self.complete(flight, record.as_ref(), || outcome);
        departing.end();
        drop((record, terms));
    }

    /// Notes that a refresh has ended whose result may not have been stored.
    pub(crate) fn let_refresh_go(&self, view: &View<'_>) {
        self.change_special(view, Value::special_mut, Special::end_refresh);
    }

    /// Notes that an entry is being refreshed, so that nobody begins another refresh in the background.
    pub(crate) fn mark_refresh(&self, view: &View<'_>) {
        let now = self.now();
        self.change_special(view, Value::make_special, |special| special.refresh.begin(now));
    }

    /// Ends a refresh that has brought nothing; `failed`: the next one waits for a while.
    pub(crate) fn end_refresh(&self, view: &View<'_>, failed: bool) {
        let now = self.now();
        self.change_special(view, Value::make_special, |special| {
            special.refresh.end();
            if failed {
                special.refresh.failures += 1;
                special.refresh.not_before = now.saturating_add(pause_after(special.refresh.failures));
            }
        });
    }

    /// Changes what is known of an entry's value, if there is one in a cache whose entries go stale. `get`: where that is.
    fn change_special(
        &self,
        view: &View<'_>,
        get: fn(&mut Value) -> Option<&mut Special>,
        change: impl FnOnce(&mut Special),
    ) {
        if !self.has_windows {
            return;
        }
        let change = |cache: &mut Entries, at: Option<(Token, bool)>| {
            let value = at.filter(|(_, finished)| *finished).and_then(|(token, _)| cache.value_mut(token));
            if let Some(special) = value.and_then(get) {
                change(special);
            }
        };
        if let Changed::Failed = self.with_entry(view, change) {
            // What a comparison raises is of no concern.
            drop(exceptions::take(view.py()));
        }
    }

    /// Notes that a computation of a coroutine function raised: the exception is stored if the user wants that. The value that
    /// serves in its place, if there is one.
    pub(crate) fn failed(
        &self,
        view: &View<'_>,
        error: &Bound<'_, PyAny>,
        computation: &Computation,
    ) -> Result<Option<PyRef>, ErrSet> {
        self.load_counters.load(computation.watch, true);
        let Some(control) = &self.control else {
            return Ok(None);
        };
        let (py, error) = (view.py(), Ref::from(error).to_owned());
        if !exceptions::is_shareable(py, &error) {
            return Ok(None);
        }
        if let Some(spare) = self.spare(view)? {
            return Ok(Some(spare));
        }
        if let Some(terms) = control.store_exception(py, &error, computation.tags.clone()) {
            if !self.put_terms(view, terms?, Put::IfAbsentSince(computation.began)) {
                return Err(ErrSet);
            }
        }
        Ok(None)
    }

    /// The value that serves where computing has failed; counted as a stale hit, and a use.
    pub(crate) fn spare(&self, view: &View<'_>) -> Result<Option<PyRef>, ErrSet> {
        let Some(control) = self.control.as_ref().filter(|control| control.spare != 0) else {
            return Ok(None);
        };
        let now = self.now();
        let py = view.py();
        let found = self.with_entry(view, |cache, at| {
            let (token, _) = at.filter(|(_, finished)| *finished)?;
            let value = &cache.get(token)?.value;
            if value.as_special().is_some_and(|special| special.is_exception) {
                return None;
            }
            let object = value.as_owned()?.clone_ref(py);
            let is_spare = match value.as_special().and_then(|special| special.covered.as_ref()) {
                Some(covered) => covered.is_spare(control.spare),
                None => true,
            };
            if !is_spare || now >= cache.lifetime(token).fresh.saturating_add(control.spare) {
                return Some(Err(object));
            }
            // SAFETY: an entry with a finished value is published.
            unsafe {
                cache.hit(token);
                cache.used_at(token, now);
            }
            Some(Ok(object))
        });
        match found {
            Changed::Done(Some(Ok(object))) => {
                self.load_counters.stale_hit();
                self.handed_out(py, object).map(Some).ok_or(ErrSet)
            }
            Changed::Done(Some(Err(object))) => {
                drop(object);
                Ok(None)
            }
            Changed::Done(None) | Changed::Restless => Ok(None),
            Changed::Failed => Err(ErrSet),
        }
    }
}

/// Nanoseconds until the next refresh may start after so many failures: one second, two, four, … thirty.
fn pause_after(failures: u32) -> u64 {
    let seconds = 1 << failures.saturating_sub(1).min(5);
    Duration::from_secs(seconds.min(30)).as_nanos() as u64
}
