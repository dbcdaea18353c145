//! The cache of this process alone, where the user has a say about entries or results: what only such caches run.
//!
//! Ring 3.

use pyo3::ffi;
use pyo3::prelude::*;

use super::{follow, Memory};
use crate::backend::{Begun, HitPath, TakeHit};
use crate::capi::borrowed::Arguments;
use crate::capi::exceptions;
use crate::capi::reference::PyRef;
use crate::capi::sharing::Reader;
use crate::function::call::new_reference;
use crate::function::fast_lookup::FastLookup;
use crate::function::fast_path::{self, Peek, Probe};
use crate::function::handout;
use crate::function::lookup::{Entries, Found};
use crate::function::single_flight::{revalidated, Miss, Reserved};
use crate::function::slot_value::{SharedFlight, Value};
use crate::function::spare::Spare;
use crate::function::state::CacheState;
use crate::function::CachedFunction;
use crate::key::View;
use concurrency::clock;
use engine::slab::{Entry, Token};

/// The cache of this process where the user has a say about entries, and a hit may do more: `IDLE` notes the moment of a use, `COPY` hands
/// out what is made of the stored object.
pub(crate) struct ControlledMemory<const IDLE: bool, const COPY: bool>;

impl<const IDLE: bool, const COPY: bool> TakeHit for ControlledMemory<IDLE, COPY> {
    #[inline(always)]
    unsafe fn take(
        state: &CacheState,
        reader: &Reader<'_, Entries>,
        token: Token,
        value: &Value,
    ) -> Option<*mut ffi::PyObject> {
        let Some(object) = value.object() else {
            // SAFETY: the caller's promise.
            return unsafe { state.take_special(reader, token, value) };
        };
        // SAFETY: an entry with a finished value is published; counting a reference runs nothing.
        unsafe {
            if state.expires() {
                let now = clock::now();
                if if IDLE { reader.expired_or_idle(token, now) } else { reader.expired(token, now) } {
                    return None;
                }
                if IDLE {
                    reader.used_at(token, now);
                }
            }
            ffi::Py_INCREF(object);
            reader.hit(token);
        }
        Some(object)
    }

    #[inline(always)]
    unsafe fn fast_path<const EXPIRES: bool>(
        reader: &Reader<'_, Entries>,
        token: Token,
        entry: &Entry<PyRef, Value>,
        sought: impl Probe,
    ) -> Option<Peek> {
        // SAFETY: the token names the entry, whose shape is the one that is sought.
        unsafe {
            if !IDLE {
                return fast_path::fast_path::<EXPIRES>(reader, token, entry, sought);
            }
            let object = entry.value.object()?;
            let now = clock::recent()?;
            if !sought.is_in(&entry.key) || reader.expired_or_idle(token, now) {
                return None;
            }
            reader.used_at(token, now);
            if !reader.hit_inline(token) {
                return Some(Peek::Found(token));
            }
            ffi::Py_INCREF(object);
            Some(Peek::Hit(object))
        }
    }

    #[inline(always)]
    unsafe fn deliver(taken: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: `take` gave a strong reference; the thread is attached.
        unsafe {
            if COPY {
                new_reference(handout::hand_out(Python::assume_attached(), PyRef::steal(taken)))
            } else {
                Memory::deliver(taken)
            }
        }
    }
}

impl<const IDLE: bool, const COPY: bool> HitPath for ControlledMemory<IDLE, COPY> {
    type Hit = Self;
    type Miss<'a> = ControlledCalling<'a>;

    fn begin<'a>(
        cached: &'a CachedFunction,
        arguments: &'a Arguments<'a>,
        view: &View<'_>,
        hot: FastLookup,
    ) -> Begun<ControlledCalling<'a>> {
        begin_controlled(cached, arguments, view, hot, ControlledCalling { cached, arguments, spare: None })
    }
}

/// Begins a call where entries may be stale, or exceptions.
#[inline(always)]
pub(in crate::backend) fn begin_controlled<M: Miss>(
    cached: &CachedFunction,
    arguments: &Arguments<'_>,
    view: &View<'_>,
    hot: FastLookup,
    mut calling: M,
) -> Begun<M> {
    if cached.state.single_flight {
        // What reserves the slot looks as well.
        return Begun::Miss(calling, None, None);
    }
    match cached.state.after(view, hot) {
        Found::Value(object) => Begun::Done(Some(object)),
        Found::Failed => Begun::Done(None),
        Found::Restless => Begun::Done(cached.compute(arguments)),
        Found::Raise(shared) => {
            exceptions::raise_own(arguments.py(), &shared);
            Begun::Done(None)
        }
        Found::Revalidate(object) => Begun::Done(revalidated(&mut calling, view, object)),
        // Without single-flight there are no computations on record.
        found @ (Found::Absent | Found::Spare | Found::Pending(..)) => {
            drop(found);
            Begun::Miss(calling, None, None)
        }
    }
}

/// A miss where the user has a say about results.
pub(crate) struct ControlledCalling<'a> {
    cached: &'a CachedFunction,
    arguments: &'a Arguments<'a>,
    spare: Option<Box<Spare>>,
}

impl Miss for ControlledCalling<'_> {
    #[inline(always)]
    fn follow(&mut self, view: &View<'_>, reserved: Reserved) -> Option<Option<PyRef>> {
        follow(self.cached, view, reserved)
    }

    fn lead(&mut self, reserved: Option<Reserved>, flight: Option<SharedFlight>) -> Option<PyRef> {
        self.cached.lead_under_control(self.arguments, self.spare.take(), reserved, flight)
    }

    fn bring_alone(&mut self, view: &View<'_>, _: FastLookup) -> Option<PyRef> {
        self.cached.bring_under_control(self.arguments, view)
    }

    fn compute(&mut self) -> Option<PyRef> {
        self.cached.compute(self.arguments)
    }

    fn bring_beside(&mut self, view: &View<'_>) -> Option<PyRef> {
        self.cached.bring_under_control(self.arguments, view)
    }

    fn take_spare(&mut self, spare: Box<Spare>) {
        self.spare = Some(spare);
    }

    fn refresh(&mut self, view: &View<'_>) -> bool {
        self.cached.begin_refresh(view, self.arguments)
    }
}
