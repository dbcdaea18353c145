//! What the caller is given: the value, or a coroutine of it.
//!
//! Ring 3. The choice is compiled in, as that of the [`HitPath`] is: an entry point is generic over both.

use pyo3::ffi;
use pyo3::prelude::*;

use super::call::{self, new_reference, Vectorcall};
use super::fast_lookup::FastLookup;
use super::instance::Instance;
use crate::backend::{HitPath, TakeHit};
use crate::capi::borrowed::Arguments;
use crate::capi::coroutine;
use crate::capi::panics::caught;
use crate::capi::reference::PyRef;
use crate::function::asynchronous;
use crate::key::View;

/// What the caller is given.
pub(crate) trait Reply {
    /// Whether that is the value itself.
    const IS_VALUE: bool;

    /// The vectorcall of a cache of size 0.
    const CALL_UNCACHED: Vectorcall;

    /// What the call returns on a hit, for what `take` gave: a new reference, or null with an exception set.
    ///
    /// # Safety
    /// As for [`TakeHit::deliver`].
    unsafe fn hit<B: HitPath>(taken: *mut ffi::PyObject) -> *mut ffi::PyObject;

    /// A call that `hot` left with `found`.
    fn miss<B: HitPath>(
        this: Instance<'_>,
        arguments: &Arguments<'_>,
        view: &View<'_>,
        found: FastLookup,
    ) -> *mut ffi::PyObject;

    /// A call without a key, left to the wrapped function.
    fn pass_on(this: Instance<'_>, arguments: &Arguments<'_>) -> *mut ffi::PyObject;
}

/// A plain function's: the value.
pub(crate) struct Sync;

impl Reply for Sync {
    const IS_VALUE: bool = true;
    const CALL_UNCACHED: Vectorcall = call::call_uncached;

    #[inline(always)]
    unsafe fn hit<B: HitPath>(taken: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { B::Hit::deliver(taken) }
    }

    #[inline(always)]
    fn miss<B: HitPath>(
        this: Instance<'_>,
        arguments: &Arguments<'_>,
        view: &View<'_>,
        found: FastLookup,
    ) -> *mut ffi::PyObject {
        new_reference(this.miss::<B>(arguments, view, found))
    }

    fn pass_on(this: Instance<'_>, arguments: &Arguments<'_>) -> *mut ffi::PyObject {
        caught(|| new_reference(this.pass_on(arguments)))
    }
}

/// A coroutine function's: a coroutine, which on a hit never suspends.
pub(crate) struct Async;

impl Reply for Async {
    const IS_VALUE: bool = false;
    const CALL_UNCACHED: Vectorcall = asynchronous::call_uncached;

    #[inline(always)]
    unsafe fn hit<B: HitPath>(taken: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise; what is delivered is a new reference, on an attached thread.
        let (py, value) = unsafe { (Python::assume_attached(), PyRef::steal_or_none(B::Hit::deliver(taken))) };
        new_reference(value.and_then(|value| coroutine::ready(py, value)))
    }

    #[inline(always)]
    fn miss<B: HitPath>(
        this: Instance<'_>,
        arguments: &Arguments<'_>,
        view: &View<'_>,
        found: FastLookup,
    ) -> *mut ffi::PyObject {
        new_reference(this.miss_async::<B>(arguments, view, found))
    }

    fn pass_on(this: Instance<'_>, arguments: &Arguments<'_>) -> *mut ffi::PyObject {
        caught(|| new_reference(this.pass_on_async(arguments)))
    }
}
