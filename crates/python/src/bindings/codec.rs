//! The codec as Python functions, for tests.
//!
//! Ring 3.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::codec::{Decoded, Encoded, Sharing, Spelled};
use crate::key::{self, View};

fn number(sharing: Sharing) -> u8 {
    match sharing {
        Sharing::Immutable => 0,
        Sharing::Containers => 1,
        Sharing::Pickled => 2,
    }
}

fn items(tuple: &Bound<'_, PyTuple>) -> Vec<*mut pyo3::ffi::PyObject> {
    tuple.iter_borrowed().map(|item| item.as_ptr()).collect()
}

/// The canonical bytes of a call, or None if it has none.
#[pyfunction]
#[pyo3(signature = (args, names = None, typed = false))]
pub fn _encode_key<'py>(
    args: &Bound<'py, PyTuple>,
    names: Option<&Bound<'py, PyTuple>>,
    typed: bool,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let py = args.py();
    let (values, names) = (items(args), names.map(items).unwrap_or_default());
    let shape = key::shape(values.len(), names.len().min(values.len()));
    let view = View { values: &values, names: &names, shape, hash: 0, typed };
    let mut out = Vec::new();
    // SAFETY: the caller's tuples keep their items; attached, no lock held.
    match unsafe { crate::codec::encode_key(&view, &mut out) } {
        Encoded::Done => Ok(Some(PyBytes::new(py, &out))),
        Encoded::Unstorable => Ok(None),
        Encoded::Failed => Err(PyErr::fetch(py)),
    }
}

/// Whether a call has canonical bytes that it has for ever.
#[pyfunction]
pub fn _is_plain_key(args: &Bound<'_, PyTuple>) -> PyResult<bool> {
    let values = items(args);
    let view = View { values: &values, names: &[], shape: key::shape(values.len(), 0), hash: 0, typed: false };
    // SAFETY: the caller's tuple keeps its items; attached, no lock held.
    match unsafe { crate::codec::encode_key_with(&view, &[], &mut Vec::new()) } {
        Ok(spelled) => Ok(matches!(spelled, Spelled::Plain)),
        Err(Encoded::Failed) => Err(PyErr::fetch(args.py())),
        Err(_) => Ok(false),
    }
}

/// Why a call has no canonical bytes: the number of the argument, and the reason.
#[pyfunction]
pub fn _explain_key(args: &Bound<'_, PyTuple>) -> PyResult<Option<(usize, String)>> {
    let values = items(args);
    let shape = key::shape(values.len(), 0);
    let view = View { values: &values, names: &[], shape, hash: 0, typed: false };
    // SAFETY: the caller's tuple keeps its items; attached, no lock held.
    let refusal = unsafe { crate::codec::explain_key(&view) };
    match PyErr::take(args.py()) {
        Some(error) => Err(error),
        None => Ok(refusal),
    }
}

/// A value's bytes and how it may be shared (0: as it is, 1: copied, 2: decoded afresh), or None if it has none.
#[pyfunction]
pub fn _encode_value<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<(Bound<'py, PyBytes>, u8)>> {
    let py = value.py();
    let mut out = Vec::new();
    // SAFETY: the caller keeps the object; attached, no lock held.
    match unsafe { crate::codec::encode_value(value.as_ptr(), &mut out) } {
        Ok(sharing) => Ok(Some((PyBytes::new(py, &out), number(sharing)))),
        Err(Encoded::Failed) => Err(PyErr::fetch(py)),
        Err(_) => Ok(None),
    }
}

/// The value of these bytes and how it may be shared, or None if they are damaged.
#[pyfunction]
pub fn _decode_value(bytes: &Bound<'_, PyBytes>) -> PyResult<Option<(Py<PyAny>, u8)>> {
    // SAFETY: attached, no lock held; the caller keeps the bytes.
    match unsafe { crate::codec::decode_value(bytes.as_bytes()) } {
        Decoded::Object(object, sharing) => {
            // SAFETY: a strong reference.
            let object = unsafe { Bound::from_owned_ptr(bytes.py(), object.into_ptr()) };
            Ok(Some((object.unbind(), number(sharing))))
        }
        Decoded::Damaged => Ok(None),
        Decoded::Failed => Err(PyErr::fetch(bytes.py())),
    }
}

/// A copy of a value's containers, its leaves shared.
#[pyfunction]
pub fn _copy<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the caller keeps the object; attached, no lock held; the result is a strong reference.
    unsafe {
        match crate::codec::copy(value.as_ptr()) {
            Some(copy) => Ok(Bound::from_owned_ptr(value.py(), copy.into_ptr())),
            None => Err(PyErr::fetch(value.py())),
        }
    }
}

/// A call's key as text of about so many bytes, or None if it is none.
#[pyfunction]
pub fn _show_key(bytes: &Bound<'_, PyBytes>, limit: usize) -> Option<String> {
    // SAFETY: attached.
    unsafe { crate::codec::show_key(bytes.as_bytes(), limit) }
}

/// A value's type and text, each None of a pickle; None if the bytes are no value's.
#[pyfunction]
pub fn _show_value(bytes: &Bound<'_, PyBytes>, limit: usize) -> Option<(Option<&'static str>, Option<String>)> {
    // SAFETY: attached.
    let shown = unsafe { crate::codec::show_value(bytes.as_bytes(), limit) };
    shown.map(|shown| (shown.kind, shown.text))
}
