//! What the caller is given: the value, or a coroutine of it.
//!
//! Ring 3. The choice is compiled in, as that of the [`Backend`] is: an entry point is generic over both.

use pyo3::ffi;

use super::call::{self, instance, Vectorcall};
use super::lookup::FastLookup;
use crate::backend::HitPath;
use crate::capi::coroutine;
use crate::capi::reference::Arguments;
use crate::function::asynchronous;
use crate::key::View;

/// What the caller is given.
pub(crate) trait Reply {
    /// The vectorcall of a cache of size 0.
    const CALL_UNCACHED: Vectorcall;

    /// What the call returns on a hit, for what `take` gave: a new reference, or null with an exception set.
    ///
    /// # Safety
    /// As for [`HitPath::deliver`].
    unsafe fn hit<B: HitPath>(taken: *mut ffi::PyObject) -> *mut ffi::PyObject;

    /// A call that `hot` left with `found`.
    ///
    /// # Safety
    /// As for [`HitPath::begin`]; `object` is the instance.
    unsafe fn miss<B: HitPath>(
        object: *mut ffi::PyObject,
        arguments: &Arguments,
        view: &View<'_>,
        found: FastLookup,
    ) -> *mut ffi::PyObject;

    /// A call without a key, left to the wrapped function.
    ///
    /// # Safety
    /// As for `miss`.
    unsafe fn pass_on(object: *mut ffi::PyObject, arguments: &Arguments) -> *mut ffi::PyObject;
}

/// A plain function's: the value.
pub(crate) struct Sync;

impl Reply for Sync {
    const CALL_UNCACHED: Vectorcall = call::call_uncached;

    #[inline(always)]
    unsafe fn hit<B: HitPath>(taken: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { B::deliver(taken) }
    }

    #[inline(always)]
    unsafe fn miss<B: HitPath>(
        object: *mut ffi::PyObject,
        arguments: &Arguments,
        view: &View<'_>,
        found: FastLookup,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { instance(object).miss::<B>(arguments, view, found) }
    }

    unsafe fn pass_on(object: *mut ffi::PyObject, arguments: &Arguments) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { instance(object).pass_on(arguments) }
    }
}

/// A coroutine function's: a coroutine, which on a hit never suspends.
pub(crate) struct Async;

impl Reply for Async {
    const CALL_UNCACHED: Vectorcall = asynchronous::call_uncached;

    #[inline(always)]
    unsafe fn hit<B: HitPath>(taken: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { ready(B::deliver(taken)) }
    }

    #[inline(always)]
    unsafe fn miss<B: HitPath>(
        object: *mut ffi::PyObject,
        arguments: &Arguments,
        view: &View<'_>,
        found: FastLookup,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { instance(object).miss_async::<B>(object, arguments, view, found) }
    }

    unsafe fn pass_on(object: *mut ffi::PyObject, arguments: &Arguments) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { instance(object).pass_on_async(object, arguments) }
    }
}

/// The coroutine of a value, or null for null.
///
/// # Safety
/// `value` is a strong reference, which is given up; the thread is attached.
#[inline(always)]
pub(crate) unsafe fn ready(value: *mut ffi::PyObject) -> *mut ffi::PyObject {
    if value.is_null() {
        return value;
    }
    // SAFETY: the caller's promise.
    unsafe { coroutine::ready(value) }
}
