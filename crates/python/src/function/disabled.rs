//! Calls while caches are disabled: each computes, and nothing is looked up, stored or counted.
//!
//! Ring 3. As with [`recording`], the entries of the functions are exchanged, so a call costs nothing while caches are not
//! disabled. The methods that would find or store an entry ask [`is_on`] instead.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::ffi;
use pyo3::prelude::*;

use super::call::{new_reference, Vectorcall};
use super::instance::instance;
use super::{recording, CachedFunction};
use crate::capi::borrowed::{Arguments, Level};
use crate::capi::panics::{caught, point};
use concurrency::fork;
use concurrency::thread_id::{self, ThreadId};

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

/// Who has disabled the caches: for each a number of its own, and the thread that did; none where the process did.
struct Holders {
    next: u64,
    held: Vec<(u64, Option<ThreadId>)>,
}

/// Locked under the lock of `recording`'s that guards [`DISABLED`], which is how many there are.
static HOLDERS: Mutex<Holders> = Mutex::new(Holders { next: 1, held: Vec::new() });

fn change<R>(change: impl FnOnce(&mut Holders) -> R) -> R {
    recording::change_entries(|| {
        let mut holders = HOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut holders);
        DISABLED.store(holders.held.len(), Ordering::Relaxed);
        result
    })
}

/// Disables the caches of this process, until `_enable` is called with the number that this returns. `for_good`: a fork's child
/// has them disabled as well, whichever thread forked.
#[pyfunction]
#[pyo3(signature = (for_good = false))]
pub fn _disable(for_good: bool) -> u64 {
    fork::watch();
    let thread = (!for_good).then(thread_id::current);
    change(|holders| {
        let number = holders.next;
        holders.next += 1;
        holders.held.push((number, thread));
        number
    })
}

/// See `_disable`.
#[pyfunction]
pub fn _enable(number: u64) {
    change(|holders| holders.held.retain(|held| held.0 != number));
}

/// In a fork's child: forgets the threads that it does not have, which will never enable the caches again.
#[pyfunction]
pub fn _forget_disabling_threads() {
    change(|holders| holders.held.retain(|held| held.1.is_none_or(thread_id::is_of_this_process)));
}
