//! How a key spells an object by its type, where that is none of those that most arguments have.
//!
//! Ring 3. Spelling may run user code, so lists and dicts are copied first and sets are iterated with strong references.

use std::ffi::CStr;

use pyo3::ffi;

use super::compared::{compares_as, is_editable, is_method_of_instance, is_plain_builtin};
use super::Writer;
use crate::capi::reference::{calls, tuple_items, PyRef};
use crate::codec::named::{self, Role};
use crate::codec::{atoms, checked, classify_exception, global, number, reduce, Stop};
use engine::wire_format::{self, key, tag};

impl Writer {
    pub(super) unsafe fn put_other(
        &mut self,
        object: *mut ffi::PyObject,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        // SAFETY: as for `put`; what a derived type inherits tells how it is compared, and its layout begins as its base's.
        unsafe {
            let kind = ffi::Py_TYPE(object);
            let exact = self.exact;
            // How it is spelled depends on its class.
            self.plain &= !is_editable(kind);
            let is = |base: *mut ffi::PyTypeObject| if exact { kind == base } else { compares_as(kind, base) };
            if exact && object == ffi::Py_True() {
                out.push(tag::TRUE);
            } else if exact && object == ffi::Py_False() {
                out.push(tag::FALSE);
            } else if is(&raw mut ffi::PyLong_Type) {
                atoms::put_int(object, out);
            } else if is(&raw mut ffi::PyFloat_Type) {
                let value = ffi::PyFloat_AS_DOUBLE(object);
                if value.is_nan() && !self.reduced {
                    return self.refuse(object, "a NaN equals nothing");
                }
                // In a state, a NaN may be of no account: the object around says.
                if exact || value.is_nan() {
                    atoms::put_float(value, out);
                } else {
                    number::put_float(value, out)?;
                }
            } else if is(&raw mut ffi::PyUnicode_Type) {
                atoms::put_str(object, out)?;
            } else if is(&raw mut ffi::PyBytes_Type) {
                atoms::put_bytes(object, out)?;
            } else if is(&raw mut ffi::PyComplex_Type) {
                let value = (*object.cast::<ffi::PyComplexObject>()).cval;
                if value.real.is_nan() || value.imag.is_nan() {
                    return self.refuse(object, "a NaN equals nothing");
                }
                if exact {
                    atoms::put_complex(value, out);
                } else {
                    number::put_complex(value, out)?;
                }
            } else if is(&raw mut ffi::PyTuple_Type) {
                self.put_tuple(object, out, depth)?;
            } else if is(&raw mut ffi::PyFrozenSet_Type) {
                self.inside(object, depth, |writer| writer.put_set(object, tag::FROZENSET, out, depth))?;
            } else if object == ffi::Py_Ellipsis() {
                out.push(tag::ELLIPSIS);
            } else if object == ffi::Py_NotImplemented() {
                out.push(key::NOT_IMPLEMENTED);
            } else if ffi::PyType_Check(object) != 0
                || kind == &raw mut ffi::PyFunction_Type
                || is_plain_builtin(object)
                || ffi::PyModule_CheckExact(object) != 0
            {
                named::put(self, object, Role::Argument, out)?;
            } else if kind == &raw mut ffi::PyRange_Type {
                self.put_range(object, out, depth)?;
            } else if global::is_enum(kind)? {
                self.put_member(object, out, depth)?;
            } else if is_method_of_instance(object) {
                return self.refuse(object, "it is bound to an instance, which is compared by identity");
            } else if exact || !self.put_canonical(object, out, depth)? && !number::put_other(object, out)? {
                self.inside(object, depth, |writer| writer.put_mutable(object, out, depth))?;
            }
            Ok(())
        }
    }

    /// Spells what equals objects of other types, as `warp_cache._naming.canonical` has it. False: it does not say.
    unsafe fn put_canonical(
        &mut self,
        object: *mut ffi::PyObject,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<bool, Stop> {
        static CANONICAL: global::Function = global::Function::new(c"warp_cache._naming.canonical", c"canonical");
        // SAFETY: as for `put`; a type's name is a C string.
        unsafe {
            let name = CStr::from_ptr((*ffi::Py_TYPE(object)).tp_name).to_bytes();
            // In a state, each is what it is.
            let is_other = match name {
                b"datetime.datetime" | b"datetime.time" | b"Timestamp" | b"Timedelta" => !self.reduced,
                b"types.UnionType" | b"typing.Union" | b"_UnionGenericAlias" | b"_LiteralGenericAlias" => !self.reduced,
                name => name.starts_with(b"numpy."),
            };
            if depth == 0 || !is_other {
                return Ok(false);
            }
            let found = CANONICAL.call(&[object])?;
            if found.as_ptr() == ffi::Py_None() {
                return Ok(false);
            }
            let parts = tuple_items(found.as_ptr());
            if parts[0] == ffi::Py_True() {
                out.push(key::CANONICAL);
            }
            self.plain &= parts[2] == ffi::Py_True();
            self.put(parts[1], out, depth - 1)?;
            Ok(true)
        }
    }

    /// What can be met in an object's state only, and objects in general.
    unsafe fn put_mutable(&mut self, object: *mut ffi::PyObject, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        // SAFETY: as for `put`. Lists and dicts are copied first: what is spelled may run code that changes them.
        unsafe {
            let kind = ffi::Py_TYPE(object);
            if kind == &raw mut ffi::PyList_Type {
                let copy = checked(calls::PyList_GetSlice(object, 0, ffi::PY_SSIZE_T_MAX))?;
                let length = ffi::PyList_GET_SIZE(copy.as_ptr());
                wire_format::put_count(out, tag::SHORT_LIST, tag::LIST, length as usize);
                for at in 0..length {
                    self.put(ffi::PyList_GET_ITEM(copy.as_ptr(), at), out, depth - 1)?;
                }
            } else if kind == &raw mut ffi::PyDict_Type {
                let copy = checked(calls::PyDict_Copy(object))?;
                let mut entries = Vec::new();
                let (mut at, mut name, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
                while ffi::PyDict_Next(copy.as_ptr(), &mut at, &mut name, &mut value) != 0 {
                    entries.push(self.pair(name, value, depth)?);
                }
                // The order of a dict is no part of its equality, but of what it is.
                if !self.exact {
                    entries.sort_unstable();
                }
                put_entries(&entries, out);
            } else if kind == &raw mut ffi::PySet_Type {
                self.put_set(object, if self.exact { tag::SET } else { tag::FROZENSET }, out, depth)?;
            } else if kind == &raw mut ffi::PyByteArray_Type {
                let bytes = checked(ffi::PyBytes_FromObject(object))?;
                if self.exact {
                    let bytes = atoms::bytes_of(bytes.as_ptr());
                    wire_format::put_sized(out, key::BYTEARRAY, bytes.len());
                    atoms::append(bytes, out)?;
                } else {
                    // Equal to bytes of the same content.
                    atoms::put_bytes(bytes.as_ptr(), out)?;
                }
            } else if number::has_eq_of(kind, &raw mut ffi::PyBaseObject_Type)? {
                self.put_unequal(object, out, depth)?;
            } else {
                reduce::put(self, object, out, depth)?;
            }
            Ok(())
        }
    }

    /// An object that equals nothing but itself.
    unsafe fn put_unequal(&mut self, object: *mut ffi::PyObject, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        // SAFETY: as for `put`.
        unsafe {
            if named::put_one_of_a_kind(self, object, out)? {
                return Ok(());
            }
            if !self.reduced {
                return self.refuse(object, "it is compared by identity, as its class defines no __eq__");
            }
            // Whether this one counts, the object around it says, which is compared with what its bytes make.
            reduce::put(self, object, out, depth)
        }
    }

    /// The members of a set, or of what it is made from, in the order of their bytes.
    ///
    /// # Safety
    /// As for [`put`](Self::put).
    pub unsafe fn put_set(
        &mut self,
        set: *mut ffi::PyObject,
        tag: u8,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        let mut members = Vec::new();
        // SAFETY: as for `put`; the iterator is the base type's, gives strong references, and raises where a set was changed.
        unsafe {
            let iterator = checked(calls::PyObject_GetIter(set))?;
            while let Some(member) = next(&iterator)? {
                let mut bytes = Vec::new();
                self.put(member.as_ptr(), &mut bytes, depth - 1)?;
                self.charge(bytes.len())?;
                members.push(bytes);
            }
        }
        members.sort_unstable();
        wire_format::put_sized(out, tag, members.len());
        members.iter().for_each(|bytes| out.extend_from_slice(bytes));
        Ok(())
    }

    /// A key and a value of a mapping.
    ///
    /// # Safety
    /// As for [`put`](Self::put).
    pub unsafe fn pair(
        &mut self,
        name: *mut ffi::PyObject,
        value: *mut ffi::PyObject,
        depth: u32,
    ) -> Result<Vec<u8>, Stop> {
        // SAFETY: the caller's promise; the value is kept while the key is spelled.
        unsafe {
            let value = PyRef::borrow(value);
            let mut bytes = Vec::new();
            self.put(name, &mut bytes, depth - 1)?;
            self.put(value.as_ptr(), &mut bytes, depth - 1)?;
            self.charge(bytes.len())?;
            Ok(bytes)
        }
    }

    /// Equal ranges have the same items: none, one, or these first two and this last one.
    unsafe fn put_range(&mut self, range: *mut ffi::PyObject, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        // SAFETY: attached; an exact range, whose items are ints.
        unsafe {
            out.push(key::RANGE);
            match calls::PyObject_IsTrue(range) {
                0 => {
                    out.push(key::ABSENT);
                    return Ok(());
                }
                1 => (),
                _ => return Err(classify_exception()),
            }
            let minus_one = checked(ffi::PyLong_FromLong(-1))?;
            let last = checked(calls::PyObject_GetItem(range, minus_one.as_ptr()))?;
            let first = checked(calls::PyObject_GetItem(range, checked(ffi::PyLong_FromLong(0))?.as_ptr()))?;
            self.put(first.as_ptr(), out, depth)?;
            self.put(last.as_ptr(), out, depth)?;
            if !crate::capi::layout::ints_equal(&first, &last) {
                static STEP: global::Name = global::Name::new(c"step");
                self.put(global::attribute(range, &STEP)?.as_ptr(), out, depth)?;
            }
        }
        Ok(())
    }

    /// An enum's member: by its name where it has one, else (combined flags) by its value.
    unsafe fn put_member(&mut self, member: *mut ffi::PyObject, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        static NAME: global::Name = global::Name::new(c"_name_");
        static VALUE: global::Name = global::Name::new(c"_value_");
        if depth == 0 {
            // SAFETY: alive (the caller's promise).
            return unsafe { self.refuse(member, super::writer::TOO_DEEP) };
        }
        // SAFETY: as for `put`; a type is alive while its instance is.
        unsafe {
            let class = ffi::Py_TYPE(member).cast::<ffi::PyObject>();
            let name = global::attribute(member, &NAME)?;
            let is_named = ffi::PyUnicode_CheckExact(name.as_ptr()) != 0;
            out.push(if is_named { key::ENUM_MEMBER } else { key::ENUM_VALUE });
            named::put(self, class, Role::Maker, out)?;
            if is_named {
                return atoms::put_str(name.as_ptr(), out);
            }
            self.put(global::attribute(member, &VALUE)?.as_ptr(), out, depth - 1)
        }
    }
}

/// The number of entries, then entries.
pub fn put_entries(entries: &[Vec<u8>], out: &mut Vec<u8>) {
    wire_format::put_count(out, tag::SHORT_DICT, tag::DICT, entries.len());
    entries.iter().for_each(|bytes| out.extend_from_slice(bytes));
}

/// The next item of an iterator.
///
/// # Safety
/// The thread is attached and holds no lock. Runs user code.
pub unsafe fn next(iterator: &PyRef) -> Result<Option<PyRef>, Stop> {
    // SAFETY: the caller's promise; a new reference, or null with or without an exception.
    unsafe {
        let item = calls::PyIter_Next(iterator.as_ptr());
        if item.is_null() && ffi::PyErr_Occurred().is_null() {
            return Ok(None);
        }
        checked(item).map(Some)
    }
}
