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

use crate::backend::{HitPath, Known};
use crate::capi::borrowed::{Arguments, Ref};
use crate::capi::coroutine;
use crate::capi::exceptions::Raise;
use crate::capi::guarded::GuardedCalls;
use crate::capi::imported::Imported;
use crate::capi::kept::Kept;
use crate::capi::panics::{caught, point};
use crate::capi::reference::{import, PyRef};
use crate::function::call::new_reference;
use crate::function::fast_lookup::FastLookup;
use crate::function::inside;
use crate::function::instance::{instance, Instance};
use crate::function::lookup::Found;
use crate::function::ticket::Ticket;
use crate::key::View;

/// The coroutine functions that drive what is no hit.
#[derive(Debug)]
struct Drivers {
    compute: Py<PyAny>,
    pass_on: Py<PyAny>,
    bypass: Py<PyAny>,
}

fn drivers(py: Python<'_>) -> PyResult<&Drivers> {
    static DRIVERS: Kept<Drivers> = Kept::new();
    DRIVERS.get_or_make(py, || {
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
    // SAFETY: as in `any`.
    let (this, arguments) = unsafe { (instance(object), Arguments::new(values, nargsf, names)) };
    caught(|| new_reference(this.pass_on_async(&arguments)))
}

/// A coroutine that raises a stored exception.
fn raising(py: Python<'_>, shared: &PyRef) -> PyResult<PyRef> {
    static RAISING: Imported = Imported::new("warp_cache._async", "raising");
    Ok(RAISING.get(py)?.guarded_call((shared.as_py(),))?.unbind().into())
}

/// What is there, or `None` with the exception set.
fn restored(py: Python<'_>, result: PyResult<PyRef>) -> Option<PyRef> {
    result.map_err(|error| error.raise(py)).ok()
}

impl Instance<'_> {
    /// The coroutine of a call that `hot` left with `found`; `None` with an exception set.
    #[cold]
    #[inline(never)]
    pub(crate) fn miss_async<B: HitPath>(
        self,
        arguments: &Arguments<'_>,
        view: &View<'_>,
        found: FastLookup,
    ) -> Option<PyRef> {
        let py = arguments.py();
        let (found, known, is_unreadable) = B::begin_async(&self.state, view, found);
        match found {
            Found::Value(value) => return coroutine::ready(py, value),
            Found::Failed => return None,
            // No slot is ever reserved in the cache of an async function.
            Found::Pending(_, key) => drop(key),
            Found::Absent | Found::Spare => (),
            Found::Restless => return self.go_past(arguments),
            Found::Raise(shared) => return restored(py, raising(py, &shared)),
            Found::Revalidate(value) => {
                return self
                    .begin_refresh(view, arguments)
                    .then_some(value)
                    .and_then(|value| coroutine::ready(py, value))
            }
        }
        self.start(arguments, view, known, is_unreadable)
    }

    /// The coroutine that brings a miss to its end. `known`: what `begin_async` gave. `is_unreadable`: it is counted that a
    /// value could not be read.
    fn start(self, arguments: &Arguments<'_>, view: &View<'_>, known: Known<'_>, is_unreadable: bool) -> Option<PyRef> {
        let py = arguments.py();
        point("start");
        let ticket = Ticket::new(view, known, self.state.lone_apart, is_unreadable)?;
        if inside::has_left() {
            ticket.leave(inside::take_left(&self.state, arguments).0);
        }
        match Bound::new(py, ticket).and_then(|ticket| Ok((ticket, drivers(py)?))) {
            Ok((ticket, drivers)) => self.drive(&drivers.compute, Some(ticket.as_any()), arguments),
            Err(error) => {
                error.raise(py);
                None
            }
        }
    }

    /// A coroutine of a call that is not cached.
    #[cold]
    #[inline(never)]
    pub(crate) fn pass_on_async(self, arguments: &Arguments<'_>) -> Option<PyRef> {
        self.state.backend.count_miss(arguments.py(), &self.state);
        self.go_past(arguments)
    }

    /// A coroutine of a call while caches are disabled.
    pub(crate) fn bypass_async(self, arguments: &Arguments<'_>) -> Option<PyRef> {
        self.drive_with(|drivers| &drivers.bypass, arguments)
    }

    /// A coroutine of a call that has been counted and is not cached.
    fn go_past(self, arguments: &Arguments<'_>) -> Option<PyRef> {
        self.drive_with(|drivers| &drivers.pass_on, arguments)
    }

    /// A coroutine of a driver that needs no ticket.
    fn drive_with(self, driver: fn(&Drivers) -> &Py<PyAny>, arguments: &Arguments<'_>) -> Option<PyRef> {
        match drivers(arguments.py()) {
            Ok(drivers) => self.drive(driver(drivers), None, arguments),
            Err(error) => {
                error.raise(arguments.py());
                None
            }
        }
    }

    /// Calls `driver(cached[, ticket], *args, **kwargs)`.
    fn drive(self, driver: &Py<PyAny>, ticket: Option<&Bound<'_, PyAny>>, arguments: &Arguments<'_>) -> Option<PyRef> {
        let first = [Some(self.object()), ticket.map(Ref::from)];
        arguments.call_behind(Ref::from(driver.bind(arguments.py())), first.into_iter().flatten())
    }
}
