//! Whether a call's key is a stored one: as far as can be said in place, and by asking Python.
//!
//! Ring 3. Only the methods named `ask` run user code.

use pyo3::ffi;

use super::view::{View, ONE};
use crate::capi::layout::{self, Exact};
use crate::capi::reference::{calls, tuple_items};

/// Nesting of tuples that is compared in place; beyond it, the comparison is Python's, which knows its stack.
const DEPTH: u32 = 8;

/// The answer to "are these equal?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equality {
    Yes,
    No,
    /// Only a call into Python can tell.
    Unknown,
}

impl From<bool> for Equality {
    #[inline(always)]
    fn from(equal: bool) -> Self {
        if equal {
            Equality::Yes
        } else {
            Equality::No
        }
    }
}

/// Whether two objects are equal, as far as can be said without running user code.
#[inline(always)]
fn objects_equal(a: *mut ffi::PyObject, b: *mut ffi::PyObject, typed: bool) -> Equality {
    if a == b {
        return Equality::Yes;
    }
    // SAFETY: live objects; the layouts are read for exact types only.
    unsafe {
        if layout::is_exact(a, &raw mut ffi::PyLong_Type) && layout::is_exact(b, &raw mut ffi::PyLong_Type) {
            return layout::ints_equal(a, b).into();
        }
        if layout::is_exact(a, &raw mut ffi::PyUnicode_Type) && layout::is_exact(b, &raw mut ffi::PyUnicode_Type) {
            return strs_equal(a, b);
        }
    }
    others_equal(a, b, typed, DEPTH)
}

/// # Safety
/// Both are exact `str`s.
#[inline(never)]
unsafe fn strs_equal(a: *mut ffi::PyObject, b: *mut ffi::PyObject) -> Equality {
    // SAFETY: the caller's promise.
    unsafe { layout::strs_equal(a, b) }.map_or(Equality::Unknown, Equality::from)
}

#[inline(never)]
fn others_equal(a: *mut ffi::PyObject, b: *mut ffi::PyObject, typed: bool, depth: u32) -> Equality {
    // SAFETY: live objects; the layouts are read for exact types only.
    unsafe {
        if typed && layout::type_of(a) != layout::type_of(b) {
            return Equality::No;
        }
        match (layout::exact(a), layout::exact(b)) {
            (Exact::Str, Exact::Str) => strs_equal(a, b),
            (Exact::Int, Exact::Int) => layout::ints_equal(a, b).into(),
            (Exact::Bytes, Exact::Bytes) => layout::bytes_equal(a, b).into(),
            (Exact::Float, Exact::Float) => layout::floats_equal(a, b).into(),
            // Both are singletons, and identity was looked at before.
            (Exact::Bool, Exact::Bool) | (Exact::None, Exact::None) => Equality::No,
            (Exact::Tuple, Exact::Tuple) => tuples_equal(a, b, depth),
            (Exact::Other, _) | (_, Exact::Other) => Equality::Unknown,
            (Exact::Int | Exact::Float | Exact::Bool, Exact::Int | Exact::Float | Exact::Bool) => Equality::Unknown,
            // Exact types that never equal one another.
            _ => Equality::No,
        }
    }
}

/// As Python compares tuples: `typed` does not reach into them, as in functools.
unsafe fn tuples_equal(a: *mut ffi::PyObject, b: *mut ffi::PyObject, depth: u32) -> Equality {
    // SAFETY: the caller passes exact tuples.
    let (a, b) = unsafe { (tuple_items(a), tuple_items(b)) };
    if a.len() != b.len() {
        return Equality::No;
    }
    if depth == 0 {
        return Equality::Unknown;
    }
    for (&x, &y) in a.iter().zip(b) {
        if x != y {
            match others_equal(x, y, false, depth - 1) {
                Equality::Yes => (),
                // In the order of the items: what comes after an unequal item is not looked at, nor asked.
                answer => return answer,
            }
        }
    }
    Equality::Yes
}

/// Whether functools takes a lone argument itself for a key: an exact `int` or `str`. Of any other it makes a tuple.
///
/// # Safety
/// It is alive; the thread is attached.
pub unsafe fn is_key_itself(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        layout::is_exact(object, &raw mut ffi::PyLong_Type) || layout::is_exact(object, &raw mut ffi::PyUnicode_Type)
    }
}

/// Whether two objects are equal, untyped; `false` may also mean that only Python can tell.
///
/// # Safety
/// Both are alive; the thread is attached.
pub unsafe fn same(stored: *mut ffi::PyObject, value: *mut ffi::PyObject) -> bool {
    objects_equal(stored, value, false) == Equality::Yes
}

impl View<'_> {
    /// Whether this call's key is `key`, whose shape is the view's, as far as can be said without running user code.
    ///
    /// # Safety
    /// `key` is the live key of an entry whose stored shape is `self.shape`; the thread is attached.
    #[inline]
    pub unsafe fn equals(&self, key: *mut ffi::PyObject) -> Equality {
        // SAFETY: the caller's promise.
        unsafe {
            if self.shape == ONE {
                self.equals_one(key)
            } else {
                self.equals_many(key)
            }
        }
    }

    /// [`equals`](Self::equals) where the shape is `ONE`.
    ///
    /// # Safety
    /// As for `equals`.
    #[inline(always)]
    pub unsafe fn equals_one(&self, key: *mut ffi::PyObject) -> Equality {
        // SAFETY: a shape of one positional argument has one value.
        objects_equal(key, unsafe { *self.values.get_unchecked(0) }, self.typed)
    }

    /// [`equals`](Self::equals) where the shape is another.
    ///
    /// # Safety
    /// As for `equals`.
    #[inline(always)]
    pub unsafe fn equals_many(&self, key: *mut ffi::PyObject) -> Equality {
        // SAFETY: the key of any shape but `ONE` is a tuple.
        unsafe { self.equals_tuple(tuple_items(key)) }
    }

    #[inline(always)]
    unsafe fn equals_tuple(&self, items: &[*mut ffi::PyObject]) -> Equality {
        let count = self.values.len();
        if items.len() != count + usize::from(!self.names.is_empty()) {
            return Equality::No;
        }
        for (&stored, &value) in items.iter().zip(self.values) {
            match objects_equal(stored, value, self.typed) {
                Equality::Yes => (),
                answer => return answer,
            }
        }
        if self.names.is_empty() {
            return Equality::Yes;
        }
        // SAFETY: where names follow, the last item is a tuple of them.
        let names = unsafe { tuple_items(items[count]) };
        if names.len() != self.names.len() {
            return Equality::No;
        }
        for (&stored, &name) in names.iter().zip(self.names) {
            match objects_equal(stored, name, false) {
                Equality::Yes => (),
                answer => return answer,
            }
        }
        Equality::Yes
    }

    /// Whether this call has a lone argument that functools keeps apart from the one in `key`, though they may be equal.
    ///
    /// # Safety
    /// As for [`equals`](Self::equals).
    pub unsafe fn is_apart(&self, key: *mut ffi::PyObject) -> bool {
        // SAFETY: a shape of one positional argument has one value; the caller's promise.
        unsafe { self.shape == ONE && is_key_itself(key) != is_key_itself(*self.values.get_unchecked(0)) }
    }

    /// Asks Python whether this call's key is `key`; `None` with an exception set. Runs user code.
    ///
    /// # Safety
    /// As for [`equals`](Self::equals); the caller holds a strong reference to `key` and no lock.
    pub unsafe fn ask(&self, key: *mut ffi::PyObject) -> Option<bool> {
        // SAFETY: the caller's promise. Stored keys come first, as in `dict`.
        unsafe {
            if self.shape == ONE {
                return self.ask_one(key, self.values[0], self.typed);
            }
            let items = tuple_items(key);
            for (&stored, &value) in items.iter().zip(self.values) {
                if !self.ask_one(stored, value, self.typed)? {
                    return Some(false);
                }
            }
            if !self.names.is_empty() {
                for (&stored, &name) in tuple_items(items[self.values.len()]).iter().zip(self.names) {
                    if !self.ask_one(stored, name, false)? {
                        return Some(false);
                    }
                }
            }
            Some(true)
        }
    }

    unsafe fn ask_one(&self, stored: *mut ffi::PyObject, value: *mut ffi::PyObject, typed: bool) -> Option<bool> {
        match objects_equal(stored, value, typed) {
            Equality::Yes => Some(true),
            Equality::No => Some(false),
            // SAFETY: live objects, no lock held.
            Equality::Unknown => match unsafe { calls::PyObject_RichCompareBool(stored, value, ffi::Py_EQ) } {
                -1 => None,
                answer => Some(answer != 0),
            },
        }
    }
}
