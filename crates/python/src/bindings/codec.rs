//! The codec as Python functions, for tests.
//!
//! Ring 3.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::capi::borrowed::Ref;
use crate::capi::reference::tuple_items;
use crate::codec::{Decoded, Encoded, Sharing, Spelled};
use crate::key::{self, View};

fn number(sharing: Sharing) -> u8 {
    match sharing {
        Sharing::Immutable => 0,
        Sharing::Containers => 1,
        Sharing::Pickled => 2,
    }
}

fn items<'a>(tuple: &'a Bound<'_, PyTuple>) -> &'a [Ref<'a>] {
    // SAFETY: a tuple keeps its items.
    unsafe { Ref::row(tuple_items(tuple.as_ptr())) }
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
    let view = View { values, names, shape, hash: 0, typed };
    let mut out = Vec::new();
    match crate::codec::encode_key(&view, &mut out) {
        Encoded::Done => Ok(Some(PyBytes::new(py, &out))),
        Encoded::Unstorable => Ok(None),
        Encoded::Failed => Err(PyErr::fetch(py)),
    }
}

/// Whether a call has canonical bytes that it has for ever.
#[pyfunction]
pub fn _is_plain_key(args: &Bound<'_, PyTuple>) -> PyResult<bool> {
    let values = items(args);
    let view = View { values, names: &[], shape: key::shape(values.len(), 0), hash: 0, typed: false };
    match crate::codec::encode_key_with(&view, &[], &mut Vec::new()) {
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
    let view = View { values, names: &[], shape, hash: 0, typed: false };
    let refusal = crate::codec::explain_key(&view);
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
    match crate::codec::encode_value(value.into(), &mut out) {
        Ok(sharing) => Ok(Some((PyBytes::new(py, &out), number(sharing)))),
        Err(Encoded::Failed) => Err(PyErr::fetch(py)),
        Err(_) => Ok(None),
    }
}

/// The value of these bytes and how it may be shared, or None if they are damaged.
#[pyfunction]
pub fn _decode_value(bytes: &Bound<'_, PyBytes>) -> PyResult<Option<(Py<PyAny>, u8)>> {
    match crate::codec::decode_value(bytes.py(), bytes.as_bytes()) {
        Decoded::Object(object, sharing) => Ok(Some((object.into_bound(bytes.py()).unbind(), number(sharing)))),
        Decoded::Damaged => Ok(None),
        Decoded::Failed => Err(PyErr::fetch(bytes.py())),
    }
}

/// A copy of a value's containers, its leaves shared.
#[pyfunction]
pub fn _copy<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match crate::codec::copy(value.into()) {
        Some(copy) => Ok(copy.into_bound(value.py())),
        None => Err(PyErr::fetch(value.py())),
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
pub fn _show_value(
    bytes: &Bound<'_, PyBytes>,
    limit: usize,
) -> Option<(Option<std::borrow::Cow<'static, str>>, Option<String>)> {
    // SAFETY: attached.
    let shown = unsafe { crate::codec::show_value(bytes.as_bytes(), limit) };
    shown.map(|shown| (shown.kind, shown.text))
}
