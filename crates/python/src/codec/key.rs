//! Keys: the arguments of a call as canonical bytes.
//!
//! Ring 3. Keys that the in-process cache takes for equal (by identity or `==`) give equal bytes in every process, whatever
//! the seed of `hash`; keys that are not equal never give the same. What cannot keep that is unstorable:
//!
//! * what is compared by identity (a bare `object()`, a NaN), unless it is found in every process under a name: classes,
//!   functions, enum members. What these are counts beside the name, see [`super::named`]. Bound methods compare their
//!   instances so, and are keys where that is a class;
//! * what can't be reduced as `copyreg` and pickle do it, holds itself, or is nested too deeply;
//! * what does not equal the object that its bytes would make, see [`super::load`].
//!
//! Classes derived from int, float, complex, str, bytes, tuple or frozenset that compare as their base does are spelled as the base
//! (IntEnum, NamedTuple). Other objects are spelled by what `__reduce_ex__` says of them, see [`super::reduce`], as their
//! `__eq__` can't be asked without a second object. Where that method is coarser than the state, equal keys have different
//! bytes, which costs a miss.

use std::ffi::CStr;

use pyo3::ffi;

use super::load::Named;
use super::named::Role;
use super::{atoms, checked, classify_exception, global, named, number, reduce, refusal, Encoded, Stop};
use crate::capi::reference::{calls, tuple_items, PyRef};
use crate::key::View;
use engine::wire_format::{self, key, tag};

/// Writes a call's canonical bytes behind what is in `out`; where there are none, `out` is as it was.
///
/// # Safety
/// The view's objects are alive, and kept so by the caller; the thread is attached and holds no lock. Runs user code.
pub unsafe fn encode_key(view: &View<'_>, out: &mut Vec<u8>) -> Encoded {
    // SAFETY: the caller's promise.
    unsafe { encode_key_with(view, &[], out) }
}

/// [`encode_key`] where some objects, given by their addresses, are defaults that have no bytes: each is spelled by its
/// number in the list, by which all processes know it.
///
/// # Safety
/// As for [`encode_key`].
pub unsafe fn encode_key_with(view: &View<'_>, defaults: &[usize], out: &mut Vec<u8>) -> Encoded {
    let start = out.len();
    let mut writer = Writer::new();
    // SAFETY: the caller's promise.
    match unsafe { put_view(&mut writer, defaults, view, out) } {
        Ok(()) => Encoded::Done,
        Err(stop) => {
            out.truncate(start);
            refusal::key(writer.at, writer.why);
            stop.into()
        }
    }
}

/// Why a call has no canonical bytes, found by trying once more: which of the view's values it is about, by number, and the
/// reason, after the name of a type ("Connection: it is compared by identity"). `None` where it has some now, or an exception is
/// set.
///
/// # Safety
/// As for [`encode_key`].
#[cold]
pub unsafe fn explain_key(view: &View<'_>) -> Option<(usize, String)> {
    let mut writer = Writer::new();
    // SAFETY: the caller's promise.
    match unsafe { put_view(&mut writer, &[], view, &mut Vec::new()) } {
        Err(Stop::Unstorable) => {
            let reason = writer.why.unwrap_or_else(|| String::from("there are no bytes that stand for it"));
            Some((writer.at, reason))
        }
        Ok(()) | Err(Stop::Failed) => None,
    }
}

unsafe fn put_view(writer: &mut Writer, defaults: &[usize], view: &View<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
    // The shape: how many values there are, and how many of them have names.
    let named = !view.names.is_empty();
    wire_format::put_varint(out, (view.values.len() as u64) << 1 | u64::from(named));
    if named {
        wire_format::put_varint(out, view.names.len() as u64);
    }
    // SAFETY: the caller's promise; names are `str`s, maybe of a derived type.
    unsafe {
        for (at, &value) in view.values.iter().enumerate() {
            writer.at = at;
            if let Some(number) = defaults.iter().position(|&default| default == value as usize) {
                out.push(key::DEFAULT);
                wire_format::put_varint(out, number as u64);
                continue;
            }
            if view.typed {
                put_type(writer, ffi::Py_TYPE(value), out)?;
            }
            writer.put(value, out, wire_format::MAX_DEPTH)?;
        }
        for &name in view.names {
            atoms::put_str(name, out)?;
        }
    }
    Ok(())
}

/// The type of an argument, where it counts.
unsafe fn put_type(writer: &mut Writer, kind: *mut ffi::PyTypeObject, out: &mut Vec<u8>) -> Result<(), Stop> {
    // SAFETY: attached; addresses of static types.
    unsafe {
        let known = [
            &raw mut ffi::PyLong_Type,
            &raw mut ffi::PyUnicode_Type,
            &raw mut ffi::PyFloat_Type,
            &raw mut ffi::PyBool_Type,
            &raw mut ffi::PyTuple_Type,
            &raw mut ffi::PyBytes_Type,
            ffi::Py_TYPE(ffi::Py_None()),
            // These are not found under the names that they say to have.
            &raw mut ffi::PyFunction_Type,
            &raw mut ffi::PyCFunction_Type,
            &raw mut PyMethod_Type,
            &raw mut ffi::PyModule_Type,
            ffi::Py_TYPE(ffi::Py_Ellipsis()),
            ffi::Py_TYPE(ffi::Py_NotImplemented()),
        ];
        match known.iter().position(|&type_| type_ == kind) {
            Some(at) => {
                out.extend_from_slice(&[key::BUILTIN_TYPE, at as u8]);
                Ok(())
            }
            None => named::put(writer, kind.cast(), Role::Maker, out),
        }
    }
}

/// How many bytes are spelled at most: what is reachable twice is spelled twice, and so may be exponentially long.
const LIMIT: usize = 1 << 26;
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
    /// What was spelled by a hash.
    pub named: Named,
    /// What was asked for its hash last, with the role and the answer.
    pub met: Vec<(PyRef, Role, [u8; named::HASH])>,
    /// The value that is being spelled, by its number.
    at: usize,
    /// Why something was refused first.
    why: Option<String>,
}

impl Writer {
    fn new() -> Self {
        let named = Named::default();
        Writer { around: Vec::new(), spent: 0, reduced: false, exact: false, named, met: Vec::new(), at: 0, why: None }
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

    unsafe fn put_other(&mut self, object: *mut ffi::PyObject, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        // SAFETY: as for `put`; what a derived type inherits tells how it is compared, and its layout begins as its base's.
        unsafe {
            let kind = ffi::Py_TYPE(object);
            let exact = self.exact;
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

    /// Runs `put` for the parts of an object, unless it is around already, nested too deeply, or everything grows too long.
    unsafe fn inside(
        &mut self,
        object: *mut ffi::PyObject,
        depth: u32,
        put: impl FnOnce(&mut Self) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        self.charge(PART)?;
        if depth == 0 || self.around.contains(&object) {
            // SAFETY: alive (the caller's promise).
            return unsafe { self.refuse(object, "it holds itself, or is nested too deeply") };
        }
        self.around.push(object);
        let done = put(self);
        self.around.pop();
        done
    }

    pub fn charge(&mut self, more: usize) -> Result<(), Stop> {
        self.spent = self.spent.saturating_add(more);
        if self.spent > LIMIT {
            return Err(Stop::Unstorable);
        }
        Ok(())
    }

    unsafe fn put_tuple(&mut self, tuple: *mut ffi::PyObject, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        let start = out.len();
        if depth == 0 {
            return Err(Stop::Unstorable);
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
            if !crate::capi::layout::ints_equal(first.as_ptr(), last.as_ptr()) {
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
            return Err(Stop::Unstorable);
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

/// Whether a type is `base` or one derived from it that compares as it does.
pub unsafe fn compares_as(kind: *mut ffi::PyTypeObject, base: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: ready types.
    unsafe {
        kind == base
            || match ((*kind).tp_richcompare, (*base).tp_richcompare) {
                (Some(own), Some(of_base)) => {
                    own as usize == of_base as usize && ffi::PyType_IsSubtype(kind, base) != 0
                }
                _ => false,
            }
    }
}

/// Whether it is a function of a module in C, and not a method of some object.
unsafe fn is_plain_builtin(object: *mut ffi::PyObject) -> bool {
    // SAFETY: a live object (the caller's).
    unsafe {
        if ffi::PyCFunction_CheckExact(object) == 0 {
            return false;
        }
        let owner = ffi::PyCFunction_GetSelf(object);
        owner.is_null() || ffi::PyModule_Check(owner) != 0
    }
}

extern "C" {
    static mut PyMethod_Type: ffi::PyTypeObject;
    fn PyMethod_Self(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// Whether it is a method bound to an instance, which is compared by identity.
unsafe fn is_method_of_instance(object: *mut ffi::PyObject) -> bool {
    // SAFETY: a live object (the caller's); a method has an owner.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        let owner = if kind == &raw mut PyMethod_Type {
            PyMethod_Self(object)
        } else if ffi::PyCFunction_Check(object) != 0 {
            ffi::PyCFunction_GetSelf(object)
        } else {
            // `object().__init__`: its type has no name in the API.
            return CStr::from_ptr((*kind).tp_name) == c"method-wrapper";
        };
        owner.is_null() || ffi::PyType_Check(owner) == 0
    }
}
