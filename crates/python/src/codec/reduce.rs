//! Objects in general, as parts of keys: what `copyreg` or `__reduce_ex__` says of them, as for pickle.
//!
//! Ring 3. Runs user code.

use std::ffi::CStr;

use pyo3::ffi;

use super::global::{self, call_method, Function, Name};
use super::key::{is_editable, next, put_entries, Writer};
use super::named::Role;
use super::{checked, load, named, Stop};
use crate::capi::reference::{calls, tuple_items, PyRef};
use engine::wire_format::{self, key, tag};

/// Spells an object by what it is reduced to: callable, arguments, state, items. Whether these bytes are good enough is seen
/// at the outermost such object, which compares what is in it: they must make an equal one.
///
/// # Safety
/// `object` is alive, and kept so by the caller; the thread is attached and holds no lock.
pub unsafe fn put(writer: &mut Writer, object: *mut ffi::PyObject, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
    // SAFETY: the caller's promise.
    unsafe {
        if writer.reduced {
            return put_parts(writer, object, out, depth);
        }
        let start = out.len();
        // First as its parts are spelled elsewhere, with one spelling for all that is equal. A class may compare more strictly.
        for exact in [false, true] {
            (writer.reduced, writer.exact) = (true, exact);
            let done = put_parts(writer, object, out, depth);
            (writer.reduced, writer.exact) = (false, false);
            done?;
            if out.get(start) == Some(&key::GLOBAL) || load::says_enough(object, &out[start..], &writer.named)? {
                return Ok(());
            }
            out.truncate(start);
        }
        writer.refuse(object, "it does not equal what its pickled form makes, which may leave out what __eq__ compares")
    }
}

unsafe fn put_parts(
    writer: &mut Writer,
    object: *mut ffi::PyObject,
    out: &mut Vec<u8>,
    depth: u32,
) -> Result<(), Stop> {
    // SAFETY: the caller's promise; the reduced form keeps its parts.
    unsafe {
        writer.plain &= is_constant(ffi::Py_TYPE(object));
        let reduced = match reduced(object) {
            Ok(reduced) => reduced,
            Err(Stop::Unstorable) => return writer.refuse(object, "it cannot be pickled"),
            Err(Stop::Failed) => return Err(Stop::Failed),
        };
        if ffi::PyUnicode_CheckExact(reduced.as_ptr()) != 0 {
            if named::put_one_of_a_kind(writer, object, out)? {
                return Ok(());
            }
            return writer.refuse(object, "it is pickled by a name that leads nowhere");
        }
        let parts = match ffi::PyTuple_CheckExact(reduced.as_ptr()) {
            0 => &[],
            _ => tuple_items(reduced.as_ptr()),
        };
        if !(2..=6).contains(&parts.len()) || ffi::PyTuple_CheckExact(parts[1]) == 0 {
            return writer.refuse(object, "it cannot be pickled");
        }
        let tag = if writer.exact { key::REDUCED_EXACTLY } else { key::REDUCED };
        out.extend_from_slice(&[tag, parts.len() as u8]);
        named::put(writer, ffi::Py_TYPE(object).cast(), Role::ClassOf, out)?;
        for (at, &part) in parts.iter().enumerate() {
            match at {
                0 => put_maker(writer, part, out, depth)?,
                1 => {
                    let arguments = tuple_items(part);
                    wire_format::put_count(out, tag::SHORT_TUPLE, tag::TUPLE, arguments.len());
                    for &argument in arguments {
                        if is_list_of_set(object, argument) {
                            // The order of a set's members depends on the hash seed.
                            writer.put_set(argument, tag::LIST, out, depth - 1)?;
                        } else {
                            put_maker(writer, argument, out, depth)?;
                        }
                    }
                }
                3 | 4 if part == ffi::Py_None() => out.push(key::ABSENT),
                3 => put_items(writer, part, out, depth)?,
                4 => put_pairs(writer, object, part, out, depth)?,
                _ => writer.put(part, out, depth - 1)?,
            }
        }
        Ok(())
    }
}

/// Whether objects of this type stay what they are, and are made from what does.
unsafe fn is_constant(kind: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: a type, whose name is a C string, which has the module in it where the type is in C.
    unsafe {
        let name = CStr::from_ptr((*kind).tp_name).to_bytes();
        let (module, name) = name.split_at_checked(9).unwrap_or_default();
        let is_listed = matches!(name, b"date" | b"time" | b"datetime" | b"timedelta" | b"timezone");
        module == b"datetime." && is_listed && !is_editable(kind)
    }
}

/// What makes the object, or an argument of that: as a rule its class, or a function beside it.
unsafe fn put_maker(
    writer: &mut Writer,
    object: *mut ffi::PyObject,
    out: &mut Vec<u8>,
    depth: u32,
) -> Result<(), Stop> {
    // SAFETY: as for `put`.
    unsafe {
        if ffi::PyType_Check(object) != 0 || ffi::Py_TYPE(object) == &raw mut ffi::PyFunction_Type {
            named::put(writer, object, Role::Maker, out)
        } else {
            writer.put(object, out, depth - 1)
        }
    }
}

/// Whether it is the list of members that an object of a class derived from set or frozenset is made from.
unsafe fn is_list_of_set(object: *mut ffi::PyObject, argument: *mut ffi::PyObject) -> bool {
    // SAFETY: live objects (the caller's).
    unsafe { ffi::PyAnySet_Check(object) != 0 && ffi::PyList_CheckExact(argument) != 0 }
}

unsafe fn reduced(object: *mut ffi::PyObject) -> Result<PyRef, Stop> {
    static COPYREG: [Name; 2] = [Name::new(c"copyreg"), Name::new(c"dispatch_table")];
    static GET: Name = Name::new(c"get");
    static REDUCE_EX: Name = Name::new(c"__reduce_ex__");
    // SAFETY: as for `put`; a type's name is a C string.
    unsafe {
        if let Some(table) = global::imported(&COPYREG[0], &COPYREG[1])? {
            let kind = PyRef::borrow(ffi::Py_TYPE(object).cast());
            let function = call_method(table.as_ptr(), &GET, Some(&kind))?;
            if function.as_ptr() != ffi::Py_None() {
                let arguments = [object];
                let call = calls::PyObject_Vectorcall;
                return checked(call(function.as_ptr(), arguments.as_ptr(), 1, std::ptr::null_mut()));
            }
        }
        if CStr::from_ptr((*ffi::Py_TYPE(object)).tp_name) == c"ForwardRef" {
            static REFERENCE: Function = Function::new(c"warp_cache._naming.named", c"parts_of_reference");
            return REFERENCE.call(&[object]);
        }
        // The lowest protocol that knows `__newobj_ex__`: what is reduced does not depend on the version of Python.
        let protocol = checked(ffi::PyLong_FromLong(4))?;
        call_method(object, &REDUCE_EX, Some(&protocol))
    }
}

/// The items of a list-like object, and an end.
unsafe fn put_items(writer: &mut Writer, items: *mut ffi::PyObject, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
    // SAFETY: as for `put`.
    unsafe {
        let iterator = checked(calls::PyObject_GetIter(items))?;
        while let Some(item) = next(&iterator)? {
            let start = out.len();
            writer.put(item.as_ptr(), out, depth - 1)?;
            writer.charge(out.len() - start)?;
        }
    }
    out.push(key::ABSENT);
    Ok(())
}

/// The entries of a dict-like object: in the order of their bytes where it compares as a dict does, else in its own.
unsafe fn put_pairs(
    writer: &mut Writer,
    object: *mut ffi::PyObject,
    pairs: *mut ffi::PyObject,
    out: &mut Vec<u8>,
    depth: u32,
) -> Result<(), Stop> {
    // SAFETY: as for `put`; a pair is kept while its parts are spelled.
    unsafe {
        let iterator = checked(calls::PyObject_GetIter(pairs))?;
        let mut entries = Vec::new();
        while let Some(pair) = next(&iterator)? {
            if ffi::PyTuple_CheckExact(pair.as_ptr()) == 0 {
                return Err(Stop::Unstorable);
            }
            match tuple_items(pair.as_ptr()) {
                &[name, value] => entries.push(writer.pair(name, value, depth)?),
                _ => return Err(Stop::Unstorable),
            }
        }
        if !writer.exact && super::key::compares_as(ffi::Py_TYPE(object), &raw mut ffi::PyDict_Type) {
            entries.sort_unstable();
        }
        put_entries(&entries, out);
    }
    Ok(())
}
