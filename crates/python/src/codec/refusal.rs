//! Why something has no bytes, in words for a warning: noted while it is encoded, by who wants to know.
//!
//! Ring 3. A warning is given once; all other times nobody asks, and nothing is noted. What is noted are numbers and texts,
//! no objects, so it may be left behind wherever a thread ends.

use std::cell::RefCell;

use pyo3::ffi;

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

thread_local! {
    /// `None`: nobody wants to know.
    static NOTED: RefCell<Option<Refusal>> = const { RefCell::new(None) };
}

fn exchange(with: Option<Refusal>) -> Option<Refusal> {
    // Where the thread's memory is gone already, nobody learns anything.
    let exchanged = NOTED.try_with(|noted| Some(std::mem::replace(&mut *noted.try_borrow_mut().ok()?, with)));
    exchanged.ok().flatten().flatten()
}

/// Runs `work`, and gives what was noted in it if that is `wanted`. What user code within it encodes is its own affair.
pub fn noting<R>(wanted: bool, work: impl FnOnce() -> R) -> (R, Option<Refusal>) {
    let outer = exchange(wanted.then(Refusal::default));
    let result = work();
    (result, exchange(outer))
}

fn note(change: impl FnOnce(&mut Refusal)) {
    let _ = NOTED.try_with(|noted| {
        if let Ok(mut noted) = noted.try_borrow_mut() {
            noted.as_mut().map(change);
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
    let wanted = NOTED.try_with(|noted| noted.try_borrow().is_ok_and(|noted| noted.is_some())).unwrap_or(false);
    if !wanted {
        return;
    }
    // SAFETY: the caller's promise; an exception's type has a name; the text is copied while it is held.
    let text = unsafe {
        let kind = std::ffi::CStr::from_ptr((*ffi::Py_TYPE(raised.as_ptr())).tp_name).to_string_lossy();
        let shown = calls::PyObject_Str(raised.as_ptr());
        if shown.is_null() {
            drop(exceptions::take());
            kind.into_owned()
        } else {
            let shown = PyRef::steal(shown);
            let mut length = 0;
            let text = ffi::PyUnicode_AsUTF8AndSize(shown.as_ptr(), &mut length);
            if text.is_null() {
                drop(exceptions::take());
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
