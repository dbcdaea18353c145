//! What is in a function, a cell and a class, without running code, where the API has a longer way to it.
//!
//! Ring 3.

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFunction, PyType};

extern "C" {
    /// A new reference to what is in a cell, or null where that is nothing.
    fn PyCell_Get(cell: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// What is in a cell, if something is.
pub fn content<'py>(cell: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: attached; a closure has cells, whose content is a new reference, or null without an exception.
    unsafe { Bound::from_owned_ptr_or_opt(cell.py(), PyCell_Get(cell.as_ptr())) }
}

/// Calls `each`, which runs no Python code, with the names and values of a dict.
#[cfg(not(Py_GIL_DISABLED))]
pub fn each_entry<'py>(
    dict: &Bound<'py, PyDict>,
    mut each: impl FnMut(&Bound<'py, PyAny>, &Bound<'py, PyAny>),
) -> PyResult<()> {
    let (py, mut at) = (dict.py(), 0);
    let (mut name, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: attached, a dict. Only the GIL's holder changes it, and that is this thread, which runs no Python code
    // meanwhile; the references are its own while `each` has them.
    unsafe {
        while ffi::PyDict_Next(dict.as_ptr(), &mut at, &mut name, &mut value) != 0 {
            each(&Bound::from_borrowed_ptr(py, name), &Bound::from_borrowed_ptr(py, value));
        }
    }
    Ok(())
}

/// The same where other threads may change the dict meanwhile.
#[cfg(Py_GIL_DISABLED)]
pub fn each_entry<'py>(
    dict: &Bound<'py, PyDict>,
    mut each: impl FnMut(&Bound<'py, PyAny>, &Bound<'py, PyAny>),
) -> PyResult<()> {
    for (name, value) in dict.copy()?.iter() {
        each(&name, &value);
    }
    Ok(())
}

/// Whether it is a descriptor of a slot, or of what a type in C has in its place.
pub fn is_member(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: attached; the address of a static type.
    unsafe { ffi::Py_TYPE(object.as_ptr()) == &raw mut ffi::PyMemberDescr_Type }
}

/// A class's own dict, which no metaclass hides.
pub fn body<'py>(of: &Bound<'py, PyType>) -> Bound<'py, PyAny> {
    let (py, kind) = (of.py(), of.as_type_ptr());
    // SAFETY: attached; a ready type has one.
    unsafe {
        #[cfg(Py_3_12)]
        return Bound::from_owned_ptr(py, ffi::PyType_GetDict(kind));
        #[cfg(not(Py_3_12))]
        return Bound::from_borrowed_ptr(py, (*kind).tp_dict);
    }
}

/// What a function consists of, but for its annotations; `None` for what it does not have.
#[cfg(not(Py_GIL_DISABLED))]
pub fn parts<'py>(function: &Bound<'py, PyFunction>) -> PyResult<[Bound<'py, PyAny>; 9]> {
    let py = function.py();
    let of = function.as_ptr().cast::<ffi::PyFunctionObject>();
    // SAFETY: attached, and an exact function, whose fields change under the GIL only: a borrowed object or
    // null in each.
    unsafe {
        let of = &*of;
        let names = (of.func_name, of.func_qualname, of.func_module, of.func_doc);
        let (name, qualname, module, doc) = names;
        let rest = (of.func_closure, of.func_kwdefaults, of.func_dict);
        let parts = [of.func_code, of.func_defaults, name, qualname, module, doc, rest.0, rest.1, rest.2];
        Ok(parts.map(|part| Bound::from_borrowed_ptr_or_opt(py, part).unwrap_or_else(|| py.None().into_bound(py))))
    }
}

/// The same where other threads may set a field meanwhile.
#[cfg(Py_GIL_DISABLED)]
pub fn parts<'py>(function: &Bound<'py, PyFunction>) -> PyResult<[Bound<'py, PyAny>; 9]> {
    let py = function.py();
    Ok([
        function.getattr(intern!(py, "__code__"))?,
        function.getattr(intern!(py, "__defaults__"))?,
        function.getattr(intern!(py, "__name__"))?,
        function.getattr(intern!(py, "__qualname__"))?,
        function.getattr(intern!(py, "__module__"))?,
        function.getattr(intern!(py, "__doc__"))?,
        function.getattr(intern!(py, "__closure__"))?,
        function.getattr(intern!(py, "__kwdefaults__"))?,
        function.getattr(intern!(py, "__dict__"))?,
    ])
}

/// What a function's annotations are made by, or they themselves; `None` where it has none.
pub fn annotations<'py>(function: &Bound<'py, PyFunction>) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    #[cfg(Py_3_14)]
    {
        let annotate = function.getattr(intern!(py, "__annotate__"))?;
        if !annotate.is_none() {
            return Ok(annotate);
        }
    }
    #[cfg(not(Py_GIL_DISABLED))]
    {
        // SAFETY: as in `parts`: a borrowed object or null.
        let own = unsafe {
            let own = (*function.as_ptr().cast::<ffi::PyFunctionObject>()).func_annotations;
            Bound::from_borrowed_ptr_or_opt(py, own)
        };
        match own {
            // It spares a dict for each function that has none.
            None => return Ok(py.None().into_bound(py)),
            // (A tuple becomes a dict when somebody asks.)
            Some(own) if own.is_instance_of::<PyDict>() => return Ok(own),
            Some(_) => (),
        }
    }
    function.getattr(intern!(py, "__annotations__"))
}
