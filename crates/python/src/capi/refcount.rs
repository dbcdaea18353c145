//! Spares the decorated function its reference count on free-threaded builds, where CPython spares the wrapped one its own.
//!
//! Ring 3. Two threads that call one object both count references on it, and that line alone makes two threads slower than
//! one. CPython 3.13t makes module-level functions immortal, 3.14t defers their counting; the decorated object gets the
//! same. Closures and other objects stay as they are, and collectable.

use pyo3::prelude::*;

/// To be called once for a new object that wraps `function`, before any other thread knows it.
#[allow(unused_variables)]
pub fn share_refcount_mode(object: &Bound<'_, PyAny>, function: &Bound<'_, PyAny>) {
    #[cfg(all(Py_GIL_DISABLED, Py_3_14))]
    {
        extern "C" {
            fn PyUnstable_Object_EnableDeferredRefcount(object: *mut pyo3::ffi::PyObject) -> std::ffi::c_int;
        }
        if function.is_exact_instance_of::<pyo3::types::PyFunction>() {
            // SAFETY: a live object that only this thread knows.
            unsafe { PyUnstable_Object_EnableDeferredRefcount(object.as_ptr()) };
        }
    }
    #[cfg(all(Py_GIL_DISABLED, not(Py_3_14)))]
    {
        use std::sync::atomic::Ordering::Relaxed;
        /// What the local count of an immortal object is on CPython 3.13t.
        const IMMORTAL: u32 = u32::MAX;
        /// The bit of an object whose count CPython 3.13t defers: it makes all of them immortal when the first thread starts.
        const DEFERRED: u8 = 64;
        /// The shared count of such an object: it is never freed by its count, but by the collector.
        const QUEUED: isize = 0x2;
        // SAFETY: live objects; only this thread knows `object` and owns it, so nobody counts on it meanwhile. The fields are
        // set as CPython sets them for a function that is not nested. An immortal object belongs to no thread.
        unsafe {
            let (function, object) = (function.as_ptr(), object.as_ptr());
            if (*function).ob_ref_local.load(Relaxed) == IMMORTAL {
                (*object).ob_tid = 0;
                (*object).ob_ref_local.store(IMMORTAL, Relaxed);
                (*object).ob_ref_shared.store(0, Relaxed);
            } else if (*function).ob_gc_bits & DEFERRED != 0 && (*object).ob_ref_shared.load(Relaxed) == 0 {
                (*object).ob_gc_bits |= DEFERRED;
                (*object).ob_ref_local.fetch_add(1, Relaxed);
                (*object).ob_ref_shared.store(QUEUED, Relaxed);
            }
        }
    }
}
