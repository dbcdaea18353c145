//! Names: attributes, classes of modules, functions in Python.
//!
//! Ring 3. Of what users import, only what is in `sys.modules` already is looked at.

use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use super::{checked, Stop};
use crate::capi::borrowed::Ref;
use crate::capi::reference::{calls, PyRef};

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

/// A function of a module, found when it is needed first and kept for ever.
pub struct Function(&'static CStr, Name, AtomicPtr<ffi::PyObject>);

impl Function {
    pub const fn new(module: &'static CStr, name: &'static CStr) -> Self {
        Function(module, Name::new(name), AtomicPtr::new(std::ptr::null_mut()))
    }

    /// # Safety
    /// The thread is attached and holds no lock.
    unsafe fn get(&self) -> Result<*mut ffi::PyObject, Stop> {
        // Acquire: with the release below, so that what is seen is seen whole.
        let known = self.2.load(Ordering::Acquire);
        if !known.is_null() {
            return Ok(known);
        }
        // SAFETY: the caller's promise.
        let found = unsafe {
            let module = checked(calls::PyImport_ImportModule(self.0.as_ptr()))?;
            attribute(module.as_ptr(), &self.1)?.into_ptr()
        };
        // Release: pairs with the acquire above. Two threads find the same function; one reference more does no harm.
        self.2.store(found, Ordering::Release);
        Ok(found)
    }

    /// Its result for these positional arguments.
    ///
    /// # Safety
    /// The arguments are alive, and kept so by the caller; the thread is attached and holds no lock. Runs user code.
    pub unsafe fn call(&self, arguments: &[*mut ffi::PyObject]) -> Result<PyRef, Stop> {
        // SAFETY: the caller's promise; as many arguments as said.
        unsafe {
            let call = calls::PyObject_Vectorcall;
            checked(call(self.get()?, arguments.as_ptr(), arguments.len(), std::ptr::null_mut()))
        }
    }
}

impl Function {
    /// [`call`](Self::call), of objects that are known to be alive.
    pub fn call_with(&self, _: Python<'_>, arguments: &[Ref<'_>]) -> Result<PyRef, Stop> {
        let row: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
        // SAFETY: the arguments are alive, and the thread is attached.
        unsafe { self.call(&row) }
    }
}

/// An attribute.
///
/// # Safety
/// `object` is kept by the caller; the thread is attached and holds no lock. Runs user code.
pub unsafe fn attribute(object: *mut ffi::PyObject, name: &Name) -> Result<PyRef, Stop> {
    // SAFETY: the caller's promise.
    unsafe { checked(calls::PyObject_GetAttr(object, name.get()?)) }
}

/// The result of a method.
///
/// # Safety
/// As for [`attribute`].
pub unsafe fn call_method(object: *mut ffi::PyObject, name: &Name, argument: Option<&PyRef>) -> Result<PyRef, Stop> {
    // SAFETY: the caller's promise; the arguments are as many as said.
    unsafe {
        let method = attribute(object, name)?;
        let arguments = [argument.map_or(std::ptr::null_mut(), PyRef::as_ptr)];
        let count = usize::from(argument.is_some());
        checked(calls::PyObject_Vectorcall(method.as_ptr(), arguments.as_ptr(), count, std::ptr::null_mut()))
    }
}

/// The module of this name, where it was imported.
unsafe fn module(name: *mut ffi::PyObject) -> Result<Option<PyRef>, Stop> {
    // SAFETY: attached, a `str`.
    unsafe {
        let found = calls::PyImport_GetModule(name);
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
pub unsafe fn imported(module_name: &Name, name: &Name) -> Result<Option<PyRef>, Stop> {
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
