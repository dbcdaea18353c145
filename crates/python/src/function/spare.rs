//! A spare: an old value, kept aside by who computes a new one, to be served where that fails (`stale_if_error`).
//!
//! Ring 3. Under single-flight a key has one slot in the index. So who computes a key that has an old value takes its entry
//! out, and puts it back if the computation fails.

use std::sync::Arc;

use pyo3::prelude::*;

use super::lookup::Entries;
use super::removal::Departing;
use super::settle::flight_of;
use super::single_flight::Reserved;
use super::slot_value::{SharedFlight, Value};
use super::state::CacheState;
use crate::capi::exceptions;
use crate::capi::reference::PyRef;
use concurrency::inflight::Outcome;
use engine::cache::{Cause, Departed, Description, Evicted, Lifetime};
use engine::slab::Token;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Spare {
    departed: Departed<PyRef, Value>,
    lifetime: Lifetime,
    weight: u64,
    tags: Vec<String>,
    /// What an invalidation of one of its tags changes.
    stamp: u64,
}

impl CacheState {
    /// Takes the entry of a key out if it serves no more, or as a spare: `Some` of that if it is one. To be called under the
    /// lock.
    pub(super) fn take_out_spare(
        &self,
        cache: &mut Entries,
        (token, finished): (Token, bool),
        now: u64,
        evicted: &mut Evicted<PyRef, Value>,
    ) -> Option<Option<Spare>> {
        let control = self.control.as_ref().filter(|_| finished)?;
        let value = &cache.get(token)?.value;
        let is_void = value.is_void();
        if is_void && !value.is_spare_beyond(control.spare) {
            cache.remove(token, Cause::Explicit, evicted);
            return Some(None);
        }
        let lifetime = cache.lifetime(token);
        if !is_void && (!self.has_windows || now < lifetime.fresh.saturating_add(control.revalidate)) {
            return None;
        }
        let (weight, tags): (_, Vec<_>) = (cache.weight_of(token), cache.tags_of(token).map(str::to_owned).collect());
        let stamp = self.tag_fences.stamps(&tags);
        let mut out = Evicted::default();
        cache.remove(token, Cause::Replaced, &mut out);
        let departed = out.drain().next()?;
        Some(Some(Spare { departed, lifetime, weight, tags, stamp }))
    }

    /// Ends a computation that failed with the spare in its place: the value, a new reference or null with an exception set.
    /// `Err` gives the spare back where it serves no more: it has ended, or was invalidated.
    pub(crate) fn settle_spare(
        &self,
        py: Python<'_>,
        reserved: Option<Reserved>,
        flight: &Option<SharedFlight>,
        spare: Box<Spare>,
    ) -> Result<Option<PyRef>, Box<Spare>> {
        let object = spare.departed.entry.value.as_owned();
        let Some((object, reserved)) = object.zip(reserved) else {
            return Err(spare);
        };
        let (object, shared) = (object.clone_ref(py), object.clone_ref(py));
        let record = self.put_back(reserved, spare, true)?;
        let old = || Outcome::Stale(Box::new(Outcome::Value(Arc::new(shared))));
        self.complete(flight.clone(), record.as_ref(), old);
        drop(record);
        self.load_counters.stale_hit();
        Ok(self.handed_out(py, object))
    }

    /// Ends a computation that has brought nothing, not even an old value to its caller: the exception that is set goes to who
    /// waits, if it is one for others, and the spare is there as before.
    pub(crate) fn settle_failure_beside(
        &self,
        py: Python<'_>,
        reserved: Option<Reserved>,
        flight: Option<SharedFlight>,
        spare: Option<Box<Spare>>,
    ) {
        // What runs in between must not see the exception.
        let raised = exceptions::take(py);
        let (mut reserved, mut flight) = (reserved, flight);
        match (spare, reserved) {
            (Some(spare), Some(slot)) => match self.put_back(slot, spare, false) {
                Ok(record) => {
                    // The slot is the spare's again.
                    reserved = None;
                    flight = flight.or_else(|| flight_of(record.as_ref()));
                }
                Err(spare) => self.let_spare_go(spare),
            },
            (Some(spare), None) => self.let_spare_go(spare),
            (None, _) => (),
        }
        raised.into_iter().for_each(|raised| exceptions::set(py, raised));
        self.settle_failure(py, reserved, flight);
    }

    /// Ends a spare that serves no more.
    #[allow(clippy::boxed_local)] // as whoever keeps it has it
    fn let_spare_go(&self, spare: Box<Spare>) {
        let mut departing = Departing::new(self);
        spare.leave(&mut departing);
        departing.end();
    }

    /// Puts a spare into the slot of the computation that took it out: the record of that. `used`: it has served.
    fn put_back(&self, reserved: Reserved, spare: Box<Spare>, used: bool) -> Result<Option<Value>, Box<Spare>> {
        let now = self.now();
        let window = self.control.as_ref().map_or(0, |control| control.spare);
        let is_spare = match spare.departed.entry.value.as_special().and_then(|special| special.covered.as_ref()) {
            Some(_) => spare.departed.entry.value.is_spare_beyond(window),
            None => true,
        };
        if !is_spare || now >= spare.lifetime.fresh.saturating_add(window) {
            return Err(spare);
        }
        let Spare { departed, lifetime, weight, tags, stamp } = *spare;
        let mut departing = Departing::new(self);
        let mut departed = Some(departed);
        let record = self.entries.write(|writer| {
            let cache = writer.value;
            if !cache.is_of_this_life(reserved.1)
                || super::settle::is_detached(cache, reserved)
                || self.tag_fences.stamps(&tags) != stamp
            {
                return None;
            }
            let Departed { entry, .. } = departed.take()?;
            departing.keep(entry.key);
            let names: Vec<&str> = tags.iter().map(String::as_str).collect();
            let description = Description { lifetime, weight, tags: &names };
            // It was in before, so it fits.
            let published = cache.publish_described(reserved.0, entry.value, &description, now, &mut departing.evicted);
            published.ok().flatten().map(|(token, record)| {
                if used {
                    // SAFETY: it has just been published.
                    unsafe { cache.used_at(token, now) };
                }
                record
            })
        });
        departing.end();
        match (departed, record) {
            (Some(departed), _) => Err(Box::new(Spare { departed, lifetime, weight, tags, stamp })),
            (None, record) => Ok(record),
        }
    }
}

impl Spare {
    /// What has left with it.
    pub(crate) fn leave(self, departing: &mut Departing<'_>) {
        let Departed { entry, meta, cause } = self.departed;
        departing.replaced(entry.key, meta, entry.value, cause);
    }
}
