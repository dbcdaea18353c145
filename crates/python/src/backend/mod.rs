//! Where a function's values live: [`Memory`], the cache of this process alone, or [`Shared`], a file behind it.
//!
//! Ring 3. Which one it is is compiled into the entry points, not branched on: a hit in this process has no code in it for
//! files.

mod memory;
pub mod shared;

use pyo3::ffi;

use crate::capi::reference::{Arguments, Owned};
use crate::capi::sharing::Reader;
use crate::function::fast_path::{Seen, Sought};
use crate::function::lookup::{Entries, Hot};
use crate::function::slot_value::Value;
use crate::function::state::CacheState;
use crate::function::CachedFunction;
use crate::key::View;
use engine::slab::{Entry, Token};

pub(crate) use self::memory::Memory;
pub(crate) use self::shared::call::Shared;

/// Where a function's values live: what a stored value takes to be a hit, and what follows on a miss.
pub(crate) trait Backend {
    /// What `deliver` is given for an entry with the call's key, the hit counted; `None` where more than a look is needed.
    ///
    /// # Safety
    /// `token` names an entry of the reader's, whose value is `value`; the thread is attached. It runs under the reader, so
    /// it must not call into Python.
    unsafe fn take(
        state: &CacheState,
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
    unsafe fn deliver(taken: *mut ffi::PyObject) -> *mut ffi::PyObject;

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
