//! Python objects as bytes, for the shared tier.
//!
//! Ring 3; the format itself is ring 1's, [`engine::wire_format`]. [`encode`] and [`decode`] carry values: what comes back
//! has the type and the value that went in. Exact built-in types have a spelling of their own; a value with anything else
//! in it, one whose lists or dicts are reachable twice, or one nested too deeply, is pickled as a whole ([`pickle`]).
//! [`key`] spells the arguments of a call so that equal ones give equal bytes in every process and unequal ones never do.
//! [`mod@copy`] gives each caller lists, dicts and sets of their own.
//!
//! Pickling, and whatever else leaves the exact built-in types, runs user code. That code may change what is being encoded,
//! switch threads or come back here, so nothing borrowed is kept across it, and no state is shared between two calls (but
//! for a table of names, [`names`], that no such code can reach).
//!
//! **Safety.** An unsafe function in here asks that the thread is attached, and that the objects it is given are alive and
//! of the type that its name or its first sentence says. What one asks beyond that stands under *Safety* at the function.
//!
//! Its other parts: [`atoms`] (values without parts), [`standard`] (values of the standard library), [`mod@small_int`] (ints of
//! a word), [`number`], [`named`] and [`reduce`] (parts of keys that are numbers, have a name, or are neither), [`global`]
//! (attributes and classes of modules), [`load`] (a key's bytes as an object), [`show`] (bytes as text), [`refusal`] (why
//! something has no bytes).

mod atoms;
mod copy;
mod decode;
mod encode;
pub mod global;
mod key;
mod load;
mod named;
mod names;
mod number;
mod pickle;
mod reduce;
mod refusal;
mod show;
mod small_int;
mod standard;

pub use self::key::{compares_as, encode_key, encode_key_with, explain_key, Spelled};
pub use self::named::Hash;
pub use self::refusal::{noting, Refusal};
pub use self::show::{show_key, show_value, ShownValue};
pub use self::small_int::{int_bytes, small_int};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::capi::borrowed::Ref;
use crate::capi::exceptions;
use crate::capi::reference::PyRef;

/// Writes a value's bytes behind what is in `out`; where there are none, `out` is as it was. Runs user code.
pub fn encode_value(object: Ref<'_>, out: &mut Vec<u8>) -> Result<Sharing, Encoded> {
    // SAFETY: alive and kept, on an attached thread.
    unsafe { encode::encode_value(object.as_ptr(), out) }
}

/// [`encode_value`] without pickling anything: what has no spelling of its own has no bytes.
pub fn encode_plain(object: Ref<'_>, out: &mut Vec<u8>) -> Result<Sharing, Encoded> {
    // SAFETY: alive and kept, on an attached thread.
    unsafe { encode::encode_plain(object.as_ptr(), out) }
}

/// The object of a value's bytes. Runs user code.
pub fn decode_value(_: Python<'_>, bytes: &[u8]) -> Decoded {
    // SAFETY: the thread is attached.
    unsafe { decode::decode_value(bytes) }
}

/// A copy of the lists, dicts and sets in an object, and in these; `None` with an exception set.
pub fn copy(object: Ref<'_>) -> Option<PyRef> {
    // SAFETY: alive and kept, on an attached thread.
    unsafe { copy::copy(object.as_ptr()) }
}

/// Whether an object's class can be edited in place.
pub fn is_editable(object: Ref<'_>) -> bool {
    // SAFETY: an object keeps its type.
    unsafe { key::is_editable(object.kind()) }
}

/// How an attempt to encode ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoded {
    Done,
    /// There are no bytes for it; no exception is set.
    Unstorable,
    /// An exception is set: MemoryError, or one that is not an `Exception`.
    Failed,
}

/// What has to be done with a decoded value before it is handed to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Nothing: it can't be changed.
    Immutable,
    /// It has lists, dicts or sets in it: [`mod@copy`].
    Containers,
    /// Nobody knows what it is: each caller gets one decoded afresh.
    Pickled,
}

/// How an attempt to decode ended.
#[derive(Debug)]
pub enum Decoded {
    Object(PyRef, Sharing),
    /// The bytes are no value's; no exception is set.
    Damaged,
    /// An exception is set: MemoryError, or one that is not an `Exception`.
    Failed,
}

/// Why encoding a part ended early, on its way to the caller of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Unstorable,
    /// An exception is set.
    Failed,
}

impl From<Stop> for Encoded {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Unstorable => Encoded::Unstorable,
            Stop::Failed => Encoded::Failed,
        }
    }
}

/// What the exception that is set means: what user code raises makes its object unstorable, and is dropped; lack of memory and
/// what is not an `Exception` (KeyboardInterrupt, SystemExit) stay set.
///
/// # Safety
/// The thread is attached, holds no lock, and an exception is set.
#[cold]
unsafe fn classify_exception() -> Stop {
    // SAFETY: the caller's promise; exception types live for ever.
    unsafe {
        if ffi::PyErr_ExceptionMatches(ffi::PyExc_Exception) == 0
            || ffi::PyErr_ExceptionMatches(ffi::PyExc_MemoryError) != 0
        {
            return Stop::Failed;
        }
        if let Some(raised) = exceptions::take(Python::assume_attached()) {
            refusal::raised(&raised);
        }
        Stop::Unstorable
    }
}

/// A call's result, or what its exception means.
///
/// # Safety
/// `result` is a strong reference or null with an exception set; the thread is attached and holds no lock.
unsafe fn checked(result: *mut ffi::PyObject) -> Result<PyRef, Stop> {
    // SAFETY: the caller's promise.
    unsafe {
        if result.is_null() {
            Err(classify_exception())
        } else {
            Ok(PyRef::steal(result))
        }
    }
}
