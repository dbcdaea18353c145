//! How a thread waits: without the interpreter, so that others can have it, and awake often enough for signals.
//!
//! Ring 3.

use std::time::Duration;

use crate::python::object::unwinding;

/// How long the main thread sleeps between looks for signals, and others for nothing in particular.
const SLICE_MAIN: Duration = Duration::from_millis(20);
const SLICE: Duration = Duration::from_secs(5);

/// Runs `wait` without the interpreter, so that others can have it.
///
/// # Safety
/// The thread is attached and holds no lock; `wait` touches nothing of Python's.
pub(super) unsafe fn detached<R>(wait: impl FnOnce() -> R) -> R {
    // SAFETY: the thread gets its own state back.
    unsafe {
        let state = unwinding::PyEval_SaveThread();
        let waited = wait();
        unwinding::PyEval_RestoreThread(state);
        waited
    }
}

/// How a thread sleeps while it waits.
pub(super) struct Sleeper {
    main: bool,
    /// So long at a time.
    pub slice: Duration,
}

impl Sleeper {
    pub fn new() -> Self {
        let main = is_main_thread();
        Sleeper { main, slice: if main { SLICE_MAIN } else { SLICE } }
    }

    /// Whether a signal handler raised an exception, which is set.
    ///
    /// # Safety
    /// The thread is attached and holds no lock.
    pub unsafe fn is_interrupted(&self) -> bool {
        // SAFETY: the caller's promise.
        self.main && unsafe { unwinding::PyErr_CheckSignals() } != 0
    }
}

/// Whether this is the thread that runs signal handlers.
fn is_main_thread() -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: neither call has a way to fail.
    return unsafe { libc::syscall(libc::SYS_gettid) == libc::c_long::from(libc::getpid()) };
    #[cfg(target_vendor = "apple")]
    // SAFETY: as above.
    return unsafe { libc::pthread_main_np() != 0 };
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    // Whoever is not sure looks often.
    return true;
}
