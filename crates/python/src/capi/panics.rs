//! Panics as Python exceptions.
//!
//! Ring 3. A panic is a fault of this package, and no reason to take the program down with it: each function that Python
//! enters stops it and raises a RuntimeError with its message. (PyO3 would raise a PanicException, which is no `Exception`, and
//! knows nothing of functions that are entered through vectorcall: there the panic would go on through CPython's frames.)
//! What a panic passes on its way is put in order by destructors: locks are given back, computations settled.
//!
//! Up to CPython 3.13, a daemon thread may be ended in a call into Python by unwinding its stack (see
//! [`crate::capi::reference`]). That never comes here: every such call stands in a guard in which the thread stops.

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Runs `f`, which CPython has called; a panic is null with a RuntimeError set.
#[inline(always)]
pub fn caught(f: impl FnOnce() -> *mut ffi::PyObject) -> *mut ffi::PyObject {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(object) => object,
        Err(panic) => {
            raise(panic);
            std::ptr::null_mut()
        }
    }
}

/// Runs a block that gives an object and cannot panic: of that, only debug builds, whose assertions can, need to be convinced.
/// (A macro, as the compiler may make a call of a closure, which a hit would pay for.)
macro_rules! caught_in_debug {
    ($block:block) => {
        if cfg!(debug_assertions) {
            $crate::capi::panics::caught(|| $block)
        } else {
            $block
        }
    };
}
pub(crate) use caught_in_debug;

/// Runs `f`; a panic is a RuntimeError.
pub fn as_error<T>(f: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| Err(PyRuntimeError::new_err(message(&*panic))))
}

/// Sets the exception; one that is set is given up for it.
#[cold]
#[inline(never)]
fn raise(panic: Box<dyn Any + Send>) {
    let message = message(&*panic);
    // SAFETY: what CPython has called is attached; the text is borrowed for the call, which makes a str of it.
    unsafe {
        let text = ffi::PyUnicode_FromStringAndSize(message.as_ptr().cast(), message.len() as ffi::Py_ssize_t);
        if !text.is_null() {
            ffi::PyErr_SetObject(ffi::PyExc_RuntimeError, text);
            crate::capi::reference::release(text);
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    format!("warp_cache panicked, which is a fault of its own, please report it: {said}")
}

/// Panics where a test has asked for it, in builds with debug assertions; nothing in others.
#[inline(always)]
pub fn point(_place: &str) {
    #[cfg(debug_assertions)]
    points::reached(_place);
}

#[cfg(debug_assertions)]
pub mod points {
    use std::sync::{Mutex, PoisonError};

    use pyo3::prelude::*;

    static PLACE: Mutex<Option<String>> = Mutex::new(None);

    /// Has the next thread that comes to this place panic there; None for nobody. For the tests.
    #[pyfunction]
    #[pyo3(signature = (place))]
    pub fn _panic_at(place: Option<String>) -> Option<String> {
        std::mem::replace(&mut *PLACE.lock().unwrap_or_else(PoisonError::into_inner), place)
    }

    pub(crate) fn reached(place: &str) {
        let mut asked = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.as_deref() == Some(place) {
            *asked = None;
            drop(asked);
            panic!("at {place}");
        }
    }
}
