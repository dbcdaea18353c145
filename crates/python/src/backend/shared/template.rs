//! What is left of a value for those who waited for it and do not find it in the cache: it was not stored, or has left.
//!
//! Ring 3. Nobody may change what another caller sees, so each makes a value of its own from the bytes that the value was
//! when it was there. They are a `bytes` object, which nobody else has.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::by_bytes::bytes_object;
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::reference::PyRef;
use crate::codec::{self, Sharing};

/// The template of a value whose bytes these are; `None` where memory is short.
pub(crate) fn of_bytes(py: Python<'_>, bytes: &[u8]) -> Option<PyRef> {
    let made = bytes_object(py, bytes);
    if made.is_err() {
        drop(exceptions::take(py));
    }
    made.ok()
}

/// The template of a value. `None`: all may have the value itself, as it cannot be changed or has no bytes.
pub(crate) fn of_value(object: Ref<'_>) -> Result<Option<PyRef>, ErrSet> {
    let mut bytes = Vec::new();
    match codec::encode_value(object, &mut bytes) {
        Ok(Sharing::Immutable) | Err(codec::Encoded::Unstorable) => Ok(None),
        Ok(Sharing::Containers | Sharing::Pickled) => Ok(of_bytes(object.py(), &bytes)),
        Err(_) => Err(ErrSet),
    }
}

/// A value of its own for one who waited. `None`: the bytes make no object. `Err` with an exception set.
pub(crate) fn make(py: Python<'_>, template: &PyRef) -> Result<Option<PyRef>, ErrSet> {
    match codec::decode_value(py, bytes_of(py, template)) {
        codec::Decoded::Object(object, _) => Ok(Some(object)),
        codec::Decoded::Damaged => Ok(None),
        codec::Decoded::Failed => Err(ErrSet),
    }
}

/// What a `bytes` of ours holds; nothing of anything else.
pub(crate) fn bytes_of<'a>(py: Python<'a>, object: &'a PyRef) -> &'a [u8] {
    object.as_py().bind(py).cast::<PyBytes>().map_or(&[], |bytes| bytes.as_bytes())
}
