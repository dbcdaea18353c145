//! A miss under single-flight: lead the computation, wait for its leader, or compute beside it.
//!
//! Ring 3. The protocol of waits and its proof against deadlock are in [`concurrency::inflight`]; here are its meeting points with
//! the cache and with Python. A leader owns the slot it reserved until it settles it, whatever happens to the entry
//! meanwhile: `cache_clear`, `set` and a take-over only take it out of the index.

use std::sync::Arc;
use std::time::Duration;

use pyo3::ffi;

use super::fence::is_on_for_joining;
use super::lookup::{Accounting, Changed, Entries, FastLookup, Found};
use super::running::NoteId;
use super::spare::Spare;
use super::state::CacheState;
use crate::backend::template;
use crate::capi::detach::Sleeper;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::panics::point;
use crate::capi::reference::{release, PyRef};
use crate::codec::{self, Refusal};
use crate::function::slot_value::{Pending, SharedFlight, Value};
use crate::key::View;
use concurrency::inflight::{Flight, Outcome, Waited, Waiting};
use concurrency::thread_id::{self, ThreadId};
use engine::cache::Evicted;
use engine::slab::{Entry, Token};

/// A reserved slot, and how often the cache had been cleared when it was.
pub(crate) type Reserved = (Token, u64);

/// What came of an attempt to wait for a computation.
enum Join {
    /// There is nothing to wait for any more.
    Gone,
    /// Waiting could never end. `here`: the leader is this very thread.
    Refused {
        here: bool,
    },
    Flight(SharedFlight, Waiting),
}

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

/// How a wait ended.
pub(super) enum WaitEnd {
    /// A new reference, or null with an exception set.
    Result(*mut ffi::PyObject),
    /// The computation is over, and there is nothing to have of it but what the cache may have.
    Free,
    /// The same, as what there is to have makes no object.
    Unreadable(Option<Refusal>),
    Lead,
}

/// A computation that this thread leads; dropped by unwinding only.
struct Leading<'a> {
    state: &'a CacheState,
    reserved: Option<Reserved>,
    flight: Option<SharedFlight>,
}

impl Drop for Leading<'_> {
    #[cold]
    fn drop(&mut self) {
        // A second panic here would end the process.
        let settle = || self.state.settle_panic(self.reserved.take(), self.flight.take());
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(settle));
    }
}

/// A missed call: how its value is brought. All are called attached, with no lock held, and with the view of the call.
pub(crate) trait Miss {
    /// Brings the value, and settles the reserved slot and the flight with what came of it. Without a slot, nothing is
    /// stored in this cache.
    unsafe fn lead(&mut self, reserved: Option<Reserved>, flight: Option<SharedFlight>) -> *mut ffi::PyObject;
    /// Brings the value where callers do not wait for each other, and stores it.
    unsafe fn bring_alone(&mut self, view: &View<'_>, hot: FastLookup) -> *mut ffi::PyObject;
    /// Computes for this caller alone, and keeps nothing.
    unsafe fn compute(&mut self) -> *mut ffi::PyObject;
    /// The same where another green thread of this thread leads, which may be waiting itself.
    unsafe fn compute_beside_green(&mut self, _view: &View<'_>) -> *mut ffi::PyObject {
        // SAFETY: as for `compute`.
        unsafe { self.compute() }
    }
    /// Brings the value for this caller, while somebody else leads; it is kept if nothing else is by then.
    unsafe fn bring_beside(&mut self, view: &View<'_>) -> *mut ffi::PyObject;
    /// Takes an old value of the key, to be served where computing fails.
    #[allow(clippy::boxed_local)] // as whoever keeps it has it
    unsafe fn take_spare(&mut self, _spare: Box<Spare>) {}
    /// Begins to compute a value anew in the background; false with an exception set.
    unsafe fn refresh(&mut self, _view: &View<'_>) -> bool {
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
    /// What is left to do when all is settled. `result`: the call's, a strong reference or null with an exception set.
    unsafe fn finish(&mut self, _view: &View<'_>, result: *mut ffi::PyObject) -> *mut ffi::PyObject {
        result
    }
}

/// The end of a call that finds a value which is no longer fresh, and has to begin its refresh.
///
/// # Safety
/// As for [`Miss`]; `object` is a strong reference.
pub(crate) unsafe fn revalidated<M: Miss>(
    miss: &mut M,
    view: &View<'_>,
    object: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise.
    unsafe {
        if miss.refresh(view) {
            return object;
        }
        release(object);
        std::ptr::null_mut()
    }
}

impl CacheState {
    /// Brings a miss to its end.
    ///
    /// # Safety
    /// The call and the view last; the thread is attached and holds no lock.
    #[inline]
    pub(crate) unsafe fn single_flight<M: Miss>(
        &self,
        miss: &mut M,
        view: &View<'_>,
        hot: FastLookup,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            if hot.is_absent() {
                match self.reserve_absent(view, hot) {
                    None => return std::ptr::null_mut(),
                    Some(Some(reserved)) => return self.lead_to_the_end(miss, Some(reserved), None),
                    Some(None) => (),
                }
            }
            self.single_flight_late(miss, view, hot)
        }
    }

    /// The rest of [`single_flight`](Self::single_flight) where the first pass did not settle it.
    #[cold]
    #[inline(never)]
    unsafe fn single_flight_late<M: Miss>(&self, miss: &mut M, view: &View<'_>, hot: FastLookup) -> *mut ffi::PyObject {
        // SAFETY: as for `fly`.
        unsafe {
            let found = self.after(view, hot);
            self.single_flight_on(miss, view, found)
        }
    }

    /// Reserves the key's slot if nothing has come in since the hot pass: as [`reserve`](Self::reserve).
    // Not inlined, nor what is below: nothing may swell the frame that stands on the stack while the function computes.
    #[inline(never)]
    unsafe fn reserve_absent(&self, view: &View<'_>, hot: FastLookup) -> Option<Option<Reserved>> {
        // SAFETY: as for `fly`.
        let key = unsafe { view.make_key() }?;
        let me = Value::led(thread_id::current());
        point("reserve");
        let reserve = |cache: &mut Entries| (cache.reserve(view.hash, view.shape, key, me), cache.clears());
        Some(self.if_still_absent(hot, reserve).ok())
    }

    /// [`single_flight`](Self::single_flight) from what a lookup found: somebody else computes the key, or did meanwhile, or its lookup needed
    /// Python.
    ///
    /// A call waits for at most one computation that ends without a value. After it, the call computes at once: as a leader,
    /// whom later calls wait for, or beside the one there is.
    ///
    /// # Safety
    /// As for `fly`.
    pub(crate) unsafe fn single_flight_on<M: Miss>(
        &self,
        miss: &mut M,
        view: &View<'_>,
        found: Found,
    ) -> *mut ffi::PyObject {
        let me = thread_id::current();
        let (mut found, mut free) = (found, false);
        // SAFETY: as for `fly`.
        unsafe {
            for _ in 0..ROUNDS {
                match found {
                    Found::Value(object) => return object,
                    Found::Failed => return std::ptr::null_mut(),
                    Found::Restless => return miss.compute(),
                    Found::Raise(shared) => {
                        exceptions::raise_own(&shared);
                        return std::ptr::null_mut();
                    }
                    Found::Revalidate(object) => return revalidated(miss, view, object),
                    Found::Absent | Found::Spare => match self.reserve(view, me) {
                        Reserving::Done(reserved, spare) => {
                            if let Some(spare) = spare {
                                miss.take_spare(spare);
                            }
                            return self.lead_to_the_end(miss, Some(reserved), None);
                        }
                        Reserving::Taken => (),
                        Reserving::Restless => return miss.compute(),
                        Reserving::Failed => return std::ptr::null_mut(),
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
                        let Ok(mut sleeper) = Sleeper::new() else {
                            return std::ptr::null_mut();
                        };
                        let joined = self.join(me, token, &key, sleeper.is_green());
                        let landed = match joined {
                            Join::Gone => None,
                            Join::Refused { here: true } if sleeper.is_green() => {
                                Some(WaitEnd::Result(miss.compute_beside_green(view)))
                            }
                            Join::Refused { .. } => Some(WaitEnd::Result(miss.compute())),
                            Join::Flight(flight, waiting) => match self.wait(me, &flight, &mut sleeper) {
                                WaitEnd::Lead => {
                                    drop(waiting);
                                    let (reserved, note) = self.replace_leader(view, token, &key, &flight).unzip();
                                    let _noted = self.running.ends(note);
                                    let flight = Some(Arc::clone(&flight));
                                    return self.lead_to_the_end(miss, reserved, flight);
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
    }

    /// Reserves the key's slot for a computation of this thread.
    unsafe fn reserve(&self, view: &View<'_>, me: ThreadId) -> Reserving {
        // SAFETY: as for `fly`.
        unsafe {
            let Some(key) = view.make_key() else {
                return Reserving::Failed;
            };
            let mut key = Some(key);
            let now = self.now();
            let mut evicted = Evicted::default();
            let mut spare = None;
            let reserved = self.with_entry(view, |cache, at| {
                if let Some(at) = at {
                    spare = Some(self.take_out_spare(cache, at, now)?);
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
    }

    /// Leads, and settles the reserved slot and the flight also where that panics.
    ///
    /// # Safety
    /// As for `fly`; the caller leads, and has reserved the slot, if there is one.
    #[inline]
    unsafe fn lead_to_the_end<M: Miss>(
        &self,
        miss: &mut M,
        reserved: Option<Reserved>,
        flight: Option<SharedFlight>,
    ) -> *mut ffi::PyObject {
        let mut leading = Leading { state: self, reserved, flight: flight.clone() };
        // SAFETY: the caller's promise.
        let result = unsafe { miss.lead(reserved, flight) };
        drop(leading.flight.take());
        std::mem::forget(leading);
        result
    }

    /// Registers as waiting for the computation in slot `token`, whose key was `key` a moment ago.
    unsafe fn join(&self, me: ThreadId, token: Token, key: &PyRef, green: bool) -> Join {
        point("join");
        let mut orphan = None;
        let flight = self.entries.write(|writer| {
            let cache = writer.value;
            let entry = cache.get(token)?;
            if entry.key.as_ptr() != key.as_ptr() || entry.value.is_detached() {
                return None;
            }
            if entry.value.is_orphaned() {
                orphan = cache.free(token);
                return None;
            }
            let leader = match entry.value.pending()? {
                Pending::Flight(flight) if flight.is_of_this_process() => return Some(flight),
                // Its waiters are not in this process, its leader is: see `Flight::is_of_this_process`.
                Pending::Flight(flight) => flight.leader(),
                Pending::Led(leader) => leader,
            };
            let flight = Arc::new(Flight::new(leader));
            let record = cache.value_mut(token)?;
            // What stood there is a number, or a flight that also those have who are not here: never the last reference.
            std::mem::forget(std::mem::replace(record, Value::flight(Arc::clone(&flight))));
            Some(flight)
        });
        drop(orphan);
        match flight {
            None => Join::Gone,
            Some(flight) => {
                let waiting = if green { Waiting::begin_green(me, &flight) } else { Waiting::begin(me, &flight) };
                match waiting {
                    Some(waiting) => Join::Flight(flight, waiting),
                    None => Join::Refused { here: flight.leader() == me },
                }
            }
        }
    }

    /// Waits until something comes of it.
    ///
    /// # Safety
    /// The thread is attached, holds no lock, and is known to wait.
    pub(super) unsafe fn wait(&self, me: ThreadId, flight: &SharedFlight, sleeper: &mut Sleeper) -> WaitEnd {
        loop {
            point("wait");
            // SAFETY: the thread is attached and holds no lock; a flight knows nothing of Python.
            let mut waited = unsafe { sleeper.wait(Duration::MAX, |slice| flight.wait(slice, self.wait_timeout)) };
            if let Ok(Waited::Outcome(Outcome::Stale(old))) = waited {
                self.count_stale_hit();
                waited = Ok(Waited::Outcome(*old));
            }
            match waited {
                Err(ErrSet) => return WaitEnd::Result(std::ptr::null_mut()),
                Ok(Waited::Outcome(Outcome::Value(object))) => {
                    // SAFETY: attached, and no lock is held.
                    return match unsafe { self.found(object.clone_ref().into_ptr()) } {
                        Found::Value(object) => WaitEnd::Result(object),
                        _ => WaitEnd::Result(std::ptr::null_mut()),
                    };
                }
                Ok(Waited::Outcome(Outcome::Template(bytes))) => {
                    // SAFETY: as above; it is a template that the leader has made.
                    let (made, refusal) = codec::noting(true, || unsafe { template::make(&bytes) });
                    return match made {
                        Ok(Some(object)) => WaitEnd::Result(object.into_ptr()),
                        Ok(None) => WaitEnd::Unreadable(refusal),
                        Err(ErrSet) => WaitEnd::Result(std::ptr::null_mut()),
                    };
                }
                Ok(Waited::Outcome(Outcome::Error(error))) => {
                    // SAFETY: attached, and no lock is held.
                    unsafe { exceptions::raise_own(&error) };
                    return WaitEnd::Result(std::ptr::null_mut());
                }
                Ok(Waited::Outcome(Outcome::Abandoned | Outcome::Stale(_))) => return WaitEnd::Free,
                Ok(Waited::TimeIsUp) => {
                    if self.wait_timeout.is_some_and(|bound| flight.take_over(me, bound)) {
                        return WaitEnd::Lead;
                    }
                }
                Ok(Waited::NotYet) => (),
            }
        }
    }

    /// Takes the place in the index of the flight's former leader, who keeps its slot; `None` if that was gone already.
    unsafe fn replace_leader(
        &self,
        view: &View<'_>,
        token: Token,
        key: &PyRef,
        flight: &SharedFlight,
    ) -> Option<(Reserved, NoteId)> {
        self.entries.write(|writer| {
            let cache = writer.value;
            let entry = cache.get(token)?;
            let same = match entry.value.pending()? {
                Pending::Flight(other) => Arc::ptr_eq(&other, flight),
                Pending::Led(_) => false,
            };
            if !same || entry.key.as_ptr() != key.as_ptr() || entry.value.is_detached() || !cache.detach(token) {
                return None;
            }
            cache.value_mut(token)?.set_detached();
            // SAFETY: the thread is attached; a new reference runs nothing.
            let key = unsafe { key.clone_ref() };
            let (before, clears) = (token, cache.clears());
            let token = cache.reserve(view.hash, view.shape, key, Value::flight(Arc::clone(flight)));
            let note = self.running.inherit((before, clears), (token, clears));
            Some(((token, clears), note))
        })
    }

    /// Takes a computation that was fenced out of the index, if it is still in slot `token`: it goes on for those who wait
    /// for it.
    #[cold]
    fn leave_behind(&self, token: Token, key: &PyRef) {
        self.entries.write(|writer| {
            let cache = writer.value;
            let is_there = |entry: &Entry<PyRef, Value>| {
                entry.key.as_ptr() == key.as_ptr() && !entry.value.is_finished() && !entry.value.is_detached()
            };
            if cache.get(token).is_some_and(is_there) {
                // Nothing leaves with it.
                self.end_entry(cache, token, false, &mut Evicted::default());
            }
        });
    }
}
