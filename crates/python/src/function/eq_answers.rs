//! What Python has answered during a lookup: which stored keys are the call's, and when to stop asking.
//!
//! Ring 3. See [`lookup`](super::lookup), which asks with no lock held and starts over with the answer.
//!
//! Where keys that must be asked about come in as fast as they are asked (by the questions themselves, or by other threads),
//! that would not end. So a lookup counts the questions before which something had come in, and gives up after some hundreds
//! of them: then the key counts as neither there nor absent, and whoever wanted it computes and stores nothing. Comparisons
//! that look keys up begin anew less often, the deeper they are nested, or it would multiply.

use std::cell::Cell;

use pyo3::ffi;

use crate::capi::reference::PyRef;
use crate::key::{Equality, View};

/// How often a lookup begins anew because keys have come in.
const MAX_RESTARTS: u32 = 256;

/// How many lookups may stand around a lookup that begins anew.
const NESTING: u32 = 3;

thread_local! {
    /// How many questions of this thread are not answered yet: a comparison looked a key up that had to be compared.
    static ASKED: Cell<u32> = const { Cell::new(0) };
}

/// A question under way.
struct Question;

impl Question {
    /// Begins one; with how many stand around it.
    fn begin() -> (Question, u32) {
        (Question, ASKED.try_with(|asked| asked.replace(asked.get() + 1)).unwrap_or(0))
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let _ = ASKED.try_with(|asked| asked.set(asked.get().saturating_sub(1)));
    }
}

/// What came of a question.
pub(super) enum Answer {
    Noted,
    /// Too much has come in meanwhile, too often.
    Restless,
    /// An exception is set.
    Failed,
}

/// The answers that Python gave during a lookup.
#[derive(Debug)]
pub struct EqAnswers {
    equal: Option<PyRef>,
    /// By their addresses.
    unequal: Vec<PyRef>,
    /// [`Cache::inserts`](engine::cache::Cache::inserts) before the last question.
    inserts: Option<u64>,
    /// How many questions there were before which something had come in.
    restarts: u32,
}

impl EqAnswers {
    pub const NOTHING: EqAnswers = EqAnswers { equal: None, unequal: Vec::new(), inserts: None, restarts: 0 };

    /// What is known of a stored key that could not be compared in place.
    pub(super) fn answer(&self, key: *mut ffi::PyObject) -> Equality {
        if self.equal.as_ref().is_some_and(|k| k.as_ptr() == key) {
            Equality::Yes
        } else if self.place(key).is_ok() {
            Equality::No
        } else {
            Equality::Unknown
        }
    }

    /// Where a key is among those that are not equal, or would be.
    fn place(&self, key: *mut ffi::PyObject) -> Result<usize, usize> {
        self.unequal.binary_search_by_key(&key, PyRef::as_ptr)
    }

    /// Asks Python and notes the answer.
    ///
    /// # Safety
    /// As for [`View::ask`]: a pass of the same lookup gave the key, with `inserts`.
    pub(super) unsafe fn ask(&mut self, view: &View<'_>, key: PyRef, inserts: u64) -> Answer {
        let (_question, around) = Question::begin();
        if self.inserts.replace(inserts).is_some_and(|before| before != inserts) {
            self.restarts += 1;
            let most = if around < NESTING { MAX_RESTARTS >> (4 * around) } else { 0 };
            if self.restarts > most {
                return Answer::Restless;
            }
        }
        // SAFETY: the caller's promise.
        match unsafe { view.ask(key.lend(view.py())) } {
            Some(true) => {
                // A former equal key has left the cache, or the pass would have ended with it.
                self.equal = Some(key);
                Answer::Noted
            }
            Some(false) => {
                if let Err(at) = self.place(key.as_ptr()) {
                    self.unequal.insert(at, key);
                }
                Answer::Noted
            }
            None => Answer::Failed,
        }
    }
}
