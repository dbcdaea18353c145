//! Calls while caches are disabled: each computes, and nothing is looked up, stored or counted.
//!
//! Ring 3. As with [`recording`], the entries of the functions are exchanged, so a call costs nothing while caches are not
//! disabled. The methods that would find or store an entry ask [`is_on`] instead.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use super::call::{instance, Vectorcall};
use super::{recording, CachedFunction};
use crate::capi::panics::{caught, point};
use crate::capi::reference::{calls, Arguments};

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
    // SAFETY: Python calls this for an instance, with a call that lasts until this returns. The recursion is counted because
    // this frame lies on the C stack, which Python would otherwise not know of.
    unsafe {
        caught(|| {
            point("disabled");
            if calls::Py_EnterRecursiveCall(c" while calling a cached function".as_ptr()) != 0 {
                return std::ptr::null_mut();
            }
            let result = calls::PyObject_Vectorcall(instance(object).function.as_ptr(), values, nargsf, names);
            calls::Py_LeaveRecursiveCall();
            result
        })
    }
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
    unsafe { caught(|| instance(object).bypass_async(object, &Arguments { values, nargsf, names })) }
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
