//! A coroutine that is done: what a hit of an async function returns.
//!
//! Ring 3. First form: a native coroutine of `warp_cache._async.ready(value)`.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::object::{release, unwinding};

static READY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A coroutine whose result is `value`, or null with an exception set.
///
/// # Safety
/// `value` is a strong reference, which is given up; the thread is attached.
#[inline(never)]
pub unsafe fn ready(value: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise.
    unsafe {
        let py = Python::assume_attached();
        let function = READY.get_or_try_init(py, || -> PyResult<_> { Ok(py.import("warp_cache._async")?.getattr("ready")?.unbind()) });
        let result = match function {
            Ok(function) => unwinding::PyObject_Vectorcall(function.as_ptr(), &value, 1, std::ptr::null_mut()),
            Err(error) => {
                error.restore(py);
                std::ptr::null_mut()
            }
        };
        release(value);
        result
    }
}
