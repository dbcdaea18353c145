//! Whether a call's key is a stored one: as far as can be said in place, and by asking Python.
//!
//! Ring 3. Only the methods named `ask` run user code.

use pyo3::ffi;

use super::view::{View, ONE};
use crate::capi::borrowed::Ref;
use crate::capi::layout::{Exact, Str, Tuple};
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
fn objects_equal(a: Ref<'_>, b: Ref<'_>, typed: bool) -> Equality {
    if a == b {
        return Equality::Yes;
    }
    if let (Some(a), Some(b)) = (a.as_int(), b.as_int()) {
        return a.equals(b).into();
    }
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        return strs_equal(a, b);
    }
    others_equal(a, b, typed, DEPTH)
}

#[inline(never)]
fn strs_equal(a: Str<'_>, b: Str<'_>) -> Equality {
    a.equals(b).map_or(Equality::Unknown, Equality::from)
}

#[inline(never)]
fn others_equal(a: Ref<'_>, b: Ref<'_>, typed: bool, depth: u32) -> Equality {
    if typed && a.kind() != b.kind() {
        return Equality::No;
    }
    match (a.exact(), b.exact()) {
        (Exact::Str(a), Exact::Str(b)) => strs_equal(a, b),
        (Exact::Int(a), Exact::Int(b)) => a.equals(b).into(),
        (Exact::Bytes(a), Exact::Bytes(b)) => (a.as_slice() == b.as_slice()).into(),
        // A NaN equals nothing.
        (Exact::Float(a), Exact::Float(b)) => (a.value() == b.value()).into(),
        // Both are singletons, and identity was looked at before.
        (Exact::Bool, Exact::Bool) | (Exact::None, Exact::None) => Equality::No,
        (Exact::Tuple(a), Exact::Tuple(b)) => tuples_equal(a, b, depth),
        (Exact::Other, _) | (_, Exact::Other) => Equality::Unknown,
        (Exact::Int(_) | Exact::Float(_) | Exact::Bool, Exact::Int(_) | Exact::Float(_) | Exact::Bool) => {
            Equality::Unknown
        }
        // Exact types that never equal one another.
        _ => Equality::No,
    }
}

/// As Python compares tuples: `typed` does not reach into them, as in functools.
fn tuples_equal(a: Tuple<'_>, b: Tuple<'_>, depth: u32) -> Equality {
    let (a, b) = (a.items(), b.items());
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
pub fn is_key_itself(object: Ref<'_>) -> bool {
    object.as_int().is_some() || object.as_str().is_some()
}

/// Whether two objects are equal, untyped; `false` may also mean that only Python can tell.
pub fn same(stored: Ref<'_>, value: Ref<'_>) -> bool {
    objects_equal(stored, value, false) == Equality::Yes
}

impl View<'_> {
    /// Whether this call's key is `key`, whose shape is the view's, as far as can be said without running user code.
    ///
    /// # Safety
    /// `key` is the key of an entry whose stored shape is `self.shape`.
    #[inline]
    pub unsafe fn equals(&self, key: Ref<'_>) -> Equality {
        if self.shape == ONE {
            self.equals_one(key)
        } else {
            // SAFETY: the caller's promise.
            unsafe { self.equals_many(key) }
        }
    }

    /// [`equals`](Self::equals) where the shape is `ONE`.
    #[inline(always)]
    pub fn equals_one(&self, key: Ref<'_>) -> Equality {
        objects_equal(key, self.one(), self.typed)
    }

    /// [`equals`](Self::equals) where the shape is another.
    ///
    /// # Safety
    /// As for `equals`.
    #[inline(always)]
    pub unsafe fn equals_many(&self, key: Ref<'_>) -> Equality {
        // SAFETY: the key of any shape but `ONE` is a tuple.
        let items = unsafe { Ref::row(tuple_items(key.as_ptr())) };
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
        let names = unsafe { Ref::row(tuple_items(items[count].as_ptr())) };
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
    pub fn is_apart(&self, key: Ref<'_>) -> bool {
        self.shape == ONE && is_key_itself(key) != is_key_itself(self.one())
    }

    /// Asks Python whether this call's key is `key`; `None` with an exception set. Runs user code, so no lock may be held.
    ///
    /// # Safety
    /// As for [`equals`](Self::equals).
    pub unsafe fn ask(&self, key: Ref<'_>) -> Option<bool> {
        // Stored keys come first, as in `dict`.
        if self.shape == ONE {
            return ask_one(key, self.one(), self.typed);
        }
        // SAFETY: the key of any shape but `ONE` is a tuple.
        let items = unsafe { Ref::row(tuple_items(key.as_ptr())) };
        for (&stored, &value) in items.iter().zip(self.values) {
            if !ask_one(stored, value, self.typed)? {
                return Some(false);
            }
        }
        if !self.names.is_empty() {
            // SAFETY: where names follow, the last item is a tuple of them.
            let names = unsafe { Ref::row(tuple_items(items[self.values.len()].as_ptr())) };
            for (&stored, &name) in names.iter().zip(self.names) {
                if !ask_one(stored, name, false)? {
                    return Some(false);
                }
            }
        }
        Some(true)
    }
}

fn ask_one(stored: Ref<'_>, value: Ref<'_>, typed: bool) -> Option<bool> {
    match objects_equal(stored, value, typed) {
        Equality::Yes => Some(true),
        Equality::No => Some(false),
        Equality::Unknown => {
            // SAFETY: live objects.
            let answer = unsafe { calls::PyObject_RichCompareBool(stored.as_ptr(), value.as_ptr(), ffi::Py_EQ) };
            (answer != -1).then_some(answer != 0)
        }
    }
}
