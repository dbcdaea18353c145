//! What an entry's slot holds: a value, or the record of the computation that will bring it.
//!
//! Ring 3. One word, told apart by its low bits (what it points to is aligned to eight bytes). The decoded level of a
//! shared cache has values with a record of where they were found ([`Decoded`]). While nobody waits for a computation, its
//! record is this word alone; the first to wait turns it into a [`Flight`], which all share.
//!
//! The word is a pointer, and its tags are put on and taken off by moving it within the eight bytes it points to: so it
//! stays the pointer to that object, and none is ever made of a number. A thread's number is an address that is not looked at.

use std::sync::Arc;

use pyo3::ffi;

use crate::backend::Covered;
use crate::backend::Decoded;
use crate::capi::reference::PyRef;
use concurrency::fork;
use concurrency::inflight::Flight;
use concurrency::thread_id::{self, ThreadId};

/// An object that waiters of a flight share; cloning it needs no interpreter, dropping the last one does.
pub type SharedObject = Arc<PyRef>;
pub type SharedFlight = Arc<Flight<SharedObject>>;

const LED: usize = 0b001;
const FLIGHT: usize = 0b010;
const DECODED: usize = 0b011;
/// The bits that tell what a word is.
const KIND: usize = 0b011;
/// The entry was taken out of the index; its leader still owns the slot.
const DETACHED: usize = 0b100;
/// Of a finished value: there is more to know of it than its object. (No finished value is detached.)
const SPECIAL: usize = 0b100;
const TAGS: usize = 0b111;

/// See the module's documentation.
#[derive(Debug)]
#[repr(transparent)]
pub struct Value(*mut u8);

// SAFETY: what the word owns, an object's reference, a record or a share in a flight, may be sent and shared between
// threads; counts of references are changed by attached threads only.
unsafe impl Send for Value {}
// SAFETY: through `&Value` the word is only read; what it owns may be shared.
unsafe impl Sync for Value {}

/// A finished value that there is more to know of: a stored exception, or a stale value that is being computed anew.
#[derive(Debug)]
pub struct Special {
    /// The value, or what `exceptions::share` made of an exception.
    pub object: PyRef,
    pub is_exception: bool,
    pub refresh: Refresh,
    /// Of a copy of what a server has: until when it is one.
    pub covered: Option<Arc<Covered>>,
}

impl Special {
    /// Whether it is a copy of what a server has no longer, as far as is known here.
    pub fn is_void(&self) -> bool {
        self.covered.as_ref().is_some_and(|covered| !covered.holds())
    }

    pub fn end_refresh(&mut self) {
        self.refresh.end();
    }
}

/// How the background refreshes of an entry go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refresh {
    /// One is under way, as far as is known until this moment (it may be lost with its event loop); 0: none.
    runs_until: u64,
    /// In which process (`fork::epoch`): a fork's child has none of its parent's threads.
    runs_in: u64,
    /// How many have failed, one after the other.
    pub failures: u32,
    /// The next one starts no sooner.
    pub not_before: u64,
}

/// Nanoseconds after which it is asked whether a refresh is still under way.
const ASKED_AFTER: u64 = 1_000_000_000;

impl Refresh {
    /// Notes that one begins, or goes on.
    pub fn begin(&mut self, now: u64) {
        (self.runs_until, self.runs_in) = (now.saturating_add(ASKED_AFTER), fork::epoch());
    }

    pub fn end(&mut self) {
        self.runs_until = 0;
    }

    /// Whether one may begin.
    pub fn is_due(&self, now: u64) -> bool {
        now >= self.not_before && (now >= self.runs_until || self.runs_in != fork::epoch())
    }
}

/// The computation that a word stands for.
#[derive(Debug)]
pub enum Pending {
    /// Its leader; nobody waits.
    Led(ThreadId),
    Flight(SharedFlight),
}

impl Value {
    /// A finished value.
    #[inline(always)]
    pub fn ready(object: PyRef) -> Self {
        Value::tagged(object.into_ptr(), 0)
    }

    /// A finished value of the decoded level.
    pub fn decoded(value: Box<Decoded>) -> Self {
        Value::tagged(Box::into_raw(value), DECODED)
    }

    /// A finished value that there is more to know of.
    pub fn special(special: Box<Special>) -> Self {
        Value::tagged(Box::into_raw(special), SPECIAL)
    }

    /// What more there is to know of a finished value.
    #[inline(always)]
    pub fn as_special(&self) -> Option<&Special> {
        // SAFETY: a word with this tag owns the box.
        (self.tags() == SPECIAL).then(|| unsafe { &*self.0.wrapping_sub(SPECIAL).cast::<Special>() })
    }

    /// Whether it is a copy of what a server has no longer.
    pub fn is_void(&self) -> bool {
        self.as_special().is_some_and(Special::is_void)
    }

    /// Of a copy of what a server has: whether it may serve where computing fails, for `window` nanoseconds after it was known
    /// to be one.
    pub fn is_spare_beyond(&self, window: u64) -> bool {
        self.as_special()
            .filter(|special| !special.is_exception)
            .and_then(|special| special.covered.as_ref())
            .is_some_and(|covered| covered.is_spare(window))
    }

    /// The same, to change; a plain value is made one.
    pub fn make_special(&mut self) -> Option<&mut Special> {
        if self.tags() == 0 {
            // SAFETY: the word is a strong reference, which passes into the box; what is overwritten is not dropped.
            let object = unsafe { PyRef::steal(self.0.cast()) };
            let special = Special { object, is_exception: false, refresh: Refresh::default(), covered: None };
            std::mem::forget(std::mem::replace(self, Value::special(Box::new(special))));
        }
        self.special_mut()
    }

    /// What more there is to know of a finished value, to change.
    pub fn special_mut(&mut self) -> Option<&mut Special> {
        // SAFETY: a word with this tag owns the box, and this is the only reference to the word.
        (self.tags() == SPECIAL).then(|| unsafe { &mut *self.0.wrapping_sub(SPECIAL).cast::<Special>() })
    }

    /// A computation led by `leader` for which nobody waits.
    pub fn led(leader: ThreadId) -> Self {
        Value(std::ptr::null_mut::<u8>().wrapping_add((leader as usize) << 3 | LED))
    }

    /// A computation that others wait for.
    pub fn flight(flight: SharedFlight) -> Self {
        Value::tagged(Arc::into_raw(flight).cast_mut(), FLIGHT)
    }

    /// The word of a pointer to something aligned to eight bytes.
    #[inline(always)]
    fn tagged<T>(pointer: *mut T, tag: usize) -> Self {
        let pointer = pointer.cast::<u8>();
        debug_assert_eq!(pointer as usize & TAGS, 0);
        Value(pointer.wrapping_add(tag))
    }

    /// The tags.
    #[inline(always)]
    fn tags(&self) -> usize {
        self.0 as usize & TAGS
    }

    /// What the word points to, without tags.
    #[inline(always)]
    fn pointer<T>(&self) -> *mut T {
        self.0.wrapping_sub(self.tags()).cast()
    }

    /// The finished value, borrowed, or `None` while it is being computed.
    #[inline(always)]
    pub fn object(&self) -> Option<*mut ffi::PyObject> {
        (self.tags() == 0).then_some(self.0.cast())
    }

    /// The finished value of the decoded level.
    #[inline(always)]
    pub fn as_decoded(&self) -> Option<&Decoded> {
        // SAFETY: a word with this tag owns the box.
        (self.tags() == DECODED).then(|| unsafe { &*self.0.wrapping_sub(DECODED).cast::<Decoded>() })
    }

    /// Whether there is a value, rather than a computation.
    pub fn is_finished(&self) -> bool {
        matches!(self.tags(), 0 | DECODED | SPECIAL)
    }

    /// A finished value as an owned reference, to be looked at in place.
    pub fn as_owned(&self) -> Option<&PyRef> {
        if let Some(decoded) = self.as_decoded() {
            return Some(&decoded.object);
        }
        if let Some(special) = self.as_special() {
            return Some(&special.object);
        }
        // SAFETY: a word without tags is a strong reference, never null, and `PyRef` is one transparently.
        (self.tags() == 0).then(|| unsafe { &*(self as *const Value).cast::<PyRef>() })
    }

    /// The computation, or `None` for a finished value.
    pub fn pending(&self) -> Option<Pending> {
        if self.tags() & KIND == LED {
            Some(Pending::Led((self.0 as usize >> 3) as ThreadId))
        } else if self.tags() & KIND == FLIGHT {
            let flight: *const Flight<SharedObject> = self.pointer();
            // SAFETY: the word owns one count of this `Arc`; the count is raised before it is wrapped again.
            unsafe {
                Arc::increment_strong_count(flight);
                Some(Pending::Flight(Arc::from_raw(flight)))
            }
        } else {
            None
        }
    }

    /// Whether the thread that computes was left behind by a fork.
    pub fn is_orphaned(&self) -> bool {
        match self.pending() {
            Some(Pending::Led(leader)) => !thread_id::is_of_this_process(leader),
            Some(Pending::Flight(flight)) => !thread_id::is_of_this_process(flight.leader()),
            None => false,
        }
    }

    /// Whether this is a computation in the index for which nobody waits.
    #[inline(always)]
    pub fn is_unwatched(&self) -> bool {
        self.tags() == LED
    }

    pub fn is_detached(&self) -> bool {
        self.tags() & DETACHED != 0 && self.tags() != SPECIAL
    }

    pub fn set_detached(&mut self) {
        debug_assert!(!self.is_finished());
        if !self.is_detached() {
            self.0 = self.0.wrapping_add(DETACHED);
        }
    }
}

impl Drop for Value {
    #[inline(always)]
    fn drop(&mut self) {
        if self.tags() == 0 {
            // SAFETY: the word is a strong reference; values are dropped by attached threads outside every lock.
            drop(unsafe { PyRef::steal(self.0.cast()) });
        } else if self.tags() & KIND == FLIGHT {
            // SAFETY: the word owns one count of this `Arc`.
            drop(unsafe { Arc::<Flight<SharedObject>>::from_raw(self.pointer()) });
        } else if self.tags() & KIND == DECODED {
            // SAFETY: the word owns the box.
            drop(unsafe { Box::<Decoded>::from_raw(self.pointer()) });
        } else if self.tags() == SPECIAL {
            // SAFETY: the word owns the box.
            drop(unsafe { Box::<Special>::from_raw(self.pointer()) });
        }
    }
}
