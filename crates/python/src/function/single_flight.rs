//! A miss under single-flight: lead the computation, wait for its leader, or compute beside it.
//!
//! Ring 3. The protocol of waits and its proof against deadlock are in [`concurrency::inflight`]; here are its meeting
//! points with the cache and with Python. A leader owns the slot it reserved until it settles it, whatever happens to the
//! entry meanwhile: `cache_clear`, `set` and a take-over only take it out of the index.

use std::sync::Arc;

use super::fast_lookup::FastLookup;
use super::fence::is_on_for_joining;
use super::joining::{Join, WaitEnd};
use super::lookup::{Accounting, Changed, Entries, Found};
use super::spare::Spare;
use super::state::CacheState;
use crate::capi::detach::Sleeper;
use crate::capi::exceptions::{self};
use crate::capi::panics::point;
use crate::capi::reference::PyRef;
use crate::codec::Refusal;
use crate::function::slot_value::{SharedFlight, Value};
use crate::key::View;
use concurrency::thread_id::{self, ThreadId};
use engine::cache::Evicted;
use engine::slab::Token;

/// A reserved slot, and how often the cache had been cleared when it was.
pub(crate) type Reserved = (Token, u64);

/// How often a caller looks again before it computes for itself, whatever the others do.
const ROUNDS: u32 = 256;

/// What came of an attempt to reserve a slot.
enum Reserving {
    /// With an entry of the key that is no longer fresh, which was taken out.
    Done(Reserved, Option<Box<Spare>>),
    /// Somebody was faster.
    Taken,
    /// The cache changed at every comparison.
    Restless,
    /// An exception is set.
    Failed,
}

/// A computation that this thread leads; dropped by unwinding only.
pub(super) struct Leading<'a> {
    state: &'a CacheState,
    reserved: Option<Reserved>,
    flight: Option<SharedFlight>,
}

impl<'a> Leading<'a> {
    #[inline(always)]
    pub fn new(state: &'a CacheState, reserved: Option<Reserved>, flight: Option<SharedFlight>) -> Self {
        Leading { state, reserved, flight }
    }

    /// It was settled, or is somebody else's now.
    #[inline(always)]
    pub fn ends(mut self) {
        drop(self.flight.take());
        std::mem::forget(self);
    }
}

impl Drop for Leading<'_> {
    #[cold]
    fn drop(&mut self) {
        // A second panic here would end the process.
        let settle = || self.state.settle_panic(self.reserved.take(), self.flight.take());
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(settle));
    }
}

/// A missed call: how its value is brought. All are called with no lock held, and with the view of the call.
pub(crate) trait Miss {
    /// Brings the value, and settles the reserved slot and the flight with what came of it. Without a slot, nothing is
    /// stored in this cache.
    fn lead(&mut self, reserved: Option<Reserved>, flight: Option<SharedFlight>) -> Option<PyRef>;
    /// Settles a reserved slot with what a refresh under way brings, if there is one whose value this call may have: its result.
    /// Inlined where it asks whether there was a refresh at all.
    #[inline(always)]
    fn follow(&mut self, _view: &View<'_>, _reserved: Reserved) -> Option<Option<PyRef>> {
        None
    }
    /// Brings the value where callers do not wait for each other, and stores it.
    fn bring_alone(&mut self, view: &View<'_>, hot: FastLookup) -> Option<PyRef>;
    /// Computes for this caller alone, and keeps nothing.
    fn compute(&mut self) -> Option<PyRef>;
    /// The same where another green thread of this thread leads, which may be waiting itself.
    fn compute_beside_green(&mut self, _view: &View<'_>) -> Option<PyRef> {
        self.compute()
    }
    /// Brings the value for this caller, while somebody else leads; it is kept if nothing else is by then.
    fn bring_beside(&mut self, view: &View<'_>) -> Option<PyRef>;
    /// Takes an old value of the key, to be served where computing fails.
    #[allow(clippy::boxed_local)] // as whoever keeps it has it
    fn take_spare(&mut self, _spare: Box<Spare>) {}
    /// Begins to compute a value anew in the background; false with an exception set.
    fn refresh(&mut self, _view: &View<'_>) -> bool {
        true
    }
    /// Whether the computation in a slot, or another one that its waiters may be given, was fenced by somebody who could not
    /// take it out of this cache's index: another process.
    fn is_fenced(&self, _reserved: Reserved) -> bool {
        false
    }
    /// The caller is about to wait.
    fn waits(&mut self) {}
    /// A computation that the caller waited for has ended without a value: it waits for no other.
    fn is_free(&mut self) {}
    /// A value that the caller waited for makes no object.
    fn is_unreadable(&mut self, _refusal: Option<Refusal>) {}
    /// What is left to do when all is settled. `result`: the call's, `None` with an exception set.
    fn finish(&mut self, _view: &View<'_>, result: Option<PyRef>) -> Option<PyRef> {
        result
    }
}

/// The end of a call that finds a value which is no longer fresh, and has to begin its refresh.
pub(crate) fn revalidated<M: Miss>(miss: &mut M, view: &View<'_>, object: PyRef) -> Option<PyRef> {
    miss.refresh(view).then_some(object)
}

impl CacheState {
    /// Brings a miss to its end.
    #[inline]
    pub(crate) fn single_flight<M: Miss>(&self, miss: &mut M, view: &View<'_>, hot: FastLookup) -> Option<PyRef> {
        if hot.is_absent() {
            match self.reserve_absent(view, hot) {
                None => return None,
                Some(Some(reserved)) => return self.lead_to_the_end(miss, Some(view), Some(reserved), None),
                Some(None) => (),
            }
        }
        self.single_flight_late(miss, view, hot)
    }

    /// The rest of [`single_flight`](Self::single_flight) where the first pass did not settle it.
    #[cold]
    #[inline(never)]
    fn single_flight_late<M: Miss>(&self, miss: &mut M, view: &View<'_>, hot: FastLookup) -> Option<PyRef> {
        let found = self.after(view, hot);
        self.single_flight_on(miss, view, found)
    }

    /// Reserves the key's slot if nothing has come in since the hot pass: as [`reserve`](Self::reserve).
    // Not inlined, nor what is below: nothing may swell the frame that stands on the stack while the function computes.
    #[inline(never)]
    pub(super) fn reserve_absent(&self, view: &View<'_>, hot: FastLookup) -> Option<Option<Reserved>> {
        let key = view.make_key()?;
        let me = Value::led(thread_id::current());
        point("reserve");
        let reserve = |cache: &mut Entries| (cache.reserve(view.hash, view.shape, key, me), cache.clears());
        Some(self.if_still_absent(hot, reserve).ok())
    }

    /// [`single_flight`](Self::single_flight) from what a lookup found: somebody else computes the key, or did meanwhile,
    /// or its lookup needed Python.
    ///
    /// A call waits for at most one computation that ends without a value. After it, the call computes at once: as a leader,
    /// whom later calls wait for, or beside the one there is.
    pub(crate) fn single_flight_on<M: Miss>(&self, miss: &mut M, view: &View<'_>, found: Found) -> Option<PyRef> {
        let (py, me) = (view.py(), thread_id::current());
        let (mut found, mut free) = (found, false);
        for _ in 0..ROUNDS {
            match found {
                Found::Value(object) => return Some(object),
                Found::Failed => return None,
                Found::Restless => return miss.compute(),
                Found::Raise(shared) => {
                    exceptions::raise_own(py, &shared);
                    return None;
                }
                Found::Revalidate(object) => return revalidated(miss, view, object),
                Found::Absent | Found::Spare => match self.reserve(view, me) {
                    Reserving::Done(reserved, spare) => {
                        // Where there is an old value, each call tries for itself.
                        let follows = spare.is_none().then_some(view);
                        if let Some(spare) = spare {
                            miss.take_spare(spare);
                        }
                        return self.lead_to_the_end(miss, follows, Some(reserved), None);
                    }
                    Reserving::Taken => (),
                    Reserving::Restless => return miss.compute(),
                    Reserving::Failed => return None,
                },
                Found::Pending(token, key) if is_on_for_joining() && miss.is_fenced((token, self.clears())) => {
                    self.leave_behind(token, &key);
                    drop(key);
                }
                Found::Pending(_, key) if free => {
                    drop(key);
                    return miss.bring_beside(view);
                }
                Found::Pending(token, key) => {
                    miss.waits();
                    let Ok(mut sleeper) = Sleeper::new(py) else {
                        return None;
                    };
                    let joined = self.join(me, token, &key, sleeper.is_green());
                    let landed = match joined {
                        Join::Gone => None,
                        Join::Refused { here: true } if sleeper.is_green() => {
                            Some(WaitEnd::Result(miss.compute_beside_green(view)))
                        }
                        Join::Refused { .. } => Some(WaitEnd::Result(miss.compute())),
                        Join::Flight(flight, waiting) => match self.wait(py, me, &flight, &mut sleeper) {
                            WaitEnd::Lead => {
                                drop(waiting);
                                let (reserved, note) = self.replace_leader(view, token, &key, &flight).unzip();
                                let _noted = self.running.ends(note);
                                let flight = Some(Arc::clone(&flight));
                                return self.lead_to_the_end(miss, None, reserved, flight);
                            }
                            landed => {
                                drop(waiting);
                                Some(landed)
                            }
                        },
                    };
                    drop(key);
                    match landed {
                        Some(WaitEnd::Result(result)) => return result,
                        Some(WaitEnd::Free) => {
                            miss.is_free();
                            free = true;
                        }
                        Some(WaitEnd::Unreadable(refusal)) => {
                            miss.is_unreadable(refusal);
                            miss.is_free();
                            free = true;
                        }
                        Some(WaitEnd::Lead) | None => (),
                    }
                }
            }
            found = self.find(view, Accounting::None);
        }
        drop(found);
        miss.compute()
    }

    /// Reserves the key's slot for a computation of this thread.
    fn reserve(&self, view: &View<'_>, me: ThreadId) -> Reserving {
        let Some(key) = view.make_key() else {
            return Reserving::Failed;
        };
        let mut key = Some(key);
        let now = self.now();
        let mut evicted = Evicted::default();
        let mut spare = None;
        let reserved = self.with_entry(view, |cache, at| {
            if let Some(at) = at {
                spare = self.take_out_spare(cache, at, now, &mut evicted)?;
            }
            cache.expire(now, &mut evicted);
            let token = cache.reserve(view.hash, view.shape, key.take()?, Value::led(me));
            Some((token, cache.clears()))
        });
        self.release(evicted);
        drop(key);
        match reserved {
            Changed::Done(Some(reserved)) => Reserving::Done(reserved, spare.map(Box::new)),
            Changed::Done(None) => Reserving::Taken,
            Changed::Restless => Reserving::Restless,
            Changed::Failed => Reserving::Failed,
        }
    }

    /// Leads, and settles the reserved slot and the flight also where that panics. `follows`: of a call that may have what a
    /// refresh brings.
    #[inline]
    fn lead_to_the_end<M: Miss>(
        &self,
        miss: &mut M,
        follows: Option<&View<'_>>,
        reserved: Option<Reserved>,
        flight: Option<SharedFlight>,
    ) -> Option<PyRef> {
        let leading = Leading::new(self, reserved, flight.clone());
        let followed = follows.zip(reserved).and_then(|(view, reserved)| miss.follow(view, reserved));
        let result = match followed {
            Some(result) => result,
            None => miss.lead(reserved, flight),
        };
        leading.ends();
        result
    }
}
