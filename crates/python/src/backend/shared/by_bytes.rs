//! Calls that this process knows by their bytes: those with an argument that can be edited in place.
//!
//! Ring 3. The decoded level finds a call by identity and `==`, which see no edit: of a function's code, of an attribute of
//! a class, of the state of an object whose `__eq__` looks at other things. So a call whose bytes depend on such an argument
//! is encoded each time, and both the level and the computations under way know it by these bytes alone. A call whose bytes
//! stay the same for ever is plain, and known by its arguments. What is spelled by a name must be what it was, too, when the
//! result is stored: it was computed meanwhile.

use std::sync::Arc;

use pyo3::ffi;

use super::Shared;
use crate::capi::exceptions::ErrSet;
use crate::capi::layout::{self, Exact};
use crate::capi::reference::{calls, tuple_items, PyRef};
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
    ///
    /// # Safety
    /// The thread is attached and holds no lock; no exception is set.
    pub unsafe fn new(bytes: &[u8], hash: u64) -> Result<BytesKey, ErrSet> {
        // SAFETY: the caller's promise; a new reference, or null with an exception set.
        unsafe {
            let value = ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), bytes.len() as ffi::Py_ssize_t);
            if value.is_null() {
                return Err(ErrSet);
            }
            Ok(BytesKey { _bytes: PyRef::steal(value), value, hash })
        }
    }

    /// The view by which entries and computations are found.
    pub fn view(&self) -> View<'_> {
        View { values: std::slice::from_ref(&self.value), names: &[], shape: AS_BYTES, hash: self.hash, typed: false }
    }
}

/// The bytes in a view that has them in the place of the arguments.
///
/// # Safety
/// The view's objects are alive, as long as the result.
pub(crate) unsafe fn bytes_of<'a>(view: &View<'a>) -> Option<&'a [u8]> {
    if view.shape != AS_BYTES {
        return None;
    }
    // SAFETY: a view of this shape has one exact `bytes`, which never changes.
    unsafe {
        let value = *view.values.first()?;
        let length = ffi::PyBytes_Size(value) as usize;
        Some(std::slice::from_raw_parts(ffi::PyBytes_AsString(value).cast(), length))
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
    ///
    /// # Safety
    /// The view's objects are alive; the thread is attached and holds no lock; no exception is set. Runs user code.
    pub unsafe fn is_unedited(&self, shared: &Shared, key: &[u8]) -> Result<bool, ErrSet> {
        let mut again = Vec::new();
        // SAFETY: the caller's promise.
        match unsafe { codec::encode_key_with(&self.view, shared.defaults(), &mut again) } {
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
///
/// # Safety
/// The view's objects are alive; the thread is attached and holds no lock; no exception is set.
pub(crate) unsafe fn has_instances(view: &View<'_>) -> bool {
    // SAFETY: the caller's promise.
    view.values.iter().any(|&value| unsafe { is_instance(value, DEPTH) })
}

unsafe fn is_instance(object: *mut ffi::PyObject, depth: u32) -> bool {
    // SAFETY: a live object; a tuple keeps its items; a frozenset's iterator gives strong references and runs nothing.
    unsafe {
        match layout::exact(object) {
            Exact::Tuple => depth == 0 || tuple_items(object).iter().any(|&item| is_instance(item, depth - 1)),
            Exact::Other if ffi::Py_TYPE(object) == &raw mut ffi::PyFrozenSet_Type => {
                let items = if depth == 0 { std::ptr::null_mut() } else { calls::PyObject_GetIter(object) };
                if items.is_null() {
                    ffi::PyErr_Clear();
                    return true;
                }
                let items = PyRef::steal(items);
                loop {
                    let item = calls::PyIter_Next(items.as_ptr());
                    if item.is_null() {
                        return false;
                    }
                    if is_instance(PyRef::steal(item).as_ptr(), depth - 1) {
                        return true;
                    }
                }
            }
            Exact::Other => codec::is_editable(ffi::Py_TYPE(object)),
            _ => false,
        }
    }
}
