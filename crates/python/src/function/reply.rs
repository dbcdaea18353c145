//! What becomes of a call once its key is known: the courses of plain and of coroutine functions, over a level of entries.
//!
//! Ring 3. Both choices are compiled in, not branched on: a hit of a plain function in this process has no code in it for
//! coroutines or for files. A *level* says what a stored value takes to be a hit, and what follows on a miss; a *course*
//! says what the caller is given.

use std::marker::PhantomData;

use pyo3::ffi;

use super::call::instance;
use super::lookup::{Entries, Hot};
use super::CachedFunction;
use crate::capi::coroutine;
use crate::capi::reference::{Arguments, Owned};
use crate::capi::sharing::Reader;
use crate::function::fast_path::{Seen, Sought};
use crate::function::slot_value::Value;
use crate::key::View;
use engine::slab::{Entry, Token};

/// The entries that a lookup finds.
pub(crate) trait Level {
    /// What `hand_out` is given for an entry with the call's key, the hit counted; `None` where more than a look is needed.
    ///
    /// # Safety
    /// `token` names an entry of the reader's, whose value is `value`; the thread is attached. It runs under the reader, so
    /// it must not call into Python.
    unsafe fn take(
        cached: &CachedFunction,
        reader: &Reader<'_, Entries>,
        token: Token,
        value: &Value,
    ) -> Option<*mut ffi::PyObject>;

    /// `take` at a glance: without a call, and only if the key is surely the one that is sought. `None` where more is
    /// needed, with nothing counted.
    ///
    /// # Safety
    /// As for `take`; the entry's shape is that of `sought`, which is alive.
    unsafe fn glance<const EXPIRES: bool>(
        reader: &Reader<'_, Entries>,
        token: Token,
        entry: &Entry<Owned, Value>,
        sought: impl Sought,
    ) -> Option<Seen>;

    /// A new reference to the value, or null with an exception set, for what `take` gave, which is given up.
    ///
    /// # Safety
    /// The thread is attached and holds no lock.
    unsafe fn hand_out(taken: *mut ffi::PyObject) -> *mut ffi::PyObject;

    /// A call that `hot` left with `found`.
    ///
    /// # Safety
    /// The call and the view last; the thread is attached and holds no lock.
    unsafe fn miss(cached: &CachedFunction, arguments: &Arguments, view: &View<'_>, found: Hot) -> *mut ffi::PyObject;

    /// The coroutine of a call that `hot` left with `found`.
    ///
    /// # Safety
    /// As for `miss`; `object` is the instance.
    unsafe fn miss_async(
        object: *mut ffi::PyObject,
        arguments: &Arguments,
        view: &View<'_>,
        found: Hot,
    ) -> *mut ffi::PyObject;
}

/// What the caller is given.
pub(crate) trait Course {
    type Level: Level;

    /// What the call returns on a hit, for what `take` gave: a new reference, or null with an exception set.
    ///
    /// # Safety
    /// As for [`Level::hand_out`].
    unsafe fn hit(taken: *mut ffi::PyObject) -> *mut ffi::PyObject;

    /// A call that `hot` left with `found`.
    ///
    /// # Safety
    /// As for [`Level::miss_async`].
    unsafe fn miss(
        object: *mut ffi::PyObject,
        arguments: &Arguments,
        view: &View<'_>,
        found: Hot,
    ) -> *mut ffi::PyObject;

    /// A call without a key, left to the wrapped function.
    ///
    /// # Safety
    /// As for `miss`.
    unsafe fn pass_on(object: *mut ffi::PyObject, arguments: &Arguments) -> *mut ffi::PyObject;
}

/// The course of a plain function.
pub(crate) struct Plain<L>(PhantomData<L>);

impl<L: Level> Course for Plain<L> {
    type Level = L;

    #[inline(always)]
    unsafe fn hit(taken: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { L::hand_out(taken) }
    }

    #[inline(always)]
    unsafe fn miss(
        object: *mut ffi::PyObject,
        arguments: &Arguments,
        view: &View<'_>,
        found: Hot,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { L::miss(instance(object), arguments, view, found) }
    }

    unsafe fn pass_on(object: *mut ffi::PyObject, arguments: &Arguments) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { instance(object).pass_on(arguments) }
    }
}

/// The course of a coroutine function.
pub(crate) struct Coroutine<L>(PhantomData<L>);

impl<L: Level> Course for Coroutine<L> {
    type Level = L;

    #[inline(always)]
    unsafe fn hit(taken: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { ready(L::hand_out(taken)) }
    }

    #[inline(always)]
    unsafe fn miss(
        object: *mut ffi::PyObject,
        arguments: &Arguments,
        view: &View<'_>,
        found: Hot,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { L::miss_async(object, arguments, view, found) }
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
