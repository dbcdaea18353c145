//! Names: attributes, and objects that are found in every process under a module's name and their own.
//!
//! Ring 3. Nothing is imported: only what is in `sys.modules` already is looked at.

use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;

use super::{atoms, checked, Stop};
use crate::python::object::{unwinding, Owned};
use crate::serde::key;

/// A name as a `str`, made when it is needed first and kept for ever.
pub struct Name(&'static CStr, AtomicPtr<ffi::PyObject>);

impl Name {
    pub const fn new(text: &'static CStr) -> Self {
        Name(text, AtomicPtr::new(std::ptr::null_mut()))
    }

    pub fn text(&self) -> &'static CStr {
        self.0
    }

    /// The interned `str`, borrowed.
    ///
    /// # Safety
    /// The thread is attached.
    pub unsafe fn get(&self) -> Result<*mut ffi::PyObject, Stop> {
        // Acquire: pairs with the release below, so that the object is seen whole.
        let known = self.1.load(Ordering::Acquire);
        if !known.is_null() {
            return Ok(known);
        }
        // SAFETY: the caller's promise. Two threads intern the same object; one reference more does no harm.
        let made = unsafe { checked(ffi::PyUnicode_InternFromString(self.0.as_ptr()))? }.into_ptr();
        self.1.store(made, Ordering::Release);
        Ok(made)
    }
}

/// An attribute.
///
/// # Safety
/// `object` is kept by the caller; the thread is attached and holds no lock. Runs user code.
pub unsafe fn attribute(object: *mut ffi::PyObject, name: &Name) -> Result<Owned, Stop> {
    // SAFETY: the caller's promise.
    unsafe { checked(unwinding::PyObject_GetAttr(object, name.get()?)) }
}

/// The result of a method.
///
/// # Safety
/// As for [`attribute`].
pub unsafe fn call_method(object: *mut ffi::PyObject, name: &Name, argument: Option<&Owned>) -> Result<Owned, Stop> {
    // SAFETY: the caller's promise; the arguments are as many as said.
    unsafe {
        let method = attribute(object, name)?;
        let arguments = [argument.map_or(std::ptr::null_mut(), Owned::as_ptr)];
        let count = usize::from(argument.is_some());
        checked(unwinding::PyObject_Vectorcall(method.as_ptr(), arguments.as_ptr(), count, std::ptr::null_mut()))
    }
}

/// The module of this name, where it was imported.
unsafe fn module(name: *mut ffi::PyObject) -> Result<Option<Owned>, Stop> {
    // SAFETY: attached, a `str`.
    unsafe {
        let found = unwinding::PyImport_GetModule(name);
        if found.is_null() && ffi::PyErr_Occurred().is_null() {
            return Ok(None);
        }
        checked(found).map(Some)
    }
}

/// A class of the standard library, where its module was imported.
///
/// # Safety
/// The thread is attached and holds no lock.
pub unsafe fn imported(module_name: &Name, name: &Name) -> Result<Option<Owned>, Stop> {
    // SAFETY: the caller's promise.
    unsafe {
        match module(module_name.get()?)? {
            Some(module) => attribute(module.as_ptr(), name).map(Some),
            None => Ok(None),
        }
    }
}

/// Whether the object is of this very class.
///
/// # Safety
/// As for [`attribute`].
pub unsafe fn is_instance_exactly(object: *mut ffi::PyObject, module_name: &Name, name: &Name) -> Result<bool, Stop> {
    // SAFETY: the caller's promise; a type's name is a C string, with the module before it in static types.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        let own = CStr::from_ptr((*kind).tp_name).to_bytes();
        // Spares the search in most cases.
        if !own.ends_with(name.text().to_bytes()) {
            return Ok(false);
        }
        Ok(imported(module_name, name)?.is_some_and(|class| class.as_ptr() == kind.cast()))
    }
}

/// Whether a class is an enum.
///
/// # Safety
/// As for [`attribute`].
pub unsafe fn is_enum(class: *mut ffi::PyTypeObject) -> Result<bool, Stop> {
    static ENUM: Name = Name::new(c"enum");
    static META: Name = Name::new(c"EnumMeta");
    // SAFETY: the caller's promise.
    unsafe {
        let meta = ffi::Py_TYPE(class.cast());
        if meta == &raw mut ffi::PyType_Type {
            return Ok(false);
        }
        Ok(imported(&ENUM, &META)?.is_some_and(|base| ffi::PyType_IsSubtype(meta, base.as_ptr().cast()) != 0))
    }
}

static MODULE: Name = Name::new(c"__module__");
static QUALNAME: Name = Name::new(c"__qualname__");
static NAME: Name = Name::new(c"__name__");
static FILE: Name = Name::new(c"__file__");
static MAIN: Name = Name::new(c"__main__");

/// Spells an object by the name that it says to have, if it is found there.
///
/// # Safety
/// As for [`attribute`].
pub unsafe fn put(object: *mut ffi::PyObject, out: &mut Vec<u8>) -> Result<(), Stop> {
    // SAFETY: the caller's promise.
    unsafe {
        let name = attribute(object, &QUALNAME)?;
        put_named(object, name.as_ptr(), out)
    }
}

/// Spells an object by this name within its module, if it is found there.
///
/// # Safety
/// As for [`attribute`].
pub unsafe fn put_named(object: *mut ffi::PyObject, name: *mut ffi::PyObject, out: &mut Vec<u8>) -> Result<(), Stop> {
    // SAFETY: the caller's promise; both names are checked to be exact `str`s.
    unsafe {
        let module_name = attribute(object, &MODULE)?;
        if !is_str(module_name.as_ptr()) || !is_str(name) {
            return Err(Stop::Unstorable);
        }
        let Some(home) = module(module_name.as_ptr())? else {
            return Err(Stop::Unstorable);
        };
        let mut found = home.another();
        let mut length: ffi::Py_ssize_t = 0;
        let text = ffi::PyUnicode_AsUTF8AndSize(name, &mut length);
        if text.is_null() {
            return Err(super::stop());
        }
        // The name keeps its text; `<locals>` is nobody's attribute.
        let text = std::slice::from_raw_parts(text.cast::<u8>(), length as usize);
        for part in text.split(|&byte| byte == b'.') {
            let part = checked(ffi::PyUnicode_FromStringAndSize(part.as_ptr().cast(), part.len() as ffi::Py_ssize_t))?;
            found = checked(unwinding::PyObject_GetAttr(found.as_ptr(), part.as_ptr()))?;
        }
        if found.as_ptr() != object {
            return Err(Stop::Unstorable);
        }
        out.push(key::GLOBAL);
        put_module_name(module_name.as_ptr(), &home, out)?;
        atoms::put_str(name, out)
    }
}

/// Spells a module by its name.
///
/// # Safety
/// As for [`attribute`].
pub unsafe fn put_module(object: *mut ffi::PyObject, out: &mut Vec<u8>) -> Result<(), Stop> {
    // SAFETY: the caller's promise.
    unsafe {
        let name = attribute(object, &NAME)?;
        if !is_str(name.as_ptr()) {
            return Err(Stop::Unstorable);
        }
        match module(name.as_ptr())? {
            Some(home) if home.as_ptr() == object => {
                out.push(key::MODULE);
                put_module_name(name.as_ptr(), &home, out)
            }
            _ => Err(Stop::Unstorable),
        }
    }
}

/// A module's name, and for the main one, of which every program has another, its file. Children of multiprocessing call
/// their parent's main module `__mp_main__`.
unsafe fn put_module_name(name: *mut ffi::PyObject, module: &Owned, out: &mut Vec<u8>) -> Result<(), Stop> {
    // SAFETY: an exact `str`, attached.
    unsafe {
        if ffi::PyUnicode_CompareWithASCIIString(name, c"__main__".as_ptr()) != 0
            && ffi::PyUnicode_CompareWithASCIIString(name, c"__mp_main__".as_ptr()) != 0
        {
            return atoms::put_str(name, out);
        }
        atoms::put_str(MAIN.get()?, out)?;
        // Without a file there is nothing that other processes could agree on.
        let file = attribute(module.as_ptr(), &FILE)?;
        if !is_str(file.as_ptr()) {
            return Err(Stop::Unstorable);
        }
        out.push(key::MODULE);
        atoms::put_str(file.as_ptr(), out)
    }
}

unsafe fn is_str(object: *mut ffi::PyObject) -> bool {
    // SAFETY: a live object (the callers').
    unsafe { ffi::PyUnicode_CheckExact(object) != 0 }
}
