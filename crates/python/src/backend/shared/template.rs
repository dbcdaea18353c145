//! What is left of a value for those who waited for it and do not find it in the cache: it was not stored, or has left.
//!
//! Ring 3. Nobody may change what another caller sees, so each makes a value of its own from the bytes that the value was
//! when it was there. They are a `bytes` object, which nobody else has.

use pyo3::ffi;

use crate::capi::exceptions::ErrSet;
use crate::capi::reference::PyRef;
use crate::codec::{self, Sharing};

/// The template of a value whose bytes these are; `None` where memory is short.
///
/// # Safety
/// The thread is attached and holds no lock; no exception is set.
pub(crate) unsafe fn of_bytes(bytes: &[u8]) -> Option<PyRef> {
    // SAFETY: the caller's promise; the bytes are copied. A new reference, or null with an exception set.
    unsafe {
        let object = ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), bytes.len() as ffi::Py_ssize_t);
        if object.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(PyRef::steal(object))
    }
}

/// The template of a value. `None`: all may have the value itself, as it cannot be changed or has no bytes.
///
/// # Safety
/// As for `of_bytes`; `object` is alive. Runs user code.
pub(crate) unsafe fn of_value(object: *mut ffi::PyObject) -> Result<Option<PyRef>, ErrSet> {
    let mut bytes = Vec::new();
    // SAFETY: the caller's promise.
    unsafe {
        match codec::encode_value(object, &mut bytes) {
            Ok(Sharing::Immutable) | Err(codec::Encoded::Unstorable) => Ok(None),
            Ok(Sharing::Containers | Sharing::Pickled) => Ok(of_bytes(&bytes)),
            Err(_) => Err(ErrSet),
        }
    }
}

/// A value of its own for one who waited. `None`: the bytes make no object. `Err` with an exception set.
///
/// # Safety
/// The thread is attached and holds no lock; no exception is set; `template` is a `bytes` object. Runs user code.
pub(crate) unsafe fn make(template: &PyRef) -> Result<Option<PyRef>, ErrSet> {
    // SAFETY: the caller's promise; the object keeps its bytes, which never change.
    unsafe {
        let length = ffi::PyBytes_Size(template.as_ptr()) as usize;
        let bytes = std::slice::from_raw_parts(ffi::PyBytes_AsString(template.as_ptr()).cast(), length);
        match codec::decode_value(bytes) {
            codec::Decoded::Object(object, _) => Ok(Some(object)),
            codec::Decoded::Damaged => Ok(None),
            codec::Decoded::Failed => Err(ErrSet),
        }
    }
}
