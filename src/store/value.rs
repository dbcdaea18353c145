//! What an entry's slot holds: a value, or the record of the computation that will bring it.
//!
//! Ring 3. One word, told apart by its low bits (what it points to is aligned to eight bytes). A cache with a tier behind it
//! has values with a record of where they were found ([`Decoded`]). While nobody waits for a
//! computation, its record is this word alone; the first to wait turns it into a [`Flight`], which all share.

use std::sync::Arc;

use pyo3::ffi;

use super::tier::Decoded;
use crate::inflight::Flight;
use crate::python::object::Owned;
use crate::thread_id::{self, ThreadId};

/// An object that waiters of a flight share; cloning it needs no interpreter, dropping the last one does.
pub type SharedObject = Arc<Owned>;
pub type SharedFlight = Arc<Flight<SharedObject>>;

const LED: usize = 0b001;
const FLIGHT: usize = 0b010;
const DECODED: usize = 0b011;
/// The bits that tell what a word is.
const KIND: usize = 0b011;
/// The entry was taken out of the table; its leader still owns the slot.
const DETACHED: usize = 0b100;
const TAGS: usize = 0b111;

/// See the module's documentation.
#[derive(Debug)]
#[repr(transparent)]
pub struct Value(usize);

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
    pub fn ready(object: Owned) -> Self {
        let word = object.into_ptr() as usize;
        debug_assert_eq!(word & TAGS, 0);
        Value(word)
    }

    /// A finished value of the tier behind.
    pub fn decoded(value: Box<Decoded>) -> Self {
        let word = Box::into_raw(value) as usize;
        debug_assert_eq!(word & TAGS, 0);
        Value(word | DECODED)
    }

    /// A computation led by `leader` for which nobody waits.
    pub fn led(leader: ThreadId) -> Self {
        Value((leader as usize) << 3 | LED)
    }

    /// A computation that others wait for.
    pub fn flight(flight: SharedFlight) -> Self {
        let word = Arc::into_raw(flight) as usize;
        debug_assert_eq!(word & TAGS, 0);
        Value(word | FLIGHT)
    }

    /// The finished value, borrowed, or `None` while it is being computed.
    #[inline(always)]
    pub fn object(&self) -> Option<*mut ffi::PyObject> {
        (self.0 & TAGS == 0).then_some(self.0 as *mut ffi::PyObject)
    }

    /// The finished value of a cache with a tier behind it.
    #[inline(always)]
    pub fn as_decoded(&self) -> Option<&Decoded> {
        // SAFETY: a word with this tag owns the box.
        (self.0 & TAGS == DECODED).then(|| unsafe { &*((self.0 - DECODED) as *const Decoded) })
    }

    /// Whether there is a value, rather than a computation.
    pub fn is_finished(&self) -> bool {
        self.0 & TAGS == 0 || self.0 & TAGS == DECODED
    }

    /// A finished value as an owned reference, to be looked at in place.
    pub fn as_owned(&self) -> Option<&Owned> {
        if let Some(decoded) = self.as_decoded() {
            return Some(&decoded.object);
        }
        // SAFETY: a word without tags is a strong reference, never null, and `Owned` is one transparently.
        (self.0 & TAGS == 0).then(|| unsafe { &*(self as *const Value).cast::<Owned>() })
    }

    /// The computation, or `None` for a finished value.
    pub fn pending(&self) -> Option<Pending> {
        if self.0 & KIND == LED {
            Some(Pending::Led((self.0 >> 3) as ThreadId))
        } else if self.0 & KIND == FLIGHT {
            let flight = (self.0 & !TAGS) as *const Flight<SharedObject>;
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

    /// Whether this is a computation in the table for which nobody waits.
    #[inline(always)]
    pub fn is_unwatched(&self) -> bool {
        self.0 & TAGS == LED
    }

    pub fn is_detached(&self) -> bool {
        self.0 & DETACHED != 0
    }

    pub fn set_detached(&mut self) {
        debug_assert!(!self.is_finished());
        self.0 |= DETACHED;
    }
}

impl Drop for Value {
    #[inline(always)]
    fn drop(&mut self) {
        if self.0 & TAGS == 0 {
            // SAFETY: the word is a strong reference; values are dropped by attached threads outside every lock.
            drop(unsafe { Owned::steal(self.0 as *mut ffi::PyObject) });
        } else if self.0 & KIND == FLIGHT {
            // SAFETY: the word owns one count of this `Arc`.
            drop(unsafe { Arc::from_raw((self.0 & !TAGS) as *const Flight<SharedObject>) });
        } else if self.0 & KIND == DECODED {
            // SAFETY: the word owns the box.
            drop(unsafe { Box::from_raw((self.0 - DECODED) as *mut Decoded) });
        }
    }
}
