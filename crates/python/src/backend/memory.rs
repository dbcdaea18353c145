//! The cache of this process alone.
//!
//! Ring 3.

use pyo3::ffi;

use super::Backend;
use crate::capi::reference::{Arguments, Owned};
use crate::capi::sharing::Reader;
use crate::function::call::instance;
use crate::function::fast_path::{self, Seen, Sought};
use crate::function::lookup::{Entries, Hot};
use crate::function::slot_value::Value;
use crate::function::state::CacheState;
use crate::function::CachedFunction;
use crate::key::View;
use engine::slab::{Entry, Token};

/// What this process has: an entry's value is in its slot, and the order hears of each use.
pub(crate) struct Memory;

impl Backend for Memory {
    #[inline(always)]
    unsafe fn take(
        state: &CacheState,
        reader: &Reader<'_, Entries>,
        token: Token,
        value: &Value,
    ) -> Option<*mut ffi::PyObject> {
        // SAFETY: the caller's promise.
        unsafe { state.take(reader, token, value) }
    }

    #[inline(always)]
    unsafe fn glance<const EXPIRES: bool>(
        reader: &Reader<'_, Entries>,
        token: Token,
        entry: &Entry<Owned, Value>,
        sought: impl Sought,
    ) -> Option<Seen> {
        // SAFETY: the caller's promise.
        unsafe { fast_path::glance::<EXPIRES>(reader, token, entry, sought) }
    }

    #[inline(always)]
    unsafe fn deliver(taken: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: `take` gives no null.
        unsafe { std::hint::assert_unchecked(!taken.is_null()) };
        taken
    }

    #[inline(always)]
    unsafe fn miss(cached: &CachedFunction, arguments: &Arguments, view: &View<'_>, found: Hot) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { cached.miss(arguments, view, found) }
    }

    unsafe fn miss_async(
        object: *mut ffi::PyObject,
        arguments: &Arguments,
        view: &View<'_>,
        found: Hot,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { instance(object).miss_async(object, arguments, view, found) }
    }
}
