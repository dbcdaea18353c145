//! Copies of a value's lists, dicts and sets, and of the tuples around them; everything else is shared.
//!
//! Ring 3. No user code runs, but what the garbage collector brings.

use std::collections::HashMap;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::capi::borrowed::Ref;
use crate::capi::reference::{calls, tuple_items, PyRef};

/// Deeper than anything that is encoded: only a value that its owner changes meanwhile can go beyond.
const MAX_DEPTH: u32 = 2 * engine::wire_format::MAX_DEPTH;

/// The references of what stands once in a list or dict of which there is a flat copy by now: one of each.
const OF_A_COPY: ffi::Py_ssize_t = 2;

/// The copies made so far of what stands in more than one place, by the address of the original, which is kept alive: as in
/// `copy.deepcopy`, one object stays one, and a cycle ends.
type Memo = HashMap<usize, (PyRef, PyRef)>;

/// A copy for one more caller, or `None` with an exception set.
///
/// # Safety
/// `object` is alive, and kept so by the caller; the thread is attached and holds no lock.
pub unsafe fn copy(object: *mut ffi::PyObject) -> Option<PyRef> {
    // SAFETY: the caller's promise.
    unsafe { copy_nested(object, 1, MAX_DEPTH, &mut Memo::new()) }
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

/// `references`: how many an object has that stands in this place alone.
unsafe fn copy_nested(
    object: *mut ffi::PyObject,
    references: ffi::Py_ssize_t,
    depth: u32,
    memo: &mut Memo,
) -> Option<PyRef> {
    // SAFETY: the caller keeps the object; exact types are told before they are taken apart.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        if !may_hold(object) {
            return Some(PyRef::borrow(object));
        }
        let stands_once = ffi::Py_REFCNT(object) <= references;
        if !stands_once {
            if let Some((_, copy)) = memo.get(&(object as usize)) {
                return Some(PyRef::borrow(copy.as_ptr()));
            }
        }
        if depth == 0 {
            ffi::PyErr_SetString(ffi::PyExc_RecursionError, c"the value is nested too deeply to be copied".as_ptr());
            return None;
        }
        let note = |memo: &mut Memo, copy: &PyRef| {
            if !stands_once {
                memo.insert(object as usize, (PyRef::borrow(object), PyRef::borrow(copy.as_ptr())));
            }
        };
        if kind == &raw mut ffi::PyList_Type {
            let copy = new(calls::PyList_GetSlice(object, 0, ffi::PY_SSIZE_T_MAX))?;
            note(memo, &copy);
            copy_items(copy, depth, memo)
        } else if kind == &raw mut ffi::PyDict_Type {
            let copy = new(calls::PyDict_Copy(object))?;
            note(memo, &copy);
            copy_values(copy, depth, memo)
        } else {
            let copy = if kind == &raw mut ffi::PyTuple_Type {
                copy_tuple(object, depth, memo)?
            } else {
                // The members of a set can be hashed, so there is nothing in them to copy.
                new(calls::PySet_New(object))?
            };
            // A tuple that is part of itself has been copied on the way.
            if let Some((_, copy)) = memo.get(&(object as usize)) {
                return Some(PyRef::borrow(copy.as_ptr()));
            }
            note(memo, &copy);
            Some(copy)
        }
    }
}

/// Replaces the items of a list that need it by copies. The list is a copy itself: no other thread knows it.
unsafe fn copy_items(copy: PyRef, depth: u32, memo: &mut Memo) -> Option<PyRef> {
    // SAFETY: the copy keeps its items, and has as many when the loop ends: whoever finds it through the collector must not
    // change it. `PyList_SetItem` checks the index and takes the new item over.
    unsafe {
        for at in 0..ffi::PyList_GET_SIZE(copy.as_ptr()) {
            let item = ffi::PyList_GET_ITEM(copy.as_ptr(), at);
            if may_hold(item) {
                let item = copy_nested(item, OF_A_COPY, depth - 1, memo)?;
                if calls::PyList_SetItem(copy.as_ptr(), at, item.into_ptr()) != 0 {
                    return None;
                }
            }
        }
        Some(copy)
    }
}

/// The same for the values of a dict.
unsafe fn copy_values(copy: PyRef, depth: u32, memo: &mut Memo) -> Option<PyRef> {
    // SAFETY: as for `copy_items`. A dict may be walked while values of keys that it has are replaced; the key is kept by a
    // reference, as replacing may let the collector run.
    unsafe {
        let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        while ffi::PyDict_Next(copy.as_ptr(), &mut at, &mut key, &mut value) != 0 {
            if may_hold(value) {
                let key = PyRef::borrow(key);
                let value = copy_nested(value, OF_A_COPY, depth - 1, memo)?;
                if calls::PyDict_SetItem(copy.as_ptr(), key.as_ptr(), value.as_ptr()) != 0 {
                    return None;
                }
            }
        }
        Some(copy)
    }
}

/// The tuple itself where nothing in it is copied.
unsafe fn copy_tuple(tuple: *mut ffi::PyObject, depth: u32, memo: &mut Memo) -> Option<PyRef> {
    // SAFETY: a tuple keeps its items.
    unsafe {
        let items = tuple_items(tuple);
        let mut copies: Vec<PyRef> = Vec::new();
        for (at, &item) in items.iter().enumerate() {
            if copies.is_empty() && !may_hold(item) {
                continue;
            }
            let item_copy = copy_nested(item, 1, depth - 1, memo)?;
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
        crate::capi::reference::new_tuple(Python::assume_attached(), copies.iter().map(|item| Ref::new(item.as_ptr())))
    }
}
