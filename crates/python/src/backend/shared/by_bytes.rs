//! Calls that this process knows by their bytes: those with an argument that can be edited in place.
//!
//! Ring 3. The decoded level finds a call by identity and `==`, which see no edit: of a function's code, of an attribute of
//! a class, of the state of an object whose `__eq__` looks at other things. So a call whose bytes depend on such an argument
//! is encoded each time, and both the level and the computations under way know it by these bytes alone. A call whose bytes
//! stay the same for ever is plain, and known by its arguments. What is spelled by a name must be what it was, too, when the
//! result is stored: it was computed meanwhile.

use std::sync::Arc;

use pyo3::ffi;
use pyo3::prelude::*;

use super::Shared;
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::layout::Exact;
use crate::capi::reference::{calls, PyRef};
use crate::codec::{self, Encoded, Hash, Spelled};
use crate::key::{View, AS_BYTES};

/// A call's bytes as a key.
pub(crate) struct BytesKey {
    _bytes: PyRef,
    /// The same object, where a view finds it.
    value: *mut ffi::PyObject,
    hash: u64,
}

impl BytesKey {
    /// `hash`: of the bytes.
    pub fn new(py: Python<'_>, bytes: &[u8], hash: u64) -> Result<BytesKey, ErrSet> {
        let bytes = bytes_object(py, bytes)?;
        let value = bytes.as_ptr();
        Ok(BytesKey { _bytes: bytes, value, hash })
    }

    /// Of the bytes.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The view by which entries and computations are found.
    pub fn view<'a>(&'a self, _: Python<'a>) -> View<'a> {
        // SAFETY: it is kept beside; the thread is attached.
        let values = unsafe { Ref::row(std::slice::from_ref(&self.value)) };
        View { values, names: &[], shape: AS_BYTES, hash: self.hash, typed: false }
    }
}

/// A `bytes` object; `Err` with a MemoryError set.
pub(crate) fn bytes_object(_: Python<'_>, bytes: &[u8]) -> Result<PyRef, ErrSet> {
    // SAFETY: attached; the bytes are copied. A new reference, or null with an exception set.
    let made = unsafe {
        PyRef::steal_or_none(ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), bytes.len() as ffi::Py_ssize_t))
    };
    made.ok_or(ErrSet)
}

/// The bytes in a view that has them in the place of the arguments.
pub(crate) fn bytes_of<'a>(view: &View<'a>) -> Option<&'a [u8]> {
    match view.values.first().filter(|_| view.shape == AS_BYTES)?.exact() {
        Exact::Bytes(bytes) => Some(bytes.as_slice()),
        _ => None,
    }
}

/// The arguments of a call that is known by its bytes, and what has a name in them.
#[derive(Clone)]
pub(crate) struct Editable<'a> {
    pub view: View<'a>,
    pub named: Arc<[Hash]>,
}

impl Editable<'_> {
    /// Whether functions and classes in the arguments are what they were when the bytes were made. State may have come to
    /// differ: what a method notes in its object, say, does not make the result another one.
    pub fn is_unedited(&self, shared: &Shared, key: &[u8]) -> Result<bool, ErrSet> {
        let mut again = Vec::new();
        match codec::encode_key_with(&self.view, shared.defaults(), &mut again) {
            // One byte may follow that is not of the arguments.
            Ok(_) if key.starts_with(&again) => Ok(true),
            Ok(Spelled::Editable(now)) => Ok(self.named.iter().all(|hash| now.contains(hash))),
            Ok(Spelled::Plain) | Err(Encoded::Done | Encoded::Unstorable) => Ok(false),
            Err(Encoded::Failed) => Err(ErrSet),
        }
    }
}

/// How deep tuples and frozensets are looked into.
const DEPTH: u32 = 8;

/// Whether one of a call's arguments is of a class that can be edited, as far as that is seen at once: its `__eq__` is not
/// asked whether it equals what is plain.
pub(crate) fn has_instances(view: &View<'_>) -> bool {
    view.values.iter().any(|&value| is_instance(value, DEPTH))
}

fn is_instance(object: Ref<'_>, depth: u32) -> bool {
    let py = object.py();
    match object.exact() {
        Exact::Tuple(tuple) => depth == 0 || tuple.items().iter().any(|&item| is_instance(item, depth - 1)),
        Exact::Other if object.is_exact(&raw mut ffi::PyFrozenSet_Type) => {
            if depth == 0 {
                return true;
            }
            // SAFETY: a live object; the iterator gives strong references and runs nothing.
            let Some(items) = (unsafe { PyRef::steal_or_none(calls::PyObject_GetIter(object.as_ptr())) }) else {
                drop(exceptions::take(py));
                return true;
            };
            loop {
                // SAFETY: the live iterator of an exact frozenset: it gives strong references and runs nothing.
                match unsafe { PyRef::steal_or_none(calls::PyIter_Next(items.as_ptr())) } {
                    None => return false,
                    Some(item) if is_instance(item.lend(py), depth - 1) => return true,
                    Some(_) => (),
                }
            }
        }
        Exact::Other => codec::is_editable(object),
        _ => false,
    }
}
