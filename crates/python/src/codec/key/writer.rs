//! The writer of one key: what it is inside of, how much it may write, and how it spells the types of most arguments.
//!
//! Ring 3. [`objects`](super::objects) has the other types.

use std::ffi::CStr;

use pyo3::ffi;

use crate::capi::reference::{tuple_items, PyRef};
use crate::codec::load::Named;
use crate::codec::named::{self, Role};
use crate::codec::{atoms, Stop};
use engine::wire_format::{self, tag};

/// How many bytes are spelled at most: what is reachable twice is spelled twice, and so may be exponentially long.
const LIMIT: usize = 1 << 26;
pub(super) const TOO_DEEP: &str = "it holds itself, or is nested more than 100 deep";
const _: () = assert!(wire_format::MAX_DEPTH == 100);
/// (In a type's place: it is whichever argument it is.)
const TOO_LONG: &str = ": spelled out it takes more than 67108864 bytes, each part counted as 64 or more";
/// How many of them an object counts for at least.
const PART: usize = 64;

/// Spells one key.
pub struct Writer {
    /// The objects around the present one that could hold themselves.
    around: Vec<*mut ffi::PyObject>,
    spent: usize,
    /// Whether this is inside an object that was reduced, whose bytes are read back.
    pub reduced: bool,
    /// Whether types count, and 1 is not 1.0: where equality is not enough for the object around.
    pub exact: bool,
    /// Whether what was spelled so far says the same for ever: no part of it can be edited in place.
    pub plain: bool,
    /// What was spelled by a hash.
    pub named: Named,
    /// What was asked for its hash last, with the role and the answer.
    pub met: Vec<(PyRef, Role, [u8; named::HASH])>,
    /// The value that is being spelled, by its number.
    pub(super) at: usize,
    /// Why something was refused first.
    pub(super) why: Option<String>,
}

impl Writer {
    pub(super) fn new() -> Self {
        let named = Named::default();
        Writer {
            around: Vec::new(),
            spent: 0,
            reduced: false,
            exact: false,
            plain: true,
            named,
            met: Vec::new(),
            at: 0,
            why: None,
        }
    }

    /// Gives up: there are no bytes for this object.
    ///
    /// # Safety
    /// `object` is alive.
    #[cold]
    pub unsafe fn refuse<T>(&mut self, object: *mut ffi::PyObject, reason: &str) -> Result<T, Stop> {
        if self.why.is_none() {
            // SAFETY: a type's name is a C string.
            let kind = unsafe { CStr::from_ptr((*ffi::Py_TYPE(object)).tp_name) };
            self.why = Some(format!("{}: {reason}", kind.to_string_lossy()));
        }
        Err(Stop::Unstorable)
    }

    /// # Safety
    /// `object` is alive, and kept so by the caller; the thread is attached and holds no lock. Runs user code.
    #[inline]
    pub unsafe fn put(&mut self, object: *mut ffi::PyObject, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        // SAFETY: the caller's promise; each type is checked before its layout is used.
        unsafe {
            let kind = ffi::Py_TYPE(object);
            if kind == &raw mut ffi::PyLong_Type {
                atoms::put_int(object, out);
                Ok(())
            } else if kind == &raw mut ffi::PyUnicode_Type {
                atoms::put_str(object, out)
            } else if object == ffi::Py_None() {
                out.push(tag::NONE);
                Ok(())
            } else if kind == &raw mut ffi::PyTuple_Type {
                self.put_tuple(object, out, depth)
            } else {
                self.put_other(object, out, depth)
            }
        }
    }

    /// Runs `put` for the parts of an object, unless it is around already, nested too deeply, or everything grows too long.
    pub(super) unsafe fn inside(
        &mut self,
        object: *mut ffi::PyObject,
        depth: u32,
        put: impl FnOnce(&mut Self) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        self.charge(PART)?;
        if depth == 0 || self.around.contains(&object) {
            // SAFETY: alive (the caller's promise).
            return unsafe { self.refuse(object, TOO_DEEP) };
        }
        self.around.push(object);
        let done = put(self);
        self.around.pop();
        done
    }

    pub fn charge(&mut self, more: usize) -> Result<(), Stop> {
        self.spent = self.spent.saturating_add(more);
        if self.spent > LIMIT {
            self.why.get_or_insert_with(|| TOO_LONG.to_owned());
            return Err(Stop::Unstorable);
        }
        Ok(())
    }

    pub(super) unsafe fn put_tuple(
        &mut self,
        tuple: *mut ffi::PyObject,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        let start = out.len();
        if depth == 0 {
            // SAFETY: alive (the caller's promise).
            return unsafe { self.refuse(tuple, TOO_DEEP) };
        }
        // SAFETY: a tuple keeps its items.
        unsafe {
            let items = tuple_items(tuple);
            wire_format::put_count(out, tag::SHORT_TUPLE, tag::TUPLE, items.len());
            for &item in items {
                self.put(item, out, depth - 1)?;
            }
        }
        self.charge(out.len() - start)
    }
}
