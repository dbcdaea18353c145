//! How a thread waits: without the interpreter, so that others can have it, and awake often enough for signals.
//!
//! Ring 3. A thread that runs green threads (gevent's, eventlet's) does not block: it sleeps through their hub, which lets
//! the others of its green threads go on, and looks after each sleep. So the green thread is switched out in the middle of
//! a wait, and others enter this code meanwhile: no lock, borrow or thread-local state is held across a sleep.

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::time::{Duration, Instant};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::capi::exceptions::ErrSet;
use crate::capi::reference::{calls, PyRef};

/// How long the main thread sleeps between looks for signals, and others for nothing in particular.
const SLICE_MAIN: Duration = Duration::from_millis(20);
const SLICE: Duration = Duration::from_secs(5);
/// How long a green thread sleeps between looks: at first, and at last.
const GREEN_FIRST: Duration = Duration::from_millis(1);
const GREEN_LAST: Duration = Duration::from_millis(20);

/// Runs `wait` without the interpreter, so that others can have it.
///
/// # Safety
/// `wait` touches nothing of Python's.
pub(crate) unsafe fn detached<R>(_: Python<'_>, wait: impl FnOnce() -> R) -> R {
    // SAFETY: the thread gets its own state back.
    unsafe {
        let state = calls::PyEval_SaveThread();
        let waited = catch_unwind(AssertUnwindSafe(wait));
        calls::PyEval_RestoreThread(state);
        // A panic goes on with the interpreter: what it passes drops objects.
        waited.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// How a thread sleeps while it waits.
pub(crate) struct Sleeper {
    main: bool,
    /// What puts a green thread to sleep, where there are any, and for how long next time.
    green: Option<(PyRef, Duration)>,
}

impl Sleeper {
    /// For one wait of this thread. `Err` with an exception set. Runs Python code where a library of green threads is loaded.
    pub fn new(py: Python<'_>) -> Result<Self, ErrSet> {
        let green = find_green(py)?;
        Ok(Sleeper { main: is_main_thread(), green: green.map(|sleep| (sleep, GREEN_FIRST)) })
    }

    /// Whether other green threads of this thread go on meanwhile.
    pub fn is_green(&self) -> bool {
        self.green.is_some()
    }

    /// Has `wait`, which is told for how long, wait for a slice and for at most `left`. `Err` with an exception set, which a
    /// signal handler raised, or who ended the green thread.
    ///
    /// # Safety
    /// `wait` touches nothing of Python's.
    pub unsafe fn wait<R>(
        &mut self,
        py: Python<'_>,
        left: Duration,
        wait: impl FnOnce(Duration) -> R,
    ) -> Result<R, ErrSet> {
        // SAFETY: the caller's promise about `wait`; attached.
        unsafe {
            if let Some((sleep, pause)) = &mut self.green {
                sleep_green(py, sleep, (*pause).min(left))?;
                *pause = (*pause * 2).min(GREEN_LAST);
                return Ok(wait(Duration::ZERO));
            }
            let slice = if self.main { SLICE_MAIN } else { SLICE };
            let waited = detached(py, || wait(slice.min(left)));
            if self.main && calls::PyErr_CheckSignals() != 0 {
                return Err(ErrSet);
            }
            Ok(waited)
        }
    }
}

/// What puts a green thread of this thread to sleep; `None` where there are none.
fn find_green(_: Python<'_>) -> Result<Option<PyRef>, ErrSet> {
    // SAFETY: attached. The modules' dict is the interpreter's; what it has is borrowed, and not touched.
    unsafe {
        let modules = ffi::PyImport_GetModuleDict();
        let is_loaded = |name: &std::ffi::CStr| !ffi::PyDict_GetItemString(modules, name.as_ptr()).is_null();
        if !is_loaded(c"gevent") && !is_loaded(c"eventlet") {
            return Ok(None);
        }
        let module = checked(calls::PyImport_ImportModule(c"warp_cache._green".as_ptr()))?;
        let name = checked(ffi::PyUnicode_FromString(c"find_sleep".as_ptr()))?;
        let find = checked(calls::PyObject_GetAttr(module.as_ptr(), name.as_ptr()))?;
        let nothing = std::ptr::null_mut();
        let sleep = checked(calls::PyObject_Vectorcall(find.as_ptr(), std::ptr::null(), 0, nothing))?;
        Ok((sleep.as_ptr() != ffi::Py_None()).then_some(sleep))
    }
}

/// Sleeps, while other green threads of this thread run.
fn sleep_green(py: Python<'_>, sleep: &PyRef, time: Duration) -> Result<(), ErrSet> {
    let began = Instant::now();
    // SAFETY: attached; a new reference, or null with an exception set.
    let seconds = unsafe { checked(ffi::PyFloat_FromDouble(time.as_secs_f64()))? };
    drop(sleep.lend(py).call(&[seconds.lend(py)]).ok_or(ErrSet)?);
    // What a test has put in the place of `time.sleep`, say, may not sleep at all.
    if began.elapsed() < time.min(GREEN_FIRST) / 10 {
        // SAFETY: sleeping touches nothing of Python's.
        unsafe { detached(py, || std::thread::sleep(time.min(GREEN_FIRST))) };
    }
    Ok(())
}

/// # Safety
/// `object` is a strong reference, or null with an exception set; the thread is attached.
unsafe fn checked(object: *mut ffi::PyObject) -> Result<PyRef, ErrSet> {
    if object.is_null() {
        return Err(ErrSet);
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { PyRef::steal(object) })
}

/// Whether this is the thread that runs signal handlers.
fn is_main_thread() -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: neither call has a way to fail.
    return unsafe { libc::syscall(libc::SYS_gettid) == libc::c_long::from(libc::getpid()) };
    #[cfg(target_vendor = "apple")]
    // SAFETY: the call has no way to fail.
    return unsafe { libc::pthread_main_np() != 0 };
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    // Whoever is not sure looks often.
    return true;
}
