//! The instance that was called.
//!
//! Ring 3.

use std::ops::Deref;

use pyo3::ffi;
use pyo3::prelude::*;

use super::CachedFunction;
use crate::capi::borrowed::Ref;

/// The instance that was called: the object, known to be a [`CachedFunction`].
#[derive(Clone, Copy)]
pub(crate) struct Instance<'a>(Ref<'a>);

impl<'a> Instance<'a> {
    /// The object that was called.
    #[inline(always)]
    pub fn object(self) -> Ref<'a> {
        self.0
    }

    #[inline(always)]
    pub fn get(self) -> &'a CachedFunction {
        // SAFETY: it is an instance; the class is frozen, so `get` is a cast.
        unsafe {
            let bound: Borrowed<'a, '_, CachedFunction> =
                Borrowed::from_ptr(self.0.py(), self.0.as_ptr()).cast_unchecked();
            &*std::ptr::from_ref::<CachedFunction>(bound.get())
        }
    }
}

impl Deref for Instance<'_> {
    type Target = CachedFunction;

    #[inline(always)]
    fn deref(&self) -> &CachedFunction {
        self.get()
    }
}

/// The instance behind the object that was called.
///
/// # Safety
/// `object` is an instance of `CachedFunction` or of a type derived from it, and outlives the result, as vectorcall and
/// methods have it; the thread is attached.
#[inline(always)]
pub(crate) unsafe fn instance<'a>(object: *mut ffi::PyObject) -> Instance<'a> {
    // SAFETY: the caller's promise.
    Instance(unsafe { Ref::new(object) })
}
