//! The user's `credentials`, asked at each connect.
//!
//! Ring 3. They may take their time, or for ever, so they run in a thread of their own, and whoever connects waits for them no
//! longer than for the server. An answer that comes too late serves the next connect, unless it was asked for too long ago:
//! what it gives may have ended. The tier's own threads, which never have the interpreter, go by the last answer.

use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::ffi;
use pyo3::prelude::*;

use super::answer::Answer;
use super::opened::is_asking;
use crate::capi::exceptions;
use crate::capi::guarded::GuardedCalls;
use crate::capi::reference::{import, PyRef};
use concurrency::{clock, fork};
use remote::deadline::Deadline;
use remote::error::Error;
use remote::secret::{Login, Secret};

/// For so long after it was asked, in nanoseconds, a question serves whoever connects. (It may never be answered, and what
/// answers it may be good for minutes only.)
const SERVES: u64 = 60_000_000_000;

/// See the module's documentation.
pub(super) struct Credentials {
    /// Never dropped: the last to let go of the connections may be the tier's own thread.
    ask: ManuallyDrop<PyRef>,
    /// Locked within `fork::exclusive` only, so nobody waits and no child finds it locked.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    last: Option<Login>,
    /// One that nobody waits for any more.
    late: Option<Arc<Asked>>,
}

/// One question.
struct Asked {
    /// The count of forks of the process whose thread it is, and when that was asked.
    process: u64,
    since: u64,
    answer: Answer,
    login: Mutex<Option<Login>>,
}

impl Asked {
    fn new() -> Arc<Asked> {
        let (process, since) = (fork::epoch(), clock::exact());
        Arc::new(Asked { process, since, answer: Answer::default(), login: Mutex::default() })
    }

    fn serves(&self) -> bool {
        self.process == fork::epoch() && clock::exact().saturating_sub(self.since) < SERVES
    }
}

/// A question to the user's `credentials`, as the thread has it that asks them.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs")]
pub struct LoginTurn(Arc<Asked>);

#[pymethods]
impl LoginTurn {
    /// given: user and password, or None where there was no answer of use.
    fn give(&self, given: Option<(Option<Vec<u8>>, Vec<u8>)>) {
        let login = given.map(|(username, password)| Login {
            username: username.map(Secret::new),
            password: Some(Secret::new(password)),
        });
        fork::exclusive(|| *self.0.login.lock().unwrap_or_else(PoisonError::into_inner) = login);
        self.0.answer.comes();
    }
}

impl Credentials {
    pub fn new(ask: &Bound<'_, PyAny>) -> Credentials {
        Credentials { ask: ManuallyDrop::new(ask.clone().unbind().into()), known: Mutex::default() }
    }

    fn known<R>(&self, f: impl FnOnce(&mut Known) -> R) -> R {
        fork::exclusive(|| f(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// What they give, before the deadline.
    pub fn login(&self, deadline: Deadline) -> Result<Login, Error> {
        if !is_asking() {
            return self.known(|known| known.last.clone()).ok_or(Error::Credentials);
        }
        let late = self.known(|known| known.late.take());
        let asked = match late.filter(|asked| asked.serves()) {
            Some(asked) => asked,
            None => self.ask()?,
        };
        let has_come = deadline.remaining().is_ok_and(|left| asked.answer.wait(left));
        if !has_come {
            let unused = self.known(|known| known.late.replace(asked));
            drop(unused);
            return Err(Error::Timeout);
        }
        let login = fork::exclusive(|| asked.login.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let login = login.ok_or(Error::Credentials)?;
        self.known(|known| known.last.replace(login.clone()));
        Ok(login)
    }

    /// Begins to ask.
    fn ask(&self) -> Result<Arc<Asked>, Error> {
        let asked = Asked::new();
        // SAFETY: the thread is one of Python's that has left the interpreter (`asking`), and takes it for this.
        let has_begun = unsafe {
            let state = ffi::PyGILState_Ensure();
            let py = Python::assume_attached();
            // A right to compute is given back while an exception is on its way.
            let raised = exceptions::take(py);
            let turn = LoginTurn(Arc::clone(&asked));
            let begun = import(py, "warp_cache._remote.opening")
                .and_then(|opening| opening.guarded_method("begin_login", (self.ask.as_py(), turn)));
            // (What kept it from beginning is no answer, whatever it is.)
            let has_begun = begun.map(drop).map_err(drop).is_ok();
            raised.into_iter().for_each(|raised| exceptions::set(py, raised));
            ffi::PyGILState_Release(state);
            has_begun
        };
        has_begun.then_some(asked).ok_or(Error::Credentials)
    }
}
