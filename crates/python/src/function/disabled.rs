//! Calls while caches are disabled: each computes, and nothing is looked up, stored or counted.
//!
//! Ring 3. As with [`recording`], the entries of the functions are exchanged, so a call costs nothing while caches are not
//! disabled. The methods that would find or store an entry ask [`is_on`] instead.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use super::call::{new_reference, Vectorcall};
use super::instance::instance;
use super::{recording, CachedFunction};
use crate::capi::borrowed::{Arguments, Level};
use crate::capi::panics::{caught, point};

/// How many ask for it. Changed under a lock of `recording`; read without one, so Relaxed: a thread that finds an older number
/// has called before the change.
static DISABLED: AtomicUsize = AtomicUsize::new(0);

/// Whether caches are disabled.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    DISABLED.load(Ordering::Relaxed) != 0
}

/// What Python enters meanwhile.
pub(super) fn entry(cached: &CachedFunction) -> Vectorcall {
    if cached.state.flights.is_some() {
        call_async
    } else {
        call
    }
}

/// # Safety
/// To be called as PEP 590 says, with an instance.
unsafe extern "C-unwind" fn call(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this for an instance, with a call that lasts until this returns.
    let (this, arguments) = unsafe { (instance(object), Arguments::new(values, nargsf, names)) };
    caught(|| {
        point("disabled");
        // The recursion is counted because this frame lies on the C stack, which Python would otherwise not know of.
        let Some(_level) = Level::enter(arguments.py(), c" while calling a cached function") else {
            return std::ptr::null_mut();
        };
        new_reference(arguments.call(this.function.lend(arguments.py())))
    })
}

/// # Safety
/// To be called as PEP 590 says, with an instance of a coroutine function.
unsafe extern "C-unwind" fn call_async(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `call`.
    let (this, arguments) = unsafe { (instance(object), Arguments::new(values, nargsf, names)) };
    caught(|| new_reference(this.bypass_async(&arguments)))
}

/// Disables the caches of this process, until `_enable` has been called as often.
#[pyfunction]
pub fn _disable() {
    recording::change_entries(|| DISABLED.fetch_add(1, Ordering::Relaxed));
}

/// See `_disable`.
#[pyfunction]
pub fn _enable() {
    let less = |count: usize| count.checked_sub(1);
    recording::change_entries(|| DISABLED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less));
}
