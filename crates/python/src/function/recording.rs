//! Recording the calls of all cached functions, at no cost where nothing is recorded; and the registry of these functions.
//!
//! Ring 3. An instance points to the function that Python enters, so recording changes the pointers, and a call that is
//! not recorded runs the same code as if this file did not exist. The entries here put a call's key together as any other
//! call does, which hashes each argument once, note the hash, and go on with that key.
//!
//! The functions have to be found. Each one begins with [`enter`] as its entry, which takes it into the registry at its
//! first call, when it has an address that stays; functions that are never called cost nothing.
//!
//! Locks, in this order: `CONTROL` (one beginning or ending at a time), then `REGISTRY` or `SESSION`, never both. Nothing
//! calls into Python under any of them, and none is held where a cache's lock is taken.

use std::ffi::{c_void, CString};
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyRuntimeWarning};
use pyo3::ffi;
use pyo3::prelude::*;

use super::call::{finish, Vectorcall};
use super::instance::instance;
use super::keyed::Keyed;
use super::{disabled, entry_points, CachedFunction};
use crate::backend::HitPath;
use crate::capi::borrowed::Arguments;
use crate::capi::exceptions::Raise;
use crate::capi::panics::{caught, point};
use crate::function::reply::Reply;
use crate::key::signature::ArgBuffer;
use recording::format::{ENDS, NOT_KNOWN};
use recording::{Recorded, Session, StreamId};

/// All functions that were called, and whether they are recorded. (Whether they are disabled is known to `disabled`.)
struct Registry {
    functions: Vec<Registered>,
    recording: bool,
}

/// An instance that is not freed while it is in the registry.
struct Registered(NonNull<CachedFunction>);

// SAFETY: what is reached through it are atomics and fields that never change.
unsafe impl Send for Registered {}

/// A recording under way, and what its file is called in messages.
struct Current {
    session: Session,
    path: PathBuf,
}

/// The number of "invalid argument" on every system.
const EINVAL: i32 = 22;

static CONTROL: Mutex<()> = Mutex::new(());
static REGISTRY: Mutex<Registry> = Mutex::new(Registry { functions: Vec::new(), recording: false });
static SESSION: Mutex<Option<Current>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A function's part in this: the first of its fields that is dropped, so that it leaves the registry whole.
#[derive(Debug, Default)]
pub(crate) struct Registration {
    /// Its place in the registry plus one, or 0. Changed and read under `REGISTRY`.
    at: AtomicUsize,
    place: StreamId,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.at.load(Ordering::Relaxed) != 0 {
            let mut registry = lock(&REGISTRY);
            let at = self.at.load(Ordering::Relaxed) - 1;
            registry.functions.swap_remove(at);
            if let Some(moved) = registry.functions.get(at) {
                // SAFETY: it is in the registry.
                unsafe { moved.0.as_ref() }.registration.at.store(at + 1, Ordering::Relaxed);
            }
        }
        if self.place.is_used() {
            let ended = lock(&SESSION).as_mut().map_or(Ok(()), |current| {
                current.session.end(&self.place).map_err(|error| (current.session.number(), error))
            });
            if let Err((number, error)) = ended {
                fail(number, &error);
            }
        }
    }
}

impl CachedFunction {
    /// Release, as other threads may be calling; the interpreter's read of the pointer is its partner. What an entry needs was
    /// there before the instance was visible, so it does not matter which of the entries a call finds. To be called under
    /// `REGISTRY`.
    fn set_entry(&self, recording: bool) -> Vectorcall {
        let entry = match (recording, disabled::is_on()) {
            (false, false) => entry_points::usual(self),
            (true, false) => entry_points::recorded(self),
            (false, true) => disabled::entry(self),
            (true, true) => record_uncached,
        };
        self.vectorcall.store(entry as *mut c_void, Ordering::Release);
        entry
    }
}

/// The entry of an instance's first call: takes the instance into the registry and gives it the entry that it is to have.
///
/// # Safety
/// To be called as PEP 590 says, with an instance.
pub(crate) unsafe extern "C-unwind" fn enter(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this for an instance, with a call that lasts until this returns; an instance stays where it is.
    unsafe {
        caught(|| {
            let this = instance(object);
            let entry = {
                let mut registry = lock(&REGISTRY);
                if this.registration.at.load(Ordering::Relaxed) == 0 {
                    registry.functions.push(Registered(NonNull::from(this.get())));
                    this.registration.at.store(registry.functions.len(), Ordering::Relaxed);
                }
                this.set_entry(registry.recording)
            };
            entry(object, values, nargsf, names)
        })
    }
}

/// Chooses anew what vectorcall enters, where an instance was called before.
pub(super) fn enter_anew(cached: &CachedFunction) {
    let registry = lock(&REGISTRY);
    if cached.registration.at.load(Ordering::Relaxed) != 0 {
        cached.set_entry(registry.recording);
    }
}

/// A call of a function that stores something.
///
/// # Safety
/// To be called as PEP 590 says, with an instance whose cache stores something.
pub(super) unsafe extern "C-unwind" fn record<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `enter`.
    unsafe {
        caught(|| {
            let this = instance(object);
            let arguments = Arguments::new(values, nargsf, names);
            let mut scratch = ArgBuffer::new();
            match this.view(&arguments, &mut scratch) {
                Keyed::View(view) => {
                    note(&this, view.hash);
                    finish::<B, R>(this, &arguments, &view)
                }
                Keyed::NotACall => R::pass_on(this, &arguments),
                Keyed::Failed => std::ptr::null_mut(),
            }
        })
    }
}

/// A call of a function whose cache has the size 0, or is disabled. Its arguments are hashed for the recording alone, and need
/// not be hashable: then the call is not noted.
///
/// # Safety
/// To be called as PEP 590 says, with an instance.
pub(super) unsafe extern "C-unwind" fn record_uncached(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `enter`.
    unsafe {
        caught(|| {
            let this = instance(object);
            let arguments = Arguments::new(values, nargsf, names);
            {
                let mut scratch = ArgBuffer::new();
                match this.view(&arguments, &mut scratch) {
                    Keyed::View(view) => note(&this, view.hash),
                    Keyed::NotACall => (),
                    // What interrupts the program is not an answer of `__hash__`.
                    Keyed::Failed if ffi::PyErr_ExceptionMatches(ffi::PyExc_Exception) == 0 => {
                        return std::ptr::null_mut()
                    }
                    Keyed::Failed => ffi::PyErr_Clear(),
                }
            }
            // (Whoever was disabled when it was called and is not any more is called as usual.)
            let entry = if disabled::is_on() { disabled::entry(&this) } else { entry_points::usual(&this) };
            entry(object, values, nargsf, names)
        })
    }
}

/// Notes a call.
fn note(this: &CachedFunction, hash: u64) {
    point("note");
    let (noted, number) = match &mut *lock(&SESSION) {
        Some(current) => (current.session.note(&this.registration.place, hash), current.session.number()),
        None => return,
    };
    match noted {
        Recorded::Done => (),
        Recorded::First(index) => describe(this, number, index),
        Recorded::Failed(error) => fail(number, &error),
    }
}

/// Writes down what the function is called and what its cache is. Its call has been noted: whatever Python code runs here
/// may call it.
#[cold]
fn describe(this: &CachedFunction, number: u32, index: usize) {
    // SAFETY: calls come from attached threads.
    let py = unsafe { Python::assume_attached() };
    let function = this.function.as_py().bind(py);
    let read = |name| function.getattr(name).and_then(|text| text.extract::<String>()).ok();
    let name = match (read("__module__"), read("__qualname__")) {
        (Some(module), Some(name)) => format!("{module}.{name}"),
        (None, Some(name)) => name,
        _ => function.get_type().fully_qualified_name().map_or("?".into(), |name| format!("{name} object")),
    };
    let described = match &mut *lock(&SESSION) {
        Some(current) if current.session.number() == number => {
            current.session.describe(index, &name, bounds(this), this.state.max_size)
        }
        _ => Ok(()),
    };
    if let Err(error) = described {
        fail(number, &error);
    }
}

/// The number of the function's strategy, and whether its entries end by time, too; not known where weights are its bound, which
/// a replay cannot go by.
fn bounds(this: &CachedFunction) -> u8 {
    let options = &this.options;
    match options.max_weight {
        Some(_) => NOT_KNOWN,
        None if options.ttl.is_given() || options.tti != 0 => this.strategy as u8 + ENDS,
        None => this.strategy as u8,
    }
}

/// Ends the recording of this number, which cannot go on, with a warning.
#[cold]
fn fail(number: u32, error: &std::io::Error) {
    let Some(path) = end(number, drop).map(|(path, _)| path) else {
        return;
    };
    // SAFETY: calls, and the ends of instances, come from attached threads.
    warn(unsafe { Python::assume_attached() }, &path, error);
}

/// A RuntimeWarning; should it be made an error, that is shown and goes no further.
fn warn(py: Python<'_>, path: &std::path::Path, error: &std::io::Error) {
    // An instance may end while an exception is on its way.
    let pending = PyErr::take(py);
    let message = format!("warp_cache stopped recording to {}: {error}", path.display());
    let message = CString::new(message).unwrap_or_default();
    if let Err(error) = PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &message, 1) {
        error.write_unraisable(py, None);
    }
    if let Some(pending) = pending {
        pending.raise(py);
    }
}

/// Gives all functions the entry that they are to have.
fn set_entries(registry: &Registry) {
    for known in &registry.functions {
        // SAFETY: it is in the registry.
        unsafe { known.0.as_ref() }.set_entry(registry.recording);
    }
}

fn set_recording(recording: bool) {
    let mut registry = lock(&REGISTRY);
    registry.recording = recording;
    set_entries(&registry);
}

/// Runs `change`, which decides what functions enter beside a recording.
pub(super) fn change_entries<R>(change: impl FnOnce() -> R) -> R {
    let registry = lock(&REGISTRY);
    let was_on = disabled::is_on();
    let result = change();
    if disabled::is_on() != was_on {
        set_entries(&registry);
    }
    result
}

/// Ends the recording of this number; `None` if it is not under way.
fn end<R>(number: u32, finish: impl FnOnce(Session) -> R) -> Option<(PathBuf, R)> {
    let _one_at_a_time = lock(&CONTROL);
    let is_wanted = |current: &Current| current.session.number() == number;
    if !lock(&SESSION).as_ref().is_some_and(is_wanted) {
        return None;
    }
    set_recording(false);
    let Current { session, path } = lock(&SESSION).take()?;
    Some((path, finish(session)))
}

/// Begins to record all cached functions to a file; returns the recording's number.
///
/// OSError where the file cannot be written, BlockingIOError where another process is recording to it, RuntimeError where
/// this process is recording.
#[pyfunction]
pub fn _record_start(path: PathBuf) -> PyResult<u32> {
    static NUMBER: AtomicUsize = AtomicUsize::new(1);
    let _one_at_a_time = lock(&CONTROL);
    // (That of a process which forked while it began or ended one is not ours.)
    if let Some(current) = lock(&SESSION).as_ref().filter(|current| current.session.is_own()) {
        return Err(PyRuntimeError::new_err(format!(
            "a recording to {} is under way, and there can be one at a time: end it first",
            current.path.display()
        )));
    }
    // Relaxed: `CONTROL` is held.
    let number = NUMBER.fetch_add(1, Ordering::Relaxed) as u32;
    let session = Session::create(&path, number).map_err(|error| opening_failed(&path, &error))?;
    *lock(&SESSION) = Some(Current { session, path });
    set_recording(true);
    Ok(number)
}

fn opening_failed(path: &std::path::Path, error: &std::io::Error) -> PyErr {
    let text = error.to_string();
    let text = if error.kind() == std::io::ErrorKind::WouldBlock {
        "another process is recording to this file; {pid} in the path gives each its own"
    } else {
        text.split(" (os error").next().unwrap_or(&text)
    };
    PyOSError::new_err((error.raw_os_error().unwrap_or(EINVAL), text.to_owned(), path.as_os_str().to_owned()))
}

/// Ends the recording of this number; false if it is not under way any more. A process that did not begin it writes
/// nothing. What cannot be written is a RuntimeWarning.
#[pyfunction]
pub fn _record_stop(py: Python<'_>, number: u32) -> bool {
    match end(number, Session::finish) {
        None => false,
        Some((_, Ok(()))) => true,
        Some((path, Err(error))) => {
            warn(py, &path, &error);
            true
        }
    }
}
