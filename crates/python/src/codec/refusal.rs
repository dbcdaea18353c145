//! Why something has no bytes, in words for a warning: noted while it is encoded, by who wants to know.
//!
//! Ring 3. A warning is given once; all other times nobody asks, and nothing is noted. What is noted are numbers and texts,
//! no objects, so it may be left behind wherever a thread ends.

use std::cell::RefCell;

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

/// What the code around wants to know, and what it has learnt. Small, since it is exchanged at each miss.
#[derive(Default)]
struct Notes {
    wanted: bool,
    refusal: Option<Box<Refusal>>,
}

thread_local! {
    static NOTES: RefCell<Notes> = const { RefCell::new(Notes { wanted: false, refusal: None }) };
}

/// Where the thread's memory is gone already, nobody learns anything.
fn with_notes<R: Default>(work: impl FnOnce(&mut Notes) -> R) -> R {
    NOTES
        .try_with(|notes| notes.try_borrow_mut().map(|mut notes| work(&mut notes)).unwrap_or_default())
        .unwrap_or_default()
}

/// Runs `work`, and gives what was noted in it if that is `wanted`. What user code within it encodes is its own affair.
pub fn noting<R>(wanted: bool, work: impl FnOnce() -> R) -> (R, Option<Refusal>) {
    let outer = with_notes(|notes| std::mem::replace(notes, Notes { wanted, refusal: None }));
    let result = work();
    let inner = with_notes(|notes| std::mem::replace(notes, outer));
    (result, inner.wanted.then(|| inner.refusal.map(|refusal| *refusal).unwrap_or_default()))
}

fn note(change: impl FnOnce(&mut Refusal)) {
    with_notes(|notes| {
        if notes.wanted {
            change(notes.refusal.get_or_insert_default());
        }
    });
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
    if !with_notes(|notes| notes.wanted) {
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
