//! Values to bytes.
//!
//! Ring 3. Exact built-in types are spelled in place and without running any code; where anything else turns up, what was
//! written is thrown away and the whole value pickled.

use std::collections::HashSet;

use pyo3::ffi;

use super::{atoms, pickle, standard, Encoded, Sharing, Stop};
use crate::capi::reference::{calls, tuple_items, PyRef};
use crate::capi::sharing::FREE_THREADED;
use engine::wire_format::{self, header, tag};

/// Writes a value's bytes behind what is in `out`; where there are none, `out` is as it was.
///
/// # Safety
/// `object` is alive, and kept so by the caller; the thread is attached and holds no lock. Runs user code.
pub unsafe fn encode_value(object: *mut ffi::PyObject, out: &mut Vec<u8>) -> Result<Sharing, Encoded> {
    // SAFETY: the caller's promise.
    unsafe { encode(object, out, true) }
}

/// [`encode_value`] without pickling anything: what has no spelling of its own has no bytes.
///
/// # Safety
/// As for `encode_value`.
pub unsafe fn encode_plain(object: *mut ffi::PyObject, out: &mut Vec<u8>) -> Result<Sharing, Encoded> {
    // SAFETY: the caller's promise.
    unsafe { encode(object, out, false) }
}

unsafe fn encode(object: *mut ffi::PyObject, out: &mut Vec<u8>, may_pickle: bool) -> Result<Sharing, Encoded> {
    let start = out.len();
    out.push(header::IMMUTABLE);
    let mut encoder = Encoder { out, seen: Seen::default(), kept: Vec::new(), repeated: 0, containers: 0 };
    // SAFETY: the caller's promise.
    let done = unsafe {
        match encoder.put(object, wire_format::MAX_DEPTH) {
            Ok(()) if encoder.containers == 0 => Ok(Sharing::Immutable),
            Ok(()) => {
                out[start] = header::CONTAINERS;
                Ok(Sharing::Containers)
            }
            Err(Other::Pickle) if !may_pickle => Err(Stop::Unstorable),
            Err(Other::Pickle) => {
                out.truncate(start);
                pickle::put(object, out)
            }
            Err(Other::Stop(stop)) => Err(stop),
        }
    };
    done.map_err(|stop| {
        out.truncate(start);
        Encoded::from(stop)
    })
}

/// Why a value has no spelling of its own.
enum Other {
    /// It is to be pickled.
    Pickle,
    Stop(Stop),
}

impl From<Stop> for Other {
    fn from(stop: Stop) -> Self {
        Other::Stop(stop)
    }
}

/// Objects that were met and that something else refers to as well.
#[derive(Default)]
struct Seen {
    few: [usize; 8],
    count: usize,
    many: Option<HashSet<usize>>,
}

impl Seen {
    /// Whether the object is new.
    fn insert(&mut self, object: *mut ffi::PyObject) -> bool {
        let object = object as usize;
        if let Some(many) = &mut self.many {
            return many.insert(object);
        }
        if self.few[..self.count].contains(&object) {
            return false;
        }
        if self.count < self.few.len() {
            self.few[self.count] = object;
            self.count += 1;
        } else {
            self.many = Some(self.few.iter().copied().chain([object]).collect());
        }
        true
    }
}

/// How many bytes may be spelled more than once for objects that are reachable twice; pickle writes each of them once.
const REPEATED: usize = 1 << 16;
/// From this length on, it is worth while to notice that a str or bytes occurs again.
const LONG: usize = 256;

struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    seen: Seen,
    /// Keeps what was met where other threads could free it meanwhile: were its address used again, the value would be
    /// pickled without need, and `pickle` of CPython 3.13t does not bear that others change what it walks.
    kept: Vec<PyRef>,
    repeated: usize,
    /// The lists, dicts and sets that were met.
    containers: usize,
}

/// Whether something else may refer to the object, too. An object reachable twice is referred to twice.
#[inline(always)]
unsafe fn is_shared(object: *mut ffi::PyObject) -> bool {
    // SAFETY: a live object (the callers').
    FREE_THREADED || unsafe { ffi::Py_REFCNT(object) } > 1
}

impl Encoder<'_> {
    /// # Safety
    /// `object` is alive, and stays so while no code runs; the thread is attached.
    unsafe fn put(&mut self, object: *mut ffi::PyObject, depth: u32) -> Result<(), Other> {
        // SAFETY: the caller's promise; each type is checked before its layout is used.
        unsafe {
            let kind = ffi::Py_TYPE(object);
            if kind == &raw mut ffi::PyUnicode_Type {
                let start = self.out.len();
                atoms::put_str(object, self.out)?;
                self.note_leaf(object, start)?;
            } else if kind == &raw mut ffi::PyLong_Type {
                atoms::put_int(object, self.out);
            } else if object == ffi::Py_None() {
                self.out.push(tag::NONE);
            } else if kind == &raw mut ffi::PyBool_Type {
                self.out.push(if object == ffi::Py_True() { tag::TRUE } else { tag::FALSE });
            } else if kind == &raw mut ffi::PyFloat_Type {
                atoms::put_float(ffi::PyFloat_AS_DOUBLE(object), self.out);
            } else if kind == &raw mut ffi::PyBytes_Type {
                let start = self.out.len();
                atoms::put_bytes(object, self.out)?;
                self.note_leaf(object, start)?;
            } else if kind == &raw mut ffi::PyComplex_Type {
                atoms::put_complex(ffi::PyComplex_AsCComplex(object), self.out);
            } else {
                return self.put_container(object, kind, depth);
            }
            Ok(())
        }
    }

    unsafe fn put_container(
        &mut self,
        object: *mut ffi::PyObject,
        kind: *mut ffi::PyTypeObject,
        depth: u32,
    ) -> Result<(), Other> {
        // SAFETY: as for `put`. From here on the object is kept: an iterator that is made in it may run the garbage collector.
        unsafe {
            let is_frozenset = kind == &raw mut ffi::PyFrozenSet_Type;
            let is_tuple = kind == &raw mut ffi::PyTuple_Type;
            let changeable = [&raw mut ffi::PyList_Type, &raw mut ffi::PyDict_Type, &raw mut ffi::PySet_Type];
            if !is_frozenset && !is_tuple && !changeable.contains(&kind) {
                return self.put_standard(object, depth);
            }
            let (start, containers) = (self.out.len(), self.containers);
            let is_shared = is_shared(object);
            if !is_frozenset && !is_tuple {
                // A container that is reachable twice must be one object again.
                self.containers += 1;
                if is_shared && !self.is_new(object) {
                    return Err(Other::Pickle);
                }
            }
            if depth == 0 {
                return Err(Other::Pickle);
            }
            let kept = PyRef::borrow(object);
            if is_tuple {
                self.put_tuple(object, depth)?;
            } else if kind == &raw mut ffi::PyList_Type {
                self.put_list(object, depth)?;
            } else if kind == &raw mut ffi::PyDict_Type {
                self.put_dict(object, depth)?;
            } else {
                self.put_set(object, if is_frozenset { tag::FROZENSET } else { tag::SET }, depth)?;
            }
            // The empty tuple and the empty frozenset are one object for all.
            let length = self.out.len() - start;
            if is_shared && (is_tuple && length > 1 || is_frozenset && length > 2) {
                let is_new = self.note_again(object, start)?;
                // The containers in a tuple that is met again are met again.
                if self.containers > containers && !is_new {
                    return Err(Other::Pickle);
                }
            }
            drop(kept);
            Ok(())
        }
    }

    /// What the standard library has that cannot be changed.
    unsafe fn put_standard(&mut self, object: *mut ffi::PyObject, depth: u32) -> Result<(), Other> {
        // SAFETY: as for `put`; the object is kept by the caller.
        unsafe {
            if depth == 0 {
                return Err(Other::Pickle);
            }
            let kept = PyRef::borrow(object);
            let start = self.out.len();
            let Some((class, parts)) = standard::parts_of(object)? else { return Err(Other::Pickle) };
            self.out.extend_from_slice(&[tag::STANDARD, class]);
            self.put(parts.as_ptr(), depth - 1)?;
            self.note_leaf(object, start)?;
            drop(kept);
            Ok(())
        }
    }

    /// Whether the object was not met before.
    unsafe fn is_new(&mut self, object: *mut ffi::PyObject) -> bool {
        let is_new = self.seen.insert(object);
        if FREE_THREADED && is_new {
            // SAFETY: a live object (the callers').
            self.kept.push(unsafe { PyRef::borrow(object) });
        }
        is_new
    }

    #[inline(always)]
    unsafe fn note_leaf(&mut self, object: *mut ffi::PyObject, start: usize) -> Result<(), Other> {
        // SAFETY: a live object (the callers').
        if self.out.len() - start >= LONG && unsafe { is_shared(object) } {
            self.note_again(object, start)?;
        }
        Ok(())
    }

    /// What can't be changed may be spelled twice, but within limits: tuples of tuples may be exponentially many. Whether the
    /// object was not met before.
    fn note_again(&mut self, object: *mut ffi::PyObject, start: usize) -> Result<bool, Other> {
        // SAFETY: the callers' object is alive.
        let is_new = unsafe { self.is_new(object) };
        if !is_new {
            self.repeated += self.out.len() - start;
            if self.repeated > REPEATED {
                return Err(Other::Pickle);
            }
        }
        Ok(is_new)
    }

    unsafe fn put_tuple(&mut self, tuple: *mut ffi::PyObject, depth: u32) -> Result<(), Other> {
        // SAFETY: a tuple keeps its items, and is kept.
        unsafe {
            let items = tuple_items(tuple);
            wire_format::put_count(self.out, tag::SHORT_TUPLE, tag::TUPLE, items.len());
            for &item in items {
                // A tuple that is still being made.
                if item.is_null() {
                    return Err(Other::Pickle);
                }
                self.put(item, depth - 1)?;
            }
        }
        Ok(())
    }

    unsafe fn put_list(&mut self, list: *mut ffi::PyObject, depth: u32) -> Result<(), Other> {
        // SAFETY: the list is kept. With a GIL, no code runs between the look at its length and the use of an item, which is
        // kept in its turn. Where threads run side by side, a copy is walked, which no other thread knows.
        unsafe {
            let copy = if FREE_THREADED {
                Some(super::checked(calls::PyList_GetSlice(list, 0, ffi::PY_SSIZE_T_MAX))?)
            } else {
                None
            };
            let list = copy.as_ref().map_or(list, PyRef::as_ptr);
            let length = ffi::PyList_GET_SIZE(list);
            wire_format::put_count(self.out, tag::SHORT_LIST, tag::LIST, length as usize);
            for at in 0..length {
                // It was changed meanwhile, or is still being made.
                if at >= ffi::PyList_GET_SIZE(list) || ffi::PyList_GET_ITEM(list, at).is_null() {
                    return Err(Other::Pickle);
                }
                self.put(ffi::PyList_GET_ITEM(list, at), depth - 1)?;
            }
        }
        Ok(())
    }

    unsafe fn put_dict(&mut self, dict: *mut ffi::PyObject, depth: u32) -> Result<(), Other> {
        // SAFETY: as for `put_list`; each step begins with what the dict is then. Only a tuple or frozenset as key runs any
        // code (see `put_set`), for which the value is kept.
        unsafe {
            let copy = if FREE_THREADED { Some(super::checked(calls::PyDict_Copy(dict))?) } else { None };
            let dict = copy.as_ref().map_or(dict, PyRef::as_ptr);
            let length = ffi::PyDict_Size(dict);
            wire_format::put_count(self.out, tag::SHORT_DICT, tag::DICT, length as usize);
            let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
            let mut count = 0;
            while ffi::PyDict_Next(dict, &mut at, &mut key, &mut value) != 0 {
                if ffi::Py_TYPE(key) == &raw mut ffi::PyUnicode_Type {
                    self.put(key, depth - 1)?;
                    self.put(value, depth - 1)?;
                } else {
                    let value = PyRef::borrow(value);
                    self.put(key, depth - 1)?;
                    self.put(value.as_ptr(), depth - 1)?;
                }
                count += 1;
            }
            if count != length {
                return Err(Other::Pickle);
            }
        }
        Ok(())
    }

    unsafe fn put_set(&mut self, set: *mut ffi::PyObject, tag: u8, depth: u32) -> Result<(), Other> {
        // SAFETY: the iterator gives strong references, and raises where the set was changed meanwhile: making it may run the
        // garbage collector.
        unsafe {
            let copy = if FREE_THREADED { Some(super::checked(calls::PySet_New(set))?) } else { None };
            let set = copy.as_ref().map_or(set, PyRef::as_ptr);
            let length = ffi::PySet_Size(set) as usize;
            wire_format::put_sized(self.out, tag, length);
            let iterator = super::checked(calls::PyObject_GetIter(set))?;
            let mut count = 0;
            loop {
                let item = calls::PyIter_Next(iterator.as_ptr());
                if item.is_null() {
                    break;
                }
                self.put(PyRef::steal(item).as_ptr(), depth - 1)?;
                count += 1;
            }
            if !ffi::PyErr_Occurred().is_null() {
                return match super::classify_exception() {
                    Stop::Unstorable => Err(Other::Pickle),
                    Stop::Failed => Err(Other::Stop(Stop::Failed)),
                };
            }
            if count != length {
                return Err(Other::Pickle);
            }
        }
        Ok(())
    }
}
