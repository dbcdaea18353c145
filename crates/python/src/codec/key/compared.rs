//! What an object is compared by: as a base type has it, or by the instance that a method is bound to.
//!
//! Ring 3. All of it is read from types and slots; nothing is run.

use std::ffi::CStr;

use pyo3::ffi;

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

/// Whether attributes of this type can be set: it is made by a class statement, as a rule.
///
/// # Safety
/// The type is alive.
pub unsafe fn is_editable(kind: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: the caller's promise.
    let flags = unsafe { ffi::PyType_GetFlags(kind) };
    flags & ffi::Py_TPFLAGS_HEAPTYPE != 0 && flags & ffi::Py_TPFLAGS_IMMUTABLETYPE == 0
}

/// Whether what is known by a name is so for ever: a type in C, or a function of a module in C.
///
/// # Safety
/// The object is alive.
pub unsafe fn is_fixed(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's promise. A type that cannot be edited has no base that can.
    unsafe {
        ffi::Py_TYPE(object) == &raw mut ffi::PyType_Type && !is_editable(object.cast()) || is_plain_builtin(object)
    }
}

/// Whether it is a function of a module in C, and not a method of some object.
pub(super) unsafe fn is_plain_builtin(object: *mut ffi::PyObject) -> bool {
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
    pub(super) static mut PyMethod_Type: ffi::PyTypeObject;
    fn PyMethod_Self(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// Whether it is a method bound to an instance, which is compared by identity.
pub(super) unsafe fn is_method_of_instance(object: *mut ffi::PyObject) -> bool {
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
