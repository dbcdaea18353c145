//! Why something has no bytes, in words for a warning: noted while it is encoded, by who wants to know.
//!
//! Ring 3. A warning is given once; all other times nobody asks, and nothing is noted. What is noted are numbers and texts,
//! no objects, so it may be left behind wherever a thread ends.

use std::cell::{Cell, RefCell};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::capi::exceptions;
use crate::capi::reference::{calls, PyRef};

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Refusal {
    /// Which of the values of a call.
    pub at: usize,
    /// The reason, after the name of the type that it is about, which may lie within that value.
    pub why: Option<String>,
    /// The exception that was raised.
    pub raised: Option<String>,
}

/// What the code around wants to know, and whether it has learnt something. Small, since it is exchanged at each miss.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unwanted,
    Wanted,
    /// It lies in `REFUSAL`.
    Noted,
}

thread_local! {
    static STATE: Cell<State> = const { Cell::new(State::Unwanted) };
    static REFUSAL: RefCell<Option<Box<Refusal>>> = const { RefCell::new(None) };
}

/// Puts this in the place of what was noted. Where the thread's memory is gone already, nobody learns anything.
#[cold]
fn exchange(refusal: Option<Box<Refusal>>) -> Option<Box<Refusal>> {
    REFUSAL
        .try_with(|noted| noted.try_borrow_mut().ok().and_then(|mut noted| std::mem::replace(&mut *noted, refusal)))
        .ok()?
}

/// Runs `work`, and gives what was noted in it if that is `wanted`. What user code within it encodes is its own affair.
#[inline]
pub fn noting<R>(wanted: bool, work: impl FnOnce() -> R) -> (R, Option<Refusal>) {
    let outer = STATE.replace(if wanted { State::Wanted } else { State::Unwanted });
    let noted = if outer == State::Noted { exchange(None) } else { None };
    let result = work();
    let inner = STATE.replace(outer);
    let refusal = if inner == State::Noted { exchange(None) } else { None };
    if outer == State::Noted {
        exchange(noted);
    }
    (result, (inner != State::Unwanted).then(|| refusal.map(|refusal| *refusal).unwrap_or_default()))
}

fn note(change: impl FnOnce(&mut Refusal)) {
    if STATE.get() == State::Unwanted {
        return;
    }
    STATE.set(State::Noted);
    let mut refusal = exchange(None).unwrap_or_default();
    change(&mut refusal);
    exchange(Some(refusal));
}

/// A call's value of this number is refused, for a reason that follows the name of a type.
#[cold]
pub(super) fn key(at: usize, why: Option<String>) {
    note(|refusal| (refusal.at, refusal.why) = (at, why));
}

/// This was raised.
///
/// # Safety
/// The thread is attached and holds no lock; no exception is set. Runs user code: `__str__`.
#[cold]
pub(super) unsafe fn raised(raised: &PyRef) {
    if STATE.get() == State::Unwanted {
        return;
    }
    // SAFETY: the caller's promise; an exception's type has a name; the text is copied while it is held.
    let text = unsafe {
        let kind = std::ffi::CStr::from_ptr((*ffi::Py_TYPE(raised.as_ptr())).tp_name).to_string_lossy();
        let shown = calls::PyObject_Str(raised.as_ptr());
        if shown.is_null() {
            drop(exceptions::take(Python::assume_attached()));
            kind.into_owned()
        } else {
            let shown = PyRef::steal(shown);
            let mut length = 0;
            let text = ffi::PyUnicode_AsUTF8AndSize(shown.as_ptr(), &mut length);
            if text.is_null() {
                drop(exceptions::take(Python::assume_attached()));
                kind.into_owned()
            } else {
                let text = std::slice::from_raw_parts(text.cast::<u8>(), length as usize);
                const LONGEST: usize = 300;
                let text: String = String::from_utf8_lossy(text).chars().take(LONGEST).collect();
                format!("{kind}: {text}")
            }
        }
    };
    note(|refusal| refusal.raised = Some(text));
}
