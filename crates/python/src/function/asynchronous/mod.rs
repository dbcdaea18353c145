//! Cached coroutine functions: the hit is served here, the miss is driven by `warp_cache._async`.
//!
//! Ring 3. A call decides at once whether it is a hit. A hit gives a coroutine that never suspends. A miss gives the
//! coroutine `warp_cache._async.compute(cached, ticket, *args, **kwargs)`; the [`Ticket`] carries the key, hashed once,
//! through whatever awaits lie between the call and the result.

mod class;
mod flights;

pub use flights::Flights;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::backend::{HitPath, Known};
use crate::capi::coroutine;
use crate::capi::panics::{caught, point};
use crate::capi::reference::{calls, import, release, Arguments, PyRef};
use crate::function::call::instance;
use crate::function::lookup::{FastLookup, Found};
use crate::function::ticket::Ticket;
use crate::function::CachedFunction;
use crate::key::View;

/// The coroutine functions that drive what is no hit.
#[derive(Debug)]
struct Drivers {
    compute: Py<PyAny>,
    pass_on: Py<PyAny>,
    bypass: Py<PyAny>,
}

fn drivers(py: Python<'_>) -> PyResult<&Drivers> {
    static DRIVERS: PyOnceLock<Drivers> = PyOnceLock::new();
    DRIVERS.get_or_try_init(py, || {
        let module = import(py, "warp_cache._async")?;
        let driver = |name| module.getattr(name).map(Bound::unbind);
        Ok(Drivers { compute: driver("compute")?, pass_on: driver("pass_on")?, bypass: driver("bypass")? })
    })
}

/// The vectorcall of an async function with a cache of size 0.
///
/// # Safety
/// To be called as PEP 590 says, with an instance.
pub unsafe extern "C-unwind" fn call_uncached(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let arguments = Arguments { values, nargsf, names };
    // SAFETY: as in `any`.
    unsafe { caught(|| instance(object).pass_on_async(object, &arguments)) }
}

/// A coroutine that raises a stored exception.
///
/// # Safety
/// The thread is attached and holds no lock.
unsafe fn raising(shared: &PyRef) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise.
    let py = unsafe { Python::assume_attached() };
    let made = import(py, "warp_cache._async").and_then(|module| module.call_method1("raising", (shared.as_py(),)));
    match made {
        Ok(coroutine) => coroutine.into_ptr(),
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    }
}

impl CachedFunction {
    /// The coroutine of a call that `hot` left with `found`.
    ///
    /// # Safety
    /// `object` is this instance; the call and the view last; the thread is attached and holds no lock.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn miss_async<B: HitPath>(
        &self,
        object: *mut ffi::PyObject,
        arguments: &Arguments,
        view: &View<'_>,
        found: FastLookup,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let (found, known, is_unreadable) = B::begin_async(&self.state, view, found);
            match found {
                Found::Value(value) => return coroutine::ready(value),
                Found::Failed => return std::ptr::null_mut(),
                // No slot is ever reserved in the cache of an async function.
                Found::Pending(_, key) => drop(key),
                Found::Absent | Found::Spare => (),
                Found::Restless => return self.go_past(object, arguments),
                Found::Raise(shared) => return raising(&shared),
                Found::Revalidate(value) => {
                    return if self.begin_refresh(view, arguments) {
                        coroutine::ready(value)
                    } else {
                        release(value);
                        std::ptr::null_mut()
                    };
                }
            }
            self.start(object, arguments, view, known, is_unreadable)
        }
    }

    /// The coroutine that brings a miss to its end. `is_unreadable`: it is counted that a value could not be read.
    ///
    /// # Safety
    /// As for [`miss_async`](Self::miss_async); `known` is what `begin_async` gave.
    unsafe fn start(
        &self,
        object: *mut ffi::PyObject,
        arguments: &Arguments,
        view: &View<'_>,
        known: Known<'_>,
        is_unreadable: bool,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let py = Python::assume_attached();
            point("start");
            let Some(ticket) = Ticket::new(view, known, self.state.lone_apart, is_unreadable) else {
                return std::ptr::null_mut();
            };
            let ticket = Bound::new(py, ticket);
            match ticket.and_then(|ticket| Ok((ticket, drivers(py)?))) {
                Ok((ticket, drivers)) => self.drive(&drivers.compute, object, Some(ticket.as_any()), arguments),
                Err(error) => {
                    error.restore(py);
                    std::ptr::null_mut()
                }
            }
        }
    }

    /// A coroutine of a call that is not cached.
    ///
    /// # Safety
    /// As for [`miss_async`](Self::miss_async).
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn pass_on_async(&self, object: *mut ffi::PyObject, arguments: &Arguments) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe {
            caught(|| {
                self.state.backend.count_miss(&self.state);
                self.go_past(object, arguments)
            })
        }
    }

    /// A coroutine of a call while caches are disabled.
    ///
    /// # Safety
    /// As for [`miss_async`](Self::miss_async).
    pub(crate) unsafe fn bypass_async(&self, object: *mut ffi::PyObject, arguments: &Arguments) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { self.drive_with(|drivers| &drivers.bypass, object, arguments) }
    }

    /// A coroutine of a call that has been counted and is not cached.
    ///
    /// # Safety
    /// As for [`miss_async`](Self::miss_async).
    unsafe fn go_past(&self, object: *mut ffi::PyObject, arguments: &Arguments) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { self.drive_with(|drivers| &drivers.pass_on, object, arguments) }
    }

    /// A coroutine of a driver that needs no ticket.
    ///
    /// # Safety
    /// As for [`miss_async`](Self::miss_async).
    unsafe fn drive_with(
        &self,
        driver: fn(&Drivers) -> &Py<PyAny>,
        object: *mut ffi::PyObject,
        arguments: &Arguments,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe {
            let py = Python::assume_attached();
            match drivers(py) {
                Ok(drivers) => self.drive(driver(drivers), object, None, arguments),
                Err(error) => {
                    error.restore(py);
                    std::ptr::null_mut()
                }
            }
        }
    }

    /// Calls `driver(cached[, ticket], *args, **kwargs)`.
    unsafe fn drive(
        &self,
        driver: &Py<PyAny>,
        object: *mut ffi::PyObject,
        ticket: Option<&Bound<'_, PyAny>>,
        arguments: &Arguments,
    ) -> *mut ffi::PyObject {
        // SAFETY: as for `miss_async`; the new row borrows what the call and this frame hold.
        unsafe {
            let positional = arguments.positional();
            let count = positional + arguments.keywords().len();
            let mut row = Vec::with_capacity(count + 2);
            row.push(object);
            row.extend(ticket.map(|ticket| ticket.as_ptr()));
            let added = row.len();
            row.extend_from_slice(std::slice::from_raw_parts(arguments.values, count));
            calls::PyObject_Vectorcall(driver.as_ptr(), row.as_ptr(), positional + added, arguments.names)
        }
    }
}
