//! A spare: an old value, kept aside by who computes a new one, to be served where that fails (`stale_if_error`).
//!
//! Ring 3. Under single-flight a key has one slot in the index. So who computes a key that has an old value takes its entry
//! out, and puts it back if the computation fails.

use std::sync::Arc;

use pyo3::ffi;

use super::lookup::{Entries, Found};
use super::removal::Departing;
use super::single_flight::Reserved;
use super::slot_value::{SharedFlight, Value};
use super::state::CacheState;
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
}

impl CacheState {
    /// Takes the entry of a key out if it is a spare. To be called under the lock.
    pub(super) fn take_out_spare(
        &self,
        cache: &mut Entries,
        (token, finished): (Token, bool),
        now: u64,
    ) -> Option<Spare> {
        let control = self.control.as_ref().filter(|_| finished && self.has_windows)?;
        let lifetime = cache.lifetime(token);
        if now < lifetime.fresh.saturating_add(control.revalidate) {
            return None;
        }
        let (weight, tags) = (cache.weight_of(token), cache.tags_of(token).map(str::to_owned).collect());
        let mut out = Evicted::default();
        cache.remove(token, Cause::Replaced, &mut out);
        let departed = out.drain().next()?;
        Some(Spare { departed, lifetime, weight, tags })
    }

    /// Ends a computation that failed with the spare in its place: the value, a new reference or null with an exception set.
    /// `Err` gives the spare back where it serves no more: it has ended, or the key was invalidated.
    ///
    /// # Safety
    /// The thread is attached and holds no lock; no exception is set.
    pub(super) unsafe fn settle_spare(
        &self,
        reserved: Option<Reserved>,
        flight: &Option<SharedFlight>,
        spare: Box<Spare>,
    ) -> Result<*mut ffi::PyObject, Box<Spare>> {
        let now = self.now();
        let window = self.control.as_ref().map_or(0, |control| control.spare);
        let object = spare.departed.entry.value.as_owned();
        let Some((object, reserved)) = object.zip(reserved) else {
            return Err(spare);
        };
        if now >= spare.lifetime.fresh.saturating_add(window) {
            return Err(spare);
        }
        // SAFETY: attached (the caller's promise).
        let (object, shared) = unsafe { (object.clone_ref(), object.clone_ref()) };
        let Spare { departed, lifetime, weight, tags } = *spare;
        let mut departing = Departing::new(self);
        let mut departed = Some(departed);
        let record = self.entries.write(|writer| {
            let cache = writer.value;
            if !cache.is_of_this_life(reserved.1) || super::settle::is_detached(cache, reserved) {
                return None;
            }
            let Departed { entry, .. } = departed.take()?;
            departing.keep(entry.key);
            let names: Vec<&str> = tags.iter().map(String::as_str).collect();
            let description = Description { lifetime, weight, tags: &names };
            match cache.publish_described(reserved.0, entry.value, &description, now, &mut departing.evicted) {
                Ok(published) => published.map(|(token, record)| {
                    // SAFETY: it has just been published.
                    unsafe { cache.used_at(token, now) };
                    record
                }),
                // It was in before.
                Err(_) => None,
            }
        });
        if let Some(departed) = departed {
            departing.end();
            drop((object, shared));
            return Err(Box::new(Spare { departed, lifetime, weight, tags }));
        }
        self.complete(flight.clone(), record.as_ref(), || Outcome::Value(Arc::new(shared)));
        departing.end();
        drop(record);
        self.tally.stale_hit();
        // SAFETY: the caller's promise.
        Ok(match unsafe { self.found(object.into_ptr()) } {
            Found::Value(object) => object,
            _ => std::ptr::null_mut(),
        })
    }
}

impl Spare {
    /// What has left with it.
    pub(super) fn leave(self, departing: &mut Departing<'_>) {
        let Departed { entry, meta, cause } = self.departed;
        departing.replaced(entry.key, meta, entry.value, cause);
    }
}
