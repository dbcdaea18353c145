//! Hashes and comparisons that take no call: what a glance at a call can tell of its key.
//!
//! Ring 3. They agree with `key::hash_one`, `key::hash_many` and `View::equals` wherever they decide.

use pyo3::ffi;

use super::hash::{mix_two, start, START};
use crate::capi::layout;
use engine::hashing::{fold_multiply as mix, GOLDEN as MULTIPLIER};

/// The hash of one object where it takes no call to tell: of ints of one digit that are not negative, of strings that keep
/// theirs, and of objects that hash by their address.
///
/// # Safety
/// As for `key::hash_one`.
#[inline(always)]
unsafe fn hash_object(object: *mut ffi::PyObject) -> Option<u64> {
    // SAFETY: the caller's promise; the layouts are read for exact types only.
    unsafe {
        if layout::is_exact(object, &raw mut ffi::PyLong_Type) {
            layout::plain_digit(object).map(u64::from)
        } else if layout::is_exact(object, &raw mut ffi::PyUnicode_Type) {
            let hash = layout::kept_str_hash(object);
            (hash != -1).then_some(hash as u64)
        } else {
            layout::address_hash(object).map(|hash| hash as u64)
        }
    }
}

/// [`key::hash_one`](super::hash_one), untyped, where it takes no call to tell.
///
/// # Safety
/// As for `key::hash_one`.
#[inline(always)]
pub unsafe fn hash_one(object: *mut ffi::PyObject) -> Option<u64> {
    // SAFETY: the caller's promise.
    unsafe { hash_object(object) }.map(|hash| mix(hash ^ START, MULTIPLIER))
}

/// [`key::hash_many`](super::hash_many) of two values, untyped, where it takes no call to tell.
///
/// # Safety
/// As for `key::hash_one`, for both.
#[inline(always)]
pub unsafe fn hash_two(a: *mut ffi::PyObject, b: *mut ffi::PyObject) -> Option<u64> {
    // SAFETY: the caller's promise.
    let (a, b) = unsafe { (hash_object(a)?, hash_object(b)?) };
    Some(mix_two(start(2, 0), a, b))
}

/// Whether two objects are equal, where it takes no call to tell; `false` may also mean that it does.
///
/// # Safety
/// Both are alive; the second has a hash at a glance.
#[inline(always)]
pub unsafe fn same(stored: *mut ffi::PyObject, value: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's promise: an exact `int` has a plain digit.
    unsafe {
        stored == value || layout::is_exact(value, &raw mut ffi::PyLong_Type) && layout::same_digit(stored, value)
    }
}
