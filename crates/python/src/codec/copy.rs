//! Copies of a value's lists, dicts and sets, and of the tuples around them; everything else is shared.
//!
//! Ring 3. No user code runs, but what the garbage collector brings.

use pyo3::ffi;

use crate::capi::reference::{calls, tuple_items, PyRef};

/// Deeper than anything that is encoded: only a value that its owner changes meanwhile can go beyond.
const MAX_DEPTH: u32 = 2 * engine::wire_format::MAX_DEPTH;

/// A copy for one more caller, or `None` with an exception set.
///
/// # Safety
/// `object` is alive, and kept so by the caller; the thread is attached and holds no lock.
pub unsafe fn copy(object: *mut ffi::PyObject) -> Option<PyRef> {
    // SAFETY: the caller's promise.
    unsafe { copy_nested(object, MAX_DEPTH) }
}

/// Whether the object may have to be copied.
#[inline(always)]
unsafe fn may_hold(object: *mut ffi::PyObject) -> bool {
    // SAFETY: a live object (the callers').
    let kind = unsafe { ffi::Py_TYPE(object) };
    kind == &raw mut ffi::PyList_Type
        || kind == &raw mut ffi::PyDict_Type
        || kind == &raw mut ffi::PyTuple_Type
        || kind == &raw mut ffi::PySet_Type
}

unsafe fn new(object: *mut ffi::PyObject) -> Option<PyRef> {
    // SAFETY: the callers pass a strong reference or null.
    (!object.is_null()).then(|| unsafe { PyRef::steal(object) })
}

unsafe fn copy_nested(object: *mut ffi::PyObject, depth: u32) -> Option<PyRef> {
    // SAFETY: the caller keeps the object; exact types are told before they are taken apart.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        if kind != &raw mut ffi::PyTuple_Type && !may_hold(object) {
            return Some(PyRef::borrow(object));
        }
        if depth == 0 {
            ffi::PyErr_SetString(ffi::PyExc_RecursionError, c"the value is nested too deeply to be copied".as_ptr());
            return None;
        }
        if kind == &raw mut ffi::PyList_Type {
            copy_list(object, depth)
        } else if kind == &raw mut ffi::PyDict_Type {
            copy_dict(object, depth)
        } else if kind == &raw mut ffi::PyTuple_Type {
            copy_tuple(object, depth)
        } else {
            // The members of a set can be hashed, so there is nothing in them to copy.
            new(calls::PySet_New(object))
        }
    }
}

/// First all at once, then the items that need it, in the copy: no other thread knows it.
unsafe fn copy_list(list: *mut ffi::PyObject, depth: u32) -> Option<PyRef> {
    // SAFETY: the copy keeps its items, and has as many when the loop ends: whoever finds it through the collector must not
    // change it. `PyList_SetItem` checks the index and takes the new item over.
    unsafe {
        let copy = new(calls::PyList_GetSlice(list, 0, ffi::PY_SSIZE_T_MAX))?;
        for at in 0..ffi::PyList_GET_SIZE(copy.as_ptr()) {
            let item = ffi::PyList_GET_ITEM(copy.as_ptr(), at);
            if may_hold(item) {
                let item = copy_nested(item, depth - 1)?;
                if calls::PyList_SetItem(copy.as_ptr(), at, item.into_ptr()) != 0 {
                    return None;
                }
            }
        }
        Some(copy)
    }
}

unsafe fn copy_dict(dict: *mut ffi::PyObject, depth: u32) -> Option<PyRef> {
    // SAFETY: as for `copy_list`. A dict may be walked while values of keys that it has are replaced; the key is kept by a
    // reference, as replacing may let the collector run.
    unsafe {
        let copy = new(calls::PyDict_Copy(dict))?;
        let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        while ffi::PyDict_Next(copy.as_ptr(), &mut at, &mut key, &mut value) != 0 {
            if may_hold(value) {
                let key = PyRef::borrow(key);
                let value = copy_nested(value, depth - 1)?;
                if calls::PyDict_SetItem(copy.as_ptr(), key.as_ptr(), value.as_ptr()) != 0 {
                    return None;
                }
            }
        }
        Some(copy)
    }
}

/// The tuple itself where nothing in it is copied.
unsafe fn copy_tuple(tuple: *mut ffi::PyObject, depth: u32) -> Option<PyRef> {
    // SAFETY: a tuple keeps its items.
    unsafe {
        let items = tuple_items(tuple);
        let mut copies: Vec<PyRef> = Vec::new();
        for (at, &item) in items.iter().enumerate() {
            if copies.is_empty() && !may_hold(item) {
                continue;
            }
            let item_copy = copy_nested(item, depth - 1)?;
            if copies.is_empty() {
                if item_copy.as_ptr() == item {
                    continue;
                }
                copies.reserve(items.len());
                copies.extend(items[..at].iter().map(|&item| PyRef::borrow(item)));
            }
            copies.push(item_copy);
        }
        if copies.is_empty() {
            return Some(PyRef::borrow(tuple));
        }
        crate::capi::reference::new_tuple(copies.iter().map(PyRef::as_ptr))
    }
}
